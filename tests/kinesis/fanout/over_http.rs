//! Fan-out over HTTP, against an emulator: many workers that register one consumer, resharding with subscriptions that
//! are cut, and the time from a put to the reader.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bedrock_tap::budget::Budget;
use bedrock_tap::record::{Position, ShardId};
use bedrock_tap::source::kinesis::client::Kinesis;
use bedrock_tap::source::kinesis::fanout::consumer::Consumer;
use bedrock_tap::source::kinesis::fanout::{FanOutSource, Settings};
use bedrock_tap::source::kinesis::pace::Limits;
use bedrock_tap::source::kinesis::progress::Progress;
use bedrock_tap::source::kinesis::shards;
use bedrock_tap::source::{Read, Source};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::fault::{Fault, Proxy};
use crate::support::kinesis_double::Double;

/// The emulator knows no five seconds' rule, so that the tests need not wait for it.
const SETTINGS: Settings = Settings {
    life: Duration::from_millis(900),
    spacing: Duration::from_millis(50),
    silence: Duration::from_secs(5),
    if_refused: bedrock_tap::source::kinesis::fanout::IfRefused::Wait,
};

fn open(kinesis: &Kinesis, consumer: &Consumer, shard: ShardId, budget: &Budget) -> FanOutSource {
    let progress = Progress::new(kinesis.stream().clone(), shard, Position::TrimHorizon, None);
    FanOutSource::new(kinesis.clone(), consumer.clone(), progress, budget.clone(), Limits::default(), SETTINGS)
}

/// Reads all shards, children after their parents, until so many records came.
async fn read_all(kinesis: &Kinesis, consumer: &Consumer, count: usize) -> Vec<String> {
    let texts: Arc<Mutex<Vec<String>>> = Arc::default();
    let budget = Budget::new(16 * 1024 * 1024);
    let (mut ended, mut running, mut tasks) = (BTreeSet::new(), BTreeSet::new(), JoinSet::new());
    while texts.lock().unwrap().len() < count {
        if let Ok(graph) = shards::list(kinesis).await {
            let fresh: Vec<_> = graph.startable(&ended, &running).map(|shard| shard.id.clone()).collect();
            for shard in fresh {
                let (mut source, texts) = (open(kinesis, consumer, shard.clone(), &budget), Arc::clone(&texts));
                running.insert(shard.clone());
                tasks.spawn(async move {
                    while let Read::Records { records, .. } = source.next().await.unwrap() {
                        let read = records.iter().map(|record| String::from_utf8_lossy(&record.data).into_owned());
                        texts.lock().unwrap().extend(read);
                    }
                    shard
                });
            }
        }
        while let Some(done) = tasks.try_join_next() {
            let shard = done.unwrap();
            running.remove(&shard);
            ended.insert(shard);
        }
        sleep(Duration::from_millis(20)).await;
    }
    // What comes twice comes late.
    sleep(Duration::from_millis(500)).await;
    texts.lock().unwrap().clone()
}

#[tokio::test]
async fn every_record_is_read_once_through_splits_merges_and_cuts() {
    let double = Double::start(2).await;
    let proxy = Proxy::start(double.address).await;
    let kinesis = Kinesis::connect(&double.settings(proxy.address)).await.unwrap();
    let workers = (0..8).map(|_| Consumer::find(kinesis.clone(), "app", true));
    let mut workers: JoinSet<_> = workers.collect();
    let mut found = Vec::new();
    while let Some(consumer) = workers.join_next().await {
        found.push(consumer.unwrap().unwrap());
    }
    let arns: BTreeSet<_> = found.iter().map(Consumer::arn).collect();
    assert_eq!(arns.len(), 1, "{arns:?}");
    let faults = [Fault::Error(400, "ResourceInUseException"), Fault::None, Fault::Error(503, ""), Fault::None];
    double.faults.script("SubscribeToShard", faults.iter().cycle().take(12).cloned());
    let writer = async {
        let mut all = Vec::new();
        for round in 0..4 {
            let written: Vec<_> = (0..60).map(|number| format!("round{round}-{number}")).collect();
            double.put(&written).await;
            all.extend(written);
            let open = double.open_shards().await;
            match round {
                0 | 2 => double.split(&open[0]).await,
                1 => double.merge(&open[0], &open[1]).await,
                _ => {}
            }
            sleep(Duration::from_millis(150)).await;
        }
        all
    };
    let cutter = async {
        for round in 0..8_u64 {
            sleep(Duration::from_millis(60 + round * 53 % 170)).await;
            proxy.cut();
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(120), read_all(&kinesis, &found[0], 240));
    let (mut all, (), read) = tokio::join!(writer, cutter, read);
    let mut read = read.unwrap();
    read.sort();
    all.sort();
    assert_eq!(read, all);
}

#[tokio::test]
async fn a_record_is_read_soon_after_it_was_put() {
    let double = Double::start(1).await;
    let kinesis = Kinesis::connect(&double.settings(double.address)).await.unwrap();
    let consumer = Consumer::find(kinesis.clone(), "app", true).await.unwrap();
    let budget = Budget::new(16 * 1024 * 1024);
    let mut source = open(&kinesis, &consumer, ShardId::new("shardId-000000000000"), &budget);
    let mut times = Vec::new();
    for number in 0..15 {
        let put = Instant::now();
        double.put(&[format!("r{number}")]).await;
        loop {
            let Read::Records { records, .. } = source.next().await.unwrap() else { panic!("no records") };
            if !records.is_empty() {
                break;
            }
        }
        times.push(put.elapsed());
    }
    times.sort();
    // The emulator looks for records five times a second.
    println!("put to read: median {:?}, most {:?}", times[7], times[14]);
    assert!(times[7] < Duration::from_secs(1), "{times:?}");
}
