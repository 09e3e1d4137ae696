//! The dead letter: rejects as JSON lines, each with its original bytes, where it came from, and why. It is written
//! through a sink as everything else is, and no position is committed before it is durable.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::batch::{Gone, Origins, Outlet, Receipt};
use crate::budget::Reservation;
use crate::format::key::Template;
use crate::format::{KnownEvent, Lines};
use crate::pipeline::Rejected;
use crate::record::Origin;
use crate::reject::{Fault, Reason, Stage};

/// Where rejects go.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    outlet: Outlet,
    tags: Option<Arc<Template>>,
}

impl DeadLetter {
    /// Writes rejects to `outlet`, whose sink is told what these tags say.
    pub fn new(outlet: Outlet, tags: Option<Arc<Template>>) -> Self {
        Self { outlet, tags }
    }

    /// What the sink of the dead letter is told of each reject.
    pub fn tags(&self) -> Option<&Arc<Template>> {
        self.tags.as_ref()
    }

    /// The sink that rejects are written to.
    pub fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Hands rejects on; they count as kept once the receipt says so.
    ///
    /// # Errors
    /// [`Gone`]: the sink of the dead letter has stopped.
    pub async fn submit(&self, rejects: &[Rejected]) -> Result<Receipt, Gone> {
        let mut lines = Lines::default();
        encode(rejects, Timestamp::now(), self.tags.as_deref(), &mut lines);
        self.outlet.submit(lines, Origins::default(), Arc::new(Reservation::default())).await
    }
}

/// An item that the destination `sink` refused, as a reject: the message that it was made of, or the item as it was
/// sent, and what is known of the log event.
pub fn refused(sink: &str, answer: &str, original: &[u8], event: Option<&KnownEvent>, origin: &Origin) -> Rejected {
    let text = |field: Option<&str>| field.map(str::to_owned);
    Rejected {
        fault: Fault::new(Stage::Deliver, Reason::Refused, format!("the sink {sink} answered: {answer}")),
        origin: origin.clone(),
        original: original.to_vec(),
        log_group: text(event.and_then(|event| event.log_group.as_deref())),
        log_stream: text(event.and_then(|event| event.log_stream.as_deref())),
        event_id: text(event.and_then(|event| event.id.as_deref())),
        timestamp_millis: event.and_then(|event| event.timestamp_millis),
    }
}

/// Appends rejects to `lines` as JSON, with what `tags` say of each; `time` is when they were rejected.
pub fn encode(rejects: &[Rejected], time: Timestamp, tags: Option<&Template>, lines: &mut Lines) {
    for reject in rejects {
        let letter = Letter {
            time,
            stage: reject.fault.stage.as_str(),
            reason: reject.fault.reason.as_str(),
            detail: &reject.fault.detail,
            origin: From::from(&reject.origin),
            log_group: reject.log_group.as_deref(),
            log_stream: reject.log_stream.as_deref(),
            event_id: reject.event_id.as_deref(),
            event_timestamp_millis: reject.timestamp_millis,
            data: BASE64_STANDARD.encode(&reject.original),
        };
        lines.push_with(|out| {
            // Writing strings and numbers into memory cannot fail.
            let _ = serde_json::to_writer(out, &letter);
        });
        if let Some(template) = tags {
            lines.tag_last(template.tag_of(identity(reject), time));
        }
    }
}

/// A reject's identity, which is the same when it is read and rejected again.
fn identity(reject: &Rejected) -> [u8; 16] {
    let mut hash = Sha256::new();
    let event_id = reject.event_id.as_deref().unwrap_or_default();
    for part in [reject.origin.to_string().as_bytes(), event_id.as_bytes(), &reject.original] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    *digest.first_chunk().unwrap_or(&[0; 16])
}

#[derive(Serialize)]
struct Letter<'a> {
    #[serde(serialize_with = "as_text")]
    time: Timestamp,
    stage: &'a str,
    reason: &'a str,
    detail: &'a str,
    origin: LetterOrigin<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_stream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_timestamp_millis: Option<i64>,
    data: String,
}

#[derive(Default, Serialize)]
struct LetterOrigin<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrival: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
}

impl<'a> From<&'a Origin> for LetterOrigin<'a> {
    fn from(origin: &'a Origin) -> Self {
        match origin {
            Origin::Kinesis { stream, shard, sequence, arrival } => Self {
                kind: "kinesis",
                stream: Some(stream),
                shard: Some(shard.as_str()),
                sequence: Some(sequence.as_str()),
                arrival: arrival.map(|time| time.to_string()),
                ..Self::default()
            },
            Origin::File { path, offset } => {
                Self { kind: "file", path: Some(path), offset: Some(*offset), ..Self::default() }
            }
            Origin::S3 { bucket, key, offset } => {
                Self { kind: "s3", bucket: Some(bucket), key: Some(key), offset: Some(*offset), ..Self::default() }
            }
            Origin::CloudWatch { log_group } => {
                Self { kind: "cloudwatch", log_group: Some(log_group), ..Self::default() }
            }
            Origin::Firehose { source, request, index } => Self {
                kind: "firehose",
                source: Some(source),
                request: Some(request),
                index: Some(*index),
                ..Self::default()
            },
        }
    }
}

fn as_text<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{SequenceNumber, ShardId};

    fn check(reject: &Rejected, expected: &serde_json::Value) {
        let mut lines = Lines::default();
        encode(std::slice::from_ref(reject), "2026-01-02T03:04:05Z".parse().unwrap(), None, &mut lines);
        let found: serde_json::Value = serde_json::from_slice(lines.bytes()).unwrap();
        assert_eq!(&found, expected);
        assert!(lines.bytes().ends_with(b"}\n"));
    }

    #[test]
    fn a_letter_holds_all_that_is_known() {
        let origin = Origin::Kinesis {
            stream: "calls".into(),
            shard: ShardId::new("shardId-000000000001"),
            sequence: SequenceNumber::new("4959").unwrap(),
            arrival: Some("2026-01-02T03:04:00Z".parse().unwrap()),
        };
        let fault = Fault::new(Stage::Parse, Reason::MissingField, "modelId is missing");
        let mut reject = Rejected {
            fault,
            origin,
            original: b"\x00\xff{\"line\nbreak\"}".to_vec(),
            log_group: Some("bedrock\u{1b}[31m".into()),
            log_stream: Some("aws/bedrock/modelinvocations".into()),
            event_id: Some("37".into()),
            timestamp_millis: Some(-5),
        };
        check(
            &reject,
            &serde_json::json!({
                "time": "2026-01-02T03:04:05Z", "stage": "parse", "reason": "missing_field",
                "detail": "modelId is missing",
                "origin": {
                    "kind": "kinesis", "stream": "calls", "shard": "shardId-000000000001", "sequence": "4959",
                    "arrival": "2026-01-02T03:04:00Z"
                },
                "log_group": "bedrock\u{1b}[31m", "log_stream": "aws/bedrock/modelinvocations", "event_id": "37",
                "event_timestamp_millis": -5, "data": "AP97ImxpbmUKYnJlYWsifQ=="
            }),
        );
        reject = refused("lake", "document too large", b"{}", None, &Origin::File { path: "a.gz".into(), offset: 7 });
        check(
            &reject,
            &serde_json::json!({
                "time": "2026-01-02T03:04:05Z", "stage": "deliver", "reason": "refused",
                "detail": "the sink lake answered: document too large",
                "origin": {"kind": "file", "path": "a.gz", "offset": 7}, "data": "e30="
            }),
        );
    }
}
