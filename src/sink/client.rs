//! The HTTP client of all sinks that send requests of their own: TLS, proxies, time-outs, and what an answer's status
//! means to a sink.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, ClientBuilder, Identity, Method, NoProxy, Proxy, Request, RequestBuilder, StatusCode, Url};

use super::SinkError;
use crate::config::Secret;
use crate::proxies::Proxies;

/// A connection that is not made in this time is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Load balancers close what is idle for a minute; a connection that is about to be closed is not used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// How often an HTTP/2 connection is asked whether it still works, and how long it has to answer: one that is dead would
/// otherwise take every request until the system gives it up.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes of an answer that are read: a bulk request's answer has a few hundred for each of thousands of items.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// How requests are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a request may take, its answer included.
    pub timeout: Duration,
    /// The proxy; none leaves it to the environment, see [`Proxies`].
    pub proxy: Option<String>,
    /// Certificates (PEM) that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// This client's certificate and its chain (PEM).
    pub client_certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub client_key: Option<Secret>,
}

impl Default for Settings {
    fn default() -> Self {
        let timeout = Duration::from_secs(30);
        Self { timeout, proxy: None, ca_file: None, client_certificate: None, client_key: None }
    }
}

/// Sends requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    inner: reqwest::Client,
}

/// An answer.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to a limit. It may quote what was sent: it is never logged.
    pub body: Bytes,
}

/// Why a request has no answer, or none that is of use. Never quotes a header or a body.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer came.
    #[error("the request was not answered")]
    NotAnswered(#[source] reqwest::Error),
    /// The destination's certificate is none that is trusted, or none for its name.
    #[error("the destination's certificate is not accepted; set `ca_file` if it is signed by a CA of your own")]
    Certificate(#[source] reqwest::Error),
    /// The answer is one that may change.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// The answer is too large.
    #[error("the answer has more than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
}

impl Client {
    /// A client by these settings.
    ///
    /// # Errors
    /// A file that cannot be read or holds no certificate or key, or a proxy that is no URL.
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        Self::through(settings, &Proxies::from_env())
    }

    /// A client that takes these proxies instead of the environment's.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub fn through(settings: &Settings, proxies: &Proxies) -> anyhow::Result<Self> {
        Ok(Self { inner: Self::adapted(settings, proxies, |builder| builder)? })
    }

    /// The library's own client, with what `adapt` adds to it.
    pub(super) fn adapted(
        settings: &Settings,
        proxies: &Proxies,
        adapt: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> anyhow::Result<reqwest::Client> {
        // Whoever was first has set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if let Ok(client) = adapt(Self::builder(settings, proxies)?).build() {
            return Ok(client);
        }
        // What has failed is nothing of the settings, which were read: there are no certificates to trust.
        let client = adapt(Self::builder(settings, proxies)?.tls_certs_only([])).build();
        let client = client.context("the HTTP client cannot be made")?;
        tracing::warn!(
            "no certificates are trusted, only http:// works: install ca-certificates, or set SSL_CERT_FILE"
        );
        Ok(client)
    }

    fn builder(settings: &Settings, proxies: &Proxies) -> anyhow::Result<ClientBuilder> {
        let mut builder = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("bedrock-tap/", env!("CARGO_PKG_VERSION")));
        for proxy in used(settings.proxy.as_deref(), proxies)? {
            builder = builder.proxy(proxy);
        }
        if let Some(path) = &settings.ca_file {
            let pem = std::fs::read(path).with_context(|| format!("`ca_file`: cannot read {}", path.display()))?;
            let certificates = Certificate::from_pem_bundle(&pem).ok().filter(|certificates| !certificates.is_empty());
            let certificates =
                certificates.with_context(|| format!("`ca_file`: {} holds no certificate in PEM", path.display()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        if let (Some(path), Some(key)) = (&settings.client_certificate, &settings.client_key) {
            let read = std::fs::read(path);
            let mut pem = read.with_context(|| format!("`client_certificate`: cannot read {}", path.display()))?;
            pem.push(b'\n');
            pem.extend(key.read().context("`client_key`")?);
            let identity = Identity::from_pem(&pem);
            // The library's error may quote the key.
            let identity =
                identity.ok().context("`client_certificate` and `client_key` are no certificate and key in PEM")?;
            builder = builder.identity(identity);
        }
        Ok(builder)
    }

    /// Begins a request.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.inner.request(method, url)
    }

    /// Sends a request and reads its answer, whatever its status.
    ///
    /// # Errors
    /// No answer, or one that is too large.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, CallError> {
        self.execute(request.build().map_err(CallError::not_answered)?).await
    }

    /// Sends a request that is complete, as [`Client::send`] does.
    ///
    /// # Errors
    /// No answer, or one that is too large.
    pub async fn execute(&self, request: Request) -> Result<Answer, CallError> {
        let not_answered = CallError::not_answered;
        let mut response = self.inner.execute(request).await.map_err(not_answered)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(not_answered)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(CallError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }
}

