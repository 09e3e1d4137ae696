//! Encoding: items become one export request, in Protobuf or in OTLP's JSON. An item of the format `otel` is a log record
//! already; of any other, the line is the record's body.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use prost::Message as _;

use super::line;
use super::message::{AnyValue, Export, KeyValue, LogRecord, Resource, ResourceLogs, Scope, ScopeLogs, Value};
use crate::sink::{Batch, Item};

/// How items become a request.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    /// Whether items are of the format `otel`.
    pub(super) structured: bool,
    /// Attributes that every resource has.
    pub(super) resource: BTreeMap<String, String>,
    /// Whether the request is JSON.
    pub(super) json: bool,
    /// Whether it is compressed.
    pub(super) gzip: bool,
}

impl Encoder {
    /// A request of all items.
    ///
    /// # Errors
    /// None that is known: memory is written to.
    pub(super) fn encode(&self, batch: &Batch) -> io::Result<Vec<u8>> {
        let mut export = Export::default();
        let now = nanoseconds(Timestamp::now());
        for item in batch.items() {
            export.append(self.records(item, now));
        }
        let bytes = if self.json { serde_json::to_vec(&export)? } else { export.encode_to_vec() };
        if self.gzip { compressed(&bytes) } else { Ok(bytes) }
    }

    fn records(&self, item: Item<'_>, now: u64) -> Export {
        let text = String::from_utf8_lossy(item.bytes());
        let read = if self.structured { line::read(&text).ok() } else { None };
        // A line that cannot be read loses its structure, never its content.
        let mut export = read.unwrap_or_else(|| as_body(item, text.into_owned(), now));
        for logs in &mut export.resource_logs {
            let attributes = &mut logs.resource.get_or_insert_default().attributes;
            for (key, value) in &self.resource {
                attributes.retain(|attribute| attribute.key != *key);
                attributes.push(KeyValue::text(key, value));
            }
        }
        export
    }
}

/// A request compressed.
///
/// # Errors
/// None that is known: memory is written to.
pub(crate) fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // Collectors stand near by: speed counts for more than the last tenth of the size.
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// A record whose body is the line. It is of the same service as those of the format `otel`.
fn as_body(item: Item<'_>, text: String, now: u64) -> Export {
    let record = LogRecord {
        time_unix_nano: item.tag.map_or(0, |tag| nanoseconds(tag.time)),
        observed_time_unix_nano: now,
        body: Some(AnyValue { value: Some(Value::Text(text)) }),
        // Records with the same id are the same.
        attributes: item.tag.map(|tag| KeyValue::text("log.record.uid", tag.id_text())).into_iter().collect(),
        ..LogRecord::default()
    };
    let scope = Scope { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() };
    let attributes = vec![KeyValue::text("service.name", "amazon-bedrock"), KeyValue::text("cloud.provider", "aws")];
    let logs = ScopeLogs { scope: Some(scope), log_records: vec![record], schema_url: String::new() };
    let resource = Some(Resource { attributes });
    Export { resource_logs: vec![ResourceLogs { resource, scope_logs: vec![logs], schema_url: String::new() }] }
}

/// A time before 1970 cannot be said: 0 is "unknown".
fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::format::{Lines, Tag};

    fn encoded(structured: bool, resource: &[(&str, &str)], items: &[&str]) -> Json {
        let mut lines = Lines::default();
        for item in items {
            lines.push_with(|out| out.extend_from_slice(item.trim_end().as_bytes()));
            let time = "1970-01-01T00:00:01.5Z".parse().unwrap();
            lines.tag_last(Tag { id: [0xab; 16], time, key: "".into() });
        }
        let resource = resource.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let encoder = Encoder { structured, resource, json: true, gzip: false };
        serde_json::from_slice(&encoder.encode(&Batch { parts: vec![lines], range: None }).unwrap()).unwrap()
    }

    #[test]
    fn what_is_no_log_record_is_the_body_of_one() {
        for structured in [false, true] {
            let mut found = encoded(structured, &[], &["a \"line\"", "{}x"]);
            let observed =
                found.pointer_mut("/resourceLogs/0/scopeLogs/0/logRecords/0/observedTimeUnixNano").unwrap().take();
            assert!(observed.as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000_000_000);
            let record = |text: &str| {
                json!({
                    "timeUnixNano": "1500000000", "observedTimeUnixNano": null, "severityNumber": 0,
                    "body": { "stringValue": text },
                    "attributes": [{ "key": "log.record.uid", "value": { "stringValue": "ab".repeat(16) } }],
                })
            };
            *found.pointer_mut("/resourceLogs/0/scopeLogs/0/logRecords/1/observedTimeUnixNano").unwrap() = Json::Null;
            let attribute = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
            let expected = json!({ "resourceLogs": [{
                "resource": { "attributes": [
                    attribute("service.name", "amazon-bedrock"), attribute("cloud.provider", "aws"),
                ] },
                "scopeLogs": [{
                    "scope": { "name": "bedrock-tap", "version": env!("CARGO_PKG_VERSION") },
                    "logRecords": [record("a \"line\""), record("{}x")],
                }],
            }] });
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn neighbours_share_their_resource_which_the_user_may_add_to() {
        let line = |service: &str| {
            format!(
                r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}},{{"key":"cloud.provider","value":{{"stringValue":"aws"}}}}]}},"scopeLogs":[{{"scope":{{"name":"bedrock-tap"}},"logRecords":[{{"timeUnixNano":"1"}}]}}]}}]}}"#
            )
        };
        let (first, other) = (&line("amazon-bedrock"), &line("other"));
        let found = encoded(true, &[("cloud.provider", "mine"), ("team", "red")], &[first, first, other, first]);
        let logs = found["resourceLogs"].as_array().unwrap();
        let counts: Vec<_> =
            logs.iter().map(|logs| logs["scopeLogs"][0]["logRecords"].as_array().unwrap().len()).collect();
        assert_eq!(counts, [2, 1, 1]);
        for logs in logs {
            let attributes = logs["resource"]["attributes"].as_array().unwrap();
            let values = |key: &str| -> Vec<_> {
                let of_key = attributes.iter().filter(|attribute| attribute["key"] == key);
                of_key.map(|attribute| attribute["value"]["stringValue"].as_str().unwrap()).collect()
            };
            assert_eq!((values("cloud.provider"), values("team")), (vec!["mine"], vec!["red"]));
            assert_eq!(values("service.name").len(), 1);
        }
        assert_eq!(encoded(true, &[], &[]), json!({ "resourceLogs": [] }));
    }
}
