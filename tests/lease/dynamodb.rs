//! The lease table over HTTP, against an emulator of DynamoDB with faults in front of it.

use std::time::Duration;

use bedrock_tap::lease::dynamodb::{Dynamo, Error, Settings};
use bedrock_tap::lease::protocol::{Answer, Change, Update, Verdict, apply, judge};
use bedrock_tap::lease::table::{Table as _, TableError};
use bedrock_tap::lease::{Lease, LeaseKey, WorkerId};
use bedrock_tap::record::{HashKeys, Position, SequenceNumber, ShardId};
use bedrock_tap::source::kinesis::shards::Start;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::dynamodb_double::DynamoDouble;
use crate::support::fault::Fault;

const TABLE: &str = "leases";
const SHARD: &str = "shardId-000000000007";

async fn start() -> (DynamoDouble, Dynamo) {
    let double = DynamoDouble::start().await;
    let dynamo = Dynamo::connect(&double.settings(TABLE)).await.unwrap();
    (double, dynamo)
}

fn key() -> LeaseKey {
    LeaseKey::parse(SHARD)
}

fn worker(id: &str) -> WorkerId {
    WorkerId::new(id)
}

fn within(digits: &str, user_record: u64) -> Position {
    Position::Within(SequenceNumber::new(digits).unwrap(), user_record)
}

fn at(millis: i64) -> Position {
    Position::AtTimestamp(Timestamp::from_millisecond(millis).unwrap())
}

fn lease(position: Position) -> Lease {
    Lease::new(key(), position, [], None)
}

fn update(counter: u64, change: Change) -> Update {
    Update { key: key(), counter, change }
}

/// A row with the attributes of a lease, and more.
fn item(more: &Value) -> Value {
    let mut item = json!({
        "leaseKey": { "S": SHARD },
        "leaseCounter": { "N": "5" },
        "checkpoint": { "S": "TRIM_HORIZON" },
    });
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(item.as_object_mut().unwrap().remove(name)),
            value => item[name] = value.clone(),
        }
    }
    item
}

/// One step of a row's history. `stale` is how far the writer's counter lags behind.
#[derive(Clone, Debug)]
enum Step {
    Create(Position),
    Update { stale: u64, change: Change },
    Delete { stale: u64 },
}

fn positions() -> impl Strategy<Value = Position> {
    let number = || (1_u64..30).prop_map(|number| SequenceNumber::new(&number.to_string()).unwrap());
    prop_oneof![
        4 => (number(), 0_u64..4).prop_map(|(sequence, user_record)| Position::Within(sequence, user_record)),
        2 => number().prop_map(Position::After),
        1 => (0_i64..1_000_000).prop_map(at),
        1 => prop::sample::select(vec![Position::TrimHorizon, Position::Latest, Position::End]),
    ]
}

