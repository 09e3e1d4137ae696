use serde_json::{Map, Value, json};

use super::*;
use crate::body::guardrail::{Assessment, Guardrail, Policy, Side};
use crate::body::{Parameters, Text};
use crate::enrich::{Marks, Redacted};
use crate::format::Format;
use crate::format::samples::{SAMPLES, cost, each_line, line, without_prices};

/// What is wrong with a row, by the table of columns.
fn faults(row: &Map<String, Value>) -> Vec<String> {
    let mut faults = Vec::new();
    for column in COLUMNS.iter().filter(|column| column.required && !row.contains_key(column.name)) {
        faults.push(format!("{} is missing", column.name));
    }
    for (name, value) in row {
        let Some(column) = COLUMNS.iter().find(|column| column.name == name) else {
            faults.push(format!("{name} is no column"));
            continue;
        };
        let is_time = |text: &str, length: usize| text.len() == length && text.as_bytes()[4] == b'-';
        let fits = match (column.kind, value) {
            (Kind::Text, Value::String(_)) => true,
            (Kind::Integer, Value::Number(number)) => number.is_i64(),
            (Kind::Float, Value::Number(number)) => number.is_f64(),
            (Kind::Boolean, Value::Bool(_)) => true,
            (Kind::Timestamp, Value::String(text)) => is_time(text, 24) && text.ends_with('Z'),
            (Kind::Date, Value::String(text)) => is_time(text, 10),
            (Kind::Json, Value::String(text)) => serde_json::from_str::<Value>(text)
                .is_ok_and(|json| json.as_array().is_some_and(|list| !list.is_empty()) || json.is_object()),
            _ => false,
        };
        if !fits {
            faults.push(format!("{name} is no {:?}: {value}", column.kind));
        }
    }
    faults
}

#[test]
fn every_line_has_only_columns() {
    each_line(Format::Flat, |line| assert_eq!(faults(line.as_object().unwrap()), [""; 0], "{line:#}"));
}

#[test]
fn the_validator_finds_faults() {
    let check = |change: fn(&mut Value), expected: &str| {
        let mut line = line(Format::Flat, SAMPLES[0].record);
        change(&mut line);
        assert_eq!(faults(line.as_object().unwrap()), [expected]);
    };
    check(|line| line["x"] = json!(1), "x is no column");
    check(|line| line["input_tokens"] = json!(1.0), "input_tokens is no Integer: 1.0");
    check(|line| line["tools_called"] = json!("x"), "tools_called is no Json: \"x\"");
    check(|line| drop(line.as_object_mut().unwrap().remove("event_id")), "event_id is missing");
    check(|line| line["operation"] = Value::Null, "operation is no Text: null");
}

#[test]
fn lines() {
    for sample in &SAMPLES {
        let mut line = line(Format::Flat, sample.record);
        without_prices(line.as_object_mut().unwrap());
        let expected: Value = serde_json::from_str(sample.flat).unwrap();
        assert_eq!(line, expected, "{}: {line:#}", sample.name);
    }
}

/// The columns that `fill` writes.
fn columns(fill: impl FnOnce(&mut Row<'_, '_>)) -> Value {
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out, false);
    fill(&mut Row::flat(&mut object));
    object.end();
    let row: Value = serde_json::from_slice(&out).unwrap();
    let mut faults = faults(row.as_object().unwrap());
    faults.retain(|fault| !fault.ends_with("is missing"));
    assert_eq!(faults, [""; 0], "{row:#}");
    row
}

#[test]
fn costs() {
    let expected = json!({
        "cost_usd": 1.500503, "cost_input_usd": 0.000001, "cost_output_usd": 0.000002, "cost_cache_read_usd": 0.0,
        "cost_cache_write_usd": 0.0005, "cost_guardrail_usd": 1.5,
        "price_key": "anthropic.claude-3-haiku-20240307-v1:0", "price_date": "2026-11-01", "price_basis": "exact"
    });
    assert_eq!(columns(|row| row.cost(Some(&cost()))), expected);
    assert_eq!(columns(|row| row.cost(None)), json!({}));
}

