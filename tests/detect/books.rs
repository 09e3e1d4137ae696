//! What detection remembers beside the leases: a worker that is gone is followed by one that goes on where it was.

use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::checkpoint::dynamodb::{Books, Settings};
use bedrock_tap::checkpoint::{Changes, CheckpointError, Entries, Heritage, Kept};
use bedrock_tap::config::RuleFile;
use bedrock_tap::delivery::memory::Memory;
use bedrock_tap::detect::state::Limits;
use bedrock_tap::detect::{Detector, Finding, Rule};
use bedrock_tap::lease::WorkerId;

use crate::support::dynamodb_double::DynamoDouble;
use crate::support::fault::Fault;

const TABLE: &str = "leases-detection";

fn settings(double: &DynamoDouble, failover: Duration) -> Settings {
    Settings { leases: "leases".into(), create: true, access: double.settings("leases").access, failover }
}

/// Long enough that nobody is taken for gone.
const PATIENT: Duration = Duration::from_secs(600);
/// So short that whoever does not renew is gone at the second look.
const HASTY: Duration = Duration::from_millis(1);

async fn books(double: &DynamoDouble, worker: &str, failover: Duration) -> Arc<Books> {
    Arc::new(Books::connect(&settings(double, failover), WorkerId::new(worker)).await.unwrap())
}

fn rule() -> Arc<Rule> {
    RuleFile::parse(super::RULE, "t.toml").unwrap_or_else(|error| panic!("{error}")).1
}

/// A worker's detection.
struct Worker {
    rule: Arc<Rule>,
    detector: Arc<Detector>,
    memory: Memory,
}

impl Worker {
    async fn start(books: Arc<Books>) -> Self {
        let rule = rule();
        let detector = Arc::new(Detector::new(std::slice::from_ref(&rule), Limits::default()));
        let memory = Memory::new(Arc::clone(&detector), books);
        memory.recall().await.unwrap();
        Self { rule, detector, memory }
    }

    fn observe(&self, account: &str, second: usize) {
        let time = format!("2026-01-02T08:00:{second:02}Z").parse().unwrap();
        let finding = Finding {
            rule: Arc::clone(&self.rule),
            severity: self.rule.severity,
            title: "t".into(),
            dedup: account.into(),
            group: vec![("accountId".into(), account.into())],
            context: Vec::new(),
            time,
            event_id: format!("{account}-{second}"),
            request_id: None,
            measures: Vec::new(),
        };
        self.detector.state().observe(&finding, time);
    }

    /// Ids and counts of the alerts that are due.
    fn due(&self) -> Vec<(String, u64)> {
        let now = "2026-01-02T09:00:00Z".parse().unwrap();
        self.detector.state().take_due(now).into_iter().map(|alert| (alert.id, alert.count)).collect()
    }
}

/// Looks twice, so that whoever is hasty finds the dead.
async fn look(worker: &Worker) {
    for _ in 0..3 {
        worker.memory.look().await.unwrap();
        tokio::time::sleep(HASTY * 2).await;
    }
}

#[tokio::test]
async fn a_worker_that_is_killed_is_followed_once_its_book_stands_still() {
    let double = DynamoDouble::start().await;
    let first = Worker::start(books(&double, "a", PATIENT).await).await;
    first.observe("1", 1);
    first.observe("1", 2);
    first.memory.save().await.unwrap();
    // Not saved: it is read again.
    first.observe("1", 3);
    drop(first);
    let patient = Worker::start(books(&double, "b", PATIENT).await).await;
    look(&patient).await;
    patient.observe("1", 3);
    assert!(patient.due().is_empty(), "nobody is gone by its clock");
    drop(patient);
    let second = Worker::start(books(&double, "c", HASTY).await).await;
    look(&second).await;
    second.observe("1", 2);
    assert!(second.due().is_empty(), "what was counted does not count again");
    second.observe("1", 3);
    let due = second.due();
    assert_eq!(due.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [3]);
    second.memory.save().await.unwrap();
    drop(second);
    // An alert that was not told is due again, as the same.
    let third = Worker::start(books(&double, "d", HASTY).await).await;
    look(&third).await;
    assert_eq!(third.due(), due);
}

#[tokio::test]
async fn a_worker_that_stops_is_followed_at_once_and_by_one() {
    let double = DynamoDouble::start().await;
    let first = Worker::start(books(&double, "a", PATIENT).await).await;
    first.observe("1", 1);
    first.observe("1", 2);
    first.memory.save().await.unwrap();
    first.memory.release().await.unwrap();
    let others = [books(&double, "b", PATIENT).await, books(&double, "c", PATIENT).await];
    let (one, two) = tokio::join!(Worker::start(others[0].clone()), Worker::start(others[1].clone()));
    let followers = [one, two].map(|worker| {
        worker.observe("1", 3);
        worker.due().len()
    });
    assert_eq!(followers.iter().sum::<usize>(), 1, "{followers:?}");
}

#[tokio::test]
async fn a_restart_in_place_goes_on_at_once() {
    let double = DynamoDouble::start().await;
    let first = Worker::start(books(&double, "task", PATIENT).await).await;
    first.observe("1", 1);
    first.observe("1", 2);
    first.memory.save().await.unwrap();
    drop(first);
    let second = Worker::start(books(&double, "task", PATIENT).await).await;
    second.observe("1", 3);
    assert_eq!(second.due().len(), 1);
}

