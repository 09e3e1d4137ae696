//! `--since`: how far back to begin, as an age or as a time.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(SignedDuration),
    /// At this time.
    At(Timestamp),
}

/// Every text that is no age and no time gets this answer.
const EXPECTED: &str = "expected an age such as 30s, 15m, 2h, 1d or 1h30m, or an RFC 3339 time such as \
    2026-10-07T07:51:59Z";

impl Since {
    /// The time itself, seen from `now`; an age from before the calendar's beginning is the beginning.
    pub fn time(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(age) => now.checked_sub(age).unwrap_or(Timestamp::MIN),
            Self::At(time) => time,
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        age(text).map(Self::Ago).ok_or_else(|| EXPECTED.to_owned())
    }
}

/// One or more numbers, each with its unit.
fn age(text: &str) -> Option<SignedDuration> {
    let mut rest = text;
    let mut seconds = 0_i64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        let unit = match rest.as_bytes().get(digits)? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = rest.get(digits + 1..)?;
    }
    (!text.is_empty()).then(|| SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_times_are_read() {
        let now: Timestamp = "2026-10-07T12:00:00Z".parse().unwrap();
        let check = |text: &str, expected: &str| {
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(text.parse::<Since>().map(|since| since.time(now)), Ok(expected), "{text}");
        };
        check("30s", "2026-10-07T11:59:30Z");
        check("15m", "2026-10-07T11:45:00Z");
        check("1h30m", "2026-10-07T10:30:00Z");
        check("1d", "2026-10-06T12:00:00Z");
        check("1w", "2026-09-30T12:00:00Z");
        check("0s", "2026-10-07T12:00:00Z");
        check("2026-10-07T07:51:59.5+02:00", "2026-10-07T05:51:59.5Z");
        check("9999999999999s", &Timestamp::MIN.to_string());
        for text in
            ["", "15", "m", "15 m", "-5m", "15x", "1h30", "9223372036854775807w", "yesterday", "2026-10-07", "١m"]
        {
            assert_eq!(text.parse::<Since>(), Err(EXPECTED.to_owned()), "{text:?}");
        }
    }
}
