//! Enhanced fan-out: one shard whose records the service pushes, over a subscription that is renewed before its end,
//! from a position to the shard's end.
//!
//! The try at the next event belongs to the source and not to the future that waits for it, as in [`super::poll`]: a
//! future that is dropped half-way has lost nothing. A position moves only with what was handed on.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use self::attempt::{Attempt, Came, Found, Outcome, Stop, Subscription};
use self::consumer::Consumer;
use super::attempt::{held_bytes, outcome_of};
use super::client::Kinesis;
use super::error::{CallError, Policy};
use super::pace::{Backoff, Limits, fraction};
use super::poll::PollSource;
use super::progress::Progress;
use super::refusal::{Oldest, Place, is_clock_drift};
use crate::budget::Budget;
use crate::record::{Position, SequenceNumber, ShardId};
use crate::source::{BoxFuture, Read, Source, SourceError};

pub mod consumer;

mod attempt;

/// What a shard that is behind reserves before it reads on: what a subscription brings in a second (source: the Kinesis
/// API reference). A caught-up one reserves nothing while it waits, since a thousand of them share one budget.
const AHEAD_BYTES: usize = 2 * 1024 * 1024;
/// The most that is reserved for one event: a record of 10 MiB, or the largest answer that polling may get, with room.
const LARGEST_EVENT_BYTES: usize = 24 * 1024 * 1024;
/// How often a shard that brings nothing tells its position and its lag: an idle one gets five events a second.
const NEWS_INTERVAL: Duration = Duration::from_secs(10);
/// An open shard that a subscription does not find so often in a row is polled instead. Once or twice happens just
/// after a consumer was registered, when not all of the service knows of it.
const MAX_NOT_FOUND: u32 = 3;

/// What is done once the service does not allow subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfRefused {
    /// Say so, and wait until a person allows them.
    Wait,
    /// Say so, and poll.
    Poll,
}

/// The times of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A subscription is renewed after this time at the latest. The default, 4 min 45 s, is below the five minutes
    /// after which the service ends it (source: the Kinesis API reference).
    pub life: Duration,
    /// The least time between the end of one SubscribeToShard call of a shard and the next one. The default, 5 s, is
    /// the service's: it refuses those that come earlier (source: as above).
    pub spacing: Duration,
    /// A subscription on which nothing comes for so long is dead. The service sends an event, if an empty one, every
    /// few hundred milliseconds, also while nothing is written; the default, 30 s, is a hundred of these, so that
    /// neither a slow network nor a busy host is taken for a dead one, and a tenth of a subscription's life.
    pub silence: Duration,
    /// What is done once subscriptions are denied.
    pub if_refused: IfRefused,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            life: Duration::from_secs(285),
            spacing: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            if_refused: IfRefused::Wait,
        }
    }
}

/// Reads one shard by subscribing to it.
#[derive(Debug)]
pub struct FanOutSource {
    kinesis: Kinesis,
    consumer: Consumer,
    progress: Progress,
    budget: Budget,
    limits: Limits,
    settings: Settings,
    brief: Backoff,
    slow: Backoff,
    /// Nothing before this: a failure's wait.
    retry_at: Instant,
    /// No subscription before this.
    subscribe_at: Instant,
    subscription: Option<Subscription>,
    /// What the next event is thought to hold: reserved before it is read.
    ahead: usize,
    /// The last record that came over the present subscription, read or left out.
    came: Option<SequenceNumber>,
    /// Subscriptions in a row that did not find the shard, though the stream has it.
    not_found: u32,
    /// The lag and the position as last told, and when.
    told: Option<(Duration, Position, Instant)>,
    /// The try that is under way.
    attempt: Option<AbortOnDropHandle<Outcome>>,
    /// Set once the shard is polled instead.
    polling: Option<Box<PollSource>>,
    /// Set when the shard was read to its end: its children.
    ended: Option<Vec<ShardId>>,
}

impl Source for FanOutSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(self.advance())
    }
}

