//! OTLP over gRPC: one unary call a batch, over HTTP/2 (source: "gRPC over HTTP2" of the gRPC project).

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TE};
use reqwest::{Body, StatusCode, Url};

use super::answer::{self, Status, Unwilling};
use super::message::Exported;
use super::sender::Signal;
use crate::proxies::Proxies;
use crate::sink::SinkError;
use crate::sink::client::{Answer, CallError, Client, Settings};

/// The flag and the length before each message.
const PREFIX_BYTES: usize = 5;

/// The bytes of an answer that are read: what gRPC's own clients take.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Where calls go.
#[derive(Debug)]
pub(super) struct Grpc {
    client: reqwest::Client,
    url: Url,
    /// Those that do not depend on the settings' own.
    headers: HeaderMap,
    gzip: bool,
    signal: &'static Signal,
}

impl Grpc {
    /// Calls to the service at `url`.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub(super) fn new(settings: &Settings, mut url: Url, gzip: bool, signal: &'static Signal) -> anyhow::Result<Self> {
        // A proxy makes tunnels for TLS alone; it does not forward HTTP/2.
        let is_plain = url.scheme() == "http";
        let client = Client::adapted(settings, &Proxies::from_env(), |builder| {
            let builder = builder.http2_prior_knowledge();
            if is_plain { builder.no_proxy() } else { builder }
        })?;
        url.set_path(signal.call);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (CONTENT_TYPE, "application/grpc"),
            (TE, "trailers"),
            (HeaderName::from_static("grpc-accept-encoding"), "identity"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if gzip {
            headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
        }
        let timeout = HeaderValue::try_from(format!("{}m", settings.timeout.as_millis())).context("`timeout`")?;
        headers.insert("grpc-timeout", timeout);
        Ok(Self { client, url, headers, gzip, signal })
    }

