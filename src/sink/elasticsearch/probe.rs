//! The probe: whether a cluster answers, is one that takes what is written, and lets it be written. It writes nothing.

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::{Elasticsearch, nodes};
use crate::sink::SinkError;
use crate::sink::client::{Answer, CallError};

/// The oldest version of Elasticsearch whose bulk requests name no type.
const OLDEST: u64 = 7;

/// What a cluster says of itself at `/`.
#[derive(Deserialize)]
struct Info {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    number: String,
    distribution: Option<String>,
}

/// What a cluster says of the rights that it was asked about.
#[derive(Deserialize)]
struct Rights {
    has_all_requested: bool,
}

/// Why the cluster cannot be written to.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("what answers is neither Elasticsearch nor OpenSearch")]
    Stranger,
    #[error("Elasticsearch is of a version before {OLDEST}")]
    Old,
    #[error("the cluster does not accept the credentials")]
    NotAccepted,
    #[error("the credentials may not write to the index {0}: they need the privilege `create_doc`")]
    NotAllowed(String),
}

impl Elasticsearch {
    /// Asks the nodes, until one answers.
    pub(super) async fn ask(&self) -> Result<(), SinkError> {
        let mut failed = None;
        for node in self.nodes.all() {
            match self.ask_node(node).await {
                Ok(()) => return Ok(()),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn ask_node(&self, node: &reqwest::Url) -> Result<(), SinkError> {
        let answer = self.send(self.client.request(Method::GET, nodes::below(node, &[""]))).await?;
        let is_elasticsearch = match answer.status {
            StatusCode::OK => self::about(&answer)?,
            StatusCode::UNAUTHORIZED => return Err(SinkError::retry(ProbeError::NotAccepted)),
            // Who may write need not have the right to ask this; a serverless collection has nothing to say of itself.
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                let is_product = is_product(&answer);
                if !is_product {
                    does_not_tell(answer.status);
                }
                is_product
            }
            status => return Err(CallError::Status(status).into()),
        };
        if !is_elasticsearch {
            return Ok(());
        }
        let pattern = self.index.pattern();
        let question = serde_json::json!({"index": [{"names": [pattern], "privileges": ["create_doc"]}]});
        let url = nodes::below(node, &["_security", "user", "_has_privileges"]);
        let request = self.client.request(Method::POST, url).header("content-type", "application/json");
        let answer = self.send(request.body(question.to_string())).await?;
        let rights = serde_json::from_slice::<Rights>(&answer.body).ok().filter(|_| answer.status == StatusCode::OK);
        match rights {
            Some(Rights { has_all_requested: true }) => Ok(()),
            Some(Rights { has_all_requested: false }) => Err(SinkError::retry(ProbeError::NotAllowed(pattern))),
            None if answer.status == StatusCode::UNAUTHORIZED => Err(SinkError::retry(ProbeError::NotAccepted)),
            None => {
                does_not_tell(answer.status);
                Ok(())
            }
        }
    }
}

fn does_not_tell(status: StatusCode) {
    tracing::info!(status = status.as_u16(), "the cluster does not tell whether it can be written to");
}

/// Whether a cluster is Elasticsearch, by what it says of itself.
fn about(answer: &Answer) -> Result<bool, SinkError> {
    let Ok(Info { version }) = serde_json::from_slice::<Info>(&answer.body) else {
        return Err(SinkError::retry(ProbeError::Stranger));
    };
    if version.distribution.as_deref() == Some("opensearch") {
        return Ok(false);
    }
    let major = version.number.split('.').next().and_then(|major| major.parse::<u64>().ok());
    match major {
        None => Err(SinkError::retry(ProbeError::Stranger)),
        Some(..OLDEST) => Err(SinkError::retry(ProbeError::Old)),
        // From 7.14 on, Elasticsearch says so in each answer; OpenSearch may pretend to be 7.10.
        Some(_) => Ok(true),
    }
}

fn is_product(answer: &Answer) -> bool {
    answer.headers.get("x-elastic-product").is_some_and(|product| product == "Elasticsearch")
}
