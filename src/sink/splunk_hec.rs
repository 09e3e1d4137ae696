//! Splunk's HTTP Event Collector as a sink: a request holds a batch, and where the token has indexer acknowledgement the
//! batch counts as durable once the indexers have said so.
//!
//! Delivery is at least once. What is sent again because an answer or an acknowledgement got lost may be there twice; in
//! events the field `event_id` tells the doubles. Sources of all that is said of the collector here and below: Splunk's
//! "Getting Data In", chapters "Format events for HTTP Event Collector", "About HTTP Event Collector Indexer
//! Acknowledgment" and "Troubleshoot HTTP Event Collector", and the REST API reference, "services/collector".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::answer::{Problem, Told};
use self::body::Envelope;
use super::aside::aside;
use super::client::{self, Answer, Client};
use super::shown::Shown;
use super::{Batch, Opening, Sink, SinkError};
use crate::config::Secret;
use crate::source::BoxFuture;

mod answer;
mod body;
mod channel;

/// The header that names the channel.
const CHANNEL: &str = "X-Splunk-Request-Channel";

/// The first pause before the collector is asked for an acknowledgement: an idle indexer needs less than a second.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause between two such questions, which cost the collector next to nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where the collector takes items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Each item is an event with its time, its metadata and the field `event_id`.
    #[default]
    Event,
    /// Each item is a line of text, which Splunk breaks into events by the source type.
    Raw,
}

/// Whether a batch waits for the indexers' acknowledgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Acknowledge {
    /// Where the token has it.
    #[default]
    Auto,
    /// It does; nothing is sent with a token that does not have it.
    Always,
    /// It does not.
    Never,
}

/// How the collector is reached, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Scheme, host and port.
    pub url: String,
    /// The token.
    pub token: Secret,
    /// Where it takes items.
    pub endpoint: Endpoint,
    /// Whether batches wait for an acknowledgement.
    pub acknowledge: Acknowledge,
    /// How long a batch waits for it before it is sent again.
    pub acknowledge_timeout: Duration,
    /// The index; none is the token's.
    pub index: Option<String>,
    /// The events' source; none is the token's.
    pub source: Option<String>,
    /// The events' source type.
    pub source_type: String,
    /// The events' host; none is the collector's.
    pub host: Option<String>,
    /// Whether items are text and not JSON.
    pub text: bool,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// How requests are sent.
    pub client: client::Settings,
}

impl Settings {
    /// The bytes that each item takes in a request beside its own.
    pub fn item_overhead_bytes(&self) -> usize {
        Envelope::new(self).overhead_bytes()
    }
}

/// Opens the collector: reads the token and what TLS needs. Nothing is sent.
pub fn opening(settings: Settings) -> Opening {
    super::opening(async { SplunkHec::new(settings) })
}

/// Delivers to one collector.
#[derive(Debug)]
struct SplunkHec {
    client: Client,
    /// The value of the header `Authorization`.
    token: Shown<HeaderValue>,
    envelope: Arc<Envelope>,
    acknowledge: Acknowledge,
    acknowledge_timeout: Duration,
    index: Option<String>,
    /// Where items go.
    items: Url,
    content_type: &'static str,
    acks: Url,
    health: Url,
    /// Acknowledgements are counted by channel. It is sent in any case: a token that has them refuses requests without.
    channel: String,
    /// Whether the token is known to have acknowledgements.
    has_acks: AtomicBool,
}

impl SplunkHec {
    fn new(settings: Settings) -> anyhow::Result<Self> {
        let base = Url::parse(&settings.url).context("`url` is not valid")?;
        let at = |path: &str| {
            let mut url = base.clone();
            url.set_path(path);
            url
        };
        let (items, content_type) = match settings.endpoint {
            Endpoint::Event => (at("/services/collector/event"), "application/json"),
            Endpoint::Raw => {
                let mut url = at("/services/collector/raw");
                url.query_pairs_mut().extend_pairs(body::metadata(&settings));
                (url, "text/plain; charset=utf-8")
            }
        };
        let token = settings.token.clone();
        Ok(Self {
            client: Client::new(&settings.client)?,
            token: Shown::new(move || authorization(&token).context("`token`"))?,
            envelope: Arc::new(Envelope::new(&settings)),
            acknowledge: settings.acknowledge,
            acknowledge_timeout: settings.acknowledge_timeout,
            index: settings.index,
            items,
            content_type,
            acks: at("/services/collector/ack"),
            health: at("/services/collector/health"),
            channel: channel::new(),
            has_acks: AtomicBool::new(false),
        })
    }

