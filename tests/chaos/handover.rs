//! Handovers: how soon a shard is read on after its worker has stopped or died, and that a rolling restart delivers
//! each event once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::ledger::{Ledger, logs};
use super::worker::{Options, TABLE, Worker};
use crate::support::dynamodb_double::DynamoDouble;
use crate::support::kinesis_double::Double;

/// For workers to share the leases anew: the one that comes sees the others' within a failover time.
const SHARED_WITHIN: Duration = Duration::from_secs(40);

struct Fleet {
    double: Double,
    table: DynamoDouble,
    ledger: Ledger,
}

impl Fleet {
    async fn new(shards: i32) -> Self {
        Self { double: Double::start(shards).await, table: DynamoDouble::start().await, ledger: Ledger::default() }
    }

    async fn worker(&self, name: &str, options: Options) -> Worker {
        let mut worker = Worker::new(name, &self.double, &self.table, options).await;
        worker.start_and_wait().await;
        worker
    }

    /// Writes until told to stop.
    async fn write(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.ledger.write(&self.double, &[1, 2, 1, 3]).await;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The shards of each owner.
    fn owners(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut owners = BTreeMap::<_, BTreeSet<_>>::new();
        for (shard, row) in self.table.items(TABLE) {
            let draining = row["checkpointOwner"]["S"].as_str();
            if let Some(owner) = row["leaseOwner"]["S"].as_str().filter(|_| draining.is_none()) {
                owners.entry(owner.to_owned()).or_default().insert(shard);
            }
        }
        owners
    }

    /// Waits until so many workers hold so many leases each.
    async fn until_shared(&self, workers: usize, leases: usize, all: &[&Worker]) {
        let shared = timeout(SHARED_WITHIN, async {
            let is_shared = |owners: BTreeMap<_, BTreeSet<_>>| {
                owners.len() == workers && owners.values().all(|shards| shards.len() == leases)
            };
            while !is_shared(self.owners()) {
                sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(shared.await.is_ok(), "{:?}{}", self.owners(), logs(all));
    }
}

/// Two workers, of which one goes away by `signal`. Asserts how soon the other goes on with its shards, from the signal
/// to what it has delivered. Gives that time, and how many events came twice.
async fn check(signal: &str, options: Options, within: Duration) -> (Duration, usize) {
    let fleet = Fleet::new(4).await;
    let (mut goes, mut stays) = (fleet.worker("goes", options).await, fleet.worker("stays", options).await);
    let writing = CancellationToken::new();
    let part = async {
        fleet.until_shared(2, 2, &[&goes, &stays]).await;
        // What is delivered of the shards before they are shared is the other's work, too.
        let process = goes.id();
        let owners = fleet.owners();
        let (_, shards) = owners.iter().find(|(owner, _)| owner.split('-').any(|part| part == process)).unwrap();
        let written = fleet.ledger.len();
        sleep(Duration::from_millis(1_300)).await;
        assert!(fleet.ledger.len() > written);
        let before: BTreeSet<_> = stays.delivered().into_iter().map(|one| one.id).collect();
        let of_them = |id: &str| fleet.ledger.place(id).is_some_and(|place| shards.contains(&place.shard));
        let signalled = Instant::now();
        goes.signal(signal).await;
        let first = timeout(Duration::from_secs(60), async {
            loop {
                let new = stays.delivered().into_iter().find(|one| !before.contains(&one.id) && of_them(&one.id));
                if let Some(delivery) = new {
                    return delivery.seen;
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        let first = first.await.unwrap_or_else(|_| panic!("never delivered{}", logs(&[&goes, &stays])));
        writing.cancel();
        first - signalled
    };
    let (took, ()) = tokio::join!(part, fleet.write(&writing));
    let ended = goes.wait().await;
    assert_eq!(ended.success(), signal == "TERM", "{ended}{}", goes.log_tail());
    assert!(took < within, "{took:?}{}", logs(&[&goes, &stays]));
    fleet.ledger.until_delivered(&[&goes, &stays], Duration::from_secs(20)).await;
    stays.stop().await;
    let deliveries = fleet.ledger.check(&[&goes, &stays]);
    (took, deliveries.values().map(|several| several.len() - 1).sum())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_worker_leaves_is_delivered_within_two_seconds_and_once() {
    let (took, twice) = check("TERM", Options::default(), Duration::from_secs(2)).await;
    eprintln!("from SIGTERM to the first delivery of the other worker: {took:?}");
    assert_eq!(twice, 0, "some came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_worker_held_is_delivered_within_the_failover_time_and_two_seconds() {
    let options = Options { failover: "3s", ..Options::default() };
    let (took, twice) = check("KILL", options, Duration::from_secs(5)).await;
    eprintln!("from SIGKILL to the first delivery of the other worker: {took:?}; {twice} events came twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_delivers_each_event_once() {
    let fleet = Fleet::new(6).await;
    let options = Options { failover: "10s", ..Options::default() };
    let mut workers = Vec::new();
    for number in 0..3 {
        workers.push(fleet.worker(&format!("old-{number}"), options).await);
    }
    let writing = CancellationToken::new();
    let restart = async {
        let all: Vec<_> = workers.iter().collect();
        fleet.until_shared(3, 2, &all).await;
        let mut new = Vec::new();
        for (number, old) in workers.iter_mut().enumerate() {
            new.push(fleet.worker(&format!("new-{number}"), options).await);
            // With the new one in any state: about to look, asking, reading.
            sleep(Duration::from_millis(400 * number as u64)).await;
            old.stop().await;
        }
        writing.cancel();
        new
    };
    let (new, ()) = tokio::join!(restart, fleet.write(&writing));
    workers.extend(new);
    let all: Vec<_> = workers.iter().collect();
    fleet.ledger.until_delivered(&all, Duration::from_secs(20)).await;
    for worker in &mut workers[3..] {
        worker.stop().await;
    }
    let all: Vec<_> = workers.iter().collect();
    let deliveries = fleet.ledger.check(&all);
    let twice: Vec<_> = deliveries.iter().filter(|(_, several)| several.len() > 1).take(5).collect();
    assert!(twice.is_empty(), "{twice:?}{}", logs(&all));
    eprintln!("{} events, each delivered once", deliveries.len());
    assert!(fleet.owners().is_empty(), "{:?}", fleet.owners());
}
