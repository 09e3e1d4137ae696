//! Lanes: what is committed when, whatever the ends do.

use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::checkpoint::CheckpointError;
use bedrock_tap::delivery::{LaneEnd, LaneError};
use bedrock_tap::record::{Position, ShardId};
use proptest::prelude::*;
use tokio::sync::Notify;

use crate::support::engine_script::{Answer, Bench, EACH_ALONE, Keeper, Script, Step, after, settle, store_retries};
use crate::support::log::Log;

const ROOM: usize = 64 << 20;

fn ended() -> LaneEnd {
    LaneEnd::Ended { children: vec![ShardId::new("child")] }
}

fn keepers(count: usize) -> Vec<Arc<Keeper>> {
    (0..count).map(|_| Arc::default()).collect()
}

fn reads(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Step> {
    numbers.map(|number| Step::Read(vec![format!("line-{number}")], number + 1))
}

#[tokio::test(start_paused = true)]
async fn everything_is_delivered_to_each_sink_and_the_end_is_committed() {
    let sinks = keepers(2);
    let bench = Bench::new(&sinks, Default::default(), ROOM);
    let steps = [
        Step::Read(vec!["a\nb".into(), "-".into(), "!odd".into()], 1),
        Step::Read(vec![], 2),
        Step::Read(vec!["c".into()], 3),
        Step::End,
    ];
    assert_eq!(bench.spawn(Script::new(steps)).await.unwrap().unwrap(), ended());
    for sink in &sinks {
        assert_eq!(sink.taken(), ["a", "b", "c"]);
    }
    assert_eq!(bench.ledger.newest(), Some(Position::End));
    let letters = bench.letters.taken();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].contains("\"data\":\"IW9kZA==\"") && letters[0].contains("invalid_json"), "{letters:?}");
    let tally = bench.total.tally();
    assert_eq!((tally.log_events, tally.invocations), (5, 3));
    assert_eq!((bench.total.records_read(), bench.total.records_delivered()), (4, 4));
}

/// Lets lines go in a given order and looks after each whether the commits are within the delivered prefix.
async fn check_order(order: Vec<usize>) -> Result<(), TestCaseError> {
    let sinks = keepers(2);
    // One line waits in the first sink, the next in the second, so that each sink alone is not enough.
    for line in 0..order.len() {
        sinks[line % 2].hold(&format!("line-{line}"));
    }
    let bench = Bench::new(&sinks, EACH_ALONE, ROOM);
    let lane = bench.spawn(Script::lines(order.len() as u64));
    settle(2).await;
    let mut delivered = vec![false; order.len()];
    for line in order {
        prop_assert_eq!(lane.is_finished(), false);
        sinks[line % 2].let_go(&format!("line-{line}"));
        delivered[line] = true;
        settle(2).await;
        let prefix = delivered.iter().take_while(|delivered| **delivered).count();
        let expected = match prefix {
            0 => None,
            all if all == delivered.len() => Some(Position::End),
            some => Some(after(some as u64)),
        };
        prop_assert_eq!(bench.ledger.newest(), expected);
    }
    prop_assert_eq!(lane.await.unwrap().unwrap(), ended());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_commit_never_passes_what_is_not_delivered(order in Just((0..12).collect::<Vec<usize>>()).prop_shuffle()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(check_order(order))?;
    }
}

