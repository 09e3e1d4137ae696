//! A text: what a JSON string in a body says, kept as it was escaped. Joining a stream's deltas appends to it, and
//! writing it as JSON copies it; only who wants to read it pays for resolving its escapes.

use std::borrow::Cow;

use crate::invocation::JsonStr;
use crate::json::{push_string, unescape};

/// The content of one JSON string, or of several that were joined: escaped, without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    /// The content of a JSON string, without its quotes, as it came.
    pub fn of_json(escaped: &'a str) -> Self {
        Self(Cow::Borrowed(escaped))
    }

    /// Text that is not escaped yet.
    pub fn of(text: &str) -> Self {
        let mut quoted = Vec::with_capacity(text.len() + 2);
        push_string(&mut quoted, text);
        let escaped = quoted.get(1..quoted.len() - 1).unwrap_or_default();
        Self(Cow::Owned(String::from_utf8_lossy(escaped).into_owned()))
    }

    /// The content of a JSON string that was put together.
    pub(super) fn of_escaped(escaped: String) -> Self {
        Self(Cow::Owned(escaped))
    }

    /// The text as the content of a JSON string: escaped, without quotes.
    pub fn escaped(&self) -> &str {
        &self.0
    }

    /// The text itself; a lone surrogate becomes U+FFFD. A pair that a stream cut in two is whole again.
    pub fn decode(&self) -> Cow<'_, str> {
        unescape(&self.0)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends another text.
    pub fn push(&mut self, more: &Text<'a>) {
        if self.0.is_empty() {
            self.0 = more.0.clone();
        } else if !more.0.is_empty() {
            self.0.to_mut().push_str(&more.0);
        }
    }
}

impl<'a> From<JsonStr<'a>> for Text<'a> {
    fn from(text: JsonStr<'a>) -> Self {
        Self::of_json(text.0)
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.decode() == other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.decode() == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_are_joined_as_they_came() {
        let mut text = Text::of_json("");
        for delta in [r"a\n", "", r"\ud83d", r"\ude00", r"\ud83d"] {
            text.push(&Text::of_json(delta));
        }
        assert_eq!(text.escaped(), r"a\n\ud83d\ude00\ud83d");
        assert_eq!(text, "a\n\u{1f600}\u{fffd}", "the pair is whole, the lone half is replaced");
        assert!(!text.is_empty() && Text::default().is_empty());
    }

    #[test]
    fn plain_text_is_escaped() {
        assert_eq!(Text::of("a \"b\"\n\u{1}").escaped(), r#"a \"b\"\n\u0001"#);
    }
}
