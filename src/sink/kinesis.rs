//! A Kinesis data stream as a sink: PutRecords, one event a record. The record keeps the event's newline: readers of JSON
//! pass over it, this program's own source among them, and what Firehose or others join from records are JSON lines.
//!
//! A record counts as delivered once the answer has its sequence number. Records that failed are sent again alone, so they
//! come to stand behind records that were read later: as long as the stream throttles nothing and no call fails, a batch
//! keeps its order within a partition key, and otherwise it cannot. Kinesis has no ids that it would know a record by: what
//! was taken and not answered is there twice.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamDescriptionSummary, StreamStatus};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::puts::{self, Target};
use super::service;
use super::{Batch, Item, Planned, Sink, SinkError, batch, opening};
use crate::aws::Access;
use crate::aws::calls::CALLS;
use crate::aws::error::{Failure, Meaning};
use crate::format::key::Template;
use crate::source::BoxFuture;
use crate::source::kinesis::client::StreamTarget;

/// The characters of a partition key. Source: the Kinesis API reference, `PutRecordsRequestEntry`.
pub const MAX_KEY_CHARS: usize = 256;

/// What a stream may take at most; partition keys count. Source: the Kinesis API reference, `PutRecords`.
pub const LIMITS: batch::Settings = batch::Settings {
    max_batch_bytes: MOST_RECORD_BYTES,
    max_batch_items: 500,
    max_item_bytes: MOST_RECORD_BYTES,
    item_overhead_bytes: MAX_KEY_CHARS,
    ..batch::Settings::DEFAULT
};

/// The bytes of a record, partition key included, that every stream takes. Source: the Kinesis API reference,
/// `UpdateMaxRecordSize`.
const LEAST_RECORD_BYTES: usize = 1 << 20;

/// Those that a stream can be made to take.
const MOST_RECORD_BYTES: usize = 10 << 20;

/// How long the size of a stream's records is known. Only large records ask for it, and 20 calls a second are all that an
/// account has.
const SIZE_AGE: Duration = Duration::from_secs(60);

const PUT: &str = "kinesis:PutRecords";
const DESCRIBE: &str = "kinesis:DescribeStreamSummary";

/// Where records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The stream's name or ARN.
    pub stream: String,
    /// How the service is reached; the Region may come from the ARN.
    pub access: Access,
    /// How long a call may take.
    pub timeout: Duration,
}

impl Settings {
    /// Writes to this stream, with time for a slow line.
    pub fn new(stream: impl Into<String>, access: Access) -> Self {
        Self { stream: stream.into(), access, timeout: puts::CALL_TIMEOUT }
    }
}

/// A stream as it is configured. Without a template of partition keys, all records have the same.
pub fn planned(settings: Settings, batch: batch::Settings, partition_key: Option<Arc<Template>>) -> Planned {
    Planned { opening: opening(Kinesis::connect(settings)), batch, tags: partition_key, may_refuse: true }
}

/// Writes to a stream.
#[derive(Debug)]
struct Kinesis {
    client: Client,
    stream: StreamTarget,
    target: Target,
    /// The bytes that a record of this stream may have, and when that was asked.
    record_bytes: Mutex<Option<(Instant, usize)>>,
}

impl Kinesis {
    async fn connect(settings: Settings) -> anyhow::Result<Self> {
        let stream = StreamTarget::parse(&settings.stream)?;
        let region = stream.region.clone().or(settings.access.region);
        let access = Access { region, ..settings.access };
        let config = service::load(&access, settings.timeout).await?;
        let builder = aws_sdk_kinesis::config::Builder::from(&config).interceptor(CALLS).interceptor(service::BOUNDED);
        let resource = stream.arn.clone().unwrap_or_else(|| format!("stream/{}", stream.name));
        let target = Target { put: PUT, resource, advice };
        Ok(Self { client: Client::from_conf(builder.build()), stream, target, record_bytes: Mutex::default() })
    }

    /// The stream's name, or its ARN, one of which a request gives.
    fn stream(&self) -> (Option<String>, Option<String>) {
        match &self.stream.arn {
            Some(arn) => (None, Some(arn.clone())),
            None => (Some(self.stream.name.to_string()), None),
        }
    }

