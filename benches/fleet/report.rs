//! The report: one table in Markdown, with the target beside each figure that has one.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

/// A line of the table.
pub(crate) struct Row {
    what: String,
    measured: String,
    target: Option<(String, bool)>,
}

impl Row {
    /// A figure that has a target, and whether it is met.
    pub(crate) fn target(what: impl Into<String>, measured: impl Into<String>, target: &str, met: bool) -> Self {
        Self { what: what.into(), measured: measured.into(), target: Some((target.to_owned(), met)) }
    }

    /// A figure for information.
    pub(crate) fn told(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { what: what.into(), measured: measured.into(), target: None }
    }
}

/// Prints a line; a closed pipe ends the benchmark, as it would any filter.
pub(crate) fn line(text: impl Display) {
    writeln!(std::io::stdout(), "{text}").expect("standard output is open");
}

/// Prints the table.
pub(crate) fn table(rows: &[Row]) {
    line("\n| fleet | measured | target | |\n|---|---|---|---|");
    for Row { what, measured, target } in rows {
        match target {
            Some((target, true)) => line(format_args!("| {what} | {measured} | {target} | met |")),
            Some((target, false)) => line(format_args!("| {what} | {measured} | {target} | **missed** |")),
            None => line(format_args!("| {what} | {measured} | | |")),
        }
    }
}

/// The time within which `per_cent` of the times lie, by nearest rank.
pub(crate) fn percentile(times: &mut [Duration], per_cent: usize) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * per_cent).div_ceil(100).max(1);
    times[rank - 1]
}

/// Median, 99th percentile and maximum, for people.
pub(crate) fn spread(times: &mut [Duration]) -> String {
    let (median, high, most) = (percentile(times, 50), percentile(times, 99), percentile(times, 100));
    format!("p50 {}, p99 {}, max {}", millis(median), millis(high), millis(most))
}

/// A time in milliseconds, for people.
pub(crate) fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}
