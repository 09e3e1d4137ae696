//! A queue that messages are received from, on the loopback interface: an SQS with visibility, receipt handles and a
//! redrive policy, and what goes wrong. Source of what it does: the Amazon SQS API reference, `ReceiveMessage`,
//! `DeleteMessageBatch`, `ChangeMessageVisibilityBatch`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bedrock_tap::aws::{Access, CredentialsFrom};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// What a call meets.
#[derive(Clone, Debug)]
pub(crate) enum Meet {
    /// This status and error code, and nothing is done.
    Error(u16, &'static str),
    /// It is done, and its answer is lost.
    Lost,
    /// Every second entry, from the first on, fails with this code.
    EverySecond(&'static str),
    /// Nothing is done, and the answer names no message.
    Unnamed,
}

struct Message {
    body: String,
    visible: Instant,
    receives: u32,
    /// The newest receipt handle; older ones have expired.
    handle: String,
}

struct Queue {
    messages: Vec<Message>,
    /// Bodies that were received too often.
    dead: Vec<String>,
    max_receives: Option<u32>,
    handles: usize,
    script: VecDeque<(&'static str, Meet)>,
    /// The timeouts that `ChangeMessageVisibilityBatch` set.
    hidden: Vec<u64>,
    /// Messages of each receive that gave some.
    received: Vec<usize>,
    /// The newest receives' most messages.
    asked: Vec<u64>,
}

/// The double; it stops when it is dropped.
pub(crate) struct QueueDouble {
    address: SocketAddr,
    queue: Arc<Mutex<Queue>>,
    _tasks: JoinSet<()>,
}

impl QueueDouble {
    /// Messages that are received more often than `max_receives` go elsewhere.
    pub(crate) async fn start(max_receives: Option<u32>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let queue = Arc::new(Mutex::new(Queue {
            messages: Vec::new(),
            dead: Vec::new(),
            max_receives,
            handles: 0,
            script: VecDeque::new(),
            hidden: Vec::new(),
            received: Vec::new(),
            asked: Vec::new(),
        }));
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&queue));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, queue, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/123456789012/logs", self.address)
    }

    /// How it is reached.
    pub(crate) fn access(&self) -> Access {
        Access {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(format!("http://{}", self.address)),
            credentials: CredentialsFrom::MadeUp,
            ..Access::default()
        }
    }

    pub(crate) fn send(&self, body: impl Into<String>) {
        let message = Message { body: body.into(), visible: Instant::now(), receives: 0, handle: String::new() };
        self.queue.lock().unwrap().messages.push(message);
    }

    /// The next calls of the operation meet these.
    pub(crate) fn script(&self, operation: &'static str, meets: impl IntoIterator<Item = Meet>) {
        self.queue.lock().unwrap().script.extend(meets.into_iter().map(|meet| (operation, meet)));
    }

    /// Messages that are not deleted.
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().unwrap().messages.len()
    }

    /// How often each message that is not deleted was received.
    pub(crate) fn receives(&self) -> Vec<u32> {
        self.queue.lock().unwrap().messages.iter().map(|message| message.receives).collect()
    }

    /// Messages that anyone could receive now.
    pub(crate) fn visible(&self) -> usize {
        let now = Instant::now();
        self.queue.lock().unwrap().messages.iter().filter(|message| message.visible <= now).count()
    }

    /// The bodies that were received too often.
    pub(crate) fn dead(&self) -> Vec<String> {
        self.queue.lock().unwrap().dead.clone()
    }

    /// The timeouts in seconds that were set behind receives.
    pub(crate) fn hidden(&self) -> Vec<u64> {
        self.queue.lock().unwrap().hidden.clone()
    }

    /// The most messages that receives asked for.
    pub(crate) fn asked(&self) -> Vec<u64> {
        self.queue.lock().unwrap().asked.clone()
    }
}

