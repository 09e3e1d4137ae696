//! Polling: one shard read by GetRecords, at the service's pace, from a position to the shard's end.
//!
//! Everything that a call brought is kept in the source before anything else is waited for, so that a future which is
//! dropped half-way has lost nothing.

use std::time::Duration;

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::client::Kinesis;
use super::error::{CallError, Policy};
use super::pace::{Backoff, Limits, Pace};
use super::shards::{self, Whereabouts};
use crate::budget::{Budget, Reservation};
use crate::record::{Origin, Position, Record, SequenceNumber, ShardId};
use crate::source::{BoxFuture, Read, Source, SourceError};

/// An iterator is not used after this: it lives five minutes (source: the Kinesis API reference), and a call may take
/// one of them.
const ITERATOR_LIFE: Duration = Duration::from_secs(240);
/// What a call may hold at most: an answer of 10 MiB (source: as above), as base64 in JSON on the wire (13.4 MiB) and
/// decoded.
const LARGEST_CALL_BYTES: usize = 24 * 1024 * 1024;
/// What a shard takes in a second (source: as above), on the wire and decoded: what a shard can bring that was caught
/// up a second ago.
const CAUGHT_UP_BYTES_PER_SECOND: f64 = 2.4 * 1024.0 * 1024.0;
/// The least that a call reserves: a small answer, and the buffers around it.
const SMALLEST_CALL_BYTES: usize = 256 * 1024;
/// What a record takes beside its data: its place in the list, its origin, its sequence number.
const RECORD_OVERHEAD_BYTES: usize = 256;
/// The service's clock and this host's differ by less than this: a start "from now on" that has to be asked for again
/// goes back so far, and repeats a little rather than leaving something out.
pub const CLOCK_MARGIN: SignedDuration = SignedDuration::from_secs(10);
/// A start time this far ahead is one that a fast clock made: it is waited for. A later one is a mistake.
const LARGEST_CLOCK_DRIFT: SignedDuration = SignedDuration::from_mins(5);
/// Iterators that the service refuses in a row before it is said that the shard cannot be read.
const MAX_REFUSED_ITERATORS: u32 = 5;
/// How often a shard that brings nothing, but is not at its newest record, tells its lag.
const LAG_NEWS_INTERVAL: Duration = Duration::from_secs(10);

/// Reads one shard by polling.
#[derive(Debug)]
pub struct PollSource {
    kinesis: Kinesis,
    shard: ShardId,
    budget: Budget,
    pace: Pace,
    brief: Backoff,
    slow: Backoff,
    /// No call before this: a failure's wait.
    retry_at: Instant,
    /// Where reading starts while no record was read.
    start: Position,
    /// The last record that was read.
    last: Option<SequenceNumber>,
    iterator: Option<Iterator>,
    refused_iterators: u32,
    /// When the shard was last found to have nothing more.
    caught_up: Option<Instant>,
    /// The lag as last told, and when.
    told_lag: Option<(Duration, Instant)>,
    /// Records that were read and not handed on yet.
    held: Option<Held>,
    /// Set when the shard was read to its end: its children.
    ended: Option<Vec<ShardId>>,
}

#[derive(Debug)]
struct Iterator {
    token: String,
    got: Instant,
}

#[derive(Debug)]
struct Held {
    records: Vec<Record>,
    bytes: usize,
    lag: Option<Duration>,
    reservation: Reservation,
}

impl Source for PollSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(self.advance())
    }
}

impl PollSource {
    /// A source of one shard from a position.
    pub fn new(kinesis: Kinesis, shard: ShardId, position: Position, budget: Budget, limits: Limits) -> Self {
        let (start, last) = match position {
            Position::After(sequence) => (Position::TrimHorizon, Some(sequence)),
            start => (start, None),
        };
        let ended = (start == Position::End).then(Vec::new);
        Self {
            kinesis,
            shard,
            budget,
            pace: Pace::new(limits),
            brief: Backoff::brief(),
            slow: Backoff::slow(),
            retry_at: Instant::now(),
            start,
            last,
            iterator: None,
            refused_iterators: 0,
            caught_up: None,
            told_lag: None,
            held: None,
            ended,
        }
    }

    async fn advance(&mut self) -> Result<Read, SourceError> {
        loop {
            if self.held.is_some() {
                return Ok(self.hand_on().await);
            }
            if let Some(children) = &self.ended {
                return Ok(Read::End { children: children.clone() });
            }
            sleep_until(self.pace.next().max(self.retry_at)).await;
            match self.attempt().await {
                Ok((answer, reservation)) => self.take(answer, reservation)?,
                Err(failure) => self.settle(failure).await?,
            }
        }
    }

