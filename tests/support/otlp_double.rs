//! A scripted collector on the loopback interface: OTLP over HTTP by axum and over gRPC by tonic, with the messages and
//! the service that the OpenTelemetry project makes of its own definitions.

use std::collections::VecDeque;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use super::certificates::Authority;

/// What a request meets.
#[derive(Clone, Debug)]
pub(crate) enum Meet {
    /// An answer that does not come.
    Hang,
    /// It is taken, and the connection is cut before the answer.
    AppliedThenCut,
    /// This answer of HTTP.
    Http(u16, &'static [(&'static str, &'static str)], Vec<u8>),
    /// This answer of gRPC.
    Grpc(tonic::Status),
}

/// How records are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The whole request is.
    Whole,
    /// Its other records are taken.
    Partial,
}

#[derive(Default)]
struct Desk {
    taken: Vec<ExportLogsServiceRequest>,
    metrics: Vec<ExportMetricsServiceRequest>,
    heads: Vec<HeaderMap>,
    script: VecDeque<Meet>,
    refused: Option<(String, Refusal)>,
    requests: usize,
}

#[derive(Clone, Default)]
struct Shared {
    desk: Arc<Mutex<Desk>>,
    cut: Arc<Notify>,
}

/// The double; it stops when it is dropped.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    shared: Shared,
    _tasks: JoinSet<()>,
}

/// What becomes of a request that meets nothing.
enum Verdict {
    Meet(Meet),
    Answer(ExportLogsServiceResponse),
    Invalid(String),
}

impl Collector {
    pub(crate) async fn over_http() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (behind, shared) = (listener.local_addr().unwrap(), Shared::default());
        let router = axum::Router::new().fallback(post).with_state(shared.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self::before(behind, shared, tasks).await
    }

    pub(crate) async fn over_grpc() -> Self {
        let (behind, shared, tasks) = grpc(Server::builder()).await;
        Self::before(behind, shared, tasks).await
    }

    /// Over gRPC as `localhost`, with TLS on both sides.
    pub(crate) async fn over_tls(authority: &Authority) -> Self {
        let (certificate, key) = authority.signed("localhost");
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Certificate::from_pem(std::fs::read(authority.file()).unwrap()));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (address, shared, tasks) = grpc(Server::builder().tls_config(tls).unwrap()).await;
        Self { address, shared, _tasks: tasks }
    }

    /// Hands connections on to the server behind, and cuts them when it is told to.
    async fn before(behind: SocketAddr, shared: Shared, mut tasks: JoinSet<()>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let (address, cut) = (listener.local_addr().unwrap(), Arc::clone(&shared.cut));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut here, _)) = listener.accept().await {
                let cut = Arc::clone(&cut);
                connections.spawn(async move {
                    let Ok(mut there) = TcpStream::connect(behind).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                        () = cut.notified() => {}
                    }
                });
            }
        });
        Self { address, shared, _tasks: tasks }
    }

    pub(crate) fn script(&self, meets: impl IntoIterator<Item = Meet>) {
        self.shared.desk.lock().unwrap().script.extend(meets);
    }

    /// Records whose body has this text are refused.
    pub(crate) fn refuse(&self, text: &str, refusal: Refusal) {
        self.shared.desk.lock().unwrap().refused = Some((text.to_owned(), refusal));
    }

    /// The requests that were taken, in order.
    pub(crate) fn taken(&self) -> Vec<ExportLogsServiceRequest> {
        self.shared.desk.lock().unwrap().taken.clone()
    }

    /// The requests of metrics that were taken, in order.
    pub(crate) fn metrics(&self) -> Vec<ExportMetricsServiceRequest> {
        self.shared.desk.lock().unwrap().metrics.clone()
    }

    /// The headers of the requests that were taken.
    pub(crate) fn heads(&self) -> Vec<HeaderMap> {
        self.shared.desk.lock().unwrap().heads.clone()
    }

    /// The requests that came.
    pub(crate) fn requests(&self) -> usize {
        self.shared.desk.lock().unwrap().requests
    }

    /// The bodies of the records that were taken.
    pub(crate) fn bodies(&self) -> Vec<String> {
        self.taken().iter().flat_map(records).map(|record| body(&record)).collect()
    }
}

