//! What goes wrong with calls that write many records, in front of a double that takes them; and what a sink makes of one
//! such call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bedrock_tap::sink::{Batch, Planned, SinkError};
use serde_json::{Value, json};

use super::contract::{Trouble, lines};
use crate::support::fault::{MAX_BODY_BYTES, cut, error};

/// The words of a service.
#[derive(Debug)]
pub(crate) struct Words {
    /// The call.
    pub(crate) put: &'static str,
    /// The list of what became of each record.
    pub(crate) entries: &'static str,
    /// The number of those that failed.
    pub(crate) failed: &'static str,
    /// What says that a record was taken.
    pub(crate) id: &'static str,
    /// The error of a service that is asked too often: its status and code.
    pub(crate) busy: (u16, &'static str),
}

/// What a call meets.
#[derive(Clone, Debug)]
pub(crate) enum Meet {
    Trouble(Trouble),
    /// It is not passed on; this status and error code come back.
    Error(u16, &'static str),
    /// It is passed on, and this comes back whatever became of it.
    Answer(String),
    /// It is not passed on, and all its records are said to be taken.
    Take,
}

#[derive(Default)]
struct Seen {
    script: VecDeque<Meet>,
    refused: Option<String>,
    /// The records of each call: partition key and line.
    calls: Vec<Vec<(String, String)>>,
    held: Vec<String>,
}

/// What stands in front of a double.
#[derive(Clone)]
pub(crate) struct Front {
    words: &'static Words,
    seen: Arc<Mutex<Seen>>,
}

impl Front {
    pub(crate) fn new(words: &'static Words) -> Self {
        Self { words, seen: Arc::default() }
    }

    /// Puts this in front of a double.
    pub(crate) fn before(&self, app: Router) -> Router {
        app.layer(from_fn_with_state(self.clone(), meet))
    }

    /// The next calls meet these.
    pub(crate) fn script(&self, meets: impl IntoIterator<Item = Meet>) {
        self.seen.lock().unwrap().script.extend(meets);
    }

    /// Calls with records that contain this are refused.
    pub(crate) fn refuse(&self, text: &str) {
        self.seen.lock().unwrap().refused = Some(text.to_owned());
    }

    /// The lines that the double took, without their newlines, in order.
    pub(crate) fn held(&self) -> Vec<String> {
        self.seen.lock().unwrap().held.clone()
    }

    /// The records of each call, partition key and line, and forgets them.
    pub(crate) fn calls(&self) -> Vec<Vec<(String, String)>> {
        std::mem::take(&mut self.seen.lock().unwrap().calls)
    }

