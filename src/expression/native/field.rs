//! The view's fields that native expressions ask for: each read from the event, never written and read back.

use std::cell::OnceCell;

use super::Value;
use crate::body::{Part, Text};
use crate::enrich::Event;
use crate::enrich::cost::Cost;
use crate::expression::variables::Views;
use crate::format::view;
use crate::invocation::JsonStr;

/// Reads a field of an event.
pub(in crate::expression) type Read = for<'s> fn(&'s Views<'_, '_>) -> Seen<'s>;

/// What an event has in a field.
#[derive(Debug)]
pub(in crate::expression) enum Seen<'s> {
    Value(Value<'s>),
    /// A map.
    Container,
    /// The member with this number on the way is not there.
    Absent(usize),
}

/// Their names: they are always there.
pub(super) const JOINED: [&str; 5] = ["prompt_text", "user_text", "tool_result_text", "answer_text", "tool_call_text"];

/// The joined texts of an event, each put together when it is first asked for, and once.
#[derive(Debug, Default)]
pub(in crate::expression) struct Texts<'a>([Joined<'a>; 5]);

#[derive(Debug, Default)]
struct Joined<'a> {
    escaped: OnceCell<Text<'a>>,
    decoded: OnceCell<Option<String>>,
}

impl<'a> Texts<'a> {
    fn get(&self, number: usize, read: impl FnOnce() -> Text<'a>) -> Seen<'_> {
        let Some(text) = self.0.get(number) else { return Seen::Absent(0) };
        let escaped = text.escaped.get_or_init(read);
        let decoded = text.decoded.get_or_init(|| match escaped.decode() {
            std::borrow::Cow::Owned(decoded) => Some(decoded),
            std::borrow::Cow::Borrowed(_) => None,
        });
        Seen::Value(Value::Text(decoded.as_deref().unwrap_or(escaped.escaped()).into()))
    }
}

/// Whether a joined text is empty. What a model answered need not be joined for that.
pub(in crate::expression) fn is_empty(views: &Views<'_, '_>, text: &str) -> bool {
    if text == "answer_text" {
        let mut parts = views.event.view.answer().messages.iter().flat_map(|message| &message.parts);
        return !parts.any(|part| matches!(part, Part::Text(text) if !text.is_empty()));
    }
    let read = read(&[text.to_owned()]);
    read.is_some_and(|read| matches!(read(views), Seen::Value(Value::Text(text)) if text.is_empty()))
}

/// How the field with this path is read; none where the view is to be built for it.
pub(super) fn read(steps: &[String]) -> Option<Read> {
    let (member, inside) = match steps {
        [member] => (member.as_str(), ""),
        [member, inside] => (member.as_str(), inside.as_str()),
        _ => return None,
    };
    FIELDS.iter().find(|field| (field.0, field.1) == (member, inside)).map(|field| field.2)
}

fn string(value: Option<JsonStr<'_>>) -> Seen<'_> {
    let value = value.filter(|value| !value.0.is_empty());
    value.map_or(Seen::Absent(0), |value| Seen::Value(Value::Text(value.decode())))
}

fn said<'s>(at: usize, value: Option<&'s Text<'_>>) -> Seen<'s> {
    value.map_or(Seen::Absent(at), |value| Seen::Value(Value::Text(value.decode())))
}

fn integer<'s>(at: usize, value: Option<i64>) -> Seen<'s> {
    value.map_or(Seen::Absent(at), |value| Seen::Value(Value::Int(value)))
}

fn boolean<'s>(at: usize, value: Option<bool>) -> Seen<'s> {
    value.map_or(Seen::Absent(at), |value| Seen::Value(Value::Bool(value)))
}

fn guardrail<'s>(event: &'s Event<'_>, get: impl FnOnce(&'s crate::body::Guardrail<'_>) -> Seen<'s>) -> Seen<'s> {
    event.view.guardrail().map_or(Seen::Absent(0), get)
}

fn cost<'s>(views: &'s Views<'_, '_>, get: impl FnOnce(&'s Cost) -> Seen<'s>) -> Seen<'s> {
    views.event.cost(views.context.prices).map_or(Seen::Absent(0), get)
}

fn amount<'s>(value: crate::enrich::cost::Usd) -> Seen<'s> {
    let value = value.as_f64();
    if value.is_finite() { Seen::Value(Value::Double(value)) } else { Seen::Absent(1) }
}

fn count<'s>(value: Option<usize>) -> Seen<'s> {
    integer(1, value.and_then(|value| i64::try_from(value).ok()))
}

