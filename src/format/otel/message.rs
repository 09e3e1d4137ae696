//! A message: what was said, in the parts of the GenAI conventions' JSON schemas (semantic conventions 1.41.0,
//! `gen-ai-input-messages.json`, `gen-ai-output-messages.json`, `gen-ai-system-instructions.json`,
//! `gen-ai-tool-definitions.json`).

use super::value::{Any, List, Map};
use crate::body::{Answer, Arguments, Media, MediaKind, Message, Part, Request, StopReason, Text, Tool, ToolResult};

/// What the caller sent.
pub(super) fn request(attributes: &mut Map<'_, '_>, request: &Request<'_>) {
    if !request.system.is_empty() {
        attributes.set("gen_ai.system_instructions", |any| any.list(|list| parts(list, &request.system)));
    }
    if !request.messages.is_empty() {
        attributes.set("gen_ai.input.messages", |any| {
            any.list(|list| request.messages.iter().for_each(|one| list.push(|any| any.map(|map| message(map, one)))));
        });
    }
    if !request.tools.is_empty() {
        attributes.set("gen_ai.tool.definitions", |any| {
            any.list(|list| request.tools.iter().for_each(|one| list.push(|any| any.map(|map| tool(map, one)))));
        });
    }
}

/// What the model answered. Each message needs the reason of its end: an answer has one for all.
pub(super) fn answer(attributes: &mut Map<'_, '_>, answer: &Answer<'_>, stop: Option<StopReason>) {
    if answer.messages.is_empty() {
        return;
    }
    attributes.set("gen_ai.output.messages", |any| {
        any.list(|list| {
            for one in &answer.messages {
                list.push(|any| {
                    any.map(|map| {
                        message(map, one);
                        map.set("finish_reason", |any| finish_reason(any, answer, stop));
                    });
                });
            }
        });
    });
}

/// Why the model stopped, in the conventions' words, which are an open set: a word that stands for none of them is passed
/// on, and where there is none the reason is not known.
pub(super) fn finish_reason(any: Any<'_, '_>, answer: &Answer<'_>, stop: Option<StopReason>) {
    let word = match stop {
        Some(StopReason::EndTurn | StopReason::StopSequence) => "stop",
        Some(StopReason::ToolUse) => "tool_call",
        Some(StopReason::MaxTokens | StopReason::ContextWindowExceeded) => "length",
        Some(StopReason::GuardrailIntervened | StopReason::ContentFiltered) => "content_filter",
        Some(StopReason::MalformedModelOutput | StopReason::MalformedToolUse | StopReason::Error) => "error",
        Some(StopReason::Other) | None => match &answer.stop_reason {
            Some(word) => return any.said(word),
            None => "unknown",
        },
    };
    any.text(word);
}

fn message(map: &mut Map<'_, '_>, message: &Message<'_>) {
    map.said("role", Some(&message.role));
    map.set("parts", |any| any.list(|list| parts(list, &message.parts)));
}

fn parts(list: &mut List<'_, '_>, parts: &[Part<'_>]) {
    parts.iter().for_each(|one| list.push(|any| any.map(|map| part(map, one))));
}

fn part(map: &mut Map<'_, '_>, part: &Part<'_>) {
    let mut content = |kind: &str, text: &Text<'_>| {
        map.text("type", Some(kind));
        map.set("content", |any| any.said(text));
    };
    match part {
        Part::Text(text) => content("text", text),
        Part::Reasoning(text) => content("reasoning", text),
        Part::ToolCall(call) => {
            map.text("type", Some("tool_call"));
            map.said("id", call.id.as_ref());
            map.set("name", |any| any.said(&call.name));
            match &call.arguments {
                Arguments::Json(json) => map.set("arguments", |any| any.json(*json)),
                Arguments::Text(text) if text.is_empty() => {}
                Arguments::Text(text) => map.set("arguments", |any| any.json_or_text(text)),
            }
        }
        Part::ToolResult(result) => {
            map.text("type", Some("tool_call_response"));
            map.said("id", result.id.as_ref());
            map.set("response", |any| response(any, result));
            map.boolean("is_error", Some(true).filter(|_| result.is_error));
        }
        Part::Media(media) => medium(map, media),
        Part::Json(json) => {
            map.text("type", Some("json"));
            map.set("content", |any| any.json(*json));
        }
    }
}

/// What a tool gave back: its text or its JSON where that is all, else its parts.
fn response(any: Any<'_, '_>, result: &ToolResult<'_>) {
    match result.parts.as_slice() {
        [Part::Text(text)] => any.said(text),
        [Part::Json(json)] => any.json(*json),
        several => any.list(|list| parts(list, several)),
    }
}

/// A reference where there is one. Bytes that are in the body are not repeated here: of them the size is told.
fn medium(map: &mut Map<'_, '_>, media: &Media<'_>) {
    let mut reference = |kind: &str, key: &str, value: &Text<'_>| {
        map.text("type", Some(kind));
        map.said(key, Some(value));
    };
    match &media.uri {
        Some(uri) if uri.decode().contains("://") => reference("uri", "uri", uri),
        Some(id) => reference("file", "file_id", id),
        None => map.text("type", Some("blob")),
    }
    map.text("modality", Some(media.kind.as_str()));
    if let Some(kind) = &media.media_type {
        map.text("mime_type", mime_type(media.kind, &kind.decode()).as_deref());
    }
    map.said("name", media.name.as_ref());
    map.integer("size", media.bytes.and_then(|bytes| i64::try_from(bytes).ok()));
}

/// The media type of a format of Converse (source: the API model of `bedrock-runtime`).
fn mime_type(kind: MediaKind, format: &str) -> Option<String> {
    if format.contains('/') {
        return Some(format.to_owned());
    }
    let known = match (kind, format) {
        (MediaKind::Document, "pdf") => "application/pdf",
        (MediaKind::Document, "csv") => "text/csv",
        (MediaKind::Document, "html") => "text/html",
        (MediaKind::Document, "txt") => "text/plain",
        (MediaKind::Document, "md") => "text/markdown",
        (MediaKind::Document, "doc") => "application/msword",
        (MediaKind::Document, "docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        (MediaKind::Document, "xls") => "application/vnd.ms-excel",
        (MediaKind::Document, "xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        (MediaKind::Document, _) => return None,
        (MediaKind::Video, "mov") => "video/quicktime",
        (MediaKind::Video, "mkv") => "video/x-matroska",
        (MediaKind::Video, "three_gp") => "video/3gpp",
        (MediaKind::Video, "wmv") => "video/x-ms-wmv",
        (MediaKind::Video, "flv") => "video/x-flv",
        (MediaKind::Video, "mpg") => "video/mpeg",
        (MediaKind::Audio, "mp3") => "audio/mpeg",
        (kind, format) => return Some(format!("{}/{format}", kind.as_str())),
    };
    Some(known.to_owned())
}

fn tool(map: &mut Map<'_, '_>, tool: &Tool<'_>) {
    map.text("type", Some("function"));
    map.set("name", |any| any.said(&tool.name));
    map.said("description", tool.description.as_ref());
    if let Some(schema) = tool.schema {
        map.set("parameters", |any| any.json(schema));
    }
}
