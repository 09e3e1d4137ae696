//! CloudWatch Logs as far as watching goes: log groups that are written to, sessions of StartLiveTail that end as
//! scripted, and FilterLogEvents over the same events. It answers the SDK without sockets, so that time can be paused, or
//! over the loopback interface. Source of what it does: the CloudWatch Logs API reference.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_cloudwatchlogs::config::http::{HttpRequest, HttpResponse};
use aws_sdk_cloudwatchlogs::config::retry::RetryConfig;
use aws_sdk_cloudwatchlogs::config::timeout::TimeoutConfig;
use aws_sdk_cloudwatchlogs::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use bedrock_tap::source::cloudwatch::client::Logs;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::eventstream;

/// Events on a page of FilterLogEvents: few, so that there are many pages.
const PAGE: usize = 40;

/// A session to come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Session {
    /// There is none, for this reason.
    Refused(u16, &'static str),
    /// It gives so many updates, and then ends so.
    Ends(u32, End),
}

/// How a session ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// A modelled exception.
    Exception(&'static str),
    /// The connection breaks.
    Cut,
    /// It breaks within a frame.
    HalfFrame,
    /// A frame whose checksum is wrong.
    BadChecksum,
    /// No error, and no more updates either.
    Close,
    Silence,
}

/// A log event that was put.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) group: &'static str,
    pub(crate) time: Timestamp,
    pub(crate) ingested: Timestamp,
    pub(crate) message: String,
}

#[derive(Debug)]
struct State {
    began: (Timestamp, Instant),
    groups: Vec<&'static str>,
    events: Vec<Put>,
    sessions: VecDeque<Session>,
    calls: BTreeMap<String, u64>,
    refusals: BTreeMap<&'static str, &'static str>,
    /// Events of an update; more are sampled.
    update: usize,
    sampled: u64,
    /// The log group that sessions say nothing of.
    left_out: Option<&'static str>,
    /// The path and headers of the last session.
    host: Option<String>,
}

/// The double. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct LiveTail {
    state: Arc<Mutex<State>>,
    /// How long after they were ingested FilterLogEvents finds events.
    found_after: Duration,
    /// How far the clock of the host that clients are on is ahead.
    ahead: Arc<Mutex<SignedDuration>>,
}

impl LiveTail {
    pub(crate) fn new(groups: &[&'static str], found_after: Duration) -> Self {
        let state = State {
            began: (Timestamp::now(), Instant::now()),
            groups: groups.to_vec(),
            events: Vec::new(),
            sessions: VecDeque::new(),
            calls: BTreeMap::new(),
            refusals: BTreeMap::new(),
            update: 500,
            sampled: 0,
            left_out: None,
            host: None,
        };
        Self { state: Arc::new(Mutex::new(state)), found_after, ahead: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The time, which stands still when that of the test does.
    pub(crate) fn now(&self) -> Timestamp {
        let (began, at) = self.state().began;
        began + at.elapsed()
    }

    /// From now on, the clock of the host that clients are on is so far ahead; answers do not tell the time.
    pub(crate) fn set_ahead(&self, ahead: SignedDuration) {
        *self.ahead.lock().unwrap() = ahead;
    }

    /// Puts an event whose time is so long ago.
    pub(crate) fn put(&self, group: &'static str, age: Duration, message: &str) {
        let ingested = self.now();
        let put = Put { group, time: ingested - age, ingested, message: message.to_owned() };
        self.state().events.push(put);
    }

    pub(crate) fn events(&self) -> Vec<Put> {
        self.state().events.clone()
    }

    /// Sessions that come next; after them, there are some that do not end.
    pub(crate) fn sessions(&self, sessions: impl IntoIterator<Item = Session>) {
        self.state().sessions.extend(sessions);
    }

    /// From now on an operation is refused with a code; an empty one allows it again.
    pub(crate) fn refuse(&self, operation: &'static str, code: &'static str) {
        self.state().refusals.insert(operation, code);
    }

    pub(crate) fn set_update(&self, events: usize) {
        self.state().update = events;
    }

    /// Sessions watch all log groups but this one, and say so.
    pub(crate) fn leave_out(&self, group: &'static str) {
        self.state().left_out = Some(group);
    }

    pub(crate) fn calls(&self, operation: &str) -> u64 {
        self.state().calls.get(operation).copied().unwrap_or_default()
    }

    /// Updates that were a sample.
    pub(crate) fn sampled(&self) -> u64 {
        self.state().sampled
    }

    /// The host that the last session was asked of.
    pub(crate) fn host(&self) -> Option<String> {
        self.state().host.clone()
    }

    /// The client, without sockets.
    pub(crate) fn logs(&self) -> Logs {
        let connector = SharedHttpConnector::new(self.clone());
        let seconds = Duration::from_secs;
        let config = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "script"))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().read_timeout(seconds(20)).operation_timeout(seconds(60)).build())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        let clock = self.clone();
        let host = Arc::new(move || clock.now() + *clock.ahead.lock().unwrap());
        Logs::new(&aws_sdk_cloudwatchlogs::Client::from_conf(config), 100.0, host)
    }