impl FanOutSource {
    /// A source of one shard, on from where its progress stands. `limits` are for a shard that has to be polled.
    pub fn new(
        kinesis: Kinesis,
        consumer: Consumer,
        progress: Progress,
        budget: Budget,
        limits: Limits,
        settings: Settings,
    ) -> Self {
        let (now, position) = (Instant::now(), progress.position());
        let ended = (*position == Position::End).then(Vec::new);
        // Whatever does not start with what comes from now on may have a lot to read.
        let ahead = if *position == Position::Latest { 0 } else { AHEAD_BYTES };
        Self {
            kinesis,
            consumer,
            progress,
            budget,
            limits,
            settings,
            brief: Backoff::brief(),
            slow: Backoff::slow(),
            retry_at: now,
            subscribe_at: now,
            subscription: None,
            ahead,
            came: None,
            not_found: 0,
            told: None,
            attempt: None,
            polling: None,
            ended,
        }
    }

    async fn advance(&mut self) -> Result<Read, SourceError> {
        loop {
            if let Some(children) = &self.ended {
                return Ok(Read::End { children: children.clone() });
            }
            if let Some(polling) = &mut self.polling {
                return polling.next().await;
            }
            if self.attempt.is_none() {
                if self.subscription.is_none() {
                    sleep_until(self.subscribe_at.max(self.retry_at)).await;
                }
                self.attempt = Some(AbortOnDropHandle::new(tokio::spawn(self.next_attempt().run())));
            }
            let Some(outcome) = outcome_of(&mut self.attempt).await else { continue };
            if let Some(read) = self.take(outcome)? {
                return Ok(read);
            }
        }
    }

    fn next_attempt(&mut self) -> Attempt {
        let position = self.progress.ask();
        Attempt {
            kinesis: self.kinesis.clone(),
            consumer: self.consumer.clone(),
            progress: self.progress.clone(),
            budget: self.budget.clone(),
            settings: self.settings,
            subscription: self.subscription.take(),
            position,
            ahead: self.ahead,
        }
    }

    fn take(&mut self, outcome: Outcome) -> Result<Option<Read>, SourceError> {
        if let Some(at) = outcome.called {
            self.subscribe_at = at + self.spacing();
            self.came = None;
        }
        self.subscription = outcome.subscription;
        match outcome.result {
            Ok(came) => {
                if let Some(oldest) = &outcome.oldest {
                    self.progress.is_there(&oldest.sequence);
                }
                return self.take_event(came);
            }
            Err(Stop::Failed(failure)) => self.settle(failure, outcome.found, outcome.oldest)?,
            Err(Stop::NoRoom(bytes)) => {
                debug!(shard = %self.progress.shard(), bytes, "no room for an event, asking for it again");
                self.ahead = bytes.max(self.ahead.saturating_mul(2)).clamp(AHEAD_BYTES, LARGEST_EVENT_BYTES);
            }
            Err(Stop::Due) => debug!(shard = %self.progress.shard(), "renewing the subscription"),
        }
        Ok(None)
    }

    /// The wait between subscriptions: a little longer than asked for, so that a fleet does not subscribe in step.
    fn spacing(&self) -> Duration {
        self.settings.spacing.mul_f64(1.0 + 0.2 * fraction())
    }

