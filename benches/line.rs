//! The benchmark of the pure line: gzip bytes in, lines in the panther format out, on one core, over a seeded corpus.
//! Beside it, in the same rounds: inflating alone (the floor), each stage, and a plain `serde_json::Value` program.
//!
//! ```text
//! cargo bench                            # the table
//! cargo bench -- --rounds 9              # more rounds
//! cargo bench -- --write corpus.ndjson   # the corpus as a file, for comparisons of whole processes
//! ```
//!
//! Everything is told in megabytes of inflated bytes a second of processor time, and as ratios: those hold on other
//! machines too.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bedrock_tap::body::View;
use bedrock_tap::config::managed_rules;
use bedrock_tap::decode::Inflater;
use bedrock_tap::detect::{self, state};
use bedrock_tap::enrich::Event;
use bedrock_tap::enrich::cost::Prices;
use bedrock_tap::extract::LogEvent;
use bedrock_tap::format::{Format, Lines};
use bedrock_tap::invocation::Invocation;
use bedrock_tap::parse::{self, Parsed};
use bedrock_tap::pipeline::{Context, Detection, Limits, Line, Parcel, Settings, Tally, Visit};
use bedrock_tap::record::{Origin, Record};
use bedrock_tap::redact::{Bodies, Detector, Redactor};
use bedrock_tap::reject::{Fault, Skip};
use bytes::Bytes;
use jiff::Timestamp;

#[path = "line/check.rs"]
mod check;
#[path = "line/clock.rs"]
mod clock;
#[path = "line/corpus.rs"]
mod corpus;
#[path = "line/print.rs"]
mod print;
#[path = "line/report.rs"]
mod report;
#[path = "line/value.rs"]
mod value;

use corpus::Corpus;

const LIMITS: Limits = Limits { inflated_bytes: 64 << 20, events: 100_000, depth: 128 };

/// The line under test, with its output buffer reused.
pub(crate) struct Subject {
    line: Line,
    parcel: Parcel,
}

impl Subject {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    /// With all managed rules on, and nothing remembered yet.
    fn detecting() -> Self {
        let rules = managed_rules().expect("the managed rules are valid");
        let rules: Vec<_> = rules.into_iter().map(|(_, rule)| rule).collect();
        let detector = Arc::new(detect::Detector::new(&rules, state::Limits::default()));
        Self::with(Settings { detection: Some(Detection { detector, marks: false }), ..Settings::default() })
    }

    /// As where metrics are on.
    fn metered() -> Self {
        Self::with(Settings { metered: true, ..Settings::default() })
    }

    fn with(settings: Settings) -> Self {
        let outputs = vec![Format::Panther.into()];
        let settings = Settings { limits: LIMITS, outputs, ..settings };
        Self { line: Line::new(settings), parcel: Parcel::default() }
    }

    /// Takes one record through the line and gives its lines.
    pub(crate) fn process(&mut self, record: &Record, parse_time: Timestamp) -> &[u8] {
        self.parcel.outputs.iter_mut().for_each(Lines::clear);
        self.line.process(record, parse_time, &mut self.parcel);
        assert!(self.parcel.rejects.is_empty(), "the corpus has no rejects");
        self.parcel.outputs.first().map_or(&[], Lines::bytes)
    }
}

/// What runs in each round, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// libdeflate alone, its buffer reused: the floor.
    Floor,
    /// flate2 alone, its buffer reused.
    Flate2,
    /// The decoder's inflater, which also guards against second members and lies about sizes.
    Decode,
    /// From inflated envelopes to invocations: extract and parse.
    ExtractParse,
    /// From messages to invocations.
    Parse,
    /// From invocations to lines.
    Format,
    /// All of the view of each invocation: texts joined and read, tools, usage, guardrail.
    View,
    /// From invocations to redacted ones, with every detector.
    Redact,
    /// The whole line.
    Line,
    /// The whole line, metered: tokens and cost of each call for the metrics.
    Metered,
    /// The whole line with all managed rules on.
    Detection,
    /// The straightforward program.
    Value,
}

impl Contender {
    pub(crate) const ALL: [Self; 12] = [
        Self::Floor,
        Self::Flate2,
        Self::Decode,
        Self::ExtractParse,
        Self::Parse,
        Self::Format,
        Self::View,
        Self::Redact,
        Self::Line,
        Self::Metered,
        Self::Detection,
        Self::Value,
    ];
}

