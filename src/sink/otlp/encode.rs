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
        if !self.gzip {
            return Ok(bytes);
        }
        // Collectors stand near by: speed counts for more than the last tenth of the size.
        let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
        encoder.write_all(&bytes)?;
        encoder.finish()
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
