//! What a backfill says of itself: at its beginning, at its end, and of what it only counted.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use super::duration;
use crate::backfill::counting::Day;
use crate::backfill::{Job, Place};
use crate::pipeline::Tally;
use crate::source::several::Seen;

/// A command, quoted for a shell.
pub(super) struct Resume(pub(super) Vec<String>);

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+".contains(c);
            let space = if index > 0 { " " } else { "" };
            if !word.is_empty() && word.chars().all(plain) {
                write!(f, "{space}{word}")?;
            } else {
                // What would steer a terminal is no part of a name.
                let word: String = word.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
                write!(f, "{space}'{}'", word.replace('\'', "'\\''"))?;
            }
        }
        Ok(())
    }
}

/// What is begun.
pub(super) fn beginning(job: &Job, is_begun: bool) -> String {
    let place = match &job.place {
        Place::Objects { bucket, prefix } => format!("s3://{bucket}/{prefix}"),
        Place::LogGroups(groups) => groups.join(", "),
    };
    let verb = if is_begun { "going on with" } else { "reading" };
    format!("{verb} {}\n  from {} to {}", place.escape_debug(), job.from, job.to)
}

/// How it ended.
pub(super) struct Outcome<'a> {
    pub(super) is_whole: bool,
    pub(super) seen: &'a Seen,
    pub(super) tally: &'a Tally,
    pub(super) elapsed: Duration,
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_whole, seen, tally, elapsed } = self;
        f.write_str(if *is_whole { "everything was delivered" } else { "stopped before everything was delivered" })?;
        let read = if *is_whole { "" } else { " read" };
        write!(f, "\n  {} in {}", counts(tally, read), duration(*elapsed))?;
        write!(f, "\n  {}", parts(seen))
    }
}

/// What became of log events.
fn counts(tally: &Tally, read: &str) -> String {
    let sum = |counts: &mut dyn Iterator<Item = u64>| number(counts.sum());
    let skipped = sum(&mut tally.skipped.values().copied());
    let rejects = sum(&mut tally.rejects.values().copied());
    format!("{} events{read}, {skipped} skipped, {rejects} rejects", number(tally.invocations))
}

/// How much was read.
pub(super) fn parts(seen: &Seen) -> String {
    let Seen { found, before, done, objects, gone, bytes, is_all_found, .. } = seen;
    let more = if *is_all_found { "" } else { "+" };
    let mut text = format!("{done}/{found}{more} slices");
    if *before > 0 {
        text.push_str(&format!(" ({before} before)"));
    }
    if *objects > 0 {
        text.push_str(&format!(", {} objects", number(*objects)));
    }
    if *gone > 0 {
        text.push_str(&format!(" ({gone} gone)"));
    }
    format!("{text}, {}", size(*bytes))
}

/// Prints what days hold, a line each; standard output is for nothing else.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print_days(
    days: &BTreeMap<String, Day>,
    seen: &Seen,
    is_whole: bool,
    elapsed: Duration,
) -> io::Result<()> {
    let mut page = format!(
        "{:<10} {:>7} {:>11} {:>11} {:>10} {:>8} {:>11}\n",
        "day", "slices", "log events", "events", "skipped", "rejects", "read"
    );
    let mut sum = Day::default();
    let mut line = |name: &str, day: &Day| {
        let Day { partitions, bytes, log_events, invocations, skipped, rejects } = day;
        page.push_str(&format!(
            "{name:<10} {partitions:>7} {log_events:>11} {invocations:>11} {skipped:>10} {rejects:>8} {:>11}\n",
            size(*bytes)
        ));
    };
    for (name, day) in days {
        line(name, day);
        sum.add(day);
    }
    line("total", &sum);
    if seen.objects > 0 {
        page.push_str(&format!("{} objects, {} stored\n", number(seen.objects), size(seen.bytes)));
    }
    let end = if is_whole { "all was read" } else { "stopped before all was read" };
    page.push_str(&format!("{end} in {}; nothing was delivered\n", duration(elapsed)));
    match io::stdout().lock().write_all(page.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// A number with its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_are_for_people() {
        let check = |value: u64, count: &str, bytes: &str| {
            assert_eq!((number(value).as_str(), size(value).as_str()), (count, bytes));
        };
        check(0, "0", "0 B");
        check(999, "999", "999 B");
        check(1024, "1,024", "1.0 KiB");
        check(1_234_567, "1,234,567", "1.2 MiB");
        check(u64::MAX, "18,446,744,073,709,551,615", "16384.0 PiB");
    }

    #[test]
    fn the_outcome_fits_the_screen() {
        let seen = Seen {
            found: 8760,
            before: 4000,
            done: 8759,
            objects: 1_234_567,
            gone: 12,
            bytes: 5 << 40,
            is_all_found: false,
            ..Seen::default()
        };
        let tally = Tally { invocations: 1_234_567_890, ..Tally::default() };
        let outcome = Outcome { is_whole: false, seen: &seen, tally: &tally, elapsed: Duration::from_secs(3661) };
        let expected = "stopped before everything was delivered\n  1,234,567,890 events read, 0 skipped, 0 rejects in 1h 1m 1s\n  \
                        8759/8760+ slices (4000 before), 1,234,567 objects (12 gone), 5.0 TiB";
        assert_eq!(outcome.to_string(), expected);
        assert!(expected.lines().all(|line| line.len() <= 80));
    }
}
