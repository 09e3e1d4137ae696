//! Cuts text into pieces of bounded size where one document ends and the next begins.

use std::io::{self, Read};

use memchr::{memchr, memrchr, memrchr_iter};

use super::nesting::{Nesting, is_opening};

/// Where a text may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Before a JSON document that is not inside of another one.
    Document,
    /// Before a line that begins as the text began: other base64 of the same kind. A line that begins otherwise belongs
    /// to base64 that is wrapped.
    LineThatBegins(&'static [u8]),
    /// After any line.
    AnyLine,
    /// Nowhere: the bytes are no text.
    Nowhere,
}

/// How wrapped base64 of gzip, of zstd and of JSON begins.
const BASE64: [&[u8]; 3] = [b"H4sI", b"KLUv", b"eyJ"];

/// How the bytes and the base64 of gzip, of zstd and of a KPL aggregate begin.
const FRAMINGS: [&[u8]; 6] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xf3\x89\x9a\xc2", b"H4sI", b"KLUv", b"84ma"];

/// A byte order mark, which some tools put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes that tell text from other content.
const SNIFFED_BYTES: usize = 512;

/// The first bytes that tell what begins.
pub(super) const BEGINNING_BYTES: usize = 4;

/// Bytes that were read and not handed on yet.
#[derive(Debug)]
pub(super) struct Cutter {
    buffer: Vec<u8>,
    rule: Option<Rule>,
    /// What the bytes up to `scanned` leave open.
    nesting: Nesting,
    /// The bytes of the buffer that were looked at; none is looked at again for each block that arrives.
    scanned: usize,
    /// The last place among them where the buffer may be cut.
    cut: Option<usize>,
    /// Where the bytes of the gzip member at hand begin.
    member_start: usize,
    /// Where a member began as a document does, inside of a string: there the text may have been broken off.
    doubtful: Option<usize>,
    /// The bytes at which a piece is worth handing on.
    piece_bytes: usize,
    /// The bytes that a piece may have at most. A document beyond it is handed on one byte over it and no further, for
    /// the decoder to reject with its reason.
    max_bytes: usize,
    /// Whether the rest of the document at hand is passed over.
    passing: bool,
    /// The bytes that were looked at or moved, however often.
    #[cfg(test)]
    work: usize,
    /// Whether each byte is followed, as it was before lines were looked for.
    #[cfg(test)]
    follows_all: bool,
}

/// What came off the buffer: a piece, and the bytes that are passed over after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) data: Vec<u8>,
    pub(super) passed: usize,
}

impl Cutter {
    pub(super) fn new(piece_bytes: usize, max_bytes: usize) -> Self {
        Self {
            buffer: Vec::new(),
            rule: None,
            nesting: Nesting::new(),
            scanned: 0,
            cut: None,
            member_start: 0,
            doubtful: None,
            piece_bytes,
            max_bytes: max_bytes.max(1),
            passing: false,
            #[cfg(test)]
            work: 0,
            #[cfg(test)]
            follows_all: false,
        }
    }

    /// Whether the rest of a document that was too large is being passed over.
    pub(super) fn is_passing(&self) -> bool {
        self.passing
    }

    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes up to `bytes` that `reader` gives at once, and no more than a piece needs; zero at its end.
    pub(super) fn read(&mut self, reader: &mut impl Read, bytes: usize) -> io::Result<usize> {
        let length = self.buffer.len();
        let missing = self.piece_bytes.checked_sub(length).filter(|missing| *missing > 0);
        self.buffer.resize(length + missing.map_or(bytes, |missing| missing.min(bytes)), 0);
        let read = super::read_some(reader, &mut self.buffer[length..]);
        self.buffer.truncate(length + *read.as_ref().unwrap_or(&0));
        read
    }

    /// A piece, if a whole one is there. To be asked until there is none before more is pushed.
    pub(super) fn take(&mut self) -> Option<Cut> {
        if self.passing {
            return self.pass();
        }
        if self.buffer.len() < self.piece_bytes {
            return None;
        }
        self.scan();
        if let Some(at) = self.cut {
            return Some(self.split(at));
        }
        if self.buffer.len() <= self.max_bytes {
            return None;
        }
        Some(self.take_too_large())
    }

