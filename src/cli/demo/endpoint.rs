//! The embedded endpoint: a Kinesis-compatible service in this process, on a loopback port of its own. It holds its
//! records in memory, asks for no credentials and reaches no network.

use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::types::StreamStatus;
use axum::extract::DefaultBodyLimit;
use ferrokinesis::sequence::shard_ix_to_hex;
use ferrokinesis::store::{Store, StoreOptions};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Room for a request of 5 MiB of records, which base64 makes 6.7 MiB. Source of the 5 MiB: the Kinesis API
/// reference, `PutRecords`; the router's own limit is 2 MiB.
const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;
/// A stream in memory is there at once; a second is for a machine that is very busy.
const ACTIVE_POLLS: usize = 100;
const ACTIVE_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A running endpoint; it ends when this is dropped.
pub struct Endpoint {
    url: String,
    store: Store,
    _server: AbortOnDropHandle<()>,
}

/// A record as the endpoint took it: enough to forget it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The shard's id.
    pub shard: String,
    /// The record's sequence number.
    pub sequence: String,
}

impl Endpoint {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn start() -> anyhow::Result<Self> {
        let options =
            StoreOptions { create_stream_ms: 0, delete_stream_ms: 0, update_stream_ms: 0, ..StoreOptions::default() };
        let (router, store) = ferrokinesis::create_app(options);
        let router = router.layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES));
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("cannot listen on a port of 127.0.0.1 for the embedded endpoint")?;
        let address = listener.local_addr().context("the embedded endpoint has no address")?;
        let server = tokio::spawn(async move {
            // Serving ends only with the task: accept errors are retried inside.
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the embedded endpoint ended");
            }
        });
        Ok(Self { url: format!("http://{address}"), store, _server: AbortOnDropHandle::new(server) })
    }

    /// Where it listens, as `--endpoint-url` takes it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client that reaches it: with made-up credentials, past every proxy, and without a look at the user's AWS
    /// configuration.
    pub fn client(&self) -> Client {
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .endpoint_url(&self.url)
            .credentials_provider(Credentials::new("demo", "demo", None, None, "embedded endpoint"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::standard())
            .build();
        Client::from_conf(config)
    }

    /// Makes a stream and waits until it can be written.
    ///
    /// # Errors
    /// The endpoint refuses, or the stream does not become active.
    pub async fn create_stream(&self, name: &str, shards: i32) -> anyhow::Result<()> {
        let client = self.client();
        client.create_stream().stream_name(name).shard_count(shards).send().await.context("cannot make the stream")?;
        for _ in 0..ACTIVE_POLLS {
            let answer = client.describe_stream_summary().stream_name(name).send().await;
            let answer = answer.context("cannot describe the stream")?;
            let status = answer.stream_description_summary().map(|summary| summary.stream_status().clone());
            if status == Some(StreamStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(ACTIVE_POLL_INTERVAL).await;
        }
        bail!("the stream {name} of the embedded endpoint does not become active")
    }

    /// Gives back the memory of records that nobody will read any more.
    pub async fn forget(&self, stream: &str, records: &[Taken]) {
        let key = |taken: &Taken| {
            // The store keys a record by its shard's number in hexadecimal and its sequence number.
            let shard = taken.shard.rsplit('-').next()?.parse().ok()?;
            Some(format!("{}/{}", shard_ix_to_hex(shard), taken.sequence))
        };
        let keys: Vec<String> = records.iter().filter_map(key).collect();
        self.store.delete_record_keys(stream, &keys).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::primitives::Blob;
    use aws_sdk_kinesis::types::ShardIteratorType;

    async fn held(client: &Client, shard: &str) -> usize {
        let iterator = client.get_shard_iterator().stream_name("s").shard_id(shard);
        let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
        let records = client.get_records().set_shard_iterator(iterator.shard_iterator).send().await.unwrap();
        records.records.iter().map(|record| record.data.as_ref().len()).sum()
    }

    #[tokio::test]
    async fn it_takes_the_largest_request_and_forgets_what_it_is_told() {
        let endpoint = Endpoint::start().await.unwrap();
        endpoint.create_stream("s", 1).await.unwrap();
        let client = endpoint.client();
        let mut taken = Vec::new();
        for _ in 0..2 {
            let put = client.put_record().stream_name("s").partition_key("k");
            let put = put.data(Blob::new(vec![7; 1_000_000])).send().await.unwrap();
            taken.push(Taken { shard: put.shard_id, sequence: put.sequence_number });
        }
        // Four records of 1 MB in one request are more than the router's own 2 MiB.
        let entry = || {
            let entry = aws_sdk_kinesis::types::PutRecordsRequestEntry::builder();
            entry.partition_key("k").data(Blob::new(vec![7; 1_000_000])).build().unwrap()
        };
        let put = client.put_records().stream_name("s").set_records(Some((0..4).map(|_| entry()).collect()));
        let put = put.send().await.unwrap();
        assert_eq!(put.failed_record_count, Some(0));

        let shard = taken[0].shard.clone();
        assert_eq!(held(&client, &shard).await, 6_000_000);
        endpoint.forget("s", &taken).await;
        assert_eq!(held(&client, &shard).await, 4_000_000);
    }

    #[tokio::test]
    async fn it_ends_when_it_is_dropped() {
        let endpoint = Endpoint::start().await.unwrap();
        let address = endpoint.url().trim_start_matches("http://").to_owned();
        assert!(tokio::net::TcpStream::connect(&address).await.is_ok());
        drop(endpoint);
        // The task is aborted at its next poll, which is due as soon as this one yields.
        for _ in 0..1000 {
            if tokio::net::TcpStream::connect(&address).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("the port is still open");
    }
}
