//! The nesting of JSON documents in a text that arrives in parts: it tells where a document begins that is not inside
//! of another one. It keeps one byte a level and looks at each byte of the text once.

use memchr::{memchr, memchr3};

/// Levels that are followed. Twice what the decoder takes: a document that is nested deeper is refused in any case, and
/// what hostile brackets cost here is bounded.
const MAX_LEVELS: usize = 2 * crate::json::MAX_DEPTH;

/// Stands for any byte that is part of no document.
const STRAY: u8 = b'?';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Outside of strings.
    Outside,
    String,
    /// Behind a backslash in a string.
    Escape,
    /// In a text that is no JSON: all that can be told is that a document begins where a line does, as the decoder too
    /// goes on there.
    Adrift,
}

/// How far the text was followed.
#[derive(Debug)]
pub(super) struct Nesting {
    place: Place,
    /// The brackets that are open, the innermost last.
    open: Vec<u8>,
    /// The last byte outside of strings that is no white space; zero if there was none since the text was handed on.
    last: u8,
    /// Whether the next byte is the first of its line.
    line_start: bool,
}

impl Nesting {
    /// At the start of a text.
    pub(super) fn new() -> Self {
        Self { place: Place::Outside, open: Vec::new(), last: 0, line_start: true }
    }

    /// Behind the first byte of an object that is in no other.
    pub(super) fn opened() -> Self {
        Self { place: Place::Outside, open: vec![b'{'], last: b'{', line_start: false }
    }

    /// Somewhere in a text.
    pub(super) fn adrift(line_start: bool) -> Self {
        Self { place: Place::Adrift, open: Vec::new(), last: STRAY, line_start }
    }

    /// Follows the text up to the next document that has something before it and is not inside of another one, its
    /// first byte included, and gives where it begins. Follows all of the text if there is none.
    pub(super) fn next_start(&mut self, text: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            match self.place {
                Place::Outside => {
                    if self.outside(byte) {
                        return Some(at);
                    }
                    at += 1;
                }
                Place::String => at += self.string(&text[at..]),
                Place::Escape => {
                    self.place = Place::String;
                    // A line break is no part of an escape; the string is to see it.
                    at += usize::from(byte != b'\n');
                }
                Place::Adrift if self.line_start && is_opening(byte) => {
                    self.place = Place::Outside;
                    self.push(byte);
                    return Some(at);
                }
                Place::Adrift => {
                    let newline = memchr(b'\n', &text[at..]);
                    self.line_start = newline.is_some();
                    at = newline.map_or(text.len(), |newline| at + newline + 1);
                }
            }
        }
        None
    }

    /// Whether what was followed ends with a whole document.
    pub(super) fn is_complete(&self) -> bool {
        self.place == Place::Outside && self.open.is_empty() && matches!(self.last, b'}' | b']')
    }

    /// Whether a string is open.
    pub(super) fn is_in_string(&self) -> bool {
        matches!(self.place, Place::String | Place::Escape)
    }

    /// Whether all that can be told is where a line begins.
    pub(super) fn is_adrift(&self) -> bool {
        self.place == Place::Adrift
    }

    /// Whether what begins with `first` may go on with the text, where the text may as well have ended. Outside of
    /// strings only.
    pub(super) fn goes_on_with(&self, first: u8) -> bool {
        if is_opening(first) {
            return match (self.place, self.open.last()) {
                (Place::Outside, Some(container)) => self.may_open_in(*container),
                (Place::Outside, None) => self.line_start || self.last == 0 || self.is_complete(),
                _ => false,
            };
        }
        // Behind a document on the same line the decoder takes nothing but a document.
        !self.is_complete() || self.line_start || first.is_ascii_whitespace()
    }

    /// All of the text so far was handed on.
    pub(super) fn handed_on(&mut self) {
        self.last = 0;
    }

    /// Follows a byte outside of strings; whether it begins a document.
    fn outside(&mut self, byte: u8) -> bool {
        let line_start = std::mem::replace(&mut self.line_start, byte == b'\n');
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return false,
            b'{' | b'[' => return self.opening(byte, line_start),
            b'}' => self.close(b'{'),
            b']' => self.close(b'['),
            b'"' if self.open.is_empty() || matches!(self.last, b'{' | b'[' | b',' | b':') => {
                self.place = Place::String;
            }
            b'"' => return self.lose(),
            _ => {}
        }
        if self.place != Place::Adrift {
            self.last = byte;
        }
        false
    }

    fn opening(&mut self, byte: u8, line_start: bool) -> bool {
        let begins = match self.open.last() {
            None => self.last != 0 && (line_start || matches!(self.last, b'}' | b']')),
            Some(&container) if self.may_open_in(container) => false,
            // The document before it was broken off.
            Some(_) if line_start => {
                self.open.clear();
                true
            }
            Some(_) => return self.lose(),
        };
        if self.open.len() == MAX_LEVELS {
            return self.lose();
        }
        self.push(byte);
        begins
    }

    fn push(&mut self, byte: u8) {
        self.open.push(byte);
        self.last = byte;
        self.line_start = false;
    }

    /// Whether JSON allows an object or an array here.
    fn may_open_in(&self, container: u8) -> bool {
        if container == b'{' { self.last == b':' } else { matches!(self.last, b'[' | b',') }
    }

    fn close(&mut self, opening: u8) {
        if self.open.pop().is_some_and(|open| open != opening) {
            self.lose();
        }
    }

    /// Follows a string up to its end or its next escape; gives how far.
    fn string(&mut self, text: &[u8]) -> usize {
        let Some(at) = memchr3(b'"', b'\\', b'\n', text) else { return text.len() };
        match text[at] {
            b'"' => {
                self.place = Place::Outside;
                self.last = b'"';
            }
            b'\\' => self.place = Place::Escape,
            // No string of JSON goes over a line's end.
            _ => {
                self.lose();
                self.line_start = true;
            }
        }
        at + 1
    }

    /// This is no JSON. Nothing begins here.
    fn lose(&mut self) -> bool {
        *self = Self { open: std::mem::take(&mut self.open), ..Self::adrift(false) };
        self.open.clear();
        false
    }
}

