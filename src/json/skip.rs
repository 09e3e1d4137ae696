//! Passing over values: every byte is validated, none is kept.

use fearless_simd::{Level, Simd, dispatch};

use super::JsonError;
use super::block::{self, WIDTH};
use super::grammar;

/// The deepest nesting that can be asked for: the containers around a value are kept in a register of this many bits.
/// It is also where many JSON libraries stop reading, so what is deeper could not be read downstream either.
pub const MAX_DEPTH: usize = 128;

/// What a byte may follow a backslash as: 1 for the two-character escapes, 2 for `u`.
const ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 8 {
        table[b"\"\\/bfnrt"[i] as usize] = 1;
        i += 1;
    }
    table[b'u' as usize] = 2;
    table
};

/// The byte offset after the escape whose backslash is at `at`, or why it is none.
#[inline(always)]
fn escape_end(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let kind = bytes.get(at + 1).map_or(0, |&byte| ESCAPES[usize::from(byte)]);
    match kind {
        1 => Ok(at + 2),
        2 if is_hex(bytes.get(at + 2..at + 6)) => Ok(at + 6),
        _ => Err(JsonError::new(at, "a bad escape in a string")),
    }
}

fn is_hex(digits: Option<&[u8]>) -> bool {
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// The offset of the quote that ends the string whose content begins at `at`.
pub(super) fn string_end(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    dispatch!(Level::new(), simd => string_end_by_blocks(simd, bytes, at))
}

#[inline(always)]
fn string_end_by_blocks<S: Simd>(simd: S, bytes: &[u8], mut at: usize) -> Result<usize, JsonError> {
    while at < bytes.len() {
        let (special, _) = block::string_masks(simd, block::at(bytes, at, &mut [0; WIDTH]));
        if special == 0 {
            at += WIDTH;
            continue;
        }
        at += special.trailing_zeros() as usize;
        match bytes.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => at = escape_end(bytes, at)?,
            Some(_) => return Err(JsonError::new(at, "a control character in a string")),
            None => break,
        }
    }
    Err(JsonError::new(bytes.len(), "a string without an end"))
}

/// The offset after the number or literal that begins at `at`.
#[inline]
pub(super) fn scalar_end(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let rest = bytes.get(at..).unwrap_or_default();
    let length = match rest.first() {
        Some(b'-' | b'0'..=b'9') => number_length(rest),
        Some(b't') if rest.starts_with(b"true") => Some(4),
        Some(b'f') if rest.starts_with(b"false") => Some(5),
        Some(b'n') if rest.starts_with(b"null") => Some(4),
        _ => None,
    };
    let ends =
        |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t' | b':' | b'"' | b'{' | b'[');
    match length {
        Some(length) if rest.get(length).is_none_or(ends) => Ok(at + length),
        _ => Err(JsonError::new(at, "expected a value")),
    }
}

/// The length of the JSON number at the start of `text`.
#[inline]
pub(crate) fn number_length(text: &[u8]) -> Option<usize> {
    let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = at;
    while digit(at) {
        at += 1;
    }
    if at == whole || (at > whole + 1 && text.get(whole) == Some(&b'0')) {
        return None;
    }
    if text.get(at) == Some(&b'.') {
        at += 1;
        if !digit(at) {
            return None;
        }
        while digit(at) {
            at += 1;
        }
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        if !digit(at) {
            return None;
        }
        while digit(at) {
            at += 1;
        }
    }
    Some(at)
}

/// The offset after the object or array that begins at `at`, and whether there may be line breaks between its tokens.
/// `max_depth` counts the container itself.
pub(super) fn container_end(bytes: &[u8], at: usize, max_depth: usize) -> Result<(usize, bool), JsonError> {
    container_end_by(Level::new(), bytes, at, max_depth)
}

/// The same, by the instructions of `level`.
#[inline]
pub(super) fn container_end_by(
    level: Level,
    bytes: &[u8],
    at: usize,
    max_depth: usize,
) -> Result<(usize, bool), JsonError> {
    dispatch!(level, simd => Walk::new(bytes, max_depth).run(simd, at))
}

/// A walk over a container, a block at a time.
struct Walk<'a> {
    bytes: &'a [u8],
    max_depth: usize,
    /// The class of the last token.
    last: u8,
    depth: usize,
    /// The containers around the next token, the innermost lowest: 1 for an array.
    arrays: u128,
    /// All ones where the next block begins inside a string.
    in_string: u64,
    /// 1 where the next block's first byte is escaped.
    escaped: u64,
    /// 1 where the byte before the next block belongs to a scalar.
    in_scalar: u64,
    /// Keys less colons so far; 0 at the end, since every key has taken one.
    keys_less_colons: i64,
    /// Whether a line break was passed outside of strings.
    line_breaks: bool,
}

