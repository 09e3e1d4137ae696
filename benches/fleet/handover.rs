//! From the end of a worker to the first record that its successor reads. Each trial is two workers on a stream and a
//! lease table of their own; records flow on every shard all the time. The figure is the strict one: until the successor
//! has delivered a record of every shard that the first worker had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::double::Double;
use crate::report::{Row, millis};
use crate::worker::Worker;
use crate::writer::Writer;

const SHARDS: u32 = 4;
/// Records flow so densely that waiting for one adds little.
const PUT_INTERVAL: Duration = Duration::from_millis(250);
/// A shard that brought nothing for so long, twice the longest pause of polling and more, is nobody's yet.
const SILENT: Duration = Duration::from_millis(2500);
/// Long enough for two workers to share a table: a few failover times.
const SETTLE: Duration = Duration::from_secs(100);
const TERM_TARGET: Duration = Duration::from_secs(2);
const KILL_MARGIN: Duration = Duration::from_secs(2);

/// What ends the worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signal {
    Term,
    Kill,
}

/// The trials: the signal, the failover time in seconds, how often.
const TRIALS: [(Signal, u64, usize); 3] = [(Signal::Term, 30, 5), (Signal::Kill, 5, 3), (Signal::Kill, 10, 1)];

/// The shard of each invocation, by request id.
type Shards = Arc<Mutex<HashMap<String, u32>>>;

/// Times from the signal until the first and the last shard were read on.
struct Taken {
    first: Duration,
    last: Duration,
    shards: usize,
}

/// Measures, and gives its lines of the table.
pub(crate) async fn measure() -> Vec<Row> {
    let double = Double::start();
    let mut trials = JoinSet::new();
    let mut number = 0;
    for (signal, failover, count) in TRIALS {
        for _ in 0..count {
            number += 1;
            let name = format!("handover-{number}");
            let source = double.source(&name);
            let leases = |worker: &str| format!("{}failover_time = \"{failover}s\"\n", double.leases(&name, worker));
            let workers = [leases("a"), leases("b")];
            let writer = Writer::create(double.client(), &name, SHARDS, number).await;
            trials.spawn(async move { (signal, failover, trial(signal, writer, &source, workers).await) });
            // Workers are not started in step.
            sleep(Duration::from_millis(300)).await;
        }
    }
    let trials = trials.join_all().await;
    TRIALS.iter().map(|(signal, failover, _)| row(*signal, *failover, &trials)).collect()
}

fn row(signal: Signal, failover: u64, trials: &[(Signal, u64, Taken)]) -> Row {
    let taken = trials.iter().filter(|(of, time, _)| (*of, *time) == (signal, failover)).map(|(_, _, taken)| taken);
    let taken: Vec<_> = taken.collect();
    let last = taken.iter().map(|taken| taken.last).max().unwrap_or_default();
    let first = taken.iter().map(|taken| taken.first).max().unwrap_or_default();
    let shards: usize = taken.iter().map(|taken| taken.shards).sum();
    let measured = format!("first shard max {}, every shard max {}", millis(first), millis(last));
    let (name, target, text) = match signal {
        Signal::Term => ("SIGTERM", TERM_TARGET, "under 2 s".to_owned()),
        Signal::Kill => {
            let target = Duration::from_secs(failover) + KILL_MARGIN;
            ("SIGKILL", target, format!("under failover time + 2 s = {} s", target.as_secs()))
        }
    };
    let what = format!(
        "{name} to the successor's first record, `failover_time` {failover} s ({} times, {shards} shards)",
        taken.len()
    );
    Row::target(what, measured, &text, last < target)
}

/// Ends the first of two workers, and waits for the other.
async fn trial(signal: Signal, mut writer: Writer, source: &str, [one, other]: [String; 2]) -> Taken {
    let pause = writer.any_time(Duration::ZERO, Duration::from_secs(5));
    let shard_of = Shards::default();
    let writing = tokio::spawn(write(writer, Arc::clone(&shard_of)));
    let first = Worker::start(source, &one);
    let deadline = Instant::now() + SETTLE;
    while first.arrivals().lock().is_ok_and(|arrivals| arrivals.is_empty()) {
        assert!(Instant::now() < deadline, "the first worker does not begin:\n{}", first.log());
        sleep(Duration::from_millis(100)).await;
    }
    let second = Worker::start(source, &other);
    while share(&first, &second, &shard_of).is_none_or(|share| share.len() != SHARDS as usize / 2) {
        assert!(Instant::now() < deadline, "the workers do not share:\n{}\n{}", first.log(), second.log());
        sleep(Duration::from_millis(200)).await;
    }
    sleep(pause).await;
    let share = share(&first, &second, &shard_of).expect("records flow on all shards");
    assert!(!share.is_empty(), "the first worker has lost its shards:\n{}", first.log());
    let told = Instant::now();
    first.signal(if signal == Signal::Term { "TERM" } else { "KILL" });
    let mut taken: HashMap<u32, Duration> = HashMap::new();
    while taken.len() < share.len() {
        assert!(told.elapsed() < SETTLE, "the successor does not go on:\n{}", second.log());
        sleep(Duration::from_millis(50)).await;
        for shard in &share {
            let delivered = deliveries(&second, *shard, &shard_of);
            if let Some(at) = delivered.into_iter().filter(|at| *at > told).min() {
                taken.insert(*shard, at - told);
            }
        }
    }
    writing.abort();
    Taken {
        first: taken.values().min().copied().unwrap_or_default(),
        last: taken.values().max().copied().unwrap_or_default(),
        shards: taken.len(),
    }
}

/// Puts records to every shard until it is aborted, and notes where.
async fn write(mut writer: Writer, shard_of: Shards) {
    let mut ticks = interval(PUT_INTERVAL);
    loop {
        ticks.tick().await;
        for shard in 0..SHARDS {
            let put = writer.put(shard, 1).await;
            let ids = put.request_ids.into_iter().map(|id| (id, shard));
            shard_of.lock().expect("no reader panics").extend(ids);
        }
    }
}

/// The shards that the first worker reads: of each, its delivery is the later one. `None` while a shard is silent.
fn share(first: &Worker, second: &Worker, shard_of: &Shards) -> Option<Vec<u32>> {
    let now = Instant::now();
    let mut share = Vec::new();
    for shard in 0..SHARDS {
        let last = |worker: &Worker| deliveries(worker, shard, shard_of).into_iter().max();
        let (one, other) = (last(first), last(second));
        if now.saturating_duration_since(one.max(other)?) > SILENT {
            return None;
        }
        if one > other {
            share.push(shard);
        }
    }
    Some(share)
}

/// When a worker delivered records of a shard.
fn deliveries(worker: &Worker, shard: u32, shard_of: &Shards) -> Vec<Instant> {
    let shard_of = shard_of.lock().expect("no writer panics");
    let arrivals = worker.arrivals().lock().expect("no reader panics");
    arrivals.iter().filter(|(id, _)| shard_of.get(*id) == Some(&shard)).map(|(_, at)| *at).collect()
}
