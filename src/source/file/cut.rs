//! Cuts text into pieces of bounded size where one document ends and the next begins.

use memchr::{memchr, memrchr};

/// Where a text may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Before a line that begins as the text began: another document of the same kind. A line that begins otherwise
    /// belongs to a document of several lines, such as an indented one or wrapped base64.
    LineThatBegins(&'static [u8]),
    /// After any line.
    AnyLine,
    /// Nowhere: the bytes are no text.
    Nowhere,
}

/// The beginnings of documents whose lines are told apart from those inside a document.
const BEGINNINGS: [&[u8]; 4] = [b"{", b"[", b"H4sI", b"eyJ"];

/// The bytes that tell text from other content.
const SNIFFED_BYTES: usize = 512;

/// Bytes that were read and not handed on yet.
#[derive(Debug)]
pub(super) struct Cutter {
    buffer: Vec<u8>,
    rule: Option<Rule>,
    /// The bytes at which a piece is worth handing on.
    piece_bytes: usize,
    /// The bytes that a piece may have at most. A document beyond it is handed on one byte over it and no further, for
    /// the decoder to reject with its reason.
    max_bytes: usize,
    /// Whether the rest of the document at hand is passed over.
    passing: bool,
}

/// What came off the buffer: a piece, and the bytes that are passed over after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) data: Vec<u8>,
    pub(super) passed: usize,
}

impl Cutter {
    pub(super) fn new(piece_bytes: usize, max_bytes: usize) -> Self {
        Self { buffer: Vec::new(), rule: None, piece_bytes, max_bytes: max_bytes.max(1), passing: false }
    }

    /// Whether the rest of a document that was too large is being passed over.
    pub(super) fn is_passing(&self) -> bool {
        self.passing
    }

    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// A piece, if a whole one is there.
    pub(super) fn take(&mut self) -> Option<Cut> {
        if self.passing {
            return self.pass();
        }
        if self.buffer.len() < self.piece_bytes {
            return None;
        }
        let rule = self.rule();
        if let Some(at) = last_cut(&self.buffer, rule) {
            return Some(self.split(at));
        }
        if self.buffer.len() <= self.max_bytes {
            return None;
        }
        // The document is too large to be held. Where it has lines they may still be documents of their own.
        if rule != Rule::Nowhere
            && let Some(newline) = memrchr(b'\n', &self.buffer[..self.max_bytes])
        {
            return Some(self.split(newline + 1));
        }
        let mut data = std::mem::take(&mut self.buffer);
        let rest = data.split_off(self.max_bytes + 1);
        self.push(&rest);
        self.passing = true;
        Some(Cut { data, passed: 0 })
    }

    /// A piece of what has arrived so far, where it ends in a whole line that is a document by its looks. For a pipe
    /// that may stay silent for long.
    pub(super) fn take_arrived(&mut self) -> Option<Cut> {
        if self.passing || self.buffer.is_empty() {
            return self.take();
        }
        let rule = self.rule();
        let whole = self.buffer.strip_suffix(b"\n").filter(|text| {
            let last = &text[memrchr(b'\n', text).map_or(0, |at| at + 1)..];
            match rule {
                Rule::LineThatBegins(start @ (b"{" | b"[")) => {
                    let closing = if start == b"{" { b'}' } else { b']' };
                    last.starts_with(start) && last.trim_ascii_end().ends_with(&[closing])
                }
                // Another line of wrapped base64 may follow.
                Rule::LineThatBegins(_) | Rule::Nowhere => false,
                Rule::AnyLine => true,
            }
        });
        if whole.is_some() {
            return Some(self.split(self.buffer.len()));
        }
        match last_cut(&self.buffer, rule) {
            Some(at) => Some(self.split(at)),
            None => self.take(),
        }
    }

    /// What is left once nothing follows; what comes next is another text.
    pub(super) fn finish(&mut self) -> Option<Cut> {
        self.rule = None;
        let data = std::mem::take(&mut self.buffer);
        if std::mem::take(&mut self.passing) {
            return (!data.is_empty()).then(|| Cut { data: Vec::new(), passed: data.len() });
        }
        (!data.is_empty()).then_some(Cut { data, passed: 0 })
    }

    /// What is left up to the last whole line; the rest is forgotten. For a text that breaks off.
    pub(super) fn break_off(&mut self) -> Option<Cut> {
        let lines = match self.rule() {
            Rule::Nowhere => 0,
            _ => memrchr(b'\n', &self.buffer).map_or(0, |at| at + 1),
        };
        self.buffer.truncate(lines);
        self.finish()
    }

