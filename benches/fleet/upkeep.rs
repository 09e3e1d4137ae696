//! What a worker costs while nothing happens: how soon it reads, what it uses when idle, and what its answers cost.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::double::Double;
use crate::report::{Row, millis, percentile};
use crate::worker::Worker;
use crate::writer::Writer;

const STARTS: usize = 11;
const START_TARGET: Duration = Duration::from_millis(300);
const IDLE_SHARDS: u32 = 10;
/// Processor time is told in hundredths of a second.
const IDLE: Duration = Duration::from_secs(60);
const MANY_SHARDS: u32 = 1000;
const ANSWERS: usize = 21;
const ANSWER_TARGET: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures, and gives its lines of the table.
pub(crate) async fn measure() -> Vec<Row> {
    let mut rows = vec![starts().await];
    rows.push(idle("leases and metrics on", "").await);
    rows.push(idle("all rules on as well", "[detect]\nrules = [\"all\"]\n").await);
    rows.extend(answers().await);
    rows
}

async fn until_read(double: &mut Double, shards: u32, before: u64, pause: Duration) {
    let begun = Instant::now();
    while reads(double) < before + u64::from(shards) {
        assert!(begun.elapsed() < PATIENCE, "not all shards are read");
        sleep(pause).await;
    }
}

fn reads(double: &mut Double) -> u64 {
    double.calls().kinesis.get("GetRecords").copied().unwrap_or_default()
}

/// From the start of the process to the first read, without a stored position.
async fn starts() -> Row {
    let mut double = Double::start();
    Writer::create(double.client(), "start", 1, 1).await;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let before = reads(&mut double);
        let begun = Instant::now();
        let _worker = Worker::start(&double.source("start"), "");
        until_read(&mut double, 1, before, Duration::from_millis(1)).await;
        times.push(begun.elapsed());
    }
    let median = percentile(&mut times, 50);
    Row::target(
        format!("from the start of the process to the first GetRecords, median of {STARTS}"),
        millis(median),
        "under 300 ms",
        median < START_TARGET,
    )
}

/// Processor time while nothing is written, with metrics, leases and these sections.
async fn idle(on: &str, sections: &str) -> Row {
    let mut double = Double::start();
    Writer::create(double.client(), "idle", IDLE_SHARDS, 1).await;
    let source = format!("{}{sections}[http]\nlisten = \"{}\"\n", double.source("idle"), free());
    let worker = Worker::start(&source, &double.leases("idle", "a"));
    until_read(&mut double, IDLE_SHARDS, 0, Duration::from_millis(100)).await;
    sleep(Duration::from_secs(10)).await;
    let used = worker.processor();
    sleep(IDLE).await;
    let share = (worker.processor() - used).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    Row::target(
        format!("{IDLE_SHARDS} shards, idle, {on}: processor time"),
        format!("{share:.2} % of a core"),
        "under 1 %",
        share < 1.0,
    )
}

/// How long `/metrics` takes where there are a thousand shards.
async fn answers() -> Vec<Row> {
    let mut double = Double::start();
    Writer::create(double.client(), "many", MANY_SHARDS, 1).await;
    let address = free();
    let source = format!("{}[http]\nlisten = \"{address}\"\n", double.source("many"));
    let _worker = Worker::start(&source, &double.leases("many", "a"));
    until_read(&mut double, MANY_SHARDS, 0, Duration::from_millis(500)).await;
    sleep(Duration::from_secs(20)).await;
    let mut rows = Vec::new();
    for path in ["/metrics", "/status"] {
        let mut bytes = 0;
        let times = (0..ANSWERS).map(|_| {
            let begun = Instant::now();
            bytes = ask(address, path);
            begun.elapsed()
        });
        let median = percentile(&mut times.collect::<Vec<_>>(), 50);
        let what = format!("{path} with {MANY_SHARDS} shards, median of {ANSWERS}");
        let told = format!("{}, {} KiB", millis(median), bytes >> 10);
        rows.push(match path {
            "/metrics" => Row::target(what, told, "under 10 ms", median < ANSWER_TARGET),
            _ => Row::told(what, told),
        });
    }
    rows
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it listens")
}

/// The bytes of an answer.
fn ask(address: SocketAddr, path: &str) -> usize {
    let mut stream = TcpStream::connect(address).expect("the worker answers");
    let asked = write!(stream, "GET {path} HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n");
    asked.expect("the worker answers");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the worker answers");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{path} is not answered");
    answer.len()
}
