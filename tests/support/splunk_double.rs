//! A scripted HTTP Event Collector on the loopback interface: tokens, channels, events, lines and acknowledgements, with
//! the collector's own answers, and what its next requests meet instead.

use std::collections::{HashMap, VecDeque};
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What a request meets instead of the collector.
#[derive(Clone, Debug)]
pub(crate) enum Meet {
    /// This answer; nothing is taken. 503 asks for a second.
    Answer(u16, String),
    /// No answer; nothing is taken.
    Silence,
    /// It is taken; the answer breaks off.
    Cut,
}

/// The collector's answer with this code.
pub(crate) fn code(status: u16, code: u64) -> Meet {
    Meet::Answer(status, json!({"text": "scripted", "code": code}).to_string())
}

/// How the collector is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) token: String,
    /// Whether the token has indexer acknowledgement.
    pub(crate) acks: bool,
    /// How often a request is asked for before it is acknowledged; none: it never is.
    pub(crate) asked_before: Option<usize>,
    /// Whether a load balancer leads only those with its cookie to the indexer that took a request.
    pub(crate) balanced: bool,
    /// The indexes that the token may write to.
    pub(crate) indexes: Vec<String>,
    /// Items that contain this are refused.
    pub(crate) refuse: Option<String>,
    /// Whether the events before one that is refused are taken.
    pub(crate) takes_before: bool,
    /// The largest body, inflated.
    pub(crate) max_body_bytes: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            token: "the-token".to_owned(),
            acks: false,
            asked_before: Some(0),
            balanced: false,
            indexes: vec!["main".to_owned()],
            refuse: None,
            takes_before: false,
            max_body_bytes: 64 << 20,
        }
    }
}

#[derive(Default)]
struct Desk {
    setup: Setup,
    script: VecDeque<Meet>,
    ack_script: VecDeque<Meet>,
    held: Vec<String>,
    events: Vec<Value>,
    queries: Vec<String>,
    /// By channel, how often each request was asked for; none once it was acknowledged, which is told once.
    channels: HashMap<String, Vec<Option<usize>>>,
    requests: usize,
    questions: usize,
}

/// The double; it stops when it is dropped.
pub(crate) struct SplunkDouble {
    address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
    _tasks: JoinSet<()>,
}

impl SplunkDouble {
    pub(crate) async fn start(setup: Setup) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Mutex::new(Desk { setup, ..Desk::default() }));
        let router = axum::Router::new().fallback(serve).with_state(Arc::clone(&desk));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, desk, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set_up(&self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.desk.lock().unwrap().setup);
    }

    /// The next requests with items meet these.
    pub(crate) fn script(&self, meets: impl IntoIterator<Item = Meet>) {
        self.desk.lock().unwrap().script.extend(meets);
    }

    /// The next questions for acknowledgements meet these.
    pub(crate) fn script_acks(&self, meets: impl IntoIterator<Item = Meet>) {
        self.desk.lock().unwrap().ack_script.extend(meets);
    }

    /// The items that were taken, as they were before they became events.
    pub(crate) fn held(&self) -> Vec<String> {
        self.desk.lock().unwrap().held.clone()
    }

    /// The events that were taken, without the items.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.desk.lock().unwrap().events.clone()
    }

    /// The queries of requests with lines.
    pub(crate) fn queries(&self) -> Vec<String> {
        self.desk.lock().unwrap().queries.clone()
    }

    /// How many requests with items, and how many questions for acknowledgements there were.
    pub(crate) fn asked(&self) -> (usize, usize) {
        let desk = self.desk.lock().unwrap();
        (desk.requests, desk.questions)
    }

    /// The channels in which something was taken.
    pub(crate) fn channels(&self) -> Vec<String> {
        self.desk.lock().unwrap().channels.keys().cloned().collect()
    }
}

fn say(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, "application/json")], body.to_string())
        .into_response()
}

fn no(status: u16, code: u64) -> Response {
    say(status, &json!({"text": "no", "code": code}))
}

async fn serve(State(desk): State<Arc<Mutex<Desk>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    if path == "/services/collector/health" && parts.method == "GET" {
        let met = desk.lock().unwrap().script.pop_front();
        return meet(met).await.unwrap_or_else(|| no(200, 17));
    }
    let mut body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip") {
        let compressed = std::mem::take(&mut body);
        flate2::read::GzDecoder::new(compressed.as_slice()).read_to_end(&mut body).unwrap();
    }
    let is_ack = path == "/services/collector/ack";
    let met = {
        let mut desk = desk.lock().unwrap();
        // A probe is no request with items.
        if !body.is_empty() {
            *(if is_ack { &mut desk.questions } else { &mut desk.requests }) += 1;
        }
        if is_ack { desk.ack_script.pop_front() } else { desk.script.pop_front() }
    };
    let is_cut = matches!(met, Some(Meet::Cut));
    if let Some(answer) = meet(met).await {
        return answer;
    }
    let answer = {
        let mut desk = desk.lock().unwrap();
        let channel = match admit(&desk, &parts.headers) {
            Ok(channel) => channel,
            Err((status, code)) => return no(status, code),
        };
        match path {
            "/services/collector/ack" => desk.acks(&channel, &body, &parts.headers),
            "/services/collector/event" => desk.take_events(&channel, &body),
            "/services/collector/raw" => desk.take_lines(&channel, &body, query),
            _ => no(404, 404),
        }
    };
    if is_cut {
        // The connection ends before the answer does.
        return ([(header::CONTENT_LENGTH, "1000")], Body::from("{")).into_response();
    }
    answer
}