    fn rule(&mut self) -> Rule {
        if let Some(rule) = self.rule {
            return rule;
        }
        let head = &self.buffer[..self.buffer.len().min(SNIFFED_BYTES)];
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let is_text = head.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace());
        let rule = match BEGINNINGS.into_iter().find(|start| text.starts_with(start)) {
            Some(start) => Rule::LineThatBegins(start),
            None if is_text => Rule::AnyLine,
            None => Rule::Nowhere,
        };
        self.rule = Some(rule);
        rule
    }

    fn split(&mut self, at: usize) -> Cut {
        let rest = self.buffer.split_off(at);
        Cut { data: std::mem::replace(&mut self.buffer, rest), passed: 0 }
    }

    /// Passes over the rest of a document that is too large.
    fn pass(&mut self) -> Option<Cut> {
        let end = if self.rule() == Rule::Nowhere { None } else { memchr(b'\n', &self.buffer) };
        let passed = end.map_or(self.buffer.len(), |newline| newline + 1);
        self.passing = end.is_none();
        self.buffer.drain(..passed);
        (passed > 0).then_some(Cut { data: Vec::new(), passed })
    }
}

/// The last place where the text may be cut, with a byte behind it that proves it.
fn last_cut(text: &[u8], rule: Rule) -> Option<usize> {
    let start = match rule {
        Rule::LineThatBegins(start) => start,
        Rule::AnyLine => return memrchr(b'\n', text).map(|newline| newline + 1),
        Rule::Nowhere => return None,
    };
    let mut end = text.len();
    while let Some(newline) = memrchr(b'\n', &text[..end]) {
        if text[newline + 1..].starts_with(start) {
            return Some(newline + 1);
        }
        end = newline;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cuts a text that arrives in chunks, and returns the pieces as text, with `~` for bytes that were passed over.
    fn cut(text: &[u8], chunk: usize, piece_bytes: usize, max_bytes: usize) -> Vec<String> {
        let mut cutter = Cutter::new(piece_bytes, max_bytes);
        let mut pieces = Vec::new();
        let mut note = |cut: Cut| {
            let text = String::from_utf8_lossy(&cut.data).into_owned();
            pieces.push(if cut.passed > 0 { "~".repeat(cut.passed) } else { text });
        };
        for chunk in text.chunks(chunk) {
            cutter.push(chunk);
            while let Some(cut) = cutter.take() {
                note(cut);
            }
        }
        if let Some(cut) = cutter.finish() {
            note(cut);
        }
        pieces
    }

    #[test]
    fn documents_stay_whole() {
        let check =
            |text: &str, expected: &[&str]| assert_eq!(cut(text.as_bytes(), 100, 4, 1000), expected, "{text:?}");
        check("{1}\n{2}\n{3}", &["{1}\n{2}\n", "{3}"]);
        check("{\n  1\n}\n{\n  2\n}\n", &["{\n  1\n}\n", "{\n  2\n}\n"]);
        check("H4sIab\ncdef\nH4sIgh\n", &["H4sIab\ncdef\n", "H4sIgh\n"]);
        check("one\ntwo\n", &["one\ntwo\n"]);
        check("\u{feff} \n{1}\n{2}", &["\u{feff} \n{1}\n", "{2}"]);
        assert_eq!(cut(b"\x00{1}\n{2}\n{3}\n", 100, 4, 1000).len(), 1);
    }

    #[test]
    fn a_line_over_the_limit_is_handed_on_one_byte_over_and_passed() {
        let text = b"{1}\n{22222222222222}\n{3}\n";
        assert_eq!(cut(text, 1, 4, 8), ["{1}\n", "{22222222", "~", "~", "~", "~", "~", "~", "~", "~", "{3}\n"]);
        assert_eq!(cut(text, 100, 4, 8), ["{1}\n{22222222222222}\n", "{3}\n"]);
        assert_eq!(cut(b"{1\n2\n3\n4\n5\n6}\n{7}", 1, 4, 8), ["{1\n2\n3\n", "4\n5\n6}\n", "{7}"]);
    }

    proptest! {
        #[test]
        fn every_byte_is_handed_on_or_passed_over(
            text in "[{}a\\n]{0,80}", chunk in 1usize..10, piece_bytes in 1usize..20, max_bytes in 20usize..40
        ) {
            let pieces = cut(text.as_bytes(), chunk, piece_bytes, max_bytes);
            prop_assert_eq!(pieces.concat().len(), text.len());
            for piece in pieces {
                prop_assert!(piece.len() <= max_bytes + chunk.max(1), "{piece:?}");
            }
        }
    }
}
