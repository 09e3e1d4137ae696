//! A lease: the right of one worker to read one shard and to commit how far it got. Leases are rows of a table that all
//! workers share, in the format of the Kinesis Client Library, so that a team can move from a KCL application to this
//! program and back on the same table, at the same checkpoints.
//!
//! - [`protocol`]: the conditional writes that leases live by, as pure functions. A table applies them, the model
//!   checker in the tests walks through them.
//! - [`table`]: where leases are stored; [`dynamodb`] is the real one.
//! - [`view`]: what a worker has seen of the table, and which leases have expired by its own clock.
//! - [`ready`]: the leases of a stream beside its shards: what to create, what may be read, what is over; pure.
//! - [`balance`]: which leases a worker takes or asks for; pure.
//! - [`tenure`]: a lease while it is held: renewals, commits, the end. [`held`] leads a lane's commits there.
//! - [`worker`]: who this worker is.
//!
//! Source of the format and the conditions: the lease table of amazon-kinesis-client 3.5.1.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::record::{HashKeys, Position, ShardId};

pub mod balance;
pub mod dynamodb;
pub mod held;
pub mod protocol;
pub mod ready;
pub mod table;
pub mod tenure;
pub mod view;
pub mod worker;

/// A row of the lease table: what is known of one shard by all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The row's key.
    pub key: LeaseKey,
    /// The worker that reads the shard, or is about to; `None` if nobody does.
    pub owner: Option<WorkerId>,
    /// The worker that still drains the shard and commits, after it was asked to hand it over to the owner.
    pub draining: Option<WorkerId>,
    /// Grows by one with every renewal, take and checkpoint: what each of them makes its condition.
    pub counter: u64,
    /// Where reading goes on.
    pub position: Position,
    /// Where the range ends that is about to be written, or may be written already; a commit takes it away.
    pub pending: Option<Position>,
    /// How often the lease changed hands since the position last moved.
    pub owner_switches: u64,
    /// The shards that this one goes on from.
    pub parents: BTreeSet<ShardId>,
    /// The hash keys of the shard, if the row has them.
    pub hash_keys: Option<HashKeys>,
}

impl Lease {
    /// A lease that nobody holds yet.
    pub fn new(
        key: LeaseKey,
        position: Position,
        parents: impl IntoIterator<Item = ShardId>,
        hash_keys: Option<HashKeys>,
    ) -> Self {
        Self {
            key,
            owner: None,
            draining: None,
            counter: 0,
            position,
            pending: None,
            owner_switches: 0,
            parents: parents.into_iter().collect(),
            hash_keys,
        }
    }

    /// Whether the shard was read and delivered to its end.
    pub fn is_ended(&self) -> bool {
        self.position == Position::End
    }

    /// Whether anything of the shard was delivered.
    pub fn has_progress(&self) -> bool {
        matches!(self.position, Position::After(_) | Position::Within(..) | Position::End)
    }
}

/// The key of a lease: the shard, and in a table of several streams the stream before it,
/// `<accountId>:<streamName>:<creationEpoch>:<shardId>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseKey {
    /// `<accountId>:<streamName>:<creationEpoch>`, where the table is one of several streams.
    pub stream: Option<StreamKey>,
    /// The shard.
    pub shard: ShardId,
}

impl LeaseKey {
    /// Reads a key as it stands in the table. Shard ids hold no colon.
    pub fn parse(text: &str) -> Self {
        match text.rsplit_once(':') {
            Some((stream, shard)) => Self { stream: Some(StreamKey(stream.into())), shard: ShardId::new(shard) },
            None => Self { stream: None, shard: ShardId::new(text) },
        }
    }
}

impl fmt::Display for LeaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stream {
            Some(stream) => write!(f, "{stream}:{}", self.shard),
            None => self.shard.fmt(f),
        }
    }
}

/// A stream in the keys of leases: `<accountId>:<streamName>:<creationEpoch>`. The epoch (seconds) tells a stream from
/// one of the same name that was deleted before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(Arc<str>);

impl StreamKey {
    /// A stream's key.
    pub fn new(account: &str, name: &str, creation_epoch_seconds: i64) -> Self {
        Self(format!("{account}:{name}:{creation_epoch_seconds}").into())
    }

    /// The key as it stands in the table.
    pub fn as_str(&self) -> &Arc<str> {
        &self.0
    }

    /// The stream's name.
    pub fn name(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A worker: one process that reads. No two that live at the same time have the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Arc<str>);

impl WorkerId {
    /// Takes an id.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id as it stands in the table.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_a_shard_and_perhaps_its_stream() {
        let check = |text: &str, stream: Option<&str>, shard: &str| {
            let key = LeaseKey::parse(text);
            assert_eq!((key.stream.as_ref().map(|stream| &**stream.as_str()), key.shard.as_str()), (stream, shard));
            assert_eq!(key.to_string(), text);
        };
        check("shardId-000000000003", None, "shardId-000000000003");
        check(
            "123456789012:logs:1700000000:shardId-000000000003",
            Some("123456789012:logs:1700000000"),
            "shardId-000000000003",
        );
        assert_eq!(StreamKey::new("123456789012", "logs", 1_700_000_000).name(), "logs");
    }
}
