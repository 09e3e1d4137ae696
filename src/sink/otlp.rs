//! OpenTelemetry: log records to a collector, or to any other endpoint of OTLP, over HTTP or gRPC. A batch is one export
//! request; it counts as delivered once the collector says that it took it.
//!
//! A collector has no ids of records: what is sent again after a lost answer comes twice, with the same `log.record.uid`.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::aside::aside;
use super::client::{self, Client};
use super::shown::Shown;
use super::{Batch, Sink, SinkError};
use crate::config::Secret;
use crate::source::BoxFuture;

use self::answer::Unwilling;
use self::encode::Encoder;
use self::grpc::Grpc;
use self::http::Http;

mod answer;
mod encode;
mod grpc;
mod http;
mod line;
mod message;

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
    /// The endpoint. Over HTTP, `/v1/logs` is added where it has no path.
    pub url: String,
    /// How requests travel.
    pub protocol: Protocol,
    /// Headers of each request, or metadata of each call.
    pub headers: BTreeMap<String, String>,
    /// Those whose values are secret.
    pub secret_headers: BTreeMap<String, Secret>,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// Attributes that every resource has.
    pub resource: BTreeMap<String, String>,
    /// Whether items are of the format `otel`; if not, each is the body of a record.
    pub structured: bool,
    /// How requests are sent.
    pub client: client::Settings,
}

/// A collector.
#[derive(Debug)]
pub struct Otlp {
    encoder: Arc<Encoder>,
    /// Those of the settings.
    headers: Shown<HeaderMap>,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Http(Http),
    Grpc(Grpc),
}

impl Otlp {
    /// Reads the secrets and makes the client.
    ///
    /// # Errors
    /// A URL, header, secret or certificate that is of no use.
    pub fn open(settings: Settings) -> anyhow::Result<Self> {
        let Settings { url, protocol, headers, secret_headers, gzip, resource, structured, client } = settings;
        let url = Url::parse(&url).context("`url` is no URL")?;
        let headers = Shown::new(move || metadata(&headers, &secret_headers))?;
        let json = protocol == Protocol::HttpJson;
        let transport = match protocol {
            Protocol::Http | Protocol::HttpJson => Transport::Http(Http::new(Client::new(&client)?, url, json, gzip)),
            Protocol::Grpc => Transport::Grpc(Grpc::new(&client, url, gzip)?),
        };
        Ok(Self { encoder: Arc::new(Encoder { structured, resource, json, gzip }), headers, transport })
    }

    async fn export(&self, batch: Arc<Batch>) -> Result<(), SinkError> {
        let (encoder, sent) = (Arc::clone(&self.encoder), batch.total_items());
        let body = aside(move || encoder.encode(&batch)).await?.map_err(SinkError::retry)?;
        let headers = self.headers.get();
        let result = match &self.transport {
            Transport::Http(http) => http.export(&headers, body, sent).await,
            Transport::Grpc(grpc) => grpc.export(&headers, &body, sent).await,
        };
        if let Err(SinkError::Retry { source, .. }) = &result
            && source.downcast_ref::<Unwilling>().is_some_and(Unwilling::is_about_access)
        {
            self.headers.renew().await.map_err(SinkError::retry)?;
        }
        result
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

fn metadata(headers: &BTreeMap<String, String>, secrets: &BTreeMap<String, Secret>) -> anyhow::Result<HeaderMap> {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::try_from(value).with_context(|| format!("`headers.{name}` is no header's value"))?;
        all.insert(HeaderName::try_from(name).with_context(|| format!("`headers.{name}` is no header"))?, value);
    }
    for (name, secret) in secrets {
        let value = secret.read().with_context(|| format!("`secret_headers.{name}`"))?;
        // The library's error may quote the value.
        let value = HeaderValue::try_from(value).ok();
        let mut value = value.with_context(|| format!("`secret_headers.{name}` is no header's value"))?;
        value.set_sensitive(true);
        all.insert(HeaderName::try_from(name).with_context(|| format!("`secret_headers.{name}` is no header"))?, value);
    }
    Ok(all)
}