fn changes() -> impl Strategy<Value = Change> {
    let worker = || prop::sample::select(vec!["a", "b", "c"]).prop_map(worker);
    let moved = || prop::option::of(positions());
    prop_oneof![
        moved().prop_map(|position| Change::Renew { position }),
        worker().prop_map(|owner| Change::Take { owner }),
        (worker(), worker()).prop_map(|(owner, draining)| Change::Ask { owner, draining }),
        positions().prop_map(|position| Change::Commit { position }),
        moved().prop_map(|position| Change::HandOver { position }),
        (moved(), 1_u64..30, 0_u64..4).prop_map(|(position, sequence, user_record)| {
            let sequence = SequenceNumber::new(&sequence.to_string()).unwrap();
            Change::Announce { position, to: Position::Within(sequence, user_record) }
        }),
        moved().prop_map(|position| Change::Release { position }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let stale = || prop_oneof![6 => Just(0_u64), 1 => 1_u64..3];
    let step = prop_oneof![
        20 => (stale(), changes()).prop_map(|(stale, change)| Step::Update { stale, change }),
        2 => positions().prop_map(Step::Create),
        1 => stale().prop_map(|stale| Step::Delete { stale }),
    ];
    prop::collection::vec(step, 1..40)
}

/// As the table gives a position back: a whole record is its first user record.
fn stored(lease: Lease) -> Lease {
    let position = match lease.position {
        Position::After(sequence) => Position::Within(sequence, 0),
        position => position,
    };
    Lease { position, ..lease }
}

/// What the table is asked and answers, against what the protocol says it should.
async fn walk(dynamo: &Dynamo, key: &LeaseKey, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut row: Option<Lease> = None;
    for step in steps {
        let counter = |stale: u64| row.as_ref().map_or(0, |row| row.counter).checked_sub(stale).unwrap_or(99);
        match step.clone() {
            Step::Create(position) => {
                let lease = Lease::new(key.clone(), position, [ShardId::new("shardId-1")], None);
                prop_assert_eq!(dynamo.create(lease.clone()).await.unwrap(), row.is_none());
                row = row.or_else(|| Some(stored(lease)));
            }
            Step::Update { stale, change } => {
                let update = Update { key: key.clone(), counter: counter(stale), change };
                let new = row.as_ref().and_then(|row| apply(row, &update)).map(stored);
                let expected = new.clone().map_or(Answer::Refused(row.clone()), Answer::Applied);
                prop_assert_eq!(dynamo.update(update).await.unwrap(), expected, "{:?} of {:?}", step, row);
                row = new.or(row);
            }
            Step::Delete { stale } => {
                let counter = counter(stale);
                let is_gone = row.as_ref().is_none_or(|row| row.counter == counter);
                prop_assert_eq!(dynamo.delete(key.clone(), counter).await.unwrap(), is_gone);
                row = row.filter(|_| !is_gone);
            }
        }
    }
    prop_assert_eq!(&dynamo.get(key.clone()).await.unwrap(), &row);
    prop_assert_eq!(dynamo.scan().await.unwrap().into_iter().find(|lease| lease.key == *key), row);
    Ok(())
}

#[test]
fn every_answer_and_every_row_is_what_the_protocol_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_double, dynamo) = runtime.block_on(start());
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let numbers = std::cell::Cell::new(0);
    let result = runner.run(&steps(), |steps| {
        numbers.set(numbers.get() + 1);
        let key = LeaseKey::parse(&format!("shardId-{}", numbers.get()));
        runtime.block_on(walk(&dynamo, &key, steps))
    });
    result.unwrap();
}

#[tokio::test]
async fn a_new_lease_has_the_attributes_of_the_kcl_and_comes_back() {
    let double = DynamoDouble::start().await;
    let check = async |start: Start, lease: Lease, expected: Value| {
        let dynamo = Dynamo::connect(&Settings { start, ..double.settings(TABLE) }).await.unwrap();
        let key = lease.key.to_string();
        assert!(dynamo.create(lease.clone()).await.unwrap());
        assert_eq!(double.get(TABLE, &key), expected);
        assert_eq!(dynamo.get(lease.key.clone()).await.unwrap(), Some(lease.clone()));
        assert_eq!(dynamo.scan().await.unwrap(), std::slice::from_ref(&lease));
        assert!(!dynamo.create(Lease { position: Position::End, ..lease.clone() }).await.unwrap());
        assert!(!dynamo.delete(lease.key.clone(), 1).await.unwrap());
        assert!(dynamo.delete(lease.key.clone(), 0).await.unwrap());
        assert_eq!(double.get(TABLE, &key), Value::Null);
    };
    let fresh = |checkpoint: &str, more: Value| {
        let mut item = item(&more);
        item["leaseCounter"] = json!({ "N": "0" });
        item["checkpoint"] = json!({ "S": checkpoint });
        item["checkpointSubSequenceNumber"] = json!({ "N": "0" });
        item["ownerSwitchesSinceCheckpoint"] = json!({ "N": "0" });
        item
    };
    check(Start::TrimHorizon, lease(Position::TrimHorizon), fresh("TRIM_HORIZON", json!({}))).await;
    check(Start::Latest, lease(Position::End), fresh("SHARD_END", json!({}))).await;
    let time = json!({ "startTimestampMillis": { "N": "1700000000123" } });
    check(Start::Latest, lease(at(1_700_000_000_123)), fresh("LATEST", time.clone())).await;
    let begin = Start::AtTimestamp(Timestamp::UNIX_EPOCH);
    check(begin, lease(at(1_700_000_000_123)), fresh("AT_TIMESTAMP", time.clone())).await;
    check(Start::TrimHorizon, lease(at(1_700_000_000_123)), fresh("AT_TIMESTAMP", time)).await;
    let key = LeaseKey::parse(&format!("123456789012:logs:1700000000:{SHARD}"));
    let whole = Lease {
        hash_keys: Some(HashKeys { first: 0, last: u128::MAX }),
        ..Lease::new(key, Position::TrimHorizon, [ShardId::new("shardId-1"), ShardId::new("shardId-2")], None)
    };
    let more = json!({
        "leaseKey": { "S": format!("123456789012:logs:1700000000:{SHARD}") },
        "streamName": { "S": "123456789012:logs:1700000000" },
        "shardId": { "S": SHARD },
        "parentShardId": { "SS": ["shardId-1", "shardId-2"] },
        "startingHashKey": { "S": "0" },
        "endingHashKey": { "S": u128::MAX.to_string() },
    });
    check(Start::TrimHorizon, whole, fresh("TRIM_HORIZON", more)).await;
}

