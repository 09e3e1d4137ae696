//! The benchmark of the Firehose endpoint: requests at a fixed rate, whether answers come or not, first alone and then
//! beside a flood of clients that are slow or send too much.
//!
//! ```text
//! cargo bench --bench endpoint                  # 1,000 requests a second, for 20 s and 20 s
//! cargo bench --bench endpoint -- --seconds 60
//! cargo bench --bench endpoint -- --rate 500
//! ```
//!
//! The daemon is a process of its own, with the sink `null`. A request's time begins when it was due, so one that waits for
//! another counts its wait. All clients run on the same machine, and what they cost counts against the endpoint.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bedrock_tap::config::{Config, Environment};
use bedrock_tap::daemon::{self, Plan, Stop};
use bedrock_tap::generator::{Generator, Profile};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// Records of a request.
const RECORDS: usize = 5;
/// Bodies that are made before; each is sent again and again, under an id of its own.
const BODIES: usize = 400;
/// Connections of the good client.
const CONNECTIONS: usize = 64;
/// What the 99th percentile may be, alone and beside the flood.
const TARGET: Duration = Duration::from_millis(50);
const TARGET_IN_FLOOD: Duration = Duration::from_millis(200);

/// Clients of the flood: that say nothing, that bring their headers a byte at a time, that have a key and bring their body
/// a byte at a time, and that have a key and send 80 MiB of blanks as gzip.
const SILENT: usize = 600;
const DRIPPING: usize = 200;
const SLOW: usize = 100;
const BOMBS: usize = 2;

const KEY_VARIABLE: &str = "BEDROCK_TAP_BENCH_KEY";
const KEY: &str = "the key of the benchmark";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (mut seconds, mut rate) = (20, 1000);
    match arguments.as_slice() {
        [] => {}
        ["--endpoint", port] => return serve(port),
        ["--seconds", number] => seconds = number.parse().expect("--seconds takes a number"),
        ["--rate", number] => rate = number.parse().expect("--rate takes a number"),
        _ => panic!("usage: cargo bench --bench endpoint [-- --seconds N | --rate N]"),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    assert!(runtime.block_on(measure(seconds, rate)), "a target is missed");
}

/// The daemon, until its standard input ends.
fn serve(port: &str) {
    let text = format!(
        "sinks.nowhere.null = {{}}\n[source.firehose]\nlisten = '127.0.0.1:{port}'\naccess_keys = [{{ env = '{KEY_VARIABLE}' }}]\n\
         [dead_letter.stdout]\n"
    );
    let config = Config::parse(&text, "bench.toml", &Environment::default()).expect("a configuration");
    let plan = Plan::of(&config).expect("a plan");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let drain = CancellationToken::new();
        let stop = drain.clone();
        std::thread::spawn(move || {
            let _ = std::io::read_to_string(std::io::stdin());
            stop.cancel();
        });
        daemon::run(plan, Stop::by(drain)).await.expect("the daemon runs");
    });
}

#[expect(clippy::print_stdout, reason = "the table")]
async fn measure(seconds: u64, rate: u64) -> bool {
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let mut endpoint = Command::new(std::env::current_exe().expect("this program"))
        .args(["--endpoint", &port.to_string()])
        .env(KEY_VARIABLE, KEY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the endpoint starts");
    // A reject would be a fault of the benchmark.
    let letters = BufReader::new(endpoint.stdout.take().expect("its output"));
    std::thread::spawn(move || assert_eq!(letters.lines().count(), 0, "rejects"));
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
    let bodies = Arc::new(bodies());
    let bytes = bodies.iter().map(String::len).sum::<usize>() / bodies.len();
    println!("{rate} requests/s of {RECORDS} records, {} KB each, for {seconds} s", bytes / 1000);
    println!("{:<24} {:>8} {:>8} {:>8} {:>8} {:>8}  target", "", "answers", "not 200", "p50", "p99", "max");
    let ids = Arc::new(AtomicU64::new(0));
    // The first second warms everything and is not counted.
    run(port, &bodies, &ids, rate, rate).await;
    let alone = run(port, &bodies, &ids, rate, rate * seconds).await;
    let mut passed = say("alone", alone, TARGET);
    let flood = flood(port);
    sleep(Duration::from_secs(1)).await;
    let beside = run(port, &bodies, &ids, rate, rate * seconds).await;
    drop(flood);
    passed &= say("beside a flood", beside, TARGET_IN_FLOOD);
    drop(endpoint.stdin.take());
    let _ = endpoint.wait();
    passed
}

#[expect(clippy::print_stdout, reason = "a line of the table")]
fn say(what: &str, (mut times, failures): (Vec<Duration>, usize), target: Duration) -> bool {
    times.sort();
    let at =
        |share: f64| times.get((times.len() as f64 * share) as usize).or(times.last()).copied().unwrap_or_default();
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let passed = failures == 0 && at(0.99) < target;
    let verdict = format!("p99 < {} ms: {}", target.as_millis(), if passed { "passed" } else { "missed" });
    let (median, high, most) = (millis(at(0.5)), millis(at(0.99)), millis(at(1.0)));
    println!("{what:<24} {:>8} {failures:>8} {median:>8} {high:>8} {most:>8}  {verdict}", times.len());
    passed
}

/// The records of bodies, as JSON.
fn bodies() -> Vec<String> {
    let mut generator = Generator::new(20_261_007, Profile::demo());
    let mut record = || format!("{{\"data\":\"{}\"}}", STANDARD.encode(generator.record().data));
    (0..BODIES).map(|_| (0..RECORDS).map(|_| record()).collect::<Vec<_>>().join(",")).collect()
}

/// Sends so many requests at this rate; the times of all answers, and how many were none of success.
async fn run(
    port: u16,
    bodies: &Arc<Vec<String>>,
    ids: &Arc<AtomicU64>,
    rate: u64,
    count: u64,
) -> (Vec<Duration>, usize) {
    let (begin, next) = (Instant::now() + Duration::from_millis(50), Arc::new(AtomicU64::new(0)));
    let failures = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (bodies, ids, next, failures) =
            (Arc::clone(bodies), Arc::clone(ids), Arc::clone(&next), Arc::clone(&failures));
        connections.spawn(async move {
            let (mut times, mut stream, mut answer) = (Vec::new(), None, vec![0; 4096]);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return times;
                }
                let due = begin + Duration::from_micros(number * 1_000_000 / rate);
                sleep_until(due).await;
                let id = ids.fetch_add(1, Ordering::Relaxed);
                let request = request(&format!("request-{id}"), &bodies[id as usize % bodies.len()]);
                if !post(&mut stream, port, &request, &mut answer).await.unwrap_or(false) {
                    failures.fetch_add(1, Ordering::Relaxed);
                    stream = None;
                }
                times.push(due.elapsed());
            }
        });
    }
    let mut times = Vec::new();
    while let Some(own) = connections.join_next().await {
        times.extend(own.expect("no panic"));
    }
    (times, failures.load(Ordering::Relaxed))
}

