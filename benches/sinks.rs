//! The benchmark of delivery: the corpus from memory through the whole engine into objects of a bucket, beside the pure
//! line alone, in the same rounds.
//!
//! ```text
//! cargo bench --bench sinks                  # the table
//! cargo bench --bench sinks -- --rounds 9    # more rounds
//! ```
//!
//! The bucket is a process of its own that takes everything. Rates are megabytes of inflated bytes a second of this
//! process's processor time, on all its threads together: what one core delivers.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, header};
use axum::response::{IntoResponse as _, Response};
use bedrock_tap::budget::Budget;
use bedrock_tap::checkpoint::Commits;
use bedrock_tap::checkpoint::memory::Memory;
use bedrock_tap::config::{Config, Environment};
use bedrock_tap::daemon::Plan;
use bedrock_tap::delivery::{Engine, LaneEnd, Lanes as _, Parts};
use bedrock_tap::format::{Format, Lines};
use bedrock_tap::pipeline::{Line, Parcel, Settings};
use bedrock_tap::record::{Origin, Partition, Position, Record, SequenceNumber, ShardId};
use bedrock_tap::sink::batch;
use bedrock_tap::sink::dead_letter::DeadLetter;
use bedrock_tap::sink::null::Null;
use bedrock_tap::source::{BoxFuture, Read, Source, SourceError};
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;

#[path = "line/corpus.rs"]
#[allow(dead_code, reason = "the benchmark of the line uses the rest")]
mod corpus;

use corpus::Corpus;

/// Records of a read: some MiB, as of a busy shard.
const READ_RECORDS: usize = 40;

/// What runs in each round: its name, and the sink's keys; none is the line alone.
const CONTENDERS: [(&str, Option<&str>); 6] = [
    ("the line alone", None),
    ("s3, NDJSON, as configured by default", Some("")),
    ("s3, NDJSON, gzip", Some("compression = 'gzip'")),
    ("s3, NDJSON, zstd", Some("compression = 'zstd'")),
    ("s3, NDJSON, not compressed", Some("compression = 'none'")),
    ("s3, Parquet", Some("encoding = 'parquet'\nformat = 'flat'")),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        // The sink finds its credentials in the environment, which a process has from its start.
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(&arguments).env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
        assert!(child.status().is_ok_and(|status| status.success()), "the benchmark failed");
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    match arguments.as_slice() {
        [] => runtime.block_on(measure(3)),
        ["--rounds", rounds] => runtime.block_on(measure(rounds.parse().expect("--rounds takes a number"))),
        ["--endpoint"] => runtime.block_on(serve()),
        _ => panic!("usage: cargo bench --bench sinks [-- --rounds N]"),
    }
}

/// A bucket that takes everything, keeps nothing, and ends with its standard input.
async fn serve() {
    async fn answer(request: Request) -> Response {
        let (method, query) = (request.method().clone(), request.uri().query().unwrap_or_default().to_owned());
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.expect("a body");
        let xml = |text: String| ([(header::CONTENT_TYPE, "application/xml")], text).into_response();
        let etag = format!("\"{:032x}\"", body.len());
        match method {
            Method::POST if query.contains("uploads") => {
                xml("<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>".into())
            }
            Method::POST => {
                xml(format!("<CompleteMultipartUploadResult><ETag>{etag}</ETag></CompleteMultipartUploadResult>"))
            }
            _ => [(header::ETAG, etag)].into_response(),
        }
    }
    let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    #[expect(clippy::print_stdout, reason = "the parent reads the port")]
    {
        println!("{}", listener.local_addr().expect("an address").port());
    }
    tokio::spawn(async move { axum::serve(listener, router).await });
    let _ = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await;
}

/// Hands on the corpus as one shard.
struct Shard {
    records: Arc<Vec<Record>>,
    next: usize,
    /// As a source reserves: what was read and is not through the line.
    budget: Budget,
}

