//! Progress in one shard: the service's records turned into ours, in their order, each once, and the position behind
//! the last of them.

use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tracing::{debug, warn};

use super::poll::margin_before;
use crate::decode;
use crate::record::{HashKeys, Origin, Part, Position, Record, SequenceNumber, ShardId};

/// The oldest record of a shard that lost unread ones is about as old as the retention period, a day or more, unless the
/// shard was silent for most of it. A younger one than this may as well be the first in days, and is no proof of a loss.
const UNREAD_AGE: SignedDuration = SignedDuration::from_hours(23);

/// How far one shard was read, whichever way it is read.
#[derive(Clone, Debug)]
pub struct Progress {
    stream: Arc<str>,
    shard: ShardId,
    /// What of an aggregate is this shard's.
    hash_keys: Option<HashKeys>,
    /// Where reading goes on after a restart.
    position: Position,
    /// The last record that was dealt with, whole, since this was made: it and all before it are left out.
    last: Option<SequenceNumber>,
    /// The stored position's record, while it was asked for and no record has come yet.
    awaited: Option<SequenceNumber>,
    /// When reading started.
    started: Timestamp,
}

/// Why records cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A sequence number is not one.
    #[error("a sequence number is not a number of up to 129 digits")]
    BadSequenceNumber,
    /// The stored position was trimmed out of the stream, and unread records with it.
    #[error("record {stored} is not in the shard any more; its oldest is {oldest}, {}", arrived(*.arrival))]
    Trimmed {
        /// The record that was read last.
        stored: SequenceNumber,
        /// The oldest record there is.
        oldest: SequenceNumber,
        /// When that one arrived, if the service said so.
        arrival: Option<Timestamp>,
    },
}

/// When the stream took a record, if it says so.
pub(super) fn arrival(record: &aws_sdk_kinesis::types::Record) -> Option<Timestamp> {
    let time = record.approximate_arrival_timestamp?;
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).unwrap_or_default()).ok()
}

/// An arrival in words.
pub(super) fn arrived(arrival: Option<Timestamp>) -> String {
    arrival.map_or_else(|| "of an unknown time".to_owned(), |time| format!("which arrived at {time}"))
}

/// The position behind a record of a shard that was read whole.
///
/// Whether the number counts all user records of an aggregate or only those that the shard takes is said nowhere, and a
/// lease does not tell which program wrote it. So the smaller number is written, that of the records taken, and a number
/// is read as one over all: whoever goes on, the user records that are passed over were delivered, and at worst a few are
/// delivered twice, after a restart at an aggregate that a reshard has divided. An aggregate of which nothing is this
/// shard's ends like a record that is no aggregate: there is nothing in it to go on with.
pub(crate) fn behind(record: &Record) -> Option<Position> {
    let Origin::Kinesis { sequence, .. } = &record.origin else { return None };
    Some(match decode::user_records(&record.data, record.part.hash_keys) {
        None | Some(0) => Position::After(sequence.clone()),
        Some(count) => Position::Within(sequence.clone(), count - 1),
    })
}

impl Progress {
    /// A shard that is read from `position` on, from now.
    pub fn new(stream: Arc<str>, shard: ShardId, position: Position, hash_keys: Option<HashKeys>) -> Self {
        Self { stream, shard, hash_keys, position, last: None, awaited: None, started: Timestamp::now() }
    }

    /// The shard.
    pub fn shard(&self) -> &ShardId {
        &self.shard
    }

    /// Where reading goes on: what is stored.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Goes on elsewhere.
    pub fn set_position(&mut self, position: Position) {
        self.last = match &position {
            Position::After(sequence) => Some(sequence.clone()),
            _ => None,
        };
        self.position = position;
        self.awaited = None;
    }

    /// Where the service is asked to begin. A position that was stored is asked for with its record, which is left out
    /// when it comes: if another one comes first, the stored one was trimmed out of the stream, and [`Self::read`] says
    /// so. Later on, reading goes on after the last record that came. "From now on" is asked for once: if that try fails,
    /// the next one goes back to its time.
    pub fn ask(&mut self) -> Position {
        match (&self.last, &self.position) {
            (Some(last), _) => Position::After(last.clone()),
            (None, Position::After(sequence) | Position::Within(sequence, _)) => {
                self.awaited = Some(sequence.clone());
                Position::Within(sequence.clone(), 0)
            }
            (None, Position::Latest) => {
                self.set_position(Position::AtTimestamp(margin_before(Timestamp::now())));
                Position::Latest
            }
            (None, position) => position.clone(),
        }
    }

