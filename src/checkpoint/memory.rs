//! Checkpoints in memory: for what keeps no positions beyond its own run, such as a tail or standard input.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{CheckpointError, CheckpointStore, Commits, moves};
use crate::delivery::Delivered;
use crate::record::{Partition, Position};
use crate::source::BoxFuture;

/// Positions that end with the process.
#[derive(Debug, Default)]
pub struct Memory {
    positions: Mutex<BTreeMap<Partition, Position>>,
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Partition, Position>) -> T) -> T {
        act(&mut self.positions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Commits for Memory {
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        let (partition, new) = (delivered.partition().clone(), delivered.position().clone());
        self.with(|positions| {
            if positions.get(&partition).is_none_or(|stored| moves(stored, &new)) {
                positions.insert(partition, new);
            }
        });
        Box::pin(std::future::ready(Ok(())))
    }
}

impl CheckpointStore for Memory {
    fn load(&self, stream: &str) -> BoxFuture<'_, Result<Vec<(Partition, Position)>, CheckpointError>> {
        let of_stream = |(partition, position): (&Partition, &Position)| {
            (*partition.stream == *stream).then(|| (partition.clone(), position.clone()))
        };
        let positions = self.with(|positions| positions.iter().filter_map(of_stream).collect());
        Box::pin(std::future::ready(Ok(positions)))
    }

    fn begin(&self, partition: Partition, start: Position) -> BoxFuture<'_, Result<(), CheckpointError>> {
        self.with(|positions| {
            positions.entry(partition).or_insert(start);
        });
        Box::pin(std::future::ready(Ok(())))
    }
}