    /// Serves on the loopback interface until what is returned is dropped.
    pub(crate) async fn serve(&self) -> (String, JoinSet<()>) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer).with_state(self.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        (url, tasks)
    }

    fn answer(&self, operation: &str, host: &str, input: &Value) -> Answer {
        *self.state().calls.entry(operation.to_owned()).or_default() += 1;
        if let Some(code) = self.state().refusals.get(operation).copied().filter(|code| !code.is_empty()) {
            return Answer::error(400, code);
        }
        match operation {
            "StartLiveTail" => self.start(host, input),
            "FilterLogEvents" => self.filter(input),
            "DescribeLogGroups" => self.describe(input),
            other => panic!("{other} is not scripted"),
        }
    }

    fn describe(&self, input: &Value) -> Answer {
        let prefix = input["logGroupNamePrefix"].as_str().unwrap_or_default();
        let pattern = input["logGroupNamePattern"].as_str().unwrap_or_default();
        let group = |name: &&str| json!({ "logGroupName": name, "arn": arn(name) + ":*", "logGroupArn": arn(name) });
        let state = self.state();
        let groups = state.groups.iter().filter(|name| name.starts_with(prefix) && name.contains(pattern));
        Answer::Json(200, json!({ "logGroups": groups.map(group).collect::<Vec<_>>() }))
    }

    fn filter(&self, input: &Value) -> Answer {
        let (now, state) = (self.now(), self.state());
        let named = input["logGroupName"].as_str().or(input["logGroupIdentifier"].as_str()).unwrap();
        let Some(group) = state.groups.iter().find(|group| **group == named || arn(group) == named) else {
            return Answer::error(400, "ResourceNotFoundException");
        };
        let (from, to) = (input["startTime"].as_i64().unwrap(), input["endTime"].as_i64().unwrap());
        let after: Option<(i64, usize)> = input["nextToken"].as_str().map(|token| {
            let (millis, place) = token.split_once('-').unwrap();
            (millis.parse().unwrap(), place.parse().unwrap())
        });
        let mut found: Vec<_> = state.events.iter().enumerate().filter(|(_, put)| put.group == *group).collect();
        found.retain(|(_, put)| put.ingested + self.found_after <= now);
        let key = |(place, put): &(usize, &Put)| (put.time.as_millisecond(), *place);
        found.retain(|event| (from..=to).contains(&key(event).0) && after.is_none_or(|after| key(event) > after));
        found.sort_by_key(key);
        let is_last = found.len() <= PAGE;
        found.truncate(PAGE);
        let token = found.last().map(key).filter(|_| !is_last);
        let event = |(place, put): &(usize, &Put)| {
            json!({ "eventId": format!("{place:056}"), "logStreamName": "stream", "message": put.message,
                "timestamp": put.time.as_millisecond(), "ingestionTime": put.ingested.as_millisecond() })
        };
        let events: Vec<_> = found.iter().map(event).collect();
        let mut answer = json!({ "events": events });
        if let Some((millis, place)) = token {
            answer["nextToken"] = json!(format!("{millis}-{place}"));
        }
        Answer::Json(200, answer)
    }

    fn start(&self, host: &str, input: &Value) -> Answer {
        let mut state = self.state();
        state.host = Some(host.to_owned());
        let arns: Vec<_> =
            input["logGroupIdentifiers"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap()).collect();
        let groups: Vec<_> = state.groups.iter().copied().filter(|group| arns.contains(&arn(group).as_str())).collect();
        if groups.len() != arns.len() || arns.is_empty() || arns.len() > 10 {
            return Answer::error(400, "ResourceNotFoundException");
        }
        let groups = groups.into_iter().filter(|group| state.left_out != Some(*group)).collect();
        let next = state.sessions.pop_front().unwrap_or(Session::Ends(u32::MAX, End::Silence));
        drop(state);
        match next {
            Session::Refused(status, code) => Answer::error(status, code),
            Session::Ends(updates, end) => {
                let (sender, receiver) = mpsc::channel(1);
                tokio::spawn(self.clone().session(sender, groups, updates, end));
                Answer::Stream(Feed(receiver))
            }
        }
    }

    async fn session(self, sender: Fed, groups: Vec<&'static str>, updates: u32, end: End) {
        let mut head = eventstream::initial_response();
        head.extend(eventstream::event("sessionStart", &json!({ "sessionId": "s", "logGroupIdentifiers": groups })));
        if sender.send(Ok(head.into())).await.is_err() {
            return;
        }
        let mut last = self.now();
        for _ in 0..updates {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = sender.closed() => return,
            }
            let now = self.now();
            let update = self.update(&groups, last, now);
            last = now;
            if sender.send(Ok(eventstream::event("sessionUpdate", &update).into())).await.is_err() {
                return;
            }
        }
        let empty = || eventstream::event("sessionUpdate", &json!({ "sessionResults": [] }));
        let last = match end {
            End::Exception(kind) => Ok(eventstream::exception(kind).into()),
            End::Cut => Err(std::io::Error::other("cut")),
            End::HalfFrame => Ok(Bytes::from(empty()).slice(..20)),
            End::BadChecksum => {
                let mut frame = empty();
                *frame.last_mut().unwrap() ^= 1;
                Ok(frame.into())
            }
            End::Close => return,
            End::Silence => return sender.closed().await,
        };
        // The other side may be gone.
        let _ = sender.send(last).await;
    }

    /// What was ingested between two times.
    fn update(&self, groups: &[&str], from: Timestamp, to: Timestamp) -> Value {
        let mut state = self.state();
        let is_new = |put: &&Put| groups.contains(&put.group) && put.ingested > from && put.ingested <= to;
        let all: Vec<_> = state.events.iter().filter(is_new).collect();
        let is_sampled = all.len() > state.update;
        let event = |put: &&Put| {
            json!({ "logGroupIdentifier": format!("123456789012:{}", put.group), "logStreamName": "stream",
                "message": put.message, "timestamp": put.time.as_millisecond(),
                "ingestionTime": put.ingested.as_millisecond() })
        };
        let events: Vec<_> = all.iter().take(state.update).map(event).collect();
        state.sampled += u64::from(is_sampled);
        json!({ "sessionMetadata": { "sampled": is_sampled }, "sessionResults": events })
    }
}

