//! Polling: one shard read by GetRecords, at the service's pace, from a position to the shard's end.
//!
//! The try that is under way belongs to the source and not to the future that waits for it, and what it brings is taken
//! over without another wait: a future that is dropped half-way has lost nothing, and has not broken off a call.

use std::time::Duration;

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use super::attempt::{Attempt, Outcome, ShardIterator, held_bytes, outcome_of};
use super::client::Kinesis;
use super::error::{CallError, Policy};
use super::pace::{Backoff, Limits, Pace};
use super::progress::Progress;
use super::refusal::{Oldest, Place, is_clock_drift};
use super::shards::Whereabouts;
use crate::budget::{Budget, Reservation};
use crate::record::{Position, Record, ShardId};
use crate::source::{BoxFuture, Read, Source, SourceError};

/// What a call may hold at most: an answer of 10 MiB (source: as above), as base64 in JSON on the wire (13.4 MiB) and
/// decoded.
const LARGEST_CALL_BYTES: usize = 24 * 1024 * 1024;
/// What a shard takes in a second (source: as above), on the wire and decoded: what a shard can bring that was caught
/// up a second ago.
const CAUGHT_UP_BYTES_PER_SECOND: f64 = 2.4 * 1024.0 * 1024.0;
/// The least that a call reserves: a small answer, and the buffers around it.
const SMALLEST_CALL_BYTES: usize = 256 * 1024;
/// The service's clock and this host's differ by less than this: a start "from now on" that has to be asked for again
/// goes back so far, and repeats a little rather than leaving something out.
const CLOCK_MARGIN: SignedDuration = SignedDuration::from_secs(10);
/// Iterators that the service refuses in a row before it is said that the shard cannot be read.
const MAX_REFUSED_ITERATORS: u32 = 5;
/// How often a shard that brings nothing, but is not at its newest record, tells its lag.
const LAG_NEWS_INTERVAL: Duration = Duration::from_secs(10);

/// A time so long before `time` that no clock has passed it.
pub fn margin_before(time: Timestamp) -> Timestamp {
    time.saturating_sub(CLOCK_MARGIN).unwrap_or(time)
}

/// Reads one shard by polling.
#[derive(Debug)]
pub struct PollSource {
    kinesis: Kinesis,
    progress: Progress,
    budget: Budget,
    pace: Pace,
    brief: Backoff,
    slow: Backoff,
    /// No call before this: a failure's wait.
    retry_at: Instant,
    iterator: Option<ShardIterator>,
    refused_iterators: u32,
    /// When the shard was last found to have nothing more.
    caught_up: Option<Instant>,
    /// The lag as last told, and when.
    told_lag: Option<(Duration, Instant)>,
    /// The try that is under way.
    attempt: Option<AbortOnDropHandle<Outcome>>,
    /// Set when the shard was read to its end: its children.
    ended: Option<Vec<ShardId>>,
}

impl Source for PollSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(self.advance())
    }
}

impl PollSource {
    /// A source of one shard, on from where its progress stands.
    pub fn new(kinesis: Kinesis, progress: Progress, budget: Budget, limits: Limits) -> Self {
        let ended = (*progress.position() == Position::End).then(Vec::new);
        Self {
            kinesis,
            progress,
            budget,
            pace: Pace::new(limits),
            brief: Backoff::brief(),
            slow: Backoff::slow(),
            retry_at: Instant::now(),
            iterator: None,
            refused_iterators: 0,
            caught_up: None,
            told_lag: None,
            attempt: None,
            ended,
        }
    }

    async fn advance(&mut self) -> Result<Read, SourceError> {
        loop {
            if let Some(children) = &self.ended {
                return Ok(Read::End { children: children.clone() });
            }
            if self.attempt.is_none() {
                sleep_until(self.pace.next().max(self.retry_at)).await;
                self.attempt = Some(AbortOnDropHandle::new(tokio::spawn(self.next_attempt().run())));
            }
            let Some(outcome) = outcome_of(&mut self.attempt).await else { continue };
            if let Some(read) = self.take(outcome)? {
                return Ok(read);
            }
        }
    }

    fn next_attempt(&mut self) -> Attempt {
        let iterator = self.iterator.take().filter(ShardIterator::is_fresh);
        let (position, fallback) = (self.progress.ask(), self.progress.ask());
        Attempt {
            kinesis: self.kinesis.clone(),
            progress: self.progress.clone(),
            budget: self.budget.clone(),
            call_bytes: self.call_bytes(),
            iterator,
            position,
            fallback,
        }
    }

    fn position(&self) -> Position {
        self.progress.position().clone()
    }

    /// What the next call may hold at most: the largest answer there is, or what can have come in the time since the
    /// shard was caught up. The second lets a thousand idle shards share one budget.
    fn call_bytes(&self) -> usize {
        let Some(since) = self.caught_up else { return LARGEST_CALL_BYTES };
        let came = since.elapsed().as_secs_f64() * CAUGHT_UP_BYTES_PER_SECOND;
        (came as usize).clamp(SMALLEST_CALL_BYTES, LARGEST_CALL_BYTES)
    }

    fn take(&mut self, outcome: Outcome) -> Result<Option<Read>, SourceError> {
        self.iterator = outcome.iterator;
        if let Some(at) = outcome.called {
            self.pace.called(at);
        }
        match outcome.result {
            Ok((answer, reservation)) => {
                if let Some(oldest) = &outcome.oldest {
                    self.progress.is_there(&oldest.sequence);
                }
                self.take_answer(answer, reservation)
            }
            Err(failure) => self.settle(failure, outcome.whereabouts, outcome.oldest).map(|()| None),
        }
    }

