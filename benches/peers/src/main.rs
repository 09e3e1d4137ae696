//! The line against Vector's own functions: one program in its language that does the same job, record by record, on
//! the same corpus, in the same rounds, on one core.

use std::collections::BTreeMap;
use std::time::Duration;

use bedrock_tap::format::{Format, Lines};
use bedrock_tap::pipeline::{Limits, Line, Parcel, Settings};
use bedrock_tap::record::Record;
use jiff::Timestamp;
use serde_json::Value as Json;
use vrl::compiler::runtime::Runtime;
use vrl::compiler::state::RuntimeState;
use vrl::compiler::{Program, TargetValue, TimeZone};
use vrl::value::{ObjectMap, Secrets, Value};

#[path = "../../line/clock.rs"]
mod clock;
#[path = "../../line/corpus.rs"]
mod corpus;

use clock::{median, median_ratio};
use corpus::Corpus;

/// Vector's side of the race.
const PROGRAM: &str = include_str!("panther.vrl");
const ROUNDS: usize = 5;

/// Vector's side: a compiled program and what it needs to run.
struct Vector {
    program: Program,
    runtime: Runtime,
}

impl Vector {
    fn new() -> Self {
        let compiled = vrl::compiler::compile(PROGRAM, &vrl::stdlib::all());
        let compiled = compiled.unwrap_or_else(|errors| {
            panic!("the program does not compile:\n{}", vrl::diagnostic::Formatter::new(PROGRAM, errors))
        });
        Self { program: compiled.program, runtime: Runtime::new(RuntimeState::default()) }
    }

    fn process(&mut self, record: &Record) -> Value {
        let message = Value::Bytes(record.data.clone());
        let mut target = TargetValue {
            value: Value::Object(ObjectMap::from([("message".into(), message)])),
            metadata: Value::Object(BTreeMap::new()),
            secrets: Secrets::default(),
        };
        let lines = self.runtime.resolve(&mut target, &self.program, &TimeZone::default());
        self.runtime.clear();
        lines.unwrap_or_else(|error| panic!("the program failed: {error}"))
    }
}

/// Our side: the line, its output buffer reused.
struct Ours {
    line: Line,
    parcel: Parcel,
}

impl Ours {
    fn new() -> Self {
        let settings = Settings {
            limits: Limits { inflated_bytes: 64 << 20, events: 100_000, depth: 128 },
            outputs: vec![Format::Panther.into()],
            ..Settings::default()
        };
        Self { line: Line::new(settings), parcel: Parcel::default() }
    }

    fn process(&mut self, record: &Record, now: Timestamp) -> &[u8] {
        self.parcel.outputs.iter_mut().for_each(Lines::clear);
        self.line.process(record, now, &mut self.parcel);
        self.parcel.outputs.first().map_or(&[], Lines::bytes)
    }
}

fn main() {
    let corpus = Corpus::new();
    println!(
        "corpus: {} records, {} invocations, {:.0} MB inflated, gzip ratio {:.2}",
        corpus::RECORDS,
        corpus.invocations,
        corpus.inflated_bytes as f64 / 1e6,
        corpus.inflated_bytes as f64 / corpus.compressed_bytes() as f64
    );
    let (mut ours, mut vector) = (Ours::new(), Vector::new());
    same_output(&corpus, &mut ours, &mut vector);

    let mut floor = libdeflater::Decompressor::new();
    let mut buffer = vec![0; corpus.largest_bytes + 1];
    let now = Timestamp::now();
    let mut times: [Vec<Duration>; 3] = Default::default();
    // The first round warms caches and buffers and is not counted.
    for round in 0..=ROUNDS {
        let inflating = clock::processor_time(|| {
            for record in &corpus.records {
                keep(corpus::inflate(&mut floor, &record.data, &mut buffer));
            }
        });
        let line = clock::processor_time(|| {
            corpus.records.iter().for_each(|record| keep(ours.process(record, now)));
        });
        let program = clock::processor_time(|| {
            corpus.records.iter().for_each(|record| keep(&vector.process(record)));
        });
        if round > 0 {
            times.iter_mut().zip([inflating, line, program]).for_each(|(times, time)| times.push(time));
        }
    }
    let [inflating, line, program] = &times;
    for (title, times) in [("inflate alone (libdeflate)", inflating), ("the line", line), ("the vrl program", program)]
    {
        let seconds = median(times.iter().map(Duration::as_secs_f64).collect());
        println!(
            "{title:<32} {:>6.0} MB/s {:>8.0} events/s {:>6.2} x inflate",
            corpus.inflated_bytes as f64 / 1e6 / seconds,
            corpus.invocations as f64 / seconds,
            median_ratio(times, inflating)
        );
    }
    let ratio = median_ratio(program, line);
    let verdict = if ratio >= 4.0 { "met" } else { "MISSED" };
    println!("time of the vrl program / the line: {ratio:.2} (at least 4: {verdict})");
}

/// Tells the compiler that a result is used.
fn keep<T: ?Sized>(result: &T) {
    std::hint::black_box(result);
}

/// Panics where the two sides say different things, but for the row id, which only ours derives, and times.
fn same_output(corpus: &Corpus, ours: &mut Ours, vector: &mut Vector) {
    let mut total = 0;
    for (index, record) in corpus.records.iter().enumerate() {
        let theirs = vector.process(record);
        let theirs = theirs.as_bytes().map(|bytes| bytes.to_vec()).unwrap_or_default();
        let parse = |lines: &[u8]| -> Vec<Json> {
            let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.map(|line| comparable(serde_json::from_slice(line).expect("both sides write JSON"))).collect()
        };
        let (ours, theirs) = (parse(ours.process(record, Timestamp::UNIX_EPOCH)), parse(&theirs));
        assert_eq!(ours.len(), theirs.len(), "record {index}: not as many lines");
        for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert!(ours == theirs, "record {index}, line {number}: the outputs differ");
        }
        total += ours.len();
    }
    assert_eq!(total, corpus.invocations, "every invocation is a line");
}

/// A line without what differs by design; numbers are rounded, since only one side reads and prints them.
fn comparable(mut line: Json) -> Json {
    if let Json::Object(line) = &mut line {
        for key in ["p_row_id", "p_parse_time"] {
            line.remove(key);
        }
    }
    round(&mut line);
    line
}

fn round(value: &mut Json) {
    match value {
        Json::Number(number) if number.is_f64() => {
            *value = Json::from(format!("{:.9}", number.as_f64().unwrap_or_default()));
        }
        Json::Array(values) => values.iter_mut().for_each(round),
        Json::Object(members) => members.values_mut().for_each(round),
        _ => {}
    }
}
