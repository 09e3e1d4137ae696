//! Answers: what Firehose is told. Only 200 is success; all else is tried again, but for 413, which is therefore never
//! said: Firehose would drop the records without a backup.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use tracing::warn;

/// The pause between two warnings of one kind: a flood of requests is not to be one of the log.
const WARN_INTERVAL: Duration = Duration::from_secs(30);

/// Why a request is not answered with 200. The message quotes nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The status.
    pub(super) status: StatusCode,
    /// What is wrong, which Firehose shows in its error log.
    pub(super) message: &'static str,
    /// Whether the connection ends with it.
    pub(super) closes: bool,
}

impl Refusal {
    /// The request is not what it should be. Firehose tries again, and keeps it in its backup in the end.
    pub(super) const fn malformed(message: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message, closes: false }
    }

    /// The request is too large, so the rest of it is not read.
    pub(super) const fn too_large(message: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message, closes: true }
    }

    /// The body did not come in time.
    pub(super) const fn slow(message: &'static str) -> Self {
        Self { status: StatusCode::REQUEST_TIMEOUT, message, closes: true }
    }

    /// It is to come again later. Where its body is not read to the end, the connection cannot go on.
    pub(super) const fn later(message: &'static str, closes: bool) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message, closes }
    }
}

/// The body of an answer. Source: the Firehose developer guide, "Response format".
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    request_id: &'a str,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
}

/// The answer to a request with this id.
pub(super) fn answer(request_id: &str, refusal: Option<Refusal>, version: Version) -> Response {
    let error_message = refusal.map(|refusal| refusal.message);
    let answer = Answer { request_id, timestamp: Timestamp::now().as_millisecond(), error_message };
    let mut response = Response::new(Body::from(serde_json::to_vec(&answer).unwrap_or_default()));
    *response.status_mut() = refusal.map_or(StatusCode::OK, |refusal| refusal.status);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // HTTP/2 knows no such header.
    if refusal.is_some_and(|refusal| refusal.closes) && version < Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if refusal.is_some_and(|refusal| refusal.status == StatusCode::METHOD_NOT_ALLOWED) {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// Counts what was refused, and warns of it at intervals.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<&'static str, Refused>>);

struct Refused {
    total: u64,
    unsaid: u64,
    said: Instant,
}

impl Refusals {
    /// Counts one.
    pub(super) fn count(&self, reason: &'static str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_first = !all.contains_key(reason);
        let refused = all.entry(reason).or_insert(Refused { total: 0, unsaid: 0, said: now });
        refused.total += 1;
        refused.unsaid += 1;
        if is_first || now.duration_since(refused.said) >= WARN_INTERVAL {
            warn!(reason, requests = refused.unsaid, total = refused.total, "not taken of Firehose");
            refused.unsaid = 0;
            refused.said = now;
        }
    }

    /// Warns of what was counted and not said.
    pub(super) fn say_rest(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, refused) in all.iter().filter(|(_, refused)| refused.unsaid > 0) {
            warn!(reason, requests = refused.unsaid, total = refused.total, "not taken of Firehose");
        }
    }
}
