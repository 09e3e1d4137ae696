//! What the fuzz targets demand of any bytes. The fuzzer calls it with bytes that it makes up, and the project's tests
//! with the seeds of the corpus, so that the two never drift apart. A broken demand is a panic.

use bedrock_tap::format::Format;
use bedrock_tap::json::{Cursor, MAX_DEPTH};
use bedrock_tap::pipeline::{Limits, Line, Parcel, Settings};
use bedrock_tap::record::{Origin, Record};
use bedrock_tap::sink::s3::parquet;
use bytes::Bytes;
use jiff::Timestamp;
use serde::de::IgnoredAny;

/// Bytes that an input may inflate to: a fuzzer wants many small inputs, and reaches the limit with a small bomb.
const INFLATED_BYTES: usize = 1 << 20;

/// The whole line takes any record: every log event is accounted for exactly once, every output has one line for each
/// invocation, lines of the JSON formats are JSON, those of the flat one make a Parquet file, and the buffers that are reused leave nothing behind.
///
/// # Panics
/// Where one of these does not hold.
pub fn decode(bytes: &[u8]) {
    let limits = Limits { inflated_bytes: INFLATED_BYTES, ..Limits::default() };
    let formats = [
        Format::Panther,
        Format::Raw,
        Format::Text,
        Format::Ocsf,
        Format::Ecs,
        Format::Otel,
        Format::Flat,
        Format::View,
    ];
    let outputs = formats.map(Into::into).into();
    let mut line = Line::new(Settings { limits, outputs, ..Settings::default() });
    let origin = Origin::File { path: "input".into(), offset: 0 };
    let record = Record::new(Bytes::copy_from_slice(bytes), origin);

    let mut process = || {
        let mut parcel = Parcel::default();
        line.process(&record, Timestamp::UNIX_EPOCH, &mut parcel);
        parcel
    };
    let first = process();
    let tally = &first.tally;
    let skipped: u64 = tally.skipped.values().sum();
    let rejected: u64 = tally.rejects.values().sum();
    assert_eq!(tally.invocations + skipped + rejected, tally.log_events, "the sum of what became of log events");
    assert_eq!(first.rejects.len() as u64, rejected, "rejects kept and counted");
    assert_eq!(first.outputs.len(), formats.len(), "outputs");
    for lines in &first.outputs {
        assert_eq!(lines.len() as u64, tally.invocations, "lines of an output");
    }
    for (format, lines) in formats.iter().zip(&first.outputs) {
        for line in lines.iter() {
            assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1, "a line has one newline, at its end");
            let is_json = *format == Format::Text || serde_json::from_slice::<IgnoredAny>(line).is_ok();
            assert!(is_json, "a line of the format {} is JSON", format.as_str());
        }
        if *format == Format::Flat {
            assert!(parquet::encode(lines.iter()).is_ok(), "lines of the format flat are rows");
        }
    }

    let second = process();
    assert_eq!(second.tally, first.tally, "the same record is counted the same again");
    for (again, lines) in second.outputs.iter().zip(&first.outputs) {
        assert_eq!(again.bytes(), lines.bytes(), "the same record is written the same again");
    }
}

/// The cursor takes as JSON exactly what serde_json takes, up to the nesting that it is asked for; beyond that it says
/// so, and it stops at bytes that are not UTF-8 without reading past them.
///
/// # Panics
/// Where the two differ.
pub fn json(bytes: &[u8]) {
    let mut cursor = Cursor::new(bytes, 0);
    let passed = cursor.value(MAX_DEPTH);
    if let Ok(span) = &passed {
        assert!(span.start < span.end && span.end <= bytes.len(), "a value has a span within its text");
        assert_eq!(span.end, cursor.pos(), "the cursor stands after the value");
    }
    let whole = passed.is_ok() && cursor.peek().is_none();
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // Neither builds a value, so numbers of any size and lone surrogates are only held to the grammar, in both.
    let valid = serde_json::from_str::<IgnoredAny>(text).is_ok();
    if valid && nesting(text) > MAX_DEPTH {
        assert!(passed.is_err_and(|error| error.too_deep), "what is nested too deep is told as that");
    } else {
        assert_eq!(whole, valid, "the cursor and serde_json agree");
    }
}

/// The most containers in one another, of text that is JSON.
fn nesting(text: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    let mut bytes = text.bytes();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => drop(bytes.next()),
            b'{' | b'[' if !in_string => {
                depth += 1;
                most = most.max(depth);
            }
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
    }
    most
}