#[tokio::test]
async fn a_crash_while_taking_up_loses_nothing_and_counts_nothing_twice() {
    let double = DynamoDouble::start().await;
    let first = Worker::start(books(&double, "a", PATIENT).await).await;
    for second in 1..=4 {
        first.observe("1", second);
    }
    let due = first.due();
    first.memory.save().await.unwrap();
    drop(first);
    // It has all in its own book, and not yet let go of the other.
    double.faults.script("DeleteItem", [Fault::Error(400, "AccessDeniedException")]);
    let second = Worker::start(books(&double, "b", HASTY).await).await;
    for _ in 0..3 {
        let _ = second.memory.look().await;
        tokio::time::sleep(HASTY * 2).await;
    }
    second.observe("1", 5);
    second.memory.save().await.unwrap();
    drop(second);
    assert_eq!(double.faults.met(), 1);
    let third = Worker::start(books(&double, "c", HASTY).await).await;
    look(&third).await;
    let again = third.due();
    assert_eq!((again.len(), &again[0].0, again[0].1), (1, &due[0].0, 5), "{again:?}");
}

#[tokio::test]
async fn a_holder_whose_book_was_taken_stores_all_anew() {
    let double = DynamoDouble::start().await;
    let first = Worker::start(books(&double, "a", PATIENT).await).await;
    first.observe("1", 1);
    first.observe("2", 1);
    first.memory.save().await.unwrap();
    let thief = Worker::start(books(&double, "b", HASTY).await).await;
    look(&thief).await;
    first.observe("1", 2);
    first.memory.save().await.unwrap();
    drop((first, thief));
    let third = Worker::start(books(&double, "c", HASTY).await).await;
    look(&third).await;
    third.observe("1", 3);
    third.observe("2", 2);
    third.observe("2", 3);
    let mut counts: Vec<_> = third.due().into_iter().map(|(_, count)| count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [3, 3]);
}

/// Bytes that do not compress.
fn noise(seed: usize, count: usize) -> Vec<u8> {
    let mut state = seed as u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// All that a store hands over as left behind.
async fn left(store: &Arc<Books>) -> Changes {
    let (sender, entries) = std::sync::mpsc::sync_channel(8);
    let reading =
        tokio::task::spawn_blocking(move || entries.into_iter().map(|(key, value)| (key, Some(value))).collect());
    assert_eq!(store.inherit(sender).await.unwrap(), Heritage::Some);
    reading.await.unwrap()
}

#[tokio::test]
async fn large_books_come_back_whole_through_throttles() {
    let double = DynamoDouble::start().await;
    let store = books(&double, "a", PATIENT).await;
    let key = |number: usize| format!("k{number:016}").into_bytes();
    let all: Changes = (0..5000)
        .map(|number| (key(number), Some(noise(number, if number % 1000 == 7 { 900_000 } else { 200 }))))
        .collect();
    assert_eq!(store.remember(Arc::new(all.clone())).await.unwrap(), Kept::Changes);
    let throttled = || Fault::Error(400, "ProvisionedThroughputExceededException");
    double.faults.script("BatchWriteItem", [throttled(), throttled()]);
    let changes: Changes =
        [(key(7), Some(noise(1, 1_200_000))), (key(1007), Some(noise(2, 10))), (key(2007), None), (key(8), None)]
            .into();
    // One more is said to be throttled, of each batch once.
    let told = std::sync::Mutex::new(std::collections::BTreeSet::new());
    double.faults.rewrite("BatchWriteItem", move |input, mut answer| {
        let batch = &input["RequestItems"][TABLE];
        if told.lock().unwrap().insert(batch[0].to_string()) {
            answer["UnprocessedItems"] = serde_json::json!({ TABLE: [batch[0]] });
        }
        answer
    });
    store.remember(Arc::new(changes.clone())).await.unwrap();
    assert_eq!(double.faults.met(), 2);
    store.release().await.unwrap();
    let mut expected = all;
    expected.extend(changes);
    expected.retain(|_, value| value.is_some());
    let next = books(&double, "b", PATIENT).await;
    assert!(left(&next).await == expected);
    // Until it is said that they are durable, they are handed over again.
    assert!(left(&next).await == expected);
    next.inherited().await.unwrap();
    let (sender, _entries) = std::sync::mpsc::sync_channel(8);
    assert_eq!(next.inherit(sender).await.unwrap(), Heritage::None);
}

#[tokio::test]
async fn lost_access_names_the_table_the_action_and_the_way_out() {
    let double = DynamoDouble::start().await;
    let store = books(&double, "a", PATIENT).await;
    double.faults.script("BatchWriteItem", [Fault::Error(400, "AccessDeniedException")]);
    let changes: Changes = [(b"k1".to_vec(), Some(b"1".to_vec()))].into();
    let error = store.remember(Arc::new(changes)).await.unwrap_err();
    let CheckpointError::Retry { store, source } = &error else { panic!("{error:?}") };
    let said = format!("{store}: {source}");
    for part in [TABLE, "grant dynamodb:BatchWriteItem on table/leases-detection", "keep_state = false"] {
        assert!(said.contains(part), "{said} lacks {part}");
    }
    let settings = Settings { leases: "other".into(), create: false, ..settings(&double, PATIENT) };
    let error = Books::connect(&settings, WorkerId::new("a")).await.unwrap_err().to_string();
    assert!(error.contains("other-detection") && error.contains("AttributeName=part,KeyType=RANGE"), "{error}");
}