#[tokio::test]
async fn rows_of_other_programs_are_read_or_left_out() {
    let double = DynamoDouble::start().await;
    let open = async |start| Dynamo::connect(&Settings { start, ..double.settings(TABLE) }).await.unwrap();
    let (oldest, timed) = (open(Start::TrimHorizon).await, open(Start::AtTimestamp(Timestamp::UNIX_EPOCH)).await);
    let check = async |dynamo: &Dynamo, more: Value, expected: Option<Position>| {
        double.put(TABLE, &item(&more));
        // A sound lease beside it is always read.
        double.put(TABLE, &item(&json!({ "leaseKey": { "S": "sound" } })));
        let found = dynamo.scan().await.unwrap();
        assert!(found.iter().any(|lease| lease.key.shard.as_str() == "sound"), "{more}");
        let found = found.into_iter().find(|lease| lease.key == key());
        assert_eq!(dynamo.get(key()).await.unwrap(), found, "{more}");
        assert_eq!(found.map(|lease| lease.position), expected, "{more}");
    };
    let many = "9".repeat(129);
    let checkpoint = |text: &str| json!({ "checkpoint": { "S": text } });
    let with = |text: &str, name: &str, value: Value| json!({ "checkpoint": { "S": text }, name: value });
    check(&oldest, checkpoint("TRIM_HORIZON"), Some(Position::TrimHorizon)).await;
    check(&oldest, checkpoint("SHARD_END"), Some(Position::End)).await;
    check(&oldest, checkpoint("LATEST"), Some(Position::Latest)).await;
    check(&oldest, with("LATEST", "startTimestampMillis", json!({ "N": "7" })), Some(at(7))).await;
    check(&oldest, with("AT_TIMESTAMP", "startTimestampMillis", json!({ "N": "7" })), Some(at(7))).await;
    check(&timed, checkpoint("AT_TIMESTAMP"), Some(at(0))).await;
    check(&oldest, checkpoint("AT_TIMESTAMP"), Some(Position::TrimHorizon)).await;
    check(&oldest, checkpoint(&many), Some(within(&many, 0))).await;
    let user_record = |value| with("0012", "checkpointSubSequenceNumber", value);
    check(&oldest, user_record(json!({ "N": "3" })), Some(within("12", 3))).await;
    check(&oldest, json!({ "entityType": { "S": "LEASE" } }), Some(Position::TrimHorizon)).await;
    // What the KCL writes and this program does not know.
    let gossip = json!({
        "throughputKBps": { "N": "1.25" },
        "childShardIds": { "SS": ["x"] },
        "pendingCheckpointState": { "B": "AAAA" },
    });
    check(&oldest, gossip, Some(Position::TrimHorizon)).await;
    for no_lease in [
        json!({ "entityType": { "S": "WORKER_METRICS" } }),
        json!({ "entityType": { "N": "1" } }),
        json!({ "leaseCounter": null }),
        json!({ "leaseCounter": { "S": "5" } }),
        json!({ "checkpoint": null }),
        json!({ "checkpoint": { "N": "5" } }),
    ] {
        check(&oldest, no_lease, None).await;
    }
    for unreadable in [
        checkpoint("-1"),
        checkpoint("trim_horizon"),
        checkpoint(&format!("{many}9")),
        with("LATEST", "startTimestampMillis", json!({ "N": "99999999999999999999" })),
        with("AT_TIMESTAMP", "startTimestampMillis", json!({ "S": "7" })),
        user_record(json!({ "N": "-3" })),
        user_record(json!({ "S": "3" })),
        json!({ "leaseCounter": { "N": "1.5" } }),
        json!({ "leaseCounter": { "N": "18446744073709551615" } }),
        json!({ "leaseOwner": { "NULL": true } }),
        json!({ "checkpointOwner": { "N": "1" } }),
        json!({ "ownerSwitchesSinceCheckpoint": { "S": "1" } }),
        json!({ "parentShardId": { "S": "shardId-1" } }),
        json!({ "startingHashKey": { "S": "x" }, "endingHashKey": { "S": "1" } }),
    ] {
        check(&oldest, unreadable, None).await;
    }
    double.put(TABLE, &item(&json!({ "entityType": { "S": "COORDINATOR" } })));
    let taken = oldest.update(update(6, Change::Take { owner: worker("a") })).await.unwrap();
    assert_eq!(taken, Answer::Refused(None), "a row that is no lease is none to a writer");
}