    /// One try at the next records. Bytes are reserved only for the call itself, never over a wait.
    async fn attempt(&mut self) -> Result<(GetRecordsOutput, Reservation), CallError> {
        if !self.has_fresh_iterator() {
            self.renew().await?;
        }
        let reservation = self.budget.reserve(self.call_bytes()).await;
        // Back-pressure may have lasted longer than the iterator. It is renewed in this turn: giving the turn back
        // could let the next wait outlast the next iterator, and so on for ever.
        if !self.has_fresh_iterator() {
            self.renew().await?;
        }
        self.pace.called();
        let token = self.iterator.as_ref().map_or("", |iterator| iterator.token.as_str());
        let answer = self.kinesis.records(&self.shard, token).await?;
        Ok((answer, reservation))
    }

    fn has_fresh_iterator(&self) -> bool {
        self.iterator.as_ref().is_some_and(|iterator| iterator.got.elapsed() < ITERATOR_LIFE)
    }

    async fn renew(&mut self) -> Result<(), CallError> {
        self.iterator = None;
        let position = self.position();
        if position == Position::Latest {
            // "From now on" is asked for once. If this try fails or is dropped, the next one goes back to its time.
            let now = Timestamp::now();
            self.start = Position::AtTimestamp(now.saturating_sub(CLOCK_MARGIN).unwrap_or(now));
        }
        let got = Instant::now();
        let token = self.kinesis.iterator(&self.shard, &position).await?;
        self.iterator = Some(Iterator { token, got });
        Ok(())
    }

    fn position(&self) -> Position {
        self.last.clone().map_or_else(|| self.start.clone(), Position::After)
    }

    /// What the next call may hold at most: the largest answer there is, or what can have come in the time since the
    /// shard was caught up. The second lets a thousand idle shards share one budget.
    fn call_bytes(&self) -> usize {
        let Some(since) = self.caught_up else { return LARGEST_CALL_BYTES };
        let came = since.elapsed().as_secs_f64() * CAUGHT_UP_BYTES_PER_SECOND;
        (came as usize).clamp(SMALLEST_CALL_BYTES, LARGEST_CALL_BYTES)
    }

    /// Takes an answer over. Awaits nothing, so an answer is taken whole or, with the call dropped, not at all.
    fn take(&mut self, answer: GetRecordsOutput, reservation: Reservation) -> Result<(), SourceError> {
        (self.brief, self.slow, self.refused_iterators) = (Backoff::brief(), Backoff::slow(), 0);
        let lag = answer.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis);
        let came: usize = answer.records.iter().map(|record| record.data.as_ref().len()).sum();
        let behind = !answer.records.is_empty() || lag.is_some_and(|lag| lag > Duration::ZERO);
        self.pace.answered(came, behind);
        self.caught_up = (!behind).then(Instant::now);
        let children = answer.child_shards.unwrap_or_default();
        let records = self.read_records(answer.records)?;
        match answer.next_shard_iterator {
            Some(token) => self.iterator = Some(Iterator { token, got: Instant::now() }),
            None => {
                info!(shard = %self.shard, "shard read to its end");
                self.iterator = None;
                self.ended = Some(children.into_iter().map(|child| ShardId::new(child.shard_id)).collect());
            }
        }
        if !records.is_empty() || self.is_lag_news(lag) {
            let data: usize = records.iter().map(|record| record.data.len()).sum();
            let bytes = data + records.len() * RECORD_OVERHEAD_BYTES;
            self.told_lag = lag.map(|lag| (lag, Instant::now()));
            self.held = Some(Held { records, bytes, lag, reservation });
        }
        Ok(())
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

