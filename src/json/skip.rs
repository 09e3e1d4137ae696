//! Passing over values: every byte is validated, none is kept.

use super::JsonError;
use super::block::{self, WIDTH};

/// The deepest nesting that can be asked for: the containers being inside are kept in a bit set of this size.
pub const MAX_DEPTH: usize = 512;

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
#[inline]
pub(super) fn string_end(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    // Keys and ids end within a few bytes: not worth a block.
    let short = bytes.get(at..).unwrap_or_default();
    for (i, &byte) in short.iter().take(32).enumerate() {
        if byte == b'"' {
            return Ok(at + i);
        }
        if byte == b'\\' || byte < 0x20 {
            return long_string_end(bytes, at + i);
        }
    }
    long_string_end(bytes, at + short.len().min(32))
}

fn long_string_end(bytes: &[u8], mut at: usize) -> Result<usize, JsonError> {
    while at < bytes.len() {
        let (special, _) = block::string_masks(&block::load(bytes, at));
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
pub(crate) fn number_length(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text.get(at) == Some(&b'0')) {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}

/// What may come next inside a container.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Value,
    FirstElement,
    FirstKey,
    Key,
    Colon,
    AfterMember,
    AfterElement,
    Error,
}

impl State {
    /// After a value, by whether the container is an array.
    fn after(array: bool) -> Self {
        if array { Self::AfterElement } else { Self::AfterMember }
    }
}

/// The containers being inside: one bit each, set for an array.
struct Nesting {
    arrays: [u64; MAX_DEPTH / 64],
    depth: usize,
}

impl Nesting {
    fn push(&mut self, array: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        self.arrays[word] = (self.arrays[word] & !(1 << bit)) | (u64::from(array) << bit);
        self.depth += 1;
    }

    /// Leaves the innermost container; gives whether the one around it is an array.
    fn pop(&mut self) -> bool {
        self.depth -= 1;
        let outer = self.depth.wrapping_sub(1);
        self.arrays.get(outer / 64).is_some_and(|word| word >> (outer % 64) & 1 == 1)
    }
}

/// The offset after the object or array that begins at `at`. `max_depth` counts the container itself.
pub(super) fn container_end(bytes: &[u8], at: usize, max_depth: usize) -> Result<usize, JsonError> {
    let max_depth = max_depth.min(MAX_DEPTH);
    let mut nesting = Nesting { arrays: [0; MAX_DEPTH / 64], depth: 0 };
    let mut state = State::Value;
    let mut array = false;
    // Carried from block to block: all ones inside a string, and the bits of an escape or a scalar that go on.
    let mut in_string = 0u64;
    let mut escaped_carry = 0u64;
    let mut scalar_carry = 0u64;
    let mut base = at;
    while base < bytes.len() {
        let block = block::load(bytes, base);
        let masks = block::masks(&block);
        let (escaped, mut faults) = if masks.backslash == 0 {
            (std::mem::take(&mut escaped_carry), 0)
        } else {
            escapes(bytes, base, masks.backslash, &mut escaped_carry)
        };
        let quotes = masks.quote & !escaped;
        let strings = block::parity(quotes) ^ in_string;
        in_string = ((strings as i64) >> 63) as u64;
        faults |= masks.control & strings;
        let outside = !(strings | quotes);
        let other = outside & !masks.structural & !masks.white;
        let scalars = other & !((other << 1) | scalar_carry);
        scalar_carry = other >> 63;
        let mut tokens = (masks.structural & outside) | (quotes & strings) | scalars;
        while tokens != 0 {
            let bit = tokens.trailing_zeros() as usize;
            tokens &= tokens - 1;
            let byte = block[bit];
            match byte {
                b'"' => {
                    state = match state {
                        State::Value | State::FirstElement => State::after(array),
                        State::Key | State::FirstKey => State::Colon,
                        _ => State::Error,
                    };
                }
                b':' => state = if state == State::Colon { State::Value } else { State::Error },
                b',' => {
                    state = match state {
                        State::AfterMember => State::Key,
                        State::AfterElement => State::Value,
                        _ => State::Error,
                    };
                }
                b'{' | b'[' => {
                    if !matches!(state, State::Value | State::FirstElement) {
                        return Err(unexpected(base + bit));
                    }
                    if nesting.depth >= max_depth {
                        return Err(JsonError::too_deep(base + bit));
                    }
                    array = byte == b'[';
                    nesting.push(array);
                    state = if array { State::FirstElement } else { State::FirstKey };
                }
                b'}' | b']' => {
                    let closes = match state {
                        State::AfterMember | State::FirstKey => byte == b'}',
                        State::AfterElement | State::FirstElement => byte == b']',
                        _ => false,
                    };
                    if !closes {
                        return Err(unexpected(base + bit));
                    }
                    array = nesting.pop();
                    if nesting.depth == 0 {
                        let before = faults & ((1u64 << bit) - 1);
                        return if before == 0 { Ok(base + bit + 1) } else { Err(fault(bytes, base, before)) };
                    }
                    state = State::after(array);
                }
                _ => {
                    if !matches!(state, State::Value | State::FirstElement) {
                        return Err(unexpected(base + bit));
                    }
                    scalar_end(bytes, base + bit)?;
                    state = State::after(array);
                }
            }
            if state == State::Error {
                return Err(unexpected(base + bit));
            }
        }
        if faults != 0 {
            return Err(fault(bytes, base, faults));
        }
        base += WIDTH;
    }
    let what = if in_string == 0 { "an object or array without an end" } else { "a string without an end" };
    Err(JsonError::new(bytes.len(), what))
}

/// Which bytes of the block are escaped, and which backslashes begin a bad escape. Outside of strings both mean
/// nothing: a backslash there is refused as a scalar.
#[inline(always)]
fn escapes(bytes: &[u8], base: usize, backslash: u64, carry: &mut u64) -> (u64, u64) {
    let mut escaped = std::mem::take(carry);
    let mut faults = 0;
    let mut left = backslash & !escaped;
    while left != 0 {
        let bit = left.trailing_zeros() as usize;
        if escape_end(bytes, base + bit).is_err() {
            faults |= 1 << bit;
        }
        // The byte after this backslash is escaped, and if it is a backslash it begins no escape of its own.
        let next = if bit == 63 {
            *carry = 1;
            0
        } else {
            2u64 << bit
        };
        escaped |= next;
        left &= !((1u64 << bit) | next);
    }
    (escaped, faults)
}

#[cold]
fn unexpected(at: usize) -> JsonError {
    JsonError::new(at, "unexpected punctuation or value")
}

#[cold]
fn fault(bytes: &[u8], base: usize, faults: u64) -> JsonError {
    let at = base + faults.trailing_zeros() as usize;
    let escape = bytes.get(at) == Some(&b'\\');
    JsonError::new(at, if escape { "a bad escape in a string" } else { "a control character in a string" })
}
