//! Log groups, polled: rounds, events that come late, restarts, pace.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::checkpoint::CheckpointStore;
use bedrock_tap::delivery::{LaneEnd, LaneError, Lanes};
use bedrock_tap::record::{Partition, Position, ShardId};
use bedrock_tap::source::cloudwatch::client::HostClock;
use bedrock_tap::source::cloudwatch::groups::{Reader, Start};
use bedrock_tap::source::cloudwatch::poll::{Settings, run};
use bedrock_tap::source::{BoxFuture, Read, Source};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::windows::messages;
use crate::support::collect::Memory;
use crate::support::log::Log;
use crate::support::logs_double::{Fault, LogsDouble};

const GROUP: &str = "/aws/bedrock";
const MINUTE: Duration = Duration::from_secs(60);

/// When the paused time begins.
fn epoch() -> Timestamp {
    "2026-01-02T03:04:05.678901Z".parse().unwrap()
}

/// A clock that is paused with the tests' time; made anew it goes on, as the wall's does.
#[derive(Clone, Copy)]
struct Wall(Instant);

impl Wall {
    fn now(self) -> Timestamp {
        epoch() + SignedDuration::try_from(self.0.elapsed()).unwrap()
    }

    fn millis_ago(self, ago: Duration) -> i64 {
        (self.now() - SignedDuration::try_from(ago).unwrap()).as_millisecond()
    }

    fn clock(self, ahead: SignedDuration) -> HostClock {
        Arc::new(move || self.now() + ahead)
    }
}

/// Takes what a source reads, and stores its positions.
struct Taker {
    store: Arc<Memory>,
    /// Log groups and messages, in the order in which they came.
    taken: Mutex<Vec<(String, String)>>,
}

impl Lanes for Taker {
    fn run(
        &self,
        partition: Partition,
        mut source: Box<dyn Source>,
        stop: CancellationToken,
    ) -> BoxFuture<'_, Result<LaneEnd, LaneError>> {
        Box::pin(async move {
            loop {
                let read = tokio::select! {
                    () = stop.cancelled() => return Ok(LaneEnd::Stopped),
                    read = source.next() => read?,
                };
                let Read::Records { records, position, .. } = read else { panic!("a log group has no end") };
                let group = partition.shard.to_string();
                for record in records {
                    let taken = messages(&record.data).into_iter().map(|message| (group.clone(), message));
                    self.taken.lock().unwrap().extend(taken);
                }
                let mut positions = self.store.positions.lock().unwrap();
                if let (Some(Position::UpTo(stored)), Position::UpTo(new)) =
                    (positions.get(&partition.shard), &position)
                {
                    assert!(new >= stored, "the position went back from {stored} to {new}");
                }
                positions.insert(partition.shard.clone(), position);
            }
        })
    }
}

struct Run {
    lanes: Arc<Taker>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), LaneError>>,
}

fn settings(groups: &[&str]) -> Settings {
    Settings {
        log_groups: groups.iter().map(|group| (*group).into()).collect(),
        start: Start::Latest,
        interval: Duration::from_secs(10),
        lag: MINUTE,
        lookback: 15 * MINUTE,
        pattern: None,
    }
}

fn start(double: &LogsDouble, wall: Wall, settings: Settings, store: &Arc<Memory>) -> Run {
    double.clock(wall.clock(SignedDuration::ZERO));
    start_as_it_is(double, settings, store)
}

/// With the clock that the double's clients have.
fn start_as_it_is(double: &LogsDouble, settings: Settings, store: &Arc<Memory>) -> Run {
    let logs = double.logs(4.0);
    let stop = CancellationToken::new();
    let lanes = Arc::new(Taker { store: store.clone(), taken: Mutex::default() });
    let budget = Budget::new(64 * 1024 * 1024);
    let checkpoints: Arc<dyn CheckpointStore> = store.clone();
    let (reading, stopping) = (lanes.clone(), stop.clone());
    let task =
        async move { run(&settings, Reader { logs, lanes: reading, checkpoints, budget, stop: stopping }).await };
    Run { lanes, stop, task: tokio::spawn(task) }
}

impl Run {
    fn taken(&self) -> Vec<String> {
        self.lanes.taken.lock().unwrap().iter().map(|(_, message)| message.clone()).collect()
    }

    async fn stop(self) -> Vec<String> {
        let taken = self.taken();
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        taken
    }
}

