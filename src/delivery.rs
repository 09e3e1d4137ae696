//! Delivery: receipts from the sinks, the longest delivered prefix of a partition, and the token that only it can make.

use crate::checkpoint::CheckpointError;
use crate::record::{Partition, Position, ShardId};
use crate::sink::SinkError;
use crate::source::{BoxFuture, Source, SourceError};

/// Proof that everything in a partition up to a position is durable, or recorded as a reject. Only this module makes
/// one, and a checkpoint store takes nothing else.
#[derive(Debug)]
pub struct Delivered {
    partition: Partition,
    position: Position,
}

impl Delivered {
    /// The partition that was delivered.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Where reading goes on.
    pub fn position(&self) -> &Position {
        &self.position
    }
}

/// Runs partitions: each from its source, through the pure line, to where the events go. A source's coordinator decides
/// which partitions to run and when; this decides nothing but how.
pub trait Lanes: Send + Sync {
    /// Runs one partition until its source ends or the process is told to stop, and everything that was read is
    /// delivered and committed (or the drain deadline has passed).
    fn run(&self, partition: Partition, source: Box<dyn Source>) -> BoxFuture<'_, Result<LaneEnd, LaneError>>;
}

/// How a partition's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneEnd {
    /// The source ended; everything in it is delivered and the end is committed.
    Ended {
        /// The shards that go on where this one ended.
        children: Vec<ShardId>,
    },
    /// The process was told to stop.
    Stopped,
}

/// Why a partition cannot be run any further.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The source cannot go on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A required sink cannot go on.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The positions cannot be stored.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A token for tests of the stores.
#[cfg(test)]
pub(crate) fn delivered_for_test(partition: Partition, position: Position) -> Delivered {
    Delivered { partition, position }
}
