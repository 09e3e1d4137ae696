//! A stream: the list of an answer's events, whose deltas are joined to the message that they make up.

use super::text::Text;
use super::value::{Kind, Value};
use super::{Arguments, Message, Part, ToolCall, block};

/// The messages of a list of stream events; events that are not known (`"[DONE]"`, pings) say nothing.
pub(super) fn join(events: Value<'_>) -> Vec<Message<'_>> {
    let mut joined = Joined::default();
    let mut items = Vec::new();
    for event in events.elements() {
        if let Some(output) = event.get("response").and_then(|response| response.get("output")) {
            // Responses repeat all that was said in their last event.
            items = output.elements().map(block::item).collect();
        }
        joined.event(event);
    }
    if items.is_empty() { vec![Message::new("assistant", joined.parts)] } else { items }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Delta {
    Text,
    Reasoning,
}

#[derive(Default)]
struct Joined<'a> {
    parts: Vec<Part<'a>>,
    /// The index that the dialect gave to the tool call that arguments go to.
    tool: Option<i64>,
}

impl<'a> Joined<'a> {
    fn event(&mut self, event: Value<'a>) {
        let kind = event.get_string("type").unwrap_or_default();
        for (key, value) in event.members() {
            match &*key {
                // Anthropic; Responses; Cohere.
                "delta" if value.kind() == Kind::String => self.typed_delta(&kind, value),
                "delta" => self.delta(value),
                "content_block" => self.start(value),
                // Converse and Nova.
                "contentBlockStart" => self.start_converse(value),
                "contentBlockDelta" => {
                    if let Some(delta) = value.get("delta") {
                        self.delta(delta);
                    }
                }
                "item" if kind == "response.output_item.added" => self.item(value),
                "choices" | "outputs" => {
                    if let Some(choice) = value.elements().next() {
                        self.choice(choice);
                    }
                }
                // Llama; Cohere; Anthropic's old text dialect; Titan.
                "generation" | "text" | "completion" | "outputText" => self.text(Delta::Text, value.as_text()),
                _ => {}
            }
        }
    }

    /// OpenAI's Responses: the event's type says what the delta is.
    fn typed_delta(&mut self, kind: &str, delta: Value<'a>) {
        match kind {
            "response.output_text.delta" | "response.refusal.delta" => self.text(Delta::Text, delta.as_text()),
            "response.function_call_arguments.delta" => self.arguments(delta.as_text()),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.text(Delta::Reasoning, delta.as_text());
            }
            _ => {}
        }
    }

    fn delta(&mut self, delta: Value<'a>) {
        for (key, value) in delta.members() {
            match &*key {
                "text" => self.text(Delta::Text, value.as_text()),
                "thinking" => self.text(Delta::Reasoning, value.as_text()),
                "reasoningContent" => self.text(Delta::Reasoning, value.get_text("text")),
                "partial_json" => self.arguments(value.as_text()),
                "toolUse" => self.arguments(value.get_text("input")),
                // Cohere: a message with a content with a text.
                "message" => {
                    self.text(Delta::Text, value.get("content").and_then(|content| content.get_text("text")));
                }
                _ => {}
            }
        }
    }

    /// OpenAI Chat and DeepSeek: `delta` or `message`; Mistral: `text`.
    fn choice(&mut self, choice: Value<'a>) {
        let Some(delta) = choice.get("delta").or_else(|| choice.get("message")) else {
            self.text(Delta::Text, choice.get_text("text"));
            return;
        };
        for (key, value) in delta.members() {
            match &*key {
                "content" | "refusal" => self.text(Delta::Text, value.as_text()),
                "reasoning_content" | "reasoning" => self.text(Delta::Reasoning, value.as_text()),
                "tool_calls" => {
                    for call in value.elements() {
                        self.call(call, call.get("index").and_then(Value::integer));
                    }
                }
                _ => {}
            }
        }
    }

    /// OpenAI's Responses: an item begins; of these only a tool call says more than its deltas do.
    fn item(&mut self, item: Value<'a>) {
        if item.get_string("type").is_some_and(|kind| kind == "function_call") {
            self.call(item, None);
        }
    }

    /// A tool call, or more of the arguments of the one with the same index.
    fn call(&mut self, call: Value<'a>, index: Option<i64>) {
        let Part::ToolCall(call) = block::function_call(call) else { return };
        let goes_on = call.name.is_empty() || (index.is_some() && index == self.tool);
        match call.arguments {
            Arguments::Text(arguments) if goes_on && self.in_call() => self.arguments(Some(arguments)),
            arguments => self.parts.push(Part::ToolCall(ToolCall { arguments, ..call })),
        }
        self.tool = index;
    }

    fn in_call(&self) -> bool {
        matches!(self.parts.last(), Some(Part::ToolCall(_)))
    }

    /// Anthropic: a block begins; its text is empty, a tool's input is `{}` until the deltas bring it.
    fn start(&mut self, block: Value<'a>) {
        match block.get_string("type").as_deref() {
            Some("text") => self.text(Delta::Text, block.get_text("text")),
            Some("thinking") => self.text(Delta::Reasoning, block.get_text("thinking")),
            Some("tool_use" | "server_tool_use") => self.start_call(block),
            _ => self.parts.extend(block::parts(block)),
        }
    }

    fn start_converse(&mut self, start: Value<'a>) {
        if let Some(tool) = start.get("start").and_then(|start| start.get("toolUse")) {
            self.start_call(tool);
        }
    }

    fn start_call(&mut self, tool: Value<'a>) {
        let Part::ToolCall(call) = block::tool_use(tool) else { return };
        self.parts.push(Part::ToolCall(ToolCall { arguments: Arguments::default(), ..call }));
    }

    fn arguments(&mut self, more: Option<Text<'a>>) {
        let Some(Part::ToolCall(call)) = self.parts.last_mut() else { return };
        if let (Arguments::Text(arguments), Some(more)) = (&mut call.arguments, more) {
            arguments.push(&more);
        }
    }

    fn text(&mut self, kind: Delta, more: Option<Text<'a>>) {
        let Some(more) = more.filter(|more| !more.is_empty()) else { return };
        match (self.parts.last_mut(), kind) {
            (Some(Part::Text(text)), Delta::Text) | (Some(Part::Reasoning(text)), Delta::Reasoning) => {
                text.push(&more);
            }
            (_, Delta::Text) => self.parts.push(Part::Text(more)),
            (_, Delta::Reasoning) => self.parts.push(Part::Reasoning(more)),
        }
    }
}
