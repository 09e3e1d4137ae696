//! Facts: what is known of one event without building variables, each found when it is first asked for.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::Prefilter;
use super::scan::{Found, Scanner};
use crate::body::{Arguments, Part, Text};
use crate::enrich::Event;
use crate::expression::Gate;
use crate::expression::condition::{Condition, Fact, Field, Number, Side};
use crate::invocation::{Invocation, JsonStr, Section};
use crate::pipeline::Context;

/// What is asked about.
pub(in crate::detect) enum Subject<'e, 'a> {
    /// An invocation.
    Event(&'e Event<'a>, &'e Context<'e>),
    /// A record of another service.
    Record(&'e str),
}

/// What is known of it.
pub(in crate::detect) struct Facts<'e, 'a> {
    subject: Subject<'e, 'a>,
    prefilter: &'e Prefilter,
    prompt: OnceCell<Found>,
    answer: OnceCell<Found>,
}

/// What is known of a text or a number.
enum Value<T> {
    /// This.
    Is(T),
    /// It is not there.
    Absent,
    /// It may be anything.
    Unknown,
}

impl<T> From<Option<T>> for Value<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Is)
    }
}

/// Any number.
const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

impl<'e, 'a> Facts<'e, 'a> {
    pub(super) fn new(subject: Subject<'e, 'a>, prefilter: &'e Prefilter) -> Self {
        Self { subject, prefilter, prompt: OnceCell::new(), answer: OnceCell::new() }
    }

