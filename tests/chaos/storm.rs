//! The storm: workers are killed, stopped, paused and cut off while the stream is written and resharded and the services
//! answer wrongly; in the end everything was delivered, and nothing more often than the blows explain.
//!
//! `BEDROCK_TAP_CHAOS_SEED` replays the schedule of a run, `BEDROCK_TAP_CHAOS_SECONDS` makes it longer. The schedule
//! follows from the seed alone; how the processes meet it still varies with their timing, so that a failure may take a
//! few replays to come again.

use std::collections::BTreeMap;
use std::env;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::types::Shard;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::ledger::{Ledger, Place, logs};
use super::observer::{Observer, is_ended};
use super::schedule::{Blow, Random, Service, blows, troubles};
use super::worker::{Delivery, Options, TABLE, Worker};
use crate::support::dynamodb_double::DynamoDouble;
use crate::support::fault::{Link, Proxy};
use crate::support::kinesis_double::Double;

const WORKERS: usize = 4;
const FAILOVER: Duration = Duration::from_secs(2);
const POLLING: Options =
    Options { failover: "2s", handoff: "4s", create_table: true, is_multi: false, source: "", more: "" };
/// Every other worker subscribes: shards go back and forth between the two ways to read them.
const FAN_OUT: Options = Options { source: "mode = \"fan-out\"\nregister_consumer = true", ..POLLING };
/// Enough for each worker to meet most of what there is.
const DEFAULT_SECONDS: u64 = 25;
/// Open shards, at least and at most: about as many as workers, so that leases are always on the move.
const OPEN_SHARDS: (usize, usize) = (3, 9);
/// For everything to be delivered once nothing goes wrong any more: leases expire, and the backlog is read.
const RECOVERY: Duration = Duration::from_secs(60);

/// How far the last commit lies behind what was delivered. A lane commits at most once a second, the commit goes with
/// the next renewal, which comes after a third of the failover time, and that write may meet a few wrong answers with
/// waits of a twelfth of the failover time between them.
const COMMIT_LAG: Duration =
    Duration::from_millis(1_000 + FAILOVER.as_millis() as u64 / 3 + 3 * FAILOVER.as_millis() as u64 / 12 + 1_000);
/// How much later than it was written a line is seen: batches that were under way, a look at the file every 20 ms, and
/// a machine that is busy with other tests.
const SEEN_LAG: Duration = Duration::from_millis(700);

/// A time after which a worker could not commit what it had delivered shortly before, or goes on to deliver.
#[derive(Clone, Debug)]
struct Tear {
    worker: String,
    from: Instant,
    to: Instant,
}

/// What all parts of the storm work on.
struct Storm {
    double: Double,
    table: Arc<DynamoDouble>,
    ledger: Ledger,
    tears: Mutex<Vec<Tear>>,
    blows: Mutex<BTreeMap<&'static str, usize>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_the_workers_every_event_is_delivered() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("BEDROCK_TAP_CHAOS_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let time = Duration::from_secs(number("BEDROCK_TAP_CHAOS_SECONDS").unwrap_or(DEFAULT_SECONDS));
    eprintln!("BEDROCK_TAP_CHAOS_SEED={seed} BEDROCK_TAP_CHAOS_SECONDS={}", time.as_secs());

    let storm = Storm {
        double: Double::start(4).await,
        table: Arc::new(DynamoDouble::start().await),
        ledger: Ledger::default(),
        tears: Mutex::default(),
        blows: Mutex::default(),
    };
    let mut workers = Vec::new();
    for number in 0..WORKERS {
        let options = if number % 2 == 0 { POLLING } else { FAN_OUT };
        workers.push(Worker::new(&format!("worker-{number}"), &storm.double, &storm.table, options).await);
    }
    let observer = Observer::start(&storm.table, &workers);
    workers.iter_mut().for_each(Worker::start);
    let [one, two, three, four] = &mut workers[..] else { unreachable!() };
    tokio::join!(
        storm.befall(one, Random::new(seed, 1), time),
        storm.befall(two, Random::new(seed, 2), time),
        storm.befall(three, Random::new(seed, 3), time),
        storm.befall(four, Random::new(seed, 4), time),
        storm.write(Random::new(seed, 5), time),
        storm.reshard(Random::new(seed, 6), time),
        storm.trouble(Random::new(seed, 7), time),
    );
    storm.double.faults.clear();
    storm.table.faults.clear();