    async fn put(&self, batch: &Batch) -> Result<(), SinkError> {
        let is_large = batch.items().any(|item| record_bytes(item) > LEAST_RECORD_BYTES);
        let limit = if is_large { self.max_record_bytes().await? } else { LEAST_RECORD_BYTES };
        let (mut sent, mut records, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for (place, item) in batch.items().enumerate() {
            let bytes = record_bytes(item);
            if bytes > limit {
                let answer = format!(
                    "{bytes} bytes with the partition key are more than the stream takes, {limit}; \
                     UpdateMaxRecordSize raises that to {MOST_RECORD_BYTES}"
                );
                refused.push((place, answer));
                continue;
            }
            let record = PutRecordsRequestEntry::builder().data(Blob::new(item.line)).partition_key(key(item)).build();
            // A blob and a key are all that a record needs.
            records.push(record.map_err(SinkError::retry)?);
            sent.push(place);
        }
        if sent.is_empty() {
            return self.target.settle(&sent, std::iter::empty(), refused);
        }
        let (name, arn) = self.stream();
        let call = self.client.put_records().set_stream_name(name).set_stream_arn(arn).set_records(Some(records));
        let answer = Box::pin(call.send()).await.map_err(|error| self.target.failed(&error))?;
        let entries = answer.records().iter().map(|entry| puts::entry(entry.sequence_number(), entry.error_code()));
        self.target.settle(&sent, entries, refused)
    }

    /// The bytes that a record of the stream may have. A stream that does not say has not been made to take more than all
    /// take; where it may not be asked, the service itself says what is too large.
    async fn max_record_bytes(&self) -> Result<usize, SinkError> {
        let mut known = self.record_bytes.lock().await;
        if let Some((_, bytes)) = known.filter(|(asked, _)| asked.elapsed() < SIZE_AGE) {
            return Ok(bytes);
        }
        let (name, arn) = self.stream();
        let call = self.client.describe_stream_summary().set_stream_name(name).set_stream_arn(arn);
        let bytes = match Box::pin(call.send()).await {
            Ok(answer) => {
                let found =
                    answer.stream_description_summary().and_then(StreamDescriptionSummary::max_record_size_in_kib);
                let bytes = found.and_then(|kib| usize::try_from(kib).ok()).unwrap_or_default().saturating_mul(1 << 10);
                bytes.clamp(LEAST_RECORD_BYTES, MOST_RECORD_BYTES)
            }
            Err(error) if Failure::read(&error).meaning == Meaning::Denied => MOST_RECORD_BYTES,
            Err(error) => return Err(SinkError::retry(self.target.call_error(DESCRIBE, &error))),
        };
        *known = Some((Instant::now(), bytes));
        Ok(bytes)
    }

    async fn describe(&self) -> Result<(), SinkError> {
        let (name, arn) = self.stream();
        let call = self.client.describe_stream_summary().set_stream_name(name).set_stream_arn(arn);
        let answer = Box::pin(call.send()).await;
        let answer = answer.map_err(|error| SinkError::retry(self.target.call_error(DESCRIBE, &error)))?;
        let unfit = |what: String, advice: &str| Err(self.target.unfit(DESCRIBE, what, advice));
        match answer.stream_description_summary().map(StreamDescriptionSummary::stream_status) {
            // A stream takes records while its shards are split and merged.
            Some(StreamStatus::Active | StreamStatus::Updating) => Ok(()),
            Some(status) => unfit(format!("it is {}", puts::name(status.as_str())), "wait until it is ACTIVE"),
            None => unfit("the answer describes no stream".to_owned(), "check endpoint_url"),
        }
    }
}

impl Sink for Kinesis {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move { self.put(&batch).await })
    }

    /// Whether there is such a stream and takes records. Needs `kinesis:DescribeStreamSummary`, which putting itself does
    /// not.
    fn probe(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.describe())
    }
}

/// The record's partition key. What is too long is cut: records that differ only behind that share a shard.
fn key(item: Item<'_>) -> &str {
    let key = item.tag.map_or("", |tag| &*tag.key);
    let end = key.char_indices().nth(MAX_KEY_CHARS).map_or(key.len(), |(end, _)| end);
    // Kinesis takes no empty key; a template that makes one is refused before.
    if key.is_empty() { "unknown" } else { &key[..end] }
}

/// The bytes that Kinesis counts for a record.
fn record_bytes(item: Item<'_>) -> usize {
    item.line.len() + key(item).len()
}

/// Source of the codes: the Kinesis API reference, `PutRecords`.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "ProvisionedThroughputExceededException" | "LimitExceededException" => {
            "if it lasts, add shards, or choose a partition_key that spreads evenly"
        }
        "KMSAccessDeniedException" => "grant kms:GenerateDataKey on the key that encrypts it to the role that writes",
        "KMSDisabledException" | "KMSInvalidStateException" | "KMSNotFoundException" => {
            "enable or restore the KMS key that encrypts it"
        }
        _ => return None,
    })
}
