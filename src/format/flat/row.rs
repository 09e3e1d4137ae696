//! A row being written: the columns of one invocation, group by group. What a standard's format has no field for stands
//! there under the same names.

use jiff::Timestamp;

use crate::body::guardrail::{Assessment, Guardrail};
use crate::body::{Media, MediaKind, Message, Parameters, Part, StopReason, Text, Usage, View, joined, moved_to};
use crate::enrich::cost::{Cost, Usd};
use crate::enrich::{Event, Marks};
use crate::format::names::{self, Identity};
use crate::format::object::{Array, Object};
use crate::invocation::{Invocation, JsonStr, RawJson, Section};
use crate::pipeline::Context;

/// A row being written.
pub(in crate::format) struct Row<'r, 'o> {
    object: &'r mut Object<'o>,
    /// Whether lists and objects stand as JSON and not as text that holds JSON.
    nested: bool,
}

impl<'r, 'o> Row<'r, 'o> {
    /// A flat row.
    pub(in crate::format) fn flat(object: &'r mut Object<'o>) -> Self {
        Self { object, nested: false }
    }

    /// Columns in an object that may hold others.
    pub(in crate::format) fn nested(object: &'r mut Object<'o>) -> Self {
        Self { object, nested: true }
    }

    /// Ids, time, operation and model.
    pub(super) fn call(&mut self, event: &Event<'_>) {
        let invocation = event.invocation;
        self.object.hex("event_id", &event.row_id());
        let time = rfc3339(invocation.event_time);
        self.object.text("event_time", &time);
        self.object.text("event_date", time.get(..10).unwrap_or_default());
        self.object.string("account_id", Some(invocation.account_id));
        self.string("region", invocation.region);
        self.string("inference_region", invocation.inference_region);
        self.string("request_id", invocation.request_id);
        self.string("operation", invocation.operation);
        self.object.boolean("streamed", names::streamed(invocation, &event.view));
        self.object.string("model_id", Some(invocation.model_id));
        names::with_model(invocation, &event.view, |model| {
            self.object.text("model", model.name);
            self.text("model_version", model.version);
            self.text("provider", model.provider);
        });
    }

    /// Who called.
    pub(super) fn identity(&mut self, invocation: &Invocation<'_>) {
        let Some(arn) = names::arn(invocation) else { return };
        self.string("identity_arn", Some(arn));
        let arn = arn.decode();
        let Some(identity) = Identity::of(&arn) else { return };
        self.object.text("identity_type", identity.kind.as_str());
        self.text("identity_name", Some(identity.name));
        self.text("session_name", identity.session);
    }

    /// The tokens that every standard counts.
    pub(super) fn usage(&mut self, usage: &Usage) {
        self.object.integer("input_tokens", usage.input);
        self.object.integer("output_tokens", usage.output);
        self.object.integer("total_tokens", usage.total);
    }

    /// The other tokens.
    pub(in crate::format) fn other_usage(&mut self, usage: &Usage) {
        self.object.integer("cache_read_tokens", usage.cache_read);
        self.object.integer("cache_write_tokens", usage.cache_write);
        self.object.integer("reasoning_tokens", usage.reasoning);
        self.object.boolean("total_is_off", usage.total.map(|_| usage.total_is_off));
    }

    /// What the call cost.
    pub(in crate::format) fn cost(&mut self, cost: Option<&Cost>) {
        let Some(cost) = cost else { return };
        let mut usd = |key, amount: Usd| self.object.float(key, Some(amount.as_f64()));
        usd("cost_usd", cost.total);
        usd("cost_input_usd", cost.input);
        usd("cost_output_usd", cost.output);
        usd("cost_cache_read_usd", cost.cache_read);
        usd("cost_cache_write_usd", cost.cache_write);
        usd("cost_guardrail_usd", cost.guardrail);
        self.text("price_key", Some(&cost.price_key));
        self.text("price_date", cost.price_date.as_deref());
        self.text("price_basis", Some(cost.basis.as_str()));
    }

    /// Why the call failed, and how long it took.
    pub(super) fn outcome(&mut self, event: &Event<'_>) {
        self.string("error_code", event.invocation.error_code);
        self.object.integer("latency_ms", event.view.answer().latency_ms);
    }

    /// How the answer ended, and when it began.
    pub(in crate::format) fn ending(&mut self, view: &View<'_>) {
        let answer = view.answer();
        self.text("stop_reason", view.stop_reason().map(StopReason::as_str));
        self.said("stop_word", answer.stop_reason.as_ref());
        self.object.integer("first_byte_ms", answer.first_byte_ms);
    }

    /// What a guardrail found and did.
    pub(in crate::format) fn guardrail(&mut self, intervened: bool, guardrail: Option<&Guardrail<'_>>) {
        let known = intervened || guardrail.is_some();
        self.object.boolean("guardrail_intervened", known.then_some(intervened));
        let Some(guardrail) = guardrail else { return };
        self.said("guardrail_action", guardrail.action.as_ref());
        self.said("guardrail_id", guardrail.id.as_ref());
        self.said("guardrail_version", guardrail.version.as_ref());
        let policies = names::policies(guardrail);
        self.list("guardrail_policies", |array| policies.iter().for_each(|name| array.text(name)));
        self.list("guardrail_findings", |array| {
            names::findings(guardrail).for_each(|found| array.object(|object| finding(object, found)));
        });
    }

