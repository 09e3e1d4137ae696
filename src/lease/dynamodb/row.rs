//! A row: a lease as the attributes of an item, read and written.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use tracing::{debug, warn};

use crate::lease::{Lease, LeaseKey, WorkerId};
use crate::record::{HashKeys, Position, SequenceNumber, ShardId};
use crate::source::kinesis::shards::Start;

/// The attributes of an item.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Rows that are told about once. Past this many nothing more is told: the table is not one to read logs about, and
/// the memory stays bounded.
const MAX_TOLD: usize = 1000;

/// The names of the attributes. Source: amazon-kinesis-client 3.5.1, but for the last.
pub(super) mod attribute {
    pub(in crate::lease::dynamodb) const KEY: &str = "leaseKey";
    pub(super) const OWNER: &str = "leaseOwner";
    pub(super) const COUNTER: &str = "leaseCounter";
    pub(super) const CHECKPOINT: &str = "checkpoint";
    pub(super) const USER_RECORD: &str = "checkpointSubSequenceNumber";
    pub(super) const SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
    pub(super) const DRAINING: &str = "checkpointOwner";
    pub(super) const PARENTS: &str = "parentShardId";
    pub(super) const FIRST_HASH_KEY: &str = "startingHashKey";
    pub(super) const LAST_HASH_KEY: &str = "endingHashKey";
    pub(super) const ENTITY: &str = "entityType";
    pub(super) const STREAM: &str = "streamName";
    pub(super) const SHARD: &str = "shardId";
    pub(in crate::lease::dynamodb) const PENDING: &str = "pendingCheckpoint";
    pub(in crate::lease::dynamodb) const PENDING_USER_RECORD: &str = "pendingCheckpointSubSequenceNumber";
    pub(in crate::lease::dynamodb) const PENDING_STATE: &str = "pendingCheckpointState";
    /// Ours: the time of a start, in milliseconds since 1970, for which the KCL has no attribute.
    pub(super) const START: &str = "startTimestampMillis";
}

/// What tells a range that this program announced from what a KCL application was about to commit, which means nothing
/// here.
pub(super) const PENDING_STATE: &[u8] = b"bedrock-tap range";

const TRIM_HORIZON: &str = "TRIM_HORIZON";
const LATEST: &str = "LATEST";
const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
const SHARD_END: &str = "SHARD_END";

/// The value of the row's key.
pub(super) fn text(key: &LeaseKey) -> AttributeValue {
    AttributeValue::S(key.to_string())
}

/// A position in the attributes of a row.
pub(super) struct Checkpoint {
    pub(super) text: String,
    pub(super) user_record: u64,
    /// The time of a start, in milliseconds since 1970.
    pub(super) start: Option<i64>,
}

impl Checkpoint {
    /// A shard's position; `None` for one that is in no shard. A time is written as what a KCL application of the same start
    /// writes, with the time beside it.
    pub(super) fn of(position: &Position, start: Start) -> Option<Self> {
        let (text, user_record, at) = match position {
            Position::TrimHorizon => (TRIM_HORIZON, 0, None),
            Position::Latest => (LATEST, 0, None),
            Position::AtTimestamp(time) => {
                let text = if start == Start::Latest { LATEST } else { AT_TIMESTAMP };
                (text, 0, Some(time.as_millisecond()))
            }
            Position::After(sequence) => (sequence.as_str(), 0, None),
            Position::Within(sequence, user_record) => (sequence.as_str(), *user_record, None),
            Position::End => (SHARD_END, 0, None),
            Position::Offset(_) | Position::Key(_) | Position::UpTo(_) => return None,
        };
        Some(Self { text: text.to_owned(), user_record, start: at })
    }
}

