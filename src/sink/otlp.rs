//! OpenTelemetry: log records to a collector, or to any other endpoint of OTLP, over HTTP or gRPC. A batch is one export
//! request; it counts as delivered once the collector says that it took it.
//!
//! A collector has no ids of records: what is sent again after a lost answer comes twice, with the same `log.record.uid`.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aside::aside;
use super::{Batch, Sink, SinkError};
use crate::source::BoxFuture;

use self::encode::Encoder;
use self::sender::LOGS;

mod answer;
mod encode;
mod grpc;
mod http;
mod line;
mod message;
mod sender;

pub(crate) use encode::compressed;
pub(crate) use message::{KeyValue, Resource, Scope};
pub use sender::Endpoint;
pub(crate) use sender::{METRICS, Sender};

/// How requests travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Protobuf over HTTP.
    #[default]
    Http,
    /// JSON over HTTP.
    HttpJson,
    /// gRPC.
    Grpc,
}

/// What the sink is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where requests go, and how.
    pub endpoint: Endpoint,
    /// Attributes that every resource has.
    pub resource: BTreeMap<String, String>,
    /// Whether items are of the format `otel`; if not, each is the body of a record.
    pub structured: bool,
}

/// A collector.
#[derive(Debug)]
pub struct Otlp {
    encoder: Arc<Encoder>,
    sender: Sender,
}

impl Otlp {
    /// Reads the secrets and makes the client.
    ///
    /// # Errors
    /// A URL, header, secret or certificate that is of no use.
    pub fn open(settings: Settings) -> anyhow::Result<Self> {
        let Settings { endpoint, resource, structured } = settings;
        let (json, gzip) = (endpoint.protocol == Protocol::HttpJson, endpoint.gzip);
        let encoder = Arc::new(Encoder { structured, resource, json, gzip });
        Ok(Self { encoder, sender: Sender::open(endpoint, LOGS)? })
    }

    async fn export(&self, batch: Arc<Batch>) -> Result<(), SinkError> {
        let (encoder, sent) = (Arc::clone(&self.encoder), batch.total_items());
        let body = aside(move || encoder.encode(&batch)).await?.map_err(SinkError::retry)?;
        self.sender.send(body, sent).await
    }
}

impl Sink for Otlp {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.export(batch))
    }

    /// Sends a request without records, which a collector answers with success (source: OTLP specification 1.7,
    /// "Full Success").
    fn probe(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async {
            match self.export(Arc::default()).await {
                Err(SinkError::Refused { answer }) => {
                    // What is behind the status are the collector's words, which may quote a header.
                    let status = answer.split(':').next().unwrap_or_default();
                    Err(SinkError::retry(format!("a request without log records is refused: {status}")))
                }
                result => result,
            }
        })
    }
}
