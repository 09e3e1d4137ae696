//! Escaping: what a terminal would act on, or a person would not see, is shown as `\u{…}`, so that data stays data.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

/// Where a text stands decides what may stand in it as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A field of a line: no white space, so that fields can be told apart, and nothing without a width.
    Field,
    /// A prompt or an answer: newlines and tabs were taken care of, spaces and combining marks are text.
    Body,
}

/// Appends `text` with everything escaped that must not reach a terminal, as `\n`, `\t`, `\r` or `\u{1b}`.
pub fn push_escaped(out: &mut String, text: &str, place: Place) {
    for c in text.chars() {
        if shown_as_it_is(c, place) {
            out.push(c);
        } else {
            push_escape(out, c);
        }
    }
}

fn push_escape(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // Writing to a string cannot fail.
        _ => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
    }
}

fn shown_as_it_is(c: char, place: Place) -> bool {
    match c {
        '!'..='~' => true,
        ' ' => place == Place::Body,
        _ if c.is_control() || is_invisible(c) => false,
        _ if place == Place::Body => true,
        _ => c.width().is_some_and(|width| width > 0) && !c.is_whitespace(),
    }
}

/// Characters that are not controls and yet show nothing, or change how others are shown: formats, bidi marks and
/// overrides, separators, fillers, variation selectors, tags. Source: Unicode 16, categories Cf, Zl and Zp, and the
/// property `Default_Ignorable_Code_Point`; the blank of braille and the spaces that look like the usual one.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
        | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{1680}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}'
        | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The columns of a terminal that an escaped text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Cuts an escaped text to `columns`, with `…` where something is missing.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::with_capacity(columns + 3);
    let mut used = 0;
    for c in text.chars() {
        let next = used + c.width().unwrap_or(0);
        // One column is the ellipsis'.
        if next + 1 > columns {
            break;
        }
        out.push(c);
        used = next;
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// JSON text with the characters escaped, as JSON escapes, that a terminal would act on. They can stand only inside
/// strings, so the value stays the same.
pub fn json_for_terminal(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if (c.is_control() && !matches!(c, '\n' | '\t' | '\r')) || is_invisible(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str, place: Place) -> String {
        let mut out = String::new();
        push_escaped(&mut out, text, place);
        out
    }

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_act_on() {
        let check = |text: &str, field: &str, body: &str| {
            assert_eq!(escaped(text, Place::Field), field, "field {text:?}");
            assert_eq!(escaped(text, Place::Body), body, "body {text:?}");
        };
        check("plain-1.0:/@", "plain-1.0:/@", "plain-1.0:/@");
        check("a b", "a\\u{20}b", "a b");
        check("\u{1b}[2J\u{7}\0\u{7f}", "\\u{1b}[2J\\u{7}\\u{0}\\u{7f}", "\\u{1b}[2J\\u{7}\\u{0}\\u{7f}");
        check("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}", "\\u{9b}31m\\u{85}");
        check("a\nb\tc\r", "a\\nb\\tc\\r", "a\\nb\\tc\\r");
        check("\u{202e}\u{2066}", "\\u{202e}\\u{2066}", "\\u{202e}\\u{2066}");
        check(
            "\u{200b}\u{feff}\u{ad}\u{e0041}",
            "\\u{200b}\\u{feff}\\u{ad}\\u{e0041}",
            "\\u{200b}\\u{feff}\\u{ad}\\u{e0041}",
        );
        check("日本 é ü", "日本\\u{20}é\\u{20}ü", "日本 é ü");
        check("e\u{301}", "e\\u{301}", "e\u{301}");
        check("\u{3000}", "\\u{3000}", "\u{3000}");
    }

    #[test]
    fn every_character_without_a_width_is_escaped_in_a_field() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = escaped(&c.to_string(), Place::Field);
            assert!(width(&text) > 0, "{:x}", u32::from(c));
            assert!(!text.chars().any(|c| c.is_control() || c.is_whitespace()), "{:x}", u32::from(c));
        }
    }

    #[test]
    fn a_cut_text_fits() {
        for (text, columns, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("ab", 1, "…"),
            ("ab", 0, ""),
        ] {
            assert_eq!(cut(text, columns), expected, "{text} in {columns}");
        }
    }

    #[test]
    fn json_keeps_its_value_on_a_terminal() {
        let json = "{\"a\":\"\u{9b}2J \u{202e}\u{e0041}é\"}";
        let shown = json_for_terminal(json);
        assert_eq!(shown, "{\"a\":\"\\u009b2J \\u202e\\udb40\\udc41é\"}");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&shown), parse(json));
    }
}
