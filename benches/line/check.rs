//! The check before the race: over the whole corpus the line and the straightforward program must say the same.

use jiff::Timestamp;
use serde_json::Value;

use crate::corpus::Corpus;
use crate::{Subject, value};

/// Panics at the first line that differs, with both sides' ids but not their text.
pub(crate) fn same_output(corpus: &Corpus, subject: &mut Subject) {
    let parse_time = Timestamp::UNIX_EPOCH;
    let mut plain = Vec::new();
    let mut total = 0;
    for (index, record) in corpus.records.iter().enumerate() {
        plain.clear();
        value::process(&record.data, "corpus", parse_time, &mut plain);
        let lines = subject.process(record, parse_time);
        let ours = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let theirs: Vec<&[u8]> = plain.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let mut count = 0;
        for (number, ours) in ours.enumerate() {
            let ours: Value = serde_json::from_slice(ours).expect("the line writes JSON");
            let theirs = theirs.get(number).map(|line| serde_json::from_slice(line).expect("serde_json writes JSON"));
            let theirs: Value = theirs.unwrap_or_default();
            if let Some(path) = difference(&ours, &theirs) {
                panic!("record {index}, line {number}: the outputs differ at {path}");
            }
            count += 1;
        }
        assert_eq!(count, theirs.len(), "record {index}: the line wrote fewer lines");
        total += count;
    }
    assert_eq!(total, corpus.invocations, "every invocation is a line");
}

/// Where two values differ; numbers may differ in their last digit, since only one side reads and prints them.
fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let missing = b.keys().find(|key| !a.contains_key(*key)).map(|key| format!("/{key} (missing)"));
            let differs = || {
                a.iter().find_map(|(key, value)| {
                    let inner = b.get(key).map_or_else(|| Some(" (added)".to_owned()), |b| difference(value, b));
                    inner.map(|inner| format!("/{key}{inner}"))
                })
            };
            missing.or_else(differs)
        }
        (Value::Array(a), Value::Array(b)) => {
            let length = (a.len() != b.len()).then(|| " (length)".to_owned());
            let pairs = a.iter().zip(b).enumerate();
            length.or_else(|| {
                pairs.into_iter().find_map(|(at, (a, b))| difference(a, b).map(|inner| format!("/{at}{inner}")))
            })
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64()?, b.as_f64()?);
            ((a - b).abs() > a.abs() * 1e-12).then(String::new)
        }
        (a, b) => (a != b).then(String::new),
    }
}
