//! The doubles' process: ferrokinesis and dynoxide on the loopback interface, with every call counted. It answers on
//! standard output what is asked on standard input, and ends when that ends.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aws_sdk_dynamodb::config::http::HttpRequest;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use dynoxide::Database;
use ferrokinesis::store::StoreOptions;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

use crate::double::{Addresses, Call, Calls};
use crate::push::{Push, push};

/// The most that a double is asked: five MiB of records in base64, with room.
const MAX_BODY_BYTES: usize = 8 << 20;

/// Counts calls.
#[derive(Clone)]
struct Counter {
    began: Instant,
    calls: Arc<Mutex<Calls>>,
}

/// What the proxy before DynamoDB needs.
#[derive(Clone)]
struct Proxy {
    connector: SharedHttpConnector,
    upstream: SocketAddr,
    counter: Counter,
}

/// Runs the process to its end.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("the system starts threads").block_on(run());
}

async fn run() {
    let counter = Counter { began: Instant::now(), calls: Arc::default() };
    // A thousand shards, and the few of other streams.
    let options = StoreOptions {
        create_stream_ms: 0,
        delete_stream_ms: 0,
        update_stream_ms: 0,
        shard_limit: 2000,
        ..StoreOptions::default()
    };
    let (router, store) = ferrokinesis::create_app(options);
    let router = router
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(Push::new(store), push))
        .layer(from_fn_with_state(counter.clone(), count));
    let (listener, kinesis) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });

    // The emulator gives away no router, so that the counter is a proxy.
    let (listener, upstream) = listen().await;
    tokio::spawn(dynoxide::server::serve_on(listener, Database::memory().expect("memory is there")));
    let connector = SharedHttpConnector::new(Connector::builder().build_http());
    let proxy = Proxy { connector, upstream, counter: counter.clone() };
    let router = axum::Router::new().fallback(pass_on).with_state(proxy);
    let (listener, dynamodb) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await });

    tell(&Addresses { kinesis, dynamodb });
    let mut asks = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = asks.next_line().await {
        let calls = counter.calls.lock().expect("no other thread panics").clone();
        tell(&calls);
    }
}

fn tell(what: &impl Serialize) {
    let text = serde_json::to_string(what).expect("it is plain data");
    writeln!(std::io::stdout(), "{text}").expect("the benchmark listens");
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// The operation that a call is of.
pub(crate) fn operation(headers: &HeaderMap) -> &str {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default()
}

async fn count(State(counter): State<Counter>, request: Request, next: Next) -> Response {
    let operation = operation(request.headers()).to_owned();
    *counter.calls.lock().expect("no other thread panics").kinesis.entry(operation).or_default() += 1;
    next.run(request).await
}

async fn pass_on(State(proxy): State<Proxy>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.expect("workers send whole calls");
    let input: Value = serde_json::from_slice(&body).unwrap_or_default();
    let call = Call {
        at: proxy.counter.began.elapsed(),
        caller: parts.uri.path().trim_matches('/').to_owned(),
        operation: operation(&parts.headers).to_owned(),
        lease: input["Key"]["leaseKey"]["S"].as_str().map(str::to_owned),
    };
    proxy.counter.calls.lock().expect("no other thread panics").dynamodb.push(call);
    let mut request = HttpRequest::new(body.to_vec().into());
    request.set_method(parts.method.as_str()).expect("it was one");
    request.set_uri(format!("http://{}/", proxy.upstream)).expect("it is one");
    for (name, value) in &parts.headers {
        if name != header::HOST {
            let value = value.to_str().expect("the SDK sends text").to_owned();
            request.headers_mut().append(name.as_str().to_owned(), value);
        }
    }
    match proxy.connector.call(request).await {
        Ok(response) => response.try_into_http1x().expect("it was one").map(Body::new),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
