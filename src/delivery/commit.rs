//! Commits of one partition: the newest delivered position wins, one commit is under way at a time, at most about one a
//! second, and always one at the end.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Delivered;
use crate::checkpoint::{CheckpointError, Commits};
use crate::record::{Partition, Position};
use crate::sink::retry::{Backoff, Causes, Complaint};

/// The pace of commits: a crash delivers again what a second brought, and a thousand shards still share a small disk.
pub(super) const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// What the last commit gets after the drain deadline, so that a delivery of the last moment still counts. With the
/// default deadline it still ends before a container is killed, 30 seconds after it was told to stop.
const LAST_COMMIT_GRACE: Duration = Duration::from_secs(2);

/// Commits what `newest` holds until its sender is dropped, then once more. Returns whether the newest is committed.
pub(super) async fn commit_newest(
    store: &dyn Commits,
    partition: &Partition,
    newest: watch::Receiver<Option<Position>>,
    abandon: &CancellationToken,
) -> Result<bool, CheckpointError> {
    let given_up = async {
        abandon.cancelled().await;
        tokio::time::sleep(LAST_COMMIT_GRACE).await;
    };
    tokio::select! {
        biased;
        result = follow(store, partition, newest) => result.map(|()| true),
        () = given_up => {
            warn!(%partition, "gave up storing the last position, what it covers is delivered again");
            Ok(false)
        }
    }
}

/// Waits until the end has taken the place of another position.
async fn until_end(newest: &mut watch::Receiver<Option<Position>>, committing: &Position) {
    let is_end = |newest: &Option<Position>| *committing != Position::End && *newest == Some(Position::End);
    if newest.wait_for(is_end).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn follow(
    store: &dyn Commits,
    partition: &Partition,
    mut newest: watch::Receiver<Option<Position>>,
) -> Result<(), CheckpointError> {
    let mut committed = None;
    let mut trouble: Option<(Backoff, Complaint)> = None;
    loop {
        let open = newest.has_changed().is_ok();
        let position = newest.borrow_and_update().clone();
        let due = position.filter(|position| committed.as_ref() != Some(position));
        let Some(position) = due else {
            if !open || newest.changed().await.is_err() {
                return Ok(());
            }
            continue;
        };
        let delivered = Delivered { partition: partition.clone(), position: position.clone() };
        let stored = tokio::select! {
            biased;
            stored = store.commit(delivered) => stored,
            // A store may take its time over a position on the way; the end is not to wait for it.
            () = until_end(&mut newest, &position) => continue,
        };
        match stored {
            Ok(()) => {
                debug!(%partition, %position, "committed");
                committed = Some(position);
                trouble = None;
                let paced = Instant::now() + COMMIT_INTERVAL;
                // The end comes at once: nobody waits a second for the last commit.
                while tokio::time::timeout_at(paced, newest.changed()).await.is_ok_and(|changed| changed.is_ok()) {}
            }
            Err(error @ CheckpointError::Retry { .. }) => {
                let (backoff, complaint) =
                    trouble.get_or_insert_with(|| (Backoff::default(), Complaint::new(Duration::ZERO)));
                let wait = backoff.next_wait();
                if complaint.is_due() {
                    let lasting_seconds = complaint.lasting().as_secs();
                    warn!(%partition, lasting_seconds, error = %Causes(&error), "cannot store a position, trying again");
                }
                tokio::time::sleep(wait).await;
            }
            Err(last @ (CheckpointError::Lost { .. } | CheckpointError::Fatal { .. })) => return Err(last),
        }
    }
}
