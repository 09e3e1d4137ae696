//! A Kinesis emulator in this process, served over HTTP on the loopback interface, with faults in front of it.

use std::net::SocketAddr;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ScalingType, Shard};
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use bedrock_tap::aws::{Access, CredentialsFrom};
use bedrock_tap::source::kinesis::client::Settings;
use ferrokinesis::store::StoreOptions;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::fault::{Faults, MAX_BODY_BYTES, layer};

pub(crate) const STREAM: &str = "bedrock-logs";

/// The emulator; it stops when it is dropped.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    /// What goes wrong for readers; the writer and the operator below do not meet it.
    pub(crate) faults: Faults,
    client: Client,
    _tasks: JoinSet<()>,
}

impl Double {
    /// An emulator with one stream.
    pub(crate) async fn start(shards: i32) -> Self {
        Self::start_behind(shards, |app| app).await
    }

    /// An emulator with one stream, with something in front of its faults.
    pub(crate) async fn start_behind(shards: i32, front: impl FnOnce(axum::Router) -> axum::Router) -> Self {
        let options = StoreOptions {
            create_stream_ms: 0,
            delete_stream_ms: 0,
            update_stream_ms: 0,
            shard_limit: 1000,
            ..StoreOptions::default()
        };
        let (app, _store) = ferrokinesis::create_app(options);
        let app = app.layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
        let faults = Faults::default();
        let faulty = front(app.clone().layer(from_fn_with_state(faults.clone(), layer)));
        let mut tasks = JoinSet::new();
        let mut serve = async |app: axum::Router| {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
            address
        };
        let (address, direct) = (serve(faulty).await, serve(app).await);
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "double"))
            .endpoint_url(format!("http://{direct}"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let client = Client::from_conf(config);
        client.create_stream().stream_name(STREAM).shard_count(shards).send().await.unwrap();
        let double = Self { address, faults, client, _tasks: tasks };
        double.until_active().await;
        double
    }

    /// How a reader reaches the stream, through the faults.
    pub(crate) fn settings(&self, address: SocketAddr) -> Settings {
        let access = Access {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(format!("http://{address}")),
            credentials: CredentialsFrom::MadeUp,
            ..Access::default()
        };
        Settings { stream: STREAM.to_owned(), access }
    }

    /// Writes records, spread over the shards by their text.
    pub(crate) async fn put(&self, texts: &[String]) {
        let records: Vec<_> = texts.iter().map(|text| (key(text), text.clone().into_bytes())).collect();
        self.write(&records).await;
    }

    /// Writes records, each a partition key and data. Gives the shard and the sequence number of each.
    pub(crate) async fn write(&self, records: &[(String, Vec<u8>)]) -> Vec<(String, String)> {
        let mut written = Vec::with_capacity(records.len());
        for chunk in records.chunks(500) {
            let entry = |(key, data): &(String, Vec<u8>)| {
                let data = Blob::new(data.as_slice());
                PutRecordsRequestEntry::builder().data(data).partition_key(key).build().unwrap()
            };
            let records = chunk.iter().map(entry).collect();
            let put = self.client.put_records().stream_name(STREAM).set_records(Some(records)).send().await.unwrap();
            assert_eq!(put.failed_record_count.unwrap_or_default(), 0);
            let place = |entry: aws_sdk_kinesis::types::PutRecordsResultEntry| {
                (entry.shard_id.unwrap(), entry.sequence_number.unwrap())
            };
            written.extend(put.records.into_iter().map(place));
        }
        written
    }

    /// The stream as the keys of leases in a table of several streams name it.
    pub(crate) async fn stream_key(&self) -> String {
        let described = self.client.describe_stream_summary().stream_name(STREAM).send().await.unwrap();
        let summary = described.stream_description_summary.unwrap();
        let account = summary.stream_arn.split(':').nth(4).unwrap();
        format!("{account}:{STREAM}:{}", summary.stream_creation_timestamp.secs())
    }

    pub(crate) async fn shards(&self) -> Vec<Shard> {
        self.client.list_shards().stream_name(STREAM).send().await.unwrap().shards.unwrap_or_default()
    }

    /// The shards that are written to, by their hash keys: neighbours stand side by side.
    pub(crate) async fn open_shards(&self) -> Vec<Shard> {
        let is_open =
            |shard: &Shard| shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none());
        let mut open: Vec<_> = self.shards().await.into_iter().filter(is_open).collect();
        open.sort_by_key(|shard| shard.hash_key_range().unwrap().starting_hash_key().parse::<u128>().unwrap());
        open
    }

    /// Splits a shard in the middle.
    pub(crate) async fn split(&self, shard: &Shard) {
        let range = shard.hash_key_range().unwrap();
        let (from, to): (u128, u128) =
            (range.starting_hash_key().parse().unwrap(), range.ending_hash_key().parse().unwrap());
        let middle = (from + (to - from) / 2 + 1).to_string();
        let call = self.client.split_shard().stream_name(STREAM).shard_to_split(shard.shard_id());
        call.new_starting_hash_key(middle).send().await.unwrap();
        self.until_active().await;
    }

    /// Merges two shards that lie side by side.
    pub(crate) async fn merge(&self, left: &Shard, right: &Shard) {
        let call = self.client.merge_shards().stream_name(STREAM).shard_to_merge(left.shard_id());
        call.adjacent_shard_to_merge(right.shard_id()).send().await.unwrap();
        self.until_active().await;
    }

    /// Changes how many shards are open, by as many splits and merges as the service sees fit.
    pub(crate) async fn update_shard_count(&self, shards: i32) {
        let call = self.client.update_shard_count().stream_name(STREAM).target_shard_count(shards);
        call.scaling_type(ScalingType::UniformScaling).send().await.unwrap();
        self.until_active().await;
    }

    async fn until_active(&self) {
        until_active(&self.client, STREAM).await;
    }
}

/// Waits until the emulator has made or changed a stream, which it does after its answer.
pub(crate) async fn until_active(client: &Client, stream: &str) {
    loop {
        let described = client.describe_stream_summary().stream_name(stream).send().await.unwrap();
        let status = described.stream_description_summary().map(|summary| summary.stream_status().as_str().to_owned());
        if status.as_deref() == Some("ACTIVE") {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// A partition key that spreads: the emulator hashes it.
fn key(text: &str) -> String {
    text.chars().take(64).collect()
}
