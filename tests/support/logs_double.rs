//! CloudWatch Logs in memory: log groups whose events are found by their times, in pages, with tokens that expire. Under
//! the real SDK without sockets, so that time can be paused, or served on the loopback interface. What it answers is what
//! the CloudWatch Logs API reference says of FilterLogEvents and DescribeLogGroups.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_cloudwatchlogs::config::http::{HttpRequest, HttpResponse};
use aws_sdk_cloudwatchlogs::config::retry::RetryConfig;
use aws_sdk_cloudwatchlogs::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use bedrock_tap::source::cloudwatch::client::{HostClock, Logs};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A token's life. Source: the CloudWatch Logs API reference, `FilterLogEvents`.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The Region and the account.
const REGION: &str = "eu-west-1";
const ACCOUNT: &str = "123456789012";

/// What becomes of the next call of an operation instead of its answer.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// An error with this status and code.
    Error(u16, &'static str),
    /// The answer comes after this time.
    Delay(Duration),
    /// The answer's body breaks off.
    Unreadable,
    /// This body.
    Answer(Value),
}

/// A call that was made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) operation: String,
    pub(crate) input: Value,
}

/// An event: its time in milliseconds, its number by ingestion, its log stream and its message.
type Held = (i64, u64, String, String);

struct State {
    groups: BTreeMap<String, Vec<Held>>,
    ingested: u64,
    faults: VecDeque<(&'static str, Fault)>,
    calls: Vec<Call>,
    page: usize,
    empty_pages: bool,
    backwards: bool,
    epoch: Instant,
    clock: HostClock,
    date: Option<HostClock>,
}

/// The double. Clones are the same.
#[derive(Clone)]
pub(crate) struct LogsDouble {
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for LogsDouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogsDouble")
    }
}

/// The ARN of a log group.
pub(crate) fn arn(name: &str) -> String {
    format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}")
}

impl LogsDouble {
    /// Empty log groups of these names.
    pub(crate) fn new(groups: &[&str]) -> Self {
        let state = State {
            groups: groups.iter().map(|name| ((*name).to_owned(), Vec::new())).collect(),
            ingested: 0,
            faults: VecDeque::new(),
            calls: Vec::new(),
            page: 10_000,
            empty_pages: false,
            backwards: false,
            epoch: Instant::now(),
            clock: Arc::new(Timestamp::now),
            date: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A client of it through the real SDK.
    pub(crate) fn logs(&self, calls_per_second: f64) -> Logs {
        let connector = SharedHttpConnector::new(self.clone());
        let config = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("a", "b", None, None, "double"))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        let host = Arc::clone(&self.state().clock);
        Logs::new(&aws_sdk_cloudwatchlogs::Client::from_conf(config), calls_per_second, host)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Ingests an event now, whatever its time is.
    pub(crate) fn put(&self, group: &str, millis: i64, message: impl Into<String>) {
        let mut state = self.state();
        state.ingested += 1;
        let stream = format!("stream-{}", state.ingested % 2);
        let event = (millis, state.ingested, stream, message.into());
        let events = state.groups.get_mut(group).unwrap();
        events.push(event);
        events.sort();
    }

    /// Makes a log group.
    pub(crate) fn make(&self, group: &str) {
        self.state().groups.entry(group.to_owned()).or_default();
    }

    /// Events, and log groups, of a page.
    pub(crate) fn page(&self, items: usize) {
        self.state().page = items;
    }

    /// The clock of the host that clients are on.
    pub(crate) fn clock(&self, clock: HostClock) {
        self.state().clock = clock;
    }

    /// Answers tell this time in their `Date`.
    pub(crate) fn date(&self, date: HostClock) {
        self.state().date = Some(date);
    }

    /// Every second page has no events, and the last one none either.
    pub(crate) fn empty_pages(&self) {
        self.state().empty_pages = true;
    }

    /// Events come in the wrong order.
    pub(crate) fn backwards(&self) {
        self.state().backwards = true;
    }

    /// The next calls of the operation go wrong, in this order.
    pub(crate) fn fault(&self, operation: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults.into_iter().map(|fault| (operation, fault)));
    }

    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        self.state().calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }

    /// Faults that were not met.
    pub(crate) fn faults_left(&self) -> usize {
        self.state().faults.len()
    }

    /// Answers a call: a status and a body.
    async fn respond(&self, operation: String, input: Value) -> (u16, Vec<u8>) {
        let fault = {
            let mut state = self.state();
            state.calls.push(Call { at: Instant::now(), operation: operation.clone(), input: input.clone() });
            let at = state.faults.iter().position(|(of, _)| *of == operation);
            at.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault)
        };
        if let Some(Fault::Delay(time)) = fault {
            tokio::time::sleep(time).await;
        }
        let answer = match &fault {
            Some(Fault::Error(status, code)) => Err((*status, *code)),
            Some(Fault::Answer(body)) => Ok(body.clone()),
            _ => self.state().answer(&operation, &input),
        };
        let (status, body) = match answer {
            Ok(body) => (200, body),
            Err((status, code)) => (status, json!({ "__type": code, "message": "scripted" })),
        };
        let mut bytes = body.to_string().into_bytes();
        if matches!(fault, Some(Fault::Unreadable)) {
            bytes.truncate(bytes.len() / 2);
        }
        (status, bytes)
    }
}

impl HttpConnector for LogsDouble {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = operation(request.headers().get("x-amz-target"));
        let input: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap();
        let double = self.clone();
        HttpConnectorFuture::new(async move {
            let (status, bytes) = double.respond(operation, input).await;
            let mut response = HttpResponse::new(status.try_into().unwrap(), bytes.into());
            if let Some(date) = &double.state().date {
                response.headers_mut().insert("date", date().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
            }
            Ok(response)
        })
    }
}

