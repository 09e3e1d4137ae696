//! What the leases cost: writes a shard and scans a worker, at the defaults, with records flowing. Rates are taken
//! between the first and the last call of a kind, so that they do not depend on where the window begins.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::{interval, sleep};

use crate::double::{Call, Double};
use crate::report::Row;
use crate::worker::Worker;
use crate::writer::Writer;

const STREAM: &str = "writes";
const SHARDS: u32 = 12;
/// Taking and sharing the leases is over by then.
const WARM: Duration = Duration::from_secs(60);
/// Nine renewals and three scans at the defaults.
const WINDOW: Duration = Duration::from_secs(95);
const FAILOVER: Duration = Duration::from_secs(30);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// Writes a shard and month.
const WRITES_TARGET: f64 = 260_000.0;

/// Measures, and gives its lines of the table.
pub(crate) async fn measure() -> Vec<Row> {
    let mut double = Double::start();
    let mut writer = Writer::create(double.client(), STREAM, SHARDS, 3).await;
    let writing = tokio::spawn(async move {
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            for shard in 0..SHARDS {
                writer.put(shard, 1).await;
            }
        }
    });
    let source = double.source(STREAM);
    let workers = ["a", "b"].map(|name| Worker::start(&source, &double.leases(STREAM, name)));
    sleep(WARM).await;
    let before = double.calls().dynamodb.len();
    let delivered = |worker: &Worker| worker.arrivals().lock().map_or(0, |arrivals| arrivals.len());
    let lines = workers.each_ref().map(delivered);
    sleep(WINDOW).await;
    let calls = double.calls().dynamodb;
    let window = &calls[before..];
    writing.abort();
    for (worker, lines) in workers.iter().zip(lines) {
        assert!(delivered(worker) > lines, "no records flow:\n{}", worker.log());
    }

    let is_write = |call: &&Call| matches!(call.operation.as_str(), "UpdateItem" | "PutItem" | "DeleteItem");
    let writes =
        intervals(window.iter().filter(is_write).map(|call| (call.lease.clone().unwrap_or_default(), call.at)));
    // What is not a shard's lease is shared by all shards.
    let month: f64 = writes.values().map(|interval| MONTH.div_duration_f64(*interval)).sum::<f64>() / f64::from(SHARDS);
    let scans =
        intervals(window.iter().filter(|call| call.operation == "Scan").map(|call| (call.caller.clone(), call.at)));
    let most = scans.values().map(|interval| FAILOVER.div_duration_f64(*interval)).fold(0.0, f64::max);
    let mut kinds: HashMap<&str, usize> = HashMap::new();
    window.iter().for_each(|call| *kinds.entry(&call.operation).or_default() += 1);
    let mut kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    kinds.sort();
    vec![
        Row::target(
            format!("DynamoDB writes a shard and month of 30 days, defaults ({SHARDS} shards, 2 workers)"),
            format!("{:.4} million (the KCL: 0.78)", month / 1e6),
            "at most 0.26 million",
            // To the four digits that are shown: a timer's jitter is below them.
            (month / 100.0).round() * 100.0 <= WRITES_TARGET && writes.len() >= SHARDS as usize,
        ),
        Row::target(
            "scans of the lease table, a worker and failover time (the most of any worker)",
            format!("{most:.2}"),
            "at most 1",
            // To the two digits that are shown.
            most <= 1.005 && scans.len() == workers.len(),
        ),
        Row::told(format!("— all calls of the lease table in {} s", WINDOW.as_secs()), kinds.join(", ")),
    ]
}

/// The mean time between two calls that share a name.
fn intervals(calls: impl Iterator<Item = (String, Duration)>) -> HashMap<String, Duration> {
    let mut times: HashMap<String, Vec<Duration>> = HashMap::new();
    for (name, at) in calls {
        times.entry(name).or_default().push(at);
    }
    let mean = |(name, times): (String, Vec<Duration>)| {
        let [first, .., last] = times.as_slice() else { return None };
        Some((name, (*last - *first) / u32::try_from(times.len() - 1).ok()?))
    };
    times.into_iter().filter_map(mean).collect()
}
