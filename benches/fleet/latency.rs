//! From PutRecord to the sink: records at random times, read by two workers at once, one by enhanced fan-out and one by
//! polling. A bare subscription of the SDK beside them tells what the double and the machine take of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition, SubscribeToShardEventStream};
use tokio::time::sleep;

use crate::double::Double;
use crate::report::{Row, millis, percentile, spread};
use crate::worker::Worker;
use crate::writer::{Put, Writer};

const STREAM: &str = "latency";
const SHARDS: u32 = 4;
const PUTS: usize = 350;
/// The pause between two puts: each shard is mostly caught up.
const PAUSE: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(250)];
/// What the targets are about: the polling worker's `max_idle`, the default.
const MAX_IDLE: Duration = Duration::from_secs(1);
const FAN_OUT_TARGET: Duration = Duration::from_millis(50);
const POLLING_TARGET: Duration = Duration::from_millis(1100);
/// Everything that can be delivered is by then.
const PATIENCE: Duration = Duration::from_secs(20);

/// When a bare subscription had a record, by shard and sequence number.
type Seen = Arc<Mutex<HashMap<(String, String), Instant>>>;

/// Measures, and gives its lines of the table.
pub(crate) async fn measure() -> Vec<Row> {
    let double = Double::start();
    let mut writer = Writer::create(double.client(), STREAM, SHARDS, 20_261_007).await;
    let source = double.source(STREAM);
    let fan_out = Worker::start(&format!("{source}mode = \"fan-out\"\nregister_consumer = true\n"), "");
    let polling = Worker::start(&format!("{source}max_idle = \"{}s\"\n", MAX_IDLE.as_secs()), "");
    let seen = subscribe(&double.client()).await;
    // The first records find connections that are not made yet.
    let mut warm = Vec::new();
    for shard in (0..SHARDS).cycle().take(20) {
        warm.push(writer.put(shard, 20).await);
        sleep(Duration::from_millis(100)).await;
    }
    latencies(&fan_out, &warm, "fan-out").await;
    latencies(&polling, &warm, "polling").await;

    let mut puts = Vec::with_capacity(PUTS);
    for _ in 0..PUTS {
        let shard = writer.any_shard();
        puts.push(writer.put(shard, 20).await);
        sleep(writer.any_time(PAUSE[0], PAUSE[1])).await;
    }
    let mut pushed = latencies(&fan_out, &puts, "fan-out").await;
    let mut polled = latencies(&polling, &puts, "polling").await;
    let seen = seen.lock().expect("no subscriber panics");
    let bare = |put: &Put| {
        let at = seen.get(&(put.shard_id.clone(), put.sequence_number.clone()));
        at.map(|at| at.saturating_duration_since(put.began)).expect("the bare subscription has every record")
    };
    let mut bare: Vec<Duration> = puts.iter().map(bare).collect();
    let mut acknowledged: Vec<Duration> = puts.iter().map(|put| put.ended - put.began).collect();
    let invocations: usize = puts.iter().map(|put| put.request_ids.len()).sum();
    let (pushed_high, polled_high) = (percentile(&mut pushed, 99), percentile(&mut polled, 99));
    vec![
        Row::target(
            format!("PutRecord to the sink, fan-out ({PUTS} records, {invocations} invocations, {SHARDS} shards)"),
            spread(&mut pushed),
            &format!("p99 under {}", millis(FAN_OUT_TARGET)),
            pushed_high < FAN_OUT_TARGET,
        ),
        Row::told("— of which PutRecord until it is acknowledged", spread(&mut acknowledged)),
        Row::told("— a bare subscription of the SDK beside it", spread(&mut bare)),
        Row::target(
            "PutRecord to the sink, polling, `max_idle` 1 s (the same records)",
            spread(&mut polled),
            &format!("p99 under {}", millis(POLLING_TARGET)),
            polled_high < POLLING_TARGET,
        ),
    ]
}

/// The time from just before each put to the line of its last invocation.
async fn latencies(worker: &Worker, puts: &[Put], mode: &str) -> Vec<Duration> {
    let deadline = Instant::now() + PATIENCE;
    let mut latencies = Vec::with_capacity(puts.len());
    for put in puts {
        let last = put.request_ids.last().expect("a record has an invocation at least");
        let arrived = loop {
            if let Some(arrived) = worker.arrival(last) {
                break arrived;
            }
            assert!(Instant::now() < deadline, "{mode} did not deliver all:\n{}", worker.log());
            sleep(Duration::from_millis(10)).await;
        };
        latencies.push(arrived - put.began);
    }
    latencies
}

/// Subscribes to every shard with the SDK alone.
async fn subscribe(client: &Client) -> Seen {
    let stream = client.describe_stream_summary().stream_name(STREAM).send().await.expect("the double describes");
    let arn = stream.stream_description_summary.expect("it has a description").stream_arn;
    let consumer = client.register_stream_consumer().stream_arn(arn).consumer_name("bare").send().await;
    let consumer = consumer.expect("the double registers").consumer.expect("it answers the consumer").consumer_arn;
    let seen = Seen::default();
    for shard in 0..SHARDS {
        let shard = format!("shardId-{shard:012}");
        let position = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build();
        let position = position.expect("it has a type");
        // A consumer is active a moment after it was registered.
        let mut events = loop {
            let call = client.subscribe_to_shard().consumer_arn(&consumer).shard_id(&shard);
            let call = call.starting_position(position.clone());
            match call.send().await {
                Ok(subscribed) => break subscribed.event_stream,
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        };
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) = events.recv().await {
                let now = Instant::now();
                let mut seen = seen.lock().expect("no other subscriber panics");
                for record in event.records {
                    seen.entry((shard.clone(), record.sequence_number)).or_insert(now);
                }
            }
        });
    }
    seen
}