fn head(id: &str, length: usize, more: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: endpoint\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         X-Amz-Firehose-Protocol-Version: 1.0\r\nX-Amz-Firehose-Request-Id: {id}\r\n\
         X-Amz-Firehose-Source-Arn: arn:aws:firehose:eu-central-1:123456789012:deliverystream/bench\r\n\
         X-Amz-Firehose-Access-Key: {KEY}\r\n{more}\r\n"
    )
}

fn request(id: &str, records: &str) -> Vec<u8> {
    let body = format!("{{\"requestId\":\"{id}\",\"timestamp\":1791331200000,\"records\":[{records}]}}");
    (head(id, body.len(), "") + &body).into_bytes()
}

/// Posts a request, and says whether the answer was 200.
async fn post(stream: &mut Option<TcpStream>, port: u16, request: &[u8], answer: &mut [u8]) -> std::io::Result<bool> {
    let stream = match stream {
        Some(stream) => stream,
        none => {
            let made = TcpStream::connect(("127.0.0.1", port)).await?;
            made.set_nodelay(true)?;
            none.insert(made)
        }
    };
    stream.write_all(request).await?;
    let mut length = 0;
    loop {
        let read = stream.read(&mut answer[length..]).await?;
        length += read;
        // An answer is small and ends with its JSON.
        if read == 0 || answer[..length].ends_with(b"}") {
            return Ok(answer[..length].starts_with(b"HTTP/1.1 200"));
        }
    }
}

/// Clients that are no good, until the set is dropped.
fn flood(port: u16) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let slow_head = head("slow", 1 << 20, "");
    let drip = |head: String, begin: usize| async move {
        loop {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = stream.write_all(&head.as_bytes()[..begin]).await;
                for byte in head.as_bytes()[begin..].iter().chain(std::iter::repeat(&b' ')) {
                    sleep(Duration::from_millis(500)).await;
                    if stream.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    for _ in 0..SILENT {
        clients.spawn(async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                    let _ = stream.read(&mut [0; 1]).await;
                }
                sleep(Duration::from_millis(500)).await;
            }
        });
    }
    for _ in 0..DRIPPING {
        clients.spawn(drip(slow_head.clone(), 40));
    }
    for _ in 0..SLOW {
        clients.spawn(drip(slow_head.clone(), slow_head.len()));
    }
    let bomb = Arc::new(bomb());
    for _ in 0..BOMBS {
        let bomb = Arc::clone(&bomb);
        clients.spawn(async move {
            let mut answer = vec![0; 4096];
            loop {
                let _ = post(&mut None, port, &bomb, &mut answer).await;
                sleep(Duration::from_millis(100)).await;
            }
        });
    }
    clients
}

/// A request whose body is 80 MiB of blanks.
fn bomb() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &vec![b' '; 80 << 20]).expect("memory takes everything");
    let body = encoder.finish().expect("memory takes everything");
    [head("bomb", body.len(), "Content-Encoding: gzip\r\n").as_bytes(), &body].concat()
}