fn position(store: &Memory, group: &str) -> Timestamp {
    match store.position(&ShardId::new(group)) {
        Some(Position::UpTo(time)) => time,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_start_gives_its_events() {
    let check = async |start_at: Start, expected: &[&str]| {
        let (double, wall) = (LogsDouble::new(&[GROUP]), Wall(Instant::now()));
        double.put(GROUP, 5, "oldest");
        double.put(GROUP, wall.millis_ago(20 * MINUTE), "old");
        double.put(GROUP, wall.millis_ago(5 * MINUTE), "recent");
        let run = start(&double, wall, Settings { start: start_at, ..settings(&[GROUP]) }, &Memory::with([]));
        sleep(MINUTE).await;
        double.put(GROUP, wall.millis_ago(Duration::ZERO), "new");
        sleep(2 * MINUTE).await;
        assert_eq!(run.taken(), expected, "{start_at:?}");
        sleep(60 * MINUTE).await;
        assert_eq!(run.stop().await, expected, "{start_at:?}, an hour later");
    };
    check(Start::Oldest, &["oldest", "old", "recent", "new"]).await;
    check(Start::Latest, &["new"]).await;
    check(Start::At(epoch() - SignedDuration::from_mins(10)), &["recent", "new"]).await;
    check(Start::At(epoch() + SignedDuration::from_secs(30)), &["new"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_late_comes_once_and_is_told() {
    let (double, wall, log) = (LogsDouble::new(&[GROUP]), Wall(Instant::now()), Log::default());
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    // These tests have one thread: what is spawned logs here too.
    let _guard = tracing::subscriber::set_default(subscriber);
    double.page(3);
    double.empty_pages();
    let run = start(&double, wall, settings(&[GROUP]), &Memory::with([]));
    let mut all = BTreeSet::new();
    let mut put = |ago: Duration, message: String| {
        double.put(GROUP, wall.millis_ago(ago), &message);
        all.insert(message);
    };
    sleep(20 * MINUTE).await;
    for number in 0..200_u32 {
        let ago = match number % 4 {
            0 => Duration::ZERO,
            1 => Duration::from_secs(59),
            2 => Duration::from_secs(90) + MINUTE * (number % 7),
            _ => 15 * MINUTE + Duration::from_secs(50),
        };
        put(ago, format!("m{number}"));
        sleep(Duration::from_millis(3217)).await;
    }
    sleep(20 * MINUTE).await;
    let taken = run.stop().await;
    assert_eq!(taken.len(), all.len(), "some came twice, or not at all");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), all);
    let log = log.text();
    assert!(log.contains("ingested later than `lag`") && log.contains("lag=\"1m\""), "{log}");
    let counted = log.lines().filter_map(|line| line.split("events=").nth(1)?.split(' ').next()?.parse::<usize>().ok());
    let counted: usize = counted.sum();
    assert!((95..=110).contains(&counted), "{counted} of 100 are said to be late");
}

#[tokio::test(start_paused = true)]
async fn nothing_on_time_is_said_to_be_late() {
    let (double, wall, log) = (LogsDouble::new(&[GROUP]), Wall(Instant::now()), Log::default());
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    // These tests have one thread: what is spawned logs here too.
    let _guard = tracing::subscriber::set_default(subscriber);
    for number in 0..50 {
        double.put(GROUP, wall.millis_ago(MINUTE * number), format!("before{number}"));
    }
    let run = start(&double, wall, Settings { start: Start::Oldest, ..settings(&[GROUP]) }, &Memory::with([]));
    for number in 0..60 {
        double.put(GROUP, wall.millis_ago(Duration::ZERO), format!("m{number}"));
        sleep(MINUTE / 2).await;
    }
    sleep(2 * MINUTE).await;
    assert_eq!(run.stop().await.len(), 110);
    assert!(!log.text().contains("later than"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_time_it_loses_nothing() {
    let (double, wall, store) = (LogsDouble::new(&[GROUP]), Wall(Instant::now()), Memory::with([]));
    double.page(2);
    let (mut all, mut found) = (BTreeSet::new(), BTreeSet::new());
    for life in 0..12_u32 {
        let run = start(&double, wall, settings(&[GROUP]), &store);
        for number in 0..5_u32 {
            sleep(MINUTE * (life % 5) / 2 + Duration::from_millis(777)).await;
            // Some are later than the lag, and come while nobody reads.
            let ago = MINUTE * ((life + number) % 4) * 3;
            let message = format!("m{life}-{number}");
            double.put(GROUP, wall.millis_ago(ago).max(epoch().as_millisecond() + 1), &message);
            all.insert(message);
        }
        found.extend(run.stop().await);
        sleep(MINUTE).await;
    }
    let run = start(&double, wall, settings(&[GROUP]), &store);
    sleep(30 * MINUTE).await;
    found.extend(run.stop().await);
    assert_eq!(found, all);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_log_group_moves_on() {
    let (double, wall, store) = (LogsDouble::new(&[GROUP]), Wall(Instant::now()), Memory::with([]));
    let run = start(&double, wall, settings(&[GROUP]), &store);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(position(&store, GROUP).as_millisecond(), epoch().as_millisecond());
    sleep(60 * MINUTE).await;
    let behind = wall.now().duration_since(position(&store, GROUP));
    assert!((16..=18).contains(&behind.as_mins()), "{behind:#}");
    let calls = double.calls("FilterLogEvents").len();
    assert!((350..=450).contains(&calls), "{calls} calls in an hour of rounds every ten seconds");
    run.stop().await;
    // A position that is stored is gone on from, whatever the start is.
    let run = start(&double, wall, Settings { start: Start::Oldest, ..settings(&[GROUP]) }, &store);
    sleep(Duration::from_secs(1)).await;
    let first = &double.calls("FilterLogEvents")[calls];
    assert!(first.input["startTime"].as_i64().unwrap() > epoch().as_millisecond());
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_look_back_each_event_is_asked_for_once() {
    let (double, wall, store) = (LogsDouble::new(&[GROUP]), Wall(Instant::now()), Memory::with([]));
    let once = Settings { lookback: Duration::ZERO, pattern: Some("{ $.a = 1 }".into()), ..settings(&[GROUP]) };
    let run = start(&double, wall, once, &store);
    for number in 0..30 {
        double.put(GROUP, wall.millis_ago(Duration::ZERO), format!("m{number}"));
        sleep(MINUTE / 3).await;
    }
    sleep(2 * MINUTE).await;
    assert_eq!(run.stop().await, (0..30).map(|number| format!("m{number}")).collect::<Vec<_>>());
    assert!(wall.now().duration_since(position(&store, GROUP)).as_secs() <= 71);
    let mut end = None;
    // The first call asks for nothing but the time.
    for call in double.calls("FilterLogEvents").into_iter().skip(1) {
        assert_eq!(call.input["filterPattern"], "{ $.a = 1 }");
        let (from, to) = (call.input["startTime"].as_i64().unwrap(), call.input["endTime"].as_i64().unwrap());
        assert!(end.is_none_or(|end| from == end + 1), "{from} after {end:?}");
        end = Some(to);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_nothing_is_missing_and_nothing_comes_twice() {
    let (double, wall, store) = (LogsDouble::new(&["a", "b"]), Wall(Instant::now()), Memory::with([]));
    double.page(2);
    let run = start(&double, wall, settings(&["a", "b"]), &store);
    let faults = [
        Fault::Error(400, "ThrottlingException"),
        Fault::Error(400, "AccessDeniedException"),
        Fault::Unreadable,
        Fault::Error(500, ""),
        Fault::Error(400, "ResourceNotFoundException"),
    ];
    let mut all = Vec::new();
    for number in 0..90 {
        let group = ["a", "b"][number % 2];
        double.put(group, wall.millis_ago(Duration::ZERO), format!("{group}{number}"));
        all.push((group.to_owned(), format!("{group}{number}")));
        double.fault("FilterLogEvents", faults.get(number % 9).cloned());
        sleep(Duration::from_secs(20)).await;
    }
    sleep(40 * MINUTE).await;
    let mut taken = run.lanes.taken.lock().unwrap().clone();
    run.stop().await;
    taken.sort();
    all.sort();
    assert_eq!(taken, all);
    assert_eq!(double.faults_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_log_group_that_cannot_be_read_ends_the_others() {
    let (double, wall, store) = (LogsDouble::new(&["a", "b"]), Wall(Instant::now()), Memory::with([]));
    let run = start(&double, wall, settings(&["a", "b"]), &store);
    sleep(5 * MINUTE).await;
    double.fault("FilterLogEvents", [Fault::Error(400, "InvalidParameterException")]);
    let error = run.task.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("cannot read log group"), "{error}");
    assert!(run.stop.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_fast_passes_over_nothing() {
    let check = async |start_at: Start, ahead: Duration, lookback: Duration| {
        let (double, wall, store) = (LogsDouble::new(&[GROUP]), Wall(Instant::now()), Memory::with([]));
        double.clock(wall.clock(SignedDuration::try_from(ahead).unwrap()));
        double.date(wall.clock(SignedDuration::ZERO));
        double.page(3);
        // A host whose clock is wrong has its signatures refused, until somebody puts it right.
        double.fault("FilterLogEvents", [Fault::Error(400, "InvalidSignatureException")]);
        let run = start_as_it_is(&double, Settings { start: start_at, lookback, ..settings(&[GROUP]) }, &store);
        let mut all = Vec::new();
        for number in 0..80_u32 {
            sleep(MINUTE / 4).await;
            double.put(GROUP, wall.millis_ago(Duration::from_secs(u64::from(number % 50))), format!("m{number:02}"));
            all.push(format!("m{number:02}"));
            let behind = wall.now().duration_since(position(&store, GROUP));
            assert!(
                behind >= SignedDuration::try_from(lookback).unwrap().min(SignedDuration::from_secs(14)),
                "{behind}"
            );
        }
        sleep(40 * MINUTE).await;
        let mut taken = run.stop().await;
        taken.sort();
        assert_eq!(taken, all, "{start_at:?} {ahead:?} {lookback:?}");
    };
    for start_at in [Start::Latest, Start::Oldest] {
        for ahead in [Duration::from_secs(90), 20 * MINUTE, 24 * 60 * MINUTE] {
            check(start_at, ahead, 15 * MINUTE).await;
            check(start_at, ahead, Duration::ZERO).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_for_a_while_passes_over_nothing() {
    let (double, wall, store) = (LogsDouble::new(&[GROUP]), Wall(Instant::now()), Memory::with([]));
    // From the tenth minute to the twelfth it is an hour ahead, and no call is taken.
    let host = move || {
        let jumped = (10..12).contains(&wall.0.elapsed().as_secs().div_euclid(60));
        wall.now() + SignedDuration::from_hours(i64::from(jumped))
    };
    double.clock(Arc::new(host));
    double.date(wall.clock(SignedDuration::ZERO));
    let run = start_as_it_is(&double, settings(&[GROUP]), &store);
    let mut all = BTreeSet::new();
    for number in 0..90 {
        if wall.0.elapsed().as_secs() / 60 == 10 {
            double.fault("FilterLogEvents", [Fault::Error(400, "InvalidSignatureException")]);
        }
        double.put(GROUP, wall.millis_ago(Duration::ZERO), format!("m{number}"));
        all.insert(format!("m{number}"));
        sleep(MINUTE).await;
    }
    sleep(40 * MINUTE).await;
    assert_eq!(run.stop().await.into_iter().collect::<BTreeSet<_>>(), all);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_backlog_does_not_starve_another_log_group() {
    let groups: Vec<_> = (0..10).map(|number| format!("g{number}")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let (double, wall) = (LogsDouble::new(&groups), Wall(Instant::now()));
    double.page(2);
    for group in &groups[..9] {
        for number in 0..2000 {
            double.put(group, wall.millis_ago(24 * 60 * MINUTE) + number, format!("{group} {number}"));
        }
    }
    let run = start(&double, wall, Settings { start: Start::Oldest, ..settings(&groups) }, &Memory::with([]));
    sleep(2 * MINUTE).await;
    for number in 0..60 {
        if number % 4 == 0 {
            double.fault("FilterLogEvents", [Fault::Error(400, "ThrottlingException")]);
        }
        double.put(groups[9], wall.millis_ago(Duration::ZERO), format!("live {number}"));
        sleep(Duration::from_secs(10)).await;
    }
    sleep(2 * MINUTE).await;
    let live = run.taken().iter().filter(|message| message.starts_with("live")).count();
    assert!((59..=61).contains(&live), "{live} of 60 came in time");
    let calls: Vec<_> = double.calls("FilterLogEvents").iter().map(|call| call.at).collect();
    let most = calls.iter().map(|at| calls.iter().filter(|other| **other >= *at && **other - *at < MINUTE).count());
    assert!(most.max().unwrap() <= 241, "more than four calls a second");
    assert!(run.taken().len() < 18_000, "the backlog was over before anything was shown");
    run.stop().await;
}
