//! The http sink: a batch is one request to an endpoint, and durable once the endpoint answers with 2xx.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context as _;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Request, StatusCode, Url};

use super::aside::aside;
use super::client::{self, Answer, CallError, Client};
use super::shown::Shown;
use super::sigv4::Signer;
use super::{Batch, Sink, SinkError};
use crate::aws::Access;
use crate::config::Secret;
use crate::source::BoxFuture;

mod body;
mod keys;

pub use body::Body;
use keys::Keys;

/// What is sent, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The endpoint.
    pub to: Endpoint,
    /// `POST` or `PUT`.
    pub method: Method,
    /// Headers of every request.
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secrets.
    pub secret_headers: BTreeMap<String, Secret>,
    /// How items become a body.
    pub body: Body,
    /// What the body is called.
    pub content_type: String,
    /// Whether the body is compressed.
    pub gzip: bool,
    /// How the endpoint is shown who sends.
    pub auth: Option<Auth>,
    /// How requests are sent.
    pub client: client::Settings,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A URL that may be shown.
    Url(String),
    /// A URL that is a secret as a whole, or has one in it.
    Secret(Secret),
}

/// How an endpoint is shown who sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// A token in the header `Authorization`.
    Bearer(Secret),
    /// A user and a password in the header `Authorization`.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A keyed hash of the body in a header.
    Hmac {
        /// The header.
        header: String,
        /// The key.
        key: Secret,
        /// What stands before the hash.
        prefix: String,
        /// Whether the hash is in base64 instead of hexadecimal digits.
        base64: bool,
    },
    /// AWS Signature Version 4.
    SigV4 {
        /// Where Region and credentials come from.
        access: Access,
        /// The service's name in signatures.
        service: String,
    },
}

/// The sink.
pub struct Http {
    client: Client,
    settings: Arc<Settings>,
    /// Replaced when the endpoint does not take them: a secret in a file may have been rotated.
    keys: Shown<Keys>,
    signer: Option<Signer>,
}

/// Why a batch was not taken. Of a URL only the host is shown: its path may be a secret.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{host} gives no answer")]
    NoAnswer {
        host: String,
        #[source]
        source: CallError,
    },
    #[error("{host} answers {status}{advice}")]
    Status { host: String, status: StatusCode, advice: String },
    #[error("{host} answers {status}, and its secrets cannot be read again")]
    Keys {
        host: String,
        status: StatusCode,
        #[source]
        source: anyhow::Error,
    },
}

impl Http {
    /// Reads the secrets and makes the client. Nothing is sent.
    ///
    /// # Errors
    /// A secret that is not there, a file that cannot be read, or no credentials of AWS; with the key that names it.
    pub async fn open(settings: Settings) -> anyhow::Result<Self> {
        let client = Client::new(&settings.client)?;
        let settings = Arc::new(settings);
        let of = Arc::clone(&settings);
        let shown = Shown::new(move || Ok(Keys::read(&of)?))?;
        let keys = shown.get();
        let signer = match &settings.auth {
            Some(Auth::SigV4 { access, service }) => {
                Some(Box::pin(Signer::new(access, service)).await.context("`auth.sigv4`")?)
            }
            _ => None,
        };
        let has_secrets = settings.auth.is_some() || !settings.secret_headers.is_empty();
        let is_secret = has_secrets || matches!(settings.to, Endpoint::Secret(_));
        if is_secret && keys.url.scheme() == "http" && !is_local(&keys.url) {
            let host = host_of(&keys.url);
            tracing::warn!(host, "a secret goes to this host in the clear: its URL begins with http://");
        }
        Ok(Self { client, settings, keys: shown, signer })
    }

    async fn send(&self, batch: Arc<Batch>) -> Result<(), SinkError> {
        let (items, keys) = (batch.total_items(), self.keys.get());
        if items == 0 {
            return Ok(());
        }
        if items > 1 && self.settings.body == Body::Single {
            // Batches are of one item, unless the configuration of batches was passed by; halves come to that as well.
            return Err(SinkError::Refused { answer: "one item is sent at a time".to_owned() });
        }
        let (settings, shown) = (Arc::clone(&self.settings), Arc::clone(&keys));
        let made = aside(move || {
            let body = settings.body.of(&batch, settings.gzip)?;
            let headers = shown.headers(&body);
            Ok::<_, libdeflater::CompressionError>((body, headers))
        });
        let (body, shown) = made.await?.map_err(SinkError::retry)?;
        let mut request = Request::new(self.settings.method.clone(), keys.url.clone());
        let headers = request.headers_mut();
        let content_type = HeaderValue::try_from(&self.settings.content_type).map_err(SinkError::retry)?;
        headers.insert(CONTENT_TYPE, content_type);
        if self.settings.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.extend(shown);
        *request.body_mut() = Some(body.into());
        if let Some(signer) = &self.signer {
            signer.sign(&mut request).await?;
        }
        match self.client.execute(request).await {
            Ok(answer) => self.judge(answer, &keys).await,
            Err(source) => Err(SinkError::retry(Trouble::NoAnswer { host: host_of(&keys.url), source })),
        }
    }

