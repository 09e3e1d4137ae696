//! A scripted SQS on the loopback interface: one queue, its limits and its deduplication, and what goes wrong. Source of
//! what it enforces: the Amazon SQS API reference, `SendMessageBatch`.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bedrock_tap::aws::{Access, CredentialsFrom};
use bedrock_tap::format::key::Template;
use bedrock_tap::sink::sqs::Settings;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What a request meets.
#[derive(Clone, Debug)]
pub(crate) enum Meet {
    /// This status and error code, and nothing is taken.
    Error(u16, String),
    /// No answer, and nothing is taken.
    Silence,
    /// It is taken, and the connection is cut before the answer.
    TakenThenCut,
    /// Every second entry fails with this code, and whether its sender is at fault.
    EverySecond(String, bool),
    /// It is taken, and this is answered.
    TakenThenSays(Value),
}

/// A message that the queue took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) body: String,
    pub(crate) group: Option<String>,
    pub(crate) deduplication: Option<String>,
}

struct Queue {
    is_fifo: bool,
    /// The queue's `MaximumMessageSize`.
    max_bytes: usize,
    messages: Vec<Message>,
    seen: BTreeSet<String>,
    script: VecDeque<Meet>,
    refuses: Option<String>,
    /// The entries of each request.
    requests: Vec<usize>,
    /// The error code that a question for attributes meets.
    attributes: Option<(u16, String)>,
}

/// The double; it stops when it is dropped.
pub(crate) struct SqsDouble {
    address: SocketAddr,
    queue: Arc<Mutex<Queue>>,
    _tasks: JoinSet<()>,
}

impl SqsDouble {
    pub(crate) async fn start(is_fifo: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let queue = Arc::new(Mutex::new(Queue {
            is_fifo,
            max_bytes: 1_048_576,
            messages: Vec::new(),
            seen: BTreeSet::new(),
            script: VecDeque::new(),
            refuses: None,
            requests: Vec::new(),
            attributes: None,
        }));
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&queue));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, queue, _tasks: tasks }
    }

    /// The next requests meet these.
    pub(crate) fn script(&self, meets: impl IntoIterator<Item = Meet>) {
        self.queue.lock().unwrap().script.extend(meets);
    }

    /// Messages that contain this are refused, each by itself.
    pub(crate) fn refuse(&self, text: &str) {
        self.queue.lock().unwrap().refuses = Some(text.to_owned());
    }

    /// The queue takes no larger messages.
    pub(crate) fn limit(&self, max_bytes: usize) {
        self.queue.lock().unwrap().max_bytes = max_bytes;
    }

    /// Questions for the queue's attributes meet this.
    pub(crate) fn refuse_attributes(&self, status: u16, code: &str) {
        self.queue.lock().unwrap().attributes = Some((status, code.to_owned()));
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.queue.lock().unwrap().messages.clone()
    }

    /// The entries of each request.
    pub(crate) fn requests(&self) -> Vec<usize> {
        self.queue.lock().unwrap().requests.clone()
    }

    /// How a sink reaches it.
    pub(crate) fn settings(&self, group: Option<&str>) -> Settings {
        let is_fifo = self.queue.lock().unwrap().is_fifo;
        Settings {
            access: Access {
                region: Some("us-east-1".to_owned()),
                endpoint_url: Some(format!("http://{}", self.address)),
                credentials: CredentialsFrom::MadeUp,
                ..Access::default()
            },
            queue_url: format!("http://{}/123456789012/{}", self.address, name(is_fifo)),
            group: group.map(|group| Template::parse(group).unwrap()),
            is_fifo,
            timeout: Duration::from_secs(1),
        }
    }
}

fn name(is_fifo: bool) -> &'static str {
    if is_fifo { "alerts.fifo" } else { "alerts" }
}

async fn answer(State(queue): State<Arc<Mutex<Queue>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header("content-type"), "application/x-amz-json-1.0");
    assert!(header("authorization").starts_with("AWS4-HMAC-SHA256 "), "not signed");
    let input: Value = serde_json::from_slice(&to_bytes(body, 32 << 20).await.unwrap()).unwrap();
    let is_ours = input["QueueUrl"].as_str().unwrap().ends_with(name(queue.lock().unwrap().is_fifo));
    match header("x-amz-target") {
        _ if !is_ours => error(400, "AWS.SimpleQueueService.NonExistentQueue"),
        "AmazonSQS.GetQueueAttributes" => {
            let queue = queue.lock().unwrap();
            match &queue.attributes {
                Some((status, code)) => error(*status, code),
                None => json!({ "Attributes": { "MaximumMessageSize": queue.max_bytes.to_string() } })
                    .to_string()
                    .into_response(),
            }
        }
        "AmazonSQS.SendMessageBatch" => send(&queue, &input).await,
        other => panic!("{other} is not done here"),
    }
}

