//! The writer: realistic subscription records with known request ids, put to the shards of a stream.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::StreamStatus;
use bedrock_tap::generator::{Generator, Profile};

/// A stream in memory is there at once; ten seconds are for a machine that is very busy.
const ACTIVE_POLLS: usize = 1000;

/// Writes to one stream.
pub(crate) struct Writer {
    client: Client,
    stream: String,
    shards: u32,
    generator: Generator,
    random: u64,
}

/// A record that was put.
pub(crate) struct Put {
    /// Bytes of the record.
    pub(crate) bytes: usize,
    /// The ids of its invocations, one at least.
    pub(crate) request_ids: Vec<String>,
    pub(crate) shard_id: String,
    pub(crate) sequence_number: String,
    /// Just before PutRecord was sent.
    pub(crate) began: Instant,
    /// When it was answered.
    pub(crate) ended: Instant,
}

impl Writer {
    /// Makes a stream.
    pub(crate) async fn create(client: Client, stream: &str, shards: u32, seed: u64) -> Self {
        let count = i32::try_from(shards).expect("streams are not that large");
        client.create_stream().stream_name(stream).shard_count(count).send().await.expect("the double makes streams");
        for _ in 0..ACTIVE_POLLS {
            let described = client.describe_stream_summary().stream_name(stream).send().await;
            let described = described.expect("the double describes streams");
            if described.stream_description_summary.is_some_and(|it| it.stream_status == StreamStatus::Active) {
                let generator = Generator::new(seed, Profile::bench());
                return Self { client, stream: stream.to_owned(), shards, generator, random: seed | 1 };
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the stream {stream} does not become active");
    }

    /// Puts one record of up to `invocations` to a shard.
    pub(crate) async fn put(&mut self, shard: u32, invocations: usize) -> Put {
        let record = loop {
            let record = self.generator.record_of_at_most(invocations);
            if !record.request_ids.is_empty() {
                break record;
            }
        };
        let bytes = record.data.len();
        // Shards of a new stream divide the hash keys evenly.
        let hash_key = u128::MAX / u128::from(self.shards) * u128::from(shard) + u128::from(u64::MAX);
        let call = self.client.put_record().stream_name(&self.stream).partition_key("key");
        let call = call.explicit_hash_key(hash_key.to_string()).data(Blob::new(record.data));
        let began = Instant::now();
        let put = call.send().await.expect("the double takes records");
        let ended = Instant::now();
        let (shard_id, sequence_number) = (put.shard_id, put.sequence_number);
        Put { bytes, request_ids: record.request_ids, shard_id, sequence_number, began, ended }
    }

    /// A shard, at random.
    pub(crate) fn any_shard(&mut self) -> u32 {
        (self.next() % u64::from(self.shards)) as u32
    }

    /// A time, at random.
    pub(crate) fn any_time(&mut self, from: Duration, to: Duration) -> Duration {
        from + (to - from).mul_f64((self.next() % 10_000) as f64 / 10_000.0)
    }

    /// The next of a seeded sequence: the timing of two runs is meant to be comparable, not unpredictable.
    fn next(&mut self) -> u64 {
        // Source: Marsaglia, "Xorshift RNGs", 2003.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 16
    }
}
