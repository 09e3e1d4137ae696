//! How far a backfill is, on standard error: a bar on a terminal, else a line of the log every so often.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::fmt::MakeWriter;

use super::bar::Bar;
use super::duration;
use super::report::{number, parts, size};
use crate::backfill::{Job, Watched};
use crate::source::s3::list::dates::Span;
use crate::source::several::Seen;

/// How often a bar changes: people see no more.
const BAR_INTERVAL: Duration = Duration::from_millis(250);

/// How often the log says it.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The progress of this process. The bar has no colours, so that `NO_COLOR` asks for nothing.
pub(super) struct Shown {
    /// Only on a terminal.
    bar: Option<Arc<Bar>>,
}

/// Shows until it is ended.
pub(super) struct Showing {
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl Showing {
    /// Shows nothing more.
    pub(super) async fn end(self) {
        self.end.cancel();
        // It holds nothing that could be lost.
        let _ = self.task.await;
    }
}

impl Shown {
    /// As standard error of this process can show it.
    pub(super) fn of_process() -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bar = (io::stderr().is_terminal() && !is_dumb).then(Arc::default);
        Self { bar }
    }

    /// A writer of standard error that leaves the bar whole.
    pub(super) fn writer(&self) -> Beside {
        Beside { bar: self.bar.clone() }
    }

    /// Writes lines for a person.
    pub(super) fn say(&self, text: &str) {
        // Nothing is left to do if standard error is closed.
        let _ = self.writer().write_all(format!("{text}\n").as_bytes());
    }

    /// Begins to show how far `job` is.
    pub(super) fn show(&self, watched: Arc<Watched>, job: &Job) -> Showing {
        let end = CancellationToken::new();
        let (ended, bar, begun) = (end.clone(), self.bar.clone(), Instant::now());
        let mut dates = Dates::of(job);
        let task = tokio::spawn(async move {
            let every = if bar.is_some() { BAR_INTERVAL } else { LOG_INTERVAL };
            while ended.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
                match &bar {
                    Some(bar) => draw(bar, &watched, &mut dates, begun.elapsed()),
                    None => log(&watched, begun.elapsed()),
                }
            }
            bar.iter().for_each(|bar| bar.clear());
        });
        Showing { end, task }
    }
}

