//! Bodies: the conversation under an invocation's line, indented and wrapped.

use super::colour::{Colours, Tone};
use super::escape::{Place, cut, push_escaped};
use super::wrap::Wrap;
use crate::body::{Arguments, Media, Message, Part, Text, ToolCall, moved_to};
use crate::enrich::Event;
use crate::invocation::Section;

/// The blanks before a turn.
const INDENT: usize = 4;
/// The blanks before the further lines of a turn.
const HANGING: usize = 6;
/// The columns of a role. The longest of any family is `assistant`; what is longer was made up.
const MAX_ROLE: usize = 16;
/// Levels of JSON that are indented; what is deeper stands on one line, so that depth cannot multiply the output.
const MAX_JSON_LEVELS: usize = 16;

/// Appends prompt and answer, each line indented and ended by a newline; `columns` is the terminal's width, if any.
pub fn push(out: &mut String, event: &Event<'_>, columns: Option<usize>, colours: Colours) {
    let page = Page { columns, colours };
    let view = &event.view;
    let (input, output) = view.bodies();
    let request = view.request();
    page.side(out, "request", input.is_some(), moved_to(event.invocation, Section::Input), |page, out| {
        if !request.system.is_empty() {
            page.parts(out, "system", &request.system);
        }
        request.messages.iter().for_each(|message| page.message(out, message));
        let known = !request.system.is_empty() || !request.messages.is_empty();
        input.filter(|_| !known).iter().for_each(|body| page.parts(out, "request", &[Part::Json(*body)]));
    });
    let answer = view.answer();
    page.side(out, "answer", output.is_some(), moved_to(event.invocation, Section::Output), |page, out| {
        answer.messages.iter().for_each(|message| page.message(out, message));
        if let Some(embeddings) = answer.embeddings {
            let text = match embeddings.count {
                1 => format!("embedding of {}", embeddings.dimensions),
                count => format!("{count} embeddings of {}", embeddings.dimensions),
            };
            page.role(out, "assistant", |page, out, used| page.text(out, used, Tone::Warning, &format!("[{text}]")));
        } else if answer.messages.is_empty() {
            output.iter().for_each(|body| page.parts(out, "answer", &[Part::Json(*body)]));
        }
    });
}

struct Page {
    columns: Option<usize>,
    colours: Colours,
}

impl Page {
    /// One side's body: what it says, or where it is.
    fn side(
        &self,
        out: &mut String,
        role: &str,
        is_there: bool,
        moved_to: Option<Text<'_>>,
        show: impl FnOnce(&Self, &mut String),
    ) {
        match moved_to {
            Some(path) if !is_there => {
                let note = format!("[in {}]", path.decode());
                self.role(out, role, |page, out, used| page.text(out, used, Tone::Warning, &note));
            }
            _ => show(self, out),
        }
    }

    fn message(&self, out: &mut String, message: &Message<'_>) {
        self.parts(out, &message.role.decode(), &message.parts);
    }

    fn parts(&self, out: &mut String, role: &str, parts: &[Part<'_>]) {
        for (index, part) in parts.iter().enumerate() {
            // The role stands once; further parts hang under it.
            if index == 0 {
                self.role(out, role, |page, out, used| page.part(out, used, part));
            } else {
                out.extend(std::iter::repeat_n(' ', HANGING));
                self.part(out, HANGING, part);
                out.push('\n');
            }
        }
    }

    /// A line that begins with a role.
    fn role(&self, out: &mut String, role: &str, rest: impl FnOnce(&Self, &mut String, usize)) {
        let mut escaped = String::new();
        push_escaped(&mut escaped, role, Place::Field);
        let role = cut(&escaped, MAX_ROLE);
        out.extend(std::iter::repeat_n(' ', INDENT));
        out.push_str(&self.colours.paint(Tone::Name, &role));
        out.push_str(": ");
        rest(self, out, INDENT + super::escape::width(&role) + 2);
        out.push('\n');
    }

    fn part(&self, out: &mut String, used: usize, part: &Part<'_>) {
        match part {
            Part::Text(text) => self.text(out, used, Tone::Plain, &text.decode()),
            Part::Reasoning(text) => self.text(out, used, Tone::Dim, &format!("(thinking) {}", text.decode())),
            Part::ToolCall(call) => self.text(out, used, Tone::Warning, &called(call)),
            Part::ToolResult(result) => {
                let text = result.parts.iter().map(flat).collect::<Vec<_>>().join("\n");
                self.text(out, used, Tone::Dim, &format!("[result {text}]"));
            }
            Part::Media(media) => self.text(out, used, Tone::Warning, &labelled(media)),
            Part::Json(json) => self.text(out, used, Tone::Plain, &indented(json.0)),
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
        Part::Text(text) | Part::Reasoning(text) => text.decode().into_owned(),
        Part::ToolCall(call) => called(call),
        Part::ToolResult(result) => result.parts.iter().map(flat).collect::<Vec<_>>().join("\n"),
        Part::Media(media) => labelled(media),
        Part::Json(json) => compact(json.0),
    }
}

fn called(call: &ToolCall<'_>) -> String {
    let arguments = match &call.arguments {
        Arguments::Json(json) => compact(json.0),
        Arguments::Text(text) => compact(&text.decode()),
    };
    format!("[call {} {arguments}]", call.name.decode())
}

/// `[image png]`, and where it is if it is elsewhere.
fn labelled(media: &Media<'_>) -> String {
    let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.decode().into_owned()).unwrap_or_default();
    let mut label = media.kind.as_str().to_owned();
    // `image/png` of a media type is `png`.
    let format = text(&media.media_type);
    for word in [format.rsplit('/').next().unwrap_or_default(), &text(&media.name), &text(&media.uri)] {
        if !word.is_empty() {
            label.push(' ');
            label.push_str(word);
        }
    }
    format!("[{label}]")
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
