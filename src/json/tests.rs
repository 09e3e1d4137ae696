use super::*;
use fearless_simd::Level;
use proptest::prelude::*;

/// serde_json is the reference. Its own nesting limit of 128 is out of reach of the texts made here.
fn serde_accepts(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

fn accepts(text: &[u8]) -> bool {
    let mut cursor = Cursor::new(text, 0);
    cursor.value(MAX_DEPTH).is_ok() && cursor.peek().is_none()
}

fn check(text: &str, expected: bool) {
    assert_eq!(accepts(text.as_bytes()), expected, "{text:?}");
    // At every offset within a block, and behind a block's edge.
    for shift in [1, 31, 60, 61, 62, 63, 64, 65, 127] {
        let shifted = format!("[\"{}\",{text}]", "x".repeat(shift));
        assert_eq!(accepts(shifted.as_bytes()), expected, "{shift} before {text:?}");
    }
}

#[test]
fn values() {
    for good in [
        "{}",
        "[]",
        "0",
        "-0",
        "1.5e-7",
        "12E+3",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\\\"b\"",
        "\"\\u00e9\\ud800\"",
        "[1,2,[3,{\"a\":[]}]]",
        " { \"a\" : 1 , \"b\" : [ true , null ] } ",
        "{\"a\\\\\":\"\\\\\\\"\"}",
        "[[[[[]]]]]",
        "{\"a\":{},\"b\":{\"c\":\"}\"}}",
        "[\"\\\\\",\"\\\\\\\\\"]",
        "[\n1\r\n,\t2 ]",
        "{\"\":\"\"}",
        "[\"é\u{2028}\"]",
    ] {
        check(good, true);
    }
    for bad in [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "[1,]",
        "[,1]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{1:2}",
        "[1 2]",
        "[\"a\" \"b\"]",
        "{\"a\" 1}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "tru",
        "truee",
        "nul",
        "NaN",
        "[1:2]",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "[\"a\u{0}\"]",
        "{\"a\":\"\\q\"}",
        "[\\\"a\"]",
        "['a']",
        "{\"a\":1}}",
        "[1]]",
        "[\u{c}1]",
        "[1\u{1a}2]",
        "\u{feff}{}",
        "{\"a\"::1}",
        "[1,,2]",
        "{\"a\":1 \"b\":2}",
    ] {
        check(bad, false);
    }
}

#[test]
fn depth_is_counted() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let value = |text: &str, limit: usize| Cursor::new(text.as_bytes(), 0).value(limit);
    assert!(value(&nested(128), 128).is_ok());
    assert!(value(&nested(129), 128).is_err_and(|error| error.too_deep));
    assert!(value(&nested(MAX_DEPTH), usize::MAX).is_ok());
    assert!(value(&nested(MAX_DEPTH + 1), usize::MAX).is_err_and(|error| error.too_deep));
    assert!(value(&nested(1_000_000), usize::MAX).is_err_and(|error| error.too_deep));
    assert!(value("1", 0).is_ok());
    assert!(value("[]", 0).is_err_and(|error| error.too_deep));
}

#[test]
fn a_value_ends_where_it_ends_whatever_follows() {
    let check = |text: &str, end: usize| {
        let span = Cursor::new(text.as_bytes(), 0).value(MAX_DEPTH);
        assert_eq!(span, Ok(0..end), "{text:?}");
    };
    check("{} \"\\q\"", 2);
    check("[1]{\"a\":\"\n\"}", 3);
    check("{\"a\":1}\\", 7);
    check("\"a\"\\x", 3);
}

#[test]
fn strings_with_flaws_end_where_they_end() {
    let check = |content: &str, text: &str, flaw: Option<Flaw>| {
        // Long enough before and behind that every path is taken.
        for pad in [0, 1, 30, 62, 63, 64, 200] {
            let pad = "p".repeat(pad);
            let source = format!("\"{pad}{content}\",\"next\"{}", " ".repeat(300 - pad.len()));
            let mut out = Text::default();
            out.copy(b"what was there before, and longer than many");
            let mut cursor = Cursor::new(source.as_bytes(), 0);
            assert_eq!(cursor.string_into(&mut out), Ok(flaw), "{content:?}");
            assert_eq!(String::from_utf8_lossy(out.bytes()), format!("{pad}{text}"), "{content:?}");
            assert!(cursor.eat(b','), "{content:?}");
            assert_eq!(cursor.string().map(|span| &source[span]), Ok("next"));
        }
    };
    check("", "", None);
    check("a\\\"b\\\\c\\/d\\b\\f\\n\\r\\te", "a\"b\\c/d\u{8}\u{c}\n\r\te", None);
    check("\\\\\\\\\\\\\\\"", "\\\\\\\"", None);
    check("\\u00e9\\ud83d\\ude00\\u0000", "é😀\0", None);
    check("\\ud800", "\\ud800", None);
    check("\\ud800\\ud800x", "\\ud800\\ud800x", None);
    check("\\\\\\ud800", "\\\u{fffd}", None);
    check("a\\qb", "a\\qb", Some(Flaw::Escape));
    check("a\nb", "a\nb", Some(Flaw::Control));
    check("\\u12", "\\u12", Some(Flaw::Escape));
}

