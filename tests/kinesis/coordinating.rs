//! All shards of a stream: starts, restarts, resharding, listings that fail, and how it all ends.

use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::record::{Position, SequenceNumber, ShardId};
use bedrock_tap::source::kinesis::client;
use bedrock_tap::source::kinesis::coordinator::{Error, OnTrimmed, Settings, coordinate};
use bedrock_tap::source::kinesis::shards::Start;
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::collect::{Collect, Event, Memory, Mishap, started};
use crate::support::kinesis_script::{Fault, Script, shard_id};

struct Run {
    lanes: Arc<Collect>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

fn settings() -> Settings {
    Settings::new(client::Settings { stream: "logs".to_owned(), ..client::Settings::default() })
}

fn run_with(script: &Script, settings: Settings, store: &Arc<Memory>, mishaps: &[Mishap]) -> Run {
    let stop = CancellationToken::new();
    let lanes = Collect::new(store);
    lanes.mishaps.lock().unwrap().extend(mishaps.iter().cloned());
    let budget = Budget::new(256 * 1024 * 1024);
    let run = coordinate(script.kinesis(), settings, lanes.clone(), store.clone(), budget, stop.clone());
    Run { lanes, stop, task: tokio::spawn(run) }
}

fn run(script: &Script, settings: Settings, store: &Arc<Memory>) -> Run {
    run_with(script, settings, store, &[])
}

impl Run {
    async fn stop(self) -> Arc<Collect> {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        self.lanes
    }

