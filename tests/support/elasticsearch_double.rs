//! A scripted Elasticsearch on the loopback interface: documents by index and id in the order in which they came, a strict
//! reader of bulk requests, and what the next ones meet instead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What a request meets.
#[derive(Clone, Debug)]
pub(crate) enum Meet {
    /// This status, with this body. Nothing is taken.
    Status(u16, String),
    /// Nothing, for longer than anybody waits. Nothing is taken.
    Silence,
    /// All is taken, and the connection is cut before the answer.
    AppliedThenCut,
    /// Every second item gets this status and type of error; the others are taken.
    Items(u16, &'static str, &'static str),
    /// All is taken, and this is the answer.
    Lie(String),
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What the double holds and does.
#[derive(Default)]
pub(crate) struct Shelf {
    /// Documents with their index and id, in the order in which they came.
    pub(crate) held: Vec<(String, String, String)>,
    pub(crate) script: VecDeque<Meet>,
    /// Documents with this text do not fit the mapping.
    pub(crate) unfit: Option<String>,
    /// The header `Authorization` that is taken, if one has to be.
    pub(crate) authorization: Option<String>,
    /// The rights that are told; none does not tell.
    pub(crate) may_write: Option<bool>,
    /// What is told at `/`.
    pub(crate) info: Option<(u16, String)>,
    pub(crate) asked: Vec<Asked>,
    ids: BTreeSet<(String, String)>,
    /// Faults of requests against the protocol; there must be none.
    pub(crate) faults: Vec<String>,
}

/// The double; it stops when it is dropped.
pub(crate) struct ElasticsearchDouble {
    pub(crate) address: SocketAddr,
    pub(crate) shelf: Arc<Mutex<Shelf>>,
    _tasks: JoinSet<()>,
}

impl ElasticsearchDouble {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shelf = Arc::<Mutex<Shelf>>::default();
        let router = axum::Router::new().fallback(answer).layer(DefaultBodyLimit::disable());
        let router = router.with_state(Arc::clone(&shelf));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shelf, _tasks: tasks }
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests meet these.
    pub(crate) fn script(&self, meets: impl IntoIterator<Item = Meet>) {
        self.shelf.lock().unwrap().script.extend(meets);
    }

    /// The documents, by their index.
    pub(crate) fn by_index(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for (index, ..) in &self.shelf.lock().unwrap().held {
            *found.entry(index.clone()).or_default() += 1;
        }
        found
    }

    /// The requests that came, of which none broke the protocol.
    #[track_caller]
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let shelf = self.shelf.lock().unwrap();
        assert_eq!(shelf.faults, Vec::<String>::new());
        shelf.asked.clone()
    }
}

async fn answer(State(shelf): State<Arc<Mutex<Shelf>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let asked = Asked { method: parts.method, uri: parts.uri, headers: parts.headers, body };
    let meet = {
        let mut shelf = shelf.lock().unwrap();
        shelf.asked.push(asked.clone());
        let authorization = asked.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if shelf.authorization.is_some() && shelf.authorization.as_deref() != authorization {
            return error(401, "security_exception", "unable to authenticate");
        }
        if asked.uri.path() != "/_bulk" { None } else { shelf.script.pop_front() }
    };
    let meet = match meet {
        Some(Meet::Status(status, text)) => return status_of(status, text),
        Some(Meet::Silence) => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return status_of(500, String::new());
        }
        meet => meet,
    };
    let mut shelf = shelf.lock().unwrap();
    match (asked.method.as_str(), asked.uri.path()) {
        ("GET", "/") => {
            let known = json!({"version": {"number": "9.1.0"}, "tagline": "You Know, for Search"});
            let (status, text) = shelf.info.clone().unwrap_or((200, known.to_string()));
            status_of(status, text)
        }
        ("POST", "/_security/user/_has_privileges") => match shelf.may_write {
            Some(may) => status_of(200, json!({"has_all_requested": may}).to_string()),
            None => error(400, "illegal_argument_exception", "no handler"),
        },
        ("POST", "/_bulk") => bulk(&mut shelf, &asked, meet),
        (method, path) => {
            shelf.faults.push(format!("{method} {path}"));
            error(405, "illegal_argument_exception", "no handler")
        }
    }
}

