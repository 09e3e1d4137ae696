//! Bodies: the conversation under an invocation's line, indented and wrapped.

use super::colour::{Colours, Tone};
use super::escape::{Place, cut, push_escaped};
use super::wrap::Wrap;
use crate::body::{Part, Turn, conversation};
use crate::invocation::{Invocation, Section};

/// The blanks before a turn.
const INDENT: usize = 4;
/// The blanks before the further lines of a turn.
const HANGING: usize = 6;
/// The columns of a role. The longest of any family is `assistant`; what is longer was made up.
const MAX_ROLE: usize = 16;
/// Levels of JSON that are indented; what is deeper stands on one line, so that depth cannot multiply the output.
const MAX_JSON_LEVELS: usize = 16;

/// Appends prompt and answer, each line indented and ended by a newline; `columns` is the terminal's width, if any.
pub fn push(out: &mut String, invocation: &Invocation<'_>, columns: Option<usize>, colours: Colours) {
    let input = invocation.input.as_ref().and_then(|input| input.input_body_json);
    let output = invocation.output.as_ref().and_then(|output| output.output_body_json);
    let moved = |role: &'static str, section, key| {
        let field = invocation.unknown.iter().find(|field| field.section == section && field.key.0 == key)?;
        let path = field.value.0.trim().trim_matches('"');
        Some(Turn { role: role.into(), parts: vec![Part::Media(format!("in {path}"))] })
    };
    let page = Page { columns, colours };
    if input.is_none_or(|body| body.0.trim() == "null") {
        moved("request", Section::Input, "inputBodyS3Path").iter().for_each(|turn| page.turn(out, turn));
    }
    conversation(input, output).iter().for_each(|turn| page.turn(out, turn));
    if output.is_none_or(|body| body.0.trim() == "null") {
        moved("answer", Section::Output, "outputBodyS3Path").iter().for_each(|turn| page.turn(out, turn));
    }
}

struct Page {
    columns: Option<usize>,
    colours: Colours,
}

impl Page {
    fn turn(&self, out: &mut String, turn: &Turn<'_>) {
        let mut role = String::new();
        push_escaped(&mut role, &turn.role, Place::Field);
        let role = cut(&role, MAX_ROLE);
        for (index, part) in turn.parts.iter().enumerate() {
            out.extend(std::iter::repeat_n(' ', INDENT));
            // The role stands once; further parts hang under it.
            let used = if index == 0 {
                out.push_str(&self.colours.paint(Tone::Name, &role));
                out.push_str(": ");
                INDENT + super::escape::width(&role) + 2
            } else {
                out.extend(std::iter::repeat_n(' ', HANGING - INDENT));
                HANGING
            };
            self.part(out, used, part);
            out.push('\n');
        }
    }

    fn part(&self, out: &mut String, used: usize, part: &Part<'_>) {
        match part {
            Part::Text(text) => self.text(out, used, Tone::Plain, text),
            Part::Reasoning(text) => self.text(out, used, Tone::Dim, &format!("(thinking) {text}")),
            Part::ToolCall { name, arguments } => {
                self.text(out, used, Tone::Warning, &format!("[call {name} {}]", compact(arguments)));
            }
            Part::ToolResult(parts) => {
                let text = parts.iter().map(flat).collect::<Vec<_>>().join("\n");
                self.text(out, used, Tone::Dim, &format!("[result {text}]"));
            }
            Part::Media(label) => self.text(out, used, Tone::Warning, &format!("[{label}]")),
            Part::Json(json) => self.text(out, used, Tone::Plain, &indented(json)),
        }
    }

    fn text(&self, out: &mut String, used: usize, tone: Tone, text: &str) {
        let mut piece = String::with_capacity(text.len());
        Wrap { columns: self.columns, indent: HANGING }.push(&mut piece, used, text);
        // Each line is painted on its own, so that a pager or a cut shows no colour that does not end.
        for (index, line) in piece.split('\n').enumerate() {
            if index > 0 {
                out.push('\n');
            }
            let blanks = line.len() - line.trim_start_matches(' ').len();
            let (blank, line) = line.split_at(blanks);
            out.push_str(blank);
            out.push_str(&self.colours.paint(tone, line));
        }
    }
}

/// A part of a tool's result, as text.
fn flat(part: &Part<'_>) -> String {
    match part {
        Part::Text(text) | Part::Reasoning(text) => text.to_string(),
        Part::ToolCall { name, arguments } => format!("[call {name} {}]", compact(arguments)),
        Part::ToolResult(parts) => parts.iter().map(flat).collect::<Vec<_>>().join("\n"),
        Part::Media(label) => format!("[{label}]"),
        Part::Json(json) => compact(json),
    }
}

/// JSON without the white space between its tokens; any other text stays as it is, but for newlines.
fn compact(json: &str) -> String {
    tokens(json).collect()
}

/// JSON with a line for each member and element.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut level = 0_usize;
    let new_line = |out: &mut String, level: usize| {
        if level <= MAX_JSON_LEVELS {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", level));
        }
    };
    let mut tokens = tokens(json).peekable();
    while let Some(token) = tokens.next() {
        match token {
            "{" | "[" => {
                out.push_str(token);
                level += 1;
                if !matches!(tokens.peek(), Some(&("}" | "]"))) {
                    new_line(&mut out, level);
                }
            }
            "}" | "]" => {
                level = level.saturating_sub(1);
                if !out.ends_with(['{', '[']) {
                    new_line(&mut out, level);
                }
                out.push_str(token);
            }
            "," => {
                out.push(',');
                new_line(&mut out, level);
            }
            ":" => out.push_str(": "),
            _ => out.push_str(token),
        }
    }
    out
}

/// JSON's tokens, without the white space between them.
fn tokens(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        let first = rest.chars().next()?;
        let end = match first {
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            '"' => {
                let mut escaped = false;
                let close = rest.bytes().skip(1).position(|b| {
                    let closes = b == b'"' && !escaped;
                    escaped = b == b'\\' && !escaped;
                    closes
                });
                close.map_or(rest.len(), |close| close + 2)
            }
            _ => rest.find(['{', '}', '[', ']', ',', ':', ' ', '\t', '\n', '\r', '"']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(end);
        rest = after;
        Some(token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_compacted() {
        let json = "{ \"a\" : [1, {\"b\": \"x\\\" }\"}, []],\n \"c\":{} }";
        assert_eq!(compact(json), "{\"a\":[1,{\"b\":\"x\\\" }\"},[]],\"c\":{}}");
        assert_eq!(
            indented(json),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x\\\" }\"\n    },\n    []\n  ],\n  \"c\": {}\n}"
        );
        assert_eq!(compact("{\"half"), "{\"half", "arguments may end anywhere");
    }

    #[test]
    fn depth_does_not_multiply_the_output() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(indented(&deep).len() < deep.len() + 4096);
    }
}
