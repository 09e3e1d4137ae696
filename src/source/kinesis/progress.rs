//! Progress in one shard: the service's records turned into ours, in their order, each once, and the position behind
//! the last of them.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tracing::debug;

use crate::decode;
use crate::record::{HashKeys, Origin, Part, Position, Record, SequenceNumber, ShardId};

/// How far one shard was read, whichever way it is read.
#[derive(Clone, Debug)]
pub struct Progress {
    stream: Arc<str>,
    shard: ShardId,
    /// What of an aggregate is this shard's.
    hash_keys: Option<HashKeys>,
    /// Where reading goes on.
    position: Position,
}

/// A sequence number that is not a number of up to 129 digits.
#[derive(Clone, Copy, Debug)]
pub struct BadSequenceNumber;

impl Progress {
    /// A shard that is read from `position` on.
    pub fn new(stream: Arc<str>, shard: ShardId, position: Position, hash_keys: Option<HashKeys>) -> Self {
        Self { stream, shard, hash_keys, position }
    }

    /// The shard.
    pub fn shard(&self) -> &ShardId {
        &self.shard
    }

    /// Where reading goes on.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Goes on elsewhere.
    pub fn set_position(&mut self, position: Position) {
        self.position = position;
    }

    /// Reads the service's records; leaves out what was read before.
    ///
    /// # Errors
    /// A record without a usable sequence number. What was read before it stays read.
    pub fn read(&mut self, records: Vec<aws_sdk_kinesis::types::Record>) -> Result<Vec<Record>, BadSequenceNumber> {
        let mut read: Vec<Record> = Vec::with_capacity(records.len());
        let mut last: Option<SequenceNumber> = None;
        for record in records {
            let sequence = SequenceNumber::new(&record.sequence_number).ok_or(BadSequenceNumber)?;
            let part = match &last {
                Some(last) => (sequence > *last).then_some(Part { first: 0, hash_keys: self.hash_keys }),
                None => self.part_of(&sequence, record.data.as_ref()),
            };
            let Some(part) = part else {
                debug!(shard = %self.shard, %sequence, "the record was read before; left out");
                continue;
            };
            let arrival = record.approximate_arrival_timestamp.and_then(|time| {
                Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).unwrap_or_default()).ok()
            });
            last = Some(sequence.clone());
            let (stream, shard) = (Arc::clone(&self.stream), self.shard.clone());
            let origin = Origin::Kinesis { stream, shard, sequence, arrival };
            read.push(Record { data: Bytes::from(record.data.into_inner()), origin, part });
        }
        if let (Some(sequence), Some(record)) = (last, read.last()) {
            self.position = match decode::user_records(&record.data) {
                Some(count) => Position::Within(sequence, count.saturating_sub(1)),
                None => Position::After(sequence),
            };
        }
        Ok(read)
    }

    /// What of a record lies behind the position; `None` if nothing does.
    fn part_of(&self, sequence: &SequenceNumber, data: &[u8]) -> Option<Part> {
        let first = match &self.position {
            Position::After(last) if sequence <= last => return None,
            Position::Within(last, _) if sequence < last => return None,
            Position::Within(last, user_record) if sequence == last => {
                let next = user_record.saturating_add(1);
                if decode::user_records(data).is_none_or(|count| next >= count) {
                    return None;
                }
                next
            }
            _ => 0,
        };
        Some(Part { first, hash_keys: self.hash_keys })
    }
}
