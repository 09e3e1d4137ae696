//! The view format: all that is known of an invocation as one JSON object with the same names for every model. It is
//! what `[select]` sees as the variable `view`, so that whoever writes an expression can look at what it works on.

use super::names;
use super::object::Object;
use crate::enrich::Event;
use crate::invocation::JsonStr;
use crate::pipeline::Context;

pub(super) mod figures;
mod talk;

/// A member of the view.
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: &'static str,
    /// The names inside, where it is an object whose names are all known.
    pub(crate) inside: &'static [&'static str],
    write: Write,
}

type Write = fn(&'static str, &mut Object<'_>, &Event<'_>, &Context<'_>);

const fn member(name: &'static str, write: Write) -> Member {
    Member { name, inside: &[], write }
}

impl Member {
    const fn with(self, inside: &'static [&'static str]) -> Self {
        Self { inside, ..self }
    }
}

/// The members in their order. What is not known is left out and never null; lists, joined texts and the objects
/// `parameters`, `usage` and `bytes` are always there, empty where there is nothing, so that expressions need not ask.
pub(crate) const MEMBERS: &[Member] =
    &[
        member("id", |key, to, event, _| to.hex(key, &event.row_id())),
        member("time", |key, to, event, _| to.text(key, &event.invocation.event_time.to_string())),
        member("account", |key, to, event, _| string(key, to, Some(event.invocation.account_id))),
        member("region", |key, to, event, _| string(key, to, event.invocation.region)),
        member("inference_region", |key, to, event, _| string(key, to, event.invocation.inference_region)),
        member("operation", |key, to, event, _| string(key, to, event.invocation.operation)),
        member("model_id", |key, to, event, _| string(key, to, Some(event.invocation.model_id))),
        member("model", |key, to, event, _| string(key, to, Some(model(event.invocation.model_id)))),
        member("identity", |key, to, event, _| {
            string(key, to, event.invocation.identity.as_ref().and_then(|identity| identity.arn));
        }),
        member("request_id", |key, to, event, _| string(key, to, event.invocation.request_id)),
        member("error", |key, to, event, _| string(key, to, event.invocation.error_code)),
        member("metadata", |key, to, event, _| to.json(key, names::request_metadata(event.invocation, &event.view))),
        member("streamed", |key, to, event, _| to.boolean(key, streamed(event))),
        member("parameters", |key, to, event, _| figures::parameters(key, to, &event.view.request().parameters))
            .with(&["max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream"]),
        member("tools", |key, to, event, _| talk::tools(key, to, &event.view.request().tools)),
        member("system", |key, to, event, _| {
            to.array(key, |array| talk::parts(array, &event.view.request().system));
        }),
        member("messages", |key, to, event, _| talk::messages(key, to, &event.view.request().messages)),
        member("prompt_text", |key, to, event, _| to.said(key, Some(&event.view.prompt_text()))),
        member("user_text", |key, to, event, _| to.said(key, Some(&event.view.user_text()))),
        member("tool_result_text", |key, to, event, _| to.said(key, Some(&event.view.tool_result_text()))),
        member("answer", |key, to, event, _| talk::messages(key, to, &event.view.answer().messages)),
        member("answer_text", |key, to, event, _| to.said(key, Some(&event.view.answer_text()))),
        member("tool_call_text", |key, to, event, _| to.said(key, Some(&event.view.tool_call_text()))),
        member("tool_calls", |key, to, event, _| {
            to.array(key, |array| event.view.tool_calls().for_each(|call| array.object(|to| talk::call(to, call))));
        }),
        member("stop_reason", |key, to, event, _| {
            event.view.stop_reason().into_iter().for_each(|reason| to.text(key, reason.as_str()));
        }),
        member("stop_word", |key, to, event, _| to.said(key, event.view.answer().stop_reason.as_ref())),
        member("usage", |key, to, event, _| figures::usage(key, to, event.view.usage())).with(&[
            "input",
            "output",
            "cache_read",
            "cache_write",
            "cache_write_1h",
            "reasoning",
            "total",
            "total_is_off",
        ]),
        member("latency_ms", |key, to, event, _| to.integer(key, event.view.answer().latency_ms)),
        member("first_byte_ms", |key, to, event, _| to.integer(key, event.view.answer().first_byte_ms)),
        member("response_id", |key, to, event, _| to.said(key, event.view.answer().response_id.as_ref())),
        member("provider_request_id", |key, to, event, _| to.said(key, event.view.answer().request_id.as_ref())),
        member("response_model", |key, to, event, _| to.said(key, event.view.answer().model.as_ref())),
        member("embeddings", |key, to, event, _| figures::embeddings(key, to, event.view.answer().embeddings))
            .with(&["count", "dimensions"]),
        member("guardrail", |key, to, event, _| figures::guardrail(key, to, event.view.guardrail())).with(&[
            "intervened",
            "action",
            "action_reason",
            "id",
            "version",
            "assessments",
            "text_coverage",
            "image_coverage",
            "units",
            "latency_ms",
        ]),
        member("cost", |key, to, event, context| figures::cost(key, to, event.cost(context.prices))).with(&[
            "input",
            "output",
            "cache_read",
            "cache_write",
            "guardrail",
            "total",
            "price_key",
            "price_date",
            "price_basis",
        ]),
        member("bytes", |key, to, event, _| figures::bytes(key, to, event.view.body_bytes()))
            .with(&["input", "output"]),
        member("bedrock_tap", |_, to, event, _| event.marks.write(to)),
    ];

/// Appends the view as one JSON object.
pub fn encode(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    write(event, context, out, |_| true);
}

/// Appends those members of the view that `wanted` names.
pub(crate) fn write(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>, wanted: impl Fn(&str) -> bool) {
    // Arguments that came as text may have line breaks wherever the record itself has none.
    let mut to = Object::begin(out, true);
    for member in MEMBERS.iter().filter(|member| wanted(member.name)) {
        (member.write)(member.name, &mut to, event, context);
    }
    to.end();
}

/// Appends an object with the member of this number.
pub(crate) fn write_one(index: usize, event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let mut to = Object::begin(out, true);
    if let Some(member) = MEMBERS.get(index) {
        (member.write)(member.name, &mut to, event, context);
    }
    to.end();
}

fn string(key: &'static str, to: &mut Object<'_>, value: Option<JsonStr<'_>>) {
    to.string(key, value.filter(|value| !value.0.is_empty()));
}

/// The model's name: the last segment of an ARN, or the id itself.
pub(crate) fn model(id: JsonStr<'_>) -> JsonStr<'_> {
    JsonStr(id.0.rsplit('/').next().unwrap_or(id.0))
}

/// Whether the answer was streamed.
pub(crate) fn streamed(event: &Event<'_>) -> Option<bool> {
    names::streamed(event.invocation, &event.view)
}

#[cfg(test)]
mod tests;
