//! The oracle: events with known ids through every sink at once, by the program as people run it, which is killed again and
//! again while its destinations fail. None may be missing anywhere; where a destination can tell, none may be there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::record::Field;
use bedrock_tap::config::Secret;
use bedrock_tap::sink::s3::Encoding;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::contract::{Double, Trouble};
use super::{elasticsearch, firehose, http, kinesis, otlp, s3, splunk_hec, sqs};
use crate::support::bucket_double::{BUCKET, Fault};
use crate::support::dynamodb_double::DynamoDouble;
use crate::support::elasticsearch_double::ElasticsearchDouble;
use crate::support::fault;
use crate::support::http_double::HttpDouble;
use crate::support::kinesis_double::{self, STREAM};
use crate::support::otlp_double::Refusal;

const TABLE: &str = "leases";
/// The longest that anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(40);
/// What no log may hold of an event, beside its id.
const PROMPT: &str = "nobody-is-to-know-this";
/// The events that are written in a life, and in how many pieces.
const EVENTS: usize = 60;
const PIECES: usize = 6;

/// When a life ends.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// Some time after it has begun to read.
    AnyTime,
    /// While objects are announced and not written.
    Unwritten,
    /// While objects are written, and it was not told so.
    Unanswered,
    /// As soon as an object is written.
    Written,
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn millis(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis((from + self.below(to - from)) as u64)
    }
}

fn id(number: usize) -> String {
    format!("request-{number:05}")
}

fn call(number: usize) -> String {
    json!({
        "schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-01-02T03:04:05Z",
        "accountId": format!("{}23456789012", 1 + number % 3), "region": "us-east-1", "requestId": id(number),
        "operation": "Converse", "modelId": "amazon.nova-lite-v1:0",
        "input": { "inputBodyJson": { "messages": [{ "role": "user", "content": [{ "text": PROMPT }] }] } },
    })
    .to_string()
}

