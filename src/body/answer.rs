//! An answer's body, in any dialect: one object, or the list of a stream's events.

use super::text::Text;
use super::usage::set;
use super::value::{Kind, Value};
use super::{Answer, Embeddings, Media, MediaKind, Message, Part, block, stream};

/// Reads an answer's body.
pub(super) fn read(body: Value<'_>) -> Answer<'_> {
    let mut answer = Answer::default();
    match body.kind() {
        Kind::Object => {
            facts(&mut answer, body);
            contents(&mut answer, body);
        }
        Kind::Array => {
            body.elements().for_each(|event| facts(&mut answer, event));
            answer.messages = stream::join(body);
        }
        _ => {}
    }
    answer.messages.retain(|message| !message.parts.is_empty());
    answer
}

/// Reads what an answer, or one event of a stream, says of the call: every family keeps these facts at the top or one
/// level below it. Later events win.
fn facts<'a>(answer: &mut Answer<'a>, object: Value<'a>) {
    let mut is_response = false;
    for (key, value) in object.members() {
        match &*key {
            "object" => is_response = value.text() == "\"response\"",
            "choices" | "results" | "outputs" | "generations" | "completions" => {
                value.elements().take(1).for_each(|first| choice_facts(answer, first));
            }
            // Anthropic and Cohere: `delta`; Anthropic: `message`; Converse and Nova streams: `messageStop`, `metadata`.
            "delta" | "message" | "messageStop" | "metadata" => nested(answer, value),
            "response" => {
                nested(answer, value);
                status(answer, value);
            }
            _ => fact(answer, &key, value),
        }
    }
    if is_response {
        status(answer, object);
    }
}

fn nested<'a>(answer: &mut Answer<'a>, object: Value<'a>) {
    for (key, value) in object.members() {
        fact(answer, &key, value);
    }
}

/// One of several alternatives; the first one speaks for all.
fn choice_facts<'a>(answer: &mut Answer<'a>, choice: Value<'a>) {
    for (key, value) in choice.members() {
        match &*key {
            // AI21 Jurassic: an object with the reason in it.
            "finishReason" if value.kind() == Kind::Object => stop(answer, value.get("reason")),
            // Titan: the tokens of this result.
            "tokenCount" => set(&mut answer.usage.output, value),
            _ => fact(answer, &key, value),
        }
    }
}

fn fact<'a>(answer: &mut Answer<'a>, key: &str, value: Value<'a>) {
    match key {
        "stopReason" | "stop_reason" | "finish_reason" | "finishReason" | "completionReason" => {
            stop(answer, Some(value));
        }
        "metrics" => {
            if let Some(latency) = value.get("latencyMs") {
                set(&mut answer.latency_ms, latency);
            }
        }
        "usage" => answer.usage.read(value),
        "amazon-bedrock-invocationMetrics" => {
            value.get("invocationLatency").into_iter().for_each(|ms| set(&mut answer.latency_ms, ms));
            value.get("firstByteLatency").into_iter().for_each(|ms| set(&mut answer.first_byte_ms, ms));
            answer.usage.read(value);
        }
        "id" => answer.response_id = value.as_text().or(answer.response_id.take()),
        "model" => answer.model = value.as_text().or(answer.model.take()),
        // Llama and Titan.
        "prompt_token_count" | "inputTextTokenCount" => set(&mut answer.usage.input, value),
        "generation_token_count" => set(&mut answer.usage.output, value),
        _ => {}
    }
}

fn stop<'a>(answer: &mut Answer<'a>, value: Option<Value<'a>>) {
    if let Some(reason) = value.and_then(Value::as_text).filter(|reason| !reason.is_empty()) {
        answer.stop_reason = Some(reason);
    }
}

/// The state of a response of OpenAI's Responses stands for the reason of its end; an incomplete one names its reason.
fn status<'a>(answer: &mut Answer<'a>, response: Value<'a>) {
    let reason = response.get("incomplete_details").and_then(|details| details.get("reason"));
    stop(answer, reason.or_else(|| response.get("status")));
}

/// Reads what a merged answer says.
fn contents<'a>(answer: &mut Answer<'a>, body: Value<'a>) {
    let messages = &mut answer.messages;
    for (key, value) in body.members() {
        match &*key {
            // Converse and Nova: an object with the message; Responses: a list of items.
            "output" if value.kind() == Kind::Array => messages.extend(value.elements().map(block::item)),
            "output" => messages.extend(value.get("message").and_then(block::message)),
            "choices" => messages.extend(value.elements().filter_map(choice)),
            // Anthropic: the body is the message. Cohere's newer chat: the message is in the body.
            "content" => messages.push(Message::new("assistant", block::parts(value))),
            "message" if value.kind() == Kind::Object => messages.extend(block::message(value)),
            "tool_calls" => {
                messages.push(Message::new("assistant", value.elements().map(block::function_call).collect()));
            }
            // Llama; Cohere; Anthropic's old text dialect; Titan.
            "generation" | "text" | "completion" | "outputText" => {
                messages.push(Message::new("assistant", block::parts(value)));
            }
            "generations" | "outputs" | "results" | "completions" => {
                let parts = value.elements().flat_map(|one| block::parts(one.get("data").unwrap_or(one)));
                messages.push(Message::new("assistant", parts.collect()));
            }
            "images" | "artifacts" => {
                let image = Media { kind: MediaKind::Image, media_type: None, name: None, bytes: None, uri: None };
                let parts = value.elements().map(|_| Part::Media(image.clone()));
                messages.push(Message::new("assistant", parts.collect()));
            }
            "embedding" => {
                answer.embeddings = Some(Embeddings { count: 1, dimensions: value.elements().count() });
            }
            "embeddings" => answer.embeddings = Some(embeddings(value)),
            _ => {}
        }
    }
}

fn embeddings(value: Value<'_>) -> Embeddings {
    // By type where several were asked for: `{"float": [[…]]}`.
    let lists = if value.kind() == Kind::Object { value.members().next().map(|(_, list)| list) } else { Some(value) };
    let count = lists.map_or(0, |list| list.elements().count());
    let first = lists.and_then(|list| list.elements().next());
    Embeddings { count, dimensions: first.map_or(0, |vector| vector.elements().count()) }
}

fn choice(choice: Value<'_>) -> Option<Message<'_>> {
    match choice.get("message") {
        Some(message) => block::message(message),
        None => Some(Message { role: Text::of_json("assistant"), parts: block::parts(choice.get("text")?) }),
    }
}
