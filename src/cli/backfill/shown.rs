//! How far a backfill is, on standard error: a bar on a terminal, else a line of the log every so often.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::fmt::MakeWriter;

use super::duration;
use super::report::{number, parts, size};
use crate::backfill::Watched;

/// How often a bar changes: people see no more.
const BAR_INTERVAL: Duration = Duration::from_millis(250);

/// How often the log says it.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The progress of this process. The bar has no colours, so that `NO_COLOR` asks for nothing.
pub(super) struct Shown {
    /// Only on a terminal.
    bar: Option<ProgressBar>,
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
        let bar = (io::stderr().is_terminal() && !is_dumb).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:20} {wide_msg}\n{prefix}");
            // A second line that is empty would not be counted as one, and leave the first behind at the next change.
            bar.with_prefix("0 events").with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
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

    /// Begins to show.
    pub(super) fn show(&self, watched: Arc<Watched>) -> Showing {
        let end = CancellationToken::new();
        let (ended, bar, begun) = (end.clone(), self.bar.clone(), Instant::now());
        let task = tokio::spawn(async move {
            let every = if bar.is_some() { BAR_INTERVAL } else { LOG_INTERVAL };
            while ended.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
                match &bar {
                    Some(bar) => draw(bar, &watched, begun.elapsed()),
                    None => log(&watched, begun.elapsed()),
                }
            }
            bar.iter().for_each(ProgressBar::finish_and_clear);
        });
        Showing { end, task }
    }
}

fn rate(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

fn draw(bar: &ProgressBar, watched: &Watched, elapsed: Duration) {
    let (seen, tally) = (watched.seen(), watched.tally());
    bar.set_length(seen.found.max(1));
    bar.set_position(seen.done);
    let left = remaining(seen.found, seen.done, seen.before, elapsed).filter(|_| seen.is_all_found);
    let left = left.map(|left| format!(", {} left", duration(left))).unwrap_or_default();
    bar.set_message(format!("{}{left}", parts(&seen)));
    let events = tally.invocations;
    let rejects: u64 = tally.rejects.values().sum();
    let (per_second, bytes) = (number(rate(events, elapsed)), size(rate(seen.bytes, elapsed)));
    let counts = format!("{} events, {per_second}/s, {bytes}/s, {rejects} rejects", number(events));
    // A second line that is wrapped would push the first one away.
    let at = if seen.current.is_empty() { String::new() } else { format!(", at {}", short(&seen.current)) };
    let line = format!("{counts}{at}").chars().take(79).collect::<String>();
    bar.set_prefix(line);
    bar.tick();
}

/// The end of a name: a folder's date, or a slice's time and group, without what could steer a terminal.
fn short(current: &str) -> String {
    let safe: Vec<char> = current.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let start = if current.ends_with('/') { safe.len().saturating_sub(24) } else { 0 };
    safe[start..].iter().take(24).collect()
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
    bar: Option<ProgressBar>,
}

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write_all(bytes).map(|()| bytes.len());
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
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
        assert_eq!(
            short("AWSLogs/1/BedrockModelInvocationLogs/eu-west-1/2026/01/02/03/"),
            "eu-west-1/2026/01/02/03/"[..24].to_owned()
        );
        assert_eq!(short("2026-01-02T00:00:00Z a\u{1b}b"), "2026-01-02T00:00:00Z a?b");
    }
}
