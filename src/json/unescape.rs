//! Resolving the escapes of strings. A log event's message is JSON inside a JSON string: this is the one copy made of it.

use std::borrow::Cow;

use fearless_simd::{Level, Simd, dispatch, mask8x64, prelude::*, u8x64};

use super::JsonError;
use super::block::{self, WIDTH};

/// What a string has that JSON does not allow. The string's end is still known, so its neighbours can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A control character that is not escaped.
    Control,
    /// A backslash that begins no escape.
    Escape,
}

impl Flaw {
    /// The flaw in words.
    pub fn described(self) -> &'static str {
        match self {
            Self::Control => "a control character in a string",
            Self::Escape => "a bad escape in a string",
        }
    }
}

/// What the byte after a backslash stands for; 0 where it is `u` or stands for nothing.
const MEANING: [u8; 256] = {
    let mut table = [0; 256];
    let (from, to) = (b"\"\\/bfnrt", b"\"\\/\x08\x0c\n\r\t");
    let mut i = 0;
    while i < 8 {
        table[from[i] as usize] = to[i];
        i += 1;
    }
    table
};

/// Bytes that one step of the fast loop may read and write from where it stands: a block, and as much again behind an
/// escape at its end.
const MARGIN: usize = 2 * WIDTH;

/// The text of a string, in a buffer that is reused: what it held before is written over, never cleared.
#[derive(Debug, Default)]
pub struct Text {
    buffer: Vec<u8>,
    length: usize,
}

impl Text {
    /// The text.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// Forgets the text.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// The bytes that the buffer holds on to.
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Puts a copy of `bytes` in the text's place.
    pub fn copy(&mut self, bytes: &[u8]) {
        self.length = 0;
        self.push(bytes);
    }

    /// Reads the text of the string whose content begins at `at`; gives the offset of the quote that ends it and the
    /// first thing in it that is not allowed, if any.
    ///
    /// A surrogate escape without its partner has no UTF-8; it is kept as the six characters of its escape, which are
    /// the same value again where the text is itself JSON.
    pub(super) fn read(&mut self, bytes: &[u8], at: usize) -> Result<(usize, Option<Flaw>), JsonError> {
        self.read_by(Level::new(), bytes, at)
    }

    /// The same, by the instructions of `level`.
    pub(super) fn read_by(
        &mut self,
        level: Level,
        bytes: &[u8],
        at: usize,
    ) -> Result<(usize, Option<Flaw>), JsonError> {
        self.length = 0;
        let mut writer = Writer { level, bytes, at, flaw: None };
        match writer.run(self) {
            Some(end) => Ok((end, writer.flaw)),
            None => {
                self.length = 0;
                Err(JsonError::new(bytes.len(), "a string without an end"))
            }
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.make_room(end);
        self.buffer[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    #[inline(always)]
    fn make_room(&mut self, end: usize) {
        if self.buffer.len() < end {
            // At least by half, so that a long text is not moved at every step.
            self.buffer.resize(end + end / 2, 0);
        }
    }
}

struct Writer<'a> {
    level: Level,
    bytes: &'a [u8],
    at: usize,
    flaw: Option<Flaw>,
}

/// How a run of blocks ended.
enum Stop {
    /// At the quote that ends the string.
    Quote,
    /// At an escape or a byte that the fast loop leaves to the slow one.
    Rare,
    /// Near the end of the bytes.
    Tail,
}

impl Writer<'_> {
    fn run(&mut self, out: &mut Text) -> Option<usize> {
        loop {
            match dispatch!(self.level, simd => self.fast(simd, out)) {
                Stop::Quote => return Some(self.at),
                // Such a line feed does not belong to the string: the line was cut, and here the next document begins.
                _ if self.at_next_line() => return None,
                Stop::Rare => self.rare(out),
                Stop::Tail => {
                    let &byte = self.bytes.get(self.at)?;
                    match byte {
                        b'"' => return Some(self.at),
                        b'\\' => self.rare(out),
                        0..0x20 => self.rare(out),
                        _ => {
                            out.push(&[byte]);
                            self.at += 1;
                        }
                    }
                }
            }
        }
    }

    /// Copies until something is met that needs a closer look.
    #[inline(always)]
    fn fast<S: Simd>(&mut self, simd: S, out: &mut Text) -> Stop {
        loop {
            let Some(source) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<MARGIN>()) else {
                return Stop::Tail;
            };
            out.make_room(out.length + MARGIN);
            let Some(target) = out.buffer.get_mut(out.length..).and_then(|rest| rest.first_chunk_mut::<MARGIN>())
            else {
                return Stop::Tail;
            };
            let step = if simd.level().as_avx512().is_some() {
                step_by_compressing(simd, source, target)
            } else {
                step_by_pieces(simd, source, target)
            };
            self.at += step.read;
            out.length += step.written;
            if let Some(stop) = step.stop {
                return stop;
            }
        }
    }

    /// Whether a line that begins as a document does comes next.
    fn at_next_line(&self) -> bool {
        matches!(self.bytes.get(self.at..), Some([b'\n', b'{' | b'[', ..]))
    }

    /// A `\u` escape, a bad escape or a control character at `self.at`.
    #[cold]
    fn rare(&mut self, out: &mut Text) {
        let at = self.at;
        let Some(&byte) = self.bytes.get(at) else { return };
        if byte != b'\\' {
            self.flaw = self.flaw.or(Some(Flaw::Control));
            out.push(&[byte]);
            self.at += 1;
            return;
        }
        if let Some(&meaning) = self.bytes.get(at + 1).map(|&next| &MEANING[usize::from(next)])
            && meaning != 0
        {
            out.push(&[meaning]);
            self.at += 2;
            return;
        }
        let Some((scalar, length)) = escaped_scalar(self.bytes, at) else {
            self.flaw = self.flaw.or(Some(Flaw::Escape));
            out.push(&[byte]);
            self.at += 1;
            return;
        };
        self.at += length;
        match scalar {
            Some(scalar) => out.push(scalar.encode_utf8(&mut [0; 4]).as_bytes()),
            None => lone_surrogate(out, &self.bytes[at..at + length]),
        }
    }
}

