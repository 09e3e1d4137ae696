//! The CloudWatch agent: it takes lines over TCP (source: CloudWatch user guide, "Using the CloudWatch agent to send
//! embedded metric format logs"). It answers nothing, so what the connection took counts as delivered.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::sink::{Batch, Sink, SinkError};
use crate::source::BoxFuture;

/// The agent is on the same host or beside it in the task: what takes longer is not there.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An agent that listens.
pub(super) struct Agent {
    address: String,
}

impl Agent {
    /// The one at this host and port.
    pub(super) fn at(address: String) -> Self {
        Self { address }
    }

    async fn write(&self, batch: &Batch) -> std::io::Result<()> {
        // A connection an export: they are far apart, and one that was closed meanwhile would swallow an export.
        let mut stream = TcpStream::connect(&self.address).await?;
        for part in &batch.parts {
            stream.write_all(part.bytes()).await?;
        }
        stream.shutdown().await
    }
}

impl Sink for Agent {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            match tokio::time::timeout(TIMEOUT, self.write(&batch)).await {
                Ok(written) => written.map_err(SinkError::retry),
                Err(_) => Err(SinkError::retry(format!("the agent takes nothing within {TIMEOUT:?}"))),
            }
        })
    }
}
