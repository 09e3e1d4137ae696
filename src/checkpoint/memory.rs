//! Checkpoints in memory: for what keeps no positions beyond its own run, such as a tail or standard input.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{CheckpointError, CheckpointStore, Commits, Stored, moves};
use crate::delivery::{Announcement, Delivered};
use crate::record::{Partition, Position};
use crate::source::BoxFuture;

/// Positions that end with the process.
#[derive(Debug, Default)]
pub struct Memory {
    stored: Mutex<BTreeMap<Partition, Stored>>,
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Partition, Stored>) -> T) -> T {
        act(&mut self.stored.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn advance(&self, partition: Partition, new: Position) {
        self.with(|stored| {
            let stored = stored.entry(partition).or_default();
            if stored.position.as_ref().is_none_or(|position| moves(position, &new)) {
                *stored = Stored { position: Some(new), announced: None };
            }
        });
    }
}

impl Commits for Memory {
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        self.advance(delivered.partition().clone(), delivered.position().clone());
        Box::pin(std::future::ready(Ok(())))
    }

    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>> {
        if let Some(position) = announcement.delivered() {
            self.advance(announcement.partition().clone(), position.clone());
        }
        let to = announcement.to().clone();
        self.with(|stored| stored.entry(announcement.partition().clone()).or_default().announced = Some(to));
        Box::pin(std::future::ready(Ok(())))
    }

    fn stored(&self, partition: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>> {
        let stored = self.with(|stored| stored.get(partition).cloned().unwrap_or_default());
        Box::pin(std::future::ready(Ok(stored)))
    }
}

impl CheckpointStore for Memory {
    fn load(&self, stream: &str) -> BoxFuture<'_, Result<Vec<(Partition, Position)>, CheckpointError>> {
        let of_stream = |(partition, stored): (&Partition, &Stored)| {
            let position = stored.position.clone().filter(|_| *partition.stream == *stream)?;
            Some((partition.clone(), position))
        };
        let positions = self.with(|positions| positions.iter().filter_map(of_stream).collect());
        Box::pin(std::future::ready(Ok(positions)))
    }

    fn begin(&self, partition: Partition, start: Position) -> BoxFuture<'_, Result<(), CheckpointError>> {
        self.with(|positions| {
            positions.entry(partition).or_default().position.get_or_insert(start);
        });
        Box::pin(std::future::ready(Ok(())))
    }
}
