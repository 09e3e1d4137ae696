//! Polling: log groups read by FilterLogEvents, in rounds, for as long as the process runs.
//!
//! An event may be ingested some time after the time that it bears, and FilterLogEvents finds events by that time alone.
//! So each stretch of time is read twice: soon, up to `lag` before now, and once more when it is `lookback` older, when
//! what came late is there as well. What the first reading gave is left out of the second one. Only the second moves the
//! position: after a crash, all that may still lack a late event is read again.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::client::{Event, Logs};
use super::envelope;
use super::groups::{Begun, Reader, Start};
use super::pages::{Pages, held_bytes};
use super::window::Window;
use crate::budget::{Budget, Reservation};
use crate::delivery::LaneError;
use crate::record::Position;
use crate::source::{BoxFuture, Read, Source, SourceError};

/// The second readings of a stretch of `lookback`: enough that a late event is not much later, few enough that they cost
/// few calls where nothing is written.
const LOOKS_BACK: i32 = 15;
/// Events that are known to be given, over all log groups: some 30 MB. Beyond it the oldest are forgotten, and are given
/// twice, with the same ids.
const MAX_GIVEN: usize = 1_000_000;

/// What is read, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The log groups, each by its name or its ARN.
    pub log_groups: Vec<Arc<str>>,
    /// Where a log group begins that was never read.
    pub start: Start,
    /// The pause between the beginnings of two rounds.
    pub interval: Duration,
    /// How old events are when they are read first.
    pub lag: Duration,
    /// How much older they are when they are read again; zero reads them once.
    pub lookback: Duration,
    /// What events have to match, in CloudWatch Logs' syntax; none takes all.
    pub pattern: Option<Arc<str>>,
}

/// Reads log groups until the reader's `stop`.
///
/// # Errors
/// The first error of a lane, once the others have ended.
pub async fn run(settings: &Settings, reader: Reader) -> Result<(), LaneError> {
    let begun = reader.begin(&settings.log_groups, settings.start).await?;
    let source = |Begun { partition, log_group, position }| {
        let polling = PollSource::new(reader.logs.clone(), &log_group, position, settings, reader.budget.clone());
        (partition, Box::new(polling) as Box<dyn Source>)
    };
    let sources: Vec<_> = begun.into_iter().map(source).collect();
    reader.run(sources).await
}

/// Reads one log group.
pub struct PollSource {
    logs: Logs,
    log_group: Arc<str>,
    pattern: Option<Arc<str>>,
    interval: Duration,
    lag: SignedDuration,
    lookback: SignedDuration,
    budget: Budget,
    /// The second reading is done up to here; so is everything, except for what comes later still.
    settled: Timestamp,
    /// The first reading is done up to here.
    fresh: Timestamp,
    given: Given,
    /// Events that the first reading did not give, since this was last said.
    late: u64,
    step: Step,
    next_round: Instant,
}

/// What is being read.
enum Step {
    /// Nothing until the next round.
    Rest,
    /// The second reading of a stretch; what it reaches behind the first reading, it is the only one of.
    Settle(Box<Pages>),
    /// The first reading of a stretch.
    Fresh(Box<Pages>),
}

impl PollSource {
    /// A source of one log group, from `position` on.
    pub fn new(logs: Logs, log_group: &Arc<str>, position: Timestamp, settings: &Settings, budget: Budget) -> Self {
        let signed = |duration: Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Self {
            logs,
            log_group: Arc::clone(log_group),
            pattern: settings.pattern.clone(),
            interval: settings.interval,
            lag: signed(settings.lag),
            lookback: signed(settings.lookback),
            budget,
            settled: position,
            fresh: position,
            given: Given::new(MAX_GIVEN / settings.log_groups.len().max(1)),
            late: 0,
            step: Step::Rest,
            next_round: Instant::now(),
        }
    }

    async fn advance(&mut self) -> Result<Read, SourceError> {
        loop {
            match &mut self.step {
                Step::Rest => {
                    sleep_until(self.next_round).await;
                    self.next_round = Instant::now() + self.interval;
                    self.begin_round();
                }
                Step::Settle(pages) => match pages.next().await? {
                    Some((events, reservation)) => return Ok(self.settle(events, reservation)),
                    None => {
                        let up_to = pages.up_to();
                        self.settle_to(up_to);
                        self.begin_fresh();
                        self.end_settling();
                        return Ok(self.read(&[], Reservation::default()));
                    }
                },
                Step::Fresh(pages) => match pages.next().await? {
                    Some((events, reservation)) => return Ok(self.take_fresh(events, reservation)),
                    None => {
                        // As with the second reading.
                        let old = back(self.logs.now(), self.lag);
                        self.fresh = self.fresh.max(pages.up_to().min(old));
                        self.step = Step::Rest;
                    }
                },
            }
        }
    }

    /// Whatever the clock says, no stretch is left out.
    fn begin_round(&mut self) {
        let now = self.logs.now();
        let settle_to = back(now, self.lag.saturating_add(self.lookback));
        let due = self.settled.saturating_add(self.lookback / LOOKS_BACK).unwrap_or(Timestamp::MAX);
        if settle_to > self.settled && settle_to >= due {
            self.step = Step::Settle(Box::new(self.pages(self.settled, settle_to)));
        } else {
            self.begin_fresh();
        }
    }

    fn begin_fresh(&mut self) {
        self.fresh = self.fresh.max(self.settled);
        let fresh_to = back(self.logs.now(), self.lag);
        self.step = if self.fresh < fresh_to && self.lookback > SignedDuration::ZERO {
            Step::Fresh(Box::new(self.pages(self.fresh, fresh_to)))
        } else {
            Step::Rest
        };
    }