/// What the walk looks at in a block.
struct Block {
    /// Punctuation outside of strings (but colons), closing quotes, first bytes of scalars.
    tokens: u64,
    /// Of the closing quotes, those with a colon behind them.
    keys: u64,
    /// Colons outside of strings.
    colons: u64,

    /// Bytes that are not allowed where they stand, wherever the container may end.
    faults: u64,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], max_depth: usize) -> Self {
        Self {
            bytes,
            max_depth: max_depth.min(MAX_DEPTH),
            // A value may come, as behind a key.
            last: grammar::KEY,
            depth: 0,
            arrays: 0,
            in_string: 0,
            escaped: 0,
            in_scalar: 0,
            keys_less_colons: 0,
            line_breaks: false,
        }
    }

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S, at: usize) -> Result<(usize, bool), JsonError> {
        let mut base = at;
        while base < self.bytes.len() {
            let block = self.look(simd, base);
            if let Some(end) = self.tokens(base, &block)? {
                return Ok((end, self.line_breaks));
            }
            if block.faults != 0 {
                return Err(self.fault(base, block.faults));
            }
            base += WIDTH;
        }
        let what = if self.in_string == 0 { "an object or array without an end" } else { "a string without an end" };
        Err(JsonError::new(self.bytes.len(), what))
    }

    #[inline(always)]
    fn look<S: Simd>(&mut self, simd: S, base: usize) -> Block {
        let mut tail = [0; WIDTH];
        let bytes = block::at(self.bytes, base, &mut tail);
        let masks = block::masks(simd, bytes);
        // Every backslash that is not escaped itself escapes the byte after it, be that in the next block.
        let starts = block::escape_starts(masks.backslash & !self.escaped);
        let escaped = starts << 1 | self.escaped;
        self.escaped = starts >> 63;
        // Most escapes are these three, told without a branch; outside of strings none means anything, since a
        // backslash there is refused as a scalar.
        let others = escaped & !(masks.quote | masks.backslash | masks.letter_n);
        let mut faults = if others == 0 { 0 } else { self.bad_escapes(base, others) };
        let quotes = masks.quote & !escaped;
        let strings = block::parity(quotes) ^ self.in_string;
        self.in_string = ((strings as i64) >> 63) as u64;
        faults |= masks.control & strings;
        let outside = !(strings | quotes);
        if masks.control & outside != 0 {
            self.line_breaks = true;
            faults |= not_white(bytes, masks.control & outside);
        }
        let colons = masks.colon & outside;
        let closing = quotes & !strings;
        let mut keys = closing & colons >> 1;
        // Behind white space, or in the next block, a colon has to be looked for.
        let unsure = closing & (masks.blank >> 1 | 1 << 63);
        if unsure != 0 {
            keys |= self.keys_among(base, unsure);
        }
        let scalar = outside & !(masks.structural | masks.colon | masks.blank);
        let first = scalar & !((scalar << 1) | self.in_scalar);
        self.in_scalar = scalar >> 63;
        if first != 0 {
            faults |= self.bad_scalars(simd, base, bytes, scalar, first);
        }
        Block { tokens: (masks.structural & outside) | closing | first, keys, colons, faults }
    }

    /// Of the closing quotes, those with a colon behind them, be it after white space.
    fn keys_among(&self, base: usize, mut closing: u64) -> u64 {
        let mut keys = 0;
        while closing != 0 {
            let bit = closing.trailing_zeros();
            closing &= closing - 1;
            let behind = self.bytes.get(base + bit as usize + 1..).unwrap_or_default();
            let next = behind.iter().find(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'));
            keys |= u64::from(next == Some(&b':')) << bit;
        }
        keys
    }

    /// Takes the block's tokens through the grammar; gives the offset after the container if it ends here.
    #[inline(always)]
    fn tokens(&mut self, base: usize, block: &Block) -> Result<Option<usize>, JsonError> {
        let mut tokens = block.tokens;
        let mut container = (self.arrays as usize & 1) << 6;
        while tokens != 0 {
            let bit = tokens.trailing_zeros() as usize;
            tokens &= tokens - 1;
            // No token stands in what fills the last block.
            let byte = self.bytes.get(base + bit).copied().unwrap_or_default();
            let class = grammar::CLASSES[usize::from(byte)] ^ (block.keys >> bit & 1) as u8;
            let place = usize::from(self.last << 3 | class);
            if !grammar::ALLOWED[(container | place) & 127] {
                return Err(JsonError::new(base + bit, "unexpected punctuation or value"));
            }
            self.last = class;
            if class < grammar::OPEN_OBJECT {
                continue;
            }
            if class < grammar::CLOSE_OBJECT {
                if self.depth >= self.max_depth {
                    return Err(JsonError::too_deep(base + bit));
                }
                self.depth += 1;
                self.arrays = self.arrays << 1 | u128::from(class & 1);
                container = usize::from(class & 1) << 6;
                continue;
            }
            self.depth -= 1;
            self.arrays >>= 1;
            container = (self.arrays as usize & 1) << 6;
            if self.depth == 0 {
                return self.end(base, bit, block).map(Some);
            }
        }
        self.count(block, u64::MAX);
        Ok(None)
    }

    /// Counts the keys and colons among the bytes of `mask`.
    #[inline(always)]
    fn count(&mut self, block: &Block, mask: u64) {
        let ones = |bits: u64| i64::from((bits & mask).count_ones());
        self.keys_less_colons += ones(block.keys) - ones(block.colons);
    }

    /// The container's end is at `bit`: what comes behind it is none of its business.
    fn end(&mut self, base: usize, bit: usize, block: &Block) -> Result<usize, JsonError> {
        let before = (1u64 << bit) - 1;
        if block.faults & before != 0 {
            return Err(self.fault(base, block.faults & before));
        }
        self.count(block, before);
        if self.keys_less_colons != 0 {
            return Err(JsonError::new(base + bit, "a colon that is not behind a key, somewhere before"));
        }
        Ok(base + bit + 1)
    }

    /// Of the bytes that begin a scalar, those that begin none. Plain decimals within the block are told by their
    /// digits' mask, everything else byte by byte.
    #[inline(always)]
    fn bad_scalars<S: Simd>(&self, simd: S, base: usize, bytes: &[u8; WIDTH], scalar: u64, mut first: u64) -> u64 {
        let digits = block::digits(simd, bytes);
        let mut bad = 0;
        while first != 0 {
            let bit = first.trailing_zeros();
            first &= first - 1;
            let length = (!(scalar >> bit)).trailing_zeros();
            let text = &bytes[bit as usize..];
            let plain = length + bit < WIDTH as u32
                && (is_decimal(text, digits >> bit, length) || is_literal(text, length as usize));
            if !plain && scalar_end(self.bytes, base + bit as usize).is_err() {
                bad |= 1 << bit;
            }
        }
        bad
    }

    /// Of the escaped bytes, those that no backslash may stand before.
    fn bad_escapes(&self, base: usize, mut escaped: u64) -> u64 {
        let mut bad = 0;
        while escaped != 0 {
            let bit = escaped.trailing_zeros();
            escaped &= escaped - 1;
            let at = base + bit as usize;
            bad |= u64::from(escape_end(self.bytes, at - 1).is_err()) << bit;
        }
        bad
    }

    #[cold]
    fn fault(&self, base: usize, faults: u64) -> JsonError {
        let at = base + faults.trailing_zeros() as usize;
        let escape = self.bytes.get(at.wrapping_sub(1)) == Some(&b'\\');
        let control = self.bytes.get(at).is_some_and(|&byte| byte < 0x20);
        JsonError::new(
            at,
            match (escape, control) {
                (true, _) => "a bad escape in a string",
                (_, true) => "a control character",
                _ => "expected a value",
            },
        )
    }
}

