//! Numbers, durations and amounts of money in few columns.

use crate::enrich::cost::Usd;

/// How much of a number is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    /// All digits.
    All,
    /// From ten thousand on three digits at most: `24.3k`.
    Three,
    /// From a thousand on two digits at most, or whole thousands: `1.6k`, `24k`.
    Two,
}

const STEPS: [(i64, char); 4] = [(1_000_000_000_000, 'T'), (1_000_000_000, 'G'), (1_000_000, 'M'), (1_000, 'k')];

/// A count with as many digits as asked for.
pub(super) fn count(number: i64, digits: Digits) -> String {
    let threshold = match digits {
        Digits::All => return number.to_string(),
        Digits::Three => 10_000,
        Digits::Two => 1_000,
    };
    if number.unsigned_abs() < threshold {
        return number.to_string();
    }
    let (step, unit) =
        STEPS.into_iter().find(|(step, _)| number.unsigned_abs() >= step.unsigned_abs()).unwrap_or((1, ' '));
    let whole = number / step;
    let tenth = (number % step).abs() * 10 / step;
    let room = if digits == Digits::Three { 100 } else { 10 };
    if whole.abs() < room && tenth > 0 { format!("{whole}.{tenth}{unit}") } else { format!("{whole}{unit}") }
}

/// Milliseconds in at most five columns, up to years: `576ms`, `1.2s`, `12.3s`, `90m`, `27h`, `40d`.
pub(super) fn duration(ms: i64) -> String {
    match ms {
        ..0 => "-".to_owned(),
        0..1_000 => format!("{ms}ms"),
        1_000..100_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        100_000..1_000_000 => format!("{}s", ms / 1_000),
        1_000_000..36_000_000 => format!("{}m", ms / 60_000),
        36_000_000..8_640_000_000 => format!("{}h", ms / 3_600_000),
        8_640_000_000..863_999_999_999_999 => format!("{}d", (ms / 86_400_000).min(9_999)),
        _ => ">27y".to_owned(),
    }
}

/// An amount in at most `columns` (six or more), with two or three digits that say something: `$1.23`, `$0.12`,
/// `$.0023`, `$.00045`. What is less than the columns can show is `<$.001`.
pub(super) fn money(amount: Usd, columns: usize) -> String {
    const DOLLAR: i64 = 1_000_000_000_000;
    let picodollars = amount.0.max(0);
    match picodollars / DOLLAR {
        0 => cents(picodollars, columns),
        whole @ 1..10 => format!("${whole}.{:02}", picodollars % DOLLAR / (DOLLAR / 100)),
        whole @ 10..100 => format!("${whole}.{}", picodollars % DOLLAR / (DOLLAR / 10)),
        whole => format!("${}", count(whole, if whole < 10_000 { Digits::All } else { Digits::Two })),
    }
}

/// An amount of less than a dollar: two digits after the zeros, if they fit.
fn cents(picodollars: i64, columns: usize) -> String {
    if picodollars == 0 {
        return "$0".to_owned();
    }
    let digits = format!("{picodollars:012}");
    let zeros = digits.bytes().take_while(|digit| *digit == b'0').count();
    let shown = digits.get(..zeros + 2).unwrap_or(&digits);
    let room = columns.saturating_sub("$.".len());
    if shown.len() < room {
        format!("$0.{shown}")
    } else if shown.len() == room {
        format!("$.{shown}")
    } else {
        let places = columns.saturating_sub("<$.".len()).max(1);
        format!("<$.{}1", "0".repeat(places - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_take_their_columns() {
        const MICRO: i64 = 1_000_000;
        for (picodollars, narrow, wide) in [
            (0, "$0", "$0"),
            (1, "<$.001", "<$.00001"),
            (38 * MICRO, "<$.001", "$.000038"),
            (999 * MICRO, "<$.001", "$0.00099"),
            (2_345 * MICRO, "$.0023", "$0.0023"),
            (12_345 * MICRO, "$0.012", "$0.012"),
            (123_456 * MICRO, "$0.12", "$0.12"),
            (999_999 * MICRO, "$0.99", "$0.99"),
            (1_234_567 * MICRO, "$1.23", "$1.23"),
            (12_345_678 * MICRO, "$12.3", "$12.3"),
            (1_234_567_890_000 * MICRO, "$1.2M", "$1.2M"),
            (i64::MAX, "$9.2M", "$9.2M"),
            (-1, "$0", "$0"),
        ] {
            assert_eq!(money(Usd(picodollars), 6), narrow, "{picodollars}");
            assert_eq!(money(Usd(picodollars), 8), wide, "{picodollars}");
        }
    }

    #[test]
    fn counts_take_few_columns() {
        for (number, three, two) in [
            (0, "0", "0"),
            (999, "999", "999"),
            (1_645, "1645", "1.6k"),
            (9_999, "9999", "9.9k"),
            (24_316, "24.3k", "24k"),
            (128_000, "128k", "128k"),
            (1_000_000, "1M", "1M"),
            (-24_316, "-24.3k", "-24k"),
            (i64::MAX, "9223372T", "9223372T"),
        ] {
            assert_eq!(count(number, Digits::All), number.to_string());
            assert_eq!(count(number, Digits::Three), three, "{number}");
            assert_eq!(count(number, Digits::Two), two, "{number}");
        }
        assert_eq!(count(i64::MIN, Digits::Two), "-9223372T");
    }

    #[test]
    fn durations_take_five_columns() {
        for (ms, expected) in [
            (0, "0ms"),
            (576, "576ms"),
            (1_234, "1.2s"),
            (99_999, "99.9s"),
            (576_000, "576s"),
            (3_600_000, "60m"),
            (86_400_000, "24h"),
            (-1, "-"),
        ] {
            assert_eq!(duration(ms), expected, "{ms}");
        }
        let mut ms = 1;
        while ms < i64::MAX / 7 {
            assert!(duration(ms).len() <= 5, "{ms}: {}", duration(ms));
            ms = ms * 7 / 2 + 1;
        }
        assert!(duration(i64::MAX).len() <= 5);
    }
}
