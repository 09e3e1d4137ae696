//! The HTTP client: the keys of all sinks that send HTTP requests of their own.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WithoutRegion;
use crate::aws::{self, CredentialsFrom};
use crate::config::Secret;
use crate::config::access::{Access, AssumeRole};
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
    /// The proxy that requests go through (`http` or `https`). Default: what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and
    /// `NO_PROXY` say, but this host is asked directly.
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

/// Requests are signed with AWS Signature Version 4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// The service's name in signatures: `es` for OpenSearch Service, `aoss` for OpenSearch Serverless, `execute-api` for
    /// an API Gateway, `lambda` for a function's URL.
    pub service: String,
    /// The AWS Region, such as `eu-central-1`. Default: the AWS configuration's (`AWS_REGION`, the profile).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A profile of the AWS configuration files. Default: `AWS_PROFILE`, else the credential chain without a profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// A role to assume before anything is written. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
}

impl Signing {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.service.is_empty() || !self.service.bytes().all(name) {
            let problem = Problem::value(at.key("service"), "is no name of a service in signatures");
            problems.push(problem.allowed("such as \"es\", \"aoss\" or \"execute-api\""));
        }
        let access = Access {
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            endpoint_url: None,
            assume_role: self.assume_role.as_ref(),
        };
        access.check(at, problems);
    }

    /// What the Region is left to, if it is; this stands at `auth.sigv4`.
    pub(super) fn without_region(&self) -> Option<WithoutRegion<'_>> {
        const BELOW: &[&str] = &["auth", "sigv4"];
        self.region.is_none().then_some(WithoutRegion { below: BELOW, profile: self.profile.as_deref() })
    }

    /// Where credentials and Region come from.
    pub fn access(&self) -> aws::Access {
        aws::Access {
            region: self.region.clone(),
            profile: self.profile.clone(),
            endpoint_url: None,
            assume_role: self.assume_role.as_ref().map(AssumeRole::settings),
            credentials: CredentialsFrom::Chain,
        }
    }
}