async fn send(queue: &Mutex<Queue>, input: &Value) -> Response {
    let entries = input["Entries"].as_array().unwrap();
    let text = |entry: &Value, key: &str| entry[key].as_str().map(str::to_owned);
    let meet = {
        let mut queue = queue.lock().unwrap();
        queue.requests.push(entries.len());
        queue.script.pop_front()
    };
    match &meet {
        Some(Meet::Error(status, code)) => return error(*status, code),
        Some(Meet::Silence) => std::future::pending().await,
        _ => {}
    }
    let ids: BTreeSet<_> = entries.iter().map(|entry| text(entry, "Id").unwrap()).collect();
    let total: usize = entries.iter().map(|entry| entry["MessageBody"].as_str().unwrap().len()).sum();
    match entries.len() {
        0 => return error(400, "AWS.SimpleQueueService.EmptyBatchRequest"),
        11.. => return error(400, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
        count if count != ids.len() => return error(400, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
        _ if total > 1_048_576 => return error(400, "AWS.SimpleQueueService.BatchRequestTooLong"),
        _ => {}
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    let mut queue = queue.lock().unwrap();
    for (nth, entry) in entries.iter().enumerate() {
        let id = text(entry, "Id").unwrap();
        let message = Message {
            body: text(entry, "MessageBody").unwrap(),
            group: text(entry, "MessageGroupId"),
            deduplication: text(entry, "MessageDeduplicationId"),
        };
        let fails = match &meet {
            Some(Meet::EverySecond(code, sender)) if nth % 2 == 1 => Some((code.clone(), *sender)),
            _ => queue.refusal(&message).map(|code| (code.to_owned(), true)),
        };
        if let Some((code, sender)) = fails {
            failed.push(json!({ "Id": id, "Code": code, "SenderFault": sender, "Message": "scripted" }));
            continue;
        }
        let md5 = <md5::Md5 as md5::Digest>::digest(message.body.as_bytes());
        let md5: String = md5.iter().map(|byte| format!("{byte:02x}")).collect();
        successful.push(json!({ "Id": id, "MessageId": format!("message-{id}"), "MD5OfMessageBody": md5 }));
        queue.take(message);
    }
    match meet {
        Some(Meet::TakenThenCut) => cut(),
        Some(Meet::TakenThenSays(answer)) => answer.to_string().into_response(),
        // An answer need not keep the order of the request.
        _ => {
            successful.reverse();
            json!({ "Successful": successful, "Failed": failed }).to_string().into_response()
        }
    }
}

impl Queue {
    /// The code that a message is refused with.
    fn refusal(&self, message: &Message) -> Option<&'static str> {
        let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
        let is_name = |text: &String| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        let Message { body, group, deduplication } = message;
        if body.is_empty() || self.is_fifo && (group.is_none() || deduplication.is_none()) {
            Some("MissingParameter")
        } else if body.len() > self.max_bytes
            || !group.iter().chain(deduplication).all(is_name)
            || !self.is_fifo && deduplication.is_some()
        {
            Some("InvalidParameterValue")
        } else if !body.chars().all(is_allowed) || self.refuses.as_ref().is_some_and(|text| body.contains(text)) {
            Some("InvalidMessageContents")
        } else {
            None
        }
    }

    fn take(&mut self, message: Message) {
        if message.deduplication.as_ref().is_none_or(|id| self.seen.insert(id.clone())) {
            self.messages.push(message);
        }
    }
}

/// An error as SQS answers it: the JSON protocol's name, and the code of older protocols in a header.
fn error(status: u16, code: &str) -> Response {
    let name = code.rsplit('.').next().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-amzn-query-error", format!("{code};Sender").parse().unwrap());
    headers.insert("x-amzn-requestid", "request-7".parse().unwrap());
    if status == 503 {
        headers.insert("retry-after", "1".parse().unwrap());
    }
    let body = json!({ "__type": format!("com.amazonaws.sqs#{name}"), "message": "a message that quotes" });
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
}

/// An answer that breaks off.
fn cut() -> Response {
    struct Broken;

    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())))
        }
    }

    Body::new(Broken).into_response()
}
