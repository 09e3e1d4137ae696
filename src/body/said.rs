//! What was said by whom: the words of the user, of the tools and to the tools, each as one text. Who looks for phrases
//! wants them apart: a system prompt that forbids something names it, and what a tool gave nobody typed.

use super::text::Text;
use super::value::{Kind, Value};
use super::{Arguments, Part, View, is_text, joined};
use crate::invocation::RawJson;
use crate::json::{Cursor, MAX_DEPTH, push_string};

/// Roles that are not the user's. Sources: the API references of the providers; `chatbot` is Cohere's.
const OTHERS: &[&str] = &["system", "developer", "assistant", "chatbot", "model", "bot", "tool", "function"];

impl<'a> View<'a> {
    /// What the user wrote, in all messages, one text a line: neither the system prompt nor what the model or a tool said.
    pub fn user_text(&self) -> Text<'a> {
        let messages = self.request().messages.iter();
        let users = messages.filter(|message| {
            let role = message.role.decode();
            !OTHERS.iter().any(|other| role.eq_ignore_ascii_case(other))
        });
        joined(users.flat_map(|message| &message.parts), is_text)
    }

    /// What tools gave back, in all messages, one text a line. A text in JSON has its name before it.
    pub fn tool_result_text(&self) -> Text<'a> {
        let mut said = Said::default();
        for part in self.request().messages.iter().flat_map(|message| &message.parts) {
            said.result(part, false);
        }
        said.end()
    }

    /// The arguments of the tools that the model called, one text a line, each with its name before it.
    pub fn tool_call_text(&self) -> Text<'a> {
        let mut said = Said::default();
        self.tool_calls().for_each(|call| match &call.arguments {
            Arguments::Json(json) => said.json(*json),
            Arguments::Text(text) => said.arguments(text),
        });
        said.end()
    }
}

/// Texts in the making: the content of a JSON string, escaped.
#[derive(Default)]
struct Said(String);

impl Said {
    fn end<'a>(self) -> Text<'a> {
        Text::of_escaped(self.0)
    }

    fn line(&mut self, name: Option<&str>, escaped: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\\n");
        }
        if let Some(name) = name {
            let mut quoted = Vec::with_capacity(name.len() + 2);
            push_string(&mut quoted, name);
            let content = quoted.get(1..quoted.len() - 1).and_then(|content| std::str::from_utf8(content).ok());
            self.0.push_str(content.unwrap_or_default());
            self.0.push_str(": ");
        }
        self.0.push_str(escaped);
    }

    /// What a tool gave, if the part is or stands in a tool's result. Results in results are JSON: none has many levels.
    fn result(&mut self, part: &Part<'_>, inside: bool) {
        match part {
            Part::ToolResult(result) => result.parts.iter().for_each(|part| self.result(part, true)),
            Part::Text(text) if inside => self.line(None, text.escaped()),
            Part::Json(json) if inside => self.json(*json),
            _ => {}
        }
    }

    /// Arguments that came as text: the texts in the JSON that they are, or the text itself where the model wrote no JSON.
    fn arguments(&mut self, text: &Text<'_>) {
        let decoded = text.decode();
        let mut cursor = Cursor::new(decoded.as_bytes(), 0);
        match cursor.value(MAX_DEPTH) {
            Ok(span) if cursor.peek().is_none() => self.json(RawJson(decoded.get(span).unwrap_or_default())),
            _ if text.is_empty() => {}
            _ => self.line(None, text.escaped()),
        }
    }

    fn json(&mut self, json: RawJson<'_>) {
        self.texts(None, Value::new(json), MAX_DEPTH);
    }

    /// The texts in a JSON value.
    fn texts(&mut self, name: Option<&str>, value: Value<'_>, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match value.kind() {
            Kind::String => self.line(name, value.content().unwrap_or_default()),
            Kind::Array => value.elements().for_each(|element| self.texts(name, element, depth)),
            Kind::Object => value.members().for_each(|(name, value)| self.texts(Some(&name), value, depth)),
            _ => {}
        }
    }
}
