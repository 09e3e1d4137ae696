//! A conversation: a request's and an answer's bodies as turns that a person can read, with a stream's deltas joined.

use std::borrow::Cow;

use super::value::{Kind, Value};
use crate::invocation::RawJson;

mod block;
mod stream;

/// What one side said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// `system`, `user`, `assistant`, or whatever the body says.
    pub role: Cow<'a, str>,
    /// What was said, in order.
    pub parts: Vec<Part<'a>>,
}

/// One thing that was said. Nothing in it is escaped for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// What the model thought before it answered.
    Reasoning(Cow<'a, str>),
    /// The model asks for a tool.
    ToolCall {
        /// The tool's name.
        name: Cow<'a, str>,
        /// The arguments: JSON, as far as the model wrote it.
        arguments: Cow<'a, str>,
    },
    /// What a tool gave back.
    ToolResult(Vec<Part<'a>>),
    /// What is no text, by kind, format and name, such as `image png`.
    Media(String),
    /// JSON of a shape that is not known.
    Json(&'a str),
}

impl<'a> Turn<'a> {
    fn new(role: impl Into<Cow<'a, str>>, parts: Vec<Part<'a>>) -> Self {
        Self { role: role.into(), parts }
    }
}

/// The turns of a request's body and of its answer's body; a body of a dialect that is not known is one turn of JSON.
pub fn conversation<'a>(input: Option<RawJson<'a>>, output: Option<RawJson<'a>>) -> Vec<Turn<'a>> {
    let mut turns = Vec::new();
    if let Some(body) = input.map(Value::new).filter(|body| body.kind() != Kind::Null) {
        let before = turns.len();
        request(body, &mut turns);
        if turns.len() == before {
            turns.push(Turn::new("request", vec![Part::Json(body.text())]));
        }
    }
    if let Some(body) = output.map(Value::new).filter(|body| body.kind() != Kind::Null) {
        let mut found = match body.kind() {
            Kind::Array => stream::join(body),
            _ => answer(body),
        };
        found.retain(|turn| !turn.parts.is_empty());
        if found.is_empty() {
            found.push(Turn::new("answer", vec![Part::Json(body.text())]));
        }
        turns.append(&mut found);
    }
    turns
}

fn request<'a>(body: Value<'a>, turns: &mut Vec<Turn<'a>>) {
    for name in ["system", "instructions", "preamble"] {
        push(turns, "system", body.get(name).map(block::parts));
    }
    for turn in body.get("chat_history").into_iter().flat_map(Value::elements) {
        let role = turn.get_string("role").unwrap_or("user".into());
        push(turns, role.to_lowercase(), turn.get("message").map(block::parts));
    }
    for message in body.get("messages").into_iter().flat_map(Value::elements) {
        turns.extend(turn(message));
    }
    if let Some(input) = body.get("input") {
        match input.kind() {
            Kind::Array => turns.extend(input.elements().map(item)),
            _ => push(turns, "user", Some(block::parts(input))),
        }
    }
    // Llama, Mistral and Anthropic's old text dialect; Titan; Cohere; Stability; embeddings.
    for name in ["prompt", "inputText", "message", "texts", "text_prompts"] {
        push(turns, "user", body.get(name).map(block::parts));
    }
    push(turns, "user", body.get("textToImageParams").and_then(|params| params.get("text")).map(block::parts));
}

fn push<'a>(turns: &mut Vec<Turn<'a>>, role: impl Into<Cow<'a, str>>, parts: Option<Vec<Part<'a>>>) {
    if let Some(parts) = parts.filter(|parts| !parts.is_empty()) {
        turns.push(Turn::new(role, parts));
    }
}

