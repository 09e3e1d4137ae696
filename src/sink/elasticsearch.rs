//! The elasticsearch sink: items as documents of Elasticsearch or OpenSearch, by bulk requests that only ever create. An
//! item's id is its event's, so that what is delivered again is found to be there.

use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Url};

use self::answer::Held;
use self::auth::Auth;
use self::nodes::Nodes;
use super::aside::aside;
use super::client::{self, Answer, CallError, Client};
use super::{Batch, Sink, SinkError};
use crate::source::BoxFuture;

mod answer;
mod auth;
mod bulk;
mod index;
mod nodes;
mod probe;

pub use auth::Credentials;
pub(crate) use bulk::ACTION_BYTES;
pub use index::{Index, NameError, check_name};

/// The bytes of the largest item: a cluster takes 100 MiB a request, unless it is told otherwise (`http.max_content_length`
/// in Elasticsearch's reference, "Networking settings"). The item's action line takes its part.
pub const MAX_ITEM_BYTES: usize = (100 << 20) - 1024;

/// The most items of a request, so that an answer that gives a reason for each of them is still read.
pub const MAX_BATCH_ITEMS: usize = 10_000;

/// What of an answer is asked for: enough to tell what became of each item. Elasticsearch and OpenSearch know it alike
/// ("Common options", "Common REST parameters").
const FILTER: &str =
    "items.*._id,items.*.status,items.*.failure_store,items.*.error.type,items.*.error.reason,error.type,error.reason";

/// Where documents go, and how.
#[derive(Debug)]
pub struct Settings {
    /// The nodes, or what stands before them.
    pub urls: Vec<Url>,
    /// How requests are sent.
    pub client: client::Settings,
    /// The index, data stream or alias.
    pub index: Index,
    /// Who writes.
    pub credentials: Option<Credentials>,
    /// The ingest pipeline.
    pub pipeline: Option<String>,
    /// Whether documents get the events' ids.
    pub ids: bool,
    /// Whether requests are compressed.
    pub gzip: bool,
}

/// Writes to one cluster.
#[derive(Debug)]
pub struct Elasticsearch {
    client: Client,
    nodes: Nodes,
    auth: Auth,
    index: Arc<Index>,
    pipeline: Option<String>,
    ids: bool,
    gzip: bool,
}

impl Elasticsearch {
    /// Makes the client and reads the credentials.
    ///
    /// # Errors
    /// A secret or a file that is not there, or AWS credentials that are not found.
    pub async fn open(settings: Settings) -> anyhow::Result<Self> {
        let Settings { urls, client, index, credentials, pipeline, ids, gzip } = settings;
        Ok(Self {
            client: Client::new(&client)?,
            nodes: Nodes::new(urls),
            auth: Box::pin(Auth::new(credentials)).await?,
            index: Arc::new(index),
            pipeline,
            ids,
            gzip,
        })
    }

    async fn bulk(&self, batch: Arc<Batch>) -> Result<(), SinkError> {
        if batch.total_items() == 0 {
            return Ok(());
        }
        let body = self.body(&batch).await?;
        let (node, url) = self.nodes.next();
        let mut path = nodes::below(url, &["_bulk"]);
        path.query_pairs_mut().append_pair("filter_path", FILTER);
        if let Some(pipeline) = &self.pipeline {
            path.query_pairs_mut().append_pair("pipeline", pipeline);
        }
        let mut request =
            self.client.request(Method::POST, path).header(CONTENT_TYPE, "application/x-ndjson").body(body);
        if self.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            // An answer without an end to read in: of fewer items it is shorter.
            Err(CallFailed::Call(error @ CallError::TooLarge)) if batch.total_items() > 1 => {
                return Err(SinkError::Refused { answer: error.to_string() });
            }
            Err(CallFailed::Call(error)) => {
                self.nodes.failed(node);
                return Err(SinkError::retry(NodeError { node: nodes::name(url), source: error }));
            }
            Err(CallFailed::Auth(error)) => return Err(error),
        };
        if answer.status.is_server_error() {
            self.nodes.failed(node);
        } else {
            self.nodes.works(node);
        }
        let ids = self.ids;
        let read = aside(move || answer::read(&answer, &batch, ids)).await?;
        let read = read.map_err(|rest| rest.into_error(self.index.text()));
        if let Err(SinkError::Retry { source, .. } | SinkError::Partial { source, .. }) = &read
            && source.downcast_ref::<Held>().is_some_and(Held::is_about_access)
        {
            self.auth.renew().await;
        }
        read
    }

    /// The request's body. Compressing some megabytes takes too long for a thread that others wait for.
    async fn body(&self, batch: &Arc<Batch>) -> Result<Bytes, SinkError> {
        let (batch, index, ids, gzip) = (Arc::clone(batch), Arc::clone(&self.index), self.ids, self.gzip);
        aside(move || bulk::body(&batch, &index, ids, gzip)).await?.map_err(SinkError::retry)
    }

    /// Sends a request in the name of whoever writes.
    async fn send(&self, request: RequestBuilder) -> Result<Answer, CallFailed> {
        let (client, request) = request.build_split();
        let mut request = request.map_err(|error| CallError::NotAnswered(error.without_url()))?;
        Box::pin(self.auth.apply(&mut request)).await.map_err(CallFailed::Auth)?;
        Ok(self.client.send(RequestBuilder::from_parts(client, request)).await?)
    }
}

/// A node that gives no answer.
#[derive(Debug, thiserror::Error)]
#[error("the node {node}")]
struct NodeError {
    node: String,
    source: CallError,
}

/// Why there is no answer.
enum CallFailed {
    Auth(SinkError),
    Call(CallError),
}

impl From<CallError> for CallFailed {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<CallFailed> for SinkError {
    fn from(failed: CallFailed) -> Self {
        match failed {
            CallFailed::Auth(error) => error,
            CallFailed::Call(error) => error.into(),
        }
    }
}

impl Sink for Elasticsearch {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.bulk(batch))
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.ask())
    }
}