    async fn judge(&self, answer: Answer, keys: &Keys) -> Result<(), SinkError> {
        let (host, status, after) = (host_of(&keys.url), answer.status, answer.retry_after());
        let advice = match status.as_u16() {
            300..=399 => redirected(&answer, &keys.url),
            401 | 403 => {
                if let Some(signer) = &self.signer {
                    signer.forget().await;
                }
                if let Err(source) = self.keys.renew().await {
                    return Err(SinkError::retry(Trouble::Keys { host, status, source }));
                }
                ": it does not take what it is shown; check `auth`, `secret_headers` and the rights of who they are"
                    .to_owned()
            }
            404 | 405 | 410 => ": check the URL and `method`".to_owned(),
            415 => ": check `content_type` and `compression`".to_owned(),
            407 => ": the proxy asks for a user; `HTTPS_PROXY` may hold one".to_owned(),
            _ => match answer.accepted() {
                Ok(_) => return Ok(()),
                Err(SinkError::Retry { .. }) => String::new(),
                Err(refused) => return Err(refused),
            },
        };
        Err(SinkError::Retry { after, source: Box::new(Trouble::Status { host, status, advice }) })
    }

    /// Asks the endpoint what it allows, which changes nothing there, and shows it no secret but the URL. Many endpoints
    /// know no such question, so any answer will do that does not come from a host that is broken, or from a proxy.
    async fn ask(&self) -> Result<(), SinkError> {
        let keys = self.keys.get();
        let (host, request) = (host_of(&keys.url), Request::new(Method::OPTIONS, keys.url.clone()));
        match self.client.execute(request).await {
            Err(source) => Err(SinkError::retry(Trouble::NoAnswer { host, source })),
            Ok(answer) => match answer.status.as_u16() {
                407 | 500 | 502..=599 => {
                    let advice = ": it cannot be written to now".to_owned();
                    Err(SinkError::retry(Trouble::Status { host, status: answer.status, advice }))
                }
                _ => Ok(()),
            },
        }
    }
}

impl Sink for Http {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.send(batch))
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.ask())
    }
}

/// A redirection is not followed: a request that is sent again elsewhere loses its body, or shows its secrets to others.
fn redirected(answer: &Answer, url: &Url) -> String {
    let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
    match location.and_then(|location| url.join(location).ok()) {
        Some(to) if to.scheme() != url.scheme() => {
            format!(": it redirects to {}://{}, which is not followed; correct the URL", to.scheme(), host_of(&to))
        }
        Some(to) => format!(": it redirects to {}, which is not followed; correct the URL", host_of(&to)),
        None => ": it redirects, which is not followed; correct the URL".to_owned(),
    }
}

/// The host, and the port where it is not the scheme's own.
fn host_of(url: &Url) -> String {
    let host: String = url.host_str().unwrap_or_default().chars().take(253).collect();
    url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_by_its_host_alone() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        assert_eq!(host_of(&url("https://a.example/secret?key=secret")), "a.example");
        assert_eq!(host_of(&url("http://[::1]:8080/secret")), "[::1]:8080");
        for (text, expected) in [
            ("http://localhost:1/", true),
            ("http://127.3.2.1/", true),
            ("http://[::1]/", true),
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
        ] {
            assert_eq!(is_local(&url(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_redirection_says_where_to() {
        let check = |location: Option<&str>, part: &str| {
            let mut answer =
                Answer { status: StatusCode::FOUND, headers: Default::default(), body: Default::default() };
            answer.headers.extend(location.map(|location| (LOCATION, location.parse().unwrap())));
            let found = redirected(&answer, &"http://a.example/token".parse().unwrap());
            assert!(found.contains(part) && !found.contains("token"), "{found}");
        };
        check(Some("https://a.example/token"), "redirects to https://a.example,");
        check(Some("/token/"), "redirects to a.example,");
        check(Some("//b.example/token"), "redirects to b.example,");
        check(Some("http://["), "it redirects, which");
        check(None, "it redirects, which");
    }
}
