//! The server of the process's answers: plain HTTP, a few connections, nothing that a client sends is kept.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tracing::info;

use super::Health;
use crate::metrics::text::Form;

/// Connections at a time. Beyond them the oldest ends: whoever asks for health is not to wait for one that does nothing.
const CONNECTIONS: usize = 64;

/// How long a connection may stay without a request: longer than the intervals at which metrics are usually scraped.
const IDLE: Duration = Duration::from_secs(150);

/// The bytes of a request's head, and its headers.
const HEAD_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

/// The pause after a connection that the system could not give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The page at `/`.
const INDEX: &str = "\
bedrock-tap

/metrics  metrics in Prometheus' text or OpenMetrics
/livez    whether the process answers
/readyz   whether it is ready, and why not
/status   everything on one page of JSON
";

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    health: Arc<Health>,
}

impl Server {
    /// Begins to listen.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn open(address: SocketAddr, health: Arc<Health>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await;
        let listener = listener
            .with_context(|| format!("`http.listen`: cannot listen on {address}; choose another address or port"))?;
        let address = listener.local_addr().unwrap_or(address);
        info!(%address, "answering at /metrics, /livez, /readyz and /status");
        Ok(Self { listener, health })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until it is dropped.
    pub async fn serve(self) {
        let router = router(self.health);
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS);
        let mut connections = JoinSet::new();
        let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            let accepted = tokio::select! {
                biased;
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            oldest.retain(|connection| !connection.is_finished());
            if oldest.len() >= CONNECTIONS
                && let Some(first) = oldest.pop_front()
            {
                first.abort();
            }
            let _ = stream.set_nodelay(true);
            let (builder, service) = (builder.clone(), TowerToHyperService::new(router.clone()));
            oldest.push_back(connections.spawn(async move {
                // How a client goes away does not matter.
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            }));
        }
    }
}

fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let reasons = health.unready();
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    page(code, &json!({ "ready": reasons.is_empty(), "stage": health.stage().as_str(), "reasons": reasons }))
}

async fn status(State(health): State<Arc<Health>>) -> Response {
    page(StatusCode::OK, &health.status())
}

async fn metrics(State(health): State<Arc<Health>>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let form = Form::asked(&accept.collect::<Vec<_>>().join(","));
    ([(header::CONTENT_TYPE, form.content_type())], health.metrics(form)).into_response()
}

/// A page of JSON, for people too.
fn page(code: StatusCode, value: &Value) -> Response {
    let text = format!("{value:#}\n");
    (code, [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], text).into_response()
}
