//! The whole source over HTTP, against an emulator: resharding under load, faults of the service and of the network,
//! large answers, restarts.

use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::record::{Position, ShardId};
use bedrock_tap::source::kinesis::client::{self, Kinesis};
use bedrock_tap::source::kinesis::coordinator::{Error, Settings, run};
use bedrock_tap::source::kinesis::error::Policy;
use bedrock_tap::source::kinesis::pace::Limits;
use bedrock_tap::source::kinesis::shards::Start;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::support::collect::{Collect, Memory};
use crate::support::fault::{Fault, Proxy};
use crate::support::kinesis_double::Double;

struct Run {
    lanes: Arc<Collect>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

fn start(settings: Settings, store: &Arc<Memory>) -> Run {
    let stop = CancellationToken::new();
    let lanes = Collect::new(store);
    let limits = Limits { calls_per_second: 5.0, max_idle: Duration::from_millis(200) };
    let budget = Budget::new(64 * 1024 * 1024);
    let task = run(Settings { limits, ..settings }, lanes.clone(), store.clone(), budget, stop.clone());
    Run { lanes, stop, task: tokio::spawn(task) }
}

impl Run {
    async fn stop(self) -> Arc<Collect> {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        self.lanes
    }
}

async fn parents(double: &Double) -> Vec<(ShardId, Vec<ShardId>)> {
    let entry = |shard: aws_sdk_kinesis::types::Shard| {
        let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
        (ShardId::new(shard.shard_id), parents.into_iter().flatten().map(ShardId::new).collect())
    };
    double.shards().await.into_iter().map(entry).collect()
}

fn texts(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}-{number}")).collect()
}

/// Splits, merges and another number of shards while records are written.
async fn reshard(double: &Double) -> Vec<String> {
    let mut all = Vec::new();
    for round in 0..4 {
        let written = texts(&format!("round{round}"), 60);
        double.put(&written).await;
        all.extend(written);
        let open = double.open_shards().await;
        match round {
            0 | 2 => double.split(&open[0]).await,
            1 => double.merge(&open[0], &open[1]).await,
            _ => double.update_shard_count(2 * open.len() as i32).await,
        }
        sleep(Duration::from_millis(100)).await;
    }
    let written = texts("last", 60);
    double.put(&written).await;
    all.extend(written);
    all
}

#[tokio::test]
async fn resharding_under_faults_of_every_kind() {
    let double = Double::start(2).await;
    let proxy = Proxy::start(double.address).await;
    for operation in ["GetRecords", "GetShardIterator", "ListShards"] {
        let faults = [
            Fault::Error(400, "ProvisionedThroughputExceededException"),
            Fault::Lost,
            Fault::None,
            Fault::Cut,
            Fault::Error(400, "ThrottlingException"),
            Fault::Late(Duration::from_millis(150)),
            Fault::Error(503, ""),
        ];
        double.faults.script(operation, faults);
    }
    double.faults.script("GetRecords", [Fault::Error(400, "ExpiredIteratorException"), Fault::None, Fault::Cut]);
    let run = start(Settings::new(double.settings(proxy.address)), &Memory::with([]));
    let cutter = async {
        for _ in 0..6 {
            sleep(Duration::from_millis(130)).await;
            proxy.cut();
        }
    };
    let (all, ()) = tokio::join!(reshard(&double), cutter);
    run.lanes.until_records(all.len()).await;
    let parents = parents(&double).await;
    run.stop().await.assert_whole(all, &parents);
    assert!(double.faults.met() >= 20, "only {} faults were met", double.faults.met());
}

