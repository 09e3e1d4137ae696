//! Faults in front of an HTTP double: answers that are made up, rewritten, late or cut short, and connections that are
//! dropped.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The most that a double answers or is asked: a GetRecords answer of 10 MiB in base64, with room.
pub(crate) const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// What becomes of a call.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The call goes through.
    None,
    /// It is not passed on; this status and error code come back.
    Error(u16, &'static str),
    /// It is passed on; its answer is lost: 500 comes back.
    Lost,
    /// It is passed on; its answer breaks off in the middle, and the connection with it.
    Cut,
    /// It is passed on, later.
    Late(Duration),
}

type Rewrite = Arc<dyn Fn(&Value, Value) -> Value + Send + Sync>;

/// What goes wrong, by operation: as scripted, in order.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    script: Arc<Mutex<VecDeque<(&'static str, Fault)>>>,
    rewrites: Arc<Mutex<Vec<(&'static str, Rewrite)>>>,
    met: Arc<Mutex<usize>>,
}

impl Faults {
    /// The next calls of the operation meet these.
    pub(crate) fn script(&self, operation: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.script.lock().unwrap().extend(faults.into_iter().map(|fault| (operation, fault)));
    }

    /// Every answer of the operation becomes what this makes of the input and the answer.
    pub(crate) fn rewrite(
        &self,
        operation: &'static str,
        rewrite: impl Fn(&Value, Value) -> Value + Send + Sync + 'static,
    ) {
        self.rewrites.lock().unwrap().push((operation, Arc::new(rewrite)));
    }

    /// Nothing goes wrong any more.
    pub(crate) fn clear(&self) {
        self.script.lock().unwrap().clear();
    }

    /// How many faults were met.
    pub(crate) fn met(&self) -> usize {
        *self.met.lock().unwrap()
    }

    fn next(&self, operation: &str) -> Fault {
        let mut script = self.script.lock().unwrap();
        let Some(at) = script.iter().position(|(of, _)| *of == operation) else { return Fault::None };
        *self.met.lock().unwrap() += 1;
        script.remove(at).map_or(Fault::None, |(_, fault)| fault)
    }

    fn rewrite_of(&self, operation: &str) -> Option<Rewrite> {
        let rewrites = self.rewrites.lock().unwrap();
        rewrites.iter().find(|(of, _)| *of == operation).map(|(_, rewrite)| Arc::clone(rewrite))
    }
}

/// The layer: put it in front of a double with `axum::middleware::from_fn_with_state`.
pub(crate) async fn layer(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let operation = operation(request.headers());
    let fault = faults.next(&operation);
    match fault {
        Fault::Error(status, code) => return error(status, code),
        Fault::Late(time) => tokio::time::sleep(time).await,
        _ => {}
    }
    let rewrite = faults.rewrite_of(&operation);
    let response = match rewrite {
        Some(rewrite) => rewritten(request, next, &rewrite).await,
        None => next.run(request).await,
    };
    match fault {
        Fault::Lost => error(500, "InternalFailureException"),
        Fault::Cut => cut(response).await,
        _ => response,
    }
}

fn operation(headers: &HeaderMap) -> String {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default().to_owned()
}

/// An error in the JSON protocols of AWS.
pub(crate) fn error(status: u16, code: &str) -> Response {
    let body = json!({ "__type": code, "message": "scripted" }).to_string();
    (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], body)
        .into_response()
}

async fn rewritten(request: Request, next: Next, rewrite: &Rewrite) -> Response {
    let (parts, body) = request.into_parts();
    let input = to_bytes(body, MAX_BODY_BYTES).await.unwrap();
    let value = |bytes: &Bytes| serde_json::from_slice(bytes).unwrap_or(Value::Null);
    // What the rewritten operation is asked may mean nothing to the double, such as a token of the rewrite's own.
    let asked = value(&input);
    let response = next.run(Request::from_parts(parts, Body::from(input))).await;
    let answer = to_bytes(response.into_body(), MAX_BODY_BYTES).await.unwrap();
    rewrite(&asked, value(&answer)).to_string().into_response()
}

/// Announces the whole answer and gives half of it: the server then closes the connection.
pub(crate) async fn cut(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = to_bytes(body, MAX_BODY_BYTES).await.unwrap();
    parts.headers.insert(header::CONTENT_LENGTH, whole.len().into());
    Response::from_parts(parts, Body::new(Half(Some(whole.slice(..whole.len() / 2)))))
}

/// A body that gives its bytes, then hangs up.
struct Half(Option<Bytes>);

impl http_body::Body for Half {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        let half = self.0.take().map(|bytes| Ok(http_body::Frame::data(bytes)));
        std::task::Poll::Ready(Some(half.unwrap_or_else(|| Err(std::io::Error::other("cut")))))
    }
}

/// How a proxy passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// What comes is passed on.
    Open,
    /// Connections are dropped, and new ones as soon as they are made.
    Refused,
    /// Connections are made and stay, and nothing comes through.
    Silent,
}

/// A proxy whose connections can be dropped, all at once, or held up until further notice.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    link: watch::Sender<Link>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// A proxy on the loopback interface; it stops when it is dropped.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let link = watch::Sender::new(Link::Open);
        let links = link.subscribe();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let mut link = links.clone();
                link.mark_unchanged();
                connections.spawn(pass(client, upstream, link));
                // Those that are over go.
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, link, _task: task }
    }

    /// Drops all connections.
    pub(crate) fn cut(&self) {
        self.link.send_modify(|_| ());
    }

    /// From now on passes on like this. Connections that were made before do not outlive the change.
    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

/// Passes on one connection until it ends, or the link changes.
async fn pass(mut client: TcpStream, upstream: SocketAddr, mut link: watch::Receiver<Link>) {
    let now = *link.borrow_and_update();
    if now == Link::Open {
        let Ok(mut server) = TcpStream::connect(upstream).await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            changed = link.changed() => if changed.is_err() { return },
        }
    }
    // Whoever waits for an answer is left waiting.
    while *link.borrow_and_update() == Link::Silent {
        if link.changed().await.is_err() {
            return;
        }
    }
}