/// A record as a subscription of CloudWatch Logs writes it.
fn envelope(numbers: &[usize]) -> Vec<u8> {
    let event = |number: &usize| json!({ "id": number.to_string(), "timestamp": 1, "message": call(*number) });
    let envelope = json!({
        "messageType": "DATA_MESSAGE", "owner": "123456789012", "logGroup": "calls", "logStream": "calls",
        "subscriptionFilters": ["calls"], "logEvents": numbers.iter().map(event).collect::<Vec<_>>(),
    });
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(envelope.to_string().as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// Writes the events from this number on, in pieces, each as records of one event and of several.
async fn write(stream: &kinesis_double::Double, from: usize) {
    for first in (from..from + EVENTS).step_by(EVENTS / PIECES) {
        let numbers: Vec<_> = (first..first + EVENTS / PIECES).collect();
        let records: Vec<_> = numbers.chunks(4).map(|some| (id(some[0]), envelope(some))).collect();
        stream.write(&records).await;
        sleep(Duration::from_millis(150)).await;
    }
}

fn aws(address: impl std::fmt::Display) -> String {
    format!("region = 'us-east-1'\nendpoint_url = 'http://{address}'")
}

/// A destination, its part of the configuration, and whether it tells events that it has already.
struct Destination {
    name: &'static str,
    section: String,
    double: Box<dyn Double>,
    once: bool,
}

impl Destination {
    /// A sink of this kind, named by the destination.
    fn new(name: &'static str, kind: &str, keys: &str, once: bool, double: impl Double + 'static) -> Self {
        Self { name, section: format!("[sinks.{name}.{kind}]\n{keys}\n"), double: Box::new(double), once }
    }

    /// All destinations that are doubles of a service, but for S3.
    async fn all() -> Vec<Self> {
        let search = elasticsearch::Cluster(ElasticsearchDouble::start().await);
        let splunk = splunk_hec::Collector::start(splunk_hec::with_acks()).await;
        let collector = otlp::Subject::new("grpc", Refusal::Whole).await;
        let firehose = firehose::Double::start().await;
        let stream = kinesis::Double::start().await;
        let (queue, fifo) = (sqs::Queue::start(false).await, sqs::Queue::start(true).await);
        let endpoint = HttpDouble::start(http::read_lines).await;
        let endpoint = http::Endpointed { double: endpoint, config: String::new() };
        let Secret::File(token) = &splunk.settings.token else { panic!("a token in a file") };
        let short = "timeout = '1s'\nlinger = '100ms'";
        let keys_of = |queue: &sqs::Queue| {
            let settings = queue.double.settings(None);
            format!("queue_url = '{}'\nregion = 'us-east-1'\nlinger = '100ms'", settings.queue_url)
        };
        vec![
            Self::new("search", "elasticsearch", &format!("urls = ['{}']\n{short}", search.0.url()), true, search),
            Self::new(
                "splunk",
                "splunk_hec",
                &format!(
                    "url = '{}'\ntoken.file = {token:?}\nacknowledge = 'always'\nacknowledge_timeout = '2s'\n{short}",
                    splunk.settings.url
                ),
                false,
                splunk,
            ),
            Self::new(
                "collector",
                "otlp",
                &format!("url = 'http://{}'\nprotocol = 'grpc'\n{short}", collector.collector.address),
                false,
                collector,
            ),
            Self::new(
                "endpoint",
                "http",
                &format!("url = 'http://{}/events'\n{short}", endpoint.double.address),
                false,
                endpoint,
            ),
            Self::new(
                "delivery",
                "firehose",
                &format!("stream = '{}'\nlinger = '100ms'\n{}", firehose::STREAM, aws(firehose.address)),
                false,
                firehose,
            ),
            Self::new(
                "stream",
                "kinesis",
                &format!("stream = '{STREAM}'\nlinger = '100ms'\n{}", aws(stream.kinesis.address)),
                false,
                stream,
            ),
            Self::new("queue", "sqs", &keys_of(&queue), false, queue),
            Self::new("fifo", "sqs", &keys_of(&fifo), true, fifo),
        ]
    }
}

/// The services that the program reads from and writes to.
struct Services {
    stream: kinesis_double::Double,
    table: DynamoDouble,
    lake: s3::S3,
    others: Vec<Destination>,
}

impl Services {
    async fn start(others: Vec<Destination>) -> Self {
        let (stream, table) = (kinesis_double::Double::start(2).await, DynamoDouble::start().await);
        Self { stream, table, lake: s3::S3::start(Encoding::Plain).await, others }
    }

    /// A directory with a configuration of all sinks.
    fn directory(&self) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let bucket = self.lake.bucket.settings().access.endpoint_url.unwrap();
        let s3 = format!("bucket = '{BUCKET}'\nobject_age = '1s'\n{}", aws(bucket.strip_prefix("http://").unwrap()));
        let text = format!(
            "drain_timeout = '15s'\n[source.kinesis]\nstream = '{STREAM}'\ncalls_per_second = 5\nmax_idle = '200ms'\n{}\n\
             [coordination.dynamodb]\ntable = '{TABLE}'\ncreate_table = true\nfailover_time = '1s'\nhandoff_timeout = '1s'\n{}\n\
             [dead_letter.file]\npath = '{}'\n[sinks.file.file]\npath = '{}'\n[sinks.nowhere.null]\n\
             [sinks.lake.s3]\nprefix = 'lake/date={{date}}/account={{account}}/'\n{s3}\n\
             [sinks.rows.s3]\nprefix = 'rows/date={{date}}/'\nformat = 'flat'\nencoding = 'parquet'\n{s3}\n{}",
            aws(self.stream.address),
            aws(self.table.address),
            path("letters"),
            path("out"),
            self.others.iter().map(|other| other.section.as_str()).collect::<String>(),
        );
        fs::write(directory.path().join("config.toml"), text).unwrap();
        directory
    }

    /// How often each id is at each destination whose content outlives a worker; and whether once is all that is allowed.
    fn found(&self) -> BTreeMap<&'static str, (bool, BTreeMap<String, usize>)> {
        let bucket = &self.lake.bucket;
        let (mut lines, mut rows) = (Vec::new(), Vec::new());
        for key in bucket.keys() {
            match key.strip_suffix(".parquet") {
                None => lines.extend(bucket.lines(&key)),
                Some(_) => rows.extend(ids_of_rows(bucket.bytes(&key))),
            }
        }
        let mut found = BTreeMap::from([("lake", (true, counted(&lines))), ("rows", (true, counted(&rows)))]);
        for Destination { name, double, once, .. } in &self.others {
            found.insert(name, (*once, counted(&double.held())));
        }
        found
    }

    /// What is missing at these directories' workers, by sink: how many, and some of them.
    fn missing(&self, directories: &[&Path], expected: &BTreeSet<String>) -> BTreeMap<&'static str, Vec<String>> {
        let mut missing = BTreeMap::new();
        let files: Vec<_> = directories.iter().flat_map(|directory| lines_of(&directory.join("out"))).collect();
        let mut found = self.found();
        found.insert("file", (false, counted(&files)));
        for (name, (_, ids)) in found {
            let rest: Vec<_> = expected.iter().filter(|id| !ids.contains_key(*id)).cloned().collect();
            if !rest.is_empty() {
                missing.insert(name, rest);
            }
        }
        missing
    }

    async fn until_delivered(&self, directories: &[&Path], expected: &BTreeSet<String>) {
        let all = timeout(LONG, async {
            while !self.missing(directories, expected).is_empty() {
                sleep(Duration::from_millis(100)).await;
            }
        });
        if all.await.is_err() {
            panic!("missing: {:?}{}", self.missing(directories, expected), tails(directories));
        }
    }

    /// Asserts that all is there, nothing else, nothing twice where that can be told, and that no log tells of it.
    fn check(&self, directories: &[&Path], expected: &BTreeSet<String>) {
        let missing = self.missing(directories, expected);
        assert!(missing.is_empty(), "missing: {missing:?}{}", tails(directories));
        for (name, (once, ids)) in self.found() {
            let strangers: Vec<_> = ids.keys().filter(|id| !expected.contains(*id)).collect();
            assert!(strangers.is_empty(), "{name} holds what was never written: {strangers:?}");
            let twice: Vec<_> = ids.iter().filter(|(_, count)| once && **count != 1).collect();
            let places = || twice.iter().map(|(id, _)| self.places(id)).collect::<Vec<_>>();
            assert!(twice.is_empty(), "{name} holds {twice:?}, {:#?}{}", places(), tails(directories));
        }
        for directory in directories {
            let log = fs::read_to_string(directory.join("log")).unwrap();
            assert!(!log.contains("request-0") && !log.contains(PROMPT), "the log holds what was read");
            assert_eq!(fs::read_to_string(directory.join("letters")).unwrap_or_default(), "", "something was refused");
        }
    }

    /// The objects that hold an id.
    fn places(&self, id: &str) -> Vec<String> {
        let bucket = &self.lake.bucket;
        let holds = |key: &String| match key.strip_suffix(".parquet") {
            None => bucket.lines(key).iter().any(|line| line.contains(id)),
            Some(_) => ids_of_rows(bucket.bytes(key)).iter().any(|found| found == id),
        };
        bucket.keys().into_iter().filter(holds).collect()
    }

    /// Some trouble for each destination.
    fn trouble(&self, random: &mut Random) {
        let kinds = [Trouble::Busy, Trouble::Error, Trouble::AppliedThenCut, Trouble::Partial];
        let doubles = self.others.iter().map(|other| &*other.double).chain([&self.lake as &dyn Double]);
        for double in doubles {
            let troubles: Vec<_> = (0..1 + random.below(2)).map(|_| kinds[random.below(4)].clone()).collect();
            double.script(&troubles);
        }
        let throttled = fault::Fault::Error(400, "ProvisionedThroughputExceededException");
        self.stream.faults.script("GetRecords", [throttled, fault::Fault::Cut]);
        self.table.faults.script("UpdateItem", [fault::Fault::Lost, fault::Fault::Cut]);
    }

    /// Waits until a process reads.
    async fn until_it_reads(&self, child: &Child) {
        let owner = format!("-{}-", child.id().unwrap());
        let holds = || {
            let rows = self.table.items(TABLE);
            rows.values().any(|row| row["leaseOwner"]["S"].as_str().is_some_and(|it| it.contains(&owner)))
        };
        until("a worker holds no lease", holds).await;
    }

    /// Waits for the moment at which a process is to die.
    async fn moment(&self, kill: Kill, child: &Child, random: &mut Random) {
        let bucket = &self.lake.bucket;
        let puts = || bucket.whats().into_iter().filter(|what| *what == "PUT").count();
        self.until_it_reads(child).await;
        let before = puts();
        let (faults, more) = match kill {
            Kill::AnyTime => return sleep(random.millis(300, 3000)).await,
            Kill::Unwritten => (vec![Fault::Silence; 100], 1 + random.below(3)),
            Kill::Unanswered => ([vec![Fault::Cut; 1 + random.below(3)], vec![Fault::Silence; 100]].concat(), 4),
            Kill::Written => (Vec::new(), 1 + random.below(3)),
        };
        bucket.script("PUT", faults);
        until("no object is written", || puts() >= before + more).await;
        sleep(random.millis(0, 60)).await;
    }
}

