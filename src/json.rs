//! JSON as bytes: a cursor that walks a document, validates what it passes, and hands out spans instead of values.
//! Bodies are passed through, so nothing here builds a tree; long strings and large containers go 64 bytes at a time.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

mod block;
mod grammar;
mod skip;
pub(crate) mod trusted;
mod unescape;

pub use skip::MAX_DEPTH;
pub(crate) use skip::number_length;
pub use unescape::{Flaw, Text, unescape};

/// Where and why text is not JSON. Holds no part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// Offset of the offending byte in the cursor's bytes.
    pub at: usize,
    /// What was expected or found, in words.
    pub what: &'static str,
    /// Whether the nesting limit was passed; the text may be JSON otherwise.
    pub too_deep: bool,
}

impl JsonError {
    pub(crate) const fn new(at: usize, what: &'static str) -> Self {
        Self { at, what, too_deep: false }
    }

    pub(crate) const fn too_deep(at: usize) -> Self {
        Self { at, what: "nested deeper than the limit", too_deep: true }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

impl std::error::Error for JsonError {}

/// The kind of a JSON value, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// The kind of the value that begins with `first`. Whether it is one is for a cursor to say.
    pub fn of(first: u8) -> Self {
        match first {
            b'{' => Self::Object,
            b'[' => Self::Array,
            b'"' => Self::String,
            b't' | b'f' => Self::Bool,
            b'n' => Self::Null,
            _ => Self::Number,
        }
    }

    /// The kind with its article, for messages.
    pub fn described(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// A position in a JSON document.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
    line_breaks: bool,
}

impl<'a> Cursor<'a> {
    /// A cursor at `pos` of `bytes`.
    pub fn new(bytes: &'a [u8], pos: usize) -> Self {
        Self { bytes, pos, line_breaks: false }
    }

    /// Offset of the next byte.
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Whether there may be line breaks between the tokens that this cursor has passed. Those in front of a container's
    /// first token or behind its last one may be others'.
    pub fn line_breaks(&self) -> bool {
        self.line_breaks
    }

    /// The bytes of a span that this cursor gave.
    pub fn span(&self, span: Range<usize>) -> &'a [u8] {
        self.bytes.get(span).unwrap_or_default()
    }

    /// The next byte that is no white space, without passing it.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.pos) {
            match byte {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.line_breaks = true,
                _ => return Some(byte),
            }
            self.pos += 1;
        }
        None
    }

    /// Passes `byte` if it is the next that is no white space.
    pub fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        if self.eat(byte) { Ok(()) } else { Err(JsonError::new(self.pos, what)) }
    }

    /// Passes a string and gives the span of its content, still escaped, without the quotes.
    ///
    /// # Errors
    /// What comes next is no string, or one with a bad escape or a control character.
    pub fn string(&mut self) -> Result<Range<usize>, JsonError> {
        self.expect(b'"', "expected a string")?;
        let start = self.pos;
        let end = skip::string_end(self.bytes, start)?;
        self.pos = end + 1;
        Ok(start..end)
    }

    /// Passes a string as its resolved text, which replaces that in `out`.
    ///
    /// # Errors
    /// What comes next is no string, or one that has no end.
    pub fn string_into(&mut self, out: &mut Text) -> Result<Option<Flaw>, JsonError> {
        self.expect(b'"', "expected a string")?;
        let (end, flaw) = out.read(self.bytes, self.pos)?;
        self.pos = end + 1;
        Ok(flaw)
    }

    /// Passes any value, validates it, and gives its span. `depth` is how many more containers may be entered.
    ///
    /// # Errors
    /// What comes next is no JSON value, or one that is nested too deep.
    pub fn value(&mut self, depth: usize) -> Result<Range<usize>, JsonError> {
        let Some(first) = self.peek() else {
            return Err(JsonError::new(self.pos, "expected a value, found the end"));
        };
        let start = self.pos;
        self.pos = match first {
            b'"' => skip::string_end(self.bytes, start + 1)? + 1,
            b'{' | b'[' => {
                let (end, line_breaks) = skip::container_end(self.bytes, start, depth)?;
                self.line_breaks |= line_breaks;
                end
            }
            _ => skip::scalar_end(self.bytes, start)?,
        };
        Ok(start..self.pos)
    }

    /// Walks an object: `member` is called with the cursor at each value and the span of its key's content, and must
    /// pass the value.
    ///
    /// # Errors
    /// What comes next is no object, or what `member` says.
    pub fn object<E: From<JsonError>>(
        &mut self,
        mut member: impl FnMut(&mut Self, Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(b'{', "expected an object")?;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.peek();
            let key = self.string()?;
            self.expect(b':', "expected a colon")?;
            self.peek();
            member(self, key)?;
            if self.eat(b'}') {
                return Ok(());
            }
            self.expect(b',', "expected a comma or the object's end")?;
        }
    }

    /// Walks an array: `element` is called with the cursor at each element, and must pass it.
    ///
    /// # Errors
    /// What comes next is no array, or what `element` says.
    pub fn array<E: From<JsonError>>(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.expect(b'[', "expected an array")?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            self.peek();
            element(self)?;
            if self.eat(b']') {
                return Ok(());
            }
            self.expect(b',', "expected a comma or the array's end")?;
        }
    }
}

/// A key's content with its escapes resolved; borrowed where it has none, as almost every key.
pub fn key_text(content: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', content).is_none() {
        return Cow::Borrowed(content);
    }
    match std::str::from_utf8(content) {
        Ok(text) => Cow::Owned(unescape(text).into_owned().into_bytes()),
        Err(_) => Cow::Borrowed(content),
    }
}

/// Appends `text` as a JSON string with its quotes.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                push_hex(out, &[byte]);
            }
        }
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
    out.push(b'"');
}

/// Appends `bytes` in lower-case hexadecimal.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests;
