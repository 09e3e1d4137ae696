//! A thousand shards on one worker, with its leases in DynamoDB, while nothing is written.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::double::Double;
use crate::report::Row;
use crate::worker::Worker;
use crate::writer::Writer;

const SHARDS: u32 = 1000;
/// What is waited before anything is measured, once all shards are read.
const WARM: Duration = Duration::from_secs(60);
/// For the leases of all shards to be taken, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
const TARGET_BYTES: u64 = 150 << 20;

/// Measures, and gives its lines of the table.
pub(crate) async fn measure() -> Vec<Row> {
    let mut rows = mode("polling", "", "GetShardIterator").await;
    let fan_out = "mode = \"fan-out\"\nregister_consumer = true\n";
    rows.extend(mode("fan-out", fan_out, "SubscribeToShard").await);
    rows
}

/// `begins` is the call that a shard begins with.
async fn mode(name: &str, config: &str, begins: &str) -> Vec<Row> {
    let mut double = Double::start();
    Writer::create(double.client(), name, SHARDS, 1).await;
    let source = format!("{}{config}", double.source(name));
    let began = Instant::now();
    let worker = Worker::start(&source, &double.leases(name, "a"));
    while double.calls().kinesis.get(begins).copied().unwrap_or_default() < u64::from(SHARDS) {
        assert!(began.elapsed() < PATIENCE, "not all shards are read:\n{}", worker.log());
        sleep(Duration::from_millis(500)).await;
    }
    let took = began.elapsed();
    let used = worker.processor();
    let calls = double.calls();
    sleep(WARM).await;
    let share = (worker.processor() - used).as_secs_f64() / WARM.as_secs_f64() * 100.0;
    let after = double.calls();
    let rate = |count: u64| count as f64 / WARM.as_secs_f64();
    let calls_of = |calls: &crate::double::Calls| calls.kinesis.get("GetRecords").copied().unwrap_or_default();
    let kinesis = rate(calls_of(&after) - calls_of(&calls));
    let dynamodb = rate((after.dynamodb.len() - calls.dynamodb.len()) as u64);
    let memory = worker.memory();
    // An idle subscription gets an empty event every 200 ms.
    let events = if kinesis == 0.0 { format!(", {} empty events", SHARDS * 5) } else { String::new() };
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    vec![
        Row::target(
            format!("{SHARDS} shards on one worker, idle, {name}: resident memory after a minute"),
            format!("{:.0} MiB, peak {:.0} MiB", mebibytes(memory.resident), mebibytes(memory.peak)),
            "under 150 MiB",
            memory.resident < TARGET_BYTES,
        ),
        Row::told(
            format!("— its processor time; all shards read {:.0} s after the start", took.as_secs_f64()),
            format!(
                "{share:.0} % of a core, {kinesis:.0} GetRecords and {dynamodb:.0} DynamoDB calls a second{events}"
            ),
        ),
    ]
}
