//! The writer: announces the ranges of a lane, has them written, and commits behind each.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::{Output, Sealed};
use crate::checkpoint::{CheckpointError, Commits, Stored};
use crate::delivery::commit::COMMIT_INTERVAL;
use crate::delivery::lane::{Submitted, patiently, stopped};
use crate::delivery::{Announcement, Delivered, LaneError, Parts};
use crate::record::{Partition, Position};
use crate::sink::Range;
use crate::sink::retry::{Backoff, Causes, Complaint};
use crate::source::BoxFuture;

/// Writes the ranges of a lane, one after the other, and commits behind each.
pub(in crate::delivery) struct Writer<'a> {
    parts: &'a Parts,
    checkpoints: &'a dyn Commits,
    partition: &'a Partition,
    /// The stored position, or the one that is stored next.
    from: Option<Position>,
}

impl<'a> Writer<'a> {
    /// Writes from the stored position on.
    pub(in crate::delivery) fn new(
        parts: &'a Parts,
        checkpoints: &'a dyn Commits,
        partition: &'a Partition,
        from: Option<Position>,
    ) -> Self {
        Self { parts, checkpoints, partition, from }
    }

    /// Writes what comes, until no more does and the last position is stored.
    pub(in crate::delivery) async fn write(
        mut self,
        mut submitted: mpsc::Receiver<Submitted>,
    ) -> Result<(), LaneError> {
        let mut commit: Option<(Position, BoxFuture<'a, Result<(), CheckpointError>>)> = None;
        // Nobody waits for a position on the way: one is stored at a pace that others share the store with.
        let mut paced = Instant::now();
        loop {
            let committed = async {
                match &mut commit {
                    Some((_, committing)) => {
                        sleep_until(paced).await;
                        committing.await
                    }
                    None => pending().await,
                }
            };
            let next = tokio::select! {
                biased;
                next = submitted.recv() => next,
                result = committed => {
                    result?;
                    (commit, paced) = (None, Instant::now() + COMMIT_INTERVAL);
                    continue;
                }
            };
            let Some(Submitted { receipts, records, position, range }) = next else { break };
            for receipt in receipts {
                patiently(self.parts, receipt.durable()).await.map_err(|gone| stopped("a sink", gone))?;
            }
            if let Some(range) = range {
                // What is not stored yet is stored with the announcement; a commit that came behind it would undo it.
                let delivered = commit.take().map(|(position, _)| position);
                self.write_range(range, delivered).await?;
            }
            self.parts.total.add_delivered(records);
            // A shard that is silent says where it is again and again.
            if let Some(position) = position.filter(|position| self.from.as_ref() != Some(position)) {
                self.from = Some(position.clone());
                commit = Some((position.clone(), self.commit(position)));
            }
        }
        if let Some((_, committing)) = commit {
            committing.await?;
        }
        Ok(())
    }

    async fn write_range(&self, sealed: Sealed, delivered: Option<Position>) -> Result<(), LaneError> {
        let Sealed { outputs, holds, to, _turn } = sealed;
        let announcement = Announcement { partition: self.partition.clone(), delivered, to: to.clone() };
        stored(self.partition, || self.checkpoints.announce(announcement.clone())).await?;
        let mut receipts = Vec::with_capacity(outputs.len());
        for Output { outlet, first, parts, origins } in outputs {
            let outlet = &self.parts.outlets[outlet];
            let from = first.map_or_else(|| START.to_owned(), |first| first.to_string());
            let range = Arc::new(Range { partition: self.partition.clone(), from, to: name_of(&to) });
            let sending = outlet.submit_parts(Some(range), parts, origins, holds.clone());
            receipts.push(patiently(self.parts, sending).await.map_err(|gone| stopped(outlet.name(), gone))?);
        }
        drop(holds);
        for receipt in receipts {
            patiently(self.parts, receipt.durable()).await.map_err(|gone| stopped("a sink", gone))?;
        }
        // Whoever waits for memory may need still more.
        self.parts.shelf.remind();
        Ok(())
    }

    fn commit(&self, position: Position) -> BoxFuture<'a, Result<(), CheckpointError>> {
        let (checkpoints, partition) = (self.checkpoints, self.partition);
        Box::pin(stored(partition, move || {
            checkpoints.commit(Delivered { partition: partition.clone(), position: position.clone() })
        }))
    }
}

/// Asks a store until it answers.
async fn stored<'a, T>(
    partition: &'a Partition,
    ask: impl Fn() -> BoxFuture<'a, Result<T, CheckpointError>>,
) -> Result<T, CheckpointError> {
    let (mut backoff, mut complaint) = (Backoff::default(), None);
    loop {
        let error = match ask().await {
            Err(error @ CheckpointError::Retry { .. }) => error,
            answer => return answer,
        };
        let complaint = complaint.get_or_insert_with(|| Complaint::new(Duration::ZERO));
        if complaint.is_due() {
            let lasting_seconds = complaint.lasting().as_secs();
            warn!(%partition, lasting_seconds, error = %Causes(&error), "cannot store a position, trying again");
        }
        sleep(backoff.next_wait()).await;
    }
}

/// What is stored of a partition, once the store answers.
pub(in crate::delivery) async fn look(
    checkpoints: &dyn Commits,
    partition: &Partition,
) -> Result<Stored, CheckpointError> {
    stored(partition, || checkpoints.stored(partition)).await
}

/// What stands for what is none of a record.
const START: &str = "start";

/// A position in a range's name, the same whoever stored it: a lease table has a record that is no aggregate as one with
/// a single user record.
fn name_of(position: &Position) -> String {
    match position {
        Position::After(sequence) | Position::Within(sequence, 0) => sequence.to_string(),
        Position::Within(sequence, user_record) => format!("{sequence}.{user_record}"),
        _ => START.to_owned(),
    }
}