#[tokio::test]
async fn a_listing_in_pages_whose_token_expires() {
    let double = Double::start(7).await;
    // The emulator gives all shards at once: pages and tokens are made here.
    double.faults.rewrite("ListShards", |asked: &Value, answer: Value| {
        let from: usize = asked["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        // It knows no stream by the token, so the pages after the first are of its own making.
        let shards: Vec<Value> = match answer["Shards"].as_array() {
            Some(shards) => shards.iter().skip(from).take(3).cloned().collect(),
            None => (from..(from + 3).min(7)).map(listed).collect(),
        };
        let mut page = json!({ "Shards": shards });
        if from + 3 < 7 {
            page["NextToken"] = json!((from + 3).to_string());
        }
        page
    });
    double.faults.script("ListShards", [Fault::None, Fault::Error(400, "ExpiredNextTokenException")]);
    let all = texts("r", 70);
    double.put(&all).await;
    let run = start(Settings::new(double.settings(double.address)), &Memory::with([]));
    run.lanes.until_records(all.len()).await;
    run.stop().await.assert_whole(all, &[]);
}

fn listed(number: usize) -> Value {
    json!({
        "ShardId": format!("shardId-{number:012}"),
        "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "1" },
        "SequenceNumberRange": { "StartingSequenceNumber": "1" },
    })
}

#[tokio::test]
async fn answers_of_ten_mebibytes() {
    let double = Double::start(1).await;
    let all: Vec<_> = (0..10).map(|number| format!("{number}-{}", "x".repeat(1_000_000))).collect();
    for text in &all {
        double.put(std::slice::from_ref(text)).await;
    }
    double.faults.script("GetRecords", [Fault::Cut]);
    let run = start(Settings::new(double.settings(double.address)), &Memory::with([]));
    run.lanes.until_records(all.len()).await;
    run.stop().await.assert_whole(all, &[]);
}

#[tokio::test]
async fn restarts_and_starts_from_now_on() {
    let double = Double::start(2).await;
    let before = texts("before", 20);
    double.put(&before).await;
    let store = Memory::with([]);
    let first = start(Settings::new(double.settings(double.address)), &store);
    let watch = Settings { start: Start::Latest, ..Settings::new(double.settings(double.address)) };
    let second = start(watch, &Memory::with([]));
    first.lanes.until_records(20).await;
    first.stop().await.assert_whole(before, &[]);

    // The second one says by its first lag that it reads.
    while second.lanes.lags.lock().unwrap().len() < 2 {
        sleep(Duration::from_millis(20)).await;
    }
    let after = texts("after", 20);
    double.put(&after).await;
    let third = start(Settings::new(double.settings(double.address)), &store);
    third.lanes.until_records(20).await;
    third.stop().await.assert_whole(after.clone(), &[]);
    second.lanes.until_records(20).await;
    second.stop().await.assert_whole(after, &[]);
}

#[tokio::test]
async fn what_is_denied_is_read_once_it_is_granted() {
    let double = Double::start(1).await;
    let all = texts("r", 5);
    double.put(&all).await;
    double.faults.script("ListShards", [Fault::Error(400, "AccessDeniedException")]);
    double.faults.script("GetRecords", [Fault::Error(400, "KMSAccessDeniedException")]);
    let run = start(Settings::new(double.settings(double.address)), &Memory::with([]));
    run.lanes.until_records(all.len()).await;
    run.stop().await.assert_whole(all, &[]);
    assert_eq!(double.faults.met(), 2);
}

#[tokio::test]
async fn a_missing_stream_is_named_with_the_way_out() {
    let double = Double::start(1).await;
    let settings = client::Settings { stream: "typo".to_owned(), ..double.settings(double.address) };
    let run = start(Settings::new(settings), &Memory::with([]));
    let failure = format!("{:#}", anyhow::Error::from(run.task.await.unwrap().unwrap_err()));
    assert!(failure.contains("cannot read stream/typo: check that stream/typo exists"), "{failure}");
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_is_told_without_what_was_read() {
    let double = Double::start(1).await;
    double.put(&["secret prompt".to_owned()]).await;
    let kinesis = Kinesis::connect(&double.settings(double.address)).await.unwrap();
    let shard = ShardId::new("shardId-000000000000");
    let iterator = kinesis.iterator(&shard, &Position::TrimHorizon).await.unwrap();
    double.faults.rewrite("GetRecords", |_, answer| json!({ "Records": answer.to_string() }));
    double.faults.script("GetRecords", [Fault::Cut]);
    for what in ["an answer that breaks off", "an answer of another shape"] {
        let err = kinesis.records(&shard, &iterator).await.unwrap_err();
        let told = format!("{err} {err:?} {}", err.advice());
        assert_eq!(err.policy, Policy::Retry, "{told}");
        assert!(told.contains("not answered") || told.contains("not readable"), "{what}: {told:?}");
        // What came was base64 in JSON: neither that nor the text may be told.
        for secret in ["secret", "c2VjcmV0", "Data", "PartitionKey"] {
            assert!(!told.contains(secret), "{told:?}");
        }
    }
    let nobody = double.settings(double.address);
    drop(double);
    let kinesis = Kinesis::connect(&nobody).await.unwrap();
    let err = kinesis.list_shards(None).await.unwrap_err();
    assert_eq!(err.policy, Policy::Retry);
    assert!(err.to_string().contains("the request was not answered: "), "the cause is missing: {err}");
}