    /// A piece of what has arrived so far, where it ends in a whole document. For a pipe that may stay silent for long.
    /// A text may end with the gzip member at hand as it does with a line.
    pub(super) fn take_arrived(&mut self, member_ends: bool) -> Option<Cut> {
        if self.passing || self.buffer.is_empty() {
            return self.take();
        }
        self.scan();
        let line_ends = self.buffer.ends_with(b"\n");
        let whole = match self.rule() {
            Rule::Document => (line_ends || member_ends) && self.nesting.is_complete(),
            // Another line of wrapped base64 may follow.
            Rule::LineThatBegins(_) | Rule::Nowhere => false,
            Rule::AnyLine => line_ends,
        };
        if whole && self.scanned == self.buffer.len() {
            self.nesting.handed_on();
            return Some(self.split(self.buffer.len()));
        }
        match self.cut {
            Some(at) => Some(self.split(at)),
            None => self.take(),
        }
    }

    /// Notes that a gzip member begins with `head`, which has [`BEGINNING_BYTES`] unless the member has less, and is
    /// to be pushed after this. Most writers begin members anywhere; some make a member of each document. Gives what
    /// is there where it does not go on with the member.
    pub(super) fn begin_member(&mut self, head: &[u8]) -> Vec<Cut> {
        let mut cuts = Vec::new();
        if let Some(&first) = head.first() {
            if !self.passing {
                self.scan();
            }
            if !self.goes_on_with(head) {
                // The string did not end as one does: it was broken off where that member began.
                if let Some(at) = self.doubtful.filter(|_| self.nesting.is_adrift()) {
                    cuts.push(self.split(at));
                }
                cuts.extend(self.finish());
            } else if is_opening(first) && self.nesting.is_in_string() && !self.passing {
                self.doubtful = Some(self.buffer.len());
            }
        }
        self.member_start = self.buffer.len();
        cuts
    }

    /// What is left once nothing follows; what comes next is another text.
    pub(super) fn finish(&mut self) -> Option<Cut> {
        let fresh = Self::new(self.piece_bytes, self.max_bytes);
        #[cfg(test)]
        let fresh = Self { work: self.work, follows_all: self.follows_all, ..fresh };
        let Self { buffer: data, passing, .. } = std::mem::replace(self, fresh);
        if data.is_empty() {
            return None;
        }
        Some(if passing { Cut { passed: data.len(), data: Vec::new() } } else { Cut { data, passed: 0 } })
    }

    /// What is left without the last line, as far as that is of a member that breaks off; the rest is forgotten.
    pub(super) fn break_off(&mut self) -> Option<Cut> {
        if !self.passing {
            self.scan();
        }
        let rule = self.rule();
        let lines = if rule == Rule::Nowhere { None } else { memrchr(b'\n', &self.buffer).map(|at| at + 1) };
        self.buffer.truncate(self.member_start.max(lines.unwrap_or(0)).max(self.cut.unwrap_or(0)));
        let rest = self.finish();
        // The next member may go on anywhere in a document.
        if matches!(rule, Rule::Document | Rule::LineThatBegins(_)) {
            self.rule = Some(rule);
            self.nesting = Nesting::adrift(false);
        }
        rest
    }

    fn rule(&mut self) -> Rule {
        if let Some(rule) = self.rule {
            return rule;
        }
        let head = &self.buffer[..self.buffer.len().min(SNIFFED_BYTES)];
        let mark = if head.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let text = head[mark..].trim_ascii_start();
        let is_text = head.iter().all(|byte| *byte >= b' ' || byte.is_ascii_whitespace());
        let rule = match BASE64.into_iter().find(|start| text.starts_with(start)) {
            Some(start) => Rule::LineThatBegins(start),
            None if text.first().is_some_and(|first| is_opening(*first)) => Rule::Document,
            None if is_text => Rule::AnyLine,
            None => Rule::Nowhere,
        };
        let is_told = rule == Rule::Document || text.len() >= BEGINNING_BYTES || head.len() == SNIFFED_BYTES;
        if is_told {
            self.rule = Some(rule);
            self.scanned = mark;
        }
        rule
    }