    let all: Vec<_> = workers.iter().collect();
    storm.ledger.until_delivered(&all, RECOVERY).await;
    storm.until_settled(&all).await;
    for worker in &workers {
        worker.signal("TERM").await;
    }
    for worker in &mut workers {
        let status = worker.wait().await;
        assert!(status.success(), "{} ended with {status}{}", worker.name, worker.log_tail());
    }
    let observed = observer.stop();
    let all: Vec<_> = workers.iter().collect();
    for (worker, (from, to)) in all.iter().flat_map(|worker| observed.stalls.iter().map(move |stall| (worker, *stall)))
    {
        storm.tears.lock().unwrap().push(Tear { worker: worker.name.clone(), from, to });
    }
    let (events, twice) = storm.check_deliveries(&all);
    storm.check_leases(&all).await;
    assert!(observed.faults.is_empty(), "{:#?}{}", observed.faults, logs(&all));
    let shards = storm.double.shards().await.len();
    eprintln!(
        "{events} events, {twice} delivered again, {} tears; {:?}; {} wrong answers of Kinesis, {} of DynamoDB; {shards} shards; \
         the machine was late by {:?}",
        storm.tears.lock().unwrap().len(),
        storm.blows.lock().unwrap(),
        storm.double.faults.met(),
        storm.table.faults.met(),
        observed.latest,
    );
}

impl Storm {
    /// One blow after the other for one worker, which runs in the end.
    async fn befall(&self, worker: &mut Worker, mut random: Random, time: Duration) {
        for (pause, blow) in blows(&mut random, time) {
            sleep(pause).await;
            let ended = worker.has_ended();
            assert!(ended.is_none(), "{} ended by itself with {ended:?}{}", worker.name, worker.log_tail());
            let (from, name) = (Instant::now(), self.deal(worker, &blow).await);
            *self.blows.lock().unwrap().entry(name).or_default() += 1;
            if matches!(name, "kill" | "long pause" | "long partition from DynamoDB") {
                let to = match name {
                    // Of a worker that was killed nothing comes later.
                    "kill" => from,
                    // One that cannot renew its leases stops by itself when they expire.
                    "long partition from DynamoDB" => from + FAILOVER,
                    _ => Instant::now(),
                };
                self.tears.lock().unwrap().push(Tear { worker: worker.name.clone(), from, to });
            }
        }
    }

