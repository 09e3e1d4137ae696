//! The writer: puts generated records into the embedded stream the way CloudWatch Logs does, at a pace, as many
//! invocations as were asked for and not one more.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::endpoint::{Endpoint, Taken};
use crate::generator::{Generated, Generator};

/// Records of one request where there is no pace. Source: the Kinesis API reference, `PutRecords`, allows 500.
const MAX_BATCH_RECORDS: usize = 500;
/// Bytes of one request where there is no pace: large enough to be fast, small beside the 5 MiB that are allowed.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// Bytes that the endpoint holds before the writer waits for the reader and has them forgotten: the demo may run for
/// weeks, and its whole stream is in memory.
pub const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;
/// Tries of a request. The endpoint is in this process: what fails twice fails for a reason.
const MAX_TRIES: u32 = 5;
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(20);

/// What a writer needs.
pub struct Writer {
    /// Where to write.
    pub endpoint: Arc<Endpoint>,
    /// The stream's name.
    pub stream: String,
    /// What to write.
    pub generator: Generator,
    /// Invocations a second; 0 is as fast as the endpoint takes them.
    pub rate: f64,
    /// How many invocations to write; without an end where `None`.
    pub invocations: Option<u64>,
    /// How many invocations were delivered so far.
    pub delivered: watch::Receiver<u64>,
    /// Bytes that the endpoint may hold; [`MAX_HELD_BYTES`].
    pub max_held_bytes: usize,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Invocations.
    pub invocations: u64,
    /// Log events beside them: control messages, notices, lines of other log groups.
    pub others: u64,
    /// Records that held them.
    pub records: u64,
}

impl Writer {
    /// Writes until all invocations are written, or until `stop`.
    ///
    /// # Errors
    /// The endpoint does not take a record.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<Written> {
        let client = self.endpoint.client();
        let mut written = Written::default();
        let mut pace = Pace::new(self.rate, Instant::now());
        let (mut held, mut held_bytes) = (Vec::new(), 0);

        // What every new subscription and every new log begin with.
        let mut batch = vec![self.generator.control(), self.generator.notice()];
        loop {
            for record in &batch {
                written.invocations += record.request_ids.len() as u64;
                written.others += u64::from(record.others);
                written.records += 1;
                held_bytes += record.data.len();
            }
            held.extend(put(&client, &self.stream, batch).await?);
            if held_bytes > self.max_held_bytes {
                tokio::select! {
                    caught_up = self.delivered.wait_for(|delivered| *delivered >= written.invocations) => {
                        if caught_up.is_err() {
                            // Nobody reads any more.
                            return Ok(written);
                        }
                    }
                    () = stop.cancelled() => return Ok(written),
                }
                self.endpoint.forget(&self.stream, &held).await;
                held.clear();
                held_bytes = 0;
            }
            let left = self.invocations.map_or(u64::MAX, |all| all.saturating_sub(written.invocations));
            if left == 0 {
                return Ok(written);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(written),
                () = tokio::time::sleep_until(pace.due(written.invocations, Instant::now())) => {}
            }
            (self.generator, batch) = next_batch(self.generator, left, self.rate == 0.0).await?;
        }
    }
}

/// Generates away from the tasks that read: a record takes a millisecond of a processor, a full batch fifty.
async fn next_batch(mut generator: Generator, left: u64, fill: bool) -> anyhow::Result<(Generator, Vec<Generated>)> {
    let generate = move || {
        let mut left = usize::try_from(left).unwrap_or(usize::MAX);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            let record = generator.record_of_at_most(left);
            left -= record.request_ids.len().min(left);
            bytes += record.data.len();
            batch.push(record);
            if !fill || left == 0 || batch.len() == MAX_BATCH_RECORDS || bytes >= MAX_BATCH_BYTES {
                return (generator, batch);
            }
        }
    };
    tokio::task::spawn_blocking(generate).await.context("the generator failed")
}

/// Puts a batch; the records that the endpoint does not take are put again.
async fn put(client: &Client, stream: &str, batch: Vec<Generated>) -> anyhow::Result<Vec<Taken>> {
    let mut entries = Vec::with_capacity(batch.len());
    for record in batch {
        // Every record holds bytes of its own, so the end of its checksum spreads records over the shards evenly.
        let key: String = record.data.iter().rev().take(8).map(|byte| format!("{byte:02x}")).collect();
        let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(record.data)).build();
        entries.push(entry.context("a record without a partition key")?);
    }
    let mut taken = Vec::with_capacity(entries.len());
    let mut delay = FIRST_RETRY_DELAY;
    for _ in 0..MAX_TRIES {
        let request = client.put_records().stream_name(stream).set_records(Some(entries.clone()));
        let answer = request.send().await.context("the embedded endpoint takes no records")?;
        let mut refused = Vec::new();
        for (entry, result) in entries.into_iter().zip(answer.records) {
            match (result.shard_id, result.sequence_number) {
                (Some(shard), Some(sequence)) => taken.push(Taken { shard, sequence }),
                _ => refused.push(entry),
            }
        }
        if refused.is_empty() {
            return Ok(taken);
        }
        entries = refused;
        tokio::time::sleep(delay).await;
        delay *= 2;
    }
    bail!("the embedded endpoint refused {} records {MAX_TRIES} times", entries.len())
}

/// When the next record is due.
#[derive(Debug)]
struct Pace {
    rate: f64,
    start: Instant,
    /// Invocations that were written before `start`.
    base: u64,
}

/// How far behind its pace the writer may fall before it gives up catching up: a laptop that slept must not wake to a
/// flood.
const MAX_LATENESS: Duration = Duration::from_secs(2);