async fn until(otherwise: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "{otherwise}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// How often each id stands in these texts, each of which holds one.
fn counted(texts: &[String]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for text in texts {
        let at = text.find("request-").expect("an item without its id");
        *found.entry(text[at..at + id(0).len()].to_owned()).or_default() += 1;
    }
    found
}

/// The lines of a file that grows, up to the last whole one.
fn lines_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    text[..whole].lines().map(str::to_owned).collect()
}

fn ids_of_rows(file: Vec<u8>) -> Vec<String> {
    let reader = SerializedFileReader::new(bytes::Bytes::from(file)).unwrap();
    let id = |row: ::parquet::record::Row| match row.get_column_iter().find(|(name, _)| *name == "request_id") {
        Some((_, Field::Str(id))) => id.clone(),
        _ => panic!("a row without its id"),
    };
    reader.get_row_iter(None).unwrap().map(|row| id(row.unwrap())).collect()
}

/// The ends of the logs.
fn tails(directories: &[&Path]) -> String {
    let mut text = String::new();
    for directory in directories {
        let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        text += &format!("\n-- log\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
    }
    text
}

/// Runs the program with the configuration in this directory, where its log goes, too.
fn start(directory: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .arg("run")
        .arg("--config")
        .arg(directory.join("config.toml"))
        .env("AWS_ACCESS_KEY_ID", "embedded")
        .env("AWS_SECRET_ACCESS_KEY", "embedded")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("BEDROCK_TAP_LOG", "bedrock_tap=debug")
        .env_remove("ECS_CONTAINER_METADATA_URI_V4")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Tells it to stop, and waits until it has drained.
async fn stop(mut child: Child, directory: &Path) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let status = timeout(LONG, child.wait()).await.expect("it does not end").unwrap();
    assert!(status.success(), "it ended with {status}{}", tails(&[directory]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_at_every_sink_whatever_fails_and_whenever_it_is_killed() {
    let services = Services::start(Destination::all().await).await;
    let directory = services.directory();
    let mut random = Random(5);
    let kills = [Kill::AnyTime, Kill::Unwritten, Kill::AnyTime, Kill::Unanswered, Kill::Written, Kill::Unanswered];
    for (life, kill) in kills.into_iter().enumerate() {
        let mut child = start(directory.path());
        services.trouble(&mut random);
        let split = async {
            if life == 2 {
                let shards = services.stream.open_shards().await;
                services.stream.split(&shards[0]).await;
            }
        };
        let moment = async {
            services.moment(kill, &child, &mut random).await;
            child.kill().await.unwrap();
        };
        tokio::join!(write(&services.stream, life * EVENTS), split, moment);
        // Whoever comes next finds a bucket that answers.
        services.lake.bucket.clear();
    }
    let child = start(directory.path());
    services.trouble(&mut random);
    write(&services.stream, kills.len() * EVENTS).await;
    let expected: BTreeSet<_> = (0..(kills.len() + 1) * EVENTS).map(id).collect();
    services.until_delivered(&[directory.path()], &expected).await;
    stop(child, directory.path()).await;
    services.check(&[directory.path()], &expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_one_goes_on_with_the_objects_of_the_other() {
    let services = Services::start(Vec::new()).await;
    let directories = [services.directory(), services.directory()];
    let [first, second] = directories.each_ref().map(TempDir::path);
    let mut random = Random(7);
    let (mut dies, lives) = (start(first), start(second));
    for child in [&dies, &lives] {
        services.until_it_reads(child).await;
    }
    let moment = async {
        services.moment(Kill::Unanswered, &dies, &mut random).await;
        dies.kill().await.unwrap();
        services.lake.bucket.clear();
    };
    tokio::join!(write(&services.stream, 0), moment);
    write(&services.stream, EVENTS).await;
    let expected: BTreeSet<_> = (0..2 * EVENTS).map(id).collect();
    services.until_delivered(&[first, second], &expected).await;
    stop(lives, second).await;
    services.check(&[first, second], &expected);
}
