//! Delivery: receipts from the sinks, the longest delivered prefix of a partition, and the token that only it can make.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::checkpoint::{CheckpointError, Commits};
use crate::record::{Partition, Position, ShardId};
use crate::sink::SinkError;
use crate::sink::batch::{Outlet, RangeLimits};
use crate::sink::dead_letter::DeadLetter;
use crate::source::{BoxFuture, Source, SourceError};

use self::board::Noting;
use self::memory::{Memory, Remembering};
use self::range::Shelf;
use self::total::Total;
use self::work::Crew;

pub mod board;
mod commit;
mod lane;
pub mod memory;
pub mod range;
pub mod total;
pub mod work;

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

    /// The same for a partition that may get more behind its end: it goes on at `last`, the last position in it.
    pub(crate) fn short_of_end(self, last: Position) -> Self {
        Self { position: if self.position == Position::End { last } else { self.position }, ..self }
    }
}

/// What is about to be written as one range. Only this module makes one, since it may say that something was delivered.
#[derive(Clone, Debug)]
pub struct Announcement {
    partition: Partition,
    delivered: Option<Position>,
    to: Position,
}

impl Announcement {
    /// The partition.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Up to where everything was delivered before, if that may not be stored yet.
    pub fn delivered(&self) -> Option<&Position> {
        self.delivered.as_ref()
    }

    /// Where the range ends.
    pub fn to(&self) -> &Position {
        &self.to
    }
}

/// Runs partitions: each from its source, through the pure line, to where the events go. A source's coordinator decides
/// which partitions to run and when; this decides nothing but how.
pub trait Lanes: Send + Sync {
    /// Runs one partition until its source ends or `stop` is cancelled, and everything that was read is delivered and
    /// committed (or the drain deadline has passed). What is dropped half-way commits nothing more.
    fn run(
        &self,
        partition: Partition,
        source: Box<dyn Source>,
        stop: CancellationToken,
    ) -> BoxFuture<'_, Result<LaneEnd, LaneError>>;
}

/// How a partition's run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneEnd {
    /// The source ended; everything in it is delivered and the end is committed.
    Ended {
        /// The shards that go on where this one ended.
        children: Vec<ShardId>,
    },
    /// The lane was told to stop.
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
    /// The pure line panicked, which is a fault of this program; going on would lose the record.
    #[error("reading {origin} panicked; the log says where, please report it")]
    Panicked {
        /// The first of the records that were being read.
        origin: String,
    },
}

/// What lanes share.
pub struct Parts {
    /// Takes records apart.
    pub crew: Crew,
    /// Where each output of the pure line goes, in their order. A parcel is delivered when each has it.
    pub outlets: Vec<Outlet>,
    /// Where rejects go.
    pub dead_letter: DeadLetter,
    /// Where positions go.
    pub checkpoints: Arc<dyn Commits>,
    /// The bytes that may be encoded and not yet durable. It must not be the budget that sources reserve from: a lane
    /// holds both, and two lanes that each wait for what the other holds would never end.
    pub encoded: Budget,
    /// Cancelled: the drain deadline has passed; what is not durable now is left to the next start.
    pub abandon: CancellationToken,
    /// What all lanes together did.
    pub total: Arc<Total>,
    /// What lanes with open ranges share.
    pub shelf: Arc<Shelf>,
    /// What is to be stored before positions are, if anything is.
    pub memory: Option<Arc<Memory>>,
}

/// Runs each partition through the pure line to all outlets and the dead letter.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<Parts>,
    checkpoints: Arc<dyn Commits>,
    ranges: Option<RangeLimits>,
}

impl Engine {
    /// An engine of these parts.
    pub fn new(parts: Parts) -> Self {
        let ranges = range::limits(&parts);
        Self { checkpoints: Arc::clone(&parts.checkpoints), parts: Arc::new(parts), ranges }
    }

    /// The same engine with another store: for partitions that have no position to come back to, such as a pipe.
    #[must_use]
    pub fn with_checkpoints(&self, checkpoints: Arc<dyn Commits>) -> Self {
        Self { parts: Arc::clone(&self.parts), checkpoints, ranges: self.ranges }
    }

    /// What all lanes together did so far.
    pub fn total(&self) -> Arc<Total> {
        Arc::clone(&self.parts.total)
    }

    /// The same engine for partitions whose records have no lasting place, such as those of files: sinks that take whole
    /// ranges get what there is instead.
    #[must_use]
    pub fn without_ranges(&self) -> Self {
        Self { ranges: None, ..self.clone() }
    }
}

impl Lanes for Engine {
    fn run(
        &self,
        partition: Partition,
        source: Box<dyn Source>,
        stop: CancellationToken,
    ) -> BoxFuture<'_, Result<LaneEnd, LaneError>> {
        Box::pin(async move {
            let positions = self.checkpoints.as_ref();
            let remembering = self.parts.memory.as_deref().map(|memory| Remembering { memory, positions });
            let checkpoints = remembering.as_ref().map_or(positions, |remembering| remembering as &dyn Commits);
            if let Some(memory) = &self.parts.memory
                && stop.run_until_cancelled(memory.before_reading()).await.is_none()
            {
                tracing::debug!(%partition, "told to stop before what others have left was taken up");
            }
            let place = self.parts.total.board().place(&partition);
            let checkpoints = Noting { place: &place, positions: checkpoints };
            lane::run(&self.parts, &checkpoints, partition, source, &stop, self.ranges, &place).await
        })
    }
}

/// An announcement for tests of the stores.
#[cfg(test)]
pub(crate) fn announcement_for_test(partition: Partition, delivered: Option<Position>, to: Position) -> Announcement {
    Announcement { partition, delivered, to }
}

/// A token for tests of the stores.
#[cfg(test)]
pub(crate) fn delivered_for_test(partition: Partition, position: Position) -> Delivered {
    Delivered { partition, position }
}