/// The item of a new lease; `None` if its position is none of a shard.
pub(super) fn new(lease: &Lease, start: Start) -> Option<Item> {
    let checkpoint = Checkpoint::of(&lease.position, start)?;
    let string = |text: &str| AttributeValue::S(text.to_owned());
    let number = |number: u64| AttributeValue::N(number.to_string());
    let Lease { key, owner, draining, counter, position: _, pending, owner_switches, parents, hash_keys } = lease;
    let pending = pending.as_ref().and_then(|to| Checkpoint::of(to, start));
    let attributes = [
        (attribute::KEY, Some(text(key))),
        (attribute::OWNER, owner.as_ref().map(|owner| string(owner.as_str()))),
        (attribute::DRAINING, draining.as_ref().map(|draining| string(draining.as_str()))),
        (attribute::COUNTER, Some(number(*counter))),
        (attribute::CHECKPOINT, Some(string(&checkpoint.text))),
        (attribute::USER_RECORD, Some(number(checkpoint.user_record))),
        (attribute::PENDING, pending.as_ref().map(|pending| string(&pending.text))),
        (attribute::PENDING_USER_RECORD, pending.as_ref().map(|pending| number(pending.user_record))),
        (attribute::PENDING_STATE, pending.as_ref().map(|_| AttributeValue::B(PENDING_STATE.into()))),
        (attribute::START, checkpoint.start.map(|millis| AttributeValue::N(millis.to_string()))),
        (attribute::SWITCHES, Some(number(*owner_switches))),
        (attribute::PARENTS, {
            let parents: Vec<_> = parents.iter().map(ToString::to_string).collect();
            // DynamoDB has no empty sets.
            (!parents.is_empty()).then_some(AttributeValue::Ss(parents))
        }),
        (attribute::FIRST_HASH_KEY, hash_keys.map(|keys| AttributeValue::S(keys.first.to_string()))),
        (attribute::LAST_HASH_KEY, hash_keys.map(|keys| AttributeValue::S(keys.last.to_string()))),
        (attribute::STREAM, key.stream.as_ref().map(|stream| string(stream.as_str()))),
        (attribute::SHARD, key.stream.as_ref().map(|_| string(key.shard.as_str()))),
    ];
    Some(attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// Reads rows, and tells once about each that is left out.
#[derive(Debug)]
pub(super) struct Rows {
    table: String,
    start: Start,
    told: Mutex<BTreeSet<String>>,
}

impl Rows {
    /// Reads the rows of a table, whose application starts there.
    pub(super) fn new(table: &str, start: Start) -> Self {
        Self { table: table.to_owned(), start, told: Mutex::default() }
    }

    /// The lease of a row. Rows of other entities share the table, and are none. A lease that is not readable is left
    /// out: nobody takes it, commits to it or creates it anew, so that nothing is lost by a wrong guess, and the others
    /// go on.
    pub(super) fn lease(&self, item: &Item) -> Option<Lease> {
        let (table, key) = (&self.table, string(item, attribute::KEY));
        let is_lease = match item.get(attribute::ENTITY) {
            None => true,
            Some(AttributeValue::S(entity)) => entity == "LEASE",
            Some(_) => false,
        };
        let (Some(key), Some(AttributeValue::N(counter)), Some(checkpoint), true) =
            (key, item.get(attribute::COUNTER), string(item, attribute::CHECKPOINT), is_lease)
        else {
            let key = key.unwrap_or_default();
            if self.is_news(key) {
                debug!(%table, %key, "skipped a row that is no lease");
            }
            return None;
        };
        match self.read(item, key, counter, checkpoint) {
            Ok(lease) => Some(lease),
            Err(what) => {
                if self.is_news(key) {
                    warn!(%table, %key, attribute = what, "left out a lease that is not readable: nobody reads its shard until the attribute is repaired or the row is deleted");
                }
                None
            }
        }
    }

    /// The lease, or the attribute that is not readable.
    fn read(&self, item: &Item, key: &str, counter: &str, checkpoint: &str) -> Result<Lease, &'static str> {
        let worker = |name| match item.get(name) {
            None => Ok(None),
            Some(AttributeValue::S(id)) => Ok(Some(WorkerId::new(id.as_str()))),
            Some(_) => Err(name),
        };
        let parents = match item.get(attribute::PARENTS) {
            None => BTreeSet::new(),
            Some(AttributeValue::Ss(parents)) => parents.iter().map(|id| ShardId::new(id.as_str())).collect(),
            Some(_) => return Err(attribute::PARENTS),
        };
        let hash_keys = match (item.get(attribute::FIRST_HASH_KEY), item.get(attribute::LAST_HASH_KEY)) {
            (Some(AttributeValue::S(first)), Some(AttributeValue::S(last))) => {
                Some(HashKeys::parse(first, last).ok_or(attribute::FIRST_HASH_KEY)?)
            }
            (None, _) | (_, None) => None,
            _ => return Err(attribute::FIRST_HASH_KEY),
        };
        Ok(Lease {
            key: LeaseKey::parse(key),
            owner: worker(attribute::OWNER)?,
            draining: worker(attribute::DRAINING)?,
            counter: count(counter).ok_or(attribute::COUNTER)?,
            position: self.position(item, key, checkpoint)?,
            pending: pending(item)?,
            owner_switches: counted(item, attribute::SWITCHES)?,
            parents,
            hash_keys,
        })
    }

    fn position(&self, item: &Item, key: &str, checkpoint: &str) -> Result<Position, &'static str> {
        let stored = || match item.get(attribute::START) {
            None => Ok(None),
            Some(AttributeValue::N(millis)) => {
                let time = millis.parse().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
                time.map(Some).ok_or(attribute::START)
            }
            Some(_) => Err(attribute::START),
        };
        match checkpoint {
            TRIM_HORIZON => Ok(Position::TrimHorizon),
            SHARD_END => Ok(Position::End),
            LATEST => Ok(stored()?.map_or(Position::Latest, Position::AtTimestamp)),
            AT_TIMESTAMP => Ok(match (stored()?, self.start) {
                (Some(time), _) | (None, Start::AtTimestamp(time)) => Position::AtTimestamp(time),
                (None, _) => {
                    if self.is_news(key) {
                        let table = &self.table;
                        warn!(%table, %key, "the lease starts at a time that is not stored: configure the start as that time, or all that the shard holds is read");
                    }
                    Position::TrimHorizon
                }
            }),
            digits => {
                let sequence = SequenceNumber::new(digits).ok_or(attribute::CHECKPOINT)?;
                Ok(Position::Within(sequence, counted(item, attribute::USER_RECORD)?))
            }
        }
    }

    fn is_news(&self, key: &str) -> bool {
        // The set is whole even if a thread panicked beside it.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_TOLD && told.insert(key.to_owned())
    }
}

/// The end of a range that this program announced.
fn pending(item: &Item) -> Result<Option<Position>, &'static str> {
    let is_ours =
        matches!(item.get(attribute::PENDING_STATE), Some(AttributeValue::B(state)) if state.as_ref() == PENDING_STATE);
    if !is_ours {
        return Ok(None);
    }
    let digits = string(item, attribute::PENDING).ok_or(attribute::PENDING)?;
    let sequence = SequenceNumber::new(digits).ok_or(attribute::PENDING)?;
    Ok(Some(Position::Within(sequence, counted(item, attribute::PENDING_USER_RECORD)?)))
}

fn string<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str).filter(|text| !text.is_empty())
}

/// A count that the KCL can hold as well: a Java long that is not negative.
fn count(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|count| *count <= i64::MAX.unsigned_abs())
}

/// A count that is 0 where it is absent, as the KCL reads it.
fn counted(item: &Item, name: &'static str) -> Result<u64, &'static str> {
    match item.get(name) {
        None => Ok(0),
        Some(AttributeValue::N(digits)) => count(digits).ok_or(name),
        Some(_) => Err(name),
    }
}