impl Pace {
    fn new(rate: f64, start: Instant) -> Self {
        Self { rate, start, base: 0 }
    }

    /// When the record after `written` invocations is due, seen from `now`.
    fn due(&mut self, written: u64, now: Instant) -> Instant {
        if self.rate <= 0.0 {
            return now;
        }
        let seconds = (written - self.base) as f64 / self.rate;
        // A pace so slow that its time cannot be told waits for a day at a time.
        let wait = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(86_400));
        let due = self.start.checked_add(wait).unwrap_or(now + Duration::from_secs(86_400));
        if due + MAX_LATENESS < now {
            (self.start, self.base) = (now, written);
            return now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::Profile;
    use aws_sdk_kinesis::types::ShardIteratorType;
    use std::collections::BTreeSet;
    use std::io::Read as _;

    async fn writer(invocations: Option<u64>, rate: f64) -> (Writer, watch::Sender<u64>) {
        let endpoint = Arc::new(Endpoint::start().await.unwrap());
        endpoint.create_stream("demo", 2).await.unwrap();
        let (sender, delivered) = watch::channel(0);
        let generator = Generator::new(3, Profile::demo());
        let stream = "demo".to_owned();
        (Writer { endpoint, stream, generator, rate, invocations, delivered, max_held_bytes: MAX_HELD_BYTES }, sender)
    }

    /// Everything in a shard: the messages of its log events.
    async fn messages(client: &Client, shard: &str) -> Vec<String> {
        let request = client.get_shard_iterator().stream_name("demo").shard_id(shard);
        let request = request.shard_iterator_type(ShardIteratorType::TrimHorizon);
        let mut iterator = request.send().await.unwrap().shard_iterator;
        let mut messages = Vec::new();
        loop {
            let answer = client.get_records().set_shard_iterator(iterator).send().await.unwrap();
            if answer.records.is_empty() {
                return messages;
            }
            iterator = answer.next_shard_iterator;
            for record in answer.records {
                let mut json = String::new();
                flate2::read::GzDecoder::new(record.data.as_ref()).read_to_string(&mut json).unwrap();
                let envelope: serde_json::Value = serde_json::from_str(&json).unwrap();
                let events = envelope["logEvents"].as_array().unwrap().clone();
                messages.extend(events.iter().map(|event| event["message"].as_str().unwrap().to_owned()));
            }
        }
    }

    #[tokio::test]
    async fn exactly_as_many_invocations_as_asked_reach_the_shards() {
        let (writer, _sender) = writer(Some(150), 0.0).await;
        let (client, endpoint) = (writer.endpoint.client(), Arc::clone(&writer.endpoint));
        let written = writer.run(CancellationToken::new()).await.unwrap();
        assert_eq!(written.invocations, 150);
        let mut ids = BTreeSet::new();
        let mut events = 0;
        for shard in ["shardId-000000000000", "shardId-000000000001"] {
            let messages = messages(&client, shard).await;
            assert!(messages.len() > 20, "{shard} got {}", messages.len());
            events += messages.len() as u64;
            let parsed = messages.iter().filter_map(|text| serde_json::from_str::<serde_json::Value>(text).ok());
            ids.extend(parsed.filter_map(|message| message["requestId"].as_str().map(str::to_owned)));
        }
        assert_eq!(ids.len(), 150);
        assert_eq!(events, written.invocations + written.others);
        assert!(written.others >= 2, "no control message or no notice");
        drop(endpoint);
    }

    #[tokio::test]
    async fn a_stop_ends_it() {
        let (writer, _sender) = writer(None, 0.001).await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(writer.run(stop.clone()));
        stop.cancel();
        let written = running.await.unwrap().unwrap();
        assert!(written.invocations <= 8, "{written:?}");
    }

    #[tokio::test]
    async fn it_waits_for_the_reader_before_memory_fills() {
        let (mut writer, sender) = writer(Some(1_000), 0.0).await;
        writer.max_held_bytes = 100 * 1024;
        let (client, endpoint) = (writer.endpoint.client(), Arc::clone(&writer.endpoint));
        let mut running = tokio::spawn(writer.run(CancellationToken::new()));
        let early = tokio::time::timeout(Duration::from_millis(500), &mut running).await;
        assert!(early.is_err(), "it wrote everything though nothing was read");
        sender.send_replace(u64::MAX);
        let written = running.await.unwrap().unwrap();
        assert_eq!(written.invocations, 1_000);
        let mut held = 0;
        for shard in ["shardId-000000000000", "shardId-000000000001"] {
            held += messages(&client, shard).await.len();
        }
        assert!(held < 500, "{held} of 1,000 are still held");
        drop(endpoint);
    }

    #[tokio::test]
    async fn it_ends_when_nobody_reads() {
        let (mut writer, sender) = writer(None, 0.0).await;
        writer.max_held_bytes = 100 * 1024;
        drop(sender);
        let written = writer.run(CancellationToken::new()).await.unwrap();
        assert!(written.invocations > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_pace_is_kept_and_not_made_up_for_after_a_pause() {
        let start = Instant::now();
        let mut pace = Pace::new(5.0, start);
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        assert_eq!(pace.due(0, at(0.0)), at(0.0));
        assert_eq!(pace.due(5, at(0.0)), at(1.0));
        assert_eq!(pace.due(6, at(2.0)), at(1.2), "a little late is caught up");
        assert_eq!(pace.due(10, at(3_600.0)), at(3_600.0), "an hour late is not");
        assert_eq!(pace.due(15, at(3_600.0)), at(3_601.0));
        assert_eq!(Pace::new(0.0, start).due(1_000_000, at(7.0)), at(7.0));
    }
}
