//! A string as TOML writes it: where in what is written a character of the text stands that it means.

/// The offset in `raw`, a string with its quotes, of the character at `line` and `column` (from 1) of its text. None if it
/// has no such character, and one behind the last is its end.
pub(super) fn offset(raw: &str, line: usize, column: usize) -> Option<usize> {
    let (quote, is_long) = match raw.as_bytes() {
        [b'"', b'"', b'"', ..] => ('"', true),
        [b'\'', b'\'', b'\'', ..] => ('\'', true),
        [b'"', ..] => ('"', false),
        [b'\'', ..] => ('\'', false),
        _ => return None,
    };
    let width = if is_long { 3 } else { 1 };
    let end = raw.len().checked_sub(width)?;
    let mut at = width;
    if is_long {
        // A line break right behind the quotes is not part of the text.
        at +=
            ["\r\n", "\n"].iter().find(|line_break| raw[at..].starts_with(**line_break)).map_or(0, |found| found.len());
    }
    let mut place = (1, 1);
    while at < end {
        let (length, means) = step(&raw[at..end], quote == '"')?;
        if means.is_some() && place == (line, column) {
            return Some(at);
        }
        match means {
            Some('\n') => place = (place.0 + 1, 1),
            Some(_) => place.1 += 1,
            None => {}
        }
        at += length;
    }
    (place == (line, column)).then_some(end)
}

/// How long the first thing in `raw` is and which character it means; none for a line break that is left out.
fn step(raw: &str, has_escapes: bool) -> Option<(usize, Option<char>)> {
    let mut chars = raw.chars();
    let first = chars.next()?;
    if first != '\\' || !has_escapes {
        return Some((first.len_utf8(), Some(first)));
    }
    let escaped = chars.next()?;
    let length = match escaped {
        'x' => 4,
        'u' => 6,
        'U' => 10,
        'n' => return Some((2, Some('\n'))),
        c if c.is_whitespace() => {
            let rest = raw[1..].trim_start_matches([' ', '\t', '\r', '\n']);
            return Some((raw.len() - rest.len(), None));
        }
        _ => 2,
    };
    // Whatever it means, it is one character and no line break.
    (raw.len() >= length).then_some((length, Some('\u{fffd}')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_found_where_they_are_written() {
        let check = |raw: &str, line: usize, column: usize, rest: Option<&str>| {
            assert_eq!(offset(raw, line, column).map(|at| &raw[at..]), rest, "{raw} {line}:{column}");
        };
        check("'abc'", 1, 2, Some("bc'"));
        check("'abc'", 1, 4, Some("'"));
        check("'abc'", 1, 5, None);
        check("'abc'", 2, 1, None);
        check("'a\\bc'", 1, 3, Some("bc'"));
        check(r#""a\"c\u00e9d""#, 1, 5, Some("d\""));
        check(r#""a\nc""#, 2, 1, Some("c\""));
        check("'''\na\nbc'''", 2, 2, Some("c'''"));
        check("'''\r\na\r\nbc'''", 2, 1, Some("bc'''"));
        check("\"\"\"a \\\n   b\nc\"\"\"", 1, 3, Some("b\nc\"\"\""));
        check("\"\"\"a \\\n   b\nc\"\"\"", 2, 1, Some("c\"\"\""));
        check("12", 1, 1, None);
    }
}
