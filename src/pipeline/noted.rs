//! What is noted about invocations on their way, beside what becomes of them.

use std::collections::BTreeMap;

use crate::enrich::Event;
use crate::enrich::cost::{Prices, Usd};
use crate::invocation::JsonStr;

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
    /// What was used, by model, where it is metered; of many models the further ones together.
    pub models: BTreeMap<String, Used>,
}

/// What was used of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// The calls, by operation and error.
    pub calls: BTreeMap<(&'static str, &'static str), u64>,
    /// Tokens of prompts, without cached ones.
    pub input: u64,
    /// Tokens of answers.
    pub output: u64,
    /// Tokens read from the prompt cache.
    pub cache_read: u64,
    /// Tokens written to the prompt cache.
    pub cache_write: u64,
    /// What they cost, as far as it is known.
    pub cost: Usd,
}

/// Models that are told apart: more than an account uses, few enough for a metric's label.
pub(crate) const MAX_MODELS: usize = 100;

/// Where the models beyond those are counted, and operations and errors that are not known.
pub(crate) const OTHERS: &str = "(others)";

/// The operations that are told apart. Source: the `operation` of records that were seen, and the API reference of Amazon
/// Bedrock Runtime.
const OPERATIONS: [&str; 8] = [
    "ChatCompletions",
    "Converse",
    "ConverseStream",
    "InvokeModel",
    "InvokeModelWithBidirectionalStream",
    "InvokeModelWithResponseStream",
    "Responses",
    "StartAsyncInvoke",
];

/// The errors that are told apart. Source: the API reference of Amazon Bedrock Runtime.
const ERRORS: [&str; 12] = [
    "AccessDeniedException",
    "ConflictException",
    "InternalServerException",
    "ModelErrorException",
    "ModelNotReadyException",
    "ModelStreamErrorException",
    "ModelTimeoutException",
    "ResourceNotFoundException",
    "ServiceQuotaExceededException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "ValidationException",
];

/// The name in the set that a text is, none for an empty one.
fn known(names: &[&'static str], text: Option<JsonStr<'_>>) -> &'static str {
    let text = text.map(JsonStr::decode).unwrap_or_default();
    if text.is_empty() {
        return "";
    }
    names.iter().find(|name| **name == text).copied().unwrap_or(OTHERS)
}

impl Used {
    fn add(&mut self, other: &Self) {
        for (call, count) in &other.calls {
            *self.calls.entry(*call).or_default() += count;
        }
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cache_read = self.cache_read.saturating_add(other.cache_read);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.cost = self.cost.plus(other.cost);
    }

    fn note(&mut self, event: &Event<'_>, prices: &Prices) {
        let invocation = event.invocation;
        let call = (known(&OPERATIONS, invocation.operation), known(&ERRORS, invocation.error_code));
        *self.calls.entry(call).or_default() += 1;
        let add = |sum: &mut u64, tokens: Option<i64>| {
            *sum = sum.saturating_add(tokens.and_then(|tokens| u64::try_from(tokens).ok()).unwrap_or_default());
        };
        let usage = event.view.charged();
        add(&mut self.input, usage.input);
        add(&mut self.output, usage.output);
        add(&mut self.cache_read, usage.cache_read);
        add(&mut self.cache_write, usage.cache_write);
        if let Some(cost) = event.cost(prices) {
            self.cost = self.cost.plus(cost.total);
        }
    }
}

/// The entry of a model, or that of all others where there are too many.
fn entry<'m, T: Default>(models: &'m mut BTreeMap<String, T>, model: &str) -> &'m mut T {
    let known = models.contains_key(model) || models.len() < MAX_MODELS;
    models.entry(if known { model } else { OTHERS }.to_owned()).or_default()
}

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
        other.models.iter().for_each(|(model, used)| entry(&mut self.models, model).add(used));
    }

    fn unpriced(&mut self, model: &str, count: u64) {
        *entry(&mut self.unpriced, model) += count;
    }

    /// Notes what an event used.
    pub(super) fn metered(&mut self, event: &Event<'_>, prices: &Prices) {
        let model = event.invocation.model_id.decode();
        // Of an ARN the last part is the model's or the profile's id; the rest is the account's and the Region's.
        let id = if model.starts_with("arn:") { model.rsplit('/').next() } else { None };
        entry(&mut self.models, id.unwrap_or(&model)).note(event, prices);
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