    /// Whether a condition may hold.
    pub(super) fn may_hold(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Always => true,
            Condition::Never => false,
            Condition::All(all) => all.iter().all(|condition| self.may_hold(condition)),
            Condition::Any(any) => any.iter().any(|condition| self.may_hold(condition)),
            Condition::Literal(Side::Prompt, number) => self.in_prompt().has(*number),
            Condition::Literal(Side::Answer, number) => self.in_answer().has(*number),
            Condition::Known(fact, want) => self.is_known(fact).is_none_or(|known| known == *want),
            Condition::Test(Fact::CallNames, _, test, want) => self
                .event()
                .is_none_or(|event| event.view.tool_calls().any(|call| test.holds(&call.name.decode()) == *want)),
            Condition::Test(fact, otherwise, test, want) => match (self.text(fact), otherwise) {
                (Value::Unknown, _) => true,
                (Value::Is(text), _) => test.holds(&text) == *want,
                (Value::Absent, Some(otherwise)) => test.holds(otherwise) == *want,
                // Null is no text: it is not equal to any, and nothing else can be asked of it.
                (Value::Absent, None) => !want && matches!(test, crate::expression::condition::Test::Is(_)),
            },
            Condition::Same(one, other, want) => match (self.text(one), self.text(other)) {
                (Value::Unknown, _) | (_, Value::Unknown) => true,
                (Value::Is(one), Value::Is(other)) => (one == other) == *want,
                (Value::Absent, Value::Absent) => *want,
                _ => !want,
            },
            Condition::Compare(order, one, other) => match (self.range(one), self.range(other)) {
                (Some(one), Some(other)) => order.may_hold(one, other),
                // What is not there compares with nothing.
                _ => false,
            },
        }
    }

    fn event(&self) -> Option<&'e Event<'a>> {
        match self.subject {
            Subject::Event(event, _) => Some(event),
            Subject::Record(_) => None,
        }
    }

    fn is_known(&self, fact: &Fact) -> Option<bool> {
        let Subject::Event(event, context) = self.subject else { return None };
        match fact {
            Fact::Guardrail | Fact::Intervened => Some(event.view.guardrail().is_some()),
            Fact::Cost => Some(event.cost(context.prices).is_some()),
            Fact::Calls | Fact::CallNames => Some(true),
            fact if fact.is_text() => match self.text(fact) {
                Value::Is(_) => Some(true),
                Value::Absent => Some(false),
                Value::Unknown => None,
            },
            fact => match self.number(fact) {
                Value::Is(_) => Some(true),
                Value::Absent => Some(false),
                Value::Unknown => None,
            },
        }
    }

    fn text(&self, fact: &Fact) -> Value<Cow<'e, str>> {
        let Some(event) = self.event() else { return Value::Unknown };
        match fact {
            Fact::Record(field) => {
                let text = field_of(*field, event.invocation).filter(|text| !text.0.is_empty());
                text.map(JsonStr::decode).into()
            }
            Fact::Text(name) => {
                let (section, text) = text_of(name, event.invocation);
                or_unknown(text.map(JsonStr::decode), event.invocation, section)
            }
            Fact::StopReason => event.view.stop_reason().map(|reason| Cow::Borrowed(reason.as_str())).into(),
            Fact::Intervened => {
                let intervened = event.view.guardrail().map(|guardrail| guardrail.intervened);
                intervened.map(|is| Cow::Borrowed(if is { "true" } else { "false" })).into()
            }
            _ => Value::Unknown,
        }
    }

    fn number(&self, fact: &Fact) -> Value<i64> {
        let Some(event) = self.event() else { return Value::Unknown };
        let (input, output) = (event.invocation.input.as_ref(), event.invocation.output.as_ref());
        let count = |count: usize| Value::Is(i64::try_from(count).unwrap_or(i64::MAX));
        match fact {
            Fact::Count(name) => {
                let (section, count) = match *name {
                    "inputTokenCount" => (Section::Input, input.and_then(|input| input.input_token_count)),
                    "cacheReadInputTokenCount" => {
                        (Section::Input, input.and_then(|input| input.cache_read_input_token_count))
                    }
                    "cacheWriteInputTokenCount" => {
                        (Section::Input, input.and_then(|input| input.cache_write_input_token_count))
                    }
                    _ => (Section::Output, output.and_then(|output| output.output_token_count)),
                };
                or_unknown(count, event.invocation, section)
            }
            Fact::Usage(name) => {
                let usage = || event.view.usage();
                match *name {
                    "input" => event.view.charged().input.into(),
                    "output" => event.view.charged().output.into(),
                    "cache_read" => usage().cache_read.into(),
                    "cache_write" => usage().cache_write.into(),
                    "reasoning" => usage().reasoning.into(),
                    "total" => usage().total.into(),
                    _ => Value::Unknown,
                }
            }
            Fact::Latency => event.view.answer().latency_ms.into(),
            Fact::FirstByte => event.view.answer().first_byte_ms.into(),
            Fact::Calls => count(event.view.tool_calls().count()),
            _ => Value::Unknown,
        }
    }

    /// The least and the largest that a number can be; none where it is not there.
    fn range(&self, number: &Number) -> Option<(f64, f64)> {
        match number {
            Number::Any => Some(ANY),
            Number::Is(number) => Some((*number, *number)),
            Number::Of(Fact::Cost, otherwise) => match self.is_known(&Fact::Cost) {
                Some(false) => otherwise.map(|number| (number, number)),
                _ => Some(ANY),
            },
            #[expect(clippy::cast_precision_loss, reason = "counts are at most 2^53")]
            Number::Of(fact, otherwise) => match self.number(fact) {
                Value::Is(number) => Some((number as f64, number as f64)),
                Value::Absent => otherwise.map(|number| (number, number)),
                Value::Unknown => Some(ANY),
            },
            Number::If(condition, otherwise) => match self.may_hold(condition) {
                true => Some(ANY),
                false => otherwise.map(|number| (number, number)),
            },
            Number::Sum(one, other) => {
                let ((low, high), (other_low, other_high)) = (self.range(one)?, self.range(other)?);
                Some((low + other_low, high + other_high))
            }
            Number::Either(one, other) => match (self.range(one), self.range(other)) {
                (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
                (one, other) => one.or(other),
            },
        }
    }

    fn in_prompt(&self) -> &Found {
        self.prompt.get_or_init(|| {
            let scanner = &self.prefilter.scanners.prompt;
            let mut found = scanner.nothing();
            match self.subject {
                Subject::Record(record) => scanner.scan(record, &mut found),
                Subject::Event(event, _) => {
                    event.view.bodies().0.into_iter().for_each(|body| scanner.scan(body.0, &mut found));
                    let places = [(Section::Top, "input"), (Section::Input, "inputBodyJson")];
                    misnamed(event.invocation, places, |body| scanner.scan(body, &mut found));
                }
            }
            found
        })
    }

    /// Of an answer that came in pieces both are looked at: the pieces as they came, and what they are together.
    fn in_answer(&self) -> &Found {
        self.answer.get_or_init(|| {
            let scanner = &self.prefilter.scanners.answer;
            let mut found = scanner.nothing();
            if let Some(event) = self.event().filter(|_| !scanner.is_idle()) {
                event.view.bodies().1.into_iter().for_each(|body| scanner.scan(body.0, &mut found));
                let places = [(Section::Top, "output"), (Section::Output, "outputBodyJson")];
                misnamed(event.invocation, places, |body| scanner.scan(body, &mut found));
                let parts = event.view.answer().messages.iter().flat_map(|message| &message.parts);
                parts.for_each(|part| joined(part, scanner, &mut found));
            }
            found
        })
    }
}

