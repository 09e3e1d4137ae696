//! A value: a place in raw JSON that can be looked into without building a tree. Bodies were validated when their
//! record was parsed, so a value trusts its text to be JSON; text that is not ends a walk early and is never an error.

use std::borrow::Cow;

use super::text::Text;
use crate::invocation::{JsonStr, RawJson};
pub(crate) use crate::json::Kind;
use crate::json::trusted;

/// One JSON value as it came, without white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a>(&'a str);

impl<'a> Value<'a> {
    pub(crate) fn new(raw: RawJson<'a>) -> Self {
        Self(raw.0.trim_matches(is_space))
    }

    pub(crate) fn kind(self) -> Kind {
        self.0.bytes().next().map_or(Kind::Null, Kind::of)
    }

    /// The JSON text.
    pub(crate) fn text(self) -> &'a str {
        self.0
    }

    /// The members of an object in their order; nothing for any other kind.
    pub(crate) fn members(self) -> Members<'a> {
        Members { rest: inside(self.0, b'{') }
    }

    /// The elements of an array in their order; nothing for any other kind.
    pub(crate) fn elements(self) -> Elements<'a> {
        Elements { rest: inside(self.0, b'[') }
    }

    /// The member of that name that is not null; the last one where a name stands twice.
    pub(crate) fn get(self, name: &str) -> Option<Self> {
        self.members().filter(|(key, _)| *key == name).map(|(_, value)| value).last().filter(|v| v.kind() != Kind::Null)
    }

    /// The members of those names, in one walk over the object; for each what `get` gives.
    pub(crate) fn fields<const N: usize>(self, names: [&str; N]) -> [Option<Self>; N] {
        let mut found = [None; N];
        for (key, value) in self.members() {
            if let Some((_, slot)) = names.iter().zip(&mut found).find(|(name, _)| **name == key) {
                *slot = Some(value).filter(|value| value.kind() != Kind::Null);
            }
        }
        found
    }

    /// The content of a string as it came: escaped, without quotes.
    pub(crate) fn content(self) -> Option<&'a str> {
        self.0.strip_prefix('"')?.strip_suffix('"')
    }

    /// The text of a string.
    pub(crate) fn string(self) -> Option<Cow<'a, str>> {
        self.content().map(|content| JsonStr(content).decode())
    }

    /// The content of a string, still escaped.
    pub(crate) fn as_text(self) -> Option<Text<'a>> {
        self.content().map(Text::of_json)
    }

    /// The string member of that name, still escaped.
    pub(crate) fn get_text(self, name: &str) -> Option<Text<'a>> {
        self.get(name)?.as_text()
    }

    /// `true` or `false`.
    pub(crate) fn boolean(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// The JSON, for who passes it on.
    pub(crate) fn raw(self) -> RawJson<'a> {
        RawJson(self.0)
    }

    /// The text of the string member of that name.
    pub(crate) fn get_string(self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)?.string()
    }

    /// A whole number; a fraction is cut off, what does not fit is nothing.
    pub(crate) fn integer(self) -> Option<i64> {
        if self.kind() != Kind::Number {
            return None;
        }
        self.0.parse().ok().or_else(|| {
            let float: f64 = self.0.parse().ok()?;
            // 2^53: above it a float is no exact whole number any more.
            #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
            (float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
        })
    }
}

/// Walks an object's members: keys with their escapes resolved, since a caller may write any letter of a known key as
/// one; values raw.
pub(crate) struct Members<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = take(next_item(self.rest)?)?;
        let key = key.strip_prefix('"')?.strip_suffix('"')?;
        let (value, rest) = take(rest.trim_start_matches(is_space).strip_prefix(':')?)?;
        self.rest = rest;
        Some((JsonStr(key).decode(), Value(value)))
    }
}

/// Walks an array's elements.
pub(crate) struct Elements<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (value, rest) = take(next_item(self.rest)?)?;
        self.rest = rest;
        Some(Value(value))
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// What stands between the brackets of a container that opens with `open`, and the closing bracket.
fn inside(text: &str, open: u8) -> &str {
    if text.as_bytes().first() == Some(&open) { text.get(1..).unwrap_or_default() } else { "" }
}

/// The text from the next item on, or nothing at the container's end.
fn next_item(rest: &str) -> Option<&str> {
    let rest = rest.trim_start_matches(is_space);
    let rest = rest.strip_prefix(',').unwrap_or(rest);
    (!rest.is_empty()).then_some(rest)
}

/// Cuts the first value off the text.
fn take(text: &str) -> Option<(&str, &str)> {
    let start = text.len() - text.trim_start_matches(is_space).len();
    let end = trusted::value_end(text.as_bytes(), start)?;
    Some((text.get(start..end)?, text.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value<'_> {
        Value::new(RawJson(text))
    }

    #[test]
    fn members_and_elements_are_walked_in_order() {
        let object = value(" { \"a\" : [1, 2 ,{\"x\":\"]}\\\"\"}] ,\"b\":null,\n\"c\" : -1.5e3, \"a\": \"z\" } ");
        let seen: Vec<_> = object.members().map(|(key, value)| (key, value.text())).collect();
        let seen: Vec<_> = seen.iter().map(|(key, text)| (&**key, *text)).collect();
        assert_eq!(seen, [("a", "[1, 2 ,{\"x\":\"]}\\\"\"}]"), ("b", "null"), ("c", "-1.5e3"), ("a", "\"z\"")]);
        let first = object.members().next().unwrap().1;
        assert_eq!(first.elements().map(Value::text).collect::<Vec<_>>(), ["1", "2", "{\"x\":\"]}\\\"\"}"]);
        assert_eq!(object.get_string("a").as_deref(), Some("z"), "the last of a name that stands twice");
        assert_eq!(object.get("b"), None, "null is as if absent");
        assert_eq!(object.get("c").unwrap().integer(), Some(-1500));
        let names = ["b", "a", "x", "c"];
        assert_eq!(object.fields(names), names.map(|name| object.get(name)));
        assert_eq!(value("1e300").integer(), None);
        assert_eq!(value("[]").elements().count() + value("{ }").members().count(), 0);
    }

    #[test]
    fn what_is_no_json_ends_the_walk() {
        for text in [
            "", " ", "{", "[", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":}", "[,", "[}", "[1,", "[\"\\", "{]", "nul", "\"",
            "}", "[[[1]",
        ] {
            let value = value(text);
            assert!(value.members().count() <= 1, "{text:?}");
            assert!(value.elements().count() <= 2, "{text:?}");
            assert_eq!((value.get("a"), value.string()), (None, None), "{text:?}");
        }
    }
}
