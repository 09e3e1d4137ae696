//! A block: one piece of a message's content, in any family's shape; and the messages that blocks make up.

use super::text::Text;
use super::value::{Kind, Value};
use super::{Arguments, Media, MediaKind, Message, Part, ToolCall, ToolResult};

mod item;
mod media;

pub(super) use item::{function_call, item};

/// Contents in contents are followed this far: the result of a tool, the page in it that the tool fetched, the page's
/// document, the document's blocks. What is deeper stays JSON. Each level that is followed reads all that is in it once
/// more.
const MAX_CONTENT_DEPTH: usize = 4;

/// A message of Converse, Anthropic, OpenAI, Mistral, Cohere or DeepSeek: a role, content, and tool calls beside it.
pub(super) fn message(message: Value<'_>) -> Option<Message<'_>> {
    let [role, content, calls, call, result_id, thought, thought_too, plan, refusal, audio] = message.fields([
        "role",
        "content",
        "tool_calls",
        // OpenAI's before there were tools.
        "function_call",
        "tool_call_id",
        "reasoning_content",
        "reasoning",
        // Cohere.
        "tool_plan",
        "refusal",
        "audio",
    ]);
    let role = role.and_then(Value::as_text).unwrap_or(Text::of_json("assistant"));
    // Some servers write the same thought under both names.
    let thoughts = [thought, thought_too.filter(|_| thought != thought_too), plan];
    let thoughts = thoughts.into_iter().flatten().filter_map(text_of);
    // Most messages have one part; parts are large, and a body may be full of tiny messages.
    let mut parts = Vec::with_capacity(1);
    parts.extend(thoughts.map(Part::Reasoning));
    if role == "tool" || role == "function" {
        let content = content.map(self::parts).unwrap_or_default();
        let id = result_id.and_then(Value::as_text);
        parts.push(Part::ToolResult(ToolResult { id, is_error: false, parts: content }));
    } else if let Some(content) = content {
        push_content(&mut parts, content, 0);
    }
    parts.extend(refusal.and_then(text_of).map(Part::Text));
    if let Some(uri) = audio.and_then(|audio| audio.get_text("id")) {
        let media = Media { kind: MediaKind::Audio, media_type: None, name: None, bytes: None, uri: Some(uri) };
        parts.push(Part::Media(media));
    }
    let calls = calls.into_iter().flat_map(Value::elements).chain(call);
    parts.extend(calls.filter(|call| call.kind() == Kind::Object).map(function_call));
    (!parts.is_empty()).then_some(Message { role, parts })
}

/// The parts of a content: a text, a list of texts and blocks, or one block.
pub(super) fn parts(content: Value<'_>) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    push_content(&mut parts, content, 0);
    parts
}

/// A call of a tool, of Converse or Anthropic.
pub(super) fn tool_use(tool: Value<'_>) -> Part<'_> {
    let [converse_id, id, name, input] = tool.fields(["toolUseId", "id", "name", "input"]);
    Part::ToolCall(ToolCall {
        id: converse_id.or(id).and_then(Value::as_text),
        name: name.and_then(Value::as_text).unwrap_or_default(),
        arguments: input.map_or_else(Arguments::default, |input| Arguments::Json(input.raw())),
    })
}

/// Appends a medium that stands outside of any content, unless it is but the settings of one.
pub(super) fn attach<'a>(out: &mut Vec<Part<'a>>, kind: MediaKind, value: Value<'a>) {
    let found = media::read(kind, value);
    if found.has_content() {
        push_found(out, found, 0);
    }
}

/// Appends a document of Cohere's or AI21's: a text, or an object whose texts the model reads, whatever their names.
pub(super) fn document<'a>(out: &mut Vec<Part<'a>>, document: Value<'a>) {
    if document.kind() == Kind::String {
        push_text(out, document, document);
    }
    let mut media = Media { kind: MediaKind::Document, media_type: None, name: None, bytes: None, uri: None };
    let mut texts = Vec::new();
    // Cohere's newer chat has them one level below.
    let data = document.get("data");
    for (key, value) in document.members().chain(data.into_iter().flat_map(Value::members)) {
        let text = value.as_text().filter(|text| !text.is_empty());
        match &*key {
            "title" | "name" => media.name = text.or(media.name),
            "url" => media.uri = text.or(media.uri),
            "id" => {}
            _ => texts.extend(text.map(Part::Text)),
        }
    }
    if media.name.is_some() || media.uri.is_some() {
        out.push(Part::Media(media));
    }
    out.append(&mut texts);
}