/// Whether a document begins with this byte.
pub(super) fn is_opening(byte: u8) -> bool {
    matches!(byte, b'{' | b'[')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is the text with a `|` before each document that has something before it.
    fn check(expected: &str) {
        let text = expected.replace('|', "");
        for chunk in [1, 2, 3, 1000] {
            let (mut nesting, mut starts, mut base) = (Nesting::new(), Vec::new(), 0);
            for mut part in text.as_bytes().chunks(chunk) {
                while let Some(at) = nesting.next_start(part) {
                    starts.push(base + at);
                    base += at + 1;
                    part = &part[at + 1..];
                }
                base += part.len();
            }
            let mut found = text.clone();
            starts.iter().rev().for_each(|&at| found.insert(at, '|'));
            assert_eq!(found, expected, "{chunk} bytes at a time");
        }
    }

    #[test]
    fn documents_begin_where_nothing_is_open() {
        check("{}");
        check(" \n {}|{}\n|{} \t|[1]|[{},\n{}]\n|{}");
        check("{\"a\":\n{\"b\":[\n{},\n{}\n,\n[\n[],[]]]}}\n|{}");
        check(r#"{"a":"}\"{\\"}|{"\\\"":"\\"}|[]"#);
        check("[\"a\",\"{\",{\"[\":1}]|{}");
        check("{\"a\":-1.5e3,\"b\":null , \"c\" : [ true ] }|{}");
    }

    #[test]
    fn a_broken_document_ends_where_a_line_begins_as_one() {
        for broken in [
            "{\"a\":1",
            "{\"a\"",
            "{\"a",
            "{\"a\\",
            "{",
            "{\"a\":\"x\" \"y\"",
            "[1",
            "[{]",
            "{\"a\":1,",
            "]}",
            "{} x{",
            "{}{1}{\"",
        ] {
            let mut nesting = Nesting::new();
            let text = format!("{broken}\n{{\"b\":2}}");
            let mut last = None;
            let mut from = 0;
            while let Some(at) = nesting.next_start(&text.as_bytes()[from..]) {
                last = Some(from + at);
                from += at + 1;
            }
            assert_eq!(last, Some(broken.len() + 1), "{broken:?}");
            assert!(nesting.is_complete(), "{broken:?}");
        }
        // These look whole up to the second line, and give themselves away with the third.
        check("{\"a\":\n{\"b\":2}\n|{\"c\":3}");
        check("[{},\n{\"b\":2}\n|{\"c\":3}");
        check("{} x\ny {}\n|{}");
    }

    #[test]
    fn brackets_without_end_are_followed_no_further_than_the_decoder_goes() {
        let mut nesting = Nesting::new();
        for _ in 0..10 {
            assert_eq!(nesting.next_start(&[b'['; 1000]), None);
            assert!(nesting.open.capacity() <= 2 * MAX_LEVELS);
        }
        assert_eq!(nesting.next_start(b"\n{}"), Some(1));
    }
}
