//! OTLP over HTTP: one request a batch, in Protobuf or JSON.

use prost::Message as _;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};

use super::answer::{self, Status, Unwilling};
use super::message::Exported;
use super::sender::Signal;
use crate::sink::SinkError;
use crate::sink::client::{Answer, Client};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Where requests go.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    url: Url,
    /// Those that do not depend on the settings' own.
    headers: HeaderMap,
    signal: &'static Signal,
}

impl Http {
    /// Requests to `url`, to which the signal's path is added where it has none of its own.
    pub(super) fn new(client: Client, mut url: Url, json: bool, gzip: bool, signal: &'static Signal) -> Self {
        let mut headers = HeaderMap::new();
        if url.path() == "/" {
            url.set_path(signal.path);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(if json { JSON } else { PROTOBUF }));
        if gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Self { client, url, headers, signal }
    }

    /// Sends a request of `sent` records.
    pub(super) async fn export(&self, headers: &HeaderMap, body: Vec<u8>, sent: usize) -> Result<(), SinkError> {
        let request = self.client.request(Method::POST, self.url.clone()).headers(headers.clone());
        let request = request.headers(self.headers.clone()).body(body);
        let answer = self.client.send(request).await?;
        let advice = match answer.status.as_u16() {
            200..=299 => return answer::taken(exported(&answer)?, sent, self.signal.items),
            // What a person mends, whatever the records are.
            300..=399 => "; redirects are not followed, so `url` has to be where they lead",
            401 | 403 => answer::ACCESS_ADVICE,
            404 | 405 => self.signal.path_advice,
            415 => "; see whether it takes this `protocol` and this `compression`",
            400 | 413 | 422 => return Err(SinkError::Refused { answer: quoted(&answer) }),
            _ => "",
        };
        Err(Unwilling::retry(answer.status.to_string(), advice, answer.retry_after()))
    }
}

fn is_json(answer: &Answer) -> bool {
    let kind = answer.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.starts_with(JSON.as_bytes())
}

/// What the body of a success says. Something else than a collector may answer with success too, such as the page of a
/// proxy: what is not a collector's answer says nothing of the records. An empty body is a whole answer in Protobuf.
fn exported(answer: &Answer) -> Result<Exported, SinkError> {
    let advice = "; see whether `url` is that of a collector";
    let strange = || Unwilling::retry(format!("{}, but none of OTLP", answer.status), advice, None);
    if is_json(answer) && !answer.body.is_empty() {
        // An array would do for a struct.
        let is_object = answer.body.trim_ascii_start().starts_with(b"{");
        return serde_json::from_slice(&answer.body).ok().filter(|_| is_object).ok_or_else(strange);
    }
    Exported::decode(answer.body.clone()).map_err(|_| strange())
}

/// The collector's message of a refusal, for the dead letter only.
fn quoted(answer: &Answer) -> String {
    let status = if is_json(answer) {
        serde_json::from_slice::<Status>(&answer.body).ok()
    } else {
        Status::decode(answer.body.clone()).ok()
    };
    match status.filter(|status| !status.message.is_empty()) {
        Some(status) => answer::quoted(&answer.status.to_string(), &status.message),
        None => answer.quoted(),
    }
}
