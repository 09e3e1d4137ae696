//! A reject on its way to the dead letter.

use crate::extract::LogEvent;
use crate::record::Origin;
use crate::reject::Fault;

/// A reject as it is kept.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// Why.
    pub fault: Fault,
    /// Where the record came from.
    pub origin: Origin,
    /// The bytes as they came: the log event's message, or the payload. Never logged.
    pub original: Vec<u8>,
    /// The log group, if known.
    pub log_group: Option<String>,
    /// The log stream, if known.
    pub log_stream: Option<String>,
    /// CloudWatch Logs' id of the event, if known.
    pub event_id: Option<String>,
    /// CloudWatch Logs' timestamp in milliseconds, if known.
    pub timestamp_millis: Option<i64>,
}

impl Rejected {
    /// Keeps what [`Visit::reject`] was told.
    pub fn new(fault: Fault, original: &[u8], event: Option<&LogEvent<'_>>, origin: &Origin) -> Self {
        let text = |field: Option<&str>| field.map(str::to_owned);
        Self {
            fault,
            origin: origin.clone(),
            original: original.to_vec(),
            log_group: text(event.and_then(|event| event.log_group)),
            log_stream: text(event.and_then(|event| event.log_stream)),
            event_id: text(event.and_then(|event| event.id)),
            timestamp_millis: event.and_then(|event| event.timestamp_millis),
        }
    }
}
