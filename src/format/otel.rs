//! The OpenTelemetry format: the log event `gen_ai.client.inference.operation.details` of the GenAI semantic conventions
//! 1.41.0. A line is a whole request of OTLP's JSON, `{"resourceLogs": […]}` with one log record in it: so it can be read
//! by the collector's receiver for OTLP JSON files, and be posted to a collector as it is.
//!
//! What the conventions have no name for stands under `bedrock_tap.*`.

use super::names::{self, Identity};
use super::object::Object;
use crate::body::guardrail::Guardrail;
use crate::body::{Kind, MediaKind, Parameters, Part, Text, Usage, Value, View};
use crate::enrich::cost::Cost;
use crate::enrich::{Event, Marks};
use crate::invocation::Invocation;
use crate::pipeline::Context;

mod message;
mod value;

use value::Map;

/// The conventions that the attributes are named by.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.41.0";

/// Appends the event as one JSON object.
pub fn encode(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out, event.invocation.line_breaks);
    object.array("resourceLogs", |array| {
        array.object(|object| {
            object.object("resource", |object| {
                object.array("attributes", |array| resource(&mut Map(array), event.invocation));
            });
            object.array("scopeLogs", |array| {
                array.object(|object| {
                    object.object("scope", |object| {
                        object.text("name", env!("CARGO_PKG_NAME"));
                        object.text("version", env!("CARGO_PKG_VERSION"));
                    });
                    object.array("logRecords", |array| array.object(|object| log_record(object, event, context)));
                    object.text("schemaUrl", SCHEMA_URL);
                });
            });
            object.text("schemaUrl", SCHEMA_URL);
        });
    });
    object.end();
}

/// What the record speaks of: Bedrock in an account and a Region. Without a service's name, which OpenTelemetry requires
/// of every resource, receivers show it as unknown.
fn resource(attributes: &mut Map<'_, '_>, invocation: &Invocation<'_>) {
    attributes.text("service.name", Some("amazon-bedrock"));
    attributes.text("cloud.provider", Some("aws"));
    attributes.string("cloud.account.id", Some(invocation.account_id));
    attributes.string("cloud.region", invocation.region);
    for (key, name) in
        [("aws.log.group.names", invocation.event.log_group), ("aws.log.stream.names", invocation.event.log_stream)]
    {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            attributes.set(key, |any| any.list(|list| list.push(|any| any.text(name))));
        }
    }
}

fn log_record(object: &mut Object<'_>, event: &Event<'_>, context: &Context<'_>) {
    // A time before 1970 cannot be said: 0 is "unknown".
    let nanoseconds = |time: jiff::Timestamp| u64::try_from(time.as_nanosecond()).unwrap_or(0).to_string();
    object.text("timeUnixNano", &nanoseconds(event.invocation.event_time));
    object.text("observedTimeUnixNano", &nanoseconds(context.parse_time));
    let (number, severity) = match (names::failed(event), names::intervened(&event.view)) {
        (true, _) => (17, "ERROR"),
        (_, true) => (13, "WARN"),
        _ => (9, "INFO"),
    };
    object.integer("severityNumber", Some(number));
    object.text("severityText", severity);
    object.text("eventName", "gen_ai.client.inference.operation.details");
    object.array("attributes", |array| {
        let attributes = &mut Map(array);
        call(attributes, event);
        parameters(attributes, &event.view.request().parameters);
        response(attributes, &event.view);
        usage(attributes, event.view.usage());
        message::request(attributes, event.view.request());
        message::answer(attributes, event.view.answer(), event.view.stop_reason());
        guardrail(attributes, names::intervened(&event.view), event.view.guardrail());
        cost(attributes, event.cost(context.prices));
        marks(attributes, &event.marks);
    });
}

