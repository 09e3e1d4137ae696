//! An answer: what a collector says of a request, and what that means to the sink (sources: the OTLP specification 1.7,
//! "OTLP/gRPC Response", "OTLP/HTTP Response"; `google/rpc/status.proto`, `google/rpc/error_details.proto`).

use std::time::Duration;

use prost::Message as _;

use super::message::Exported;
use crate::sink::{self, SinkError};

/// What a person can do where the collector does not take who sends.
pub(super) const ACCESS_ADVICE: &str = "; see whether `secret_headers` has a valid token with the right to write";

/// An answer that may change, and what a person can do about it. Never quotes the collector's message.
#[derive(Debug, thiserror::Error)]
#[error("the answer is {what}{advice}")]
pub(super) struct Unwilling {
    what: String,
    advice: &'static str,
}

impl Unwilling {
    /// An answer to try again after; `advice` is empty or begins with what joins it to a sentence.
    pub(super) fn retry(what: impl Into<String>, advice: &'static str, after: Option<Duration>) -> SinkError {
        SinkError::Retry { after, source: Box::new(Self { what: what.into(), advice }) }
    }

    /// Whether other secrets may change it.
    pub(super) fn is_about_access(&self) -> bool {
        self.advice == ACCESS_ADVICE
    }
}

/// `google.rpc.Status`: what went wrong, in the words of the collector.
#[derive(Clone, PartialEq, prost::Message, serde::Deserialize)]
#[serde(default)]
pub(super) struct Status {
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    #[serde(skip)]
    details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Status {
    /// How long the collector asked to be left alone, if it did.
    pub(super) fn retry_delay(&self) -> Option<Duration> {
        let info = self.details.iter().find(|any| any.type_url.ends_with("/google.rpc.RetryInfo"))?;
        let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
        let (seconds, nanos) = (u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?);
        Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()))
    }
}

/// What a collector's message goes to the dead letter as.
pub(super) fn quoted(what: &str, message: &str) -> String {
    let message = sink::quoted(message.trim());
    if message.is_empty() { what.to_owned() } else { format!("{what}: {message}") }
}

/// What an answer of success means to a request of `sent` records, which are called `items`.
///
/// A partial success says how many records were rejected, never which. Where it is all, all go to the dead letter. Else
/// the whole request counts as refused, so that it is sent again in halves until each half is taken or rejected as a
/// whole: records that were taken already come twice, with the same `log.record.uid`, but none is lost and each that is
/// rejected is known. Without this, either the rejected ones would be lost, or all their neighbours would lie in the
/// dead letter beside those that were taken.
pub(super) fn taken(exported: Exported, sent: usize, items: &str) -> Result<(), SinkError> {
    let Some(partial) = exported.partial_success else { return Ok(()) };
    // Nothing rejected and a message is advice for people. It may quote records, so it is not logged.
    let rejected = match usize::try_from(partial.rejected) {
        Ok(0) | Err(_) => return Ok(()),
        Ok(rejected) => rejected,
    };
    let answer = quoted(&format!("{rejected} of {sent} {items} are rejected"), &partial.error_message);
    if rejected < sent {
        return Err(SinkError::Refused { answer });
    }
    if sent == 0 {
        return Err(Unwilling::retry(format!("a rejection of {items} where none was sent"), "", None));
    }
    Err(SinkError::refused_items((0..sent).map(|index| (index, answer.clone())).collect()))
}

#[cfg(test)]
mod tests {
    use super::super::message::PartialSuccess;
    use super::*;

    #[test]
    fn a_partial_success_is_halved_until_it_is_all_or_nothing() {
        let check = |rejected: i64, sent: usize, expected: &str| {
            let partial = PartialSuccess { rejected, error_message: "too old".into() };
            let found = match taken(Exported { partial_success: Some(partial) }, sent, "log records") {
                Ok(()) => "taken".to_owned(),
                Err(SinkError::Refused { answer }) => format!("refused: {answer}"),
                Err(SinkError::Partial { retry, refused, .. }) => format!("{} again, {refused:?}", retry.len()),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected);
        };
        assert!(taken(Exported::default(), 1, "log records").is_ok());
        check(0, 3, "taken");
        check(-1, 3, "taken");
        check(2, 3, "refused: 2 of 3 log records are rejected: too old");
        check(1, 1, r#"0 again, [(0, "1 of 1 log records are rejected: too old")]"#);
        let all = "2 of 2 log records are rejected: too old";
        check(2, 2, &format!("0 again, [(0, {all:?}), (1, {all:?})]"));
        check(i64::MAX, 1, &format!("0 again, [(0, \"{} of 1 log records are rejected: too old\")]", i64::MAX));
        check(1, 0, "the sink cannot deliver now");
    }

    #[test]
    fn a_delay_may_be_anything() {
        let check = |seconds: i64, nanos: i32, expected: Option<Duration>| {
            let value = RetryInfo { retry_delay: Some(Delay { seconds, nanos }) }.encode_to_vec();
            let any = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".into(), value };
            assert_eq!(Status { message: String::new(), details: vec![any] }.retry_delay(), expected);
        };
        check(1, 500_000_000, Some(Duration::from_millis(1500)));
        check(0, 0, Some(Duration::ZERO));
        check(-1, 0, None);
        check(1, -1, None);
        check(i64::MAX, i32::MAX, Some(Duration::new(i64::MAX as u64 + 2, 147_483_647)));
        assert_eq!(Status::default().retry_delay(), None);
    }
}