#[test]
fn a_string_without_an_end_leaves_nothing() {
    for text in ["\"", "\"a", "\"a\\", "\"a\\\"", "\"\\u00"] {
        let mut out = Text::default();
        assert!(Cursor::new(text.as_bytes(), 0).string_into(&mut out).is_err(), "{text:?}");
        assert!(out.bytes().is_empty());
    }
}

#[test]
fn texts_survive_being_written() {
    for text in ["", "plain", "a\"b\\c\nd\re\tf\u{1}\u{1b}g\u{7f}é😀"] {
        let mut out = Vec::new();
        push_string(&mut out, text);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }
}

/// The levels of vector instructions that this processor has, the best one first.
fn levels() -> Vec<Level> {
    let best = Level::new();
    let mut levels = vec![best];
    #[cfg(target_arch = "x86_64")]
    levels.extend(
        [best.as_avx2().map(Level::Avx2), best.as_sse4_2().map(Level::Sse4_2), best.as_sse2().map(Level::Sse2)]
            .into_iter()
            .flatten(),
    );
    levels
}

/// All levels must do the same, also with what is damaged.
fn check_levels(text: &[u8]) {
    if !text.starts_with(b"\"") {
        check_walks(text);
    }
    let read: Vec<_> = levels()
        .into_iter()
        .map(|level| {
            let mut out = Text::default();
            let end = out.read_by(level, text, 1);
            (end, out.bytes().to_vec())
        })
        .collect();
    assert!(read.windows(2).all(|pair| pair[0] == pair[1]), "{read:?} of {text:?}");
}

fn check_walks(text: &[u8]) {
    let walked: Vec<_> = levels().into_iter().map(|level| skip::container_end_by(level, text, 0, MAX_DEPTH)).collect();
    assert!(walked.windows(2).all(|pair| pair[0] == pair[1]), "{walked:?} of {text:?}");
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "\\PC*".prop_map(Into::into),
        "[\\x00-\\x7f]{0,80}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::btree_map("[\\x00-\\x7f]{0,12}", inner, 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_writes_is_accepted_and_ends_at_its_end(value in json_value(), tail in "[\\x00-\\x7f]{0,70}") {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            prop_assert!(accepts(text.as_bytes()));
            // A number's end depends on what follows it; every other value ends by itself.
            if !value.is_number() && !value.is_boolean() && !value.is_null() {
                let followed = format!("{text}{tail}");
                prop_assert_eq!(Cursor::new(followed.as_bytes(), 0).value(MAX_DEPTH), Ok(0..text.len()));
            }
        }
    }

    #[test]
    fn damaged_text_is_judged_as_serde_judges_it(value in json_value(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut text = value.to_string().into_bytes();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte & 0x7f }
        // Whether bytes are UTF-8 is asked elsewhere, once for a whole message.
        prop_assume!(std::str::from_utf8(&text).is_ok());
        prop_assert_eq!(accepts(&text), serde_accepts(&text), "{:?}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn punctuation_soup_is_judged_as_serde_judges_it(text in "[\\[\\]{},:\"\\\\1e. ntrue-]{0,90}") {
        prop_assert_eq!(accepts(text.as_bytes()), serde_accepts(text.as_bytes()));
    }

    #[test]
    fn every_level_of_instructions_does_the_same(
        value in json_value(),
        soup in "[\\[\\]{},:\"\\\\1e. ntru\n-]{0,300}",
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut text = serde_json::json!([value, soup]).to_string().into_bytes();
        check_levels(&text);
        check_levels(format!("[{soup}").as_bytes());
        check_levels(format!("\"{soup}").as_bytes());
        let at = 1 + at.index(text.len() - 1);
        text[at] = byte;
        check_levels(&text);
    }

    #[test]
    fn messages_come_out_as_they_went_in(text in "\\PC{0,200}|[\\x00-\\x7f]{0,300}", pad in 0usize..200) {
        let quoted = serde_json::to_string(&text).unwrap() + &" ".repeat(pad);
        let mut out = Text::default();
        prop_assert_eq!(Cursor::new(quoted.as_bytes(), 0).string_into(&mut out), Ok(None));
        prop_assert_eq!(out.bytes(), text.as_bytes());
        let content = &quoted[1..quoted.trim_end().len() - 1];
        prop_assert_eq!(unescape(content), text);
    }
}
