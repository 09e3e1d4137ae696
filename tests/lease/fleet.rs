//! Workers that share a stream: who reads what, and that nothing is left out, whoever dies or comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::lease::held::Held;
use bedrock_tap::lease::protocol::Change;
use bedrock_tap::lease::view::Timing;
use bedrock_tap::lease::{Lease, LeaseKey, WorkerId};
use bedrock_tap::record::{Position, SequenceNumber};
use bedrock_tap::source::kinesis::coordinator::{Error, OnTrimmed};
use bedrock_tap::source::kinesis::fleet::{self, Settings, Stream};
use bedrock_tap::source::kinesis::pace::Limits;
use bedrock_tap::source::kinesis::reader::Reader;
use bedrock_tap::source::kinesis::shards::Start;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::support::engine_script::{Bench, EACH_ALONE, Keeper};
use crate::support::kinesis_script::{Script, shard_id};
use crate::support::lease_table::{Call, Link, MemoryTable, Trouble};

const TIMING: Timing = Timing { failover: Duration::from_secs(30), handoff: Duration::from_secs(30) };

/// A stream and the table of those who read it.
struct Town {
    script: Script,
    table: Arc<MemoryTable>,
    settings: Settings,
    limits: Limits,
}

/// One worker; what it delivers goes to its sink.
struct Worker {
    sink: Arc<Keeper>,
    link: Arc<Link>,
    bench: Bench,
    task: JoinHandle<Result<(), Error>>,
}

impl Town {
    fn new(shards: usize) -> Self {
        let settings = Settings {
            worker: WorkerId::new(""),
            timing: TIMING,
            start: Start::TrimHorizon,
            on_trimmed: OnTrimmed::Fail,
            audit_interval: Duration::from_secs(60),
        };
        Self { script: Script::new(shards), table: Arc::default(), settings, limits: Limits::default() }
    }

    fn worker(&self, name: &str) -> Worker {
        let (sink, link) = (Arc::<Keeper>::default(), self.table.link());
        let bench = Bench::new(&[Arc::clone(&sink)], EACH_ALONE, 64 << 20);
        let held = Arc::<Held>::default();
        let lanes = Arc::new(bench.engine.with_checkpoints(held.clone()));
        let kinesis = self.script.kinesis();
        let reader = Reader::polling(kinesis.clone(), self.limits, Budget::new(256 << 20));
        let stream = Stream { kinesis, reader, key: None };
        let settings = Settings { worker: WorkerId::new(name), ..self.settings.clone() };
        let stop = bench.stop.reading.clone();
        let run = fleet::run(settings, vec![stream], link.clone(), lanes, held, stop);
        Worker { sink, link, bench, task: tokio::spawn(run) }
    }

    fn owners(&self) -> BTreeMap<String, usize> {
        let mut owners = BTreeMap::new();
        for row in self.table.rows().iter().filter(|row| !row.is_ended()) {
            let owner = row.owner.as_ref().map_or("nobody", WorkerId::as_str);
            *owners.entry(owner.to_owned()).or_default() += 1;
        }
        owners
    }

