//! Log groups that are watched by live sessions: each event once, whatever the sessions leave out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::delivery::{LaneEnd, LaneError, Lanes};
use bedrock_tap::record::{Partition, Position, ShardId};
use bedrock_tap::source::cloudwatch::groups::{Reader, Start};
use bedrock_tap::source::cloudwatch::live::{self, Delays};
use bedrock_tap::source::{BoxFuture, Read, Source};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::collect::Memory;
use crate::support::live_tail_double::{End, LiveTail, Put, Session};

#[cfg(unix)]
mod program;

const LAG: Duration = Duration::from_secs(10);
const LOOKBACK: Duration = Duration::from_secs(60);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Lanes that note what they are given, and when. At each position they look whether all before it was given.
struct Taken {
    double: LiveTail,
    /// Each message, and when it was given.
    messages: Mutex<BTreeMap<String, Vec<Timestamp>>>,
    positions: Mutex<BTreeMap<ShardId, Timestamp>>,
    /// How long a lane holds on after each read.
    stall: Mutex<Duration>,
}

impl Taken {
    fn new(double: &LiveTail) -> Arc<Self> {
        Arc::new(Self {
            double: double.clone(),
            messages: Mutex::default(),
            positions: Mutex::default(),
            stall: Mutex::default(),
        })
    }

    fn take(&self, partition: &Partition, read: Read) {
        let Read::Records { records, position: Position::UpTo(position), .. } = read else { panic!("{read:?}") };
        let mut messages = self.messages.lock().unwrap();
        for record in records {
            let envelope: Value = serde_json::from_slice(&record.data).unwrap();
            assert_eq!(envelope["logGroup"], partition.shard.as_str());
            for event in envelope["logEvents"].as_array().unwrap() {
                assert_eq!(event.get("id"), None, "an event has one identity, however it came");
                let message = event["message"].as_str().unwrap().to_owned();
                messages.entry(message).or_default().push(self.double.now());
            }
        }
        let before = self.positions.lock().unwrap().insert(partition.shard.clone(), position);
        assert!(before.is_none_or(|before| before <= position), "the position went back");
        let late = |put: &&Put| put.ingested.duration_since(put.time) > (LAG + LOOKBACK).try_into().unwrap();
        for put in self.double.events().iter().filter(|put| put.group == partition.shard.as_str()) {
            let is_due = put.time < position && !late(&put);
            assert!(!is_due || messages.contains_key(&put.message), "{position} passes over {put:?}");
        }
    }

    /// Asserts that each event that was put was given, and no more than once unless it may be.
    fn check(&self, may_repeat: bool) {
        let messages = self.messages.lock().unwrap();
        let put: BTreeSet<_> = self.double.events().into_iter().map(|put| put.message).collect();
        let missing: Vec<_> = put.iter().filter(|message| !messages.contains_key(*message)).collect();
        assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), put.len());
        let repeated: Vec<_> = messages.iter().filter(|(_, given)| given.len() > 1).collect();
        assert!(may_repeat || repeated.is_empty(), "{} came more than once: {repeated:?}", repeated.len());
    }

    /// The longest time from an event's ingestion to its delivery.
    fn slowest(&self) -> Duration {
        let messages = self.messages.lock().unwrap();
        let slowness = |put: Put| messages[&put.message][0].duration_since(put.ingested);
        self.double.events().into_iter().map(slowness).max().unwrap().try_into().unwrap()
    }
}

impl Lanes for Taken {
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
                    // What is dropped half-way has lost nothing.
                    () = sleep(Duration::from_millis(1700)) => continue,
                    read = source.next() => read?,
                };
                self.take(&partition, read);
                let stall = *self.stall.lock().unwrap();
                sleep(stall).await;
            }
        })
    }
}

/// Watches log groups of the double, from where the lanes stand or else from now on.
fn watch(double: &LiveTail, taken: &Arc<Taken>, groups: &[&str], budget: usize) -> (JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    let settings = live::Settings {
        log_groups: groups.iter().map(|group| (*group).into()).collect(),
        start: Start::At(double.now() - seconds(120)),
        pattern: None,
        is_endpoint_named: false,
        delays: Delays { lag: LAG, lookback: LOOKBACK },
        history_first: false,
    };
    let at = |(shard, position): (&ShardId, &Timestamp)| (shard.clone(), Position::UpTo(*position));
    let store = Memory::with(taken.positions.lock().unwrap().iter().map(at));
    let (logs, lanes, budget) = (double.logs(), taken.clone(), Budget::new(budget));
    let reader = Reader { logs, lanes, checkpoints: store, budget, stop: stop.clone() };
    let running = async move { live::run(&settings, reader).await.unwrap() };
    (tokio::spawn(running), stop)
}

