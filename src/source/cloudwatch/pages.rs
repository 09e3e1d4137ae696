//! Pages: the events of a window, asked for page by page until there are no more. What passes is tried again, what a
//! person has to repair is waited for, and a token that is refused begins again where everything before was given.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::client::{Event, Group, Logs, Page};
use super::error::{CallError, Policy};
use super::window::Window;
use crate::budget::{Budget, Reservation};
use crate::record::Record;
use crate::source::SourceError;
use crate::source::kinesis::pace::Backoff;

/// What a page may hold: 1 MB of messages (source: the CloudWatch Logs API reference), escaped on the wire, decoded, and
/// as envelopes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How often a window begins again without having got any further before it is said that it cannot be read.
const MAX_RESTARTS: u32 = 5;
/// A token is not used any more when it is this old: half of its life (source: as above). What comes of one that expired
/// is not said; an empty answer would look like the end.
const MAX_TOKEN_AGE: Duration = Duration::from_secs(12 * 60 * 60);

/// Reads a window.
#[derive(Debug)]
pub(super) struct Pages {
    logs: Logs,
    group: Group,
    pattern: Option<Arc<str>>,
    /// Where the calls begin: a token stands for these ends of its window.
    from: Timestamp,
    to: Timestamp,
    /// Everything before this was given, or is before the window.
    reached: Timestamp,
    budget: Budget,
    /// What the next page is asked for with, and when it came.
    token: Option<(String, Instant)>,
    cycle: Cycle,
    /// The newest event that was given since the window began (again), in milliseconds.
    newest_millis: i64,
    /// Whether all events came in the order of their times.
    sorted: bool,
    restarts: u32,
    ended: bool,
    brief: Backoff,
    slow: Backoff,
}

impl Pages {
    pub(super) fn new(logs: Logs, window: &Window, pattern: Option<Arc<str>>, budget: Budget) -> Self {
        Self {
            logs,
            group: Group::of(&window.log_group),
            pattern,
            from: window.from,
            to: window.to,
            reached: window.from,
            budget,
            token: None,
            cycle: Cycle::default(),
            newest_millis: i64::MIN,
            sorted: true,
            restarts: 0,
            ended: window.from >= window.to,
            brief: Backoff::brief(),
            slow: Backoff::slow(),
        }
    }

    /// All events of times before this one were given.
    pub(super) fn up_to(&self) -> Timestamp {
        if self.ended { self.to.max(self.from) } else { self.reached }
    }

    /// The log group.
    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// The events of the next page that has some, with the bytes they may hold; none at the end.
    ///
    /// # Errors
    /// What no further try can repair.
    pub(super) async fn next(&mut self) -> Result<Option<(Vec<Event>, Reservation)>, SourceError> {
        while !self.ended {
            let reservation = self.budget.reserve(PAGE_BYTES).await;
            // To reserve may have taken any time.
            if self.token.as_ref().is_some_and(|(_, came)| came.elapsed() > MAX_TOKEN_AGE) {
                info!(log_group = %self.group.given, from = %self.reached, "the token is old, the window begins again");
                self.begin();
            }
            let (token, pattern) = (self.token.as_ref().map(|(token, _)| token.as_str()), self.pattern.as_deref());
            match self.logs.filter_page(&self.group, self.from, self.to, token, pattern).await {
                Ok(page) => {
                    let events = self.take(page)?;
                    if !events.is_empty() {
                        return Ok(Some((events, reservation)));
                    }
                }
                Err(failure) => {
                    drop(reservation);
                    let wait = self.settle(failure)?;
                    sleep(wait).await;
                }
            }
        }
        Ok(None)
    }

    fn take(&mut self, page: Page) -> Result<Vec<Event>, SourceError> {
        (self.brief, self.slow) = (Backoff::brief(), Backoff::slow());
        for millis in page.events.iter().filter_map(|event| event.timestamp_millis) {
            if millis < self.newest_millis && self.sorted {
                self.sorted = false;
                info!(log_group = %self.group.given, "events came out of order: the position waits for the window's end");
            }
            self.newest_millis = self.newest_millis.max(millis);
        }
        self.advance();
        match page.next {
            None => self.ended = true,
            Some(token) if self.cycle.repeats(&token) => self.restart(self.logs.token_repeats(&self.group))?,
            Some(token) => self.token = Some((token, Instant::now())),
        }
        Ok(page.events)
    }

