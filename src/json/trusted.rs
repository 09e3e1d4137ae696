//! Passing over values of a document that was validated before: only ends are looked for, so that a walk into a body
//! may pass the same bytes once for each level. Text that is no JSON gives any end or none, never one out of bounds.

use fearless_simd::{Level, Simd, dispatch};

use super::block::{self, WIDTH};

/// The offset after the value that begins at `at`, with no white space before it.
pub(crate) fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => Some(string_end(bytes, at + 1)? + 1),
        b'{' | b'[' => container_end(bytes, at),
        _ => scalar_end(bytes, at),
    }
}

/// The offset of the quote that ends the string whose content begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    dispatch!(Level::new(), simd => string_end_by_blocks(simd, bytes, at))
}

#[inline(always)]
fn string_end_by_blocks<S: Simd>(simd: S, bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut escaped = 0;
    while at < bytes.len() {
        let (quote, backslash) = block::quote_masks(simd, block::at(bytes, at, &mut [0; WIDTH]));
        let quotes = unescaped(quote, backslash, &mut escaped);
        if quotes != 0 {
            return Some(at + quotes.trailing_zeros() as usize);
        }
        at += WIDTH;
    }
    None
}

/// The offset after the object or array that begins at `at`.
fn container_end(bytes: &[u8], at: usize) -> Option<usize> {
    dispatch!(Level::new(), simd => container_end_by_blocks(simd, bytes, at))
}

#[inline(always)]
fn container_end_by_blocks<S: Simd>(simd: S, bytes: &[u8], mut at: usize) -> Option<usize> {
    let (mut depth, mut escaped, mut in_string) = (0_u32, 0, 0_u64);
    while at < bytes.len() {
        let masks = block::bracket_masks(simd, block::at(bytes, at, &mut [0; WIDTH]));
        let quotes = unescaped(masks.quote, masks.backslash, &mut escaped);
        let strings = block::parity(quotes) ^ in_string;
        in_string = ((strings as i64) >> 63) as u64;
        let (open, mut close) = (masks.open & !strings, masks.close & !strings);
        if close.count_ones() >= depth {
            // The end may be in this block: the bracket with as many closed as opened before it.
            while close != 0 {
                let bit = close.trailing_zeros();
                let before = (1_u64 << bit) - 1;
                let closed = (masks.close & !strings & before).count_ones() + 1;
                if depth + (open & before).count_ones() == closed {
                    return Some(at + bit as usize + 1);
                }
                close &= close - 1;
            }
        }
        depth = (depth + open.count_ones()).saturating_sub((masks.close & !strings).count_ones());
        at += WIDTH;
    }
    None
}

/// Of the quotes, those that no backslash stands before; `escaped` is 1 where the next block's first byte is escaped.
#[inline(always)]
fn unescaped(quote: u64, backslash: u64, escaped: &mut u64) -> u64 {
    if backslash == 0 {
        return quote & !std::mem::take(escaped);
    }
    let starts = block::escape_starts(backslash & !*escaped);
    let all = starts << 1 | *escaped;
    *escaped = starts >> 63;
    quote & !all
}

/// The offset after the number or literal that begins at `at`.
fn scalar_end(bytes: &[u8], at: usize) -> Option<usize> {
    let ends =
        |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t' | b':' | b'"' | b'{' | b'[');
    let length = bytes.get(at..)?.iter().position(ends).unwrap_or(bytes.len() - at);
    (length > 0).then_some(at + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Cursor, MAX_DEPTH};
    use proptest::prelude::*;

    /// Any JSON text, with white space, escapes and brackets within strings.
    fn json() -> impl Strategy<Value = String> {
        let space = prop_oneof![Just(""), Just(" "), Just("\n\t ")];
        let string =
            "[a\\[\\]{},:é]{0,70}(\\\\(\"|\\\\|n|u00e9)[ x]{0,3}){0,40}".prop_map(|text| format!("\"{text}\""));
        let leaf = prop_oneof![string.clone(), Just("null".to_owned()), "-?[1-9][0-9]{0,20}(\\.[0-9]{1,3})?"];
        leaf.prop_recursive(6, 60, 8, move |inner| {
            let list = |open: &'static str, close: &'static str| {
                move |(space, items): (&'static str, Vec<String>)| {
                    format!("{open}{space}{}{space}{close}", items.join(","))
                }
            };
            let member = (string.clone(), inner.clone()).prop_map(|(key, value)| format!("{key}: {value}"));
            prop_oneof![
                (space.clone(), prop::collection::vec(inner, 0..8)).prop_map(list("[", "]")),
                (space.clone(), prop::collection::vec(member, 0..8)).prop_map(list("{", "}")),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_end_is_where_the_validating_walk_finds_it(text in json(), behind in "[ ,\\]}x\"\\\\]{0,3}") {
            let whole = Cursor::new(text.as_bytes(), 0).value(MAX_DEPTH).unwrap();
            prop_assert_eq!(whole.end, text.len());
            // A scalar needs an end that ends it.
            let behind = if text.starts_with(['{', '[', '"']) { behind } else { format!(",{behind}") };
            let longer = format!("{text}{behind}");
            prop_assert_eq!(value_end(longer.as_bytes(), 0), Some(text.len()), "{}", longer);
        }

        #[test]
        fn any_bytes_have_an_end_within_them_or_none(bytes in prop::collection::vec(prop::sample::select(b"\"\\[]{},:a1 ".to_vec()), 0..200), at in 0_usize..210) {
            if let Some(end) = value_end(&bytes, at) {
                prop_assert!(at < end && end <= bytes.len());
            }
        }
    }
}