fn bulk(shelf: &mut Shelf, asked: &Asked, meet: Option<Meet>) -> Response {
    let pairs = match actions(asked) {
        Ok(pairs) => pairs,
        Err(fault) => {
            shelf.faults.push(fault.clone());
            return error(400, "illegal_argument_exception", &fault);
        }
    };
    let mut items = Vec::new();
    for (n, (index, id, document)) in pairs.into_iter().enumerate() {
        let made = format!("made-up-{}", shelf.held.len());
        let key = (index.clone(), id.clone().unwrap_or(made));
        let failed = match &meet {
            Some(Meet::Items(status, kind, reason)) if n % 2 == 1 => Some((*status, *kind, (*reason).to_owned())),
            _ if shelf.unfit.as_ref().is_some_and(|unfit| document.contains(unfit)) => {
                Some((400, "document_parsing_exception", format!("[1:1] failed to parse: {document}")))
            }
            _ if shelf.ids.contains(&key) => {
                Some((409, "version_conflict_engine_exception", "document already exists".to_owned()))
            }
            _ => None,
        };
        // Only what the request's `filter_path` asks for.
        items.push(match failed {
            Some((status, kind, reason)) => {
                json!({"create": {"_id": key.1, "status": status, "error": {"type": kind, "reason": reason}}})
            }
            None => {
                shelf.ids.insert(key.clone());
                shelf.held.push((index, key.1.clone(), document));
                json!({"create": {"_id": key.1, "status": 201}})
            }
        });
    }
    match meet {
        Some(Meet::AppliedThenCut) => {
            // Less than was promised.
            ([(header::CONTENT_LENGTH, "1000")], Body::from("{\"items\":[")).into_response()
        }
        Some(Meet::Lie(text)) => status_of(200, text),
        _ => status_of(200, json!({"items": items}).to_string()),
    }
}

/// The documents of a bulk request with their index and id; an error says what a cluster would not take.
fn actions(asked: &Asked) -> Result<Vec<(String, Option<String>, String)>, String> {
    let fault = |what: &str| Err(what.to_owned());
    if asked.headers.get(header::CONTENT_TYPE).is_none_or(|value| value != "application/x-ndjson") {
        return fault("not as application/x-ndjson");
    }
    let text = match asked.headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap()) {
        Some("gzip") => {
            let mut text = String::new();
            let read = flate2::read::MultiGzDecoder::new(&*asked.body).read_to_string(&mut text);
            read.map_err(|error| format!("no gzip: {error}"))?;
            text
        }
        None => String::from_utf8(asked.body.to_vec()).map_err(|error| error.to_string())?,
        Some(other) => return Err(format!("compressed as {other}")),
    };
    let Some(text) = text.strip_suffix('\n') else { return fault("does not end with a newline") };
    let lines: Vec<&str> = text.split('\n').collect();
    let (pairs, []) = lines.as_chunks::<2>() else { return fault("a document is missing") };
    let mut found = Vec::new();
    for [action, document] in pairs {
        let action: Value = serde_json::from_str(action).map_err(|error| format!("no action: {error}"))?;
        let (Some(create), Some(1)) = (action["create"].as_object(), action.as_object().map(serde_json::Map::len))
        else {
            return fault("not a create");
        };
        let Some(index) = create.get("_index").and_then(Value::as_str) else { return fault("no index") };
        let id = create.get("_id").map(|id| id.as_str().unwrap_or_default().to_owned());
        if create.len() != 1 + usize::from(id.is_some()) {
            return fault("unknown members");
        }
        let is_object = serde_json::from_str::<Value>(document).is_ok_and(|document| document.is_object());
        if !is_object {
            return fault("a document that is no object");
        }
        found.push((index.to_owned(), id, (*document).to_owned()));
    }
    Ok(found)
}

fn status_of(status: u16, text: String) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap(), text).into_response();
    if status == 429 {
        response.headers_mut().insert(header::RETRY_AFTER, "1".parse().unwrap());
    }
    response
}

fn error(status: u16, kind: &str, reason: &str) -> Response {
    status_of(status, json!({"error": {"type": kind, "reason": reason}, "status": status}).to_string())
}