fn operation(target: Option<&str>) -> String {
    target.unwrap_or_default().strip_prefix("Logs_20140328.").expect("a target of CloudWatch Logs").to_owned()
}

type Answer = Result<Value, (u16, &'static str)>;

impl State {
    fn answer(&mut self, operation: &str, input: &Value) -> Answer {
        match operation {
            "FilterLogEvents" => self.filter(input),
            "DescribeLogGroups" => self.describe(input),
            other => panic!("{other} is not done here"),
        }
    }

    fn filter(&self, input: &Value) -> Answer {
        const INVALID: (u16, &str) = (400, "InvalidParameterException");
        let name = match (input["logGroupName"].as_str(), input["logGroupIdentifier"].as_str()) {
            (Some(name), None) => name,
            (None, Some(identifier)) => match identifier.strip_prefix(&arn("")) {
                Some(name) if !name.ends_with('*') => name,
                _ => return Err(INVALID),
            },
            _ => return Err(INVALID),
        };
        let events = self.groups.get(name).ok_or((400, "ResourceNotFoundException"))?;
        let (start, end) = (input["startTime"].as_i64().unwrap(), input["endTime"].as_i64().unwrap());
        assert!(0 <= start && start <= end, "{input}");
        // A token stands for the window, the event before its page, the number of its page, and when it was made.
        let (mut after, mut number) = ((i64::MIN, 0), 0);
        if let Some(token) = input["nextToken"].as_str() {
            let parts: Vec<i64> =
                token.split('/').map(|part| part.parse().map_err(|_| INVALID)).collect::<Result<_, _>>()?;
            let age = self.epoch.elapsed().saturating_sub(Duration::from_millis(parts[5] as u64));
            if parts[..2] != [start, end] {
                return Err(INVALID);
            }
            // The harshest that it may do: it looks like the end.
            if age > LIFE {
                return Ok(json!({ "events": [] }));
            }
            (after, number) = ((parts[2], parts[3] as u64), parts[4]);
        }
        let mut found: Vec<_> = events.iter().filter(|event| (start..=end).contains(&event.0)).collect();
        let at = |event: &Held| if self.backwards { (-event.0, event.1) } else { (event.0, event.1) };
        found.sort_by_key(|event| at(event));
        let is_empty = self.empty_pages && number % 2 == 1;
        let mut rest = found.into_iter().filter(|event| at(event) > after).peekable();
        let page: Vec<_> = rest.by_ref().take(if is_empty { 0 } else { self.page }).collect();
        let events: Vec<_> = page.iter().map(|event| event_of(event)).collect();
        let mut answer = json!({ "events": events, "searchedLogStreams": [] });
        if rest.peek().is_some() || (self.empty_pages && !page.is_empty()) {
            let last = page.last().map_or(after, |event| at(event));
            let made = self.epoch.elapsed().as_millis();
            answer["nextToken"] = json!(format!("{start}/{end}/{}/{}/{}/{made}", last.0, last.1, number + 1));
        }
        Ok(answer)
    }

    fn describe(&self, input: &Value) -> Answer {
        let prefix = input["logGroupNamePrefix"].as_str().unwrap();
        let from: usize = input["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let account = if input["includeLinkedAccounts"] == true { "210987654321" } else { ACCOUNT };
        let group = |name: &String| {
            let arn = arn(name).replace(ACCOUNT, account);
            json!({ "logGroupName": name, "arn": format!("{arn}:*"), "logGroupArn": arn, "creationTime": 7, "logGroupClass": "STANDARD" })
        };
        let mut rest = self.groups.keys().filter(|name| name.starts_with(prefix)).skip(from).peekable();
        let page: Vec<_> = rest.by_ref().take(self.page.min(50)).map(group).collect();
        let mut answer = json!({ "logGroups": page });
        if rest.peek().is_some() {
            answer["nextToken"] = json!((from + self.page.min(50)).to_string());
        }
        Ok(answer)
    }
}

fn event_of((millis, number, stream, message): &Held) -> Value {
    json!({
        "eventId": format!("{number:056}"),
        "logStreamName": stream,
        "timestamp": millis,
        "ingestionTime": millis + 1,
        "message": message,
    })
}

/// The double on the loopback interface; it stops when this is dropped.
#[cfg(feature = "demo")]
pub(crate) struct Served {
    pub(crate) address: std::net::SocketAddr,
    /// Faults of the connections.
    pub(crate) faults: super::fault::Faults,
    _tasks: tokio::task::JoinSet<()>,
}

#[cfg(feature = "demo")]
impl LogsDouble {
    pub(crate) async fn serve(&self) -> Served {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let faults = super::fault::Faults::default();
        let layer = axum::middleware::from_fn_with_state(faults.clone(), super::fault::layer);
        let router = axum::Router::new().fallback(over_http).layer(layer).with_state(self.clone());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Served { address, faults, _tasks: tasks }
    }
}

#[cfg(feature = "demo")]
async fn over_http(
    axum::extract::State(double): axum::extract::State<LogsDouble>,
    request: axum::extract::Request,
) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    assert!(header("authorization").unwrap_or_default().starts_with("AWS4-HMAC-SHA256 "), "not signed");
    let input = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let input = serde_json::from_slice(&input).unwrap();
    let (status, bytes) = double.respond(operation(header("x-amz-target")), input).await;
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    axum::response::IntoResponse::into_response((status, bytes))
}