    fn take_event(&mut self, came: Came) -> Result<Option<Read>, SourceError> {
        let Came { event, mut reservation, is_end } = came;
        (self.brief, self.slow, self.not_found) = (Backoff::brief(), Backoff::slow(), 0);
        let lag = Duration::from_millis(u64::try_from(event.millis_behind_latest).unwrap_or_default());
        self.ahead = if lag > Duration::ZERO { reservation.bytes().clamp(AHEAD_BYTES, LARGEST_EVENT_BYTES) } else { 0 };
        let last = event.records.iter().filter_map(|record| SequenceNumber::new(&record.sequence_number)).max();
        self.came = self.came.take().max(last);
        let children = event.child_shards.unwrap_or_default();
        let records = self.progress.read(event.records).map_err(|error| self.place().unreadable(error))?;
        if let Some(number) = SequenceNumber::new(&event.continuation_sequence_number)
            && is_progress(self.progress.position(), self.came.as_ref(), &number)
        {
            self.progress.set_position(Position::After(number));
        }
        if is_end {
            info!(shard = %self.progress.shard(), "shard read to its end");
            self.subscription = None;
            self.ended = Some(children.into_iter().map(|child| ShardId::new(child.shard_id)).collect());
        }
        if records.is_empty() && !self.is_news(lag) {
            return Ok(None);
        }
        let position = self.progress.position().clone();
        self.told = Some((lag, position.clone(), Instant::now()));
        reservation.shrink_to(held_bytes(records.iter().map(|record| record.data.as_ref())));
        Ok(Some(Read::Records { records, position, lag: Some(lag), reservation }))
    }

    /// Whether an event without records is worth telling: the shard is now caught up, or has moved on for a while.
    fn is_news(&self, lag: Duration) -> bool {
        let Some((told, position, at)) = &self.told else { return true };
        let is_caught_up = lag == Duration::ZERO && *told != lag;
        let is_moved = lag != *told || position != self.progress.position();
        is_caught_up || (is_moved && at.elapsed() >= NEWS_INTERVAL)
    }

    /// What is done about a failed subscription: a wait, polling, or the end of this source.
    fn settle(&mut self, failure: CallError, found: Option<Found>, oldest: Option<Oldest>) -> Result<(), SourceError> {
        if self.settings.if_refused == IfRefused::Poll && is_refusal(&failure) {
            self.poll_instead(&failure.to_string());
            return Ok(());
        }
        match failure.policy {
            Policy::Throttled | Policy::Retry | Policy::TokenExpired | Policy::IteratorExpired => {
                self.wait_briefly(&failure);
            }
            Policy::StreamBusy => {
                self.wait_briefly(&failure);
                // Somebody subscribed just now, maybe this process before it was started again.
                self.retry_at = self.retry_at.max(Instant::now() + self.spacing());
            }
            Policy::Denied => self.wait_for_a_person(&failure, &failure.advice()),
            Policy::ResourceGone => return self.settle_gone(failure, found),
            Policy::BadPosition => match self.progress.position() {
                Position::AtTimestamp(time) if is_clock_drift(*time) => {
                    self.wait_for_a_person(&failure, &failure.advice());
                }
                Position::After(_) | Position::Within(..) => {
                    return Err(self.place().refused(self.progress.position(), failure, oldest));
                }
                _ => return Err(self.place().fatal(failure.advice(), Some(failure))),
            },
        }
        Ok(())
    }

    fn settle_gone(&mut self, failure: CallError, found: Option<Found>) -> Result<(), SourceError> {
        match found {
            Some(Found::Expired) => return Err(self.place().expired(failure)),
            Some(Found::NoStream) => return Err(self.place().fatal(failure.advice(), Some(failure))),
            // Not found, and not to be written to again: what it still holds is read by polling, to a certain end.
            Some(Found::Listed { closed: true }) => self.poll_instead("a subscription finds the closed shard no more"),
            Some(Found::Listed { closed: false }) => {
                self.not_found += 1;
                if self.not_found < MAX_NOT_FOUND {
                    self.wait_briefly(&failure);
                } else {
                    self.poll_instead(&format!("a subscription does not find the shard: {failure}"));
                }
            }
            Some(Found::NoConsumer(error)) if self.settings.if_refused == IfRefused::Poll => {
                self.poll_instead(&error.to_string());
            }
            Some(Found::NoConsumer(error)) => self.wait_for_a_person(&failure, &error.to_string()),
            Some(Found::Unclear(unclear)) => self.wait_briefly(&unclear),
            Some(Found::NewConsumer) | None => self.wait_briefly(&failure),
        }
        Ok(())
    }

