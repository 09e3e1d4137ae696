//! A DynamoDB emulator in this process, served over HTTP on the loopback interface, with faults in front of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use aws_sdk_dynamodb::config::http::HttpRequest;
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::{HttpConnector as _, SharedHttpConnector};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use bedrock_tap::aws::{Access, CredentialsFrom};
use bedrock_tap::lease::dynamodb::Settings;
use bedrock_tap::source::kinesis::shards::Start;
use dynoxide::Database;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::fault::{Faults, MAX_BODY_BYTES, layer};

/// The emulator; it stops when it is dropped.
pub(crate) struct DynamoDouble {
    /// Where it is reached, through the faults; by other processes, too.
    pub(crate) address: SocketAddr,
    /// What goes wrong for whoever comes by the address; the operator below does not meet it.
    pub(crate) faults: Faults,
    database: Database,
    _tasks: JoinSet<()>,
}

impl DynamoDouble {
    /// An emulator without tables.
    pub(crate) async fn start() -> Self {
        let database = Database::memory().unwrap();
        let faults = Faults::default();
        let mut tasks = JoinSet::new();
        let (direct, upstream) = listener().await;
        tasks.spawn(dynoxide::server::serve_on(direct, database.clone()));
        // The emulator gives away no router, so that the faults stand before a proxy.
        let proxy = axum::Router::new()
            .fallback(pass_on)
            .with_state((SharedHttpConnector::new(Connector::builder().build_http()), upstream))
            .layer(from_fn_with_state(faults.clone(), layer));
        let (front, address) = listener().await;
        tasks.spawn(async move { axum::serve(front, proxy).await.unwrap() });
        Self { address, faults, database, _tasks: tasks }
    }

    /// How a worker reaches a table, which it creates if need be, through the faults.
    pub(crate) fn settings(&self, table: &str) -> Settings {
        let access = Access {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(format!("http://{}", self.address)),
            credentials: CredentialsFrom::MadeUp,
            ..Access::default()
        };
        Settings { table: table.to_owned(), create: true, access, start: Start::TrimHorizon }
    }

    /// Creates a table, as CreateTable takes it.
    pub(crate) fn create_table(&self, definition: Value) {
        self.database.create_table(serde_json::from_value(definition).unwrap()).unwrap();
    }

    /// Deletes a table.
    pub(crate) fn delete_table(&self, table: &str) {
        self.database.delete_table(serde_json::from_value(json!({ "TableName": table })).unwrap()).unwrap();
    }

    /// Writes an item, as `{"leaseKey": {"S": "..."}, ...}`, in the place of one that is there.
    pub(crate) fn put(&self, table: &str, item: &Value) {
        let request = json!({ "TableName": table, "Item": item });
        self.database.put_item(serde_json::from_value(request).unwrap()).unwrap();
    }

    /// All items, by lease; none if there is no table.
    pub(crate) fn items(&self, table: &str) -> BTreeMap<String, Value> {
        let request = json!({ "TableName": table, "ConsistentRead": true });
        let Ok(answer) = self.database.scan(serde_json::from_value(request).unwrap()) else { return BTreeMap::new() };
        let answer = serde_json::to_value(answer).unwrap();
        assert!(answer["LastEvaluatedKey"].is_null(), "more than a page");
        let items = answer["Items"].as_array().cloned().unwrap_or_default();
        items.into_iter().map(|item| (item["leaseKey"]["S"].as_str().unwrap().to_owned(), item)).collect()
    }

    /// The item of a lease with all its attributes; null if there is none.
    pub(crate) fn get(&self, table: &str, key: &str) -> Value {
        let request = json!({ "TableName": table, "Key": { "leaseKey": { "S": key } } });
        let answer = self.database.get_item(serde_json::from_value(request).unwrap()).unwrap();
        serde_json::to_value(answer).unwrap()["Item"].take()
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn pass_on(State((connector, upstream)): State<(SharedHttpConnector, SocketAddr)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY_BYTES).await.unwrap();
    let mut request = HttpRequest::new(body.to_vec().into());
    request.set_method(parts.method.as_str()).unwrap();
    request.set_uri(format!("http://{upstream}/")).unwrap();
    for (name, value) in &parts.headers {
        if name != header::HOST {
            request.headers_mut().append(name.as_str().to_owned(), value.to_str().unwrap().to_owned());
        }
    }
    match connector.call(request).await {
        Ok(response) => response.try_into_http1x().unwrap().map(Body::new),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
