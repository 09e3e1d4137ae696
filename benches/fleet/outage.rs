//! A required destination that is down for ten minutes of traffic: what a worker holds meanwhile, and how it catches up.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{sleep, sleep_until};

use crate::double::Double;
use crate::report::Row;
use crate::worker::Worker;
use crate::writer::Writer;

const SHARDS: u32 = 2;
/// How long the destination is down.
const OUTAGE: Duration = Duration::from_secs(600);
/// A record of each shard comes this often.
const PACE: Duration = Duration::from_millis(250);
const INVOCATIONS: usize = 100;
const BUDGET_MIB: u64 = 256;
/// What a worker has beside its budget: itself, its connections, and what the allocator keeps.
const BESIDE_MIB: u64 = 128;
const PATIENCE: Duration = Duration::from_secs(300);

/// A collector that can be down, and notes what it took.
#[derive(Clone, Default)]
struct Collector {
    is_down: Arc<AtomicBool>,
    taken: Arc<Mutex<HashSet<String>>>,
    refused: Arc<Mutex<u64>>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "requestId")]
    request_id: String,
}

async fn take(State(collector): State<Collector>, body: Bytes) -> StatusCode {
    if collector.is_down.load(Ordering::Relaxed) {
        *collector.refused.lock().expect("no panic") += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let mut taken = collector.taken.lock().expect("no panic");
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: Event = serde_json::from_slice(line).expect("lines are events");
        taken.insert(event.request_id);
    }
    StatusCode::OK
}

/// Measures, and gives its lines of the table.
pub(crate) async fn measure() -> Vec<Row> {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let router = Router::new().route("/", post(take)).layer(DefaultBodyLimit::disable()).with_state(collector.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let double = Double::start();
    let mut writer = Writer::create(double.client(), "outage", SHARDS, 7).await;
    let sink = format!("[sinks.collector.http]\nurl = \"http://{address}/\"\nformat = \"panther\"\n");
    let worker = Worker::start(&double.source("outage"), &format!("{}{sink}", double.leases("outage", "a")));
    let mut expected = HashSet::new();
    let mut bytes = 0_usize;
    let mut write = async |until: Duration, peak: Option<&mut u64>| {
        let (began, mut due) = (tokio::time::Instant::now(), tokio::time::Instant::now());
        let mut highest = 0;
        while began.elapsed() < until {
            for shard in 0..SHARDS {
                let put = writer.put(shard, INVOCATIONS).await;
                bytes += put.bytes;
                expected.extend(put.request_ids);
            }
            highest = worker.memory().resident.max(highest);
            due += PACE;
            sleep_until(due).await;
        }
        if let Some(peak) = peak {
            *peak = highest;
        }
    };
    write(Duration::from_secs(10), None).await;
    collector.is_down.store(true, Ordering::Relaxed);
    let mut peak = 0;
    write(OUTAGE, Some(&mut peak)).await;
    collector.is_down.store(false, Ordering::Relaxed);
    let up = Instant::now();
    let missing = |collector: &Collector, expected: &HashSet<String>| {
        let taken = collector.taken.lock().expect("no panic");
        expected.iter().filter(|id| !taken.contains(*id)).count()
    };
    while missing(&collector, &expected) > 0 && up.elapsed() < PATIENCE {
        sleep(Duration::from_millis(100)).await;
    }
    let (left, took) = (missing(&collector, &expected), up.elapsed());
    let refused = *collector.refused.lock().expect("no panic");
    let mebibytes = |bytes: u64| bytes >> 20;
    let limit = BUDGET_MIB + BESIDE_MIB;
    vec![
        Row::target(
            format!("a required sink down for {} min of traffic: peak of resident memory", OUTAGE.as_secs() / 60),
            format!("{} MiB with a budget of {BUDGET_MIB} MiB", mebibytes(peak)),
            &format!("under {limit} MiB"),
            mebibytes(peak) < limit,
        ),
        Row::target(
            format!("— of {} events written ({} MB compressed), lost", expected.len(), bytes / 1_000_000),
            left.to_string(),
            "0",
            left == 0,
        ),
        Row::told("— all delivered after it was up again, without a restart", format!("{:.1} s", took.as_secs_f64())),
        Row::told("— requests that it was asked with meanwhile", refused.to_string()),
    ]
}
