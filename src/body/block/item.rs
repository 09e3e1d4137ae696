//! An item of OpenAI's Responses: a message, a tool call, a call's output, or what the model thought, sent or received.

use super::{message, parts, text_of};
use crate::body::text::Text;
use crate::body::value::Value;
use crate::body::{Arguments, MediaKind, Message, Part, ToolCall, ToolResult};

/// Reads an item; one of a kind that is not known is a message of its JSON.
pub(in crate::body) fn item(item: Value<'_>) -> Message<'_> {
    let kind = item.get_string("type").unwrap_or_default();
    match &*kind {
        "message" | "" => message(item).unwrap_or_else(|| Message::new("user", parts(item))),
        "reasoning" => Message::new("assistant", reasoning(item)),
        "image_generation_call" => {
            let mut image = Vec::new();
            item.get("result").into_iter().for_each(|result| super::attach(&mut image, MediaKind::Image, result));
            Message::new("assistant", image)
        }
        _ => {
            if let Some(name) = kind.strip_suffix("_call") {
                Message::new("assistant", called(item, name))
            } else if kind.ends_with("_call_output") {
                let [id, output] = item.fields(["call_id", "output"]);
                Message::new("tool", vec![result(id, output, false)])
            } else {
                Message::new("assistant", vec![Part::Json(item.raw())])
            }
        }
    }
}

fn reasoning(item: Value<'_>) -> Vec<Part<'_>> {
    let [summary, content, encrypted] = item.fields(["summary", "content", "encrypted_content"]);
    let texts = [summary, content].into_iter().flatten().flat_map(Value::elements);
    let mut thoughts: Vec<_> = texts.filter_map(text_of).map(Part::Reasoning).collect();
    if thoughts.is_empty() && encrypted.is_some() {
        thoughts.push(Part::Reasoning(Text::default()));
    }
    thoughts
}

/// A call; a provider's own tool has no name but in the item's type. A tool that the provider runs leaves its output in
/// the call.
fn called<'a>(item: Value<'a>, kind: &str) -> Vec<Part<'a>> {
    let mut call = function_call(item);
    if let Part::ToolCall(ToolCall { name, .. }) = &mut call
        && name.is_empty()
        && kind != "function"
    {
        *name = Text::of(kind);
    }
    let mut parts = vec![call];
    let [id, output, error] = item.fields(["id", "output", "error"]);
    if output.is_some() || error.is_some() {
        parts.push(result(id, output.or(error), error.is_some()));
    }
    parts
}

fn result<'a>(id: Option<Value<'a>>, output: Option<Value<'a>>, is_error: bool) -> Part<'a> {
    let parts = output.map(parts).unwrap_or_default();
    Part::ToolResult(ToolResult { id: id.and_then(Value::as_text), is_error, parts })
}

/// A tool call of OpenAI's dialects: arguments are a text that holds JSON, or whatever the tool wants.
pub(in crate::body) fn function_call(call: Value<'_>) -> Part<'_> {
    let [call_id, id, function, custom, direct @ ..] = call.fields([
        "call_id",
        "id",
        "function",
        "custom",
        "name",
        "arguments",
        // Cohere: an object.
        "parameters",
        "input",
        // Tools of the provider.
        "action",
        "operation",
        "code",
        "queries",
    ]);
    let [name, arguments @ ..] = match function.or(custom) {
        Some(function) => {
            let [name, arguments, parameters, input] = function.fields(["name", "arguments", "parameters", "input"]);
            [name, arguments, parameters, input, None, None, None, None]
        }
        None => direct,
    };
    let arguments = arguments.into_iter().flatten().next();
    let arguments = arguments.map(|a| a.as_text().map_or(Arguments::Json(a.raw()), Arguments::Text));
    Part::ToolCall(ToolCall {
        id: call_id.or(id).and_then(Value::as_text),
        name: name.and_then(Value::as_text).unwrap_or_default(),
        arguments: arguments.unwrap_or_default(),
    })
}
