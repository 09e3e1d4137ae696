use super::super::{Arguments, Message, Part, Usage};
use super::*;
use crate::invocation::RawJson;

mod hostile;
mod merged;
mod streams;

/// An answer as texts, so that what is expected can be read: a line a message, and one of all that is known beside.
fn shown(answer: &Answer<'_>) -> Vec<String> {
    let mut lines: Vec<_> = answer.messages.iter().map(message).collect();
    let mut facts = Vec::new();
    if let Some(word) = &answer.stop_reason {
        facts.push(format!("stop={}>{}", word.decode(), answer.why_stopped().unwrap().as_str()));
    }
    let Usage { input, output, cache_read, cache_write, cache_write_1h, reasoning, total, total_is_off } = answer.usage;
    let numbers = [
        ("in", input),
        ("out", output),
        ("read", cache_read),
        ("write", cache_write),
        ("1h", cache_write_1h),
        ("thought", reasoning),
        ("total", total),
        ("ms", answer.latency_ms),
        ("first", answer.first_byte_ms),
    ];
    facts.extend(numbers.iter().filter_map(|(name, number)| Some(format!("{name}={}", (*number)?))));
    facts.extend(total_is_off.then(|| "off".to_owned()));
    let texts = [("id", &answer.response_id), ("request", &answer.request_id), ("model", &answer.model)];
    facts.extend(texts.iter().filter_map(|(name, text)| Some(format!("{name}={}", text.as_ref()?.decode()))));
    facts.extend(answer.embeddings.map(|found| format!("vectors={}x{}", found.count, found.dimensions)));
    lines.push(facts.join(" "));
    lines
}

fn message(message: &Message<'_>) -> String {
    format!("{}: {}", message.role.decode(), message.parts.iter().map(part).collect::<Vec<_>>().join("|"))
}

fn part(part: &Part<'_>) -> String {
    match part {
        Part::Text(text) => text.decode().into_owned(),
        Part::Reasoning(text) => format!("(thinking {})", text.decode()),
        Part::ToolCall(call) => {
            let arguments = match &call.arguments {
                Arguments::Json(json) => json.0.into(),
                Arguments::Text(text) => text.decode(),
            };
            let id = call.id.as_ref().map(|id| format!("#{}", id.decode())).unwrap_or_default();
            format!("(call {}{id} {arguments})", call.name.decode())
        }
        Part::ToolResult(result) => format!("(result {})", result.parts.iter().map(self::part).collect::<String>()),
        Part::Media(media) => format!("({} of {:?})", media.kind.as_str(), media.bytes),
        Part::Json(json) => format!("(json {})", json.0),
    }
}

/// Reads a body and compares what it says.
fn check(name: &str, body: &str, expected: &[&str]) {
    assert_eq!(shown(&read(Value::new(RawJson(body)))), expected, "{name}");
}

#[test]
fn a_call_at_the_end_of_a_response_is_the_reason_of_its_end() {
    for (body, expected) in [
        (r#"{"object":"response","status":"completed","output":[{"type":"function_call","name":"f"}]}"#, "tool_use"),
        (r#"{"object":"response","status":"completed","output":[{"type":"message","content":"x"}]}"#, "end_turn"),
        (r#"{"object":"response","status":"completed","output":[{"type":"web_search_call","name":"x"}]}"#, "end_turn"),
        (
            r#"[{"type":"response.output_item.added","item":{"type":"custom_tool_call"}},{"response":{"status":"completed"}}]"#,
            "tool_use",
        ),
        (r#"{"text":"","finish_reason":"COMPLETE","tool_calls":[{"name":"f","parameters":{}}]}"#, "tool_use"),
        (
            r#"{"stop_reason":"end_turn","content":[{"type":"server_tool_use","name":"web_search","input":{}}]}"#,
            "end_turn",
        ),
    ] {
        let answer = read(Value::new(RawJson(body)));
        assert_eq!(answer.why_stopped().map(StopReason::as_str), Some(expected), "{body}");
    }
}