/// The records of a request.
pub(crate) fn records(request: &ExportLogsServiceRequest) -> Vec<LogRecord> {
    let scopes = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    scopes.flat_map(|logs| logs.log_records.clone()).collect()
}

fn body(record: &LogRecord) -> String {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}

impl Shared {
    /// What becomes of a request of metrics: what it meets, if it meets something.
    fn measure(&self, request: ExportMetricsServiceRequest, head: HeaderMap) -> Option<Meet> {
        let mut desk = self.desk.lock().unwrap();
        desk.requests += 1;
        let meet = desk.script.pop_front();
        if meet.is_none() {
            desk.metrics.push(request);
            desk.heads.push(head);
        }
        meet
    }

    fn judge(&self, mut request: ExportLogsServiceRequest, head: HeaderMap) -> Verdict {
        let mut desk = self.desk.lock().unwrap();
        desk.requests += 1;
        match desk.script.pop_front() {
            None => {}
            Some(Meet::AppliedThenCut) => {
                desk.taken.push(request);
                desk.heads.push(head);
                return Verdict::Meet(Meet::AppliedThenCut);
            }
            Some(meet) => return Verdict::Meet(meet),
        }
        let (text, refusal) = desk.refused.clone().unwrap_or((String::new(), Refusal::Whole));
        let bad = |record: &LogRecord| !text.is_empty() && body(record).contains(&text);
        let rejected = records(&request).iter().filter(|record| bad(record)).count();
        if rejected > 0 && refusal == Refusal::Whole {
            return Verdict::Invalid(format!("{rejected} records are too old"));
        }
        for logs in request.resource_logs.iter_mut().flat_map(|logs| &mut logs.scope_logs) {
            logs.log_records.retain(|record| !bad(record));
        }
        desk.taken.push(request);
        desk.heads.push(head);
        let partial_success = (rejected > 0).then(|| ExportLogsPartialSuccess {
            rejected_log_records: i64::try_from(rejected).unwrap(),
            error_message: "they are too old".into(),
        });
        Verdict::Answer(ExportLogsServiceResponse { partial_success })
    }
}

async fn post(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let is_of_metrics = parts.uri.path() == "/v1/metrics";
    if parts.method != "POST" || !is_of_metrics && parts.uri.path() != "/v1/logs" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut bytes = to_bytes(body, usize::MAX).await.unwrap_or_default().to_vec();
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip") {
        bytes = inflated(&bytes);
    }
    let kind = parts.headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    if is_of_metrics {
        assert_eq!(kind, "application/x-protobuf");
        let request = ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap();
        return match shared.measure(request, parts.headers) {
            None => {
                let body = ExportMetricsServiceResponse::default().encode_to_vec();
                ([(header::CONTENT_TYPE, kind)], body).into_response()
            }
            Some(Meet::Http(status, headers, body)) => answer(status, headers, body),
            Some(_) => std::future::pending().await,
        };
    }
    let is_json = kind == "application/json";
    let request = if is_json {
        serde_json::from_slice(&bytes).unwrap()
    } else {
        assert_eq!(kind, "application/x-protobuf");
        ExportLogsServiceRequest::decode(bytes.as_slice()).unwrap()
    };
    let (status, body) = match shared.judge(request, parts.headers) {
        Verdict::Meet(Meet::Hang) => std::future::pending().await,
        Verdict::Meet(Meet::AppliedThenCut) => {
            shared.cut.notify_waiters();
            std::future::pending().await
        }
        Verdict::Meet(Meet::Grpc(status)) => panic!("{status} over HTTP"),
        Verdict::Meet(Meet::Http(status, headers, body)) => return answer(status, headers, body),
        Verdict::Answer(answer) if is_json => (200, serde_json::to_vec(&answer).unwrap()),
        Verdict::Answer(answer) => (200, answer.encode_to_vec()),
        Verdict::Invalid(message) if is_json => {
            (400, serde_json::json!({ "code": 3, "message": message }).to_string().into())
        }
        Verdict::Invalid(message) => (400, status_message(&message)),
    };
    (StatusCode::from_u16(status).unwrap(), [(header::CONTENT_TYPE, kind)], body).into_response()
}