    /// Sends a message of `sent` records.
    pub(super) async fn export(&self, headers: &HeaderMap, message: &[u8], sent: usize) -> Result<(), SinkError> {
        let length = u32::try_from(message.len()).map_err(SinkError::retry)?;
        let mut body = Vec::with_capacity(PREFIX_BYTES + message.len());
        body.push(u8::from(self.gzip));
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(message);
        let request = self.client.post(self.url.clone()).headers(headers.clone());
        let request = request.headers(self.headers.clone()).body(body);
        let not_answered = |error: reqwest::Error| CallError::NotAnswered(error.without_url());
        let mut response = request.send().await.map_err(not_answered)?;
        let (status, mut headers) = (response.status(), std::mem::take(response.headers_mut()));
        let (mut answer, mut body) = (BytesMut::new(), Body::from(response));
        // The status stands behind the message, or among the headers where there is none.
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(not_answered)?;
            match frame.into_data() {
                Ok(data) if answer.len() + data.len() > MAX_ANSWER_BYTES => {
                    return Err(Unwilling::retry("too large", "", None));
                }
                Ok(data) => answer.extend_from_slice(&data),
                Err(frame) => headers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        match code(&headers) {
            Some(0) => answer::taken(exported(&answer)?, sent, self.signal.items),
            Some(code) => Err(failure(code, &headers, self.signal)),
            None => Err(without_code(Answer { status, headers, body: answer.freeze() })),
        }
    }
}

fn code(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// The message of an answer.
fn exported(answer: &[u8]) -> Result<Exported, SinkError> {
    let strange = || Unwilling::retry("OK, but none of OTLP", "; see whether `url` is that of a collector", None);
    let (prefix, message) = answer.split_at_checked(PREFIX_BYTES).ok_or_else(strange)?;
    if prefix[0] != 0 {
        return Err(strange());
    }
    Exported::decode(message).map_err(|_| strange())
}

/// What a status other than OK means.
fn failure(code: u16, headers: &HeaderMap, signal: &Signal) -> SinkError {
    let name = name(code);
    let status = details(headers).unwrap_or_default();
    let message = if status.message.is_empty() { plain_message(headers) } else { status.message.clone() };
    let advice = match code {
        3 => return SinkError::Refused { answer: answer::quoted(name, &message) },
        8 | 11 if is_too_large(&message) => return SinkError::Refused { answer: answer::quoted(name, &message) },
        7 | 16 => answer::ACCESS_ADVICE,
        5 | 12 => signal.service_advice,
        _ => "",
    };
    Unwilling::retry(name, advice, status.retry_delay())
}

/// Whether the call failed for its size: the libraries of gRPC have no code for that and say it in words (grpc-go and
/// gRPC core "received message larger than max", gRPC for Java "gRPC message exceeds maximum size", for .NET "received
/// message exceeds the maximum configured message size", tonic "decoded message length too large").
fn is_too_large(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["larger than max", "exceeds maximum size", "exceeds the maximum", "too large"]
        .iter()
        .any(|words| message.contains("message") && message.contains(words))
}

/// What an answer without gRPC's status means: it comes from something before the collector.
fn without_code(answer: Answer) -> SinkError {
    match answer.status {
        StatusCode::PAYLOAD_TOO_LARGE => SinkError::Refused { answer: answer.quoted() },
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            Unwilling::retry(status.to_string(), answer::ACCESS_ADVICE, answer.retry_after())
        }
        status => {
            let advice = ", but none of gRPC; see whether `url` is that of a collector, and `protocol` its own";
            Unwilling::retry(status.to_string(), advice, answer.retry_after())
        }
    }
}

/// `grpc-status-details-bin`, which holds what `grpc-message` says and more.
fn details(headers: &HeaderMap) -> Option<Status> {
    // Padding may be left out.
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    let bytes = engine.decode(headers.get("grpc-status-details-bin")?.as_bytes()).ok()?;
    Status::decode(bytes.as_slice()).ok()
}

/// `grpc-message`, with its percent-encoding resolved.
fn plain_message(headers: &HeaderMap) -> String {
    let mut rest = headers.get("grpc-message").map(HeaderValue::as_bytes).unwrap_or_default();
    let mut text = Vec::with_capacity(rest.len());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                text.push(byte);
                rest = &after[2..];
            }
            None => {
                text.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The code's name (source: gRPC's "Status codes and their use").
fn name(code: u16) -> &'static str {
    match code {
        1 => "CANCELLED",
        2 => "UNKNOWN",
        3 => "INVALID_ARGUMENT",
        4 => "DEADLINE_EXCEEDED",
        5 => "NOT_FOUND",
        6 => "ALREADY_EXISTS",
        7 => "PERMISSION_DENIED",
        8 => "RESOURCE_EXHAUSTED",
        9 => "FAILED_PRECONDITION",
        10 => "ABORTED",
        11 => "OUT_OF_RANGE",
        12 => "UNIMPLEMENTED",
        13 => "INTERNAL",
        14 => "UNAVAILABLE",
        15 => "DATA_LOSS",
        16 => "UNAUTHENTICATED",
        _ => "a status that gRPC does not have",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(error: &SinkError) -> String {
        match error {
            SinkError::Retry { after, source } => format!("retry {after:?}: {source}"),
            SinkError::Refused { answer } => format!("refused: {answer}"),
            other => format!("{other:?}"),
        }
    }

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_message_of_success_is_read() {
        let check = |answer: &[u8], expected: Result<i64, &str>| {
            let found = exported(answer).map(|exported| exported.partial_success.map_or(0, |p| p.rejected));
            assert_eq!(
                found.map_err(|error| shown(&error).split(';').next().unwrap().to_owned()),
                expected.map_err(str::to_owned)
            );
        };
        const STRANGE: &str = "retry None: the answer is OK, but none of OTLP";
        check(&[0, 0, 0, 0, 0], Ok(0));
        check(&[0, 0, 0, 0, 4, 10, 2, 8, 7], Ok(7));
        check(b"", Err(STRANGE));
        check(&[0, 0, 0, 0], Err(STRANGE));
        check(&[1, 0, 0, 0, 0], Err(STRANGE));
        check(b"\0\0\0\0\0<html>", Err(STRANGE));
        check(&[0, 255, 255, 255, 255, 10, 255, 255, 255, 255, 15], Err(STRANGE));
    }

    #[test]
    fn a_failure_says_what_to_do() {
        let check = |list: &[(&'static str, &str)], expected: &str| {
            let headers = headers(list);
            assert_eq!(shown(&failure(code(&headers).unwrap(), &headers, super::super::sender::LOGS)), expected);
        };
        check(&[("grpc-status", "14"), ("grpc-message", "secret words")], "retry None: the answer is UNAVAILABLE");
        check(
            &[("grpc-status", "3"), ("grpc-message", "bad%20time: %e2%82%ac%zz%")],
            "refused: INVALID_ARGUMENT: bad time: €%zz%",
        );
        check(&[("grpc-status", "3")], "refused: INVALID_ARGUMENT");
        check(&[("grpc-status", "999")], "retry None: the answer is a status that gRPC does not have");
        check(
            &[("grpc-status", "8"), ("grpc-message", "quota is used up")],
            "retry None: the answer is RESOURCE_EXHAUSTED",
        );
        for words in [
            "grpc: received message larger than max (5000000 vs. 4194304)",
            "gRPC message exceeds maximum size 4194304: 5000000",
            "Received message exceeds the maximum configured message size.",
        ] {
            check(&[("grpc-status", "8"), ("grpc-message", words)], &format!("refused: RESOURCE_EXHAUSTED: {words}"));
        }
        // A status with the message `m` and a RetryInfo of 2 s, with padding and without; then details that are none.
        let details = "CAgSAW0aMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIAg==";
        let after = "retry Some(2s): the answer is RESOURCE_EXHAUSTED";
        check(&[("grpc-status", "8"), ("grpc-status-details-bin", details)], after);
        check(&[("grpc-status", "8"), ("grpc-status-details-bin", details.trim_end_matches('='))], after);
        for details in ["", "!", "/////w"] {
            let list = [("grpc-status", "8"), ("grpc-status-details-bin", details)];
            check(&list, "retry None: the answer is RESOURCE_EXHAUSTED");
        }
        assert_eq!([code(&headers(&[("grpc-status", "x")])), code(&headers(&[("grpc-status", "-1")]))], [None, None]);
    }
}
