//! The grammar of JSON's punctuation, as one table look-up a token: whether a token may stand where it stands is told
//! by the two tokens before it and by the container that it is in. Nothing is carried from token to token but these, so
//! the processor can look at many of them at a time.

/// What a token is, told by its first byte. The two that open come after the rest and before the two that close.
pub(super) const STRING: u8 = 0;
const COLON: u8 = 1;
const COMMA: u8 = 2;
const SCALAR: u8 = 3;
pub(super) const OPEN_OBJECT: u8 = 4;
const OPEN_ARRAY: u8 = 5;
pub(super) const CLOSE_OBJECT: u8 = 6;
const CLOSE_ARRAY: u8 = 7;

/// The class of a token by its first byte.
pub(super) const CLASSES: [u8; 256] = {
    let mut table = [SCALAR; 256];
    table[b'"' as usize] = STRING;
    table[b':' as usize] = COLON;
    table[b',' as usize] = COMMA;
    table[b'{' as usize] = OPEN_OBJECT;
    table[b'[' as usize] = OPEN_ARRAY;
    table[b'}' as usize] = CLOSE_OBJECT;
    table[b']' as usize] = CLOSE_ARRAY;
    table
};

/// The tokens before the first one of a value: as if a colon stood there.
pub(super) const START: usize = (STRING as usize) << 3 | COLON as usize;

/// Whether a token may stand where it does, by the container (512 for an array) and the classes of the token before
/// last (times 64), of the last (times 8) and of the token itself.
pub(super) const ALLOWED: [bool; 1024] = {
    let mut table = [false; 1024];
    let mut i = 0;
    while i < 1024 {
        table[i] = allowed(i >= 512, (i >> 6 & 7) as u8, (i >> 3 & 7) as u8, (i & 7) as u8);
        i += 1;
    }
    table
};

const fn allowed(in_array: bool, before: u8, last: u8, token: u8) -> bool {
    let value = matches!(token, STRING | SCALAR | OPEN_OBJECT | OPEN_ARRAY);
    let close = if in_array { CLOSE_ARRAY } else { CLOSE_OBJECT };
    match last {
        COLON => value,
        COMMA if in_array => value,
        COMMA => token == STRING,
        OPEN_ARRAY => value || token == CLOSE_ARRAY,
        OPEN_OBJECT => token == STRING || token == CLOSE_OBJECT,
        // A string where a key is due is one.
        STRING if !in_array && matches!(before, OPEN_OBJECT | COMMA) => token == COLON,
        _ => token == COMMA || token == close,
    }
}