fn answer(status: u16, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Body::from(body)).unwrap()
}

/// A `google.rpc.Status` with this message.
pub(crate) fn status_message(message: &str) -> Vec<u8> {
    [&[8, 3, 18, u8::try_from(message.len()).unwrap()], message.as_bytes()].concat()
}

/// A status of gRPC that asks to be left alone for so many seconds.
pub(crate) fn busy(code: tonic::Code, seconds: u8) -> tonic::Status {
    let kind = b"type.googleapis.com/google.rpc.RetryInfo";
    let value = [10, 2, 8, seconds];
    let any = [&[10, u8::try_from(kind.len()).unwrap()], kind.as_slice(), &[18, 4], &value].concat();
    let status = [&[8, code as u8, 26, u8::try_from(any.len()).unwrap()], any.as_slice()].concat();
    tonic::Status::with_details(code, "busy", status.into())
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

async fn grpc(server: Server) -> (SocketAddr, Shared, JoinSet<()>) {
    let (listener, shared) = (TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), Shared::default());
    let address = listener.local_addr().unwrap();
    let routes = Routes::new(LogsServiceServer::new(Service(shared.clone())));
    let routes = routes.add_service(MetricsServiceServer::new(Service(shared.clone()))).into_axum_router();
    let routes = routes.layer(middleware::from_fn(inflate));
    let (mut server, mut tasks) = (server, JoinSet::new());
    tasks.spawn(async move {
        server.add_routes(routes.into()).serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
    });
    (address, shared, tasks)
}

/// Inflates the message of a call: tonic would do so with another gzip than the one that the crate is built with.
async fn inflate(request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(encoding) = parts.headers.remove("grpc-encoding") else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    assert_eq!(encoding, "gzip");
    let framed = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let (head, message) = framed.split_at(5);
    assert_eq!((head[0], &head[1..]), (1, u32::try_from(message.len()).unwrap().to_be_bytes().as_slice()));
    let message = inflated(message);
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let body = Bytes::from([&[0], length.as_slice(), &message].concat());
    parts.headers.remove(header::CONTENT_LENGTH);
    next.run(Request::from_parts(parts, Body::from(body))).await
}

struct Service(Shared);

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        let (metadata, _, request) = request.into_parts();
        match self.0.judge(request, metadata.into_headers()) {
            Verdict::Meet(Meet::Hang) => std::future::pending().await,
            Verdict::Meet(Meet::AppliedThenCut) => {
                self.0.cut.notify_waiters();
                tokio::time::sleep(Duration::from_secs(60)).await;
                Err(tonic::Status::aborted("cut"))
            }
            Verdict::Meet(Meet::Grpc(status)) => Err(status),
            Verdict::Meet(Meet::Http(..)) => panic!("HTTP over gRPC"),
            Verdict::Invalid(message) => Err(tonic::Status::invalid_argument(message)),
            Verdict::Answer(answer) => Ok(tonic::Response::new(answer)),
        }
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let (metadata, _, request) = request.into_parts();
        match self.0.measure(request, metadata.into_headers()) {
            None => Ok(tonic::Response::new(ExportMetricsServiceResponse::default())),
            Some(Meet::Grpc(status)) => Err(status),
            Some(_) => std::future::pending().await,
        }
    }
}