    /// Looks at the bytes that arrived since, for the last place to cut. A place beyond the largest piece is none.
    fn scan(&mut self) {
        let rule = self.rule();
        if self.rule.is_none() {
            return;
        }
        let from = self.scanned;
        let end = match rule {
            Rule::LineThatBegins(start) => self.buffer.len().saturating_sub(start.len()).min(self.max_bytes),
            Rule::AnyLine => self.buffer.len().min(self.max_bytes),
            Rule::Document => self.buffer.len().min(self.max_bytes.saturating_add(1)),
            Rule::Nowhere => from,
        };
        if end <= from {
            return;
        }
        self.scanned = end;
        self.count(end - from);
        let new = &self.buffer[from..end];
        let found = match rule {
            Rule::AnyLine => memrchr(b'\n', new).map(|newline| from + newline + 1),
            Rule::LineThatBegins(start) => memrchr_iter(b'\n', new)
                .map(|newline| from + newline + 1)
                .find(|line| self.buffer[*line..].starts_with(start)),
            Rule::Document => {
                let (mut last, mut next) = (self.cut, from);
                if let Some(at) = self.last_line(from, end) {
                    self.nesting = Nesting::opened();
                    (last, next) = (Some(at), at + 1);
                }
                while let Some(start) = self.nesting.next_start(&self.buffer[next..end]) {
                    let at = next + start;
                    // White space alone is no piece.
                    if last.is_some() || !self.buffer[..at].trim_ascii_start().is_empty() {
                        last = Some(at);
                    }
                    next = at + 1;
                }
                last
            }
            Rule::Nowhere => None,
        };
        self.cut = found.or(self.cut);
        // A document that begins behind it tells that the text was not broken off there.
        self.doubtful = self.doubtful.filter(|at| self.cut.is_none_or(|cut| cut < *at));
    }

    /// The last place from `from` on where a line begins as an object does and the one before ended as one does. JSON has
    /// no line feed in a string, and between two objects in another one there is a comma: so a document begins there, and
    /// one begins there too for the nesting whatever it holds of the text before, which need not be followed.
    fn last_line(&self, from: usize, end: usize) -> Option<usize> {
        if self.follows_all() {
            return None;
        }
        let text = &self.buffer[..end];
        let mut lines = memrchr_iter(b'\n', &text[from.saturating_sub(1)..]).map(|at| from.saturating_sub(1) + at);
        lines.find_map(|newline| {
            let before = text[..newline].strip_suffix(b"\r").unwrap_or(&text[..newline]);
            (before.ends_with(b"}") && text.get(newline + 1) == Some(&b'{')).then_some(newline + 1)
        })
    }

    /// A piece of a document that is too large to be held. Where it has lines they may still be documents of their own.
    fn take_too_large(&mut self) -> Cut {
        let rule = self.rule();
        self.count(self.max_bytes);
        let held = &self.buffer[..self.max_bytes];
        let mut lines = memrchr_iter(b'\n', held).map(|newline| newline + 1);
        let line = match rule {
            Rule::Nowhere => None,
            Rule::AnyLine | Rule::LineThatBegins(_) => lines.next(),
            Rule::Document => {
                let last = lines.clone().next();
                let begins = |at: usize| self.buffer.get(at).is_some_and(|byte| is_opening(*byte));
                lines.find(|at| begins(*at)).or(last).max(self.doubtful)
            }
        };
        if let Some(at) = line {
            let cut = self.split(at);
            if rule == Rule::Document {
                self.scanned = 0;
                self.nesting = Nesting::adrift(true);
            }
            return cut;
        }
        self.passing = true;
        self.split(self.max_bytes + 1)
    }

    /// Whether the text goes on with a gzip member that begins with `head`. If in doubt it does.
    fn goes_on_with(&mut self, head: &[u8]) -> bool {
        let opening = head.first().is_some_and(|first| is_opening(*first));
        let framing = FRAMINGS.iter().any(|start| head.starts_with(start));
        // What was broken off may go on here.
        if self.buffer.is_empty() && !self.passing {
            let broken_off = match self.rule {
                Some(Rule::Document) => self.nesting.is_adrift(),
                Some(Rule::LineThatBegins(_)) => true,
                _ => false,
            };
            return broken_off && !opening && !framing;
        }
        match self.rule() {
            // While a document is passed over, a document that may be lost with it weighs more than a needless cut.
            Rule::Document if self.nesting.is_in_string() => !(self.passing && head.starts_with(b"{\"")),
            Rule::Document => !framing && head.first().is_none_or(|first| self.nesting.goes_on_with(*first)),
            Rule::LineThatBegins(start) => !opening && !framing && !head.starts_with(start),
            Rule::AnyLine => !opening && !framing,
            // A single byte tells nothing among any bytes.
            Rule::Nowhere => !head.starts_with(b"{\"") && !head.starts_with(b"[{") && !framing,
        }
    }

    fn split(&mut self, at: usize) -> Cut {
        // The next piece will be about as long.
        let mut rest = Vec::with_capacity(self.buffer.len());
        rest.extend_from_slice(&self.buffer[at..]);
        self.buffer.truncate(at);
        self.count(rest.len());
        self.scanned = self.scanned.saturating_sub(at);
        self.member_start = self.member_start.saturating_sub(at);
        self.cut = None;
        self.doubtful = self.doubtful.and_then(|doubtful| doubtful.checked_sub(at)).filter(|at| *at > 0);
        Cut { data: std::mem::replace(&mut self.buffer, rest), passed: 0 }
    }