    fn pages(&self, from: Timestamp, to: Timestamp) -> Pages {
        let window = Window { log_group: Arc::clone(&self.log_group), from, to };
        Pages::new(self.logs.clone(), &window, self.pattern.clone(), self.budget.clone())
    }

    /// Takes events of the second reading.
    fn settle(&mut self, mut events: Vec<Event>, reservation: Reservation) -> Read {
        let up_to = if let Step::Settle(pages) = &self.step { pages.up_to() } else { self.settled };
        self.settle_to(up_to);
        events.retain(|event| !self.given.contains(event));
        let fresh = self.fresh.as_millisecond();
        let is_late = |event: &&Event| {
            event.timestamp_millis.is_some_and(|millis| millis < fresh && !self.given.may_have_forgotten(millis))
        };
        self.late += events.iter().filter(is_late).count() as u64;
        if self.settled < up_to {
            self.given.add(&events);
        }
        self.read(&events, reservation)
    }

    /// The second reading came so far. What is not old enough, now that the service said what time it is, is not settled:
    /// the window may have been made by a clock that was fast.
    fn settle_to(&mut self, up_to: Timestamp) {
        let old = back(self.logs.now(), self.lag.saturating_add(self.lookback));
        self.settled = self.settled.max(up_to.min(old));
    }

    fn end_settling(&mut self) {
        self.given.forget_before(self.settled);
        if self.late > 0 {
            warn!(log_group = %self.log_group, events = self.late, lag = format!("{:#}", self.lag),
                "events were ingested later than `lag` after their time, and came with the second reading");
            self.late = 0;
        }
    }

    /// Takes events of the first reading.
    fn take_fresh(&mut self, mut events: Vec<Event>, reservation: Reservation) -> Read {
        events.retain(|event| !self.given.contains(event));
        self.given.add(&events);
        self.read(&events, reservation)
    }

    fn read(&self, events: &[Event], mut reservation: Reservation) -> Read {
        let records = match &self.step {
            Step::Settle(pages) | Step::Fresh(pages) => envelope::records(pages.group(), events),
            Step::Rest => Vec::new(),
        };
        reservation.shrink_to(held_bytes(&records));
        let newest = events.iter().filter_map(|event| event.timestamp_millis).max();
        let lag = newest.and_then(|millis| {
            let newest = Timestamp::from_millisecond(millis).ok()?;
            Duration::try_from(self.logs.now().duration_since(newest)).ok()
        });
        Read::Records { records, position: Position::UpTo(self.settled), lag, reservation }
    }
}

impl Source for PollSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(self.advance())
    }
}

fn back(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_sub(by).unwrap_or(Timestamp::MIN)
}

/// The events that were given and may be met again.
struct Given {
    hasher: RandomState,
    /// Their times and the hashes of their log streams and ids.
    events: BTreeSet<(i64, u64)>,
    max: usize,
    /// Some before this were forgotten.
    forgotten_millis: i64,
}

impl Given {
    fn new(max: usize) -> Self {
        Self { hasher: RandomState::new(), events: BTreeSet::new(), max: max.max(1), forgotten_millis: i64::MIN }
    }

    /// An event without an id or a time is never known: it is given as often as it is met.
    fn key(&self, event: &Event) -> Option<(i64, u64)> {
        let id = event.id.as_deref().filter(|id| !id.is_empty())?;
        Some((event.timestamp_millis?, self.hasher.hash_one((event.log_stream.as_deref(), id))))
    }

    fn contains(&self, event: &Event) -> bool {
        self.key(event).is_some_and(|key| self.events.contains(&key))
    }

    fn add(&mut self, events: &[Event]) {
        for event in events {
            if let Some(key) = self.key(event) {
                self.events.insert(key);
            }
        }
        while self.events.len() > self.max
            && let Some((millis, _)) = self.events.pop_first()
        {
            self.forgotten_millis = self.forgotten_millis.max(millis);
        }
    }

    /// Whether an event of this time may have been given though it is not known.
    fn may_have_forgotten(&self, millis: i64) -> bool {
        millis <= self.forgotten_millis
    }

    fn forget_before(&mut self, time: Timestamp) {
        self.events = self.events.split_off(&(time.as_millisecond(), 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_known_within_bounds() {
        let event = |millis: i64, id: &str| Event {
            id: Some(id.to_owned()),
            timestamp_millis: Some(millis),
            ..Event::default()
        };
        let mut given = Given::new(3);
        let events = [event(3, "c"), event(1, "a"), event(2, "b")];
        given.add(&events);
        assert!(events.iter().all(|event| given.contains(event)));
        assert!(![event(1, "b"), event(4, "c")].iter().any(|event| given.contains(event)));
        assert!(!given.may_have_forgotten(1));
        // The oldest goes, and is not taken for late.
        given.add(&[event(4, "d")]);
        assert!(!given.contains(&events[1]) && given.contains(&events[2]));
        assert!(given.may_have_forgotten(1) && !given.may_have_forgotten(2));
        given.forget_before(Timestamp::from_millisecond(4).unwrap());
        assert!(!given.contains(&events[0]) && given.contains(&event(4, "d")));
        // What has no id or no time is never known.
        let nameless =
            [Event { id: None, ..event(5, "") }, event(5, ""), Event { timestamp_millis: None, ..event(5, "e") }];
        given.add(&nameless);
        assert!(!nameless.iter().any(|event| given.contains(event)));
    }
}