    /// Reads the rest of the shard by polling.
    fn poll_instead(&mut self, reason: &str) {
        let shard = self.progress.shard();
        // What befalls one shard befalls them all: told aloud once.
        if self.consumer.is_first_refusal() {
            warn!(%shard, reason, "reading by polling instead of a subscription");
        } else {
            info!(%shard, reason, "reading by polling instead of a subscription");
        }
        self.subscription = None;
        let (kinesis, budget) = (self.kinesis.clone(), self.budget.clone());
        self.polling = Some(Box::new(PollSource::new(kinesis, self.progress.clone(), budget, self.limits)));
    }

    fn wait_briefly(&mut self, failure: &CallError) {
        self.retry_at = Instant::now() + self.brief.wait();
        let (shard, tries) = (self.progress.shard(), self.brief.tries());
        // A failure now and then is everyday; one that lasts is news, and stays news at a bounded rate.
        if tries >= 4 {
            warn!(%shard, tries, error = %failure, advice = failure.advice(), "still no subscription to the shard");
        } else {
            debug!(%shard, tries, error = %failure, "subscription lost, asking for another");
        }
    }

    fn wait_for_a_person(&mut self, failure: &CallError, advice: &str) {
        self.retry_at = Instant::now() + self.slow.wait();
        warn!(shard = %self.progress.shard(), error = %failure, advice,
            "the shard waits for a person; its position is kept");
    }

    fn place(&self) -> Place<'_> {
        Place { kinesis: &self.kinesis, shard: self.progress.shard() }
    }
}

/// Whether a continuation number may take the place of a position: everything up to it was handed on, and it is ahead.
///
/// `came` is the last record of the present subscription. A position within an aggregate is subscribed to AT its
/// record, whose rest is still to come: before that record came, a continuation number only says where the
/// subscription stands, and going on AFTER it would throw the rest away.
fn is_progress(position: &Position, came: Option<&SequenceNumber>, number: &SequenceNumber) -> bool {
    match position {
        Position::TrimHorizon | Position::Latest | Position::AtTimestamp(_) => true,
        Position::After(last) => number > last,
        Position::Within(last, _) => number > last && came.is_some_and(|came| came >= last),
        Position::Offset(_) | Position::Key(_) | Position::UpTo(_) | Position::End => false,
    }
}

/// Whether subscriptions are not allowed, or not offered; polling may be.
fn is_refusal(failure: &CallError) -> bool {
    matches!(&*failure.code, "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "UnauthorizedException")
        || consumer::is_unsupported(failure)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_continuation_number_never_passes_over_what_was_not_handed_on() {
        let number = |number: u64| SequenceNumber::new(&number.to_string()).unwrap();
        let check = |position: &Position, came: Option<u64>, next: u64, expected: bool| {
            let found = is_progress(position, came.map(number).as_ref(), &number(next));
            assert_eq!(found, expected, "{position} {came:?} {next}");
        };
        let (after, within) = (Position::After(number(100)), Position::Within(number(100), 3));
        check(&Position::TrimHorizon, None, 1, true);
        check(&Position::Latest, None, 1, true);
        check(&Position::AtTimestamp(Timestamp::UNIX_EPOCH), None, 1, true);
        check(&Position::End, None, 1, false);
        check(&after, None, 99, false);
        check(&after, None, 100, false);
        check(&after, None, 101, true);
        check(&within, None, 100, false);
        check(&within, None, 101, false);
        check(&within, Some(99), 101, false);
        check(&within, Some(100), 100, false);
        check(&within, Some(100), 101, true);
        check(&within, Some(101), 101, true);
    }

    #[test]
    fn the_defaults_keep_the_services_rules() {
        let Settings { life, spacing, silence, if_refused } = Settings::default();
        assert!(life < Duration::from_secs(300) && life >= Duration::from_secs(240), "{life:?}");
        assert!(spacing >= Duration::from_secs(5), "{spacing:?}");
        assert!(silence >= Duration::from_secs(10) && silence < life, "{silence:?}");
        assert_eq!(if_refused, IfRefused::Wait);
    }
}