impl Source for Shard {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(async move {
            let end = (self.next + READ_RECORDS).min(self.records.len());
            let records = self.records[self.next..end].to_vec();
            self.next = end;
            let Some(Record { origin: Origin::Kinesis { sequence, .. }, .. }) = records.last() else {
                return Ok(Read::End { children: Vec::new() });
            };
            let position = Position::After(sequence.clone());
            let reservation = self.budget.reserve(records.iter().map(|record| record.data.len()).sum()).await;
            Ok(Read::Records { records, position, lag: None, reservation })
        })
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[expect(clippy::print_stdout, reason = "the table")]
async fn measure(rounds: usize) {
    let mut endpoint = Command::new(std::env::current_exe().expect("this program"))
        .arg("--endpoint")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the endpoint starts");
    let mut port = String::new();
    BufReader::new(endpoint.stdout.take().expect("its output")).read_line(&mut port).expect("its port");
    let Corpus { records, inflated_bytes, .. } = Corpus::new();
    let records = Arc::new(of_a_shard(&records));
    let mut rates = vec![Vec::new(); CONTENDERS.len()];
    // The first round warms everything and is not counted.
    for round in 0..=rounds {
        for ((_, keys), rates) in CONTENDERS.iter().zip(&mut rates) {
            let (start, clock) = (processor_time(), Instant::now());
            match keys {
                None => line(&records),
                Some(keys) => deliver(&records, &plan(keys, port.trim())).await,
            }
            let (time, wall) = (processor_time().saturating_sub(start), clock.elapsed());
            if round > 0 {
                rates.push((
                    inflated_bytes as f64 / 1e6 / time.as_secs_f64(),
                    inflated_bytes as f64 / 1e6 / wall.as_secs_f64(),
                ));
            }
        }
    }
    drop(endpoint.stdin.take());
    let _ = endpoint.wait();
    println!("{:<40} {:>12} {:>12} {:>10}", "", "MB/s of CPU", "of the line", "MB/s");
    for ((name, _), own) in CONTENDERS.iter().zip(&rates) {
        let ratios = own.iter().zip(&rates[0]).map(|(own, line)| own.0 / line.0).collect();
        let (cpu, wall) = (own.iter().map(|rate| rate.0).collect(), own.iter().map(|rate| rate.1).collect());
        println!("{name:<40} {:>12.0} {:>12.2} {:>10.0}", median(cpu), median(ratios), median(wall));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The records as they come from a shard.
fn of_a_shard(records: &[Record]) -> Vec<Record> {
    let (stream, shard) = (Arc::<str>::from("bench"), ShardId::new("shardId-000000000000"));
    let record = |(index, record): (usize, &Record)| {
        let sequence = SequenceNumber::new(&(index + 1).to_string()).expect("a number");
        let origin = Origin::Kinesis { stream: Arc::clone(&stream), shard: shard.clone(), sequence, arrival: None };
        Record::new(record.data.clone(), origin)
    };
    records.iter().enumerate().map(record).collect()
}

fn line(records: &[Record]) {
    let settings = Settings { outputs: vec![Format::Panther.into()], ..Settings::default() };
    let (mut line, mut parcel) = (Line::new(settings), Parcel::default());
    for record in records {
        parcel.outputs.iter_mut().for_each(Lines::clear);
        line.process(record, Timestamp::now(), &mut parcel);
    }
    std::hint::black_box(&parcel);
}

/// What a configuration with such a sink runs.
fn plan(keys: &str, port: &str) -> Config {
    let text = format!(
        "source.kinesis.stream = 'bench'\nmemory_budget = '512 MiB'\n[sinks.lake.s3]\nbucket = 'lake'\nregion = 'us-east-1'\n\
         endpoint_url = 'http://127.0.0.1:{port}'\n{keys}\n"
    );
    Config::parse(&text, "bench.toml", &Environment::default()).expect("a configuration")
}

async fn deliver(records: &Arc<Vec<Record>>, config: &Config) {
    let Plan { crew, sinks, .. } = Plan::of(config).expect("a plan");
    let abandon = CancellationToken::new();
    let mut drivers = Vec::new();
    let letters = batch::start("letters", Arc::new(Null), batch::Settings::default(), None, abandon.clone());
    let dead_letter = DeadLetter::new(letters.0, None);
    drivers.push(tokio::spawn(letters.1.run()));
    let mut outlets = Vec::new();
    for sink in sinks {
        let opened = (sink.planned.opening)().await.expect("the sink opens");
        let letters = Some(dead_letter.clone());
        let (outlet, driver) = batch::start(&sink.name, opened, sink.planned.batch, letters, abandon.clone());
        outlets.push(outlet);
        drivers.push(tokio::spawn(driver.run()));
    }
    let checkpoints: Arc<dyn Commits> = Arc::new(Memory::default());
    let engine = Engine::new(Parts {
        crew,
        outlets,
        dead_letter,
        checkpoints,
        encoded: Budget::new(384 << 20),
        abandon,
        total: Arc::default(),
        shelf: Arc::default(),
        memory: None,
    });
    let partition = Partition { stream: "bench".into(), shard: ShardId::new("shardId-000000000000") };
    let source = Box::new(Shard { records: Arc::clone(records), next: 0, budget: Budget::new(128 << 20) });
    let end = engine.run(partition, source, CancellationToken::new()).await.expect("it is delivered");
    assert_eq!(end, LaneEnd::Ended { children: Vec::new() });
    drop(engine);
    for driver in drivers {
        driver.await.expect("no panic").expect("the sink delivers");
    }
}
