//! The grammar of JSON's punctuation, as one table look-up a token: whether a token may stand where it stands is told
//! by the token before it and by the container that it is in. A string and the colon behind it are one token, a key, so
//! that colons need no look-up of their own; it is enough that there are as many of them as keys.

/// A string with a colon behind it.
pub(super) const KEY: u8 = 0;
/// A string without one. It differs from [`KEY`] in its lowest bit only.
pub(super) const STRING: u8 = 1;
const COMMA: u8 = 2;
const SCALAR: u8 = 3;
/// From here on tokens open or close containers.
pub(super) const OPEN_OBJECT: u8 = 4;
/// Differs from [`OPEN_OBJECT`] in its lowest bit only.
const OPEN_ARRAY: u8 = 5;
/// From here on tokens close containers.
pub(super) const CLOSE_OBJECT: u8 = 6;
const CLOSE_ARRAY: u8 = 7;

/// The class of a token by the byte that it is noted at; of a string that is the closing quote.
pub(super) const CLASSES: [u8; 256] = {
    let mut table = [SCALAR; 256];
    table[b'"' as usize] = STRING;
    table[b',' as usize] = COMMA;
    table[b'{' as usize] = OPEN_OBJECT;
    table[b'[' as usize] = OPEN_ARRAY;
    table[b'}' as usize] = CLOSE_OBJECT;
    table[b']' as usize] = CLOSE_ARRAY;
    table
};

/// Whether a token may stand where it does, by the container (64 for an array), the class of the token before (times
/// 8) and the class of the token itself.
pub(super) const ALLOWED: [bool; 128] = {
    let mut table = [false; 128];
    let mut i = 0;
    while i < 128 {
        table[i] = allowed(i >= 64, (i >> 3 & 7) as u8, (i & 7) as u8);
        i += 1;
    }
    table
};

const fn allowed(in_array: bool, last: u8, token: u8) -> bool {
    let value = matches!(token, STRING | SCALAR | OPEN_OBJECT | OPEN_ARRAY);
    match last {
        KEY => value,
        COMMA if in_array => value,
        COMMA => token == KEY,
        OPEN_ARRAY => value || token == CLOSE_ARRAY,
        OPEN_OBJECT => matches!(token, KEY | CLOSE_OBJECT),
        // Behind a value.
        _ if in_array => matches!(token, COMMA | CLOSE_ARRAY),
        _ => matches!(token, COMMA | CLOSE_OBJECT),
    }
}