async fn answer(State(queue): State<Arc<Mutex<Queue>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = parts.headers["x-amz-target"].to_str().unwrap();
    let operation = target.strip_prefix("AmazonSQS.").unwrap();
    let input: Value = serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap();
    assert!(input["QueueUrl"].as_str().unwrap().ends_with("/123456789012/logs"));
    let meet = {
        let script = &mut queue.lock().unwrap().script;
        let at = script.iter().position(|(of, _)| *of == operation);
        at.and_then(|at| script.remove(at)).map(|(_, meet)| meet)
    };
    match meet {
        Some(Meet::Error(status, code)) => return error(status, code),
        Some(Meet::Unnamed) => return json!({ "Successful": [], "Failed": [] }).to_string().into_response(),
        _ => {}
    }
    let answer = match operation {
        "ReceiveMessage" => receive(&queue, &input).await,
        "GetQueueAttributes" => match queue.lock().unwrap().max_receives {
            Some(_) => json!({ "Attributes": { "RedrivePolicy": "{}" } }),
            None => json!({}),
        },
        _ => {
            let failing = if let Some(Meet::EverySecond(code)) = meet { Some(code) } else { None };
            queue.lock().unwrap().each(operation, &input, failing)
        }
    };
    match meet {
        Some(Meet::Lost) => error(500, "InternalError"),
        _ => answer.to_string().into_response(),
    }
}

async fn receive(queue: &Mutex<Queue>, input: &Value) -> Value {
    let most = input["MaxNumberOfMessages"].as_u64().unwrap();
    assert!((1..=10).contains(&most));
    assert_eq!(input["WaitTimeSeconds"], 20);
    let visibility = Duration::from_secs(input["VisibilityTimeout"].as_u64().unwrap());
    queue.lock().unwrap().asked.push(most);
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let messages = queue.lock().unwrap().take(most as usize, visibility);
        if !messages.is_empty() || Instant::now() > until {
            return json!({ "Messages": messages });
        }
        sleep(Duration::from_millis(20)).await;
    }
}

impl Queue {
    fn take(&mut self, most: usize, visibility: Duration) -> Vec<Value> {
        let now = Instant::now();
        if let Some(max) = self.max_receives {
            let is_dead = |message: &mut Message| message.visible <= now && message.receives >= max;
            self.dead.extend(self.messages.extract_if(.., is_dead).map(|message| message.body));
        }
        let mut taken = Vec::new();
        for message in self.messages.iter_mut().filter(|message| message.visible <= now).take(most) {
            self.handles += 1;
            message.handle = format!("handle-{}", self.handles);
            message.receives += 1;
            message.visible = now + visibility;
            taken.push(json!({ "MessageId": "1", "ReceiptHandle": message.handle, "Body": message.body }));
        }
        if !taken.is_empty() {
            self.received.push(taken.len());
        }
        taken
    }

    fn each(&mut self, operation: &str, input: &Value, failing: Option<&str>) -> Value {
        let entries = input["Entries"].as_array().unwrap();
        assert!((1..=10).contains(&entries.len()));
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for (nth, entry) in entries.iter().enumerate() {
            let fails = match failing {
                Some(code) if nth % 2 == 0 => Err(code),
                _ => self.one(operation, entry),
            };
            match fails {
                Ok(()) => successful.push(json!({ "Id": entry["Id"] })),
                Err(code) => {
                    failed.push(json!({ "Id": entry["Id"], "Code": code, "SenderFault": code != "InternalError" }))
                }
            }
        }
        successful.reverse();
        json!({ "Successful": successful, "Failed": failed })
    }

    fn one(&mut self, operation: &str, entry: &Value) -> Result<(), &'static str> {
        let at = self.messages.iter().position(|message| entry["ReceiptHandle"] == message.handle.as_str());
        match operation {
            // What is deleted already is deleted.
            "DeleteMessageBatch" => at.map_or(Ok(()), |at| {
                self.messages.remove(at);
                Ok(())
            }),
            "ChangeMessageVisibilityBatch" => {
                let seconds = entry["VisibilityTimeout"].as_u64().unwrap();
                let now = Instant::now();
                let message = at.map(|at| &mut self.messages[at]).filter(|message| message.visible > now);
                let message = message.ok_or("InvalidParameterValue")?;
                message.visible = now + Duration::from_secs(seconds);
                self.hidden.push(seconds);
                Ok(())
            }
            other => panic!("{other} is not done here"),
        }
    }
}

/// An error as SQS answers it: the JSON protocol's name, and the code of older protocols in a header.
fn error(status: u16, code: &str) -> Response {
    let name = code.rsplit('.').next().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-amzn-query-error", format!("{code};Sender").parse().unwrap());
    let body = json!({ "__type": format!("com.amazonaws.sqs#{name}"), "message": "a message that quotes" });
    (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response()
}