    /// Passes over the rest of a document that is too large: up to the end of the line or the next document.
    fn pass(&mut self) -> Option<Cut> {
        let rule = self.rule();
        let newline = if rule == Rule::Nowhere { None } else { memchr(b'\n', &self.buffer) };
        let end = newline.map_or(self.buffer.len(), |newline| newline + 1);
        self.count(end);
        let start = if rule == Rule::Document { self.nesting.next_start(&self.buffer[..end]) } else { None };
        let passed = start.unwrap_or(end);
        self.passing = start.is_none() && newline.is_none();
        if start.is_none() && newline.is_some() {
            self.nesting = Nesting::adrift(true);
        }
        let rest = self.split(passed);
        self.count(rest.data.len());
        self.scanned = usize::from(start.is_some());
        if passed == 0 && !self.passing {
            self.take()
        } else {
            (passed > 0).then_some(Cut { data: Vec::new(), passed })
        }
    }

    #[cfg(not(test))]
    fn follows_all(&self) -> bool {
        false
    }

    #[cfg(test)]
    fn follows_all(&self) -> bool {
        self.follows_all
    }

    fn count(&mut self, _bytes: usize) {
        #[cfg(test)]
        {
            self.work += _bytes;
        }
    }
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
        check("{\"r\":[\n{\"a\":1},\n{\"a\":2}\n]}\n{3}\n", &["{\"r\":[\n{\"a\":1},\n{\"a\":2}\n]}\n", "{3}\n"]);
        check("{1}{2}{\"a\":\"}{\"}", &["{1}{2}", "{\"a\":\"}{\"}"]);
        check("{\"a\":[\n{1}\n{2", &["{\"a\":[\n{1}\n", "{2"]);
        check("H4sIab\ncdef\nH4sIgh\n", &["H4sIab\ncdef\n", "H4sIgh\n"]);
        check("one\ntwo\n", &["one\ntwo\n"]);
        check("\u{feff} \n{1}\n{2}", &["\u{feff} \n{1}\n", "{2}"]);
        assert_eq!(cut(b"\x00{1}\n{2}\n{3}\n", 100, 4, 1000).len(), 1);
    }

    #[test]
    fn a_line_over_the_limit_is_handed_on_one_byte_over_and_passed() {
        let text = b"{1}\n{22222222222222}\n{3}\n";
        assert_eq!(cut(text, 1, 4, 8), ["{1}\n", "{22222222", "~", "~", "~", "~", "~", "~", "~", "~", "{3}\n"]);
        assert_eq!(cut(text, 100, 4, 8), ["{1}\n", "{22222222", "~~~~~~~~", "{3}\n"]);
        assert_eq!(cut(b"{1\n2\n3\n4\n5\n6}\n{7}", 1, 4, 8), ["{1\n2\n3\n", "4\n5\n6}\n", "{7}"]);
    }

    #[test]
    fn a_document_over_the_limit_ends_where_the_next_begins() {
        assert_eq!(cut(b"{\"a\":\"23456789\"}{1}", 3, 4, 8), ["{\"a\":\"234", "~~~", "~~~", "~", "{1}"]);
        // A list that is too large is taken apart where its lines begin as documents do.
        let text = b"{\"r\":[\n{\"a\":1},\n{\n},\n2]}\n{3}\n";
        assert_eq!(cut(text, 1, 4, 22), ["{\"r\":[\n{\"a\":1},\n", "{\n},\n2]}\n", "{3}\n"]);
    }

    #[test]
    fn each_byte_is_looked_at_a_few_times_whatever_the_text_looks_like() {
        const BYTES: usize = 1 << 18;
        let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(100));
        let shapes = [
            format!("{{\"a\":\"{}\"}}", "x".repeat(BYTES)),
            format!("{{\"a\":\"{}\"}}", "\\\"".repeat(BYTES / 2)),
            line.repeat(BYTES / line.len()),
            format!("{}{{\"a\":\"{}", line, "x".repeat(BYTES)),
            format!("{{\"a\":[\n{}]}}", "  {\n    \"b\": [\n      1\n    ]\n  },\n".repeat(BYTES / 37)),
            format!("{{\"a\":[\n{}]}}", "{},\n".repeat(BYTES / 4)),
            "\n{".repeat(BYTES / 2),
            format!("{{{}", "\n".repeat(BYTES)),
            " ".repeat(BYTES),
            "{".repeat(BYTES),
            format!("H4sI{}", "abcd\n".repeat(BYTES / 5)),
            format!("text{}", "x".repeat(BYTES)),
        ];
        for shape in &shapes {
            // Limits above, in and far below the size.
            for max_bytes in [1 << 20, 1 << 16, 1 << 12] {
                let mut cutter = Cutter::new(1 << 10, max_bytes);
                for block in shape.as_bytes().chunks(64) {
                    cutter.push(block);
                    while cutter.take().is_some() {}
                }
                let (work, most) = (cutter.work, 4 * shape.len());
                assert!(work <= most, "{work} for {} of {:?}, up to {max_bytes}", shape.len(), &shape[..8]);
            }
        }
    }

    /// Whether both ways of looking for documents say the same of a text.
    fn same(text: &[u8], chunk: usize, piece_bytes: usize, max_bytes: usize) {
        let new = || Cutter::new(piece_bytes, max_bytes);
        let mut cutters = [new(), Cutter { follows_all: true, ..new() }];
        for (index, chunk) in text.chunks(chunk).enumerate() {
            cutters.iter_mut().for_each(|cutter| cutter.push(chunk));
            // Now and then as a pipe, or at the end of a member.
            let arrived = index % 3 == 1;
            loop {
                let [new, old] =
                    cutters.each_mut().map(|cutter| if arrived { cutter.take_arrived(false) } else { cutter.take() });
                assert_eq!(new, old);
                if new.is_none() {
                    break;
                }
            }
            if index % 7 == 5 {
                let [new, old] = cutters.each_mut().map(|cutter| cutter.begin_member(b"{\"a\""));
                assert_eq!(new, old);
            }
            let [new, old] = &cutters;
            assert_eq!(format!("{:?}", new.nesting), format!("{:?}", old.nesting));
        }
        let [new, old] = cutters.each_mut().map(Cutter::break_off);
        assert_eq!(new, old);
    }

    /// Documents of any kind, one after the other, with anything between.
    fn documents() -> impl Strategy<Value = String> {
        let string = prop_oneof![
            "[a-c]{0,3}",
            Just("}\n{".to_owned()),
            Just("\"}\\\n{\"".to_owned()),
            Just("{\"a\":[".to_owned()),
            Just("\\".to_owned()),
        ];
        let leaf = prop_oneof![
            string.clone().prop_map(serde_json::Value::from),
            any::<i8>().prop_map(serde_json::Value::from),
            Just(serde_json::Value::Null),
        ];
        let value = leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::vec((string.clone(), inner), 0..4)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        });
        let document = (value, any::<bool>(), 0usize..5).prop_map(|(value, pretty, end)| {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            text.unwrap() + ["\n", "\r\n", "", "\n\n", " "][end]
        });
        prop::collection::vec(document, 0..12).prop_map(|documents| documents.concat())
    }

    proptest! {
        #[test]
        fn looking_from_behind_finds_what_following_each_byte_finds(
            text in documents(), noise in "[{}\\[\\]\",:\\\\\r\na]{0,60}", at in any::<prop::sample::Index>(),
            chunk in 1usize..40, piece_bytes in 1usize..60, max_bytes in 20usize..200
        ) {
            same(text.as_bytes(), chunk, piece_bytes, max_bytes);
            same(format!("{{{noise}").as_bytes(), chunk, piece_bytes, max_bytes);
            // Documents with damage between.
            let at = at.index(text.len() + 1);
            same([&text.as_bytes()[..at], noise.as_bytes(), &text.as_bytes()[at..]].concat().as_slice(), chunk, piece_bytes, max_bytes);
        }

        #[test]
        fn no_document_is_cut(text in documents(), chunk in 1usize..40, piece_bytes in 1usize..60) {
            let parse = |text: &str| {
                let values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
                values.collect::<Result<Vec<_>, _>>().unwrap()
            };
            // Values that are no objects or arrays end nowhere on one line.
            prop_assume!(text.trim_start().starts_with(['{', '[']));
            prop_assume!(serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>().all(|value| value.is_ok()));
            let pieces = cut(text.as_bytes(), chunk, piece_bytes, usize::MAX - 1);
            let found: Vec<_> = pieces.iter().flat_map(|piece| parse(piece)).collect();
            prop_assert_eq!(found, parse(&text));
        }

        #[test]
        fn every_byte_is_handed_on_or_passed_over(
            text in "[{}a\\n]{0,80}", chunk in 1usize..10, piece_bytes in 1usize..20, max_bytes in 20usize..40
        ) {
            let pieces = cut(text.as_bytes(), chunk, piece_bytes, max_bytes);
            prop_assert_eq!(pieces.concat().len(), text.len());
            for piece in pieces {
                prop_assert!(piece.starts_with('~') || piece.len() <= max_bytes + 1, "{piece:?}");
            }
        }
    }
}
