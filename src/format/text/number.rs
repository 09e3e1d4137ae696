//! Numbers and durations in few columns.

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

#[cfg(test)]
mod tests {
    use super::*;

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