/// Keeps the escape of a surrogate without a partner. Behind an odd number of backslashes its own backslash would be
/// taken for an escaped one; a replacement character is then no valid escape either, as the original was none.
fn lone_surrogate(out: &mut Text, escape: &[u8]) {
    let backslashes = out.bytes().iter().rev().take_while(|&&byte| byte == b'\\').count();
    if backslashes % 2 == 0 {
        out.push(escape);
    } else {
        out.push("\u{fffd}".as_bytes());
    }
}

/// The character of the `\u` escape at `at`, or of the pair of them, and its length; no character for a surrogate without
/// its partner.
fn escaped_scalar(bytes: &[u8], at: usize) -> Option<(Option<char>, usize)> {
    let unit = code_unit(bytes, at)?;
    Some(match (unit, code_unit(bytes, at + 6)) {
        (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
            (char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)), 12)
        }
        _ => (char::from_u32(unit), 6),
    })
}

/// The code unit of the `\uXXXX` escape at `at`.
fn code_unit(bytes: &[u8], at: usize) -> Option<u32> {
    let escape = bytes.get(at..at + 6)?;
    if !escape.starts_with(b"\\u") || !escape[2..].iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(&escape[2..]).ok()?, 16).ok()
}

/// What one step of the fast loop did.
struct Step {
    read: usize,
    written: usize,
    stop: Option<Stop>,
}

/// One block where bytes can be taken out of a vector: the backslashes of all its escapes at once.
#[inline(always)]
fn step_by_compressing<S: Simd>(simd: S, source: &[u8; MARGIN], target: &mut [u8; MARGIN]) -> Step {
    let lanes = u8x64::from_slice(simd, &source[..WIDTH]);
    let equal = |byte: u8| lanes.simd_eq(byte).to_bitmask();
    let (quote, backslash) = (equal(b'"'), equal(b'\\'));
    let control = lanes.simd_lt(0x20).to_bitmask();
    let starts = block::escape_starts(backslash);
    let escaped = starts << 1;
    // An escape whose second byte is in the next block is left to the next step.
    let mut read = WIDTH - (starts >> 63) as usize;
    let mut stop = None;
    // What stands for itself behind a backslash needs no more than the backslash taken out.
    let others = escaped & !(quote | backslash | equal(b'/'));
    let stops = (quote & !escaped) | control | (others >> 1);
    if stops != 0 {
        let bit = stops.trailing_zeros() as usize;
        if bit < read {
            read = bit;
            stop = Some(if source[bit] == b'"' { Stop::Quote } else { Stop::Rare });
        }
    }
    let kept = !starts & u64::MAX.checked_shr((WIDTH - read) as u32).unwrap_or(0);
    let mask = mask8x64::from_bitmask(simd, kept);
    lanes.compress(mask).store_slice(&mut target[..WIDTH]);
    Step { read, written: kept.count_ones() as usize, stop }
}

/// One block, piece by piece between escapes: each piece is copied as a whole block, and what is too much is written
/// over by the next.
#[inline(always)]
fn step_by_pieces<S: Simd>(simd: S, source: &[u8; MARGIN], target: &mut [u8; MARGIN]) -> Step {
    let (mut special, backslash) = block::string_masks(simd, source.first_chunk().unwrap_or(&[0; WIDTH]));
    let (mut read, mut written) = (0, 0);
    while special != 0 {
        let bit = special.trailing_zeros() as usize;
        copy_block(source, read, target, written);
        written += bit - read;
        let escape = backslash >> bit & 1 == 1;
        let meaning = if escape { MEANING[usize::from(source[bit + 1])] } else { 0 };
        if meaning == 0 {
            let stop = Some(if source[bit] == b'"' { Stop::Quote } else { Stop::Rare });
            return Step { read: bit, written, stop };
        }
        target[written] = meaning;
        written += 1;
        read = bit + 2;
        special &= if read < WIDTH { u64::MAX << read } else { 0 };
    }
    if read < WIDTH {
        copy_block(source, read, target, written);
        written += WIDTH - read;
        read = WIDTH;
    }
    Step { read, written, stop: None }
}

#[inline(always)]
fn copy_block(source: &[u8; MARGIN], read: usize, target: &mut [u8; MARGIN], written: usize) {
    // `read` and `written` are at most a block's width, so both ranges lie within the margin.
    if let (Some(from), Some(to)) = (source.get(read..read + WIDTH), target.get_mut(written..written + WIDTH)) {
        to.copy_from_slice(from);
    }
}

/// The content of a JSON string with its escapes resolved; a surrogate without its partner becomes U+FFFD, and what is
/// no escape is left as it is.
pub fn unescape(content: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', content.as_bytes()).is_none() {
        return Cow::Borrowed(content);
    }
    let mut text = String::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = &rest.as_bytes()[at..];
        let meaning = escape.get(1).map_or(0, |&byte| MEANING[usize::from(byte)]);
        let (character, length) = if meaning != 0 {
            (char::from(meaning), 2)
        } else {
            match escaped_scalar(escape, 0) {
                Some((scalar, length)) => (scalar.unwrap_or(char::REPLACEMENT_CHARACTER), length),
                None => ('\\', 1),
            }
        };
        text.push(character);
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    Cow::Owned(text)
}
