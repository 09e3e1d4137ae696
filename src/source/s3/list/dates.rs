//! The dates in folders' names: `…/YYYY/MM/DD/HH/`, as Bedrock and Firehose write them, and `year=YYYY/month=MM/…`.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// What a folder holds by its name: from a time, included, to another, excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

impl Span {
    /// The span of a prefix whose last segments are the numbers of a date, in UTC: a year, a month, a day or an hour.
    pub fn of(prefix: &str) -> Option<Self> {
        let segments = prefix.trim_end_matches('/').rsplit('/').map(digits);
        let mut numbers: Vec<&str> = segments.map_while(|digits| digits).take(MAX_SEGMENTS).collect();
        numbers.reverse();
        // Before the year there may be a number of another kind, such as an account.
        (0..numbers.len()).find_map(|first| date(&numbers[first..]))
    }

    /// Whether any of it is in [`from`, `to`).
    pub fn overlaps(self, from: Timestamp, to: Timestamp) -> bool {
        self.from < to && from < self.to
    }
}

/// An account, and a date down to the minute.
const MAX_SEGMENTS: usize = 6;

/// The number of a segment such as `07` or `day=07`.
fn digits(segment: &str) -> Option<&str> {
    let number = segment.rsplit_once('=').map_or(segment, |(_, number)| number);
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

fn date(numbers: &[&str]) -> Option<Span> {
    let (year, rest) = numbers.split_first()?;
    if year.len() != 4 || rest.iter().any(|number| number.len() != 2) {
        return None;
    }
    let part = |index: usize, default: i8| rest.get(index).map_or(Some(default), |number| number.parse().ok());
    let (year, month, day, hour, minute) = (year.parse().ok()?, part(0, 1)?, part(1, 1)?, part(2, 0)?, part(3, 0)?);
    if !(1970..9999_i16).contains(&year) || hour > 23 || minute > 59 || rest.len() > 4 {
        return None;
    }
    let from = begin(year, month, day)?.checked_add(SignedDuration::from_hours(i64::from(hour))).ok()?;
    let to = match rest.len() {
        0 => begin(year + 1, 1, 1)?,
        1 if month == 12 => begin(year + 1, 1, 1)?,
        1 => begin(year, month + 1, 1)?,
        2 => from.checked_add(SignedDuration::from_hours(24)).ok()?,
        // A minute's folder is held to be its hour's: what is written late is in it too.
        _ => from.checked_add(SignedDuration::from_hours(1)).ok()?,
    };
    Some(Span { from, to })
}

fn begin(year: i16, month: i8, day: i8) -> Option<Timestamp> {
    Some(Date::new(year, month, day).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_tell_their_dates() {
        let check = |prefix: &str, expected: Option<(&str, &str)>| {
            let time = |text: &str| text.parse::<Timestamp>().unwrap();
            let expected = expected.map(|(from, to)| Span { from: time(from), to: time(to) });
            assert_eq!(Span::of(prefix), expected, "{prefix:?}");
        };
        let hour = Some(("2026-01-31T23:00:00Z", "2026-02-01T00:00:00Z"));
        check("AWSLogs/123456789012/BedrockModelInvocationLogs/eu-west-1/2026/01/31/23/", hour);
        check("2026/01/31/23/", hour);
        check("2026/01/31/23/59/", hour);
        check("a/year=2026/month=01/day=31/hour=23/", hour);
        check("123456789012/2026/01/31/23/", hour);
        check("a/2026/", Some(("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")));
        check("a/2026/12/", Some(("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")));
        check("a/2024/02/29/", Some(("2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z")));
        for prefix in ["", "/", "a/", "123456789012/", "2026/13/", "2026/02/30/", "2026/1/", "2026/01/01/24/"] {
            check(prefix, None);
        }
        for prefix in ["0001/", "9999/", "2026/01/31/23/59/00/", "2026/01/31/23/data/", "2026-01-31/", "٢٠٢٦/", "12/"]
        {
            check(prefix, None);
        }
    }
}