#[tokio::test]
async fn what_is_not_known_survives_every_write() {
    let (double, dynamo) = start().await;
    let foreign = json!({
        "throughputKBps": { "N": "12.5" },
        "childShardIds": { "SS": ["shardId-8", "shardId-9"] },
        "someone": { "M": { "else": { "L": [{ "BOOL": true }, { "NULL": true }] } } },
    });
    let pending = json!({
        "pendingCheckpoint": { "S": "17" },
        "pendingCheckpointSubSequenceNumber": { "N": "1" },
        "pendingCheckpointState": { "B": "AAAA" },
        "startTimestampMillis": { "N": "7" },
    });
    let with = |extra: [&Value; 3]| {
        let mut all = json!({});
        for (name, value) in extra.iter().flat_map(|extra| extra.as_object().unwrap()) {
            all[name] = value.clone();
        }
        item(&all)
    };
    let check = async |owner: &Value, change: Change, moved: bool| {
        double.put(TABLE, &with([owner, &foreign, &pending]));
        let answer = dynamo.update(update(5, change.clone())).await.unwrap();
        assert!(matches!(answer, Answer::Applied(_)), "{change:?}: {answer:?}");
        let after = double.get(TABLE, SHARD);
        for (name, value) in foreign.as_object().unwrap() {
            assert_eq!(&after[name], value, "{change:?}: {name}");
        }
        for (name, value) in pending.as_object().unwrap() {
            let expected = if moved { &Value::Null } else { value };
            assert_eq!(&after[name], expected, "{change:?}: {name}");
        }
    };
    let (free, held) = (json!({}), json!({ "leaseOwner": { "S": "a" } }));
    let asked = json!({ "leaseOwner": { "S": "b" }, "checkpointOwner": { "S": "a" } });
    let position = Some(within("18", 2));
    check(&free, Change::Take { owner: worker("a") }, false).await;
    check(&held, Change::Take { owner: worker("a") }, false).await;
    check(&held, Change::Renew { position: None }, false).await;
    check(&held, Change::Renew { position: position.clone() }, true).await;
    check(&held, Change::Ask { owner: worker("b"), draining: worker("a") }, false).await;
    check(&asked, Change::Commit { position: within("18", 2) }, true).await;
    check(&asked, Change::HandOver { position: None }, false).await;
    // What this program announces takes the place of what a KCL application did, which it is told from.
    double.put(TABLE, &with([&asked, &foreign, &pending]));
    let announce = Change::Announce { position: None, to: within("19", 3) };
    let Answer::Applied(row) = dynamo.update(update(5, announce)).await.unwrap() else { panic!("not applied") };
    assert_eq!(row.pending, Some(within("19", 3)));
    let after = double.get(TABLE, SHARD);
    assert_eq!((&after["pendingCheckpoint"]["S"], &after["checkpoint"]["S"]), (&json!("19"), &json!("TRIM_HORIZON")));
    check(&asked, Change::HandOver { position: position.clone() }, true).await;
    check(&held, Change::Release { position: None }, false).await;
    check(&held, Change::Release { position }, true).await;
}

#[tokio::test]
async fn a_scan_reads_every_page_and_no_endless_ones() {
    let (double, dynamo) = start().await;
    // Rows of 200 kB, so that a page of 1 MiB holds five.
    for number in 0..17 {
        let more = json!({ "leaseKey": { "S": format!("shardId-{number}") }, "note": { "S": "x".repeat(200_000) } });
        double.put(TABLE, &item(&more));
    }
    let mut found: Vec<_> = dynamo.scan().await.unwrap().into_iter().map(|lease| lease.key.to_string()).collect();
    found.sort();
    let mut expected: Vec<_> = (0..17).map(|number| format!("shardId-{number}")).collect();
    expected.sort();
    assert_eq!(found, expected);
    double.faults.script("Scan", [Fault::None, Fault::Lost]);
    let err = dynamo.scan().await.unwrap_err();
    assert!(matches!(err, TableError::Retry { .. }), "half a table is none: {err}");
    // The emulator scans before its answer is rewritten: a table without rows is enough.
    let dynamo = Dynamo::connect(&double.settings("endless")).await.unwrap();
    double.faults.rewrite("Scan", |asked, _| {
        assert_eq!(asked["ConsistentRead"], true);
        json!({ "Items": [], "Count": 0, "LastEvaluatedKey": { "leaseKey": { "S": "again" } } })
    });
    let err = dynamo.scan().await.unwrap_err().to_string();
    assert!(err.contains("no end after 200 pages"), "{err}");
}

