//! Batching: what queues while a sink is busy goes together, within the limits.

use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::delivery::LaneEnd;
use bedrock_tap::format::Lines;
use bedrock_tap::record::Position;
use bedrock_tap::sink::batch::{self, Origins, Outlet, Receipt, Settings};
use bedrock_tap::sink::retry::Patience;
use bedrock_tap::sink::{Range, SinkError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::engine_script::{Answer, Bench, Keeper, Script, partition, settle};

fn lines(items: &[&str]) -> Lines {
    let mut lines = Lines::default();
    items.iter().for_each(|item| lines.push_with(|out| out.extend_from_slice(item.as_bytes())));
    lines
}

fn start(sink: &Arc<Keeper>, settings: Settings) -> (Outlet, JoinHandle<Result<(), SinkError>>, CancellationToken) {
    let abandon = CancellationToken::new();
    let (outlet, driver) = batch::start("sink", Arc::clone(sink) as _, settings, None, abandon.clone());
    (outlet, tokio::spawn(driver.run()), abandon)
}

async fn submit(outlet: &Outlet, items: &[&str]) -> Receipt {
    outlet.submit(lines(items), Origins::default(), Arc::default()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_queues_while_the_sink_is_busy_goes_together() {
    let sink = Arc::<Keeper>::default();
    sink.hold("a");
    let (outlet, driver, _) = start(&sink, Settings::default());
    let first = submit(&outlet, &["a"]).await;
    settle(1).await;
    let mut receipts = vec![first];
    for item in ["b", "c", "d"] {
        receipts.push(submit(&outlet, &[item]).await);
    }
    assert!(outlet.pending_bytes() > 0);
    sink.let_go("a");
    for receipt in receipts {
        receipt.durable().await.unwrap();
    }
    assert_eq!((sink.taken(), outlet.pending_bytes()), (["a", "b", "c", "d"].map(str::to_owned).to_vec(), 0));
    assert_eq!(*sink.batches.lock().unwrap(), [1, 3]);
    drop(outlet);
    driver.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_stays_within_its_limits() {
    let check = async |settings: Settings, submissions: &[&[&str]], expected: &[usize]| {
        let sink = Arc::<Keeper>::default();
        sink.hold("first");
        let (outlet, driver, _) = start(&sink, settings);
        let mut receipts = vec![submit(&outlet, &["first"]).await];
        settle(1).await;
        for submission in submissions {
            receipts.push(submit(&outlet, submission).await);
        }
        sink.let_go("first");
        for receipt in receipts {
            receipt.durable().await.unwrap();
        }
        assert_eq!(&sink.batches.lock().unwrap()[1..], expected);
        let all: Vec<&str> =
            ["first"].into_iter().chain(submissions.iter().flat_map(|items| items.iter().copied())).collect();
        assert_eq!(sink.taken(), all);
        drop(outlet);
        driver.await.unwrap().unwrap();
    };
    let by_items = Settings { max_batch_items: 3, ..Settings::default() };
    check(by_items, &[&["1", "2"], &["3"], &["4", "5", "6", "7", "8"]], &[3, 3, 2]).await;
    let by_bytes = Settings { max_batch_bytes: 6, ..Settings::default() };
    check(by_bytes, &[&["1", "2"], &["3"], &["larger than a batch"], &["4"]], &[3, 1, 1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_submission_that_is_split_has_its_receipt_with_its_last_piece() {
    let sink = Arc::<Keeper>::default();
    sink.hold("b");
    let (outlet, _driver, _) = start(&sink, Settings { max_batch_items: 1, ..Settings::default() });
    let receipt = submit(&outlet, &["a", "b", "c"]).await.durable();
    tokio::pin!(receipt);
    let early = tokio::time::timeout(Duration::from_secs(5), &mut receipt).await;
    assert!(early.is_err(), "a receipt for what is not durable");
    sink.let_go("b");
    receipt.await.unwrap();
    assert_eq!(sink.taken(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_full_waits_as_long_as_it_is_told() {
    let sink = Arc::<Keeper>::default();
    let settings = Settings { linger: Duration::from_secs(5), max_batch_items: 4, ..Settings::default() };
    let (outlet, _driver, _) = start(&sink, settings);
    let first = submit(&outlet, &["a"]).await;
    settle(3).await;
    let second = submit(&outlet, &["b"]).await;
    settle(1).await;
    assert!(sink.taken().is_empty(), "it did not wait");
    first.durable().await.unwrap();
    second.durable().await.unwrap();
    let full = submit(&outlet, &["c", "d", "e", "f"]).await;
    let before = tokio::time::Instant::now();
    full.durable().await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(1), "a full batch waited");
    assert_eq!(*sink.batches.lock().unwrap(), [2, 4]);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_given_back_when_all_sinks_have_them() {
    let (fast, slow) = (Arc::<Keeper>::default(), Arc::<Keeper>::default());
    slow.hold("a");
    let ((to_fast, _fast, _), (to_slow, _slow, _)) =
        (start(&fast, Settings::default()), start(&slow, Settings::default()));
    let budget = Budget::new(1 << 20);
    let hold = Arc::new(budget.reserve(1 << 20).await);
    let first = to_fast.submit(lines(&["a"]), Origins::default(), Arc::clone(&hold)).await.unwrap();
    let second = to_slow.submit(lines(&["a"]), Origins::default(), hold).await.unwrap();
    first.durable().await.unwrap();
    assert_eq!(budget.in_flight_bytes(), 1 << 20);
    slow.let_go("a");
    second.durable().await.unwrap();
    assert_eq!(budget.in_flight_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_gone_leaves_no_receipt() {
    let sink = Keeper::answering([Answer::Stop]);
    let (outlet, driver, _) = start(&sink, Settings::default());
    let receipt = submit(&outlet, &["a"]).await;
    assert!(receipt.durable().await.is_err());
    assert!(matches!(driver.await.unwrap(), Err(SinkError::Stop { .. })));
    assert!(outlet.submit(lines(&["b"]), Origins::default(), Arc::default()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_refuses_is_the_end() {
    let sink = Keeper::answering([Answer::Refuse(vec![0])]);
    let (outlet, driver, _) = start(&sink, Settings::default());
    let receipt = submit(&outlet, &["a"]).await;
    assert!(receipt.durable().await.is_err());
    let error = driver.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("dead letter"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn abandoned_it_ends_at_once() {
    let sink = Keeper::answering((0..1000).map(|_| Answer::Retry));
    let (outlet, driver, abandon) = start(&sink, Settings::default());
    let receipt = submit(&outlet, &["a"]).await;
    settle(5).await;
    abandon.cancel();
    driver.await.unwrap().unwrap();
    assert!(receipt.durable().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_not_required_holds_nothing_back_and_counts_what_it_drops() {
    let (slow, fast) = (Arc::<Keeper>::default(), Arc::<Keeper>::default());
    slow.hold("line-0");
    let bench = Bench::with_settings(
        &[
            (Arc::clone(&slow), Settings { patience: Patience::Limited(Duration::from_secs(60)), ..Settings::DEFAULT }),
            (Arc::clone(&fast), Settings::DEFAULT),
        ],
        64 << 20,
    );
    let counts = Arc::clone(bench.outlets[0].counts());
    // More submissions than its queue takes.
    let end = bench.spawn(Script::lines(1000)).await.unwrap().unwrap();
    assert!(matches!(end, LaneEnd::Ended { .. }));
    assert_eq!((fast.taken().len(), slow.taken().len()), (1000, 0));
    assert_eq!(bench.ledger.newest(), Some(Position::End));
    let dropped = usize::try_from(counts.items_dropped()).unwrap();
    assert!((1..1000).contains(&dropped), "{dropped} dropped");
    slow.let_go("line-0");
    settle(1).await;
    assert_eq!((slow.taken().len() + dropped, counts.pending_bytes()), (1000, 0));
    // What it cannot deliver in a minute is dropped as well.
    slow.answers.lock().unwrap().extend((0..100).map(|_| Answer::Retry));
    let start = tokio::time::Instant::now();
    bench.outlets[0].offer(lines(&["late"]), Origins::default());
    while counts.pending_bytes() > 0 {
        settle(1).await;
    }
    assert_eq!(usize::try_from(counts.items_dropped()).unwrap(), dropped + 1);
    assert!((60..120).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_range_is_a_batch_of_its_own() {
    let sink = Arc::<Keeper>::default();
    sink.hold("first");
    let settings = Settings { max_batch_bytes: 20, max_batch_items: 3, ..Settings::DEFAULT };
    let (outlet, driver, _) = start(&sink, settings);
    let range = Range { partition: partition("1"), from: "start".into(), to: "7".into() };
    let mut receipts = vec![submit(&outlet, &["first"]).await];
    settle(1).await;
    receipts.push(submit(&outlet, &["a"]).await);
    let parts = vec![lines(&["b", "c"]), Lines::default(), lines(&["d", "e", "much longer than a batch may be"])];
    let ranged = outlet.submit_parts(Some(Arc::new(range)), parts, Origins::default(), vec![]).await.unwrap();
    receipts.extend([ranged, submit(&outlet, &["f"]).await, submit(&outlet, &["g"]).await]);
    sink.let_go("first");
    for receipt in receipts {
        receipt.durable().await.unwrap();
    }
    assert_eq!(*sink.batches.lock().unwrap(), [1, 1, 5, 2]);
    drop(outlet);
    driver.await.unwrap().unwrap();
}

type Driving = JoinHandle<Result<(), SinkError>>;

fn origins(count: usize) -> Origins {
    let mut origins = Origins::default();
    origins.push(count, &bedrock_tap::record::Origin::File { path: "in".into(), offset: 0 });
    origins
}

fn with_letters(
    sink: &Arc<Keeper>,
    letters: &Arc<Keeper>,
    settings: Settings,
    letter_settings: Settings,
) -> (Outlet, Driving, Driving, CancellationToken) {
    use bedrock_tap::sink::dead_letter::DeadLetter;
    let abandon = CancellationToken::new();
    let (lo, ld) = batch::start("letters", Arc::clone(letters) as _, letter_settings, None, abandon.clone());
    let (outlet, driver) =
        batch::start("sink", Arc::clone(sink) as _, settings, Some(DeadLetter::new(lo, None)), abandon.clone());
    (outlet, tokio::spawn(driver.run()), tokio::spawn(ld.run()), abandon)
}

#[tokio::test(start_paused = true)]
async fn what_is_abandoned_of_a_best_effort_sink_is_counted() {
    use bedrock_tap::sink::retry::Patience;
    let sink = Keeper::answering((0..1000).map(|_| Answer::Retry));
    let settings =
        Settings { patience: Patience::Limited(Duration::from_secs(60)), max_batch_items: 1, ..Settings::default() };
    let (outlet, driver, abandon) = start(&sink, settings);
    for item in ["a", "b", "c"] {
        outlet.offer(lines(&[item]), Origins::default());
    }
    settle(5).await;
    let counts = Arc::clone(outlet.counts());
    drop(outlet);
    let start = tokio::time::Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(25), async {
        while !driver.is_finished() {
            settle(1).await
        }
    })
    .await;
    assert!(ended.is_ok(), "it holds the end of the process back for {:?}", start.elapsed());
    abandon.cancel();
    driver.await.unwrap().unwrap();
    assert_eq!(counts.items_dropped(), 3, "dropped without being counted");
}

#[tokio::test(start_paused = true)]
async fn a_refused_item_of_unknown_origin_is_not_lost() {
    let (sink, letters) = (Keeper::answering([Answer::Refuse(vec![1])]), Arc::<Keeper>::default());
    let (outlet, _d, _l, _a) = with_letters(&sink, &letters, Settings::default(), Settings::default());
    let receipt = outlet.submit(lines(&["a", "b"]), origins(1), Arc::default()).await.unwrap();
    assert!(
        receipt.durable().await.is_err() || letters.taken().len() == 1,
        "a receipt, and b is nowhere: {:?} {:?}",
        sink.taken(),
        letters.taken()
    );
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_its_destination_does_not_take_ends_everything_before_it_is_lost() {
    let (sink, letters) = (Keeper::answering([Answer::Refuse(vec![0])]), Arc::<Keeper>::default());
    let small = Settings { max_item_bytes: 300, ..Settings::default() };
    let (outlet, driver, letter_driver, _) = with_letters(&sink, &letters, Settings::default(), small);
    let receipt = outlet.submit(lines(&[&"x".repeat(400)]), origins(1), Arc::default()).await.unwrap();
    assert!(receipt.durable().await.is_err(), "a receipt for what is nowhere");
    let error = letter_driver.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("choose a destination that takes any line"), "{error}");
    assert!(driver.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn the_end_is_noticed_while_lingering() {
    let sink = Keeper::answering([Answer::Stop]);
    sink.hold("a");
    let settings =
        Settings { linger: Duration::from_secs(300), max_batch_items: 2, concurrency: 2, ..Settings::default() };
    let (outlet, driver, _) = start(&sink, settings);
    let _a = submit(&outlet, &["a", "a2"]).await;
    settle(1).await;
    let _b = submit(&outlet, &["b"]).await;
    settle(1).await;
    let begun = tokio::time::Instant::now();
    sink.let_go("a");
    assert!(driver.await.unwrap().is_err());
    assert!(begun.elapsed() < Duration::from_secs(10), "noticed after {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_stops_does_not_wait_for_the_linger() {
    use crate::support::engine_script::{Bench, Script, Step};
    let sink = Arc::<Keeper>::default();
    let settings = Settings { linger: Duration::from_secs(300), ..Settings::default() };
    let bench = Bench::new(&[Arc::clone(&sink)], settings, 1 << 20);
    let lane = bench.spawn(Script::new([Step::Read(vec!["a".into()], 1)]));
    settle(1).await;
    bench.stop.reading.cancel();
    let begun = tokio::time::Instant::now();
    let _ = lane.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(25), "a stop took {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_submission_is_not_pending() {
    let sink = Arc::<Keeper>::default();
    sink.hold("a");
    let (outlet, _driver, _) = start(&sink, Settings { max_batch_items: 1, ..Settings::default() });
    let mut receipts = Vec::new();
    for _ in 0..300 {
        receipts.extend(tokio::time::timeout(Duration::from_millis(10), submit(&outlet, &["a"])).await);
    }
    sink.let_go("a");
    for r in receipts {
        r.durable().await.unwrap();
    }
    assert_eq!(outlet.pending_bytes(), 0);
}
