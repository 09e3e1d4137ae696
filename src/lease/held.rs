//! Held leases: where the commits of a lane find the lease that its partition is read under.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::{CheckpointError, Commits, Stored};
use crate::delivery::{Announcement, Delivered};
use crate::record::{Partition, Position};
use crate::source::BoxFuture;

/// What a lane asks of its lease.
#[derive(Debug)]
pub enum Ask {
    /// Store how far it got.
    Commit(Commit),
    /// Store at once what is about to be written.
    Announce(Announce),
    /// Say what is stored.
    Look(oneshot::Sender<Stored>),
}

/// A commit on its way to the table.
#[derive(Debug)]
pub struct Commit {
    /// Where reading goes on.
    pub position: Position,
    /// Answered once the table has it, or the lease is lost.
    pub reply: Reply,
}

/// An announcement on its way to the table.
#[derive(Debug)]
pub struct Announce {
    /// Where reading goes on, if that may not be stored yet.
    pub position: Option<Position>,
    /// Where the range ends.
    pub to: Position,
    /// Answered once the table has it, or the lease is lost.
    pub reply: Reply,
}

/// Where an answer goes. Who asked may have given up.
pub type Reply = oneshot::Sender<Result<(), CheckpointError>>;

/// The leases that this worker holds, by partition.
#[derive(Debug, Default)]
pub struct Held {
    leases: Mutex<HashMap<Partition, mpsc::Sender<Ask>>>,
}

impl Held {
    /// Begins to lead the commits of a partition to whoever has the receiver; ends it for whoever had one before.
    pub fn begin(&self, partition: Partition) -> mpsc::Receiver<Ask> {
        // A lane asks for one thing at a time.
        let (sender, receiver) = mpsc::channel(1);
        self.leases().insert(partition, sender);
        receiver
    }

    /// Commits nothing more of a partition.
    pub fn end(&self, partition: &Partition) {
        self.leases().remove(partition);
    }

    fn leases(&self) -> MutexGuard<'_, HashMap<Partition, mpsc::Sender<Ask>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Asks the lease of a partition, and waits for its answer.
    async fn ask<T>(
        &self,
        partition: Partition,
        ask: impl FnOnce(oneshot::Sender<T>) -> Ask,
    ) -> Result<T, CheckpointError> {
        let lease = self.leases().get(&partition).cloned();
        let lost = || CheckpointError::Lost { partition: partition.clone() };
        let (reply, answer) = oneshot::channel();
        lease.ok_or_else(lost)?.send(ask(reply)).await.map_err(|_| lost())?;
        answer.await.map_err(|_| lost())
    }
}

impl Commits for Held {
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        let (partition, position) = (delivered.partition().clone(), delivered.position().clone());
        Box::pin(async { self.ask(partition, |reply| Ask::Commit(Commit { position, reply })).await? })
    }

    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>> {
        let (position, to) = (announcement.delivered().cloned(), announcement.to().clone());
        let partition = announcement.partition().clone();
        Box::pin(async { self.ask(partition, |reply| Ask::Announce(Announce { position, to, reply })).await? })
    }

    fn stored(&self, partition: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>> {
        Box::pin(self.ask(partition.clone(), Ask::Look))
    }
}
