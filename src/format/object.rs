//! A JSON object being written: members appended one after the other to a buffer, raw JSON copied and never rebuilt.

use crate::body::Text;
use crate::invocation::{JsonStr, RawJson};
use crate::json::{push_hex, push_string};

/// A JSON object being appended to a buffer.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    /// Whether raw values may have line breaks between their tokens.
    line_breaks: bool,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object; `line_breaks` says whether raw values may have line breaks between their tokens.
    pub(crate) fn begin(out: &'a mut Vec<u8>, line_breaks: bool) -> Self {
        out.push(b'{');
        Self { out, line_breaks, empty: true }
    }

    /// Closes it.
    pub(crate) fn end(self) {
        self.out.push(b'}');
    }

    /// A key that needs no escaping, or is escaped already.
    pub(crate) fn raw_key(&mut self, key: &str) {
        self.out.extend_from_slice(if std::mem::take(&mut self.empty) { b"\"" } else { b",\"" });
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn key(&mut self, key: &'static str) {
        self.raw_key(key);
    }

    /// A string of the record, as it was escaped.
    pub(crate) fn string(&mut self, key: &'static str, value: Option<JsonStr<'_>>) {
        let Some(value) = value else { return };
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(value.0.as_bytes());
        self.out.push(b'"');
    }

    /// A string.
    pub(crate) fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        push_string(self.out, value);
    }

    /// A string under a key of any characters.
    pub(crate) fn entry(&mut self, key: &str, value: &str) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        push_string(self.out, key);
        self.out.push(b':');
        push_string(self.out, value);
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, key: &'static str, value: Option<i64>) {
        let Some(value) = value else { return };
        self.key(key);
        push_integer(self.out, value);
    }

    /// A JSON value, copied.
    pub(crate) fn json(&mut self, key: &'static str, value: Option<RawJson<'_>>) {
        let Some(value) = value else { return };
        self.key(key);
        self.raw(value.0);
    }

    /// The value of the key that was written last, copied.
    pub(crate) fn raw(&mut self, value: &str) {
        push_on_one_line(self.out, value.as_bytes(), self.line_breaks);
    }

    /// A member that is an object.
    pub(crate) fn object(&mut self, key: &'static str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        let mut object = Object::begin(self.out, self.line_breaks);
        fill(&mut object);
        object.end();
    }

    /// A member that is an object, left out where `fill` writes nothing into it.
    pub(crate) fn object_if_any(&mut self, key: &'static str, fill: impl FnOnce(&mut Object<'_>)) {
        let (start, empty) = (self.out.len(), self.empty);
        self.key(key);
        let mut object = Object::begin(self.out, self.line_breaks);
        fill(&mut object);
        if object.empty {
            self.out.truncate(start);
            self.empty = empty;
        } else {
            object.end();
        }
    }

    /// A member that is a list of strings, left out where there are none.
    pub(crate) fn list(&mut self, key: &'static str, values: &[impl AsRef<str>]) {
        if !values.is_empty() {
            self.array(key, |array| values.iter().for_each(|value| array.text(value.as_ref())));
        }
    }

    /// A member that is a list of anything.
    pub(crate) fn array(&mut self, key: &'static str, fill: impl FnOnce(&mut Array<'_>)) {
        self.key(key);
        let mut array = Array::begin(self.out, self.line_breaks);
        fill(&mut array);
        array.end();
    }

    /// A string member whose content `write` appends; it must need no escaping.
    pub(crate) fn quoted(&mut self, key: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        self.out.push(b'"');
        write(self.out);
        self.out.push(b'"');
    }

    /// Bytes as lower-case hexadecimal.
    pub(crate) fn hex(&mut self, key: &'static str, bytes: &[u8]) {
        self.quoted(key, |out| push_hex(out, bytes));
    }

    /// A text of a body.
    pub(crate) fn said(&mut self, key: &'static str, value: Option<&Text<'_>>) {
        let Some(value) = value else { return };
        self.quoted(key, |out| out.extend_from_slice(value.escaped().as_bytes()));
    }

    /// A boolean.
    pub(crate) fn boolean(&mut self, key: &'static str, value: Option<bool>) {
        let Some(value) = value else { return };
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// A number in the shortest decimal form that reads back the same; what is not finite is left out.
    pub(crate) fn float(&mut self, key: &'static str, value: Option<f64>) {
        let Some(value) = value.and_then(serde_json::Number::from_f64) else { return };
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }
}

/// A JSON array being appended to a buffer.
pub struct Array<'a> {
    out: &'a mut Vec<u8>,
    line_breaks: bool,
    empty: bool,
}

impl<'a> Array<'a> {
    /// Opens an array.
    pub(crate) fn begin(out: &'a mut Vec<u8>, line_breaks: bool) -> Self {
        out.push(b'[');
        Self { out, line_breaks, empty: true }
    }

    /// Closes it.
    pub(crate) fn end(self) {
        self.out.push(b']');
    }

    fn next(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
    }

    /// A string.
    pub(crate) fn text(&mut self, value: &str) {
        self.next();
        push_string(self.out, value);
    }

    /// A text of a body.
    pub(crate) fn said(&mut self, value: &Text<'_>) {
        self.next();
        self.out.push(b'"');
        self.out.extend_from_slice(value.escaped().as_bytes());
        self.out.push(b'"');
    }

    /// An object.
    pub(crate) fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        self.next();
        let mut object = Object::begin(self.out, self.line_breaks);
        fill(&mut object);
        object.end();
    }
}

/// Appends JSON byte for byte, but for `line_breaks` between its tokens, which become spaces: a line is one event.
/// Within strings JSON has no raw line breaks.
pub(crate) fn push_on_one_line(out: &mut Vec<u8>, json: &[u8], line_breaks: bool) {
    let mut from = out.len();
    out.extend_from_slice(json);
    if !line_breaks {
        return;
    }
    while let Some(at) = memchr::memchr2(b'\n', b'\r', &out[from..]) {
        out[from + at] = b' ';
        from += at + 1;
    }
}

/// Appends a whole number.
pub(crate) fn push_integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}
