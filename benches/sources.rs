//! The benchmark of large content: the events of the corpus as the lines of one object, as Bedrock writes them to S3,
//! read in pieces and taken through the line, beside the line on the records of a stream, in the same rounds; then the
//! memory of a run over content that is much larger than what it may hold.
//!
//! ```text
//! cargo bench --bench sources                  # both
//! cargo bench --bench sources -- --rounds 9    # more rounds
//! cargo bench --bench sources -- --speed       # without the run
//! ```
//!
//! Rates are megabytes of inflated bytes a second of one thread's processor time.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use bedrock_tap::format::{Format, Lines};
use bedrock_tap::pipeline::{Limits, Line, Parcel, Settings};
use bedrock_tap::record::{Origin, Record};
use bedrock_tap::source::pieces::Pieces;
use bytes::Bytes;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::Value;

#[path = "line/clock.rs"]
#[allow(dead_code, reason = "the benchmark of the line uses the rest")]
mod clock;
#[path = "line/corpus.rs"]
#[allow(dead_code, reason = "the benchmark of the line uses the rest")]
mod corpus;
#[path = "line/print.rs"]
mod print;

use corpus::Corpus;
use print::{line, target};

const LIMITS: Limits = Limits { inflated_bytes: 64 << 20, events: 100_000, depth: 128 };

/// The bytes of the gzip object.
const OBJECT_BYTES: usize = 50_000_000;

/// The bytes that the run's content has at least when it is inflated.
const LARGE_BYTES: usize = 2 << 30;

/// What the run may hold of what it reads, and what it may take in all.
const BUDGET_MIB: u64 = 256;
const TARGET_MIB: u64 = BUDGET_MIB + 64;

/// How often the run's memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The same lines in one object of each compression.
struct Objects {
    gzip: Bytes,
    zstd: Bytes,
    plain: Bytes,
    events: u64,
}

/// What runs in each round: what it is called, the content or none for the records, and what share of the records' rate
/// it is to keep.
type Contender<'a> = (&'a str, Option<&'a Bytes>, Option<f64>);

fn main() {
    // Cargo passes `--bench` to everything that it runs as a benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (rounds, memory) = match arguments.as_slice() {
        [] => (5, true),
        ["--speed"] => (5, false),
        ["--rounds", rounds] => (rounds.parse().expect("--rounds takes a number"), true),
        _ => panic!("usage: cargo bench --bench sources [-- --rounds N | --speed]"),
    };
    let corpus = Corpus::new();
    let objects = objects(&corpus);
    speed(&corpus, &objects, rounds);
    if memory {
        drop(corpus);
        run("gzip", "gz", &objects.gzip, objects.plain.len());
        run("zstd", "zst", &objects.zstd, objects.plain.len());
    }
}

/// Writes events of the corpus as lines until the gzip object is large enough, compressed as hard as the records are.
fn objects(corpus: &Corpus) -> Objects {
    let mut floor = libdeflater::Decompressor::new();
    let mut buffer = vec![0; corpus.largest_bytes + 1];
    let (mut plain, mut gzip) = (Vec::new(), GzEncoder::new(Vec::new(), flate2::Compression::new(6)));
    let mut events = 0;
    'records: for record in &corpus.records {
        let json = corpus::inflate(&mut floor, &record.data, &mut buffer);
        let envelope: Value = serde_json::from_slice(json).expect("the corpus is JSON");
        for event in envelope["logEvents"].as_array().into_iter().flatten() {
            let Some(message) = event["message"].as_str().filter(|message| message.starts_with('{')) else { continue };
            let text = format!("{message}\n");
            plain.extend_from_slice(text.as_bytes());
            gzip.write_all(text.as_bytes()).expect("memory takes everything");
            events += 1;
            if gzip.get_ref().len() >= OBJECT_BYTES {
                break 'records;
            }
        }
    }
    let zstd = zstd::encode_all(plain.as_slice(), 3).expect("memory takes everything").into();
    Objects { gzip: gzip.finish().expect("memory takes everything").into(), zstd, plain: plain.into(), events }
}