/// A small generator of its own, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Writes for so long: most events are young, some come late, and now and then there are many.
async fn write(double: &LiveTail, groups: &[&'static str], random: &mut Random, time: Duration, number: &mut u64) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let count = if random.below(15) == 0 { 120 } else { random.below(6) };
        for _ in 0..count {
            let age = if random.below(10) == 0 { 65_000 } else { 8_000 };
            let group = groups[random.below(groups.len() as u64) as usize];
            double.put(group, Duration::from_millis(random.below(age)), &format!("event {number}"));
            *number += 1;
        }
        sleep(Duration::from_millis(200 + random.below(1500))).await;
    }
}

const MISHAPS: [Session; 9] = [
    Session::Ends(30, End::Exception("SessionTimeoutException")),
    Session::Ends(20, End::Cut),
    Session::Ends(1, End::Exception("SessionStreamingException")),
    Session::Ends(25, End::BadChecksum),
    Session::Refused(400, "LimitExceededException"),
    Session::Ends(15, End::HalfFrame),
    Session::Ends(0, End::Close),
    Session::Ends(40, End::Silence),
    Session::Ends(60, End::Exception("SessionTimeoutException")),
];

#[tokio::test(start_paused = true)]
async fn each_event_comes_once_whatever_the_sessions_leave_out() {
    for seed in 0..2 {
        const GROUPS: [&str; 2] = ["/bedrock/a", "/bedrock/b"];
        let double = LiveTail::new(&GROUPS, seconds(4));
        double.set_update(60);
        double.sessions(MISHAPS);
        let (taken, mut random, mut number) = (Taken::new(&double), Random(seed), 0);
        let (running, stop) = watch(&double, &taken, &GROUPS, 1 << 20);
        sleep(Duration::from_millis(1)).await;
        for stall in [0, 0, 7, 0, 20, 0] {
            *taken.stall.lock().unwrap() = seconds(stall);
            write(&double, &GROUPS, &mut random, seconds(90), &mut number).await;
        }
        sleep(seconds(600)).await;
        stop.cancel();
        running.await.unwrap();
        taken.check(false);
        assert!(double.sampled() > 0 && double.calls("StartLiveTail") >= 9, "{seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_at_any_moment_comes_after_the_next_start() {
    const GROUPS: [&str; 1] = ["/bedrock/a"];
    for seed in 10..13 {
        let double = LiveTail::new(&GROUPS, seconds(4));
        double.set_update(60);
        let (taken, mut random, mut number) = (Taken::new(&double), Random(seed), 0);
        for life in 0..12 {
            double.sessions([MISHAPS[random.below(MISHAPS.len() as u64) as usize]]);
            let (running, _) = watch(&double, &taken, &GROUPS, 1 << 20);
            sleep(Duration::from_millis(1)).await;
            write(&double, &GROUPS, &mut random, Duration::from_millis(random_time(life)), &mut number).await;
            running.abort();
            assert!(running.await.is_err());
            write(&double, &GROUPS, &mut random, seconds(5), &mut number).await;
        }
        let (running, stop) = watch(&double, &taken, &GROUPS, 1 << 20);
        sleep(seconds(600)).await;
        stop.cancel();
        running.await.unwrap();
        taken.check(true);
    }
}

/// How long a life is: some end before anything was told.
fn random_time(life: u64) -> u64 {
    [40, 1_000, 9_000, 30_000, 100_000][life as usize % 5]
}

#[tokio::test(start_paused = true)]
async fn live_events_come_within_seconds_and_cost_no_other_calls() {
    const GROUPS: [&str; 1] = ["/bedrock/a"];
    let double = LiveTail::new(&GROUPS, seconds(4));
    let taken = Taken::new(&double);
    let (running, stop) = watch(&double, &taken, &GROUPS, 1 << 20);
    sleep(seconds(200)).await;
    let calls = double.calls("FilterLogEvents");
    assert!(calls > 0, "the first seconds are read");
    for number in 0..1000 {
        double.put(GROUPS[0], seconds(2), &format!("event {number}"));
        sleep(seconds(1)).await;
    }
    sleep(seconds(2)).await;
    stop.cancel();
    running.await.unwrap();
    taken.check(false);
    assert!(taken.slowest() < seconds(3), "{:?}", taken.slowest());
    assert_eq!((double.calls("FilterLogEvents"), double.calls("StartLiveTail")), (calls, 1));
    assert_eq!(double.host().unwrap(), "stream-logs.eu-west-1.amazonaws.com");
}

#[tokio::test(start_paused = true)]
async fn without_a_session_it_is_as_good_as_polling() {
    const GROUPS: [&str; 1] = ["/bedrock/a"];
    for operation in ["StartLiveTail", "DescribeLogGroups"] {
        let double = LiveTail::new(&GROUPS, seconds(4));
        double.refuse(operation, "AccessDeniedException");
        let (taken, mut random, mut number) = (Taken::new(&double), Random(1), 0);
        let (running, stop) = watch(&double, &taken, &GROUPS, 1 << 20);
        sleep(Duration::from_millis(1)).await;
        for second in 0..300 {
            double.put(GROUPS[0], seconds(random.below(5)), &format!("early {second}"));
            sleep(seconds(1)).await;
        }
        let slowest = {
            sleep(seconds(60)).await;
            taken.slowest()
        };
        assert!(slowest < LAG + seconds(30), "{operation}: {slowest:?}");
        let calls = double.calls("FilterLogEvents");
        assert!(calls < 100, "{operation}: {calls} calls in six minutes");
        assert_eq!(double.calls("StartLiveTail") == 0, operation == "DescribeLogGroups");
        double.refuse(operation, "");
        write(&double, &GROUPS, &mut random, seconds(200), &mut number).await;
        sleep(seconds(300)).await;
        stop.cancel();
        running.await.unwrap();
        taken.check(false);
        assert!(double.calls("StartLiveTail") > 0, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_hides_no_event_of_a_gap() {
    const GROUPS: [&str; 1] = ["/bedrock/a"];
    let double = LiveTail::new(&GROUPS, seconds(4));
    double.set_ahead(SignedDuration::from_secs(-15));
    double.set_update(3);
    let taken = Taken::new(&double);
    let (running, stop) = watch(&double, &taken, &GROUPS, 1 << 20);
    sleep(seconds(200)).await;
    for number in 0..40 {
        // One second has more than a session gives, the next ones nothing.
        (0..10).for_each(|of| double.put(GROUPS[0], Duration::from_millis(100), &format!("event {number} {of}")));
        sleep(seconds(20)).await;
    }
    sleep(seconds(300)).await;
    stop.cancel();
    running.await.unwrap();
    taken.check(false);
}

#[tokio::test(start_paused = true)]
async fn events_that_are_alike_are_as_many_as_they_are() {
    const GROUPS: [&str; 1] = ["/bedrock/a"];
    let double = LiveTail::new(&GROUPS, seconds(4));
    let taken = Taken::new(&double);
    let (running, stop) = watch(&double, &taken, &GROUPS, 1 << 20);
    sleep(seconds(200)).await;
    (0..3).for_each(|_| double.put(GROUPS[0], seconds(1), "live"));
    sleep(seconds(20)).await;
    double.set_update(1);
    (0..3).for_each(|_| double.put(GROUPS[0], seconds(1), "sampled"));
    sleep(seconds(200)).await;
    stop.cancel();
    running.await.unwrap();
    let counts: Vec<_> =
        taken.messages.lock().unwrap().iter().map(|(text, given)| (text.clone(), given.len())).collect();
    assert_eq!(counts, [("live".to_owned(), 3), ("sampled".to_owned(), 3)]);
}

#[tokio::test(start_paused = true)]
async fn what_a_session_leaves_out_of_its_log_groups_is_polled() {
    const GROUPS: [&str; 2] = ["/bedrock/a", "/bedrock/b"];
    let double = LiveTail::new(&GROUPS, seconds(4));
    double.leave_out(GROUPS[1]);
    let (taken, mut random, mut number) = (Taken::new(&double), Random(3), 0);
    let (running, stop) = watch(&double, &taken, &GROUPS, 1 << 20);
    write(&double, &GROUPS, &mut random, seconds(120), &mut number).await;
    sleep(seconds(300)).await;
    stop.cancel();
    running.await.unwrap();
    taken.check(false);
}
