//! A log event: one message of a subscription envelope, or a message that came without one.

/// One log event.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogEvent<'a> {
    /// The message: for Bedrock, one JSON object. UTF-8.
    pub message: &'a str,
    /// CloudWatch Logs' id of the event, if it came in an envelope.
    pub id: Option<&'a str>,
    /// CloudWatch Logs' timestamp in milliseconds, if it came in an envelope.
    pub timestamp_millis: Option<i64>,
    /// The log group, if known.
    pub log_group: Option<&'a str>,
    /// The log stream, if known.
    pub log_stream: Option<&'a str>,
    /// The account that owns the log group, if known.
    pub owner: Option<&'a str>,
}