fn speed(corpus: &Corpus, objects: &Objects, rounds: usize) {
    line(format_args!(
        "object: {} events, {:.0} MB as lines, {:.0} MB as gzip, {:.0} MB as zstd",
        objects.events,
        objects.plain.len() as f64 / 1e6,
        objects.gzip.len() as f64 / 1e6,
        objects.zstd.len() as f64 / 1e6,
    ));
    let contenders: [Contender<'_>; 4] = [
        ("records of a stream", None, None),
        ("an object of lines, gzip", Some(&objects.gzip), Some(0.8)),
        ("an object of lines, zstd", Some(&objects.zstd), Some(0.8)),
        ("an object of lines, not compressed", Some(&objects.plain), None),
    ];
    let mut rates = contenders.map(|_| Vec::new());
    // The first round warms caches and buffers and is not counted.
    for round in 0..=rounds {
        for ((_, content, _), rates) in contenders.iter().zip(&mut rates) {
            let rate = match content {
                None => of_records(corpus),
                Some(content) => of_object(content, objects),
            };
            if round > 0 {
                rates.push(rate);
            }
        }
    }
    line(format_args!("\n{:<44} {:>8}", "one core", "MB/s"));
    for ((title, ..), rates) in contenders.iter().zip(&rates) {
        line(format_args!("{title:<44} {:>8.0}", clock::median(rates.clone())));
    }
    line("");
    for ((title, _, share), of) in contenders.iter().zip(&rates).skip(1) {
        let ratio = clock::median(of.iter().zip(&rates[0]).map(|(object, records)| object / records).collect());
        match share {
            Some(share) => target(&format!("{title} / records"), ratio, &format!("at least {share}"), ratio >= *share),
            None => line(format_args!("{:<44} {ratio:>8.2}", format!("{title} / records"))),
        }
    }
}

/// The line, and what it gives away.
struct Subject {
    line: Line,
    parcel: Parcel,
}

impl Subject {
    fn new() -> Self {
        let settings = Settings { limits: LIMITS, outputs: vec![Format::Panther.into()], ..Settings::default() };
        Self { line: Line::new(settings), parcel: Parcel::default() }
    }

    fn process(&mut self, record: &Record, now: Timestamp) {
        self.parcel.outputs.iter_mut().for_each(Lines::clear);
        self.line.process(record, now, &mut self.parcel);
        std::hint::black_box(&self.parcel.outputs);
    }

    fn check(&self, events: u64) {
        assert_eq!(self.parcel.tally.invocations, events, "every event is read");
    }
}

fn of_records(corpus: &Corpus) -> f64 {
    let (mut subject, now) = (Subject::new(), Timestamp::now());
    let time = clock::processor_time(|| corpus.records.iter().for_each(|record| subject.process(record, now)));
    subject.check(corpus.invocations as u64);
    corpus.inflated_bytes as f64 / 1e6 / time.as_secs_f64()
}

fn of_object(content: &Bytes, objects: &Objects) -> f64 {
    let (mut subject, now) = (Subject::new(), Timestamp::now());
    let reader = io::Cursor::new(content.clone());
    let time = clock::processor_time(|| {
        let mut pieces = Pieces::new(reader, LIMITS.inflated_bytes, false);
        while let Some(piece) = pieces.next_piece().expect("memory can be read") {
            let origin = Origin::File { path: "object".into(), offset: piece.offset };
            subject.process(&Record::new(piece.data, origin), now);
        }
    });
    subject.check(objects.events);
    objects.plain.len() as f64 / 1e6 / time.as_secs_f64()
}

/// Runs the program over a file that is the object again and again, written without being held, and tells the most memory
/// that it ever had.
fn run(title: &str, extension: &str, object: &Bytes, inflated_bytes: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = |name: &str| directory.path().join(name);
    let input = path(&format!("object.jsonl.{extension}"));
    let times = LARGE_BYTES.div_ceil(inflated_bytes);
    let mut file = BufWriter::new(File::create(&input).expect("the file can be made"));
    (0..times).for_each(|_| file.write_all(object).expect("the file can be written"));
    file.flush().expect("the file can be written");
    let config = format!(
        "memory_budget = \"{BUDGET_MIB} MiB\"\n[source.file]\npaths = [{input:?}]\n[coordination.local]\n\
         directory = {:?}\n[dead_letter.file]\npath = {:?}\n[sinks.out.stdout]\n",
        path("state"),
        path("rejects.jsonl"),
    );
    fs::write(path("config.toml"), config).expect("the configuration can be written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .args(["run", "--config"])
        .arg(path("config.toml"))
        .env_remove("BEDROCK_TAP_LOG")
        .stdout(Stdio::null())
        .stderr(File::create(path("log")).expect("the log can be made"))
        .spawn()
        .expect("the program starts");
    let mut peak_kib = 0;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is a child") {
            break status;
        }
        peak_kib = peak(child.id()).unwrap_or(peak_kib);
        std::thread::sleep(LOOK);
    };
    let log = fs::read_to_string(path("log")).unwrap_or_default();
    assert!(status.success(), "the run failed:\n{log}");
    let (gigabytes, peak) = ((times * inflated_bytes) as f64 / 1e9, peak_kib / 1024);
    let met = if peak < TARGET_MIB { "met" } else { "MISSED" };
    line(format_args!(
        "a run over {gigabytes:.1} GB in {title}: at most {peak} MiB resident   below {TARGET_MIB} MiB: {met}"
    ));
}

/// The most memory that a process ever had, in KiB; none once it has ended.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.split_whitespace().next()?.parse().ok()
}
