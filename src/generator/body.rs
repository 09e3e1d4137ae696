//! Bodies: a call as each model family writes it down, request and answer, whole or as a stream.

use super::call::{Call, Stop};
use super::json::Json;
use super::random::Random;

pub(super) mod anthropic;
pub(super) mod completion;
pub(super) mod converse;
pub(super) mod embedding;
pub(super) mod guardrail;
pub(super) mod openai;
pub(super) mod responses;

/// Writes the metrics that Bedrock adds to a stream's last event.
fn invocation_metrics(call: &Call, json: &mut Json) {
    json.key("amazon-bedrock-invocationMetrics").object(|json| {
        json.key("inputTokenCount").number(call.usage.input);
        json.key("outputTokenCount").number(call.usage.output);
        json.key("invocationLatency").number(call.latency_millis);
        json.key("firstByteLatency").number(call.first_byte_millis);
        if call.cached {
            json.key("cacheReadInputTokenCount").number(call.usage.cache_read);
            json.key("cacheWriteInputTokenCount").number(call.usage.cache_write);
        }
    });
}

/// Writes the JSON Schema of a tool's arguments.
fn argument_schema(arguments: &[&str], json: &mut Json) {
    json.object(|json| {
        json.key("type").text("object");
        json.key("properties").object(|json| {
            for argument in arguments {
                json.key(argument).object(|json| json.key("type").text("string"));
            }
        });
        json.key("required").array(|json| arguments.iter().for_each(|argument| json.text(argument)));
    });
}

/// Writes the arguments that the model gives a tool.
fn arguments(call: &Call, json: &mut Json) {
    json.object(|json| {
        if let Some((tool, values)) = &call.asked {
            for (name, value) in tool.arguments.iter().zip(values) {
                json.key(name).text(value);
            }
        }
    });
}

/// The arguments as JSON in a string, the way OpenAI's dialect carries them.
fn arguments_text(call: &Call) -> String {
    let mut json = Json::default();
    arguments(call, &mut json);
    json.finish()
}

/// Writes a temperature.
fn temperature(call: &Call, json: &mut Json) {
    json.key("temperature").number(format_args!("{}.{}", call.temperature_tenths / 10, call.temperature_tenths % 10));
}

/// An id of `count` letters and digits after `prefix`.
fn id(random: &mut Random, prefix: &str, count: usize) -> String {
    let mut id = String::with_capacity(prefix.len() + count);
    id.push_str(prefix);
    random.alphanumeric(count, &mut id);
    id
}

/// The word for how a turn ended, in a family's dialect.
fn stop_word(call: &Call, end: &'static str, tool: &'static str, length: &'static str) -> &'static str {
    match call.stop {
        // A blocked answer of a native body ends as any other; the evidence is in Bedrock's own keys.
        Stop::End | Stop::Guardrail => end,
        Stop::Tool => tool,
        Stop::Length => length,
    }
}