#[tokio::test]
async fn a_table_that_is_missing_or_anothers_is_refused_with_the_way_out() {
    let double = DynamoDouble::start().await;
    let check = async |table: &str, expected: &[&str]| {
        let settings = Settings { create: false, ..double.settings(table) };
        let err = Dynamo::connect(&settings).await.unwrap_err();
        assert!(matches!(err, Error::Table(TableError::Unusable { .. })), "{err:?}");
        for expected in expected {
            assert!(err.to_string().contains(expected), "{err} lacks {expected:?}");
        }
    };
    let command = "aws dynamodb create-table --table-name leases --attribute-definitions \
                   AttributeName=leaseKey,AttributeType=S --key-schema AttributeName=leaseKey,KeyType=HASH \
                   --billing-mode PAY_PER_REQUEST --region us-east-1";
    check(TABLE, &["leases", "does not exist", command, "create_table = true"]).await;
    let define = |table: &str, key: &[(&str, &str, &str)]| {
        let attributes: Vec<_> =
            key.iter().map(|(name, of, _)| json!({ "AttributeName": name, "AttributeType": of })).collect();
        let schema: Vec<_> =
            key.iter().map(|(name, _, role)| json!({ "AttributeName": name, "KeyType": role })).collect();
        double.create_table(json!({
            "TableName": table,
            "AttributeDefinitions": attributes,
            "KeySchema": schema,
            "BillingMode": "PAY_PER_REQUEST",
        }));
    };
    define("orders", &[("id", "S", "HASH")]);
    check("orders", &["orders", "its key is id (S, HASH)", "leaseKey (S, HASH)"]).await;
    define("numbers", &[("leaseKey", "N", "HASH")]);
    check("numbers", &["its key is leaseKey (N, HASH)"]).await;
    define("ranges", &[("leaseKey", "S", "HASH"), ("at", "N", "RANGE")]);
    check("ranges", &["its key is leaseKey (S, HASH) and at (N, RANGE)"]).await;
    define("sound", &[("leaseKey", "S", "HASH")]);
    Dynamo::connect(&Settings { create: false, ..double.settings("sound") }).await.unwrap();
}

#[tokio::test]
async fn a_table_comes_up_while_several_workers_create_it() {
    let double = DynamoDouble::start().await;
    let settings = double.settings(TABLE);
    // Neither sees the table of the other before it creates its own.
    double.faults.script("DescribeTable", [const { Fault::Error(400, "ResourceNotFoundException") }; 2]);
    let (one, two) = tokio::join!(Dynamo::connect(&settings), Dynamo::connect(&settings));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.create(lease(Position::TrimHorizon)).await.unwrap());
    assert_eq!(two.scan().await.unwrap(), [lease(Position::TrimHorizon)]);
    let statuses = std::sync::Mutex::new(["UPDATING", "ACTIVE", "CREATING", "DELETING"].to_vec());
    double.faults.rewrite("DescribeTable", move |_, mut answer| {
        answer["Table"]["TableStatus"] = json!(statuses.lock().unwrap().pop().unwrap());
        answer
    });
    let err = Dynamo::connect(&settings).await.unwrap_err();
    assert!(err.to_string().contains("being deleted"), "{err}");
    // The next look finds it coming up, the one after that up; and one that is updated serves.
    Dynamo::connect(&settings).await.unwrap();
    Dynamo::connect(&settings).await.unwrap();
}

/// A call of each operation.
async fn call(dynamo: &Dynamo, operation: &str) -> Result<(), TableError> {
    match operation {
        "Scan" => dynamo.scan().await.map(drop),
        "GetItem" => dynamo.get(key()).await.map(drop),
        "PutItem" => dynamo.create(lease(Position::End)).await.map(drop),
        "UpdateItem" => dynamo.update(update(0, Change::Renew { position: None })).await.map(drop),
        "DeleteItem" => dynamo.delete(key(), 77).await.map(drop),
        _ => unreachable!("{operation}"),
    }
}