/// Who called what.
fn call(attributes: &mut Map<'_, '_>, event: &Event<'_>) {
    let (invocation, view) = (event.invocation, &event.view);
    attributes.text("gen_ai.operation.name", Some(operation_name(invocation, view)));
    attributes.text("gen_ai.provider.name", Some("aws.bedrock"));
    attributes.string("gen_ai.request.model", Some(invocation.model_id));
    attributes.boolean("gen_ai.request.stream", names::streamed(invocation, view));
    if names::failed(event) {
        let code = names::filled(invocation.error_code);
        let kind = code.map(Text::from).or_else(|| view.answer().stop_reason.clone());
        attributes.said("error.type", kind.as_ref());
    }
    if let Some(address) = server_address(invocation) {
        attributes.text("server.address", Some(&address));
        attributes.integer("server.port", Some(443));
    }
    // Records with the same id are the same.
    let id: String = event.row_id().iter().map(|byte| format!("{byte:02x}")).collect();
    attributes.text("log.record.uid", Some(&id));
    attributes.string("aws.request_id", invocation.request_id);
    if let Some(arn) = names::arn(invocation) {
        attributes.string("user.id", Some(arn));
        let arn = arn.decode();
        if let Some(identity) = Identity::of(&arn) {
            attributes.text("user.name", Some(identity.shown()));
            attributes.text("bedrock_tap.identity.type", Some(identity.kind.as_str()));
        }
    }
    attributes.string("bedrock_tap.operation", invocation.operation);
    attributes.string("bedrock_tap.inference_region", invocation.inference_region);
    if let Some(metadata) = names::request_metadata(invocation, view) {
        attributes.set("bedrock_tap.request_metadata", |any| any.json(metadata));
    }
}

/// The conventions' name of the operation, told by the bodies' shape, and where there are none by what is called.
fn operation_name(invocation: &Invocation<'_>, view: &View<'_>) -> &'static str {
    let operation = names::operation(invocation);
    if matches!(&*operation, "Converse" | "ConverseStream" | "ChatCompletions" | "Responses") {
        return "chat";
    }
    if view.answer().embeddings.is_some() {
        return "embeddings";
    }
    let mut answered = view.answer().messages.iter().flat_map(|message| &message.parts).peekable();
    if answered.peek().is_some() && answered.all(|part| matches!(part, Part::Media(_))) {
        return "generate_content";
    }
    let mut name = None;
    let body = view.bodies().0.map(Value::new);
    for (key, value) in body.into_iter().flat_map(Value::members) {
        match &*key {
            "messages" | "message" | "chat_history" => return "chat",
            "taskType" | "textToImageParams" | "text_prompts" | "modelInput" => return "generate_content",
            "prompt" | "inputText" if value.kind() == Kind::String => name = Some("text_completion"),
            _ => {}
        }
    }
    let is_embedding = || invocation.model_id.decode().contains("embed");
    match name {
        _ if is_embedding() => "embeddings",
        Some(name) => name,
        None if operation.contains("AsyncInvoke") => "generate_content",
        None => "chat",
    }
}

/// The Region's endpoint. Only `bedrock-runtime` has these operations; OpenAI's are served elsewhere too, and the record
/// does not say where.
fn server_address(invocation: &Invocation<'_>) -> Option<String> {
    let of_runtime = matches!(
        &*names::operation(invocation),
        "InvokeModel" | "InvokeModelWithResponseStream" | "Converse" | "ConverseStream"
    );
    let region = names::filled(invocation.region).filter(|_| of_runtime)?.decode();
    let is_name = region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    is_name.then(|| format!("bedrock-runtime.{region}.{suffix}"))
}

/// How the model was to answer.
fn parameters(attributes: &mut Map<'_, '_>, parameters: &Parameters<'_>) {
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    attributes.integer("gen_ai.request.max_tokens", parameters.max_tokens);
    attributes.float("gen_ai.request.temperature", number(parameters.temperature));
    attributes.float("gen_ai.request.top_p", number(parameters.top_p));
    // The conventions have a floating-point number here.
    #[expect(clippy::cast_precision_loss, reason = "a number of candidates is small")]
    attributes.float("gen_ai.request.top_k", parameters.top_k.map(|top_k| top_k as f64));
    if !parameters.stop_sequences.is_empty() {
        attributes.set("gen_ai.request.stop_sequences", |any| {
            any.list(|list| parameters.stop_sequences.iter().for_each(|one| list.push(|any| any.said(one))));
        });
    }
}

/// How the model answered, beside what it said.
fn response(attributes: &mut Map<'_, '_>, view: &View<'_>) {
    let answer = view.answer();
    attributes.said("gen_ai.response.id", answer.response_id.as_ref());
    attributes.said("gen_ai.response.model", answer.model.as_ref());
    let stop = view.stop_reason();
    if answer.stop_reason.is_some() {
        attributes.set("gen_ai.response.finish_reasons", |any| {
            any.list(|list| list.push(|any| message::finish_reason(any, answer, stop)));
        });
    }
    attributes.said("bedrock_tap.stop_reason", answer.stop_reason.as_ref());
    attributes.text("gen_ai.output.type", output_type(view));
    #[expect(clippy::cast_precision_loss, reason = "a latency is small")]
    let seconds = |ms: Option<i64>| ms.map(|ms| ms as f64 / 1000.0);
    attributes.float("gen_ai.response.time_to_first_chunk", seconds(answer.first_byte_ms));
    attributes.integer("bedrock_tap.latency_ms", answer.latency_ms);
}

