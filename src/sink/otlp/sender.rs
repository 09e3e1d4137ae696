//! The sender: requests of one signal, log records or metrics, to a collector, by the protocol and with the headers that
//! the configuration says.

use std::collections::BTreeMap;

use anyhow::Context as _;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::Protocol;
use super::answer::Unwilling;
use super::grpc::Grpc;
use super::http::Http;
use crate::config::Secret;
use crate::sink::SinkError;
use crate::sink::client::{self, Client};
use crate::sink::shown::Shown;

/// What kind of telemetry is sent.
#[derive(Debug)]
pub(crate) struct Signal {
    /// The path over HTTP.
    pub(super) path: &'static str,
    /// The path of the call over gRPC.
    pub(super) call: &'static str,
    /// What a request holds.
    pub(super) items: &'static str,
    /// What a person can do where the path is not known.
    pub(super) path_advice: &'static str,
    /// What a person can do where the service of gRPC is not known.
    pub(super) service_advice: &'static str,
}

/// Log records.
pub(super) const LOGS: &Signal = &Signal {
    path: "/v1/logs",
    call: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    items: "log records",
    path_advice: "; see whether `url` has the right path, which is `/v1/logs` in most places",
    service_advice: "; see whether `url` is that of a collector for logs, and whether it takes this `compression`",
};

/// Metrics.
pub(crate) const METRICS: &Signal = &Signal {
    path: "/v1/metrics",
    call: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    items: "data points",
    path_advice: "; see whether `url` has the right path, which is `/v1/metrics` in most places",
    service_advice: "; see whether `url` is that of a collector for metrics, and whether it takes this `compression`",
};

/// Where requests go, and how.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The URL. Over HTTP, the signal's path is added where it has none.
    pub url: String,
    /// How requests travel.
    pub protocol: Protocol,
    /// Headers of each request, or metadata of each call.
    pub headers: BTreeMap<String, String>,
    /// Those whose values are secret.
    pub secret_headers: BTreeMap<String, Secret>,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// How requests are sent.
    pub client: client::Settings,
}

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Those of the settings.
    headers: Shown<HeaderMap>,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Http(Http),
    Grpc(Grpc),
}

impl Sender {
    /// Reads the secrets and makes the client.
    ///
    /// # Errors
    /// A URL, header, secret or certificate that is of no use.
    pub(crate) fn open(endpoint: Endpoint, signal: &'static Signal) -> anyhow::Result<Self> {
        let Endpoint { url, protocol, headers, secret_headers, gzip, client } = endpoint;
        let url = Url::parse(&url).context("`url` is no URL")?;
        let headers = Shown::new(move || metadata(&headers, &secret_headers))?;
        let json = protocol == Protocol::HttpJson;
        let transport = match protocol {
            Protocol::Http | Protocol::HttpJson => {
                Transport::Http(Http::new(Client::new(&client)?, url, json, gzip, signal))
            }
            Protocol::Grpc => Transport::Grpc(Grpc::new(&client, url, gzip, signal)?),
        };
        Ok(Self { headers, transport })
    }

    /// Sends a request of `sent` items, encoded and compressed as the endpoint's settings say.
    ///
    /// # Errors
    /// What the collector's answer, or none, means to a sink. Secrets are read again where it is about access.
    pub(crate) async fn send(&self, body: Vec<u8>, sent: usize) -> Result<(), SinkError> {
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