fn rate(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

fn draw(bar: &Bar, watched: &Watched, dates: &mut Dates, elapsed: Duration) {
    let (seen, tally) = (watched.seen(), watched.tally());
    let (share, left) = if seen.is_all_found {
        let share = seen.done as f64 / seen.found.max(1) as f64;
        (share, remaining(seen.found, seen.done, seen.before, elapsed))
    } else {
        let share = dates.share(&seen);
        (share.unwrap_or_default(), share.and_then(|share| dates.remaining(share, elapsed)))
    };
    let left = left.map(|left| format!("{} left, ", duration(left))).unwrap_or_default();
    let events = tally.invocations;
    let rejects: u64 = tally.rejects.values().sum();
    let (per_second, bytes) = (number(rate(events, elapsed)), size(rate(seen.bytes, elapsed)));
    let counts = format!("{} events, {per_second}/s, {bytes}/s, {rejects} rejects", number(events));
    let below = line(&counts, &seen.current, Bar::columns());
    bar.draw(share, &format!("{left}{}", parts(&seen)), &below);
}

/// The counts, and as much of where it reads as there is room for: a line that is wrapped would push the one before away.
fn line(counts: &str, current: &str, room: usize) -> String {
    const AT: &str = ", at ";
    let at = short(current, room.saturating_sub(counts.len() + AT.len()));
    let line = if at.is_empty() { counts.to_owned() } else { format!("{counts}{AT}{at}") };
    line.chars().take(room).collect()
}

/// What of a name tells most: the last segments of a folder, which are its date, or the beginning of a slice's time and
/// group; without what could steer a terminal.
fn short(current: &str, room: usize) -> String {
    let safe: String = current.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if !safe.ends_with('/') {
        return safe.chars().take(room).collect();
    }
    let starts = std::iter::once(0).chain(safe.match_indices('/').map(|(index, _)| index + 1));
    let fitting = starts.map(|start| &safe[start..]).find(|rest| rest.chars().count() <= room);
    fitting.unwrap_or_default().to_owned()
}

/// How far a list of folders is by their dates: how many there are is known only at its end.
struct Dates {
    from: Timestamp,
    to: Timestamp,
    /// What stands before the dates, and the first of them.
    first: Option<(String, Timestamp)>,
}

impl Dates {
    fn of(job: &Job) -> Self {
        Self { from: job.from, to: job.to, first: None }
    }

    /// The part of the time that is behind the folder that is read; none where folders have no dates, and where there are
    /// others than those of the first Region and account, because how many of them will come is not known either.
    fn share(&mut self, seen: &Seen) -> Option<f64> {
        let span = Span::of(&seen.current)?;
        let root = root(&seen.current);
        let (known, _) = self.first.get_or_insert_with(|| (root.to_owned(), span.from));
        (known == root).then(|| self.part(span.from))
    }

    fn part(&self, time: Timestamp) -> f64 {
        let seconds = |from: Timestamp, to: Timestamp| from.duration_until(to).as_secs_f64();
        (seconds(self.from, time) / seconds(self.from, self.to).max(1.0)).clamp(0.0, 1.0)
    }

    /// How long the rest takes at the pace since the first folder.
    fn remaining(&self, share: f64, elapsed: Duration) -> Option<Duration> {
        let now = share - self.part(self.first.as_ref()?.1);
        (now > 0.0).then(|| elapsed.mul_f64((1.0 - share) / now))
    }
}

/// What stands before a folder's date.
fn root(folder: &str) -> &str {
    let mut rest = folder.trim_end_matches('/');
    while Span::of(rest).is_some() {
        rest = rest.rsplit_once('/').map_or("", |(before, _)| before);
    }
    rest
}

/// How long the rest takes at the pace so far.
fn remaining(found: u64, done: u64, before: u64, elapsed: Duration) -> Option<Duration> {
    let (now, left) = (done.saturating_sub(before), found.saturating_sub(done));
    (now > 0).then(|| elapsed.mul_f64(left as f64 / now as f64))
}

fn log(watched: &Watched, elapsed: Duration) {
    let (seen, tally) = (watched.seen(), watched.tally());
    info!(
        events = tally.invocations,
        rejects = tally.rejects.values().sum::<u64>(),
        bytes = seen.bytes,
        objects = seen.objects,
        slices = seen.done,
        found = seen.found,
        all_found = seen.is_all_found,
        events_per_second = rate(tally.invocations, elapsed),
        at = ?seen.current,
        "reading"
    );
}

/// Writes to standard error without hurting the bar.
#[derive(Clone)]
pub(super) struct Beside {
    bar: Option<Arc<Bar>>,
}

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.bar {
            Some(bar) => bar.write_above(bytes)?,
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'w> MakeWriter<'w> for Beside {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_told_by_what_was_done_now() {
        let check = |found, done, before, expected: Option<u64>| {
            let left = remaining(found, done, before, Duration::from_secs(10));
            assert_eq!(left.map(|left| left.as_secs()), expected);
        };
        check(100, 60, 50, Some(40));
        check(100, 50, 50, None);
        check(100, 100, 0, Some(0));
    }

    const FOLDER: &str = "AWSLogs/1/BedrockModelInvocationLogs/eu-west-1/2026/01/02/03/";

    #[test]
    fn the_line_fits_and_tells_the_date() {
        let check = |current: &str, room: usize, expected: &str| assert_eq!(line("5 events", current, room), expected);
        check(FOLDER, 80, "5 events, at AWSLogs/1/BedrockModelInvocationLogs/eu-west-1/2026/01/02/03/");
        check(FOLDER, 60, "5 events, at eu-west-1/2026/01/02/03/");
        check(FOLDER, 30, "5 events, at 2026/01/02/03/");
        check(FOLDER, 20, "5 events, at 02/03/");
        check(FOLDER, 15, "5 events");
        check(FOLDER, 4, "5 ev");
        check("", 80, "5 events");
        check("2026-01-02T00:00:00Z a\u{1b}b", 80, "5 events, at 2026-01-02T00:00:00Z a?b");
        check("2026-01-02T00:00:00Z a", 33, "5 events, at 2026-01-02T00:00:00Z");
    }

    #[test]
    fn folders_with_dates_tell_how_far_it_is() {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        let new = || Dates { from: time("2026-01-01T00:00:00Z"), to: time("2026-01-05T00:00:00Z"), first: None };
        let share =
            |dates: &mut Dates, current: &str| dates.share(&Seen { current: current.to_owned(), ..Seen::default() });
        let mut dates = new();
        assert_eq!(share(&mut dates, "a/2026/01/01/00/"), Some(0.0));
        assert_eq!(dates.remaining(0.0, Duration::from_secs(10)), None);
        assert_eq!(share(&mut dates, "a/2026/01/02/00/"), Some(0.25));
        assert_eq!(dates.remaining(0.25, Duration::from_secs(10)), Some(Duration::from_secs(30)));
        // The hour behind the end is read too.
        assert_eq!(share(&mut dates, "a/2026/01/05/00/"), Some(1.0));
        // Another Region's, whose number is not known.
        assert_eq!(share(&mut dates, "b/2026/01/02/00/"), None);
        assert_eq!(share(&mut new(), "a/b/"), None);
        assert_eq!(share(&mut new(), ""), None);
        assert_eq!(
            (root(FOLDER), root("2026/01/"), root("a/b/")),
            ("AWSLogs/1/BedrockModelInvocationLogs/eu-west-1", "", "a/b")
        );
    }
}
