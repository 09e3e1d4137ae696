//! A request's body, in any dialect.

use super::block;
use super::text::Text;
use super::value::{Kind, Value};
use super::{Message, Part, Request};

/// Reads a request's body.
pub(super) fn read(body: Value<'_>) -> Request<'_> {
    let mut request = Request::default();
    for name in ["system", "instructions", "preamble"] {
        request.system.extend(body.get(name).map(block::parts).unwrap_or_default());
    }
    let messages = &mut request.messages;
    for turn in body.get("chat_history").into_iter().flat_map(Value::elements) {
        let role = turn.get_string("role").unwrap_or("user".into());
        push(messages, Text::of(&role.to_lowercase()), turn.get("message").map(block::parts));
    }
    for message in body.get("messages").into_iter().flat_map(Value::elements) {
        messages.extend(block::message(message));
    }
    let user = || Text::of_json("user");
    if let Some(input) = body.get("input") {
        match input.kind() {
            Kind::Array => messages.extend(input.elements().map(block::item)),
            _ => push(messages, user(), Some(block::parts(input))),
        }
    }
    // Llama, Mistral and Anthropic's old text dialect; Titan; Cohere; Stability; embeddings.
    for name in ["prompt", "inputText", "message", "texts", "text_prompts"] {
        push(messages, user(), body.get(name).map(block::parts));
    }
    push(messages, user(), body.get("textToImageParams").and_then(|params| params.get("text")).map(block::parts));
    request
}

fn push<'a>(messages: &mut Vec<Message<'a>>, role: Text<'a>, parts: Option<Vec<Part<'a>>>) {
    if let Some(parts) = parts.filter(|parts| !parts.is_empty()) {
        messages.push(Message { role, parts });
    }
}