#[test]
fn guardrails() {
    let text = |text: &'static str| Some(Text::of_json(text));
    let found = |policy, name, action, detected| Assessment {
        side: Side::Output,
        policy,
        name,
        kind: text("EMAIL"),
        confidence: None,
        strength: None,
        action,
        detected,
        matched: text("a secret"),
        score: None,
        threshold: None,
    };
    let guardrail = Guardrail {
        intervened: true,
        action: text("INTERVENED"),
        id: text("gr-1"),
        version: text("3"),
        assessments: vec![
            found(Policy::Word, text(r#"\"w\""#), text("BLOCKED"), None),
            found(Policy::Topic, None, text("NONE"), None),
            found(Policy::Content, None, text("NONE"), Some(true)),
            found(Policy::Word, None, text("ANONYMIZED"), Some(true)),
            found(Policy::SensitiveInformation, None, text("BLOCKED"), Some(false)),
        ],
        ..Guardrail::default()
    };
    let findings = [
        r#"[{"side":"output","policy":"word","name":"\"w\"","type":"EMAIL","action":"BLOCKED"},"#,
        r#"{"side":"output","policy":"content","type":"EMAIL","action":"NONE"},"#,
        r#"{"side":"output","policy":"word","type":"EMAIL","action":"ANONYMIZED"}]"#,
    ];
    let expected = json!({
        "guardrail_intervened": true, "guardrail_action": "INTERVENED", "guardrail_id": "gr-1", "guardrail_version": "3",
        "guardrail_policies": r#"["word","content"]"#,
        "guardrail_findings": findings.concat(),
    });
    assert_eq!(columns(|row| row.guardrail(true, Some(&guardrail))), expected);
    assert_eq!(
        columns(|row| row.guardrail(false, Some(&Guardrail::default()))),
        json!({ "guardrail_intervened": false })
    );
    assert_eq!(columns(|row| row.guardrail(true, None)), json!({ "guardrail_intervened": true }));
    assert_eq!(columns(|row| row.guardrail(false, None)), json!({}));
}

#[test]
fn parameters() {
    let parameters = Parameters {
        max_tokens: Some(5),
        temperature: Some("1"),
        top_p: Some("0.98"),
        top_k: Some(-1),
        ..Parameters::default()
    };
    let expected = json!({ "max_tokens": 5, "temperature": 1.0, "top_p": 0.98, "top_k": -1 });
    assert_eq!(columns(|row| row.parameters(&parameters)), expected);
    let parameters = Parameters { temperature: Some("1e999"), top_p: Some("x"), ..Parameters::default() };
    assert_eq!(columns(|row| row.parameters(&parameters)), json!({}));
}

#[test]
fn marks() {
    let redacted = Redacted { masked: [("email".to_owned(), 2)].into(), bodies: Some("hashed") };
    let marks = Marks {
        input_body: Some("fetched"),
        output_body: Some("missing"),
        redacted: Some(redacted),
        findings: crate::enrich::found(),
    };
    let expected = json!({
        "input_body_state": "fetched", "output_body_state": "missing",
        "redacted": r#"{"bodies":"hashed","masked":{"email":2}}"#,
        "findings": r#"[{"rule":"tap.refused","severity":"low"},{"rule":"acme.\"x\"","severity":"high"}]"#
    });
    assert_eq!(columns(|row| row.marks(&marks)), expected);
    assert_eq!(columns(|row| row.marks(&Marks::default())), json!({}));
}

#[test]
fn the_schema_has_each_column_once() {
    let schema = json_schema();
    assert_eq!(schema["properties"].as_object().unwrap().len(), COLUMNS.len());
    assert_eq!(
        schema["properties"]["latency_ms"],
        json!({
            "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX,
            "description": "Milliseconds to the end of the answer.", "x-sql": "BIGINT", "x-parquet": "INT64"
        })
    );
    let required = ["event_id", "event_time", "event_date", "account_id", "model_id", "model", "source", "parse_time"];
    assert_eq!(schema["required"], json!(required));
}
