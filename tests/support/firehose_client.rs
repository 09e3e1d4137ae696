//! A client that delivers as Amazon Data Firehose does: the same request again and again, later each time, until the
//! endpoint says 200 and says it well. Source: the Firehose developer guide, "Understand HTTP endpoint delivery request and
//! response specifications" and "Handle data delivery failures".

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Response, StatusCode, redirect};
use serde_json::{Value, json};

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// When it tries again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The first pause; each is twice the one before.
    pub(crate) first: Duration,
    /// The longest pause.
    pub(crate) most: Duration,
    /// How long an answer may take.
    pub(crate) answer: Duration,
    /// How long it tries.
    pub(crate) duration: Duration,
}

impl Pace {
    /// Firehose's own are 1 s, 120 s, 180 s and up to 7200 s; these are some hundred times as fast.
    pub(crate) const FAST: Self = Self {
        first: Duration::from_millis(10),
        most: Duration::from_millis(200),
        answer: Duration::from_secs(20),
        duration: Duration::from_secs(60),
    };
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was taken, at this attempt.
    Delivered(usize),
    /// The endpoint said 413: it is gone.
    Lost,
    /// It was never taken, and went to the backup; why not at last.
    BackedUp(String),
}

/// What one attempt came to.
#[derive(Debug)]
pub(crate) enum Verdict {
    Taken,
    Gone,
    Again(String),
}

/// The client.
#[derive(Debug)]
pub(crate) struct FirehoseClient {
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) gzip: bool,
    pub(crate) pace: Pace,
    http: Client,
    random: AtomicU64,
}

pub(crate) const SOURCE: &str = "arn:aws:firehose:eu-central-1:123456789012:deliverystream/bedrock";

impl FirehoseClient {
    pub(crate) fn new(address: SocketAddr, key: &str) -> Self {
        Self::over(Client::builder(), format!("http://{address}/"), key)
    }

    pub(crate) fn over(http: reqwest::ClientBuilder, url: String, key: &str) -> Self {
        // The provider is the process's own; whoever comes second finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = http.redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Self { url, key: key.to_owned(), gzip: false, pace: Pace::FAST, http, random: AtomicU64::new(1) }
    }

    /// Delivers records as one request.
    pub(crate) async fn send(&self, id: &str, records: &[impl AsRef<[u8]>]) -> Sent {
        let (begin, mut pause) = (Instant::now(), self.pace.first);
        for attempt in 1.. {
            let why = match self.attempt(id, body(id, records)).await {
                Verdict::Taken => return Sent::Delivered(attempt),
                Verdict::Gone => return Sent::Lost,
                Verdict::Again(why) => why,
            };
            if begin.elapsed() >= self.pace.duration {
                return Sent::BackedUp(why);
            }
            tokio::time::sleep(pause.mul_f64(self.jitter())).await;
            pause = (pause * 2).min(self.pace.most);
        }
        unreachable!()
    }

    /// From 0.85 to 1.15.
    fn jitter(&self) -> f64 {
        let step = |state: u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let state = self.random.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap();
        0.85 + 0.3 * (state >> 40) as f64 / f64::from(1 << 24)
    }

    /// Posts a body once, and judges the answer.
    pub(crate) async fn attempt(&self, id: &str, body: Vec<u8>) -> Verdict {
        let answer = async {
            let response = self.post(id, body).await.map_err(|error| format!("{error:?}"))?;
            judge(id, response).await
        };
        match tokio::time::timeout(self.pace.answer, answer).await {
            Err(_) => Verdict::Again("no answer in time".into()),
            Ok(Err(why)) => Verdict::Again(why),
            Ok(Ok(true)) => Verdict::Taken,
            Ok(Ok(false)) => Verdict::Gone,
        }
    }

    /// Posts a body once.
    pub(crate) async fn post(&self, id: &str, body: Vec<u8>) -> reqwest::Result<Response> {
        let mut request = self
            .http
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("User-Agent", "Amazon Kinesis Data Firehose Agent/1.0")
            .header("X-Amz-Firehose-Protocol-Version", "1.0")
            .header("X-Amz-Firehose-Request-Id", id)
            .header("X-Amz-Firehose-Source-Arn", SOURCE)
            .header("X-Amz-Firehose-Access-Key", &self.key)
            .header("X-Amz-Firehose-Common-Attributes", r#"{"commonAttributes":{"team":"ml"}}"#);
        let body = if self.gzip {
            request = request.header("Content-Encoding", "gzip");
            gzipped(&body)
        } else {
            body
        };
        request.body(body).send().await
    }
}

/// Whether the answer is the success that the protocol asks for; 413 is the one that is final.
async fn judge(id: &str, response: Response) -> Result<bool, String> {
    let status = response.status();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return Ok(false);
    }
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (length, encoding, kind) = (header("content-length"), header("content-encoding"), header("content-type"));
    let text = response.bytes().await.map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_slice(&text).map_err(|error| format!("{status}, no JSON: {error}"))?;
    if status != StatusCode::OK {
        return Err(format!("{status}: {}", value["errorMessage"]));
    }
    let right = length == Some(text.len().to_string())
        && text.len() <= MAX_ANSWER_BYTES
        && encoding.is_none()
        && kind.is_some_and(|kind| kind == "application/json")
        && value["requestId"] == id
        && value["timestamp"].is_u64();
    if right { Ok(true) } else { Err(format!("200, but not as the protocol says: {value}")) }
}

/// The body of a request with these records.
pub(crate) fn body(id: &str, records: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let records: Vec<Value> = records.iter().map(|data| json!({ "data": STANDARD.encode(data) })).collect();
    json!({ "requestId": id, "timestamp": 1_791_331_200_000_u64, "records": records }).to_string().into_bytes()
}

pub(crate) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