/// Times of each contender, a round each.
pub(crate) type Times = [Vec<Duration>; Contender::ALL.len()];

/// What the stages start from, each prepared by the stages before it.
struct Prepared {
    /// Inflated envelopes.
    envelopes: Vec<Record>,
    /// The messages of all log events.
    messages: Vec<String>,
}

fn main() {
    // Cargo passes `--bench` to everything that it runs as a benchmark.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => measure(5),
        ["--rounds", rounds] => measure(rounds.parse().expect("--rounds takes a number")),
        ["--write", path] => write(path),
        _ => panic!("usage: cargo bench [-- --rounds N | --write FILE]"),
    }
}

/// Writes the corpus as lines of base64 of gzip: a framing that costs every reader the same and that every one takes.
fn write(path: &str) {
    let corpus = Corpus::new();
    let mut file = BufWriter::new(File::create(path).expect("the file can be made"));
    for record in &corpus.records {
        let text = base64::engine::general_purpose::STANDARD.encode(&record.data);
        writeln!(file, "{text}").expect("the file can be written");
    }
    file.flush().expect("the file can be written");
    report::corpus(&corpus);
}

fn measure(rounds: usize) {
    let corpus = Corpus::new();
    report::corpus(&corpus);
    let mut subject = Subject::new();
    check::same_output(&corpus, &mut subject);
    let prepared = prepare(&corpus);
    let mut invocations = Vec::with_capacity(corpus.invocations);
    for message in &prepared.messages {
        if let Parsed::Invocation(invocation) =
            parse::message(LogEvent { message, ..LogEvent::default() }, LIMITS.depth)
        {
            invocations.push(invocation);
        }
    }
    let mut times = Times::default();
    let mut pairs = Vec::new();
    // The first round warms caches and buffers and is not counted.
    for round in 0..=rounds {
        for (contender, times) in Contender::ALL.into_iter().zip(&mut times) {
            let time = run(contender, &corpus, &prepared, &invocations, &mut subject);
            if round > 0 {
                times.push(time);
            }
        }
        if round > 0 {
            pairs.push([threads(&corpus, 1), threads(&corpus, 2)]);
        }
    }
    report::table(&corpus, &times);
    report::threads(&pairs);
}

/// Runs one contender over the whole corpus and gives the processor time that it took.
fn run(
    contender: Contender,
    corpus: &Corpus,
    prepared: &Prepared,
    invocations: &[Box<Invocation<'_>>],
    subject: &mut Subject,
) -> Duration {
    let now = Timestamp::now();
    let mut buffer = vec![0; corpus.largest_bytes + 1];
    let data = || corpus.records.iter().map(|record| record.data.as_ref());
    match contender {
        Contender::Floor => {
            let mut floor = libdeflater::Decompressor::new();
            clock::processor_time(|| {
                data().for_each(|data| keep(corpus::inflate(&mut floor, data, &mut buffer)));
            })
        }
        Contender::Flate2 => clock::processor_time(|| data().for_each(|data| keep(flate2(data, &mut buffer)))),
        Contender::Decode => {
            let mut inflater = Inflater::default();
            clock::processor_time(|| {
                data().for_each(|data| keep(&inflater.inflate(data, LIMITS.inflated_bytes, &mut buffer).length));
            })
        }
        Contender::ExtractParse => {
            let mut tally = Tally::default();
            let time = clock::processor_time(|| {
                for envelope in &prepared.envelopes {
                    subject.line.visit(envelope, now, &mut Nothing, &mut tally);
                }
            });
            assert_eq!(tally.invocations, corpus.invocations as u64);
            time
        }
        Contender::Parse => clock::processor_time(|| {
            for message in &prepared.messages {
                keep(&parse::message(LogEvent { message, ..LogEvent::default() }, LIMITS.depth));
            }
        }),
        Contender::Format => {
            let origin = Origin::File { path: "corpus".into(), offset: 0 };
            let context = Context {
                origin: &origin,
                parse_time: now,
                source_id: None,
                source_label: None,
                unmapped: true,
                prices: &Prices::default(),
            };
            clock::processor_time(|| {
                for invocation in invocations {
                    buffer.clear();
                    Format::Panther.encode(&Event::new(invocation), &context, &mut buffer);
                    keep(&buffer);
                }
            })
        }
        Contender::View => clock::processor_time(|| {
            for invocation in invocations {
                let view = View::of(invocation);
                keep(view.request());
                keep(view.answer());
                keep(&*view.prompt_text().decode());
                keep(&*view.answer_text().decode());
                keep(&(view.usage(), view.stop_reason(), view.guardrail()));
            }
        }),
        Contender::Redact => {
            let redactor =
                Redactor::new(Bodies::Keep, &Detector::ALL, std::iter::empty()).expect("there are no regexes");
            clock::processor_time(|| {
                invocations.iter().for_each(|invocation| redactor.redact(&Event::new(invocation), |event| keep(event)));
            })
        }
        Contender::Line => clock::processor_time(|| {
            corpus.records.iter().for_each(|record| keep(subject.process(record, now)));
        }),
        Contender::Metered | Contender::Detection => {
            let mut subject = if contender == Contender::Metered { Subject::metered() } else { Subject::detecting() };
            clock::processor_time(|| corpus.records.iter().for_each(|record| keep(subject.process(record, now))))
        }
        Contender::Value => clock::processor_time(|| {
            for data in data() {
                buffer.clear();
                keep(&value::process(data, "corpus", now, &mut buffer));
            }
        }),
    }
}

/// Tells the compiler that a result is used.
fn keep<T: ?Sized>(result: &T) {
    std::hint::black_box(result);
}

fn flate2<'a>(data: &[u8], buffer: &'a mut [u8]) -> &'a [u8] {
    use std::io::Read as _;
    let mut decoder = flate2::bufread::MultiGzDecoder::new(data);
    let mut length = 0;
    loop {
        match decoder.read(&mut buffer[length..]).expect("the corpus is gzip") {
            0 => return &buffer[..length],
            read => length += read,
        }
    }
}

