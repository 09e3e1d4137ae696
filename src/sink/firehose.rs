//! Amazon Data Firehose as a sink: PutRecordBatch, one event with its newline a record, so that the objects that Firehose
//! makes are JSON lines. A record counts as delivered once the answer has an id for it; Firehose then tries to deliver it
//! for as long as its destination says, and keeps it for 24 hours at most. Records that failed are sent again alone. Firehose has no ids that it would know
//! a record by: what was taken and not answered is there twice.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_firehose::Client;
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::{DeliveryStreamStatus, DeliveryStreamType, Record};

use super::puts::{self, Target};
use super::service;
use super::{Batch, Item, Planned, Sink, SinkError, batch, opening};
use crate::aws::Access;
use crate::aws::calls::CALLS;
use crate::source::BoxFuture;

/// What Firehose takes. Source: the Amazon Data Firehose API reference, `PutRecordBatch`, and its developer guide,
/// "Amazon Data Firehose quota".
pub const LIMITS: batch::Settings = batch::Settings {
    max_batch_bytes: 4 << 20,
    max_batch_items: 500,
    max_item_bytes: 1000 << 10,
    ..batch::Settings::DEFAULT
};

const PUT: &str = "firehose:PutRecordBatch";
const DESCRIBE: &str = "firehose:DescribeDeliveryStream";

/// Where records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The delivery stream's name.
    pub stream: String,
    /// How the service is reached.
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

/// A delivery stream as it is configured.
pub fn planned(settings: Settings, batch: batch::Settings) -> Planned {
    Planned { opening: opening(Firehose::connect(settings)), batch, tags: None, may_refuse: true }
}

/// Writes to a delivery stream.
#[derive(Debug)]
struct Firehose {
    client: Client,
    stream: String,
    target: Target,
}

impl Firehose {
    async fn connect(settings: Settings) -> anyhow::Result<Self> {
        let config = service::load(&settings.access, settings.timeout).await?;
        let builder = aws_sdk_firehose::config::Builder::from(&config).interceptor(CALLS).interceptor(service::BOUNDED);
        let resource = format!("deliverystream/{}", settings.stream);
        let target = Target { put: PUT, resource, advice };
        Ok(Self { client: Client::from_conf(builder.build()), stream: settings.stream, target })
    }

    async fn put(&self, batch: &Batch) -> Result<(), SinkError> {
        // A blob is all that a record needs.
        let record = |item: Item<'_>| Record::builder().data(Blob::new(item.line)).build().ok();
        let records: Option<Vec<_>> = batch.items().map(record).collect();
        let sent: Vec<usize> = (0..batch.total_items()).collect();
        if sent.is_empty() {
            return Ok(());
        }
        let call = self.client.put_record_batch().delivery_stream_name(&self.stream).set_records(records);
        let answer = Box::pin(call.send()).await.map_err(|error| self.target.failed(&error))?;
        let entries = answer.request_responses().iter().map(|entry| puts::entry(entry.record_id(), entry.error_code()));
        self.target.settle(&sent, entries, Vec::new())
    }

    async fn describe(&self) -> Result<(), SinkError> {
        let call = self.client.describe_delivery_stream().delivery_stream_name(&self.stream);
        let answer = Box::pin(call.send()).await;
        let answer = answer.map_err(|error| SinkError::retry(self.target.call_error(DESCRIBE, &error)))?;
        let unfit = |what: String, advice: &str| Err(self.target.unfit(DESCRIBE, what, advice));
        let Some(found) = answer.delivery_stream_description() else {
            return unfit("the answer describes no stream".to_owned(), "check endpoint_url");
        };
        if *found.delivery_stream_status() != DeliveryStreamStatus::Active {
            let status = puts::name(found.delivery_stream_status().as_str());
            return unfit(format!("it is {status}"), "wait until it is ACTIVE, or make it anew");
        }
        if *found.delivery_stream_type() != DeliveryStreamType::DirectPut {
            let kind = puts::name(found.delivery_stream_type().as_str());
            return unfit(format!("it takes no puts, it is of type {kind}"), NO_PUTS);
        }
        Ok(())
    }
}

impl Sink for Firehose {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move { self.put(&batch).await })
    }

    /// Whether there is such a stream, is active, and takes puts. Needs `firehose:DescribeDeliveryStream`, which putting
    /// itself does not.
    fn probe(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.describe())
    }
}

const NO_PUTS: &str = "name a delivery stream whose source is Direct PUT, or write to what this one reads";

/// Source of the codes: the Amazon Data Firehose API reference, `PutRecordBatch`.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "InvalidSourceException" => NO_PUTS,
        "InvalidKMSResourceException"
        | "KMSAccessDeniedException"
        | "KMSDisabledException"
        | "KMSNotFoundException"
        | "KMSInvalidStateException" => {
            "enable or restore the KMS key that encrypts it, and Firehose's grant on that key"
        }
        "ServiceUnavailableException" | "LimitExceededException" | "ThrottlingException" => {
            "if it lasts, ask AWS for a higher quota of the stream's throughput"
        }
        _ => return None,
    })
}