/// What is met; none: the collector itself, later or now.
async fn meet(met: Option<Meet>) -> Option<Response> {
    match met? {
        Meet::Answer(status, text) => {
            let mut answer = (StatusCode::from_u16(status).unwrap(), text).into_response();
            if status == 503 {
                answer.headers_mut().insert(header::RETRY_AFTER, "1".parse().unwrap());
            }
            Some(answer)
        }
        Meet::Silence => std::future::pending().await,
        Meet::Cut => None,
    }
}

fn admit(desk: &Desk, headers: &HeaderMap) -> Result<String, (u16, u64)> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
    match text("authorization").strip_prefix("Splunk ") {
        None => return Err((401, 2)),
        Some(token) if token != desk.setup.token => return Err((403, 4)),
        Some(_) => {}
    }
    let channel = text("x-splunk-request-channel");
    if desk.setup.acks && channel.is_empty() {
        return Err((400, 10));
    }
    let is_uuid = channel.len() == 36 && channel.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    if !channel.is_empty() && !is_uuid { Err((400, 11)) } else { Ok(channel.to_owned()) }
}

impl Desk {
    fn refuses(&self, item: &str) -> bool {
        self.setup.refuse.as_ref().is_some_and(|text| item.contains(text.as_str()))
    }

    fn success(&mut self, channel: &str) -> Response {
        let mut body = json!({"text": "Success", "code": 0});
        if self.setup.acks {
            let requests = self.channels.entry(channel.to_owned()).or_default();
            body["ackId"] = requests.len().into();
            requests.push(Some(0));
        }
        let mut answer = say(200, &body);
        if self.setup.balanced {
            answer.headers_mut().insert(header::SET_COOKIE, "AWSALB=indexer-3; Path=/".parse().unwrap());
        }
        answer
    }

    fn take_events(&mut self, channel: &str, body: &[u8]) -> Response {
        #[derive(serde::Deserialize)]
        struct Event {
            event: Box<RawValue>,
            index: Option<String>,
            #[serde(flatten)]
            rest: serde_json::Map<String, Value>,
        }
        if body.is_empty() {
            return no(400, 5);
        }
        if body.len() > self.setup.max_body_bytes {
            return no(413, 27);
        }
        let (mut items, mut events) = (Vec::new(), Vec::new());
        let mut refused = None;
        for (number, object) in serde_json::Deserializer::from_slice(body).into_iter::<Box<RawValue>>().enumerate() {
            let object = object.expect("a body of concatenated objects");
            // The item is kept as it came, so it is read apart from the rest.
            let event: Event =
                serde_json::from_str(object.get()).unwrap_or_else(|_| panic!("no event: {}", object.get().len()));
            if event.index.as_ref().is_some_and(|index| !self.setup.indexes.contains(index)) {
                return no(400, 7);
            }
            let item = match serde_json::from_str::<Value>(event.event.get()).unwrap() {
                Value::String(text) => text,
                _ => event.event.get().to_owned(),
            };
            if self.refuses(&item) || item.is_empty() {
                let code = if item.is_empty() { 13 } else { 6 };
                refused = Some(json!({"text": "no such event", "code": code, "invalid-event-number": number}));
                break;
            }
            items.push(item);
            let mut rest = event.rest;
            if let Some(index) = event.index {
                rest.insert("index".to_owned(), index.into());
            }
            events.push(rest.into());
        }
        if refused.is_none() || self.setup.takes_before {
            self.held.append(&mut items);
            self.events.append(&mut events);
        }
        match refused {
            Some(answer) => say(400, &answer),
            None => self.success(channel),
        }
    }

    fn take_lines(&mut self, channel: &str, body: &[u8], query: &str) -> Response {
        let text = std::str::from_utf8(body).unwrap();
        if text.trim().is_empty() {
            return no(400, 5);
        }
        if text.lines().any(|line| self.refuses(line)) {
            return no(400, 6);
        }
        self.queries.push(query.to_owned());
        self.held.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_owned));
        self.success(channel)
    }

    fn acks(&mut self, channel: &str, body: &[u8], headers: &HeaderMap) -> Response {
        if !self.setup.acks {
            return no(400, 14);
        }
        let leads_here = !self.setup.balanced || headers.get(header::COOKIE).is_some_and(|it| it == "AWSALB=indexer-3");
        let body: Value = serde_json::from_slice(body).unwrap();
        let mut told = serde_json::Map::new();
        for id in body["acks"].as_array().unwrap() {
            let id = id.as_u64().unwrap();
            let request = self.channels.get_mut(channel).and_then(|requests| requests.get_mut(id as usize));
            let is_acknowledged = match (request, self.setup.asked_before) {
                (Some(request @ Some(_)), Some(before)) if leads_here => {
                    let asked = request.unwrap_or_default();
                    *request = (asked < before).then_some(asked + 1);
                    request.is_none()
                }
                _ => false,
            };
            told.insert(id.to_string(), is_acknowledged.into());
        }
        say(200, &json!({"acks": told}))
    }
}
