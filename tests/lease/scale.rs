//! Scale, on paused time: ten thousand shards, two hundred workers, and what they cost.
//!
//! The fleets are the real ones, on a table in memory; their lanes only poll, at the real pace, a service that has
//! nothing new.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::delivery::{LaneEnd, LaneError, Lanes};
use bedrock_tap::lease::held::Held;
use bedrock_tap::lease::view::Timing;
use bedrock_tap::lease::{Lease, LeaseKey, WorkerId};
use bedrock_tap::record::{Partition, Position};
use bedrock_tap::source::kinesis::coordinator::{Error, OnTrimmed};
use bedrock_tap::source::kinesis::fleet::{self, Settings, Stream};
use bedrock_tap::source::kinesis::pace::{Limits, Pace};
use bedrock_tap::source::kinesis::reader::Reader;
use bedrock_tap::source::kinesis::shards::Start;
use bedrock_tap::source::{BoxFuture, Source};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::kinesis_script::{Script, shard_id};
use crate::support::lease_table::{Call, MemoryTable};

/// Lanes that ask for records at the pace of a shard that is caught up, and count the calls.
#[derive(Default)]
struct Idle {
    calls: AtomicU64,
}

impl Lanes for Idle {
    fn run(
        &self,
        _: Partition,
        _: Box<dyn Source>,
        stop: CancellationToken,
    ) -> BoxFuture<'_, Result<LaneEnd, LaneError>> {
        Box::pin(async move {
            let mut pace = Pace::new(Limits::default());
            while stop.run_until_cancelled(sleep_until(pace.next())).await.is_some() {
                self.calls.fetch_add(1, Ordering::Relaxed);
                pace.called(Instant::now());
                pace.answered(0, false);
            }
            Ok(LaneEnd::Stopped)
        })
    }
}

struct Fleet {
    script: Script,
    table: Arc<MemoryTable>,
    lanes: Arc<Idle>,
    timing: Timing,
    workers: Vec<JoinHandle<Result<(), Error>>>,
    stops: Vec<CancellationToken>,
}

impl Fleet {
    /// Workers that start within some seconds, as a deployment does, on leases that exist.
    async fn start(shards: usize, workers: usize, timing: Timing) -> Self {
        let (script, table) = (Script::new(shards), Arc::<MemoryTable>::default());
        for shard in 0..shards {
            let key = LeaseKey { stream: None, shard: shard_id(shard) };
            table.put(Lease::new(key, Position::TrimHorizon, [], None));
        }
        let mut fleet = Self { script, table, lanes: Arc::default(), timing, workers: Vec::new(), stops: Vec::new() };
        for number in 0..workers {
            fleet.add(number);
            sleep(Duration::from_millis(number as u64 * 37 % 100)).await;
        }
        fleet
    }

    fn add(&mut self, number: usize) {
        let kinesis = self.script.kinesis();
        let reader = Reader::polling(kinesis.clone(), Limits::default(), Budget::new(1 << 20));
        let settings = Settings {
            worker: WorkerId::new(format!("worker-{:03}", number * 7919 % 1000)),
            timing: self.timing,
            start: Start::TrimHorizon,
            on_trimmed: OnTrimmed::Fail,
            audit_interval: Duration::from_secs(60),
        };
        let (streams, lanes) = (vec![Stream { kinesis, reader, key: None }], Arc::clone(&self.lanes) as Arc<dyn Lanes>);
        let stop = CancellationToken::new();
        self.stops.push(stop.clone());
        let run = fleet::run(settings, streams, self.table.link(), lanes, Arc::<Held>::default(), stop);
        self.workers.push(tokio::spawn(run));
    }

    /// The leases of each owner that is alive, and those of nobody.
    fn loads(&self, dead: &[String]) -> (BTreeMap<String, usize>, usize) {
        let (mut loads, mut lost) = (BTreeMap::new(), 0);
        self.table.look(|row| match &row.owner {
            Some(owner) if !dead.iter().any(|dead| dead == owner.as_str()) => {
                *loads.entry(owner.as_str().to_owned()).or_default() += 1;
            }
            _ => lost += 1,
        });
        (loads, lost)
    }