/// The ARN of a log group of the double.
pub(crate) fn arn(group: &str) -> String {
    format!("arn:aws:logs:eu-west-1:123456789012:log-group:{group}")
}

enum Answer {
    Json(u16, Value),
    Stream(Feed),
}

impl Answer {
    fn error(status: u16, code: &str) -> Self {
        Self::Json(status, json!({ "__type": code, "message": "scripted" }))
    }
}

type Fed = mpsc::Sender<Result<Bytes, std::io::Error>>;

struct Feed(mpsc::Receiver<Result<Bytes, std::io::Error>>);

impl http_body::Body for Feed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|fed| fed.map(|bytes| bytes.map(http_body::Frame::data)))
    }
}

/// The SDK's body, by way of the answer that holds it.
trait Holds {
    type Body;
}

impl<B> Holds for aws_smithy_runtime_api::http::Response<B> {
    type Body = B;
}

type SdkBody = <HttpResponse as Holds>::Body;

fn operation(target: Option<&str>) -> String {
    target.unwrap_or_default().rsplit('.').next().unwrap_or_default().to_owned()
}

impl HttpConnector for LiveTail {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = operation(request.headers().get("x-amz-target"));
        let host = request.uri().split('/').nth(2).unwrap_or_default().to_owned();
        let input: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap();
        let double = self.clone();
        HttpConnectorFuture::new(async move {
            let (status, body) = match double.answer(&operation, &host, &input) {
                Answer::Json(status, body) => (status, body.to_string().into_bytes().into()),
                Answer::Stream(feed) => (200, <SdkBody>::from_body_1_x(feed)),
            };
            Ok(HttpResponse::new(status.try_into().unwrap(), body))
        })
    }
}

async fn answer(Shared(double): Shared<LiveTail>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let (operation, host) = (operation(header("x-amz-target")), header("host").unwrap_or_default().to_owned());
    let input = to_bytes(body, 1 << 20).await.unwrap();
    let input: Value = serde_json::from_slice(&input).unwrap();
    let (status, kind, body) = match double.answer(&operation, &host, &input) {
        Answer::Json(status, body) => (status, "application/x-amz-json-1.1", Body::from(body.to_string())),
        Answer::Stream(feed) => (200, "application/vnd.amazon.eventstream", Body::new(feed)),
    };
    Response::builder().status(status).header("content-type", kind).body(body).unwrap()
}