/// Whether the `length` bytes at the start of `bytes` are digits, after a minus sign or not, with a fraction or not.
/// `digits` has a bit for each byte that is one. What is not told here may still be a number.
#[inline(always)]
fn is_decimal(bytes: &[u8], digits: u64, length: u32) -> bool {
    let minus = u32::from(bytes[0] == b'-');
    // What is left of the number has a digit first and last, and in between at most one byte that is none, a point.
    let (digits, length) = (digits >> minus, length - minus);
    let others = !digits & ((1 << length) - 1);
    let whole = others.trailing_zeros().min(length);
    let point = others == 0 || (others & (others - 1) == 0 && bytes[(minus + whole) as usize] == b'.');
    let leading_zero = bytes[minus as usize] == b'0' && whole > 1;
    length > 0 && digits & 1 == 1 && digits >> (length - 1) & 1 == 1 && point && !leading_zero
}

/// Whether the `length` bytes at the start of `bytes` are one of the three names.
#[inline(always)]
fn is_literal(bytes: &[u8], length: usize) -> bool {
    match bytes.get(..length) {
        Some([first @ (b'n' | b't'), rest @ ..]) if length == 4 => rest == if *first == b'n' { b"ull" } else { b"rue" },
        Some(text) => text == b"false",
        None => false,
    }
}

/// Of the control characters, those that are not white space.
#[cold]
fn not_white(bytes: &[u8; WIDTH], mut control: u64) -> u64 {
    let mut bad = 0;
    while control != 0 {
        let bit = control.trailing_zeros();
        control &= control - 1;
        bad |= u64::from(!matches!(bytes[bit as usize], b'\n' | b'\r' | b'\t')) << bit;
    }
    bad
}
