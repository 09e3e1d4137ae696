//! An object: the bytes that S3 gave, read as a body. Hostile as a record is: any bytes, and as many after inflating as
//! somebody likes.

use super::State;
use crate::decode::{Inflater, is_gzip};
use crate::json::Cursor;
use crate::reject::Reason;

/// A body as it was found: one JSON value.
#[derive(Debug, PartialEq, Eq)]
pub struct Body {
    json: Box<str>,
    line_breaks: bool,
}

impl Body {
    /// The value, without white space around it.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Whether there may be line breaks between its tokens.
    pub fn line_breaks(&self) -> bool {
        self.line_breaks
    }
}

/// The bytes that an object seems to hold once it is inflated. What gzip's trailer says of its last member need not be
/// true, nor the whole.
pub(super) fn promised_bytes(bytes: &[u8]) -> usize {
    match bytes.last_chunk::<4>() {
        Some(size) if is_gzip(bytes) => usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX),
        _ => bytes.len(),
    }
}

/// Reads an object: gzip or not, told by its bytes.
///
/// # Errors
/// [`State::TooLarge`] past `limit` bytes; [`State::NotJson`] for anything but one JSON value of at most this depth.
pub(super) fn read(bytes: &[u8], limit: usize, depth: usize) -> Result<Body, State> {
    let mut text = Vec::new();
    if is_gzip(bytes) {
        let inflated = Inflater::default().inflate(bytes, limit, &mut text);
        match inflated.fault {
            Some(fault) if fault.reason == Reason::TooLarge => return Err(State::TooLarge),
            Some(_) => return Err(State::NotJson),
            None => text.truncate(inflated.length),
        }
    } else {
        text.extend_from_slice(bytes);
    }
    if text.len() > limit {
        return Err(State::TooLarge);
    }
    let mut cursor = Cursor::new(&text, 0);
    let span = cursor.value(depth).map_err(|_| State::NotJson)?;
    let line_breaks = cursor.line_breaks();
    if cursor.peek().is_some() {
        return Err(State::NotJson);
    }
    text.truncate(span.end);
    text.drain(..span.start);
    let json = String::from_utf8(text).map_err(|_| State::NotJson)?.into_boxed_str();
    Ok(Body { json, line_breaks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn an_object_is_one_json_value() {
        let check = |bytes: &[u8], expected: Result<(&str, bool), State>| {
            let found = read(bytes, 100, 4);
            let found = found.as_ref().map(|body| (body.json(), body.line_breaks())).map_err(|state| *state);
            assert_eq!(found, expected, "{bytes:?}");
        };
        check(b"{\"a\":[1]}", Ok(("{\"a\":[1]}", false)));
        check(&gzip(b" {\"a\":[1]}"), Ok(("{\"a\":[1]}", false)));
        check(&[gzip(b"{\"a\":"), gzip(b"\"b\"}")].concat(), Ok(("{\"a\":\"b\"}", false)));
        check(b"[1,\n2]", Ok(("[1,\n2]", true)));
        check(&gzip(&[b"\"".as_slice(), &[b'x'; 98], b"\""].concat()), Ok((&format!("\"{}\"", "x".repeat(98)), false)));

        check(&gzip(&[b' '; 101]), Err(State::TooLarge));
        check(&[b' '; 101], Err(State::TooLarge));
        check(&gzip(&vec![b' '; 10 << 20]), Err(State::TooLarge));
        check(&[gzip(&[b' '; 60]), gzip(&[b' '; 60])].concat(), Err(State::TooLarge));

        let cut = gzip(b"{\"a\":1}");
        for bytes in
            [b"".as_slice(), b"<html>", b"{} {}", b"{\"a\":", b"[[[[[]]]]]", b"\"\xff\"", &cut[..cut.len() - 9]]
        {
            check(bytes, Err(State::NotJson));
        }
    }

    #[test]
    fn what_is_promised_is_what_the_trailer_says() {
        assert_eq!(promised_bytes(b"[1]"), 3);
        assert_eq!(promised_bytes(&gzip(&[b' '; 5000])), 5000);
        assert_eq!(promised_bytes(b"\x1f\x8b"), 2);
    }
}
