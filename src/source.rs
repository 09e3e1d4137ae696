//! A source: where records come from. It knows a transport and nothing of logs.

use std::time::Duration;

use crate::budget::Reservation;
use crate::record::{Position, Record, ShardId};

pub mod cloudwatch;
pub mod file;
pub mod firehose;
pub mod kinesis;
pub mod pieces;
pub mod s3;
pub mod several;
pub mod threaded;

/// A boxed future, for the traits whose implementation is chosen at run time.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Reads one partition (a shard, a list of files) from a position to its end.
pub trait Source: Send {
    /// The next records, or the end of the partition.
    ///
    /// Waits for as long as the partition has nothing; retries what can be retried by itself, at the pace that the
    /// service asks for. Must be safe to cancel: a future that is dropped has lost no record that a later call does
    /// not return.
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>>;
}

/// What a source gives at a time.
#[derive(Debug)]
pub enum Read {
    /// Records, oldest first; may be empty where only the position moved.
    Records {
        /// The records.
        records: Vec<Record>,
        /// Where to go on once all of these, and all before them, are delivered.
        position: Position,
        /// How far the read is behind the newest record, if the source knows.
        lag: Option<Duration>,
        /// The bytes that these records hold of the budget.
        reservation: Reservation,
    },
    /// Everything in the partition was read; nothing will ever follow.
    End {
        /// The shards that go on where this one ended, as far as the source knows them.
        children: Vec<ShardId>,
    },
}

/// Why a source cannot go on, named by what the caller does next. What can be retried never gets here.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The position is not in the partition (trimmed, or of another stream): a person decides where to go on.
    #[error("cannot read {what} from its position: {advice}")]
    Position {
        /// The stream and shard, or the file.
        what: String,
        /// What a person can do about it.
        advice: String,
        /// What the service said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The partition or what it belongs to is gone, or cannot be read at all: the process stops.
    #[error("cannot read {what}: {advice}")]
    Fatal {
        /// The stream and shard, or the file.
        what: String,
        /// What a person can do about it.
        advice: String,
        /// What the service or the system said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}
