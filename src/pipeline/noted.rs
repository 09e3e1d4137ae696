//! What is noted about invocations on their way, beside what becomes of them.

use std::collections::BTreeMap;

use crate::enrich::Event;

/// What was noted about invocations beside their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// Invocations that were to be priced and have no price, by model; of many models the further ones together.
    pub unpriced: BTreeMap<String, u64>,
    /// Expressions that could not be evaluated for an event, which was kept.
    pub unevaluated: u64,
    /// Secrets that were masked, by kind, over all sinks.
    pub masked: BTreeMap<String, u64>,
    /// Bodies in S3 that were to be fetched, by what became of them.
    pub bodies: BTreeMap<&'static str, u64>,
}

/// Models that are told apart among those without a price: more than an account uses, few enough for a metric's label.
const MAX_UNPRICED: usize = 100;

/// Where the models beyond those are counted.
const OTHER_MODELS: &str = "(others)";

impl Noted {
    /// Adds what was noted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.unevaluated += other.unevaluated;
        other.unpriced.iter().for_each(|(model, count)| self.unpriced(model, *count));
        for (kind, count) in &other.masked {
            *self.masked.entry(kind.clone()).or_default() += count;
        }
        for (state, count) in &other.bodies {
            *self.bodies.entry(state).or_default() += count;
        }
    }

    fn unpriced(&mut self, model: &str, count: u64) {
        let known = self.unpriced.contains_key(model) || self.unpriced.len() < MAX_UNPRICED;
        *self.unpriced.entry(if known { model } else { OTHER_MODELS }.to_owned()).or_default() += count;
    }

    /// Notes what a redaction did.
    pub(super) fn redacted(&mut self, event: &Event<'_>) {
        for (kind, count) in event.marks.redacted.iter().flat_map(|redacted| &redacted.masked) {
            *self.masked.entry(kind.clone()).or_default() += count;
        }
    }

    /// Notes what an event shows once all formats have it.
    pub(super) fn event(&mut self, event: &Event<'_>) {
        if event.is_unpriced() {
            self.unpriced(&event.invocation.model_id.decode(), 1);
        }
    }

    pub(super) fn members(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut members = serde_json::Map::new();
        let mut add = |name: &str, value: serde_json::Value, any: bool| {
            if any {
                members.insert(name.to_owned(), value);
            }
        };
        add("unpriced", serde_json::json!(self.unpriced), !self.unpriced.is_empty());
        add("unevaluated", serde_json::json!(self.unevaluated), self.unevaluated > 0);
        add("masked", serde_json::json!(self.masked), !self.masked.is_empty());
        add("bodies", serde_json::json!(self.bodies), !self.bodies.is_empty());
        members
    }
}
