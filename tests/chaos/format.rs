//! The format: rows as a KCL 2.x application leaves them are gone on with, and what this program leaves is what such an
//! application expects.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::ledger::{Ledger, Place};
use super::worker::{Options, TABLE, Worker};
use crate::support::dynamodb_double::DynamoDouble;
use crate::support::kinesis_double::Double;

/// What a KCL application finds in a row, by attribute. Source: amazon-kinesis-client 3.5.1.
const TYPES: [(&str, &str); 13] = [
    ("leaseKey", "S"),
    ("leaseOwner", "S"),
    ("leaseCounter", "N"),
    ("checkpoint", "S"),
    ("checkpointSubSequenceNumber", "N"),
    ("ownerSwitchesSinceCheckpoint", "N"),
    ("checkpointOwner", "S"),
    ("parentShardId", "SS"),
    ("childShardIds", "SS"),
    ("startingHashKey", "S"),
    ("endingHashKey", "S"),
    ("streamName", "S"),
    ("shardId", "S"),
];

/// What nobody here knows, and must stay as it is.
fn unknown() -> Value {
    json!({
        "throughputKBps": { "N": "12.5" },
        "team": { "M": { "name": { "S": "security" }, "on-call": { "BOOL": true }, "since": { "NULL": true } } },
        "bytes": { "B": "AAEC" },
    })
}

/// The row of a shard as a KCL application writes it.
fn row(key: &str, stream: Option<&str>, shard: &str, owner: Option<&str>, checkpoint: &str) -> Value {
    let mut row = json!({
        "leaseKey": { "S": key },
        "leaseCounter": { "N": "41" },
        "ownerSwitchesSinceCheckpoint": { "N": "3" },
        "checkpoint": { "S": checkpoint },
        "checkpointSubSequenceNumber": { "N": "0" },
    });
    for (name, value) in unknown().as_object().unwrap() {
        row[name] = value.clone();
    }
    if let Some(owner) = owner {
        row["leaseOwner"] = json!({ "S": owner });
    }
    if let Some(stream) = stream {
        row["streamName"] = json!({ "S": stream });
        row["shardId"] = json!({ "S": shard });
    }
    row
}

/// Three shards, of which one is split: its row is at the end of the shard, one of the others is held by a worker that
/// is gone and has a checkpoint, and one was never begun.
async fn check(is_multi: bool) {
    let (double, table, ledger) = (Double::start(3).await, DynamoDouble::start().await, Ledger::default());
    table.create_table(json!({
        "TableName": TABLE,
        "AttributeDefinitions": [{ "AttributeName": "leaseKey", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "leaseKey", "KeyType": "HASH" }],
        "BillingMode": "PAY_PER_REQUEST",
    }));
    ledger.write(&double, &[1; 60]).await;
    let shards: Vec<_> = double.shards().await.into_iter().map(|shard| shard.shard_id).collect();
    let (read, begun, fresh) = (&shards[0], &shards[1], &shards[2]);
    let parent = double.open_shards().await.into_iter().find(|shard| shard.shard_id == *read).unwrap();
    double.split(&parent).await;
    ledger.write(&double, &[1; 60]).await;

    let stream = if is_multi { Some(double.stream_key().await) } else { None };
    let stream = stream.as_deref();
    let key = |shard: &str| stream.map_or(shard.to_owned(), |stream| format!("{stream}:{shard}"));
    let places = ledger.places();
    let middle = {
        let of_it: Vec<_> = places.values().filter(|place| place.shard == *begun).collect();
        of_it[of_it.len() / 2].sequence.clone()
    };
    table.put(TABLE, &row(&key(read), stream, read, None, "SHARD_END"));
    table.put(TABLE, &row(&key(begun), stream, begun, Some("kcl-worker"), &middle));
    table.put(TABLE, &row(&key(fresh), stream, fresh, None, "TRIM_HORIZON"));

    let options = Options { failover: "2s", create_table: false, is_multi, ..Options::default() };
    let mut worker = Worker::new("worker", &double, &table, options).await;
    worker.start_and_wait().await;
    let after = |place: &&Place| match &place.shard {
        shard if shard == read => false,
        shard if shard == begun => number(&place.sequence) > number(&middle),
        _ => true,
    };
    let expected: Vec<_> = places.iter().filter(|(_, place)| after(place)).map(|(id, _)| id.clone()).collect();
    let all = timeout(Duration::from_secs(30), async {
        while worker.delivered().len() < expected.len() {
            sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(all.await.is_ok(), "{} of {}{}", worker.delivered().len(), expected.len(), worker.log_tail());
    worker.stop().await;
    let mut delivered: Vec<_> = worker.delivered().into_iter().map(|one| one.id).collect();
    delivered.sort();
    assert_eq!(delivered, expected, "{}", worker.log_tail());

    let rows = table.items(TABLE);
    assert_eq!(rows.len(), 5, "{rows:#?}");
    for shard in double.shards().await {
        let (id, found) = (shard.shard_id(), &rows[&key(shard.shard_id())]);
        check_kcl(found, shards.contains(&shard.shard_id));
        let of_it = places.values().filter(|place| place.shard == id);
        let last = of_it.map(|place| number(&place.sequence)).max().unwrap().1;
        assert_eq!(found["checkpoint"]["S"], if id == read { "SHARD_END" } else { last }, "{found}");
        let (counter, is_written) = (found["leaseCounter"]["N"].as_str().unwrap(), id != read);
        assert_eq!(counter != "41" && counter != "0", is_written, "{found}");
        assert_eq!(found["ownerSwitchesSinceCheckpoint"]["N"], if is_written { "0" } else { "3" }, "{found}");
        if !shards.contains(&shard.shard_id) {
            assert_eq!(found["parentShardId"]["SS"], json!([read]), "{found}");
            let keys = shard.hash_key_range().unwrap();
            assert_eq!(found["startingHashKey"]["S"], keys.starting_hash_key(), "{found}");
            assert_eq!(found["endingHashKey"]["S"], keys.ending_hash_key(), "{found}");
        }
        assert_eq!(found["streamName"]["S"].as_str(), stream, "{found}");
        assert_eq!(found["shardId"]["S"].as_str(), stream.map(|_| id), "{found}");
    }
}

/// Asserts that a row has the types that a KCL application expects, nobody holds it, and what is not known is as it was.
fn check_kcl(row: &Value, has_unknown: bool) {
    for (name, value) in row.as_object().unwrap() {
        match TYPES.iter().find(|(known, _)| known == name) {
            Some((_, kind)) => {
                assert!(value.as_object().is_some_and(|of| of.len() == 1 && of.contains_key(*kind)), "{name}: {row}");
            }
            None => assert_eq!(Some(value), unknown().get(name), "{name} of {row}"),
        }
    }
    for name in unknown().as_object().unwrap().keys() {
        assert_eq!(row.get(name).is_some(), has_unknown, "{name} of {row}");
    }
    assert_eq!(row["checkpointSubSequenceNumber"]["N"], "0", "{row}");
    assert_eq!(row.get("leaseOwner").or(row.get("checkpointOwner")), None, "{row}");
}

/// A sequence number in the order of the shard.
fn number(sequence: &str) -> (usize, &str) {
    (sequence.len(), sequence)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kcl_application_is_taken_over_from_and_can_take_over_again() {
    check(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kcl_application_of_several_streams_is_taken_over_from_and_can_take_over_again() {
    check(true).await;
}
