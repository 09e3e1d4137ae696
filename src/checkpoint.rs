//! Checkpoints: how far each partition was delivered, stored so that a crash cannot damage it.

use crate::delivery::Delivered;
use crate::record::{Partition, Position};
use crate::source::BoxFuture;

pub mod local;

/// Stores how far each partition was delivered.
pub trait CheckpointStore: Send + Sync {
    /// The stored positions of all partitions of `stream`.
    fn load(&self, stream: &str) -> BoxFuture<'_, Result<Vec<(Partition, Position)>, CheckpointError>>;

    /// Stores where a partition that was never read before starts, so that a crash before its first delivery changes
    /// nothing. Does nothing for a partition that has a position.
    fn begin(&self, partition: Partition, start: Position) -> BoxFuture<'_, Result<(), CheckpointError>>;

    /// Moves a partition to the position that was delivered: durable once this returns. Only a delivery makes the
    /// token that this takes.
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>>;
}

/// Why a checkpoint could not be read or stored, named by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The store may work again: try again.
    #[error("the checkpoint store {store} does not answer")]
    Retry {
        /// The store's name: a path or a table.
        store: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store cannot be used: the process stops.
    #[error("the checkpoint store {store} cannot be used: {advice}")]
    Fatal {
        /// The store's name: a path or a table.
        store: String,
        /// What a person can do about it.
        advice: String,
        /// What went wrong.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}