#[tokio::test]
async fn failures_say_what_comes_next() {
    let (double, dynamo) = start().await;
    for operation in ["Scan", "GetItem", "PutItem", "UpdateItem", "DeleteItem"] {
        let check = async |fault: Fault, kind: &str, expected: &str| {
            double.faults.script(operation, [fault]);
            let err = call(&dynamo, operation).await.unwrap_err();
            assert!(format!("{err:?}").starts_with(kind), "{operation}: {err:?} is no {kind}");
            assert!(err.to_string().contains(expected), "{operation}: {err} lacks {expected:?}");
            assert!(err.to_string().contains(TABLE) && err.to_string().contains(operation), "{err}");
        };
        check(Fault::Error(400, "ProvisionedThroughputExceededException"), "Retry", "scripted").await;
        check(Fault::Error(400, "ThrottlingException"), "Retry", "Throttling").await;
        check(Fault::Error(500, "InternalServerError"), "Retry", "InternalServerError").await;
        check(Fault::Lost, "Retry", "InternalFailure").await;
        check(Fault::Cut, "Retry", "").await;
        let grant = format!("grant dynamodb:{operation} on table/leases");
        check(Fault::Error(400, "AccessDeniedException"), "Denied", &grant).await;
        check(Fault::Error(400, "ExpiredTokenException"), "Denied", "credentials").await;
    }
    let met = double.faults.met();
    assert_eq!(met, 5 * 7, "a call is made once, and no more");
    double.delete_table(TABLE);
    for operation in ["Scan", "GetItem", "PutItem", "UpdateItem", "DeleteItem"] {
        let err = call(&dynamo, operation).await.unwrap_err();
        assert!(matches!(err, TableError::Unusable { .. }), "{operation}: {err:?}");
    }
    double.faults.script("DescribeTable", [Fault::Error(400, "AccessDeniedException")]);
    let err = Dynamo::connect(&double.settings(TABLE)).await.unwrap_err().to_string();
    assert!(err.contains("grant dynamodb:DescribeTable on table/leases"), "{err}");
    double.faults.script("CreateTable", [Fault::Error(400, "AccessDeniedException")]);
    let err = Dynamo::connect(&double.settings(TABLE)).await.unwrap_err().to_string();
    assert!(err.contains("grant dynamodb:CreateTable on table/leases"), "{err}");
}

#[tokio::test]
async fn a_call_that_hangs_is_given_up_well_before_a_lease_expires() {
    let (double, dynamo) = start().await;
    assert!(dynamo.create(lease(Position::TrimHorizon)).await.unwrap());
    double.faults.script("UpdateItem", [Fault::Late(Duration::from_secs(3600))]);
    // The clock moves on by itself where nothing else can happen: the call's limit comes before the answer.
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    let err = dynamo.update(update(0, Change::Renew { position: None })).await.unwrap_err();
    assert!(matches!(err, TableError::Retry { .. }) && err.to_string().contains("in time"), "{err}");
    assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_known_by_the_row_that_the_next_refusal_brings() {
    let (double, dynamo) = start().await;
    let me = worker("a");
    let expect = |position: Position, counter| Lease { owner: Some(me.clone()), counter, ..lease(position) };
    assert!(dynamo.create(lease(Position::TrimHorizon)).await.unwrap());
    let steps = [
        (Change::Take { owner: me.clone() }, Lease { owner_switches: 1, ..expect(Position::TrimHorizon, 1) }),
        (Change::Renew { position: Some(within("10", 3)) }, expect(within("10", 3), 2)),
        (Change::Release { position: Some(Position::End) }, Lease { owner: None, ..expect(Position::End, 3) }),
    ];
    for (counter, (change, row)) in (0..).zip(steps) {
        for fault in [Fault::Error(500, "InternalServerError"), Fault::Lost] {
            double.faults.script("UpdateItem", [fault]);
            let update = update(counter, change.clone());
            assert!(matches!(dynamo.update(update).await, Err(TableError::Retry { .. })));
        }
        let update = update(counter, change);
        let answer = dynamo.update(update.clone()).await.unwrap();
        assert_eq!(answer, Answer::Refused(Some(row.clone())));
        assert_eq!(judge(&me, &update, answer), Verdict::Done(row));
    }
}