impl Gate for Facts<'_, '_> {
    fn may_match(&self, pattern: usize) -> bool {
        self.prefilter.gates.get(&pattern).is_none_or(|condition| self.may_hold(condition))
    }
}

/// Gives bodies under a name in another case: they are no bodies to the view, and are to rules all the same.
fn misnamed(invocation: &Invocation<'_>, places: [(Section, &str); 2], mut body: impl FnMut(&str)) {
    for field in &invocation.unknown {
        let is_at = |(section, name): &(Section, &str)| {
            field.section == *section && field.key.decode().eq_ignore_ascii_case(name)
        };
        if places.iter().any(is_at) {
            body(field.value.0);
        }
    }
}

/// Notes what stands in a part of an answer that came in pieces.
fn joined(part: &Part<'_>, scanner: &Scanner, found: &mut Found) {
    let mut scan = |text: &Text<'_>| {
        if text.is_joined() {
            scanner.scan(text.escaped(), found);
        }
    };
    match part {
        Part::Text(text) | Part::Reasoning(text) => scan(text),
        Part::ToolCall(call) => {
            scan(&call.name);
            if let Arguments::Text(text) = &call.arguments {
                scan(text);
            }
        }
        Part::ToolResult(result) => result.parts.iter().for_each(|part| joined(part, scanner, found)),
        Part::Media(_) | Part::Json(_) => {}
    }
}

/// What is not in its place may stand among the unknown fields, under a name in another case.
fn or_unknown<T>(value: Option<T>, invocation: &Invocation<'_>, section: Section) -> Value<T> {
    let is_unsure = || invocation.unknown.iter().any(|field| field.section == section || field.section == Section::Top);
    match value {
        Some(value) => Value::Is(value),
        None if is_unsure() => Value::Unknown,
        None => Value::Absent,
    }
}

fn field_of<'a>(field: Field, invocation: &Invocation<'a>) -> Option<JsonStr<'a>> {
    match field {
        Field::Account => Some(invocation.account_id),
        Field::Region => invocation.region,
        Field::InferenceRegion => invocation.inference_region,
        Field::Operation => invocation.operation,
        Field::ModelId => Some(invocation.model_id),
        Field::Model => Some(JsonStr(invocation.model_id.0.rsplit('/').next().unwrap_or_default())),
        Field::Identity => invocation.identity.as_ref().and_then(|identity| identity.arn),
        Field::RequestId => invocation.request_id,
        Field::Error => invocation.error_code,
    }
}

fn text_of<'a>(name: &str, invocation: &Invocation<'a>) -> (Section, Option<JsonStr<'a>>) {
    match name {
        "accountId" => (Section::Top, Some(invocation.account_id)),
        "errorCode" => (Section::Top, invocation.error_code),
        "inferenceRegion" => (Section::Top, invocation.inference_region),
        "modelId" => (Section::Top, Some(invocation.model_id)),
        "operation" => (Section::Top, invocation.operation),
        "region" => (Section::Top, invocation.region),
        "status" => (Section::Top, invocation.status),
        _ => (Section::Identity, invocation.identity.as_ref().and_then(|identity| identity.arn)),
    }
}