    /// Reads the service's records; leaves out what was handed on before.
    fn read_records(&mut self, records: Vec<aws_sdk_kinesis::types::Record>) -> Result<Vec<Record>, SourceError> {
        let mut read = Vec::with_capacity(records.len());
        for record in records {
            let Some(sequence) = SequenceNumber::new(&record.sequence_number) else {
                let advice = "a sequence number is not a number of up to 129 digits: check endpoint_url";
                return Err(self.fatal(advice.to_owned(), None));
            };
            if self.last.as_ref().is_some_and(|last| sequence <= *last) {
                debug!(shard = %self.shard, %sequence, "the service repeated a record; left out");
                continue;
            }
            self.last = Some(sequence.clone());
            let arrival = record.approximate_arrival_timestamp.and_then(|time| {
                Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).unwrap_or_default()).ok()
            });
            let origin =
                Origin::Kinesis { stream: self.kinesis.stream().clone(), shard: self.shard.clone(), sequence, arrival };
            read.push(Record { data: Bytes::from(record.data.into_inner()), origin });
        }
        Ok(read)
    }

    async fn hand_on(&mut self) -> Read {
        let position = self.position();
        if let Some(held) = &mut self.held {
            let has_all = held.bytes <= held.reservation.bytes();
            if has_all {
                held.reservation.shrink_to(held.bytes);
            } else if held.reservation.bytes() < self.budget.total_bytes() {
                // More came than was thought possible. What is reserved is given back before the whole is asked for:
                // sources that hold a part each and wait for the rest would wait for each other.
                held.reservation = Reservation::default();
                held.reservation = self.budget.reserve(held.bytes).await;
            }
        }
        match self.held.take() {
            Some(Held { records, lag, reservation, .. }) => Read::Records { records, position, lag, reservation },
            None => Read::Records { records: Vec::new(), position, lag: None, reservation: Reservation::default() },
        }
    }

    /// What is done about a failed call: a wait, a new iterator, or the end of this source.
    async fn settle(&mut self, failure: CallError) -> Result<(), SourceError> {
        match failure.policy {
            Policy::Throttled => {
                self.pace.throttled();
                self.wait_briefly(&failure);
            }
            Policy::Retry | Policy::TokenExpired | Policy::StreamBusy => self.wait_briefly(&failure),
            Policy::IteratorExpired => self.drop_iterator(failure)?,
            Policy::Denied => self.wait_for_a_person(&failure),
            Policy::ResourceGone => match shards::find(&self.kinesis, &self.shard).await {
                Ok(Whereabouts::Listed) => self.wait_briefly(&failure),
                Ok(Whereabouts::Expired) => return Err(self.expired(failure)),
                Ok(Whereabouts::NoStream) => return Err(self.fatal(failure.advice(), Some(failure))),
                Err(unclear) => self.wait_briefly(&unclear),
            },
            Policy::BadPosition if failure.operation == "GetRecords" => self.drop_iterator(failure)?,
            Policy::BadPosition => match self.position() {
                Position::AtTimestamp(time) if is_clock_drift(time) => self.wait_for_a_person(&failure),
                Position::After(_) => return Err(self.refused(failure)),
                _ => return Err(self.fatal(failure.advice(), Some(failure))),
            },
        }
        Ok(())
    }

    fn wait_briefly(&mut self, failure: &CallError) {
        self.retry_at = Instant::now() + self.brief.next();
        let (shard, tries) = (&self.shard, self.brief.tries());
        // A failure now and then is everyday; one that lasts is news, and stays news at a bounded rate.
        if tries >= 4 {
            warn!(%shard, tries, error = %failure, advice = failure.advice(), "the shard is still not readable");
        } else {
            debug!(%shard, tries, error = %failure, "call failed, trying again");
        }
    }

    fn wait_for_a_person(&mut self, failure: &CallError) {
        self.retry_at = Instant::now() + self.slow.next();
        warn!(shard = %self.shard, error = %failure, advice = failure.advice(),
            "the shard waits for a person; its position is kept");
    }

    fn drop_iterator(&mut self, failure: CallError) -> Result<(), SourceError> {
        self.iterator = None;
        self.refused_iterators += 1;
        if self.refused_iterators > 1 {
            self.retry_at = Instant::now() + self.brief.next();
        }
        if self.refused_iterators > MAX_REFUSED_ITERATORS && failure.policy == Policy::BadPosition {
            return Err(
                self.fatal("the service refuses the iterators it gives: check endpoint_url".to_owned(), Some(failure))
            );
        }
        info!(shard = %self.shard, error = %failure, "iterator not usable any more, renewing");
        Ok(())
    }

    fn what(&self) -> String {
        format!("shard {} of {}", self.shard, self.kinesis.resource())
    }

    fn fatal(&self, advice: String, source: Option<CallError>) -> SourceError {
        SourceError::Fatal { what: self.what(), advice, source: source.map(Into::into) }
    }

    /// The position is refused: trimmed out of the stream, or of another stream of the same name.
    fn refused(&self, failure: CallError) -> SourceError {
        let after = self.last.as_ref().map_or("", SequenceNumber::as_str);
        let advice = format!(
            "the stored position, after {after}, is not in the stream (trimmed, or the stream was made anew); \
             on_trimmed = \"oldest\" goes on from the oldest record there is"
        );
        SourceError::Position { what: self.what(), advice, source: Some(failure.into()) }
    }

    /// The shard left the stream before it was read to its end.
    fn expired(&self, failure: CallError) -> SourceError {
        let advice = "the shard left the stream, by the end of the retention period, before it was read to its end; \
                      on_trimmed = \"oldest\" goes on without it";
        SourceError::Position { what: self.what(), advice: advice.to_owned(), source: Some(failure.into()) }
    }
}

fn is_clock_drift(time: Timestamp) -> bool {
    let now = Timestamp::now();
    let ahead = time.duration_since(now);
    ahead <= LARGEST_CLOCK_DRIFT && ahead >= -LARGEST_CLOCK_DRIFT
}
