//! The report: tables for people, with the targets beside the ratios that they are about.

use std::time::Duration;

use crate::clock::{median, median_ratio};
use crate::corpus::{Corpus, inflate};
use crate::print::{line, target};
use crate::{Contender, Threads, Times};

/// Prints what the corpus is like.
pub(crate) fn corpus(corpus: &Corpus) {
    let mut floor = libdeflater::Decompressor::new();
    let mut buffer = vec![0; corpus.largest_bytes + 1];
    let (mut escapes, mut messages) = (0, Vec::new());
    for record in &corpus.records {
        let json = inflate(&mut floor, &record.data, &mut buffer);
        let mut bytes = json.iter();
        while let Some(byte) = bytes.next() {
            if *byte == b'\\' {
                escapes += 1;
                bytes.next();
            }
        }
        let envelope: serde_json::Value = serde_json::from_slice(json).expect("the corpus is JSON");
        let events = envelope["logEvents"].as_array().into_iter().flatten();
        messages.extend(events.filter_map(|event| Some(event["message"].as_str()?.len())).filter(|bytes| *bytes > 100));
    }
    messages.sort_unstable();
    let last = messages.len().saturating_sub(1);
    let at = |per_cent: usize| messages.get(last * per_cent / 100).map_or(0.0, |bytes| *bytes as f64 / 1e3);
    let (inflated, compressed) = (corpus.inflated_bytes as f64, corpus.compressed_bytes() as f64);
    line(format_args!(
        "corpus: {} records, {} invocations, {:.0} MB inflated, gzip ratio {:.2}, an escape every {:.1} bytes",
        corpus.records.len(),
        corpus.invocations,
        inflated / 1e6,
        inflated / compressed,
        inflated / f64::from(escapes),
    ));
    line(format_args!("messages: median {:.1} KB, p95 {:.1} KB, largest {:.0} KB", at(50), at(95), at(100)));
}

/// Prints the table of contenders and how the targets were met.
pub(crate) fn table(corpus: &Corpus, times: &Times) {
    let of = |contender: Contender| &times[contender as usize];
    line(format_args!("\n{:<44} {:>8} {:>10} {:>10}", "one core", "MB/s", "events/s", "x inflate"));
    for contender in Contender::ALL {
        let seconds = median(of(contender).iter().map(Duration::as_secs_f64).collect());
        row(contender.title(), corpus, seconds, median_ratio(of(contender), of(Contender::Floor)));
    }
    let extract =
        of(Contender::ExtractParse).iter().zip(of(Contender::Parse)).map(|(both, parse)| both.saturating_sub(*parse));
    let extract: Vec<Duration> = extract.collect();
    let seconds = median(extract.iter().map(Duration::as_secs_f64).collect());
    row("  stage: extract (the difference)", corpus, seconds, median_ratio(&extract, of(Contender::Floor)));

    line("");
    let to_floor = median_ratio(of(Contender::Line), of(Contender::Floor));
    target("time of the line / inflate alone", to_floor, "at most 1.8, aim 1.5", to_floor <= 1.8);
    let view = median_ratio(of(Contender::View), of(Contender::Line));
    target("time of the whole view / the line", view, "at most 1", view <= 1.0);
    let detection = median_ratio(of(Contender::Line), of(Contender::Detection));
    target("speed of the line with all rules / the line", detection, "at least 0.6", detection >= 0.6);
    let to_value = median_ratio(of(Contender::Value), of(Contender::Line));
    target("time of the Value program / the line", to_value, "at least 4", to_value >= 4.0);
}

/// Prints what a second thread brings, from rounds of one thread and of two.
pub(crate) fn threads(rounds: &[[Threads; 2]]) {
    let wall = rounds.iter().map(|[one, two]| one.wall.as_secs_f64() / two.wall.as_secs_f64()).collect();
    let processor = rounds.iter().map(|[one, two]| 2.0 * one.processor.as_secs_f64() / two.processor.as_secs_f64());
    let processor = processor.collect();
    let (wall, processor) = (median(wall), median(processor));
    target("one thread / two threads, by the wall clock", wall, "at least 1.8", wall >= 1.8);
    line(format_args!(
        "{:<44} {processor:>8.2}   what two idle cores would give; the wall clock needs them idle",
        "one thread / two threads, by processor time"
    ));
}

fn row(title: &str, corpus: &Corpus, seconds: f64, to_floor: f64) {
    let rate = corpus.inflated_bytes as f64 / 1e6 / seconds;
    let events = corpus.invocations as f64 / seconds;
    line(format_args!("{title:<44} {rate:>8.0} {events:>10.0} {to_floor:>10.2}"));
}

impl Contender {
    fn title(self) -> &'static str {
        match self {
            Self::Floor => "inflate alone: libdeflate, buffer reused",
            Self::Flate2 => "inflate alone: flate2 (zlib-rs), reused",
            Self::Decode => "  stage: decode (inflate, guarded)",
            Self::ExtractParse => "  stages: extract and parse",
            Self::Parse => "  stage: parse",
            Self::Format => "  stage: format",
            Self::View => "the whole view of every event",
            Self::Redact => "redaction of every event, all detectors",
            Self::Line => "the line: gzip to panther NDJSON",
            Self::Metered => "the line, metered for /metrics",
            Self::Detection => "the line, all managed rules on",
            Self::Value => "the serde_json::Value program",
        }
    }
}