#[tokio::test(start_paused = true)]
async fn a_position_waits_for_its_rejects() {
    let sinks = keepers(1);
    let bench = Bench::new(&sinks, EACH_ALONE, ROOM);
    // The dead letter is silent: it is asked, and answers that it cannot, for a long time.
    bench.letters.answers.lock().unwrap().extend((0..20).map(|_| Answer::Retry));
    let lane = bench.spawn(Script::new([Step::Read(vec!["a".into(), "!odd".into()], 1), Step::End]));
    settle(1).await;
    assert_eq!(sinks[0].taken(), ["a"]);
    assert_eq!(bench.ledger.newest(), None, "committed before the reject was kept");
    assert_eq!(lane.await.unwrap().unwrap(), ended());
    assert_eq!(bench.letters.taken().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn refused_items_are_kept_with_their_origin_and_the_rest_goes_on() {
    let sinks = [Keeper::answering([Answer::Retry, Answer::Refuse(vec![1])])];
    let bench = Bench::new(&sinks, Default::default(), ROOM);
    let lane = bench.spawn(Script::new([Step::Read(vec!["a".into(), "b".into(), "c".into()], 7), Step::End]));
    assert_eq!(lane.await.unwrap().unwrap(), ended());
    assert_eq!(sinks[0].taken(), ["a", "c"]);
    let letter = bench.letters.taken().concat();
    for part in ["\"stage\":\"deliver\"", "\"reason\":\"refused\"", "too odd", "\"data\":\"Yg==\"", "\"offset\":7"] {
        assert!(letter.contains(part), "{part} is not in {letter}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_was_taken_and_denied_comes_again() {
    let sinks = [Keeper::answering([Answer::TakeAndRetry])];
    let bench = Bench::new(&sinks, Default::default(), ROOM);
    bench.spawn(Script::lines(1)).await.unwrap().unwrap();
    assert_eq!(sinks[0].taken(), ["line-0", "line-0"]);
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_delivers_and_commits_what_was_read() {
    let sinks = keepers(1);
    sinks[0].hold("line-2");
    let bench = Bench::new(&sinks, EACH_ALONE, ROOM);
    let lane = bench.spawn(Script::new(reads(0..5)));
    settle(2).await;
    bench.stop.reading.cancel();
    settle(2).await;
    assert!(!lane.is_finished(), "it did not wait for what was read");
    sinks[0].let_go("line-2");
    assert_eq!(lane.await.unwrap().unwrap(), LaneEnd::Stopped);
    assert_eq!(bench.ledger.newest(), Some(after(5)));
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_it_commits_what_is_delivered_and_leaves_the_rest() {
    let sinks = keepers(1);
    sinks[0].hold("line-3");
    let bench = Bench::new(&sinks, EACH_ALONE, ROOM);
    let lane = bench.spawn(Script::new(reads(0..6)));
    settle(2).await;
    bench.stop.reading.cancel();
    bench.stop.abandon.cancel();
    assert_eq!(lane.await.unwrap().unwrap(), LaneEnd::Stopped);
    assert_eq!(bench.ledger.newest(), Some(after(3)));
    assert_eq!((bench.total.records_read(), bench.total.records_delivered()), (6, 3));
    for driver in bench.drivers {
        driver.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_holds_the_end_only_until_the_deadline() {
    let sinks = keepers(1);
    let bench = Bench::new(&sinks, EACH_ALONE, ROOM);
    bench.ledger.failures.lock().unwrap().extend((0..100_000).map(|_| store_retries()));
    let lane = bench.spawn(Script::lines(3));
    settle(3600).await;
    assert!(!lane.is_finished(), "it ended without its commit");
    bench.stop.abandon.cancel();
    let before = tokio::time::Instant::now();
    assert_eq!(lane.await.unwrap().unwrap(), LaneEnd::Stopped);
    assert!(before.elapsed() <= Duration::from_secs(3), "{:?}", before.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_for_a_while_gets_the_newest_position() {
    let sinks = keepers(1);
    let bench = Bench::new(&sinks, Default::default(), ROOM);
    bench.ledger.failures.lock().unwrap().extend((0..5).map(|_| store_retries()));
    let go_on = Arc::new(Notify::new());
    let steps = reads(0..50).chain([Step::Wait(Arc::clone(&go_on)), Step::End]);
    let lane = bench.spawn(Script::new(steps));
    settle(60).await;
    assert_eq!(sinks[0].taken().len(), 50, "reading did not go on");
    assert_eq!(bench.ledger.newest(), Some(after(50)));
    go_on.notify_one();
    assert_eq!(lane.await.unwrap().unwrap(), ended());
}

#[tokio::test(start_paused = true)]
async fn commits_are_paced() {
    let sinks = keepers(1);
    let bench = Bench::new(&sinks, Default::default(), ROOM);
    let told: Vec<Arc<Notify>> = (0..200).map(|_| Arc::default()).collect();
    let steps = told.iter().zip(reads(0..200)).flat_map(|(told, read)| [Step::Wait(Arc::clone(told)), read]);
    let lane = bench.spawn(Script::new(steps.chain([Step::End])));
    for told in told {
        told.notify_one();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(lane.await.unwrap().unwrap(), ended());
    let commits = bench.ledger.commits.lock().unwrap();
    // Ten seconds of reads, one commit a second, and the last.
    assert!((8..=12).contains(&commits.len()), "{} commits", commits.len());
    assert!(
        commits.windows(2).all(|pair| pair[1].0 == Position::End || pair[1].1 - pair[0].1 >= Duration::from_secs(1))
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_a_failure_is_delivered_and_committed() {
    let sinks = keepers(1);
    let bench = Bench::new(&sinks, Default::default(), ROOM);
    let lane = bench.spawn(Script::new(reads(0..3).chain([Step::Fail])));
    assert!(matches!(lane.await.unwrap(), Err(LaneError::Source(_))));
    assert_eq!(bench.ledger.newest(), Some(after(3)));
}

#[tokio::test(start_paused = true)]
async fn a_sink_or_store_that_is_gone_ends_the_lane() {
    let sinks = [Keeper::answering([Answer::Stop])];
    let bench = Bench::new(&sinks, Default::default(), ROOM);
    let result = bench.spawn(Script::new(reads(0..3))).await.unwrap();
    assert!(matches!(result, Err(LaneError::Sink(_))), "{result:?}");
    assert_eq!(bench.ledger.newest(), None);

    let bench = Bench::new(&keepers(1), Default::default(), ROOM);
    let fatal = CheckpointError::Fatal { store: "ledger".into(), advice: "scripted".into(), source: None };
    bench.ledger.failures.lock().unwrap().push_back(fatal);
    let result = bench.spawn(Script::new(reads(0..3))).await.unwrap();
    assert!(matches!(result, Err(LaneError::Checkpoint(_))), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_line_is_an_error_that_names_the_record() {
    let bench = Bench::new(&keepers(1), Default::default(), ROOM);
    let steps = reads(0..2).chain([Step::Read(vec!["panic".into()], 3), Step::End]);
    let error = bench.spawn(Script::new(steps)).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("script@3"), "{error}");
    assert_eq!(bench.ledger.newest(), Some(after(2)));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_holds_stops_the_reading_at_the_budget() {
    let sinks = keepers(2);
    let big = |number: u64| format!("line-{number}-{}", "x".repeat(1 << 20));
    sinks[1].hold(&big(0));
    let bench = Bench::new(&sinks, Default::default(), 6 << 20);
    let steps = (0..100).map(|number| Step::Read(vec![big(number)], number + 1));
    let lane = bench.spawn(Script::new(steps.chain([Step::End])));
    settle(120).await;
    // Two outputs of 1 MiB a read: the budget holds two or three reads, the queue before it eight, and one or two are
    // on their way.
    assert!(bench.total.records_read() <= 14, "{} reads", bench.total.records_read());
    assert_eq!(bench.ledger.newest(), None);
    sinks[1].let_go(&big(0));
    assert_eq!(lane.await.unwrap().unwrap(), ended());
    assert_eq!(sinks[1].taken().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_is_named_in_the_log_and_no_data_is() {
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(lines.finish());
    let sinks = keepers(2);
    sinks[1].hold("line-1");
    let bench = Bench::new(&sinks, Default::default(), ROOM);
    let lane = bench.spawn(Script::lines(3));
    settle(600).await;
    let complaints = log.text().matches("a slow sink holds everything back").count();
    assert!((2..=11).contains(&complaints), "{complaints} complaints in ten minutes");
    assert!(log.text().contains("sink=\"sink-1\"") && !log.text().contains("sink=\"sink-0\""), "{}", log.text());
    sinks[1].let_go("line-1");
    lane.await.unwrap().unwrap();
    assert!(!log.text().contains("line-"), "the log holds data");
}