/// The text of a string, or of an object with a `text`, that is not empty.
fn text_of(value: Value<'_>) -> Option<Text<'_>> {
    value.as_text().or_else(|| value.get_text("text")).filter(|text| !text.is_empty())
}

fn push_content<'a>(out: &mut Vec<Part<'a>>, content: Value<'a>, depth: usize) {
    if depth > MAX_CONTENT_DEPTH {
        out.push(Part::Json(content.raw()));
        return;
    }
    match content.kind() {
        Kind::Null => {}
        Kind::String | Kind::Object => push_block(out, content, depth),
        Kind::Bool | Kind::Number => out.push(Part::Json(content.raw())),
        Kind::Array => content.elements().for_each(|block| push_block(out, block, depth)),
    }
}

/// What is neither a text nor an object is no block, such as the tokens of a prompt that a caller made himself.
fn push_block<'a>(out: &mut Vec<Part<'a>>, block: Value<'a>, depth: usize) {
    match block.kind() {
        Kind::String => push_text(out, block, block),
        Kind::Object => {
            let [kind, text] = block.fields(["type", "text"]);
            match (kind.and_then(Value::string), text) {
                (Some(kind), text) => push_typed(out, block, &kind, text, depth),
                (None, Some(text)) if text.kind() == Kind::String => push_text(out, block, text),
                _ => push_named(out, block, depth),
            }
        }
        _ => {}
    }
}

/// Appends a block's text; the block as it is where that is none.
fn push_text<'a>(out: &mut Vec<Part<'a>>, block: Value<'a>, text: Value<'a>) {
    match text.as_text() {
        Some(text) if text.is_empty() => {}
        Some(text) => out.push(Part::Text(text)),
        None => out.push(Part::Json(block.raw())),
    }
}

/// A block of Anthropic, OpenAI, Mistral or Cohere, which says its kind.
fn push_typed<'a>(out: &mut Vec<Part<'a>>, block: Value<'a>, kind: &str, text: Option<Value<'a>>, depth: usize) {
    match kind {
        "text" | "input_text" | "output_text" => push_text(out, block, text.unwrap_or(block)),
        "refusal" => push_text(out, block, block.get("refusal").unwrap_or(block)),
        "thinking" => push_thinking(out, block.get("thinking")),
        "summary_text" | "reasoning_text" => out.extend(text.and_then(text_of).map(Part::Reasoning)),
        "redacted_thinking" => out.push(Part::Reasoning(Text::default())),
        "tool_use" | "server_tool_use" | "mcp_tool_use" => out.push(tool_use(block)),
        "image" | "image_url" | "input_image" | "computer_screenshot" => {
            push_media(out, MediaKind::Image, block, depth)
        }
        "document" => match block.get("document") {
            Some(inner) => document(out, inner),
            None => push_media(out, MediaKind::Document, block, depth),
        },
        "file" | "input_file" | "document_url" | "container_upload" | "search_result" | "web_search_result"
        | "web_fetch_result" => push_media(out, MediaKind::Document, block, depth),
        "audio" | "audio_url" | "input_audio" => push_media(out, MediaKind::Audio, block, depth),
        "video" | "video_url" | "input_video" => push_media(out, MediaKind::Video, block, depth),
        _ if kind.ends_with("tool_result") => push_tool_result(out, block, depth),
        _ if kind.ends_with("execution_result") => push_execution(out, block, depth),
        _ => out.push(Part::Json(block.raw())),
    }
}