/// The proxies that are used: the one of the settings for everything, else those of the environment.
fn used(proxy: Option<&str>, proxies: &Proxies) -> anyhow::Result<Vec<Proxy>> {
    if let Some(proxy) = proxy {
        // The library's error shows the URL.
        return Ok(vec![Proxy::all(proxy).ok().context("`proxy` is no URL")?]);
    }
    let direct = || NoProxy::from_string(&proxies.direct);
    let of = |made: reqwest::Result<Proxy>, variable: &'static str| {
        // The library's error shows the URL, which may hold a password.
        made.ok().map(|proxy| proxy.no_proxy(direct())).with_context(|| format!("{variable} is no URL"))
    };
    let https = proxies.https.as_ref().map(|url| of(Proxy::https(url), "HTTPS_PROXY"));
    let http = proxies.http.as_ref().map(|url| of(Proxy::http(url), "HTTP_PROXY"));
    https.into_iter().chain(http).collect()
}

impl CallError {
    fn not_answered(error: reqwest::Error) -> Self {
        // The URL may hold a token.
        let error = error.without_url();
        if is_of_certificate(&error) { Self::Certificate(error) } else { Self::NotAnswered(error) }
    }
}

/// Whether the cause is a certificate of the other side that was not accepted.
fn is_of_certificate(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // An I/O error passes over the error that it is made of when it is asked for its source.
        let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    false
}

impl fmt::Debug for Answer {
    /// Headers and body may quote what was sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("body_bytes", &self.body.len()).finish()
    }
}

impl Answer {
    /// How long the destination asked to be left alone: seconds, or a date.
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(text).ok()?;
        Duration::try_from(date.timestamp().duration_since(Timestamp::now())).ok()
    }

    /// What the status means where nothing else is known of the answer: 2xx is taken. 400, 413 and 422 refuse what was
    /// sent. Everything else may change: a destination that is busy or broken comes back; a token, a right, a URL, a media
    /// type or a header, which are the same for all items, are mended by a person, and until then a required sink holds
    /// what it has.
    ///
    /// # Errors
    /// [`SinkError::Refused`] or [`SinkError::Retry`].
    pub fn accepted(self) -> Result<Self, SinkError> {
        match self.status.as_u16() {
            200..=299 => Ok(self),
            400 | 413 | 422 => Err(SinkError::Refused { answer: self.quoted() }),
            _ => Err(self.retry()),
        }
    }

    /// This answer as one that may change.
    pub fn retry(&self) -> SinkError {
        SinkError::Retry { after: self.retry_after(), source: Box::new(CallError::Status(self.status)) }
    }

    /// The status and the beginning of the body, for the dead letter only.
    pub fn quoted(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text = super::quoted(text.trim());
        if text.is_empty() { self.status.to_string() } else { format!("{}: {text}", self.status) }
    }
}

impl From<CallError> for SinkError {
    fn from(error: CallError) -> Self {
        let source: Box<dyn Error + Send + Sync> = Box::new(error);
        Self::Retry { after: None, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, text.parse().unwrap());
        }
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn a_status_says_what_to_do() {
        let check = |status: u16, expected: &str| {
            let found = match answer(status, None, " bad field\n").accepted() {
                Ok(_) => "taken".to_owned(),
                Err(SinkError::Refused { answer }) => format!("refused: {answer}"),
                Err(SinkError::Retry { after: None, source }) => format!("retry: {source}"),
                Err(error) => format!("{error:?}"),
            };
            assert_eq!(found, expected);
        };
        check(200, "taken");
        check(204, "taken");
        check(400, "refused: 400 Bad Request: bad field");
        check(413, "refused: 413 Payload Too Large: bad field");
        for status in [301, 401, 403, 404, 405, 408, 409, 414, 415, 425, 429, 431, 500, 502, 503, 504] {
            check(status, &format!("retry: the answer is {}", StatusCode::from_u16(status).unwrap()));
        }
    }

    #[test]
    fn a_destination_may_ask_for_time() {
        let asked = |text: &str| answer(429, Some(text), "").retry_after();
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("soon"), None);
        assert_eq!(asked("-1"), None);
        assert_eq!(asked("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert!(asked("Thu, 01 Jan 2099 00:00:00 GMT").is_some_and(|asked| asked > Duration::from_secs(1 << 30)));
        assert_eq!(answer(429, None, "").retry_after(), None);
    }

    #[test]
    fn what_is_quoted_is_short() {
        assert_eq!(format!("{:?}", answer(400, Some("secret"), "secret")), "Answer { status: 400, body_bytes: 6 }");
        assert_eq!(answer(400, None, "").quoted(), "400 Bad Request");
        assert_eq!(
            answer(400, None, &"x".repeat(9999)).quoted().len(),
            "400 Bad Request: ".len() + crate::sink::MAX_QUOTED
        );
    }
}
