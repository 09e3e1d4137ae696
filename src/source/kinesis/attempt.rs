//! One try at a shard's next records: an iterator if one is needed, bytes of the budget, the call.
//!
//! It owns all that it needs and runs as a task of its own, so that a reader which turns to something else for a moment
//! (a receipt, a clock) neither breaks off a call that counts against the shard's limits nor loses its place in the
//! queue for bytes.

use std::time::Duration;

use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::client::Kinesis;
use super::error::{CallError, Policy};
use super::progress::Progress;
use super::refusal::Oldest;
use super::shards::{self, Whereabouts};
use crate::budget::{Budget, Reservation};
use crate::record::Position;

/// An iterator is not used after this: it lives five minutes (source: the Kinesis API reference), and a call may take
/// one of them.
const ITERATOR_LIFE: Duration = Duration::from_secs(240);
/// What a record takes beside its data: its place in the list, its origin, its sequence number.
const RECORD_OVERHEAD_BYTES: usize = 256;

/// A shard iterator, and when it was got.
#[derive(Debug)]
pub(super) struct ShardIterator {
    pub(super) token: String,
    pub(super) got: Instant,
}

impl ShardIterator {
    pub(super) fn is_fresh(&self) -> bool {
        self.got.elapsed() < ITERATOR_LIFE
    }
}

/// What a try needs.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) kinesis: Kinesis,
    /// The shard and what is known of it when the try begins.
    pub(super) progress: Progress,
    pub(super) budget: Budget,
    /// What the call may hold at most, as far as one can know.
    pub(super) call_bytes: usize,
    pub(super) iterator: Option<ShardIterator>,
    /// Where an iterator is asked for, the first time.
    pub(super) position: Position,
    /// Where one is asked for if the first outlived its use before anything was read.
    pub(super) fallback: Position,
}

/// What a try brought.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The answer and the bytes that it holds.
    pub(super) result: Result<(GetRecordsOutput, Reservation), CallError>,
    /// The iterator that was used, if it may be used again.
    pub(super) iterator: Option<ShardIterator>,
    /// When a call for records had ended, if it came to one: the service counted it before then, whatever became of it.
    pub(super) called: Option<Instant>,
    /// Where the shard is, if it was not found.
    pub(super) whereabouts: Option<Result<Whereabouts, CallError>>,
    /// The shard's oldest record, if the stored position was not found.
    pub(super) oldest: Option<Oldest>,
}

impl Attempt {
    pub(super) async fn run(mut self) -> Outcome {
        let mut called = None;
        let mut result = self.read(&mut called).await;
        let whereabouts = match &result {
            Err(failure) if failure.policy == Policy::ResourceGone => {
                Some(shards::find(&self.kinesis, self.progress.shard()).await)
            }
            _ => None,
        };
        let mut oldest = None;
        if self.misses_position(&result) {
            match Oldest::look_up(&self.kinesis, self.progress.shard()).await {
                Ok(found) => oldest = found,
                // What was read is judged by it: it is asked for again. A refusal is one without it, too.
                Err(unclear) if result.is_ok() => result = Err(unclear),
                Err(_) => {}
            }
            called = Some(Instant::now());
        }
        Outcome { result, iterator: self.iterator, called, whereabouts, oldest }
    }

    async fn read(&mut self, called: &mut Option<Instant>) -> Result<(GetRecordsOutput, Reservation), CallError> {
        let position = self.position.clone();
        self.renew_from(&position).await?;
        let reservation = self.budget.reserve(self.call_bytes.min(self.most_bytes())).await;
        // Back-pressure may have lasted longer than the iterator. It is renewed in this turn: giving the turn back
        // could let the next wait outlast the next iterator, and so on for ever.
        let position = self.fallback.clone();
        self.renew_from(&position).await?;
        let token = self.iterator.as_ref().map_or("", |iterator| iterator.token.as_str());
        let answer = self.kinesis.records(self.progress.shard(), token).await;
        *called = Some(Instant::now());
        let answer = answer?;
        let bytes = held_bytes(answer.records.iter().map(|record| record.data.as_ref()));
        Ok((answer, self.fit(reservation, bytes).await))
    }

    /// Whether the stored position is refused, or was asked for and another record came.
    fn misses_position(&self, result: &Result<(GetRecordsOutput, Reservation), CallError>) -> bool {
        match result {
            Ok((answer, _)) => answer.records.first().is_some_and(|first| self.progress.misses(first)),
            Err(failure) => failure.policy == Policy::BadPosition && failure.operation == "GetShardIterator",
        }
    }

    async fn renew_from(&mut self, position: &Position) -> Result<(), CallError> {
        if self.iterator.as_ref().is_some_and(ShardIterator::is_fresh) {
            return Ok(());
        }
        self.iterator = None;
        let got = Instant::now();
        let token = self.kinesis.iterator(self.progress.shard(), position).await?;
        self.iterator = Some(ShardIterator { token, got });
        Ok(())
    }

    /// What one call reserves at most: not quite the whole budget. In a budget that is smaller than the largest answer a
    /// call that waited for all of it would wait until nothing at all is being delivered, and everybody behind it too.
    fn most_bytes(&self) -> usize {
        let total = self.budget.total_bytes();
        total - total / 8
    }

    /// Makes a reservation as large as the answer.
    async fn fit(&self, mut reservation: Reservation, bytes: usize) -> Reservation {
        if bytes <= reservation.bytes() || reservation.bytes() >= self.most_bytes() {
            reservation.shrink_to(bytes);
            return reservation;
        }
        // More came than was thought possible. What is reserved is given back before the whole is asked for: sources
        // that hold a part each and wait for the rest would wait for each other.
        drop(reservation);
        self.budget.reserve(bytes.min(self.most_bytes())).await
    }
}

/// Waits for the try that is under way and takes its outcome out, whole: what follows awaits nothing before the next turn.
/// `None` if there is none. A future that is dropped meanwhile leaves the try where it was.
pub(super) async fn outcome_of<T>(attempt: &mut Option<AbortOnDropHandle<T>>) -> Option<T> {
    let outcome = attempt.as_mut()?.await;
    *attempt = None;
    match outcome {
        Ok(outcome) => Some(outcome),
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        // Only a runtime that shuts down breaks off a task that is still wanted; this one ends with it.
        Err(_) => None,
    }
}

/// What records hold in memory.
pub(super) fn held_bytes<'a>(records: impl Iterator<Item = &'a [u8]>) -> usize {
    records.map(|data| data.len() + RECORD_OVERHEAD_BYTES).sum()
}