    /// Waits until all leases are held and no worker has more than its part; gives the time.
    async fn until_balanced(&self, workers: usize, dead: &[String]) -> (Duration, Duration) {
        let (began, mut held) = (Instant::now(), None);
        let waited = timeout(Duration::from_secs(1200), async {
            loop {
                let (loads, lost) = self.loads(dead);
                let shards: usize = loads.values().sum::<usize>() + lost;
                if lost == 0 {
                    held.get_or_insert_with(|| began.elapsed());
                    if loads.values().all(|load| *load <= shards.div_ceil(workers)) {
                        return;
                    }
                }
                sleep(Duration::from_millis(100)).await;
            }
        });
        if waited.await.is_err() {
            panic!("never balanced: {:?}", self.loads(dead));
        }
        (held.unwrap_or_default(), began.elapsed())
    }
}

async fn check(shards: usize, workers: usize) {
    let timing = Timing { failover: Duration::from_secs(30), handoff: Duration::from_secs(30) };
    let mut fleet = Fleet::start(shards, workers, timing).await;
    let (_, start) = fleet.until_balanced(workers, &[]).await;
    sleep(Duration::from_secs(60)).await;

    // Steady state, for two failover times.
    let (from, polls) = (Instant::now(), fleet.lanes.calls.load(Ordering::Relaxed));
    sleep(2 * timing.failover).await;
    let seconds = from.elapsed().as_secs_f64();
    let calls = fleet.table.calls_since(from);
    let rate = |call| calls.get(&call).copied().unwrap_or_default() as f64 / seconds;
    let polls = (fleet.lanes.calls.load(Ordering::Relaxed) - polls) as f64 / seconds;
    let (writes, scans, gets) = (rate(Call::Update), rate(Call::Scan), rate(Call::Get));
    eprintln!(
        "{shards} shards, {workers} workers: balanced {start:?} after the last start; a second: {writes:.1} writes, \
         {scans:.2} scans, {gets:.1} single reads, {polls:.0} GetRecords"
    );
    // The formulas of the README, with a tenth for jitter.
    let (shards_, workers_, failover) = (shards as f64, workers as f64, timing.failover.as_secs_f64());
    assert!((writes / (shards_ / (failover / 3.0)) - 1.0).abs() < 0.1, "{writes}");
    assert!(scans <= workers_ / failover, "{scans}");
    let watched = (workers_ - 1.0).min(8.0 + (workers_ / 16.0).log2().ceil().max(0.0));
    assert!(gets <= workers_ * watched / (failover / 30.0), "{gets}");
    assert!((polls / shards_ - 1.05).abs() < 0.1, "{polls}");

    // One is told to stop.
    let name = |number: &usize| format!("worker-{:03}", number * 7919 % 1000);
    fleet.stops[1].cancel();
    let (held, _) = fleet.until_balanced(workers - 1, &[name(&1)]).await;
    eprintln!("one stopped: all its leases held after {held:?}");
    assert!(held <= Duration::from_secs(4), "{held:?}");

    // A third dies at one moment.
    sleep(Duration::from_secs(60)).await;
    let dead: Vec<_> = (0..workers).step_by(3).collect();
    for number in &dead {
        fleet.workers[*number].abort();
    }
    let gone: Vec<_> = dead.iter().chain(&[1]).map(name).collect();
    let (held, balanced) = fleet.until_balanced(workers - gone.len(), &gone).await;
    eprintln!("{} workers died: all leases held after {held:?}, balanced after {balanced:?}", dead.len());
    // Who watches a dead worker takes what it held up to its own part; the rest of the fleet sees the rest by the clocks
    // of its own looks.
    assert!(held <= timing.failover.mul_f64(1.5), "{held:?}");
    assert!(balanced <= 2 * timing.failover, "{balanced:?}");
    for worker in fleet.workers.drain(..) {
        worker.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn leases_are_balanced_again_after_a_third_of_the_workers_died() {
    check(1_000, 20).await;
}

/// `cargo test --release --test integration scale -- --ignored --nocapture`
#[tokio::test(start_paused = true)]
#[ignore = "takes minutes in a debug build"]
async fn ten_thousand_shards_and_two_hundred_workers() {
    check(10_000, 200).await;
}