    /// Whether `record`, the first to come, is not the one that was stored and asked for.
    pub(super) fn misses(&self, record: &aws_sdk_kinesis::types::Record) -> bool {
        let sequence = SequenceNumber::new(&record.sequence_number);
        self.awaited.is_some() && sequence > self.awaited
    }

    /// Notes a record that is still in the shard: if it is no younger than the stored position, nothing after that one
    /// was trimmed. (A stored position need not be a record's: a subscription goes on from numbers between them.)
    pub(super) fn is_there(&mut self, sequence: &SequenceNumber) {
        self.awaited.take_if(|awaited| sequence <= awaited);
    }

    /// Reads the service's records; leaves out what was read before.
    ///
    /// # Errors
    /// A record without a usable sequence number, or unread records that were trimmed: nothing is read, and the
    /// position stays.
    pub fn read(&mut self, records: Vec<aws_sdk_kinesis::types::Record>) -> Result<Vec<Record>, ReadError> {
        let mut read: Vec<Record> = Vec::with_capacity(records.len());
        let mut last = self.last.clone();
        for record in records {
            let sequence = SequenceNumber::new(&record.sequence_number).ok_or(ReadError::BadSequenceNumber)?;
            let arrival = arrival(&record);
            self.compare_with_stored(&sequence, arrival)?;
            let part = match &last {
                Some(last) => (sequence > *last).then_some(Part { first: 0, hash_keys: self.hash_keys }),
                None => self.part_of(&sequence, record.data.as_ref()),
            };
            let Some(part) = part else {
                debug!(shard = %self.shard, %sequence, "the record was read before; left out");
                if last.is_none() && self.is_stored(&sequence) {
                    last = Some(sequence);
                }
                continue;
            };
            last = Some(sequence.clone());
            let (stream, shard) = (Arc::clone(&self.stream), self.shard.clone());
            let origin = Origin::Kinesis { stream, shard, sequence, arrival };
            read.push(Record { data: Bytes::from(record.data.into_inner()), origin, part });
        }
        if let Some(position) = read.last().and_then(behind) {
            self.position = position;
        }
        self.last = last;
        Ok(read)
    }

    /// What of a record lies behind the position; `None` if nothing does.
    fn part_of(&self, sequence: &SequenceNumber, data: &[u8]) -> Option<Part> {
        let first = match &self.position {
            Position::After(last) if sequence <= last => return None,
            Position::Within(last, _) if sequence < last => return None,
            Position::Within(last, user_record) if sequence == last => {
                let next = user_record.saturating_add(1);
                if decode::user_records(data, None).is_none_or(|count| next >= count) {
                    return None;
                }
                next
            }
            _ => 0,
        };
        Some(Part { first, hash_keys: self.hash_keys })
    }

    fn is_stored(&self, sequence: &SequenceNumber) -> bool {
        matches!(&self.position, Position::After(stored) | Position::Within(stored, _) if stored == sequence)
    }

    /// Compares the first record that comes with the stored one that was asked for.
    ///
    /// If it is a younger one, the stored one was trimmed. Whether others between the two were trimmed unread nobody can
    /// say, for they are gone. If the younger one had been there for long when reading started, the shard was written to
    /// while nobody read it: that is taken for a loss. If it had not, the shard was silent for longer than the retention
    /// period, as the shards of a quiet stream are: its last record is gone, and nothing was missed.
    fn compare_with_stored(&mut self, sequence: &SequenceNumber, arrival: Option<Timestamp>) -> Result<(), ReadError> {
        let Some(stored) = self.awaited.clone().filter(|stored| sequence >= stored) else { return Ok(()) };
        if *sequence > stored {
            let unread_since = self.started.saturating_sub(UNREAD_AGE).unwrap_or(self.started);
            if arrival.is_none_or(|arrival| arrival < unread_since) {
                return Err(ReadError::Trimmed { stored, oldest: sequence.clone(), arrival });
            }
            warn!(shard = %self.shard, %stored, oldest = %sequence, arrival = arrived(arrival),
                "the stored position is not in the shard any more; no unread record seems to be lost");
        }
        self.awaited = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