    async fn until(&self, what: &str, mut wanted: impl FnMut() -> bool) -> Duration {
        let began = Instant::now();
        let waited = timeout(Duration::from_secs(600), async {
            while !wanted() {
                sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(waited.await.is_ok(), "never: {what}; owners: {:?}", self.owners());
        began.elapsed()
    }

    fn row(&self, shard: usize) -> Lease {
        self.table.row(&key(shard)).unwrap()
    }
}

impl Worker {
    fn texts(&self) -> Vec<String> {
        self.sink.taken()
    }

    async fn stop(self) -> Vec<String> {
        self.bench.stop.reading.cancel();
        timeout(Duration::from_secs(60), self.task).await.expect("ends").unwrap().unwrap();
        self.sink.taken()
    }

    /// As SIGKILL does: nothing more is written.
    async fn kill(self) -> Vec<String> {
        self.task.abort();
        let _ = self.task.await;
        self.sink.taken()
    }
}

fn key(shard: usize) -> LeaseKey {
    LeaseKey { stream: None, shard: shard_id(shard) }
}

fn within(sequence: u64) -> Position {
    Position::Within(SequenceNumber::new(&sequence.to_string()).unwrap(), 0)
}

/// Records in all shards, `shard-number`.
fn fill(script: &Script, shards: impl IntoIterator<Item = usize>, numbers: std::ops::Range<usize>) -> Vec<String> {
    let mut texts = Vec::new();
    for shard in shards {
        for number in numbers.clone() {
            let text = format!("{shard}-{number}");
            script.put(shard, text.clone());
            texts.push(text);
        }
    }
    texts
}

fn missing(expected: &[String], found: impl IntoIterator<Item = String>) -> Vec<String> {
    let found: BTreeSet<_> = found.into_iter().collect();
    expected.iter().filter(|text| !found.contains(*text)).cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn one_worker_takes_and_reads_everything_and_leaves_it_free() {
    let town = Town::new(5);
    let expected = fill(&town.script, 0..5, 0..3);
    let one = town.worker("one");
    town.until("all is delivered", || one.texts().len() == expected.len()).await;
    assert_eq!(town.owners(), BTreeMap::from([("one".to_owned(), 5)]));
    assert_eq!(missing(&expected, one.stop().await), Vec::<String>::new());
    assert_eq!(town.owners(), BTreeMap::from([("nobody".to_owned(), 5)]));
    assert!(town.table.rows().iter().all(Lease::has_progress), "{:?}", town.table.rows());
    // Who comes after goes on behind it.
    let more = fill(&town.script, 0..5, 3..4);
    let two = town.worker("two");
    town.until("the rest is delivered", || two.texts().len() == 5).await;
    sleep(Duration::from_secs(20)).await;
    let mut found = two.stop().await;
    found.sort();
    assert_eq!(found, more);
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_is_handed_its_part_and_nothing_comes_twice() {
    let town = Town::new(6);
    let mut expected = fill(&town.script, 0..6, 0..3);
    let one = town.worker("one");
    town.until("all is delivered", || one.texts().len() == expected.len()).await;
    let two = town.worker("two");
    let took = town.until("both have their part", || town.owners().get("two") == Some(&3)).await;
    town.until("nothing is being handed over", || town.table.rows().iter().all(|row| row.draining.is_none())).await;
    // One lease at a time; the holder is told with its next renewal, half a renewal's time later on average.
    assert!(took < Duration::from_secs(31), "{took:?}");
    for number in 3..20 {
        expected.extend(fill(&town.script, 0..6, number..number + 1));
        sleep(Duration::from_millis(700)).await;
    }
    town.until("the rest is delivered", || one.texts().len() + two.texts().len() >= expected.len()).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(town.owners(), BTreeMap::from([("one".to_owned(), 3), ("two".to_owned(), 3)]));
    let mut found: Vec<_> = one.stop().await.into_iter().chain(two.stop().await).collect();
    assert_eq!(found.len(), expected.len());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test(start_paused = true)]
async fn what_a_stopped_worker_leaves_is_read_within_two_seconds() {
    let town = Town::new(4);
    let (one, two) = (town.worker("one"), town.worker("two"));
    let both = BTreeMap::from([("one".to_owned(), 2), ("two".to_owned(), 2)]);
    town.until("both have their part", || town.owners() == both).await;
    for _ in 0..3 {
        // At any moment of the renewals and looks.
        sleep(Duration::from_millis(7_300)).await;
    }
    let stopped = Instant::now();
    one.stop().await;
    let expected = fill(&town.script, 0..4, 0..1);
    town.until("all is delivered", || two.texts().len() == expected.len()).await;
    assert!(stopped.elapsed() < Duration::from_secs(2), "{:?}", stopped.elapsed());
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_worker_held_is_read_within_the_failover_time_and_two_seconds() {
    for shards in [2, 9] {
        for moment in [500, 4_100, 9_900, 17_700, 26_000] {
            let town = Town::new(shards);
            let workers = ["one", "two", "three"].map(|name| town.worker(name));
            let target = shards.div_ceil(3);
            town.until("all have their part", || {
                let owners = town.owners();
                owners.values().all(|count| *count <= target)
                    && owners.values().sum::<usize>() == shards
                    && !owners.contains_key("nobody")
            })
            .await;
            sleep(Duration::from_millis(40_000 + moment)).await;
            let [one, two, three] = workers;
            let died = Instant::now();
            let mut found = one.kill().await;
            let expected = fill(&town.script, 0..shards, 0..1);
            let done = || two.texts().len() + three.texts().len() == expected.len();
            town.until("all is delivered", done).await;
            assert!(
                died.elapsed() < TIMING.failover + Duration::from_secs(2),
                "{shards} {moment}: {:?}",
                died.elapsed()
            );
            found.extend(two.stop().await);
            found.extend(three.stop().await);
            assert_eq!(missing(&expected, found), Vec::<String>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_cut_off_from_the_table_reads_on_until_its_leases_expire_and_commits_nothing_more() {
    let town = Town::new(2);
    let mut expected = fill(&town.script, 0..2, 0..1);
    let one = town.worker("one");
    town.until("all is delivered", || one.texts().len() == 2).await;
    sleep(Duration::from_secs(15)).await;
    let before = town.row(0).position.clone();
    one.link.cut(true);
    let cut = Instant::now();
    expected.extend(fill(&town.script, 0..2, 1..2));
    town.until("a table that does not answer holds up no delivery", || one.texts().len() == 4).await;
    assert!(cut.elapsed() < Duration::from_secs(3));
    let two = town.worker("two");
    town.until("the other takes over", || town.owners() == BTreeMap::from([("two".to_owned(), 2)])).await;
    town.until("it delivers what was not committed", || two.texts().len() == 2).await;
    sleep(Duration::from_secs(60)).await;
    expected.extend(fill(&town.script, 0..2, 2..3));
    town.until("it reads on", || two.texts().len() == 4).await;
    assert_eq!(one.texts().len(), 4, "the lost lease is still read");
    assert_ne!(town.row(0).position, before);
    // Back again, it gets its part.
    one.link.cut(false);
    let both = BTreeMap::from([("one".to_owned(), 1), ("two".to_owned(), 1)]);
    town.until("both have their part", || town.owners() == both).await;
    let found: Vec<_> = one.stop().await.into_iter().chain(two.stop().await).collect();
    assert_eq!(missing(&expected, found), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_or_late_cost_no_lease() {
    let town = Town::new(3);
    let mut expected = fill(&town.script, 0..3, 0..1);
    let one = town.worker("one");
    one.link.trouble(Call::Scan, [Trouble::Refused]);
    one.link.trouble(Call::Create, [Trouble::Lost, Trouble::Refused]);
    one.link.trouble(Call::Update, [Trouble::Lost, Trouble::Refused, Trouble::Lost]);
    town.until("all is delivered", || one.texts().len() == 3).await;
    let switches: u64 = town.table.rows().iter().map(|row| row.owner_switches).sum();
    for number in 1..30 {
        let troubles = [Trouble::Lost, Trouble::Refused, Trouble::Late(Duration::from_secs(2)), Trouble::Lost];
        one.link.trouble(Call::Update, [troubles[number % 4]]);
        expected.extend(fill(&town.script, 0..3, number..number + 1));
        sleep(Duration::from_secs(5)).await;
    }
    assert!(switches <= 3, "{switches}");
    assert_eq!(town.owners(), BTreeMap::from([("one".to_owned(), 3)]));
    let found = one.stop().await;
    assert_eq!(found.len(), expected.len(), "something came twice");
    assert_eq!(missing(&expected, found), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_stuck_delays_no_renewal_and_no_other_worker_for_long() {
    let town = Town::new(2);
    let (one, mut expected) = (town.worker("one"), fill(&town.script, 0..2, 0..1));
    town.until("all is delivered", || one.texts().len() == 2).await;
    one.sink.hold("0-1");
    expected.extend(fill(&town.script, 0..2, 1..2));
    sleep(Duration::from_secs(300)).await;
    assert_eq!(town.owners(), BTreeMap::from([("one".to_owned(), 2)]), "a renewal was missed");
    // A worker that is asked for a lease and cannot drain loses it after the time for that.
    let two = town.worker("two");
    town.until("the other has its part", || town.owners().get("two") == Some(&1)).await;
    let took = town.until("and reads", || two.texts().iter().any(|text| text.ends_with("-1"))).await;
    assert!(took < TIMING.handoff + TIMING.renewal() + Duration::from_secs(2), "{took:?}");
    one.sink.let_go("0-1");
    let found: Vec<_> = one.stop().await.into_iter().chain(two.stop().await).collect();
    assert_eq!(missing(&expected, found), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn splits_and_merges_under_several_workers_lose_nothing_and_keep_parents_first() {
    let town = Town::new(3);
    let mut expected = Vec::new();
    let workers: Vec<_> = ["one", "two", "three"].map(|name| town.worker(name)).into();
    let (mut open, mut parents) = (vec![0, 1, 2], BTreeMap::new());
    for round in 0..16_usize {
        expected.extend(fill(&town.script, open.clone(), round..round + 1));
        let gone: Vec<usize> =
            if round % 3 == 2 { open.drain(..2).collect() } else { vec![open.remove(round % open.len())] };
        let made = town.script.reshard(&gone, if gone.len() == 2 { 1 } else { 2 });
        parents.extend(made.iter().map(|made| (*made, gone.clone())));
        open.extend(made);
        sleep(Duration::from_millis(round as u64 * 1613 % 5000)).await;
    }
    expected.extend(fill(&town.script, open.clone(), 90..91));
    let delivered = || workers.iter().map(|worker| worker.texts().len()).sum::<usize>();
    town.until("all is delivered", || delivered() >= expected.len()).await;
    let ended: BTreeSet<_> = parents.values().flatten().copied().collect();
    town.until("parents are ended", || ended.iter().all(|shard| town.row(*shard).is_ended())).await;
    // The table keeps the order in which positions moved.
    let mut is_ended = BTreeSet::new();
    for update in town.table.updates() {
        let (Change::Renew { position } | Change::HandOver { position } | Change::Release { position }) =
            &update.change
        else {
            continue;
        };
        let Some(position) = position else { continue };
        for (shard, of) in &parents {
            if update.key == key(*shard) {
                assert!(of.iter().all(|parent| is_ended.contains(&key(*parent))), "{} before its parents", update.key);
            }
        }
        if *position == Position::End {
            is_ended.insert(update.key.clone());
        }
    }
    let mut found = Vec::new();
    for worker in workers {
        found.extend(worker.stop().await);
    }
    assert_eq!(missing(&expected, found), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn in_steady_state_the_table_is_written_once_a_renewal_and_read_once_a_failover_time() {
    let mut town = Town::new(12);
    town.limits.max_idle = Duration::from_secs(20);
    let workers = ["one", "two", "three", "four"].map(|name| town.worker(name));
    let shared = || town.owners().values().all(|count| *count == 3) && town.owners().len() == 4;
    town.until("all have their part", shared).await;
    sleep(Duration::from_secs(120)).await;
    let from = Instant::now();
    for number in 0..300 {
        // There is always something to commit.
        fill(&town.script, 0..12, number..number + 1);
        sleep(Duration::from_secs(2)).await;
    }
    let calls = town.table.calls_since(from);
    let seconds = from.elapsed().as_secs();
    let count = |call| calls.get(&call).copied().unwrap_or_default() as u64;
    assert!(count(Call::Update) <= 12 * seconds / 10 + 12, "{calls:?}");
    assert!(count(Call::Scan) <= 4 * seconds / 30, "{calls:?}");
    // Each watches the three others.
    assert!(count(Call::Get) <= 4 * 3 * seconds, "{calls:?}");
    assert_eq!((count(Call::Create), count(Call::Delete)), (0, 0));
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_of_another_application_is_gone_on_with() {
    let town = Town::new(1);
    fill(&town.script, [0], 0..3);
    let made = town.script.reshard(&[0], 2);
    let mut expected = fill(&town.script, made.clone(), 0..2);
    // As an application leaves it that was killed: the parent was not drained, its owner never comes back.
    let mut parent = Lease::new(key(0), within(101), [], None);
    (parent.owner, parent.counter) = (Some(WorkerId::new("kcl")), 77);
    town.table.put(parent);
    let child = |shard| Lease::new(key(shard), Position::TrimHorizon, [shard_id(0)], None);
    town.table.put(child(1));
    let one = town.worker("one");
    sleep(Duration::from_secs(29)).await;
    assert!(one.texts().is_empty(), "{:?}", one.texts());
    expected.extend(["0-1", "0-2"].map(str::to_owned));
    town.until("all is delivered", || one.texts().len() == expected.len()).await;
    assert_eq!(&one.texts()[..2], ["0-1", "0-2"]);
    // The lease that was missing was made.
    town.until("its progress is stored", || town.row(2).has_progress()).await;
    // Its parent goes once it has left the stream.
    town.script.expire(0);
    town.until("the parent's lease is deleted", || town.table.row(&key(0)).is_none()).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(one.stop().await.len(), expected.len());
}

#[tokio::test(start_paused = true)]
async fn from_now_on_is_a_time_that_outlives_the_worker() {
    let town = Town::new(1);
    fill(&town.script, [0], 0..2);
    town.table.put(Lease::new(key(0), Position::Latest, [], None));
    let one = town.worker("one");
    town.until("it is taken", || town.owners().contains_key("one")).await;
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(town.row(0).position, Position::AtTimestamp(_)), "{:?}", town.row(0));
    one.kill().await;
    // What comes while nobody reads is not passed over.
    fill(&town.script, [0], 2..3);
    let two = town.worker("two");
    town.until("it is delivered", || two.texts().contains(&"0-2".to_owned())).await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_a_leader_assigns_is_awaited() {
    let town = Town::new(3);
    let one = town.worker("one");
    let expected = fill(&town.script, 0..3, 0..1);
    town.until("all is delivered", || one.texts().len() == 3).await;
    let two = town.worker("two");
    town.until("the other has its part", || town.owners().get("two") == Some(&1)).await;
    town.until("nothing is being handed over", || town.table.rows().iter().all(|row| row.draining.is_none())).await;
    let mut assigned = town.table.rows().into_iter().find(|row| row.owner == Some(WorkerId::new("one"))).unwrap();
    (assigned.owner, assigned.draining) = (Some(WorkerId::new("two")), assigned.owner);
    let key = assigned.key.clone();
    town.table.put(assigned);
    let is_handed = || town.table.row(&key).is_some_and(|row| row.draining.is_none() && row.owner_switches < 2);
    town.until("it is handed over", is_handed).await;
    let more = fill(&town.script, 0..3, 1..2);
    town.until("all is delivered", || one.texts().len() + two.texts().len() == 6).await;
    let found: Vec<_> = one.stop().await.into_iter().chain(two.stop().await).collect();
    assert_eq!(missing(&[expected, more].concat(), found), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn one_that_starts_again_by_its_name_goes_on_once_its_leases_stand_still() {
    let town = Town::new(2);
    let one = town.worker("one");
    town.until("it is taken", || town.owners().get("one") == Some(&2)).await;
    sleep(Duration::from_secs(20)).await;
    one.kill().await;
    let died = Instant::now();
    let again = town.worker("one");
    fill(&town.script, 0..2, 0..1);
    town.until("all is delivered", || again.texts().len() == 2).await;
    assert!(died.elapsed() < Duration::from_secs(16), "{:?}", died.elapsed());
    // A twin, which nobody should start, is not believed to be a life before this one.
    let takes =
        |town: &Town| town.table.updates().iter().filter(|update| matches!(update.change, Change::Take { .. })).count();
    let before = takes(&town);
    let twin = town.worker("one");
    sleep(Duration::from_secs(120)).await;
    assert!(takes(&town) - before <= 2 * 10, "{}", takes(&town) - before);
    fill(&town.script, 0..2, 1..2);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(again.texts().len() + twin.texts().len(), 4, "both read");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_refuses_is_not_asked_on_and_on() {
    let town = Town::new(4);
    let one = town.worker("one");
    town.until("all are held", || town.owners().get("one") == Some(&4)).await;
    // Asking is refused.
    let two = town.worker("two");
    two.link.trouble(Call::Update, std::iter::repeat_n(Trouble::Refused, 1000));
    let before = town.table.updates().len();
    sleep(Duration::from_secs(20)).await;
    let asked = town.table.updates().len() - before;
    // Eight renewals of the other worker are among them.
    assert!((10..32).contains(&asked), "{asked} updates in 20 s");
    drop((one, two));

    // Once it does not, or has only seen another counter, the next ask follows soon.
    let town = Town::new(4);
    let one = town.worker("one");
    town.until("all are held", || town.owners().get("one") == Some(&4)).await;
    let two = town.worker("two");
    two.link.trouble(Call::Update, [Trouble::Refused; 3]);
    let took = town.until("both have their part", || town.owners().get("two") == Some(&2)).await;
    assert!(took < Duration::from_secs(28), "{took:?}");
    drop((one, two));

    // So is creating.
    let town = Town::new(4);
    let three = town.worker("three");
    three.link.trouble(Call::Create, std::iter::repeat_n(Trouble::Refused, 10_000));
    sleep(Duration::from_secs(60)).await;
    let created = three.link.met(Call::Create);
    assert!((4..60).contains(&created), "{created} creations in 60 s");
    assert!(town.script.calls("ListShards").len() < 20, "{}", town.script.calls("ListShards").len());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_made_anew_is_told_from_the_old_one() {
    let town = Town::new(2);
    town.table.put(Lease::new(key(0), Position::End, [], None));
    town.table.put(Lease::new(key(1), within(101), [], None));
    town.script.put(1, "x");
    let one = town.worker("one");
    let ended = timeout(Duration::from_secs(300), one.task).await.expect("it goes on").unwrap();
    let error = format!("{:#}", anyhow::Error::from(ended.unwrap_err()));
    assert!(error.contains("shardId-000000000000") && error.contains("made anew"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn leases_that_begin_now_do_not_wait_for_what_came_before_them() {
    let town = Town::new(1);
    fill(&town.script, [0], 0..2);
    let made = town.script.reshard(&[0], 2);
    fill(&town.script, made.clone(), 0..1);
    // As a KCL application leaves the table that began at LATEST: it has no lease of the closed parent.
    for shard in &made {
        town.table.put(Lease::new(key(*shard), Position::Latest, [shard_id(0)], None));
    }
    let one = town.worker("one");
    town.until("they are taken", || town.owners().get("one") == Some(&2)).await;
    sleep(Duration::from_secs(60)).await;
    let expected = fill(&town.script, made, 1..2);
    town.until("what comes is delivered", || one.texts().iter().filter(|text| text.ends_with("-1")).count() >= 2).await;
    let found = one.stop().await;
    assert_eq!(missing(&expected, found.clone()), Vec::<String>::new(), "{found:?}");
    assert!(!found.contains(&"0-0".to_owned()), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_table_of_the_other_kind_of_keys_is_refused() {
    let town = Town::new(1);
    let stream = Some(bedrock_tap::lease::StreamKey::new("123456789012", "logs", 1_700_000_000));
    town.table.put(Lease::new(LeaseKey { stream, shard: shard_id(0) }, Position::TrimHorizon, [], None));
    let one = town.worker("one");
    let error = one.task.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("several streams") && error.contains("another table"), "{error}");
}
