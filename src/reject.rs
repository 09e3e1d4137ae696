//! A reject: something that could not be read, kept with its original bytes, where it came from, and why.

use std::borrow::Cow;
use std::fmt;

use crate::json::JsonError;

/// The stage that gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Taking the envelopes off a record.
    Decode,
    /// Taking the log events out of an envelope.
    Extract,
    /// Reading a log event as an invocation.
    Parse,
    /// A destination refused the item for good.
    Deliver,
}

impl Stage {
    /// The name used in dead letters and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Extract => "extract",
            Self::Parse => "parse",
            Self::Deliver => "deliver",
        }
    }
}

/// Why something was rejected: a closed set, so that it can be a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The content is of no framing that is known.
    UnknownFraming,
    /// A gzip stream ends too early.
    Truncated,
    /// A gzip stream is damaged (bad header, bad data, wrong checksum or size).
    Corrupt,
    /// Base64 text that does not decode.
    InvalidBase64,
    /// More bytes after inflating than the limit allows.
    TooLarge,
    /// More log events in one envelope than the limit allows.
    TooManyEvents,
    /// JSON, or envelopes in envelopes, nested deeper than the limit allows.
    TooDeep,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// Text that is not JSON where JSON was due.
    InvalidJson,
    /// An envelope whose members have the wrong shape.
    InvalidEnvelope,
    /// A required field is missing or null.
    MissingField,
    /// A field's value has the wrong type.
    WrongType,
    /// A number that does not fit its field (a fraction, an overflow, text that is no number).
    InvalidNumber,
    /// A timestamp that is not RFC 3339.
    InvalidTimestamp,
    /// A destination refused the item for good.
    Refused,
}

impl Reason {
    /// The name used in dead letters, summaries and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownFraming => "unknown_framing",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::InvalidBase64 => "invalid_base64",
            Self::TooLarge => "too_large",
            Self::TooManyEvents => "too_many_events",
            Self::TooDeep => "too_deep",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::InvalidEnvelope => "invalid_envelope",
            Self::MissingField => "missing_field",
            Self::WrongType => "wrong_type",
            Self::InvalidNumber => "invalid_number",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::Refused => "refused",
        }
    }
}

/// What could not be read and why. `detail` never holds any of the payload: it names the field, what was expected and
/// what kind of thing was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The stage that gave up.
    pub stage: Stage,
    /// Why, as a closed set.
    pub reason: Reason,
    /// Why, in words: names, kinds, offsets and limits, never values.
    pub detail: Cow<'static, str>,
}

impl Fault {
    /// A fault of `stage`.
    pub fn new(stage: Stage, reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { stage, reason, detail: detail.into() }
    }
}

impl From<JsonError> for Fault {
    fn from(error: JsonError) -> Self {
        let reason = if error.too_deep { Reason::TooDeep } else { Reason::InvalidJson };
        Self::new(Stage::Decode, reason, error.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.stage.as_str(), self.reason.as_str(), self.detail)
    }
}

/// What a log event that is no invocation was; each kind is counted on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Skip {
    /// CloudWatch Logs' own test of the destination (`CONTROL_MESSAGE`).
    Control,
    /// The line that Bedrock writes when logging is switched on.
    Notice,
    /// A user record of an aggregate that belongs to another shard, and is read there.
    OtherShard,
    /// A log event of a log group that the configuration does not choose.
    OtherLogGroup,
    /// A log event that is not a Bedrock invocation.
    NotInvocation,
    /// A record without a byte, as Firehose may send.
    Empty,
    /// An invocation that the user's filters left out.
    Filtered,
    /// An invocation that was not among those that sampling keeps.
    Sampled,
}

impl Skip {
    /// Every kind, in the order in which summaries show them.
    pub const ALL: [Self; 8] = [
        Self::Control,
        Self::Notice,
        Self::OtherShard,
        Self::OtherLogGroup,
        Self::NotInvocation,
        Self::Empty,
        Self::Filtered,
        Self::Sampled,
    ];

    /// The name used in summaries and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Notice => "notice",
            Self::OtherShard => "other_shard",
            Self::OtherLogGroup => "other_log_group",
            Self::NotInvocation => "not_invocation",
            Self::Empty => "empty",
            Self::Filtered => "filtered",
            Self::Sampled => "sampled",
        }
    }
}
