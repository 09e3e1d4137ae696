//! A trial: a rule run over records by itself, for its own tests.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Alert, Detector, Finding, LogType, Rule, Trail, state};
use crate::enrich::Event;
use crate::enrich::cost::Prices;
use crate::extract::LogEvent;
use crate::parse::{self, Parsed};
use crate::pipeline::Context;
use crate::record::Origin;

/// What a rule made of records.
#[derive(Debug, Default)]
pub struct Trial {
    /// The records that there were.
    pub events: usize,
    /// Its findings.
    pub findings: Vec<Finding>,
    /// In which record each finding is, from 1.
    pub matched: Vec<usize>,
    /// The alerts that they added up to, as they stand at the end.
    pub alerts: Vec<Alert>,
    /// Records for which it could not be evaluated, from 1.
    pub unevaluated: Vec<usize>,
}

/// Why a trial could not be held.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// What stands there is no JSON.
    #[error("the events are not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// What stands there is no record of the rule's log type.
    #[error("event {number} is no record of {log_type}: {reason}")]
    Record {
        /// Which, from 1.
        number: usize,
        /// The rule's.
        log_type: &'static str,
        /// What it is instead.
        reason: String,
    },
}

/// When the first record of a trial was, unless it says so itself; each further one is a second later.
const START: &str = "2026-01-15T10:00:00Z";

/// Nesting of records in tests.
const DEPTH: usize = crate::json::MAX_DEPTH;

/// Runs a rule over records: JSON objects behind one another, or in lists. What a record of its kind must have and does
/// not, it gets.
///
/// # Errors
/// What is no record.
pub fn run(rule: &Arc<Rule>, events: &str) -> Result<Trial, TrialError> {
    let detector = Detector::new(std::slice::from_ref(rule), state::Limits::default());
    let prices = Prices::default();
    let origin = Origin::File { path: "test".into(), offset: 0 };
    let now = Timestamp::now();
    let mut context = Context {
        origin: &origin,
        parse_time: now,
        source_id: None,
        source_label: None,
        unmapped: true,
        prices: &prices,
    };
    let mut trial = Trial::default();
    for (index, record) in records(events)?.into_iter().enumerate() {
        let no_record =
            |reason: String| TrialError::Record { number: index + 1, log_type: rule.log_type.as_str(), reason };
        let Value::Object(record) = record else { return Err(no_record("no JSON object".to_owned())) };
        let record = completed(record, rule.log_type, index).to_string();
        let unevaluated = detector.unevaluated();
        let findings = match rule.log_type {
            LogType::Invocation => {
                let event = LogEvent { message: &record, ..LogEvent::default() };
                match parse::message(event, DEPTH) {
                    Parsed::Invocation(invocation) => {
                        // Records may be of any time, and none is of the future.
                        context.parse_time = context.parse_time.max(invocation.event_time);
                        detector.observe(&Event::new(&invocation), &context)
                    }
                    Parsed::Skip(skip) => return Err(no_record(skip.as_str().to_owned())),
                    Parsed::Fault(fault) => return Err(no_record(fault.to_string())),
                }
            }
            LogType::CloudTrail => {
                let trail = Trail::read(&record).ok_or_else(|| no_record("no event".to_owned()))?;
                context.parse_time = context.parse_time.max(trail.time);
                detector.observe_trail(&trail, context.parse_time)
            }
        };
        trial.events += 1;
        trial.matched.extend(findings.iter().map(|_| index + 1));
        trial.findings.extend(findings);
        if detector.unevaluated() > unevaluated {
            trial.unevaluated.push(index + 1);
        }
    }
    trial.alerts = detector.state().take_due(context.parse_time);
    Ok(trial)
}

/// The records in a text.
fn records(events: &str) -> Result<Vec<Value>, serde_json::Error> {
    let mut records = Vec::new();
    for value in serde_json::Deserializer::from_str(events).into_iter() {
        match value? {
            Value::Array(list) => records.extend(list),
            record => records.push(record),
        }
    }
    Ok(records)
}

/// The records in a text, each with what it must have, for other tests.
#[cfg(test)]
pub(super) fn completed_records(events: &str, log_type: LogType) -> Vec<String> {
    let records = records(events).unwrap_or_default().into_iter().enumerate();
    let complete = records.filter_map(|(index, record)| match record {
        Value::Object(record) => Some(completed(record, log_type, index).to_string()),
        _ => None,
    });
    complete.collect()
}

/// The record with what it must have.
fn completed(mut record: Map<String, Value>, log_type: LogType, index: usize) -> Value {
    let start: Timestamp = START.parse().unwrap_or_default();
    let seconds = i64::try_from(index).unwrap_or_default();
    let time = start.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(start).to_string();
    let defaults = match log_type {
        LogType::Invocation => vec![
            ("schemaType", json!("ModelInvocationLog")),
            ("timestamp", json!(time)),
            ("accountId", json!("123456789012")),
            ("region", json!("us-east-1")),
            ("requestId", json!(format!("request-{}", index + 1))),
            ("modelId", json!("anthropic.claude-haiku-4-5-20251001-v1:0")),
            ("identity", json!({"arn": "arn:aws:sts::123456789012:assumed-role/app/session"})),
        ],
        LogType::CloudTrail => vec![
            ("eventTime", json!(time)),
            ("eventID", json!(format!("event-{}", index + 1))),
            ("eventSource", json!("bedrock.amazonaws.com")),
            ("awsRegion", json!("us-east-1")),
            ("recipientAccountId", json!("123456789012")),
        ],
    };
    for (name, value) in defaults {
        record.entry(name).or_insert(value);
    }
    Value::Object(record)
}