    /// What was said.
    pub(in crate::format) fn conversation(&mut self, view: &View<'_>) {
        let (request, answer) = (view.request(), view.answer());
        self.said("system_prompt", Some(&joined(request.system.iter(), |part| matches!(part, Part::Text(_)))));
        self.said("prompt_text", Some(&view.prompt_text()));
        self.said("answer_text", Some(&view.answer_text()));
        let answered = answer.messages.iter().flat_map(|message| &message.parts);
        self.said("reasoning_text", Some(&joined(answered, |part| matches!(part, Part::Reasoning(_)))));
        self.list("tools_offered", |array| request.tools.iter().for_each(|tool| array.said(&tool.name)));
        self.list("tools_called", |array| view.tool_calls().for_each(|call| array.said(&call.name)));
        let (input, output) = view.body_bytes();
        if input.is_some() {
            self.object.integer("message_count", count(request.messages.len()));
            self.object.integer("image_count", count(media(&request.messages, MediaKind::Image)));
            self.object.integer("document_count", count(media(&request.messages, MediaKind::Document)));
        }
        if output.is_some() {
            self.object.integer("answer_image_count", count(media(&answer.messages, MediaKind::Image)));
        }
        if let Some(embeddings) = answer.embeddings {
            self.object.integer("embedding_count", count(embeddings.count));
            let dimensions = Some(embeddings.dimensions).filter(|dimensions| *dimensions > 0);
            self.object.integer("embedding_dimensions", dimensions.and_then(count));
        }
        self.said("response_id", answer.response_id.as_ref());
    }

    /// What is known of the bodies beside what they say.
    pub(in crate::format) fn bodies(&mut self, event: &Event<'_>) {
        let invocation = event.invocation;
        let (input, output) = (invocation.input.as_ref(), invocation.output.as_ref());
        let (input_bytes, output_bytes) = event.view.body_bytes();
        self.object.integer("input_bytes", input_bytes.and_then(count));
        self.object.integer("output_bytes", output_bytes.and_then(count));
        self.string("input_content_type", input.and_then(|input| input.input_content_type));
        self.string("output_content_type", output.and_then(|output| output.output_content_type));
        self.said("input_body_s3_path", moved_to(invocation, Section::Input).as_ref());
        self.said("output_body_s3_path", moved_to(invocation, Section::Output).as_ref());
        self.string("output_video_s3_path", output.and_then(|output| output.output_video_s3_path));
        let seconds = output.and_then(|output| output.output_video_duration_seconds.as_ref());
        self.object.float("output_video_seconds", seconds.and_then(|seconds| seconds.0.parse().ok()));
        if let Some(metadata) = names::request_metadata(invocation, &event.view) {
            self.json("request_metadata", metadata.0);
        }
        self.string("latency_class", invocation.performance_config.as_ref().and_then(|config| config.latency));
    }

    /// How the model was to answer.
    pub(in crate::format) fn parameters(&mut self, parameters: &Parameters<'_>) {
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        self.object.integer("max_tokens", parameters.max_tokens);
        self.object.float("temperature", number(parameters.temperature));
        self.object.float("top_p", number(parameters.top_p));
        self.object.integer("top_k", parameters.top_k);
    }

    /// What was done to the event on its way.
    pub(super) fn marks(&mut self, marks: &Marks) {
        self.text("input_body_state", marks.input_body);
        self.text("output_body_state", marks.output_body);
        if let Some(redacted) = &marks.redacted {
            let mut json = Vec::new();
            let mut object = Object::begin(&mut json, false);
            redacted.members(&mut object);
            object.end();
            self.json("redacted", &String::from_utf8_lossy(&json));
        }
        self.list("findings", |array| marks.found(array));
    }

    /// Where the record came from.
    pub(super) fn provenance(&mut self, event: &Event<'_>, context: &Context<'_>) {
        self.text("log_group", event.invocation.event.log_group);
        self.text("log_stream", event.invocation.event.log_stream);
        self.object.text("source", &context.origin.to_string());
        self.object.text("parse_time", &rfc3339(context.parse_time));
    }

    fn text(&mut self, key: &'static str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.object.text(key, value);
        }
    }

    fn string(&mut self, key: &'static str, value: Option<JsonStr<'_>>) {
        self.object.string(key, names::filled(value));
    }

    fn said(&mut self, key: &'static str, value: Option<&Text<'_>>) {
        self.object.said(key, value.filter(|text| !text.is_empty()));
    }

    /// A list, left out where there is nothing in it.
    fn list(&mut self, key: &'static str, fill: impl FnOnce(&mut Array<'_>)) {
        let mut json = Vec::new();
        let mut array = Array::begin(&mut json, false);
        fill(&mut array);
        array.end();
        if json != b"[]" {
            self.json(key, &String::from_utf8_lossy(&json));
        }
    }

    fn json(&mut self, key: &'static str, json: &str) {
        if self.nested {
            self.object.json(key, Some(RawJson(json)));
        } else {
            self.object.text(key, json);
        }
    }
}

fn finding(object: &mut Object<'_>, found: &Assessment<'_>) {
    object.text("side", found.side.as_str());
    object.text("policy", found.policy.as_str());
    object.said("name", found.name.as_ref());
    object.said("type", found.kind.as_ref());
    object.said("confidence", found.confidence.as_ref());
    object.said("action", found.action.as_ref());
}

/// How many media of a kind there are, those in results of tools too.
fn media(messages: &[Message<'_>], kind: MediaKind) -> usize {
    fn among(parts: &[Part<'_>], kind: MediaKind) -> usize {
        let count = |part: &Part<'_>| match part {
            Part::Media(Media { kind: found, .. }) => usize::from(*found == kind),
            Part::ToolResult(result) => among(&result.parts, kind),
            _ => 0,
        };
        parts.iter().map(count).sum()
    }
    messages.iter().map(|message| among(&message.parts, kind)).sum()
}

fn count(count: usize) -> Option<i64> {
    i64::try_from(count).ok()
}

fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}
