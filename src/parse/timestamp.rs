//! Timestamps: RFC 3339, and the rendering of it that Panther writes.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Reads `2026-11-22T07:39:00Z`, with or without a fraction, with any offset; a space may stand for the `T`, as in
/// Panther's own `2026-11-22 07:39:00.123`, and without an offset such a time is UTC. Digits beyond the nanosecond are
/// cut off. A leap second is read as the second before it. The last day of the year 9999 is beyond what can be counted.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize| -> Option<i16> {
        let part = text.get(from..to)?;
        if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None }
    };
    let small = |from: usize| digits(from, from + 2).and_then(|value| i8::try_from(value).ok());
    let separated = bytes.get(4) == Some(&b'-')
        && bytes.get(7) == Some(&b'-')
        && matches!(bytes.get(10), Some(b'T' | b't' | b' '))
        && bytes.get(13) == Some(&b':')
        && bytes.get(16) == Some(&b':');
    if !separated {
        return None;
    }
    let second = small(17)?;
    let (nanosecond, rest) = fraction(text.get(19..)?)?;
    let offset = match rest {
        "Z" | "z" => Offset::UTC,
        "" if bytes[10] == b' ' => Offset::UTC,
        _ => offset(rest)?,
    };
    let time = DateTime::new(
        digits(0, 4)?,
        small(5)?,
        small(8)?,
        small(11)?,
        small(14)?,
        if second == 60 { 59 } else { second },
        nanosecond,
    );
    // An offset may move the first hours of the year 0 before it, where no rendering has digits for the year.
    offset.to_timestamp(time.ok()?).ok().filter(|time| Offset::UTC.to_datetime(*time).year() >= 0)
}

/// The nanoseconds of a fraction at the start of `text`, and what follows it.
fn fraction(text: &str) -> Option<(i32, &str)> {
    let Some(text) = text.strip_prefix('.') else { return Some((0, text)) };
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at_checked(length)?;
    if digits.is_empty() {
        return None;
    }
    let nanoseconds = digits.bytes().chain(std::iter::repeat(b'0')).take(9);
    Some((nanoseconds.fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0')), rest))
}

/// An offset such as `+02:00`.
fn offset(text: &str) -> Option<Offset> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let part = |part: &str, limit: i32| {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<i32>().ok().filter(|&value| digits && value < limit)
    };
    Offset::from_seconds(sign * (part(hours, 24)? * 3600 + part(minutes, 60)? * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(parse_timestamp(text).map(|time| time.to_string()).as_deref(), expected, "{text:?}");
        };
        check("2026-11-22T07:39:00Z", Some("2026-11-22T07:39:00Z"));
        check("2026-11-22t07:39:00z", Some("2026-11-22T07:39:00Z"));
        check("2026-11-22T07:39:00.1Z", Some("2026-11-22T07:39:00.1Z"));
        check("2026-11-22T07:39:00.123456789Z", Some("2026-11-22T07:39:00.123456789Z"));
        check("2026-11-22T07:39:00.1234567899Z", Some("2026-11-22T07:39:00.123456789Z"));
        check("2026-11-22T07:39:00+02:00", Some("2026-11-22T05:39:00Z"));
        check("2026-11-22T23:39:00-00:30", Some("2026-11-23T00:09:00Z"));
        check("2026-11-22 07:39:00", Some("2026-11-22T07:39:00Z"));
        check("2026-11-22 07:39:00.25", Some("2026-11-22T07:39:00.25Z"));
        check("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59Z"));
        check("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00Z"));
        check("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00Z"));
        check("0000-01-01T00:00:00+01:00", None);
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T07:39Z",
            "2026-11-22T07:39:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T07:60:00Z",
            "2026-11-22T07:39:61Z",
            "2026-11-22T07:39:00.Z",
            "2026-11-22T07:39:00+0200",
            "2026-11-22T07:39:00+24:00",
            "2026-11-22T07:39:00 Z",
            "1790000000",
            "2026-11-22T07:39:00Zjunk",
            " 2026-11-22T07:39:00Z",
            "+026-11-22T07:39:00Z",
            "２026-11-22T07:39:00Z",
        ] {
            check(bad, None);
        }
    }
}