/// What kind of thing the answer is: text, if there is any.
fn output_type(view: &View<'_>) -> Option<&'static str> {
    let mut found = None;
    for part in view.answer().messages.iter().flat_map(|message| &message.parts) {
        match part {
            Part::Text(_) => return Some("text"),
            Part::Media(media) => {
                found = Some(match media.kind {
                    MediaKind::Audio => "speech",
                    kind => kind.as_str(),
                });
            }
            _ => {}
        }
    }
    found
}

/// Tokens. The conventions count cached tokens among those of the prompt, Bedrock does not.
fn usage(attributes: &mut Map<'_, '_>, usage: &Usage) {
    let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
    attributes.integer("gen_ai.usage.input_tokens", usage.input.map(|input| input.saturating_add(cached)));
    attributes.integer("gen_ai.usage.output_tokens", usage.output);
    attributes.integer("gen_ai.usage.cache_read.input_tokens", usage.cache_read);
    attributes.integer("gen_ai.usage.cache_creation.input_tokens", usage.cache_write);
    attributes.integer("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
}

/// What a guardrail found and did.
fn guardrail(attributes: &mut Map<'_, '_>, intervened: bool, guardrail: Option<&Guardrail<'_>>) {
    if intervened || guardrail.is_some() {
        attributes.boolean("bedrock_tap.guardrail.intervened", Some(intervened));
    }
    let Some(guardrail) = guardrail else { return };
    if let Some(id) = &guardrail.id {
        // Of an ARN the id at its end.
        let id = id.decode();
        attributes.text("aws.bedrock.guardrail.id", id.rsplit('/').next());
    }
    attributes.said("bedrock_tap.guardrail.version", guardrail.version.as_ref());
    attributes.said("bedrock_tap.guardrail.action", guardrail.action.as_ref());
    let policies = names::policies(guardrail);
    if !policies.is_empty() {
        attributes.set("bedrock_tap.guardrail.policies", |any| {
            any.list(|list| policies.iter().for_each(|name| list.push(|any| any.text(name))));
        });
    }
}

/// What the call cost.
fn cost(attributes: &mut Map<'_, '_>, cost: Option<&Cost>) {
    let Some(cost) = cost else { return };
    for (key, amount) in [
        ("bedrock_tap.cost.usd", cost.total),
        ("bedrock_tap.cost.input_usd", cost.input),
        ("bedrock_tap.cost.output_usd", cost.output),
        ("bedrock_tap.cost.cache_read_usd", cost.cache_read),
        ("bedrock_tap.cost.cache_write_usd", cost.cache_write),
        ("bedrock_tap.cost.guardrail_usd", cost.guardrail),
    ] {
        attributes.float(key, Some(amount.as_f64()));
    }
    attributes.text("bedrock_tap.cost.price_key", Some(&cost.price_key));
    attributes.text("bedrock_tap.cost.price_date", cost.price_date.as_deref());
    attributes.text("bedrock_tap.cost.price_basis", Some(cost.basis.as_str()));
}

/// What was done to the event on its way.
fn marks(attributes: &mut Map<'_, '_>, marks: &Marks) {
    attributes.text("bedrock_tap.input_body", marks.input_body);
    attributes.text("bedrock_tap.output_body", marks.output_body);
    if !marks.findings.is_empty() {
        attributes.set("bedrock_tap.findings", |any| {
            any.list(|list| {
                for found in &marks.findings {
                    list.push(|any| {
                        any.map(|map| {
                            map.text("rule", Some(&found.rule));
                            map.text("severity", Some(found.severity.as_str()));
                        });
                    });
                }
            });
        });
    }
    let Some(redacted) = &marks.redacted else { return };
    attributes.text("bedrock_tap.redacted.bodies", redacted.bodies);
    if !redacted.masked.is_empty() {
        attributes.set("bedrock_tap.redacted.masked", |any| {
            any.map(|map| {
                for (kind, count) in &redacted.masked {
                    map.integer(kind, i64::try_from(*count).ok());
                }
            });
        });
    }
}

#[cfg(test)]
mod tests;
