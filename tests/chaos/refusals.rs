//! Refusals: what a worker answers to a table that it cannot use, and to who has no time for its drain.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::ledger::Ledger;
use super::worker::{Options, TABLE, Worker};
use crate::support::dynamodb_double::DynamoDouble;
use crate::support::kinesis_double::Double;

/// A worker that finds this table ends with exit code 1, and says what is expected.
async fn check(prepare: impl Fn(&DynamoDouble), create_table: bool, expected: &[&str]) {
    let (double, table) = (Double::start(1).await, DynamoDouble::start().await);
    prepare(&table);
    let options = Options { create_table, ..Options::default() };
    let mut worker = Worker::new("worker", &double, &table, options).await;
    worker.start();
    let ended = worker.wait().await;
    let log = worker.log();
    assert_eq!(ended.code(), Some(1), "{log}");
    for expected in expected {
        assert!(log.contains(expected), "{expected:?} is not in: {log}");
    }
    assert!(table.items(TABLE).is_empty(), "it wrote");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_missing_is_an_error_with_the_command_that_makes_it() {
    let command = "aws dynamodb create-table --table-name leases --attribute-definitions \
                   AttributeName=leaseKey,AttributeType=S --key-schema AttributeName=leaseKey,KeyType=HASH \
                   --billing-mode PAY_PER_REQUEST --region us-east-1";
    check(|_| (), false, &["the lease table leases cannot be used: it does not exist", "create_table = true", command])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_another_kind_is_refused_with_what_is_wrong() {
    let foreign = |table: &DynamoDouble| {
        table.create_table(json!({
            "TableName": TABLE,
            "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "N" }],
            "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
            "BillingMode": "PAY_PER_REQUEST",
        }));
    };
    let expected = ["its key is id (N, HASH)", "leaseKey (S, HASH)", "name another table"];
    check(foreign, true, &expected).await;
    check(foreign, false, &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_drain_that_is_stuck_at_once() {
    let (double, table, ledger) = (Double::start(2).await, DynamoDouble::start().await, Ledger::default());
    // A pipe that nobody reads: it takes 64 KiB.
    let options = Options { more: "[sinks.copy.stdout]\nformat = \"raw\"", ..Options::default() };
    let mut worker = Worker::new("worker", &double, &table, options).await;
    let (reader, writer) = std::io::pipe().unwrap();
    ledger.write(&double, &[50; 40]).await;
    worker.start_into(writer.into());
    ledger.until_delivered(&[&worker], Duration::from_secs(30)).await;
    worker.signal("TERM").await;
    sleep(Duration::from_secs(1)).await;
    assert!(worker.has_ended().is_none(), "it did not wait for the pipe: {}", worker.log_tail());
    let told = Instant::now();
    worker.signal("TERM").await;
    let ended = worker.wait().await;
    assert_eq!(ended.code(), Some(128 + 15), "{}", worker.log_tail());
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    drop(reader);
}