/// A message of Converse, Anthropic, OpenAI or DeepSeek: a role, content, and tool calls beside it.
fn turn(message: Value<'_>) -> Option<Turn<'_>> {
    let role = message.get_string("role").unwrap_or("assistant".into());
    let mut parts = Vec::new();
    for name in ["reasoning_content", "reasoning"] {
        parts.extend(message.get_string(name).filter(|text| !text.is_empty()).map(Part::Reasoning));
    }
    let content = message.get("content").map(block::parts).unwrap_or_default();
    if role == "tool" {
        parts.push(Part::ToolResult(content));
    } else {
        parts.extend(content);
    }
    parts.extend(message.get_string("refusal").map(Part::Text));
    parts.extend(message.get("tool_calls").into_iter().flat_map(Value::elements).map(block::function_call));
    (!parts.is_empty()).then(|| Turn::new(role, parts))
}

/// An item of OpenAI's Responses, sent or received.
fn item(item: Value<'_>) -> Turn<'_> {
    let kind = item.get_string("type").unwrap_or_default();
    match &*kind {
        "function_call" => Turn::new("assistant", vec![block::function_call(item)]),
        "function_call_output" => {
            Turn::new("tool", vec![Part::ToolResult(item.get("output").map(block::parts).unwrap_or_default())])
        }
        "reasoning" => {
            let text = ["summary", "content"].into_iter().filter_map(|name| item.get(name)).flat_map(Value::elements);
            let text = text.filter_map(|part| part.get_string("text")).map(Part::Reasoning);
            Turn::new("assistant", text.collect())
        }
        "message" | "" => turn(item).unwrap_or_else(|| Turn::new("user", vec![Part::Json(item.text())])),
        _ => Turn::new("assistant", vec![Part::Json(item.text())]),
    }
}

/// The turns of a merged answer.
fn answer(body: Value<'_>) -> Vec<Turn<'_>> {
    let mut turns = Vec::new();
    for (key, value) in body.members() {
        match key {
            // Converse and Nova: an object with the message; Responses: a list of items.
            "output" if value.kind() == Kind::Array => turns.extend(value.elements().map(item)),
            "output" => turns.extend(value.get("message").and_then(turn)),
            "choices" => turns.extend(value.elements().filter_map(choice)),
            // Anthropic: the body is the message. Cohere's newer chat: the message is in the body.
            "content" => push(&mut turns, "assistant", Some(block::parts(value))),
            "message" if value.kind() == Kind::Object => turns.extend(turn(value)),
            "tool_calls" => {
                push(&mut turns, "assistant", Some(value.elements().map(block::function_call).collect()));
            }
            // Llama; Cohere; Anthropic's old text dialect; Titan.
            "generation" | "text" | "completion" | "outputText" => {
                push(&mut turns, "assistant", Some(block::parts(value)));
            }
            "generations" | "outputs" | "results" | "completions" => {
                let parts = value.elements().flat_map(|one| block::parts(one.get("data").unwrap_or(one)));
                push(&mut turns, "assistant", Some(parts.collect()));
            }
            "images" | "artifacts" | "embedding" | "embeddings" => {
                push(&mut turns, "assistant", Some(block::listing(key, value)));
            }
            _ => {}
        }
    }
    turns
}

fn choice(choice: Value<'_>) -> Option<Turn<'_>> {
    match choice.get("message") {
        Some(message) => turn(message),
        None => Some(Turn::new("assistant", block::parts(choice.get("text")?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A turn as one text, so that what is expected can be read.
    fn shown(turn: &Turn<'_>) -> String {
        let part = |part: &Part<'_>| match part {
            Part::Text(text) => text.to_string(),
            Part::Reasoning(text) => format!("(thinking {text})"),
            Part::ToolCall { name, arguments } => format!("(call {name} {arguments})"),
            Part::ToolResult(parts) => format!("(result {})", shown(&Turn::new("", parts.clone()))),
            Part::Media(label) => format!("({label})"),
            Part::Json(json) => format!("(json {json})"),
        };
        let parts = turn.parts.iter().map(part).collect::<Vec<_>>().join("|");
        if turn.role.is_empty() { parts } else { format!("{}: {parts}", turn.role) }
    }

    fn check(name: &str, input: &str, output: &str, expected: &[&str]) {
        let turns = conversation(Some(RawJson(input)), Some(RawJson(output)));
        assert_eq!(turns.iter().map(shown).collect::<Vec<_>>(), expected, "{name}");
    }

    #[test]
    fn merged_bodies_are_read() {
        check(
            "Converse",
            r#"{"system":[{"text":"be brief"},{"cachePoint":{}}],"messages":[{"role":"user","content":[{"text":"what is this?"},
              {"image":{"format":"png","source":{"bytes":"iVBO"}}},{"document":{"format":"pdf","name":"secret"}}]},
              {"role":"assistant","content":[{"toolUse":{"toolUseId":"t","name":"look","input":{"a":1}}}]},
              {"role":"user","content":[{"toolResult":{"toolUseId":"t","content":[{"json":{"b":2}},{"text":"ok"}]}}]}]}"#,
            r#"{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm"}}},{"text":"a \"flag\""}]}}}"#,
            &[
                "system: be brief",
                "user: what is this?|(image png)|(document pdf secret)",
                "assistant: (call look {\"a\":1})",
                "user: (result (json {\"b\":2})|ok)",
                "assistant: (thinking hm)|a \"flag\"",
            ],
        );
        check(
            "Anthropic",
            r#"{"system":"be brief","messages":[{"role":"user","content":"hi"},{"role":"user","content":[{"type":"image",
              "source":{"type":"base64","media_type":"image/png","data":"x"}},{"type":"tool_result","content":"42"}]}]}"#,
            r#"{"type":"message","role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"ok"},
              {"type":"tool_use","name":"f","input":{}}]}"#,
            &[
                "system: be brief",
                "user: hi",
                "user: (image png)|(result 42)",
                "assistant: (thinking hm)|ok|(call f {})",
            ],
        );
        check(
            "OpenAI",
            r#"{"messages":[{"role":"developer","content":"d"},{"role":"user","content":[{"type":"text","text":"t"},
              {"type":"image_url","image_url":{"url":"data:"}}]},{"role":"tool","content":"r"}]}"#,
            r#"{"choices":[{"message":{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}"#,
            &["developer: d", "user: t|(image)", "tool: (result r)", "assistant: (call f {\"a\":1})"],
        );
        check(
            "Responses",
            r#"{"instructions":"i","input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},
              {"type":"function_call_output","output":"42"}]}"#,
            r#"{"object":"response","output":[{"type":"reasoning","summary":[]},{"type":"message","role":"assistant",
              "content":[{"type":"output_text","text":"yo"}]},{"type":"function_call","name":"f","arguments":"{}"}]}"#,
            &["system: i", "user: hi", "tool: (result 42)", "assistant: yo", "assistant: (call f {})"],
        );
        check("Llama", r#"{"prompt":"p"}"#, r#"{"generation":"g"}"#, &["user: p", "assistant: g"]);
        check("Titan", r#"{"inputText":"p"}"#, r#"{"results":[{"outputText":"g"}]}"#, &["user: p", "assistant: g"]);
        check("Mistral", r#"{"prompt":"p"}"#, r#"{"outputs":[{"text":"g"}]}"#, &["user: p", "assistant: g"]);
        check(
            "embeddings",
            r#"{"inputText":"p"}"#,
            r#"{"embedding":[1,2,3]}"#,
            &["user: p", "assistant: (embedding of 3)"],
        );
        check(
            "images",
            r#"{"textToImageParams":{"text":"p"}}"#,
            r#"{"images":["x"]}"#,
            &["user: p", "assistant: (image)"],
        );
        check(
            "Cohere",
            r#"{"chat_history":[{"role":"USER","message":"a"}],"message":"b"}"#,
            r#"{"text":"c"}"#,
            &["user: a", "user: b", "assistant: c"],
        );
        check("unknown", r#"{"x":1}"#, r#"{"y":[2]}"#, &["request: (json {\"x\":1})", "answer: (json {\"y\":[2]})"]);
        check("null", "null", "null", &[]);
        check("no objects", "3", "\"s\"", &["request: (json 3)", "answer: (json \"s\")"]);
    }

    #[test]
    fn streams_are_joined() {
        let check = |name: &str, events: &str, expected: &[&str]| check(name, "null", events, expected);
        check(
            "Anthropic",
            r#"[{"type":"message_start","message":{"role":"assistant","content":[]}},
              {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}},
              {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}},
              {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"m"}},
              {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"o"}},
              {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"k\n"}},
              {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","name":"f","input":{}}},
              {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}},
              {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":":1}"}},"[DONE]"]"#,
            &["assistant: (thinking hm)|ok\n|(call f {\"a\":1})"],
        );
        check(
            "Converse",
            r#"[{"messageStart":{"role":"assistant"}},{"contentBlockDelta":{"delta":{"text":"a"}}},{"contentBlockDelta":{"delta":{"text":"b"}}},
              {"contentBlockStart":{"start":{"toolUse":{"name":"f"}}}},{"contentBlockDelta":{"delta":{"toolUse":{"input":"{}"}}}}]"#,
            &["assistant: ab|(call f {})"],
        );
        check(
            "OpenAI",
            r#"[{"choices":[{"delta":{"role":"assistant","content":""}}]},{"choices":[{"delta":{"content":"a"}}]},
              {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":""}}]}}]},
              {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]},
              {"choices":[{"delta":{"tool_calls":[{"index":1,"id":"y","function":{"name":"g","arguments":"{"}}]}}]},
              {"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"arguments":"}"}}]}}]},{"choices":[]},"[DONE]"]"#,
            &["assistant: a|(call f {})|(call g {})"],
        );
        check(
            "DeepSeek",
            r#"[{"choices":[{"message":{"content":null,"reasoning_content":"h"}}]},{"choices":[{"message":{"content":null,
              "reasoning_content":"m"}}]},{"choices":[{"message":{"content":"hi"}}]}]"#,
            &["assistant: (thinking hm)|hi"],
        );
        check("Llama", r#"[{"generation":"He"},{"generation":"llo","stop_reason":null}]"#, &["assistant: Hello"]);
        check("Titan", r#"[{"outputText":"He"},{"outputText":"llo"}]"#, &["assistant: Hello"]);
        check("Mistral", r#"[{"outputs":[{"text":"He"}]},{"outputs":[{"text":"llo"}]}]"#, &["assistant: Hello"]);
        check(
            "Responses with its last event",
            r#"[{"type":"response.created","response":{"output":[]}},{"type":"response.output_text.delta","delta":"a"},
              {"type":"response.completed","response":{"output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ab"}]}]}}]"#,
            &["assistant: ab"],
        );
        check(
            "Responses that was cut",
            r#"[{"type":"response.created","response":{"output":[]}},{"type":"response.output_text.delta","delta":"a"},
              {"type":"response.output_item.added","item":{"type":"function_call","name":"f","arguments":""}},
              {"type":"response.function_call_arguments.delta","delta":"{}"}]"#,
            &["assistant: a|(call f {})"],
        );
        check("unknown", r#"[{"x":1}]"#, &["answer: (json [{\"x\":1}])"]);
    }

    #[test]
    fn results_in_results_are_followed_a_little() {
        let deep =
            format!(r#"{{"content":{}"x"{}}}"#, r#"[{"type":"tool_result","content":"#.repeat(60), "}]".repeat(60));
        let turns = conversation(None, Some(RawJson(&deep)));
        assert!(shown(&turns[0]).starts_with("assistant: (result (result (json [{"), "{turns:?}");
    }
}
