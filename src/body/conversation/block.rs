//! A block: one piece of a message's content, in any family's shape.

use std::borrow::Cow;

use super::Part;
use crate::body::value::{Kind, Value};

/// Results of tools in results of tools are followed this far. No family nests them at all; each level that is followed
/// reads all that is in it once more.
const MAX_RESULT_DEPTH: usize = 2;

/// The parts of a content: a text, a list of texts and blocks, or one block.
pub(super) fn parts(content: Value<'_>) -> Vec<Part<'_>> {
    parts_at(content, 0)
}

fn parts_at(content: Value<'_>, depth: usize) -> Vec<Part<'_>> {
    match content.kind() {
        Kind::Null => Vec::new(),
        Kind::String => content.string().filter(|text| !text.is_empty()).map(Part::Text).into_iter().collect(),
        Kind::Array => content.elements().filter_map(|block| part(block, depth)).collect(),
        _ => part(content, depth).into_iter().collect(),
    }
}

fn tool_result(content: Option<Value<'_>>, depth: usize) -> Part<'_> {
    match content {
        Some(content) if depth < MAX_RESULT_DEPTH => Part::ToolResult(parts_at(content, depth + 1)),
        Some(content) => Part::Json(content.text()),
        None => Part::ToolResult(Vec::new()),
    }
}

fn part(block: Value<'_>, depth: usize) -> Option<Part<'_>> {
    if block.kind() != Kind::Object {
        return Some(block.string().map_or(Part::Json(block.text()), Part::Text));
    }
    if let Some(kind) = block.get_string("type") {
        return Some(typed(block, &kind, depth));
    }
    // Converse and Nova: one member, whose name is the kind. The texts of Titan and Cohere look the same.
    for (key, value) in block.members() {
        let found = match key {
            "text" | "outputText" => value.string().map(Part::Text),
            "guardContent" => value.get("text").and_then(|text| text.get_string("text")).map(Part::Text),
            "toolUse" => Some(tool_use(value)),
            "toolResult" => Some(tool_result(value.get("content"), depth)),
            "reasoningContent" => Some(reasoning(value)),
            "image" | "document" | "video" | "audio" => Some(media(key, value)),
            "json" => Some(Part::Json(value.text())),
            // A mark in the prompt that says nothing.
            "cachePoint" => return None,
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    Some(Part::Json(block.text()))
}

/// A block of Anthropic or OpenAI, which says its kind.
fn typed<'a>(block: Value<'a>, kind: &str, depth: usize) -> Part<'a> {
    let text = |name: &str| block.get_string(name).unwrap_or_default();
    match kind {
        "text" | "input_text" | "output_text" => Part::Text(text("text")),
        "refusal" => Part::Text(text("refusal")),
        "thinking" => Part::Reasoning(text("thinking")),
        "redacted_thinking" => Part::Media("redacted thinking".to_owned()),
        "tool_use" | "server_tool_use" => tool_use(block),
        "tool_result" => tool_result(block.get("content"), depth),
        "image" | "document" => media(kind, block),
        "image_url" | "input_image" => Part::Media("image".to_owned()),
        "input_audio" => media("audio", block.get("input_audio").unwrap_or(block)),
        "file" | "input_file" => media("document", block.get("file").unwrap_or(block)),
        _ => Part::Json(block.text()),
    }
}

fn tool_use(tool: Value<'_>) -> Part<'_> {
    let arguments = tool.get("input").map_or(Cow::Borrowed(""), |input| Cow::Borrowed(input.text()));
    Part::ToolCall { name: tool.get_string("name").unwrap_or_default(), arguments }
}

/// A tool call of OpenAI's dialects: arguments are a text that holds JSON.
pub(super) fn function_call(call: Value<'_>) -> Part<'_> {
    let function = call.get("function").unwrap_or(call);
    // Cohere writes `parameters`, an object.
    let arguments = function.get("arguments").or_else(|| function.get("parameters"));
    let arguments = arguments.map_or(Cow::Borrowed(""), |a| a.string().unwrap_or(Cow::Borrowed(a.text())));
    Part::ToolCall { name: function.get_string("name").unwrap_or_default(), arguments }
}

fn reasoning(content: Value<'_>) -> Part<'_> {
    let text = content.get("reasoningText").and_then(|text| text.get_string("text"));
    text.map_or_else(|| Part::Media("redacted thinking".to_owned()), Part::Reasoning)
}

fn media<'a>(kind: &str, value: Value<'_>) -> Part<'a> {
    let media_type = || value.get("source").and_then(|source| source.get_string("media_type"));
    let format = value.get_string("format").or_else(media_type).unwrap_or_default();
    let name = ["name", "title", "filename"].into_iter().find_map(|name| value.get_string(name)).unwrap_or_default();
    let mut label = kind.to_owned();
    // `image/png` of a media type is `png`.
    for word in [format.rsplit('/').next().unwrap_or_default(), &name] {
        if !word.is_empty() {
            label.push(' ');
            label.push_str(word);
        }
    }
    Part::Media(label)
}

/// A list of things that are no text: how many, and for vectors how long.
pub(super) fn listing<'a>(key: &str, value: Value<'_>) -> Vec<Part<'a>> {
    match key {
        "embedding" => vec![Part::Media(format!("embedding of {}", value.elements().count()))],
        "embeddings" => {
            // By type where several were asked for: `{"float": [[…]]}`.
            let lists =
                if value.kind() == Kind::Object { value.members().next().map(|(_, list)| list) } else { Some(value) };
            vec![Part::Media(format!("{} embeddings", lists.map_or(0, |list| list.elements().count())))]
        }
        _ => value.elements().map(|_| Part::Media("image".to_owned())).collect(),
    }
}
