//! What a request offers the model beside its messages: tools to call, and how to answer.

use crate::body::value::{Kind, Value};
use crate::body::{Parameters, Tool};

/// Reads a tool in any family's shape; a mark for the prompt cache among the tools is none.
pub(super) fn tool(tool: Value<'_>) -> Option<Tool<'_>> {
    let [converse, system, function, custom] = tool.fields(["toolSpec", "systemTool", "function", "custom"]);
    let spec = converse.or(system).or(function).or(custom).unwrap_or(tool);
    let [name, kind, description, converse, anthropic, openai, cohere] = spec.fields([
        "name",
        "type",
        "description",
        "inputSchema",
        "input_schema",
        "parameters",
        "parameter_definitions",
    ]);
    // A tool of the provider's own may have no name but its type.
    let name = [name, kind].into_iter().flatten().find_map(Value::as_text)?;
    let schema = converse.map(|schema| schema.get("json").unwrap_or(schema)).or(anthropic).or(openai).or(cohere);
    Some(Tool { name, description: description.and_then(Value::as_text), schema: schema.map(Value::raw) })
}

/// Reads a member that may be a parameter, in any family's spelling; what is of another kind than it should be is left
/// out.
pub(super) fn parameter<'a>(parameters: &mut Parameters<'a>, key: &str, value: Value<'a>) {
    match key {
        "max_tokens"
        | "maxTokens"
        | "max_new_tokens"
        | "maxTokenCount"
        | "max_gen_len"
        | "max_tokens_to_sample"
        | "max_completion_tokens"
        | "max_output_tokens"
        | "maxOutputTokens" => {
            parameters.max_tokens = value.integer().or(parameters.max_tokens);
        }
        "temperature" => parameters.temperature = number(value).or(parameters.temperature),
        "top_p" | "topP" | "p" => parameters.top_p = number(value).or(parameters.top_p),
        "top_k" | "topK" | "k" => parameters.top_k = value.integer().or(parameters.top_k),
        "stop" | "stop_sequences" | "stopSequences" => match value.as_text() {
            Some(text) => parameters.stop_sequences = vec![text],
            None if value.kind() == Kind::Array => {
                parameters.stop_sequences = value.elements().filter_map(Value::as_text).collect();
            }
            None => {}
        },
        "stream" => parameters.stream = value.boolean().or(parameters.stream),
        _ => {}
    }
}

fn number(value: Value<'_>) -> Option<&str> {
    (value.kind() == Kind::Number).then(|| value.text())
}
