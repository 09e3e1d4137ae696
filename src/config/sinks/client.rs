//! The HTTP client: the keys of all sinks that send HTTP requests of their own.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Secret;
use crate::config::document::{KeyPath, Problem};
use crate::config::units::{DurationText, duration};
use crate::config::validate;
use crate::sink::client::Settings;

/// How requests are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HttpClient {
    /// How long a request may take, `1s` to `10m`. Default: `30s`. What was not answered by then is sent again, though
    /// the destination may have taken it.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "10m"))]
    pub timeout: Duration,
    /// The proxy that requests go through (`http` or `https`). Default: what `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`
    /// say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// A file of certificates (PEM) that the destination's certificate may be signed by, beside the system's. Default:
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A file with this client's certificate and its chain (PEM). Default: none; then the destination must not ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<Secret>,
}

impl Default for HttpClient {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            proxy: None,
            ca_file: None,
            client_certificate: None,
            client_key: None,
        }
    }
}

impl HttpClient {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        if let Some(Err(message)) = self.proxy.as_deref().map(validate::endpoint) {
            let problem = Problem::value(at.key("proxy"), message);
            problems.push(problem.secret().allowed("such as \"http://proxy.example:3128\""));
        }
        match (&self.client_certificate, &self.client_key) {
            (Some(_), None) => {
                let problem = Problem::key(at.key("client_key"), "missing: `client_certificate` needs its key");
                problems.push(problem.hint("`{ file = \"path\" }` or `{ env = \"NAME\" }`"));
            }
            (None, Some(_)) => {
                let message = "missing: `client_key` is of no use without its certificate";
                problems.push(Problem::key(at.key("client_certificate"), message));
            }
            _ => {}
        }
        if let Some(key) = &self.client_key {
            key.check(&at.key("client_key"), problems);
        }
    }

    /// What the client is told.
    pub fn settings(&self) -> Settings {
        Settings {
            timeout: self.timeout,
            proxy: self.proxy.clone(),
            ca_file: self.ca_file.clone(),
            client_certificate: self.client_certificate.clone(),
            client_key: self.client_key.clone(),
        }
    }
}
