//! What is printed: lines, and ratios beside their targets.

use std::fmt::Display;
use std::io::Write as _;

/// Prints a line; a closed pipe ends the benchmark, as it would any filter.
pub(crate) fn line(text: impl Display) {
    writeln!(std::io::stdout(), "{text}").expect("standard output is open");
}

/// Prints a ratio, its target, and whether it is met.
pub(crate) fn target(title: &str, ratio: f64, target: &str, met: bool) {
    line(format_args!("{title:<44} {ratio:>8.2}   {target}: {}", if met { "met" } else { "MISSED" }));
}