const FIELDS: &[(&str, &str, Read)] = &[
    ("account", "", |v| string(Some(v.event.invocation.account_id))),
    ("region", "", |v| string(v.event.invocation.region)),
    ("inference_region", "", |v| string(v.event.invocation.inference_region)),
    ("operation", "", |v| string(v.event.invocation.operation)),
    ("model_id", "", |v| string(Some(v.event.invocation.model_id))),
    ("model", "", |v| string(Some(view::model(v.event.invocation.model_id)))),
    ("identity", "", |v| string(v.event.invocation.identity.as_ref().and_then(|identity| identity.arn))),
    ("request_id", "", |v| string(v.event.invocation.request_id)),
    ("error", "", |v| string(v.event.invocation.error_code)),
    ("streamed", "", |v| boolean(0, view::streamed(v.event))),
    ("parameters", "", |_| Seen::Container),
    ("parameters", "max_tokens", |v| integer(1, v.event.view.request().parameters.max_tokens)),
    ("parameters", "top_k", |v| integer(1, v.event.view.request().parameters.top_k)),
    ("parameters", "stream", |v| boolean(1, v.event.view.request().parameters.stream)),
    ("prompt_text", "", |v| v.texts.get(0, || v.event.view.prompt_text())),
    ("user_text", "", |v| v.texts.get(1, || v.event.view.user_text())),
    ("tool_result_text", "", |v| v.texts.get(2, || v.event.view.tool_result_text())),
    ("answer_text", "", |v| v.texts.get(3, || v.event.view.answer_text())),
    ("tool_call_text", "", |v| v.texts.get(4, || v.event.view.tool_call_text())),
    ("stop_reason", "", |v| {
        v.event.view.stop_reason().map_or(Seen::Absent(0), |reason| Seen::Value(Value::Text(reason.as_str().into())))
    }),
    ("stop_word", "", |v| said(0, v.event.view.answer().stop_reason.as_ref())),
    ("usage", "", |_| Seen::Container),
    ("usage", "input", |v| integer(1, v.event.view.charged().input)),
    ("usage", "output", |v| integer(1, v.event.view.charged().output)),
    ("usage", "cache_read", |v| integer(1, v.event.view.usage().cache_read)),
    ("usage", "cache_write", |v| integer(1, v.event.view.usage().cache_write)),
    ("usage", "cache_write_1h", |v| integer(1, v.event.view.usage().cache_write_1h)),
    ("usage", "reasoning", |v| integer(1, v.event.view.usage().reasoning)),
    ("usage", "total", |v| integer(1, v.event.view.usage().total)),
    ("usage", "total_is_off", |v| {
        let usage = v.event.view.usage();
        boolean(1, usage.total.map(|_| usage.total_is_off))
    }),
    ("latency_ms", "", |v| integer(0, v.event.view.answer().latency_ms)),
    ("first_byte_ms", "", |v| integer(0, v.event.view.answer().first_byte_ms)),
    ("embeddings", "", |v| v.event.view.answer().embeddings.map_or(Seen::Absent(0), |_| Seen::Container)),
    ("guardrail", "", |v| guardrail(v.event, |_| Seen::Container)),
    ("guardrail", "intervened", |v| guardrail(v.event, |found| boolean(1, Some(found.intervened)))),
    ("guardrail", "action", |v| guardrail(v.event, |found| said(1, found.action.as_ref()))),
    ("guardrail", "action_reason", |v| guardrail(v.event, |found| said(1, found.action_reason.as_ref()))),
    ("guardrail", "id", |v| guardrail(v.event, |found| said(1, found.id.as_ref()))),
    ("guardrail", "version", |v| guardrail(v.event, |found| said(1, found.version.as_ref()))),
    ("guardrail", "latency_ms", |v| guardrail(v.event, |found| integer(1, found.latency_ms))),
    ("cost", "", |v| cost(v, |_| Seen::Container)),
    ("cost", "input", |v| cost(v, |cost| amount(cost.input))),
    ("cost", "output", |v| cost(v, |cost| amount(cost.output))),
    ("cost", "cache_read", |v| cost(v, |cost| amount(cost.cache_read))),
    ("cost", "cache_write", |v| cost(v, |cost| amount(cost.cache_write))),
    ("cost", "guardrail", |v| cost(v, |cost| amount(cost.guardrail))),
    ("cost", "total", |v| cost(v, |cost| amount(cost.total))),
    ("cost", "price_key", |v| cost(v, |cost| Seen::Value(Value::Text(cost.price_key.as_str().into())))),
    ("cost", "price_date", |v| {
        cost(v, |cost| match &cost.price_date {
            Some(date) => Seen::Value(Value::Text(date.as_str().into())),
            None => Seen::Absent(1),
        })
    }),
    ("cost", "price_basis", |v| cost(v, |cost| Seen::Value(Value::Text(cost.basis.as_str().into())))),
    ("bytes", "", |_| Seen::Container),
    ("bytes", "input", |v| count(v.event.view.body_bytes().0)),
    ("bytes", "output", |v| count(v.event.view.body_bytes().1)),
];