    /// Moves to the time of the newest event: more events of that very millisecond may follow.
    fn advance(&mut self) {
        let Ok(newest) = Timestamp::from_millisecond(self.newest_millis) else { return };
        if self.sorted && newest > self.reached {
            self.reached = newest.min(self.to);
            self.restarts = 0;
        }
    }

    /// Begins again where everything before was given; what was given behind it comes again.
    fn restart(&mut self, failure: CallError) -> Result<(), SourceError> {
        self.restarts += 1;
        if self.restarts > MAX_RESTARTS {
            return Err(
                self.fatal("the service gives tokens that lead nowhere: check endpoint_url".to_owned(), failure)
            );
        }
        info!(log_group = %self.group.given, error = %failure, from = %self.reached, "the window begins again");
        self.begin();
        Ok(())
    }

    fn begin(&mut self) {
        self.from = self.reached;
        (self.token, self.cycle) = (None, Cycle::default());
        (self.newest_millis, self.sorted) = (i64::MIN, true);
    }

    /// What is done about a failed call: a wait, a new beginning, or the end.
    fn settle(&mut self, failure: CallError) -> Result<Duration, SourceError> {
        match failure.policy {
            Policy::Throttled | Policy::Retry => {
                let (wait, tries, log_group) = (self.brief.wait(), self.brief.tries(), &self.group.given);
                // A failure now and then is everyday; one that lasts is news, and stays news at a bounded rate.
                if tries >= 4 && self.logs.is_news(&self.group) {
                    warn!(%log_group, tries, error = %failure, advice = failure.advice(), "the log group is still not readable");
                } else {
                    debug!(%log_group, tries, error = %failure, "call failed, trying again");
                }
                Ok(wait)
            }
            Policy::Denied | Policy::NotFound => {
                if self.logs.is_news(&self.group) {
                    warn!(log_group = %self.group.given, error = %failure, advice = failure.advice(),
                        "the log group waits for a person; its position is kept");
                }
                Ok(self.slow.wait())
            }
            Policy::Invalid if self.token.is_some() => {
                self.restart(failure)?;
                Ok(self.brief.wait())
            }
            Policy::Invalid => Err(self.fatal(failure.advice(), failure)),
        }
    }

    fn fatal(&self, advice: String, failure: CallError) -> SourceError {
        SourceError::Fatal { what: format!("log group {}", self.group.given), advice, source: Some(failure.into()) }
    }
}

/// Finds tokens that go round in a circle of any length, by keeping one of them: the one at the last power of two.
#[derive(Debug, Default)]
struct Cycle {
    kept: Option<String>,
    since: u64,
    keep_for: u64,
}

impl Cycle {
    /// Notes a token and says whether it is the one that was kept.
    fn repeats(&mut self, token: &str) -> bool {
        if self.kept.as_deref() == Some(token) {
            return true;
        }
        self.since += 1;
        if self.since >= self.keep_for {
            self.kept = Some(token.to_owned());
            (self.since, self.keep_for) = (0, (self.keep_for * 2).max(1));
        }
        false
    }
}

/// The bytes that records hold.
pub(super) fn held_bytes(records: &[Record]) -> usize {
    records.iter().map(|record| record.data.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_tokens_is_found_whatever_its_length() {
        for (lead, length) in [(0, 1), (0, 2), (3, 1), (5, 7), (100, 33)] {
            let mut cycle = Cycle::default();
            let token = |at: usize| if at < lead { at } else { lead + (at - lead) % length };
            let found = (0..1000).find(|at| cycle.repeats(&token(*at).to_string()));
            assert!(found.is_some_and(|at| at >= lead + length), "{lead} {length}: {found:?}");
            assert!(found.is_some_and(|at| at <= 4 * (lead + length)), "{lead} {length}: {found:?}");
        }
        let mut cycle = Cycle::default();
        assert!(!(0..10_000).any(|at| cycle.repeats(&at.to_string())));
    }
}