    /// Passes a call on and notes what was taken of it.
    async fn pass(&self, input: &Value, parts: axum::http::request::Parts, next: Next) -> Response {
        let body = input.to_string();
        let mut request = Request::from_parts(parts, Body::empty());
        request.headers_mut().insert("content-length", body.len().into());
        *request.body_mut() = Body::from(body);
        let (parts, body) = next.run(request).await.into_parts();
        let bytes = to_bytes(body, MAX_BODY_BYTES).await.unwrap();
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let entries = answer[self.words.entries].as_array().cloned().unwrap_or_default();
        let taken = records(input).into_iter().zip(entries).filter(|(_, entry)| entry[self.words.id].is_string());
        self.seen.lock().unwrap().held.extend(taken.map(|((_, line), _)| line));
        Response::from_parts(parts, Body::from(bytes))
    }
}

/// Partition key and line of each record. A line without its newline is no line.
fn records(input: &Value) -> Vec<(String, String)> {
    let line = |record: &Value| {
        let data = BASE64_STANDARD.decode(record["Data"].as_str().unwrap()).unwrap();
        String::from_utf8(data).unwrap().strip_suffix('\n').expect("a record without its newline").to_owned()
    };
    let key = |record: &Value| record["PartitionKey"].as_str().unwrap_or_default().to_owned();
    input["Records"].as_array().unwrap().iter().map(|record| (key(record), line(record))).collect()
}

async fn meet(State(front): State<Front>, request: Request, next: Next) -> Response {
    let words = front.words;
    let target = request.headers().get("x-amz-target").map_or("", |target| target.to_str().unwrap());
    if target.rsplit('.').next() != Some(words.put) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let mut input: Value = serde_json::from_slice(&to_bytes(body, MAX_BODY_BYTES).await.unwrap()).unwrap();
    let records = records(&input);
    let met = {
        let mut seen = front.seen.lock().unwrap();
        seen.calls.push(records.clone());
        let refused = seen.refused.as_ref().is_some_and(|text| records.iter().any(|(_, line)| line.contains(text)));
        if refused { Some(Meet::Error(400, "InvalidArgumentException")) } else { seen.script.pop_front() }
    };
    match met {
        None => front.pass(&input, parts, next).await,
        Some(Meet::Error(status, code)) => error(status, code),
        Some(Meet::Answer(text)) => {
            front.pass(&input, parts, next).await;
            ([("content-type", "application/x-amz-json-1.1")], text).into_response()
        }
        Some(Meet::Take) => {
            let entries: Vec<_> = records.iter().map(|_| json!({ words.id: "1", "ShardId": "shardId-0" })).collect();
            json!({ words.failed: 0, words.entries: entries }).to_string().into_response()
        }
        Some(Meet::Trouble(Trouble::Busy)) => {
            let mut answer = error(words.busy.0, words.busy.1);
            answer.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
            answer
        }
        Some(Meet::Trouble(Trouble::Error)) => error(500, "InternalFailure"),
        Some(Meet::Trouble(Trouble::Hang)) => std::future::pending().await,
        Some(Meet::Trouble(Trouble::AppliedThenCut)) => cut(front.pass(&input, parts, next).await).await,
        Some(Meet::Trouble(Trouble::Partial)) => {
            let all = input["Records"].as_array().unwrap().clone();
            input["Records"] = all.iter().step_by(2).cloned().collect();
            let answer = front.pass(&input, parts, next).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let bytes = to_bytes(answer.into_body(), MAX_BODY_BYTES).await.unwrap();
            let answer: Value = serde_json::from_slice(&bytes).unwrap();
            let mut taken = answer[words.entries].as_array().unwrap().iter().cloned();
            let failed = json!({ "ErrorCode": words.busy.1, "ErrorMessage": "scripted" });
            let entry = |at: usize| if at.is_multiple_of(2) { taken.next().unwrap() } else { failed.clone() };
            let entries: Vec<_> = (0..all.len()).map(entry).collect();
            json!({ words.failed: all.len() / 2, words.entries: entries }).to_string().into_response()
        }
    }
}

/// What a sink says of one try at these items.
pub(crate) async fn once(planned: Planned, items: &[String]) -> String {
    let batch = Batch { parts: vec![lines(items, planned.tags.as_deref())], range: None };
    let sink = (planned.opening)().await.unwrap();
    say(sink.deliver(Arc::new(batch)).await)
}

/// What a sink says when it is asked whether it can be written to.
pub(crate) async fn probe(planned: Planned) -> String {
    say((planned.opening)().await.unwrap().probe().await)
}

fn say(result: Result<(), SinkError>) -> String {
    let said = match result {
        Ok(()) => return "durable".to_owned(),
        Err(SinkError::Retry { after: None, source }) => format!("retry: {source}"),
        Err(SinkError::Retry { after: Some(after), source }) => format!("retry after {after:?}: {source}"),
        Err(SinkError::Partial { retry, refused, source, .. }) => {
            format!("retry {retry:?}, refused {refused:?}: {source}")
        }
        Err(SinkError::Refused { answer }) => return format!("refused: {answer}"),
        Err(SinkError::Stop { advice, .. }) => format!("stop: {advice}"),
    };
    // What is logged quotes neither what was sent nor what the service said of it.
    for secret in ["event-0", "scripted", "xxxx"] {
        assert!(!said.contains(secret), "{said}");
    }
    said
}

/// Answers that a service could give, and what they say of three records; each `OK` becomes an entry of a record that was
/// taken.
pub(crate) fn answers(words: &Words) -> Vec<(String, &'static str)> {
    let ok = format!(r#"{{"{}":"1","ShardId":"shardId-0"}}"#, words.id);
    let answer = |failed: &str, entries: &str| {
        let entries = entries.replace("OK", &ok).replace("FAILED", r#"{"ErrorCode":"InternalFailure"}"#);
        format!(r#"{{"{}":{failed},"{}":{entries}}}"#, words.failed, words.entries)
    };
    vec![
        (answer("0", "[OK,OK,OK]"), "durable"),
        // More entries than records; a count that is wrong: each entry speaks for its record.
        (answer("0", "[OK,OK,OK,FAILED]"), "durable"),
        (answer("3", "[OK,OK,OK]"), "durable"),
        (
            answer("0", "[OK,FAILED,OK]"),
            "retry [1], refused []: PUT: 1 of 3 records failed, the first with InternalFailure; ",
        ),
        (
            answer("1", r#"[OK,OK,{"ErrorCode":"NewCode"}]"#),
            "retry [2], refused []: PUT: 1 of 3 records failed, the first with NewCode; ",
        ),
        (
            answer("1", r#"[OK,OK,{"ErrorCode":"event-00001 is bad"}]"#),
            "retry [2], refused []: PUT: 1 of 3 records failed, the first with an unreadable name; ",
        ),
        // Short, and empty.
        (answer("0", "[OK,OK]"), "retry [2], refused []: PUT: 1 of 3 records failed, the first with NoAnswer; "),
        (answer("0", "[]"), "retry: PUT: 3 of 3 records failed, the first with NoAnswer; "),
        ("{}".to_owned(), "retry: PUT: 3 of 3 records failed, the first with NoAnswer; "),
        // An entry with neither an id nor an error; an error beside an id.
        (answer("0", "[OK,{},OK]"), "retry [1], refused []: PUT: 1 of 3 records failed, the first with NoAnswer; "),
        (
            answer("1", &format!("[{},OK,OK]", ok.replace('}', r#","ErrorCode":"InternalFailure"}"#))),
            "retry [0], refused []: PUT: 1 of 3 ",
        ),
        (answer("3", "[FAILED,FAILED,FAILED]"), "retry: PUT: 3 of 3 records failed, the first with InternalFailure; "),
        // What is no answer at all.
        (String::new(), "retry: PUT: "),
        ("{".to_owned(), "retry: PUT: the answer is not readable"),
        ("[]".to_owned(), "retry: PUT: the answer is not readable"),
        (answer("0", "7"), "retry: PUT: the answer is not readable"),
        (answer("0", r#"[OK,OK,{"ErrorCode":7}]"#), "retry: PUT: the answer is not readable"),
        (format!("{{{}{}", " ".repeat(2 << 20), &answer("0", "[OK,OK,OK]")[1..]), "retry: PUT: "),
    ]
}

/// Checks what a sink says, word for word up to where `expected` ends.
#[track_caller]
pub(crate) fn begins(said: &str, expected: &str, of: &str) {
    let of: String = of.chars().take(200).collect();
    assert!(said.starts_with(expected), "of {of}:\nexpected {expected}\nfound    {said}");
}