/// A block of Converse or Nova: one member, whose name is the kind. The texts of Titan look the same.
fn push_named<'a>(out: &mut Vec<Part<'a>>, block: Value<'a>, depth: usize) {
    for (key, value) in block.members().filter(|(_, value)| value.kind() != Kind::Null) {
        match &*key {
            "outputText" => push_text(out, block, value),
            "guardContent" => match value.fields(["text", "image"]) {
                [Some(text), _] => push_text(out, block, text.get("text").unwrap_or(text)),
                [_, Some(image)] => push_media(out, MediaKind::Image, image, depth),
                _ => out.push(Part::Json(block.raw())),
            },
            "citationsContent" => {
                value.get("content").into_iter().for_each(|content| push_content(out, content, depth + 1));
            }
            "toolUse" => out.push(tool_use(value)),
            "toolResult" => push_tool_result(out, value, depth),
            "reasoningContent" => out.push(reasoning(value)),
            "image" => push_media(out, MediaKind::Image, value, depth),
            "document" | "searchResult" => push_media(out, MediaKind::Document, value, depth),
            "video" => push_media(out, MediaKind::Video, value, depth),
            "audio" => push_media(out, MediaKind::Audio, value, depth),
            "json" => out.push(Part::Json(value.raw())),
            // A mark in the prompt that says nothing.
            "cachePoint" => {}
            _ => continue,
        }
        return;
    }
    if block.members().any(|(_, value)| value.kind() != Kind::Null) {
        out.push(Part::Json(block.raw()));
    }
}

/// Anthropic: a text. Mistral: a list of texts.
fn push_thinking<'a>(out: &mut Vec<Part<'a>>, thinking: Option<Value<'a>>) {
    match thinking {
        Some(list) if list.kind() == Kind::Array => {
            out.extend(list.elements().filter_map(text_of).map(Part::Reasoning));
        }
        one => out.push(Part::Reasoning(one.and_then(Value::as_text).unwrap_or_default())),
    }
}

fn reasoning(content: Value<'_>) -> Part<'_> {
    let [merged, delta] = content.fields(["reasoningText", "text"]);
    Part::Reasoning(merged.or(delta).and_then(text_of).unwrap_or_default())
}

fn push_tool_result<'a>(out: &mut Vec<Part<'a>>, result: Value<'a>, depth: usize) {
    let [converse_id, id, content, is_error, status] =
        result.fields(["toolUseId", "tool_use_id", "content", "is_error", "status"]);
    let mut parts = Vec::new();
    let mut failed = is_error.and_then(Value::boolean) == Some(true)
        || status.and_then(Value::string).is_some_and(|status| status == "error");
    if let Some(content) = content {
        // A tool that the provider runs: the type of what it gave says that it failed.
        failed |= content.get_string("type").is_some_and(|kind| kind.ends_with("_error"));
        push_content(&mut parts, content, depth + 1);
    }
    let id = converse_id.or(id).and_then(Value::as_text);
    out.push(Part::ToolResult(ToolResult { id, is_error: failed, parts }));
}

/// What a program that ran at the provider wrote.
fn push_execution<'a>(out: &mut Vec<Part<'a>>, execution: Value<'a>, depth: usize) {
    let [stdout, stderr, content] = execution.fields(["stdout", "stderr", "content"]);
    if stdout.is_none() && stderr.is_none() && content.is_none() {
        out.push(Part::Json(execution.raw()));
    }
    out.extend([stdout, stderr].into_iter().flatten().filter_map(text_of).map(Part::Text));
    content.into_iter().for_each(|content| push_content(out, content, depth + 1));
}

fn push_media<'a>(out: &mut Vec<Part<'a>>, kind: MediaKind, value: Value<'a>, depth: usize) {
    push_found(out, media::read(kind, value), depth);
}

fn push_found<'a>(out: &mut Vec<Part<'a>>, found: media::Found<'a>, depth: usize) {
    out.push(Part::Media(found.media));
    found.texts.into_iter().for_each(|text| push_content(out, text, depth + 1));
}
