//! What was said: messages with their parts, and tools.

use crate::body::{Arguments, Message, Part, Text, Tool, ToolCall};
use crate::format::object::{Array, Object};
use crate::json::{Cursor, MAX_DEPTH};

pub(super) fn messages(key: &'static str, to: &mut Object<'_>, messages: &[Message<'_>]) {
    to.array(key, |array| {
        for message in messages {
            array.object(|to| {
                to.said("role", Some(&message.role));
                to.array("content", |array| parts(array, &message.parts));
            });
        }
    });
}

pub(super) fn parts(array: &mut Array<'_>, parts: &[Part<'_>]) {
    for part in parts {
        array.object(|to| self::part(to, part));
    }
}

fn part(to: &mut Object<'_>, part: &Part<'_>) {
    match part {
        Part::Text(text) => {
            to.text("type", "text");
            to.said("text", Some(text));
        }
        Part::Reasoning(text) => {
            to.text("type", "reasoning");
            to.said("text", Some(text));
        }
        Part::ToolCall(call) => {
            to.text("type", "tool_call");
            self::call(to, call);
        }
        Part::ToolResult(result) => {
            to.text("type", "tool_result");
            to.said("id", result.id.as_ref());
            to.boolean("is_error", Some(result.is_error));
            to.array("content", |array| parts(array, &result.parts));
        }
        Part::Media(media) => {
            to.text("type", media.kind.as_str());
            to.said("media_type", media.media_type.as_ref());
            to.said("name", media.name.as_ref());
            to.integer("bytes", media.bytes.and_then(|bytes| i64::try_from(bytes).ok()));
            to.said("uri", media.uri.as_ref());
        }
        Part::Json(json) => {
            to.text("type", "json");
            to.json("json", Some(*json));
        }
    }
}

pub(super) fn call(to: &mut Object<'_>, call: &ToolCall<'_>) {
    to.said("id", call.id.as_ref());
    to.said("name", Some(&call.name));
    match &call.arguments {
        Arguments::Json(json) => to.json("arguments", Some(*json)),
        Arguments::Text(text) => arguments(to, text),
    }
}

/// Arguments that came as text: the JSON that they are, or the text itself where the model wrote no JSON.
fn arguments(to: &mut Object<'_>, text: &Text<'_>) {
    if text.is_empty() {
        return;
    }
    let decoded = text.decode();
    let mut cursor = Cursor::new(decoded.as_bytes(), 0);
    match cursor.value(MAX_DEPTH) {
        Ok(span) if cursor.peek().is_none() => {
            to.raw_key("arguments");
            to.raw(decoded.get(span).unwrap_or_default());
        }
        _ => to.said("arguments", Some(text)),
    }
}

pub(super) fn tools(key: &'static str, to: &mut Object<'_>, tools: &[Tool<'_>]) {
    to.array(key, |array| {
        for tool in tools {
            array.object(|to| {
                to.said("name", Some(&tool.name));
                to.said("description", tool.description.as_ref());
                to.json("schema", tool.schema);
            });
        }
    });
}