    fn take_answer(
        &mut self,
        answer: GetRecordsOutput,
        mut reservation: Reservation,
    ) -> Result<Option<Read>, SourceError> {
        (self.brief, self.slow, self.refused_iterators) = (Backoff::brief(), Backoff::slow(), 0);
        let lag = answer.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis);
        let came: usize = answer.records.iter().map(|record| record.data.as_ref().len()).sum();
        // Without a word about the lag, records that came are the sign of more.
        let behind = lag.map_or(!answer.records.is_empty(), |lag| lag > Duration::ZERO);
        self.pace.answered(came, behind);
        self.caught_up = (!behind).then(Instant::now);
        let children = answer.child_shards.unwrap_or_default();
        let records = self.read_records(answer.records)?;
        match answer.next_shard_iterator {
            Some(token) => self.iterator = Some(ShardIterator { token, got: Instant::now() }),
            None => {
                info!(shard = %self.progress.shard(), "shard read to its end");
                self.iterator = None;
                self.ended = Some(children.into_iter().map(|child| ShardId::new(child.shard_id)).collect());
            }
        }
        if records.is_empty() && !self.is_lag_news(lag) {
            return Ok(None);
        }
        self.told_lag = lag.map(|lag| (lag, Instant::now()));
        reservation.shrink_to(held_bytes(records.iter().map(|record| record.data.as_ref())));
        Ok(Some(Read::Records { records, position: self.position(), lag, reservation }))
    }

    /// Whether a lag is worth telling though no record came: the shard is now caught up, or a while has passed.
    fn is_lag_news(&self, lag: Option<Duration>) -> bool {
        match (lag, self.told_lag) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(lag), Some((told, at))) => {
                lag != told && (lag == Duration::ZERO || at.elapsed() >= LAG_NEWS_INTERVAL)
            }
        }
    }

    fn read_records(&mut self, records: Vec<aws_sdk_kinesis::types::Record>) -> Result<Vec<Record>, SourceError> {
        self.progress.read(records).map_err(|error| self.place().unreadable(error))
    }

    /// What is done about a failed call: a wait, a new iterator, or the end of this source.
    fn settle(
        &mut self,
        failure: CallError,
        whereabouts: Option<Result<Whereabouts, CallError>>,
        oldest: Option<Oldest>,
    ) -> Result<(), SourceError> {
        match failure.policy {
            Policy::Throttled => {
                self.pace.throttled();
                self.wait_briefly(&failure);
            }
            Policy::Retry | Policy::TokenExpired | Policy::StreamBusy => self.wait_briefly(&failure),
            Policy::IteratorExpired => self.drop_iterator(failure)?,
            Policy::Denied => self.wait_for_a_person(&failure),
            Policy::ResourceGone => match whereabouts {
                Some(Ok(Whereabouts::Expired)) => return Err(self.place().expired(failure)),
                Some(Ok(Whereabouts::NoStream)) => return Err(self.place().fatal(failure.advice(), Some(failure))),
                Some(Err(unclear)) => self.wait_briefly(&unclear),
                Some(Ok(Whereabouts::Listed)) | None => self.wait_briefly(&failure),
            },
            Policy::BadPosition if failure.operation == "GetRecords" => self.drop_iterator(failure)?,
            Policy::BadPosition => match self.position() {
                Position::AtTimestamp(time) if is_clock_drift(time) => self.wait_for_a_person(&failure),
                Position::After(_) | Position::Within(..) => {
                    return Err(self.place().refused(&self.position(), failure, oldest));
                }
                _ => return Err(self.place().fatal(failure.advice(), Some(failure))),
            },
        }
        Ok(())
    }

    fn wait_briefly(&mut self, failure: &CallError) {
        self.retry_at = Instant::now() + self.brief.wait();
        let (shard, tries) = (self.progress.shard(), self.brief.tries());
        // A failure now and then is everyday; one that lasts is news, and stays news at a bounded rate.
        if tries >= 4 {
            warn!(%shard, tries, error = %failure, advice = failure.advice(), "the shard is still not readable");
        } else {
            debug!(%shard, tries, error = %failure, "call failed, trying again");
        }
    }

    fn wait_for_a_person(&mut self, failure: &CallError) {
        self.retry_at = Instant::now() + self.slow.wait();
        warn!(shard = %self.progress.shard(), error = %failure, advice = failure.advice(),
            "the shard waits for a person; its position is kept");
    }

    fn drop_iterator(&mut self, failure: CallError) -> Result<(), SourceError> {
        self.iterator = None;
        self.refused_iterators += 1;
        if self.refused_iterators > 1 {
            self.retry_at = Instant::now() + self.brief.wait();
        }
        if self.refused_iterators > MAX_REFUSED_ITERATORS && failure.policy == Policy::BadPosition {
            return Err(self
                .place()
                .fatal("the service refuses the iterators it gives: check endpoint_url".to_owned(), Some(failure)));
        }
        info!(shard = %self.progress.shard(), error = %failure, "iterator not usable any more, renewing");
        Ok(())
    }

    fn place(&self) -> Place<'_> {
        Place { kinesis: &self.kinesis, shard: self.progress.shard() }
    }
}
