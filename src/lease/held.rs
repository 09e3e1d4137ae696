//! Held leases: where the commits of a lane find the lease that its partition is read under.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::{CheckpointError, Commits};
use crate::delivery::Delivered;
use crate::record::{Partition, Position};
use crate::source::BoxFuture;

/// A commit on its way to the table.
#[derive(Debug)]
pub struct Commit {
    /// Where reading goes on.
    pub position: Position,
    /// Answered once the table has it, or the lease is lost.
    pub reply: oneshot::Sender<Result<(), CheckpointError>>,
}

/// The leases that this worker holds, by partition.
#[derive(Debug, Default)]
pub struct Held {
    leases: Mutex<HashMap<Partition, mpsc::Sender<Commit>>>,
}

impl Held {
    /// Begins to lead the commits of a partition to whoever has the receiver; ends it for whoever had one before.
    pub fn begin(&self, partition: Partition) -> mpsc::Receiver<Commit> {
        // A lane has one commit under way at a time.
        let (sender, receiver) = mpsc::channel(1);
        self.leases().insert(partition, sender);
        receiver
    }

    /// Commits nothing more of a partition.
    pub fn end(&self, partition: &Partition) {
        self.leases().remove(partition);
    }

    fn leases(&self) -> MutexGuard<'_, HashMap<Partition, mpsc::Sender<Commit>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Commits for Held {
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        let (partition, position) = (delivered.partition().clone(), delivered.position().clone());
        let lease = self.leases().get(&partition).cloned();
        Box::pin(async move {
            let lost = || CheckpointError::Lost { partition };
            let (reply, answer) = oneshot::channel();
            let Some(lease) = lease else { return Err(lost()) };
            if lease.send(Commit { position, reply }).await.is_err() {
                return Err(lost());
            }
            answer.await.unwrap_or_else(|_| Err(lost()))
        })
    }
}
