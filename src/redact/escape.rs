//! An escape: a few characters of a text that stand for another one. Detectors read texts with their escapes resolved;
//! what they find is mapped back to the text as it came, which stays as it is around the finding.

use std::borrow::Cow;
use std::ops::Range;

/// Whose escapes a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escaped {
    /// The content of a JSON string.
    Once,
    /// A text that holds JSON, or strings of some language, to any depth: any number of backslashes begins an escape.
    /// Spaces and dashes that do not break stand for plain ones, since models write numbers with them.
    Within,
}

/// The escapes of a text, in order.
struct Escapes<'t> {
    text: &'t str,
    at: usize,
    escaped: Escaped,
}

impl Iterator for Escapes<'_> {
    /// Where an escape stands, and what it stands for.
    type Item = (Range<usize>, char);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.text.as_bytes();
        loop {
            let rest = bytes.get(self.at..)?;
            let start = self.at
                + match self.escaped {
                    Escaped::Once => memchr::memchr(b'\\', rest)?,
                    Escaped::Within => memchr::memchr3(b'\\', NARROW, WIDE, rest)?,
                };
            if bytes[start] != b'\\' {
                let character = self.text.get(start..)?.chars().next()?;
                self.at = start + character.len_utf8();
                if let Some(meaning) = plain(character) {
                    return Some((start..self.at, meaning));
                }
                continue;
            }
            let mut letter = start + 1;
            if self.escaped == Escaped::Within {
                letter += bytes[letter..].iter().take_while(|&&byte| byte == b'\\').count();
            }
            self.at = letter;
            let meaning = match bytes.get(letter) {
                Some(b'u') => character(self.text, letter),
                Some(&byte) => simple(byte, self.escaped).map(|meaning| (meaning, 1)),
                None => None,
            };
            if let Some((meaning, length)) = meaning {
                self.at = letter + length;
                let meaning = if self.escaped == Escaped::Within { plain(meaning).unwrap_or(meaning) } else { meaning };
                return Some((start..self.at, meaning));
            }
        }
    }
}

/// The first bytes of U+00A0, and of the others that [`plain`] knows.
const NARROW: u8 = 0xc2;
const WIDE: u8 = 0xe2;

/// The plain character for a space or dash that does not break.
fn plain(character: char) -> Option<char> {
    match character {
        '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' => Some(' '),
        '\u{2010}' | '\u{2011}' => Some('-'),
        _ => None,
    }
}

/// What a letter behind a backslash stands for.
fn simple(letter: u8, escaped: Escaped) -> Option<char> {
    Some(match letter {
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'"' | b'/' => char::from(letter),
        b'\\' if escaped == Escaped::Once => '\\',
        b'\'' if escaped == Escaped::Within => '\'',
        _ => return None,
    })
}

/// The character of the escape whose `u` is at `at`, or of the pair of them, and the length from the `u` on. Half a pair
/// stands for U+FFFD.
fn character(text: &str, at: usize) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at + 1..at + 5).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(at)?;
    if let 0xd800..0xdc00 = first
        && text.get(at + 5..at + 7) == Some("\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(at + 6)
    {
        let scalar = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Some((char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER), 11));
    }
    Some((char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 5))
}

/// The text with its escapes resolved.
pub(super) fn resolve(text: &str, escaped: Escaped) -> Cow<'_, str> {
    let mut escapes = Escapes { text, at: 0, escaped }.peekable();
    if escapes.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let mut resolved = String::with_capacity(text.len());
    let mut from = 0;
    for (range, meaning) in escapes {
        resolved.push_str(&text[from..range.start]);
        resolved.push(meaning);
        from = range.end;
    }
    resolved.push_str(&text[from..]);
    Cow::Owned(resolved)
}

/// Maps ascending offsets of the resolved text to those of `text`. A place at either side of an escape stays there.
pub(super) fn locate<'p>(text: &str, escaped: Escaped, places: impl Iterator<Item = &'p mut usize>) {
    let mut escapes = Escapes { text, at: 0, escaped }.peekable();
    // Up to where both were walked.
    let (mut walked, mut resolved) = (0, 0);
    for place in places {
        while let Some((range, meaning)) = escapes.peek() {
            let before = resolved + (range.start - walked);
            if *place <= before {
                break;
            }
            (walked, resolved) = (range.end, before + meaning.len_utf8());
            escapes.next();
        }
        *place = walked + (*place - resolved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved_and_places_found_again() {
        let check = |text: &str, escaped: Escaped, expected: &str| {
            let resolved = resolve(text, escaped);
            assert_eq!(resolved, expected, "{text}");
            // Each character is found again where it stands, or where what stands for it does.
            for (at, character) in resolved.char_indices() {
                let (mut start, mut end) = (at, at + character.len_utf8());
                locate(text, escaped, [&mut start, &mut end].into_iter());
                assert_eq!(resolve(&text[start..end], escaped), character.to_string(), "{text} at {at}");
            }
        };
        check("plain é", Escaped::Once, "plain é");
        check(r#"a\n\"\\\/\u00e9é\ud83d\ude00b"#, Escaped::Once, "a\n\"\\/éé\u{1f600}b");
        check(r"\\n\\\\x", Escaped::Once, r"\n\\x");
        check(r"a\ud800b\udc00\ud800", Escaped::Once, "a\u{fffd}b\u{fffd}\u{fffd}");
        check(r#"{\"a\":\"b\\n\\\"\\u0041\"}"#, Escaped::Within, "{\"a\":\"b\n\"A\"}");
        check(r"1\u00a02", Escaped::Within, "1 2");
        check(r"1\u00a02", Escaped::Once, "1\u{a0}2");
        check("+49\u{a0}30\u{202f}12\u{2011}3 ©€", Escaped::Within, "+49 30 12-3 ©€");
        check(r"C:\dir\x \u00 \", Escaped::Within, r"C:\dir\x \u00 \");
    }
}
