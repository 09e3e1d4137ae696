//! A scripted HTTP endpoint on the loopback interface, with TLS and HTTP/2 if asked: it hands each request to an intake,
//! which says what is taken of it, unless something else was told to happen.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Version, header};
use axum::response::{IntoResponse as _, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body, inflated if it is compressed.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        match self.header("content-encoding") {
            "gzip" => {
                std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&self.body[..]), &mut text).unwrap();
            }
            "" => text = String::from_utf8(self.body.clone()).unwrap(),
            other => panic!("a body in {other}"),
        }
        text
    }
}

/// What the next request meets.
#[derive(Clone, Debug)]
pub(crate) enum Meet {
    /// This status, with these headers; nothing is taken.
    Status(u16, Vec<(&'static str, String)>),
    /// No answer; nothing is taken.
    Silence,
    /// It is taken, and the connection is cut.
    TakenThenCut,
}

/// The items that are taken of a request, or the status and text that it is answered with.
pub(crate) type Intake = Arc<dyn Fn(&Seen) -> Result<Vec<String>, (u16, String)> + Send + Sync>;

struct Inner {
    intake: Intake,
    script: Mutex<VecDeque<Meet>>,
    refused: Mutex<Option<String>>,
    held: Mutex<Vec<String>>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
}

/// The double; it stops when it is dropped.
pub(crate) struct HttpDouble {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
    _tasks: JoinSet<()>,
}

impl HttpDouble {
    pub(crate) async fn start(
        intake: impl Fn(&Seen) -> Result<Vec<String>, (u16, String)> + Send + Sync + 'static,
    ) -> Self {
        Self::with_tls(None, intake).await
    }

    pub(crate) async fn with_tls(
        tls: Option<rustls::ServerConfig>,
        intake: impl Fn(&Seen) -> Result<Vec<String>, (u16, String)> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Inner {
            intake: Arc::new(intake),
            script: Mutex::default(),
            refused: Mutex::default(),
            held: Mutex::default(),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let router = axum::Router::new().fallback(handle).with_state(Arc::clone(&inner));
        let (acceptor, counted) = (tls.map(|tls| TlsAcceptor::from(Arc::new(tls))), Arc::clone(&inner));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.connections.fetch_add(1, Ordering::Relaxed);
                let (router, acceptor) = (TowerToHyperService::new(router.clone()), acceptor.clone());
                connections.spawn(async move {
                    let builder = Builder::new(TokioExecutor::new());
                    // A client that goes away is no failure of the double.
                    let _ = match acceptor {
                        None => builder.serve_connection(TokioIo::new(stream), router).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => builder.serve_connection(TokioIo::new(stream), router).await,
                            Err(_) => Ok(()),
                        },
                    };
                });
            }
        });
        Self { address, inner, _tasks: tasks }
    }

    pub(crate) fn script(&self, meets: impl IntoIterator<Item = Meet>) {
        self.inner.script.lock().unwrap().extend(meets);
    }

    /// Requests with this text in them are answered with 400.
    pub(crate) fn refuse(&self, text: &str) {
        *self.inner.refused.lock().unwrap() = Some(text.to_owned());
    }

    pub(crate) fn held(&self) -> Vec<String> {
        self.inner.held.lock().unwrap().clone()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.inner.connections.load(Ordering::Relaxed)
    }
}

async fn handle(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default().to_vec();
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let seen = Seen { method: parts.method, target, version: parts.version, headers: parts.headers, body };
    inner.seen.lock().unwrap().push(seen.clone());
    let meet = inner.script.lock().unwrap().pop_front();
    match &meet {
        Some(Meet::Status(status, headers)) => {
            let mut response = StatusCode::from_u16(*status).unwrap().into_response();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            return response;
        }
        Some(Meet::Silence) => {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        Some(Meet::TakenThenCut) | None => {}
    }
    if let Some(text) = inner.refused.lock().unwrap().as_ref()
        && seen.text().contains(text)
    {
        return (StatusCode::BAD_REQUEST, format!("{{\"error\":\"{text} is not wanted\"}}")).into_response();
    }
    match (inner.intake)(&seen) {
        Ok(items) => inner.held.lock().unwrap().extend(items),
        Err((status, text)) => return (StatusCode::from_u16(status).unwrap(), text).into_response(),
    }
    if meet.is_some() {
        // Ends the connection without an answer, and without a word in the test's output.
        std::panic::resume_unwind(Box::new(()));
    }
    Response::builder().status(200).header(header::CONTENT_TYPE, "text/plain").body(Body::from("ok")).unwrap()
}