    async fn deal(&self, worker: &mut Worker, blow: &Blow) -> &'static str {
        match blow {
            Blow::Kill { down } => {
                worker.kill().await;
                sleep(*down).await;
                worker.start_and_wait().await;
                "kill"
            }
            Blow::Terminate { down } => {
                worker.stop().await;
                sleep(*down).await;
                worker.start_and_wait().await;
                "stop"
            }
            Blow::Pause { time } => {
                worker.signal("STOP").await;
                sleep(*time).await;
                worker.signal("CONT").await;
                if *time < FAILOVER { "short pause" } else { "long pause" }
            }
            Blow::Part { service, link, time } => {
                let proxy = proxy(worker, *service);
                proxy.set(*link);
                sleep(*time).await;
                proxy.set(Link::Open);
                match service {
                    Service::Kinesis => "partition from Kinesis",
                    Service::Dynamo if *time < FAILOVER => "short partition from DynamoDB",
                    Service::Dynamo => "long partition from DynamoDB",
                }
            }
            Blow::Cut { service } => {
                proxy(worker, *service).cut();
                "cut"
            }
        }
    }

    async fn write(&self, mut random: Random, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let events: Vec<_> = (0..2 + random.below(3)).map(|_| 1 + random.below(4)).collect();
            self.ledger.write(&self.double, &events).await;
            sleep(Duration::from_millis(40)).await;
        }
    }

    async fn reshard(&self, mut random: Random, time: Duration) {
        let end = Instant::now() + time;
        loop {
            sleep(random.millis(800, 3_000)).await;
            if Instant::now() >= end {
                return;
            }
            let open = self.double.open_shards().await;
            let is_split = open.len() <= OPEN_SHARDS.0 || (open.len() < OPEN_SHARDS.1 && random.below(2) == 0);
            if is_split {
                self.double.split(&open[random.below(open.len())]).await;
            } else {
                let left = random.below(open.len() - 1);
                self.double.merge(&open[left], &open[left + 1]).await;
            }
        }
    }

    async fn trouble(&self, mut random: Random, time: Duration) {
        for (pause, trouble) in troubles(&mut random, time) {
            sleep(pause).await;
            let faults = match trouble.service {
                Service::Kinesis => &self.double.faults,
                Service::Dynamo => &self.table.faults,
            };
            faults.script(trouble.operation, trouble.faults);
        }
    }

    /// Waits until each closed shard is read to its end, and each other one is read by a worker that lives: one that was
    /// killed a moment ago is in the table until its leases expire.
    async fn until_settled(&self, workers: &[&Worker]) {
        let living: Vec<_> = workers.iter().map(|worker| format!("-{}-", worker.id())).collect();
        let is_held = |row: &Value| {
            let owner = row["leaseOwner"]["S"].as_str().unwrap_or_default();
            living.iter().any(|process| owner.contains(process)) && row.get("checkpointOwner").is_none()
        };
        let settled = timeout(RECOVERY, async {
            loop {
                let (rows, shards) = (self.table.items(TABLE), self.double.shards().await);
                let is_settled = |shard: &Shard| {
                    let row = rows.get(&shard.shard_id);
                    row.is_some_and(|row| if is_closed(shard) { is_ended(row) } else { is_held(row) })
                };
                if shards.iter().all(is_settled) {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        let is_settled = settled.await.is_ok();
        assert!(is_settled, "the workers do not settle: {:#?}{}", self.table.items(TABLE), logs(workers));
    }

    /// Asserts that everything was delivered, and how often. Gives how many events there are, and how often one of them
    /// was delivered again.
    ///
    /// A worker delivers an event again only if whoever had it before could not commit it. A commit covers all that was
    /// delivered [`COMMIT_LAG`] before it, and is on its way as long as the worker lives, reaches the table, and is not
    /// paused for the failover time. So of all deliveries of an event one may have been committed, and each other one
    /// was made shortly before its worker was torn from its leases, or while it was. That bounds what is delivered
    /// again by what the torn worker delivered in that time: what was in flight.
    fn check_deliveries(&self, workers: &[&Worker]) -> (usize, usize) {
        let deliveries = self.ledger.check(workers);
        let tears = self.tears.lock().unwrap();
        let is_torn = |(worker, delivery): &&(&str, Delivery)| {
            let is_near = |tear: &&Tear| {
                tear.worker == *worker && tear.from - COMMIT_LAG <= delivery.seen && delivery.seen <= tear.to + SEEN_LAG
            };
            tears.iter().any(|tear| is_near(&tear))
        };
        let unexplained = |several: &&Vec<(&str, Delivery)>| several.iter().filter(|one| !is_torn(one)).count() > 1;
        let odd: Vec<_> = deliveries.values().filter(unexplained).collect();
        let first = odd.first().map(|several| {
            let Place { shard, sequence, at } = self.ledger.place(&several[0].1.id).unwrap();
            let told =
                several.iter().map(|(worker, one)| format!("{worker} in life {} after {:?}", one.life, one.seen - at));
            format!("{} in {shard} at {sequence}: {:?}", several[0].1.id, told.collect::<Vec<_>>())
        });
        assert!(odd.is_empty(), "{} events came twice without a cause, such as {first:?}{}", odd.len(), logs(workers));
        let all: usize = deliveries.values().map(Vec::len).sum();
        (deliveries.len(), all - deliveries.len())
    }

    /// Asserts that each closed shard was read to its end, and that nobody holds what is left. A shard that came to its
    /// end while it was handed over names who asked for it: nobody holds a shard that is at its end.
    async fn check_leases(&self, workers: &[&Worker]) {
        let rows = self.table.items(TABLE);
        let mut wrong = Vec::new();
        for shard in self.double.shards().await {
            let Some(row) = rows.get(&shard.shard_id) else {
                wrong.push(format!("{} has no lease", shard.shard_id));
                continue;
            };
            let is_held = row.get("leaseOwner").is_some() && !is_ended(row);
            if is_closed(&shard) != is_ended(row) || is_held || row.get("checkpointOwner").is_some() {
                wrong.push(row.to_string());
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}{}", logs(workers));
    }
}

fn proxy(worker: &Worker, service: Service) -> &Proxy {
    match service {
        Service::Kinesis => &worker.kinesis,
        Service::Dynamo => &worker.dynamo,
    }
}

fn is_closed(shard: &Shard) -> bool {
    shard.sequence_number_range().unwrap().ending_sequence_number().is_some()
}
