//! A block: one piece of a message's content, in any family's shape; and the messages that blocks make up.

use super::text::Text;
use super::value::{Kind, Value};
use super::{Arguments, Media, MediaKind, Message, Part, ToolCall, ToolResult};

/// Results of tools in results of tools are followed this far. No family nests them at all; each level that is followed
/// reads all that is in it once more.
const MAX_RESULT_DEPTH: usize = 2;

/// A message of Converse, Anthropic, OpenAI or DeepSeek: a role, content, and tool calls beside it.
pub(super) fn message(message: Value<'_>) -> Option<Message<'_>> {
    let role = message.get_text("role").unwrap_or(Text::of_json("assistant"));
    let mut parts_ = Vec::new();
    for name in ["reasoning_content", "reasoning"] {
        parts_.extend(message.get_text(name).filter(|text| !text.is_empty()).map(Part::Reasoning));
    }
    let content = message.get("content").map(parts).unwrap_or_default();
    if role == "tool" {
        let id = message.get_text("tool_call_id");
        parts_.push(Part::ToolResult(ToolResult { id, is_error: false, parts: content }));
    } else {
        parts_.extend(content);
    }
    parts_.extend(message.get_text("refusal").map(Part::Text));
    parts_.extend(message.get("tool_calls").into_iter().flat_map(Value::elements).map(function_call));
    (!parts_.is_empty()).then_some(Message { role, parts: parts_ })
}

/// An item of OpenAI's Responses, sent or received.
pub(super) fn item(item: Value<'_>) -> Message<'_> {
    let kind = item.get_string("type").unwrap_or_default();
    match &*kind {
        "function_call" => Message::new("assistant", vec![function_call(item)]),
        "function_call_output" => {
            let parts = item.get("output").map(parts).unwrap_or_default();
            let result = ToolResult { id: item.get_text("call_id"), is_error: false, parts };
            Message::new("tool", vec![Part::ToolResult(result)])
        }
        "reasoning" => {
            let text = ["summary", "content"].into_iter().filter_map(|name| item.get(name)).flat_map(Value::elements);
            let text = text.filter_map(|part| part.get_text("text")).map(Part::Reasoning);
            Message::new("assistant", text.collect())
        }
        "message" | "" => message(item).unwrap_or_else(|| Message::new("user", vec![Part::Json(item.raw())])),
        _ => Message::new("assistant", vec![Part::Json(item.raw())]),
    }
}

/// The parts of a content: a text, a list of texts and blocks, or one block.
pub(super) fn parts(content: Value<'_>) -> Vec<Part<'_>> {
    parts_at(content, 0)
}

fn parts_at(content: Value<'_>, depth: usize) -> Vec<Part<'_>> {
    match content.kind() {
        Kind::Null => Vec::new(),
        Kind::String => content.as_text().filter(|text| !text.is_empty()).map(Part::Text).into_iter().collect(),
        Kind::Array => content.elements().filter_map(|block| part(block, depth)).collect(),
        _ => part(content, depth).into_iter().collect(),
    }
}

fn tool_result(result: Value<'_>, depth: usize) -> Part<'_> {
    let parts = match result.get("content") {
        Some(content) if depth < MAX_RESULT_DEPTH => parts_at(content, depth + 1),
        Some(content) => vec![Part::Json(content.raw())],
        None => Vec::new(),
    };
    let failed = |status: Text<'_>| status == "error";
    Part::ToolResult(ToolResult {
        id: result.get_text("toolUseId").or_else(|| result.get_text("tool_use_id")),
        is_error: result.get("is_error").and_then(Value::boolean).unwrap_or(false)
            || result.get_text("status").is_some_and(failed),
        parts,
    })
}

fn part(block: Value<'_>, depth: usize) -> Option<Part<'_>> {
    if block.kind() != Kind::Object {
        return Some(block.as_text().map_or(Part::Json(block.raw()), Part::Text));
    }
    if let Some(kind) = block.get_string("type") {
        return Some(typed(block, &kind, depth));
    }
    // Converse and Nova: one member, whose name is the kind. The texts of Titan and Cohere look the same.
    for (key, value) in block.members() {
        let found = match &*key {
            "text" | "outputText" => value.as_text().map(Part::Text),
            "guardContent" => value.get("text").and_then(|text| text.get_text("text")).map(Part::Text),
            "toolUse" => Some(tool_use(value)),
            "toolResult" => Some(tool_result(value, depth)),
            "reasoningContent" => Some(reasoning(value)),
            "image" => Some(media(MediaKind::Image, value)),
            "document" => Some(media(MediaKind::Document, value)),
            "video" => Some(media(MediaKind::Video, value)),
            "audio" => Some(media(MediaKind::Audio, value)),
            "json" => Some(Part::Json(value.raw())),
            // A mark in the prompt that says nothing.
            "cachePoint" => return None,
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    Some(Part::Json(block.raw()))
}

/// A block of Anthropic or OpenAI, which says its kind.
fn typed<'a>(block: Value<'a>, kind: &str, depth: usize) -> Part<'a> {
    let text = |name: &str| block.get_text(name).unwrap_or_default();
    match kind {
        "text" | "input_text" | "output_text" => Part::Text(text("text")),
        "refusal" => Part::Text(text("refusal")),
        "thinking" => Part::Reasoning(text("thinking")),
        "redacted_thinking" => Part::Reasoning(Text::default()),
        "tool_use" | "server_tool_use" => tool_use(block),
        "tool_result" => tool_result(block, depth),
        "image" | "image_url" | "input_image" => media(MediaKind::Image, block),
        "document" => media(MediaKind::Document, block),
        "input_audio" => media(MediaKind::Audio, block.get("input_audio").unwrap_or(block)),
        "file" | "input_file" => media(MediaKind::Document, block.get("file").unwrap_or(block)),
        _ => Part::Json(block.raw()),
    }
}

pub(super) fn tool_use(tool: Value<'_>) -> Part<'_> {
    let arguments = tool.get("input").map_or_else(Arguments::default, |input| Arguments::Json(input.raw()));
    let id = tool.get_text("toolUseId").or_else(|| tool.get_text("id"));
    Part::ToolCall(ToolCall { id, name: tool.get_text("name").unwrap_or_default(), arguments })
}

/// A tool call of OpenAI's dialects: arguments are a text that holds JSON.
pub(super) fn function_call(call: Value<'_>) -> Part<'_> {
    let function = call.get("function").unwrap_or(call);
    // Cohere writes `parameters`, an object.
    let arguments = function.get("arguments").or_else(|| function.get("parameters"));
    let arguments = arguments.map(|a| a.as_text().map_or(Arguments::Json(a.raw()), Arguments::Text));
    Part::ToolCall(ToolCall {
        id: call.get_text("call_id").or_else(|| call.get_text("id")),
        name: function.get_text("name").unwrap_or_default(),
        arguments: arguments.unwrap_or_default(),
    })
}

fn reasoning(content: Value<'_>) -> Part<'_> {
    let text = content.get("reasoningText").and_then(|text| text.get_text("text"));
    Part::Reasoning(text.unwrap_or_default())
}

fn media(kind: MediaKind, value: Value<'_>) -> Part<'_> {
    let source = value.get("source");
    let media_type = || source.and_then(|source| source.get_text("media_type"));
    Part::Media(Media {
        kind,
        media_type: value.get_text("format").or_else(media_type),
        name: ["name", "title", "filename"].into_iter().find_map(|name| value.get_text(name)),
        bytes: None,
        uri: source.and_then(|source| source.get_text("s3Uri")),
    })
}