/// What it took some threads to take the whole corpus through a line each.
pub(crate) struct Threads {
    /// By the clock on the wall.
    pub(crate) wall: Duration,
    /// Processor time of all threads.
    pub(crate) processor: Duration,
}

/// Takes the corpus through the line with `count` threads.
fn threads(corpus: &Corpus, count: usize) -> Threads {
    let next = AtomicUsize::new(0);
    let now = Timestamp::now();
    let start = Instant::now();
    let processor = std::thread::scope(|scope| {
        let worker = || {
            let mut subject = Subject::new();
            clock::processor_time(|| {
                while let Some(record) = corpus.records.get(next.fetch_add(1, Ordering::Relaxed)) {
                    keep(subject.process(record, now));
                }
            })
        };
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker panicked")).sum()
    });
    Threads { wall: start.elapsed(), processor }
}

/// Prepares what the stages start from.
fn prepare(corpus: &Corpus) -> Prepared {
    let mut floor = libdeflater::Decompressor::new();
    let mut buffer = vec![0; corpus.largest_bytes + 1];
    let mut prepared = Prepared { envelopes: Vec::new(), messages: Vec::new() };
    for record in &corpus.records {
        let json = corpus::inflate(&mut floor, &record.data, &mut buffer);
        prepared.envelopes.push(Record::new(Bytes::copy_from_slice(json), record.origin.clone()));
    }
    let (mut line, mut tally) = (Subject::new().line, Tally::default());
    for envelope in &prepared.envelopes {
        let mut messages = Messages(&mut prepared.messages);
        line.visit(envelope, Timestamp::UNIX_EPOCH, &mut messages, &mut tally);
    }
    prepared
}

/// Takes invocations and does nothing with them.
struct Nothing;

impl Visit for Nothing {
    fn invocation(&mut self, invocation: &Invocation<'_>, _: &Context<'_>) -> Option<Skip> {
        keep(invocation);
        None
    }
    fn reject(&mut self, _: Fault, _: &[u8], _: Option<&LogEvent<'_>>, _: &Origin) {}
    fn skip(&mut self, _: Skip, _: u64) {}
}

/// Copies the messages of invocations.
struct Messages<'a>(&'a mut Vec<String>);

impl Visit for Messages<'_> {
    fn invocation(&mut self, invocation: &Invocation<'_>, _: &Context<'_>) -> Option<Skip> {
        self.0.push(invocation.event.message.to_owned());
        None
    }
    fn reject(&mut self, _: Fault, _: &[u8], _: Option<&LogEvent<'_>>, _: &Origin) {}
    fn skip(&mut self, _: Skip, _: u64) {}
}
