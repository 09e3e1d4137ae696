//! A writer of JSON text: keys in the order in which they are written, no tree in between.

use std::fmt::Write as _;

/// JSON text that is being written. Commas are set where they belong; balance is kept by the closures.
#[derive(Debug, Default)]
pub(super) struct Json {
    out: String,
}

impl Json {
    /// An empty text with room for `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { out: String::with_capacity(bytes) }
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        self.out
    }

    /// An object whose members `members` writes.
    pub(super) fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push('{');
        members(self);
        self.out.push('}');
    }

    /// An array whose elements `elements` writes.
    pub(super) fn array(&mut self, elements: impl FnOnce(&mut Self)) {
        self.separate();
        self.out.push('[');
        elements(self);
        self.out.push(']');
    }

    /// A member's key; its value is written next.
    pub(super) fn key(&mut self, key: &str) -> &mut Self {
        self.separate();
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\":");
        self
    }

    /// A string.
    pub(super) fn text(&mut self, text: &str) {
        self.separate();
        self.out.push('"');
        escape(text, &mut self.out);
        self.out.push('"');
    }

    /// A whole number.
    pub(super) fn number(&mut self, number: impl std::fmt::Display) {
        self.separate();
        // Writing to a string cannot fail.
        let _ = write!(self.out, "{number}");
    }

    /// Text that is JSON already: `null`, `true`, a body.
    pub(super) fn raw(&mut self, json: &str) {
        self.separate();
        self.out.push_str(json);
    }

    /// Writes a comma where a value precedes. A string ends in a quote, so the last byte is always structure.
    fn separate(&mut self) {
        if let Some(last) = self.out.as_bytes().last()
            && !matches!(last, b'{' | b'[' | b':')
        {
            self.out.push(',');
        }
    }
}

/// Appends `text` as the content of a JSON string, escaping only what JSON requires, as AWS' writers do.
pub(super) fn escape(text: &str, out: &mut String) {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.push_str(&text[plain..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_escapes_are_where_they_belong() {
        let mut json = Json::default();
        json.object(|json| {
            json.key("text").text("a \"quote\", a \\, a\nline, a\ttab, \u{1}, Zürich {[:");
            json.key("list").array(|json| {
                json.number(1);
                json.object(|_| {});
                json.raw("null");
            });
            json.key("last").number(-2);
        });
        let text = json.finish();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "text": "a \"quote\", a \\, a\nline, a\ttab, \u{1}, Zürich {[:", "list": [1, {}, null], "last": -2
        });
        assert_eq!(value, expected, "{text}");
    }
}