    async fn send(&self, batch: Arc<Batch>) -> Result<(), SinkError> {
        let count = batch.total_items();
        if count == 0 {
            return Ok(());
        }
        if self.acknowledge == Acknowledge::Always && !self.has_acks.load(Ordering::Relaxed) {
            // Without this, a token that lacks them would take the same batch at each try.
            self.check_acks().await?;
        }
        let envelope = Arc::clone(&self.envelope);
        let body = aside(move || envelope.encode(&batch)).await?;
        let mut request = self.post(&self.items, &self.channel).header(CONTENT_TYPE, self.content_type);
        if self.envelope.is_gzip() {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let answer = self.ask(request.body(body)).await?;
        let ack_id = answer::taken(&answer, count, self.index.as_deref())?;
        self.has_acks.store(ack_id.is_some(), Ordering::Relaxed);
        match (self.acknowledge, ack_id) {
            (Acknowledge::Never, _) | (Acknowledge::Auto, None) => Ok(()),
            (Acknowledge::Always, None) => Err(SinkError::retry(Problem::NoAcks)),
            (_, Some(id)) => self.acknowledged(id, cookies(&answer.headers)).await,
        }
    }

    /// Waits until the indexers have what was sent. Whatever goes wrong with a question is no reason to send again what the
    /// collector has taken, so only the time ends the wait.
    async fn acknowledged(&self, id: u64, cookies: Option<HeaderValue>) -> Result<(), SinkError> {
        let deadline = Instant::now() + self.acknowledge_timeout;
        let (mut pause, mut last) = (FIRST_PAUSE, None);
        while Instant::now() < deadline {
            tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let mut request = self.post(&self.acks, &self.channel).header(CONTENT_TYPE, "application/json");
            if let Some(cookies) = &cookies {
                request = request.header(COOKIE, cookies);
            }
            match self.ask(request.body(format!("{{\"acks\":[{id}]}}"))).await {
                Ok(answer) if answer::has_ack(&answer, id) => return Ok(()),
                Ok(answer) if answer.status == StatusCode::OK => last = None,
                Ok(answer) => {
                    pause = pause.max(answer.retry_after().unwrap_or_default()).min(self.acknowledge_timeout);
                    last = Some(Problem::of(&answer, None));
                }
                Err(SinkError::Retry { source, .. }) => last = Some(Problem::Other(source)),
                Err(error) => return Err(error),
            }
        }
        let seconds = self.acknowledge_timeout.as_secs();
        Err(SinkError::retry(Problem::NotAcknowledged { seconds, last: last.map(Box::new) }))
    }

    /// Asks whether the token has acknowledgements, in a channel of its own: an acknowledgement that was told is forgotten.
    /// Only a plain no is one.
    async fn check_acks(&self) -> Result<(), SinkError> {
        let channel = channel::new();
        let request = self.post(&self.acks, &channel).header(CONTENT_TYPE, "application/json");
        let answer = self.ask(request.body("{\"acks\":[0]}")).await?;
        if Told::of(&answer.body).code == Some(answer::ACKS_DISABLED) {
            return Err(SinkError::retry(Problem::NoAcks));
        }
        Ok(())
    }

    fn post(&self, url: &Url, channel: &str) -> RequestBuilder {
        let request = self.client.request(Method::POST, url.clone());
        request.header(AUTHORIZATION, &*self.token.get()).header(CHANNEL, channel)
    }

    /// Sends a request. If the answer is that the token is not good, it is read again for the next one: it may have been
    /// replaced.
    async fn ask(&self, request: RequestBuilder) -> Result<Answer, SinkError> {
        let answer = self.client.send(request).await?;
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            self.token.renew().await.map_err(SinkError::retry)?;
        }
        Ok(answer)
    }

    /// Asks for the collector's health, then whether it knows the token: a request without data is refused for just that.
    /// Whether the token may write to the index is only known once something is written.
    async fn check(&self) -> Result<(), SinkError> {
        let request = self.client.request(Method::GET, self.health.clone());
        let answer = self.ask(request).await?;
        if answer.status != StatusCode::OK {
            return Err(SinkError::retry(Problem::of(&answer, None)));
        }
        let request = self.post(&self.items, &self.channel).header(CONTENT_TYPE, self.content_type);
        let answer = self.ask(request.body("")).await?;
        if Told::of(&answer.body).code != Some(answer::NO_DATA) {
            return Err(SinkError::retry(Problem::of(&answer, self.index.as_deref())));
        }
        if self.acknowledge == Acknowledge::Always { self.check_acks().await } else { Ok(()) }
    }
}

impl Sink for SplunkHec {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.send(batch))
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.check())
    }
}

/// The header that shows the token.
fn authorization(token: &Secret) -> anyhow::Result<HeaderValue> {
    let value = [b"Splunk ".as_slice(), &token.read()?].concat();
    // The library's error has no more to say.
    let value = HeaderValue::from_bytes(&value).ok();
    let mut value = value.with_context(|| format!("{token} holds a character that no token has"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The cookies that an answer sets. A load balancer tells by them which indexer took a request; only that one can say
/// whether it is acknowledged.
fn cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut cookies = Vec::new();
    for set in headers.get_all(SET_COOKIE) {
        if !cookies.is_empty() {
            cookies.extend_from_slice(b"; ");
        }
        cookies.extend(set.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default());
    }
    HeaderValue::from_bytes(&cookies).ok().filter(|cookies| !cookies.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn settings() -> Settings {
        Settings {
            url: "http://127.0.0.1:1".to_owned(),
            token: Secret::Env("NONE".to_owned()),
            endpoint: Endpoint::Event,
            acknowledge: Acknowledge::Auto,
            acknowledge_timeout: Duration::from_secs(60),
            index: None,
            source: None,
            source_type: "t".to_owned(),
            host: None,
            text: false,
            gzip: false,
            client: client::Settings::default(),
        }
    }

    #[test]
    fn cookies_lead_back_to_the_indexer() {
        let check = |set: &[&str], expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            for set in set {
                headers.append(SET_COOKIE, set.parse().unwrap());
            }
            assert_eq!(cookies(&headers).as_ref().map(|cookies| cookies.to_str().unwrap()), expected);
        };
        check(&[], None);
        check(&[""], None);
        check(&["AWSALB=a/b+c; Expires=Sun, 01 Feb 2026 00:00:00 GMT; Path=/", "b=2"], Some("AWSALB=a/b+c; b=2"));
    }
}