    async fn failure(self) -> String {
        let err = timeout(Duration::from_secs(600), self.task).await.expect("goes on").unwrap().unwrap_err();
        format!("{:#}", anyhow::Error::from(err))
    }
}

fn after(sequence: u64) -> Position {
    Position::After(SequenceNumber::new(&sequence.to_string()).unwrap())
}

fn parents(pairs: &[(usize, &[usize])]) -> Vec<(ShardId, Vec<ShardId>)> {
    pairs.iter().map(|(shard, of)| (shard_id(*shard), of.iter().map(|parent| shard_id(*parent)).collect())).collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Two shards of which the first was split before anybody read.
fn split_stream() -> Script {
    let script = Script::new(2);
    script.put(0, "parent");
    script.put(1, "other");
    script.reshard(&[0], 2);
    script.put(2, "left");
    script.put(3, "right");
    script
}

const SPLIT: &[(usize, &[usize])] = &[(2, &[0]), (3, &[0])];

#[tokio::test(start_paused = true)]
async fn everything_is_read_parents_before_children() {
    let script = split_stream();
    let run = run(&script, settings(), &Memory::with([]));
    run.lanes.until_records(4).await;
    script.put(2, "later");
    run.lanes.until_records(5).await;
    let lanes = run.stop().await;
    lanes.assert_whole(texts(&["parent", "other", "left", "right", "later"]), &parents(SPLIT));
    assert_eq!(lanes.store.position(&shard_id(0)), Some(Position::End));
}

#[tokio::test(start_paused = true)]
async fn splits_and_merges_while_reading() {
    let script = Script::new(2);
    let run = run(&script, settings(), &Memory::with([]));
    let (mut open, mut expected, mut history) = (vec![0, 1], Vec::new(), Vec::new());
    for round in 0..12 {
        for (at, shard) in open.iter().enumerate() {
            expected.push(format!("{round}-{at}"));
            script.put(*shard, format!("{round}-{at}"));
        }
        let gone = if round % 3 == 2 { open.drain(..2).collect() } else { vec![open.remove(round % open.len())] };
        let made = script.reshard(&gone, if gone.len() == 2 { 1 } else { 2 });
        history.extend(made.iter().map(|made| (*made, gone.clone())));
        open.extend(made);
        sleep(Duration::from_millis(round as u64 * 613 % 3000)).await;
    }
    run.lanes.until_records(expected.len()).await;
    let lanes = run.stop().await;
    let history: Vec<_> = history.iter().map(|(shard, of)| (*shard, of.as_slice())).collect();
    lanes.assert_whole(expected, &parents(&history));
}

#[tokio::test(start_paused = true)]
async fn children_are_read_within_a_second_of_their_parents_end() {
    let script = Script::new(1);
    script.put(0, "a");
    let run = run(&script, settings(), &Memory::with([]));
    run.lanes.until_records(1).await;
    script.reshard(&[0], 2);
    script.put(1, "b");
    let resharded = tokio::time::Instant::now();
    run.lanes.until_records(2).await;
    // Of it, the idle shard's own wait is up to a second.
    assert!(resharded.elapsed() < Duration::from_millis(1_500), "{:?}", resharded.elapsed());
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_start_begins_where_it_says_and_is_stored_at_once() {
    let check = async |start: Start, expected: &[&str], stored: fn(&Position) -> bool| {
        let script = split_stream();
        let store = Memory::with([]);
        // What is stored is stored before anything is read.
        let slow = vec![Mishap::Sleep(Duration::from_secs(5)); 4];
        let run = run_with(&script, Settings { start, ..settings() }, &store, &slow);
        run.lanes.until("a lane", |events| !events.is_empty()).await;
        assert!((1..4).all(|shard| store.position(&shard_id(shard)).as_ref().is_some_and(stored)), "{store:?}");
        sleep(Duration::from_secs(10)).await;
        script.put(1, "new");
        run.lanes.until_records(expected.len()).await;
        let history = if start == Start::Latest { &[] } else { SPLIT };
        run.stop().await.assert_whole(texts(expected), &parents(history));
    };
    let all = &["parent", "other", "left", "right", "new"];
    check(Start::TrimHorizon, all, |position| *position == Position::TrimHorizon).await;
    check(Start::Latest, &["new"], |position| matches!(position, Position::AtTimestamp(_))).await;
    let past = Start::AtTimestamp(Timestamp::now() - Duration::from_secs(60));
    check(past, all, |position| matches!(position, Position::AtTimestamp(_))).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_from_now_on_that_crashed_loses_nothing() {
    let script = Script::new(2);
    let store = Memory::with([]);
    let latest = || Settings { start: Start::Latest, ..settings() };
    // It stops before the first answer.
    let first = run_with(&script, latest(), &store, &vec![Mishap::Sleep(Duration::from_secs(3600)); 2]);
    first.lanes.until("both lanes", |events| events.len() == 2).await;
    first.task.abort();
    script.put(0, "a");
    script.reshard(&[0], 2);
    script.put(2, "b");
    let second = run(&script, latest(), &store);
    second.lanes.until_records(2).await;
    second.stop().await.assert_whole(texts(&["a", "b"]), &parents(&[(2, &[0]), (3, &[0])]));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_cut_off_while_it_is_stored_goes_on_the_same() {
    for cut in 1..4 {
        let script = split_stream();
        let store = Memory::with([]);
        *store.dies_after.lock().unwrap() = Some(cut);
        let start = Start::AtTimestamp(Timestamp::now() + Duration::from_secs(3600));
        let failure = run(&script, Settings { start, ..settings() }, &store).failure().await;
        assert!(failure.contains("memory cannot be used"), "{failure}");
        *store.dies_after.lock().unwrap() = None;
        let second = run(&script, settings(), &store);
        sleep(Duration::from_secs(10)).await;
        assert_eq!(started(&second.lanes.events()).len(), 4);
        assert!(second.stop().await.texts().is_empty(), "read from before the start, cut after {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_from_the_stored_positions() {
    let script = split_stream();
    let store = Memory::with([]);
    let first = run(&script, settings(), &store);
    first.lanes.until_records(4).await;
    first.stop().await;
    script.put(1, "a");
    script.put(2, "b");
    let made = script.reshard(&[2, 3], 1);
    script.put(made[0], "c");
    let second = run(&script, Settings { start: Start::Latest, ..settings() }, &store);
    second.lanes.until_records(3).await;
    let lanes = second.stop().await;
    lanes.assert_whole(texts(&["a", "b", "c"]), &parents(&[(4, &[2, 3])]));
    assert!(!started(&lanes.events()).contains(&shard_id(0)), "a shard at its end was read again");
}

#[tokio::test(start_paused = true)]
async fn a_closed_parent_that_was_not_drained_is_drained_before_its_children() {
    let script = split_stream();
    script.put(2, "more");
    let store = Memory::with([(shard_id(0), Position::TrimHorizon), (shard_id(1), after(102))]);
    let run = run(&script, settings(), &store);
    run.lanes.until_records(4).await;
    run.stop().await.assert_whole(texts(&["parent", "left", "right", "more"]), &parents(SPLIT));
}

#[tokio::test(start_paused = true)]
async fn a_listing_has_pages_and_its_tokens_expire() {
    let script = Script::new(25);
    script.page(4);
    for shard in 0..25 {
        script.put(shard, format!("s{shard}"));
    }
    let late = Duration::from_secs(50);
    // The second page's token expires on its way, the fourth page is refused, a later one hangs for a while.
    let fine = || Fault::Delay(Duration::from_millis(1));
    let faults = [fine(), Fault::Error(400, "ExpiredNextTokenException"), fine(), fine(), fine()];
    script.fault("ListShards", faults);
    script.fault("ListShards", [Fault::Error(400, "LimitExceededException"), fine(), Fault::Delay(late)]);
    let run = run(&script, settings(), &Memory::with([]));
    run.lanes.until_records(25).await;
    run.stop().await.assert_whole((0..25).map(|shard| format!("s{shard}")), &[]);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_fails_is_made_again() {
    let check = async |fault: Fault, times: usize| {
        let script = split_stream();
        script.fault("ListShards", std::iter::repeat_n(fault.clone(), times));
        let store = Memory::with([]);
        *store.failures.lock().unwrap() = 3;
        let run = run(&script, settings(), &store);
        run.lanes.until_records(4).await;
        run.stop().await.assert_whole(texts(&["parent", "other", "left", "right"]), &parents(SPLIT));
    };
    check(Fault::Error(400, "ResourceInUseException"), 5).await;
    check(Fault::Error(400, "AccessDeniedException"), 5).await;
    check(Fault::Error(400, "ExpiredNextTokenException"), 9).await;
    check(Fault::Error(500, "InternalFailureException"), 3).await;
    check(Fault::Unreadable, 2).await;
}

#[tokio::test(start_paused = true)]
async fn shards_that_nobody_announced_are_found_within_a_minute() {
    let script = Script::new(2);
    let run = run(&script, settings(), &Memory::with([]));
    run.lanes.until("both", |events| events.len() == 2).await;
    sleep(Duration::from_secs(1)).await;
    let listings = script.calls("ListShards").len();
    sleep(Duration::from_secs(180)).await;
    assert_eq!(script.calls("ListShards").len() - listings, 3);
    // Not a child of any shard that is read: only the regular listing can find it.
    let found = script.reshard(&[], 1)[0];
    script.put(found, "found");
    timeout(Duration::from_secs(62), run.lanes.until_records(1)).await.expect("not found");
    run.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_ends_it_says_why() {
    let refused = |code| move |script: &Script| script.fault("ListShards", [Fault::Error(400, code)]);
    let check = async |prepare: &dyn Fn(&Script), store: Arc<Memory>, mishaps: &[Mishap], expected: &[&str]| {
        let script = split_stream();
        prepare(&script);
        let failure = run_with(&script, settings(), &store, mishaps).failure().await;
        for expected in expected {
            assert!(failure.contains(expected), "{failure:?} lacks {expected:?}");
        }
    };
    let none = || Memory::with([]);
    let missing = ["stream/logs", "check that", "exists", "region", "ResourceNotFoundException"];
    check(&refused("ResourceNotFoundException"), none(), &[], &missing).await;
    check(&refused("ValidationException"), none(), &[], &["check the start position and the name"]).await;
    check(&|_| (), none(), &[Mishap::Panic], &["shardId-000000000000 panicked"]).await;
    let foreign = Memory::with([(shard_id(1), after(7))]);
    check(&|_| (), foreign, &[], &["logs/shardId-000000000001 stopped", "after 7, is not in the stream", "on_trimmed"])
        .await;
    let vanished = Memory::with([(shard_id(9), after(7)), (shard_id(8), Position::End)]);
    check(&|_| (), vanished, &[], &["shardId-000000000009", "left the stream", "on_trimmed"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_fails_lets_the_others_finish() {
    let script = split_stream();
    let store = Memory::with([(shard_id(0), after(7))]);
    let run = run(&script, settings(), &store);
    let stop = run.stop.clone();
    run.failure().await;
    assert!(stop.is_cancelled(), "the other lanes were not told");
}

#[tokio::test(start_paused = true)]
async fn a_trimmed_position_goes_on_from_the_oldest_if_that_is_wanted() {
    let script = split_stream();
    // One position is foreign, one shard has left, and one leaves while it is read.
    let made = script.reshard(&[1], 1)[0];
    script.put(made, "made");
    script.expire(1);
    let store = Memory::with([(shard_id(0), after(7)), (shard_id(1), after(102)), (shard_id(9), after(7))]);
    let run = run(&script, Settings { on_trimmed: OnTrimmed::Oldest, ..settings() }, &store);
    run.lanes.until_records(4).await;
    script.put(2, "unread");
    script.reshard(&[2], 1);
    script.expire(2);
    script.put(5, "child");
    run.lanes.until("the child", |events| events.contains(&Event::Record(shard_id(5), b"child".to_vec()))).await;
    let lanes = run.stop().await;
    lanes.assert_whole(texts(&["parent", "left", "right", "made", "child"]), &parents(SPLIT));
    for gone in [1, 2, 9] {
        assert_eq!(lanes.store.position(&shard_id(gone)), Some(Position::End), "shard {gone} would be told again");
    }
}

#[tokio::test(start_paused = true)]
async fn it_stops_wherever_it_is() {
    for fault in [Fault::Error(400, "AccessDeniedException"), Fault::Delay(Duration::from_secs(50))] {
        for operation in ["ListShards", "GetShardIterator", "GetRecords"] {
            let script = split_stream();
            script.fault(operation, std::iter::repeat_n(fault.clone(), 1000));
            let run = run(&script, settings(), &Memory::with([]));
            sleep(Duration::from_secs(3)).await;
            run.stop.cancel();
            timeout(Duration::from_secs(1), run.task).await.expect("goes on").unwrap().unwrap();
        }
    }
}
