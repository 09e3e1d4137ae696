//! Holding leases: going for one, reading its shard while it is held, and what its end means.

use std::sync::Arc;

use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use super::{Error, Fleet, Phase, Stream, TAKES, lane};
use crate::checkpoint::CheckpointError;
use crate::delivery::{LaneEnd, LaneError};
use crate::lease::tenure::{Claim, End, Taken};
use crate::lease::{Lease, LeaseKey, StreamKey};
use crate::metrics;
use crate::record::Partition;

/// A step of a tenure.
pub(super) enum Step {
    Obtained(LeaseKey, Result<Taken, End>),
    Ended(LeaseKey, Option<Result<Result<LaneEnd, LaneError>, JoinError>>, End),
}

impl Fleet {
    pub(super) fn obtain(&mut self, lease: Lease, claim: Claim) {
        let phase = if claim == Claim::Take { Phase::Taking } else { Phase::Asking };
        let key = lease.key.clone();
        self.mine.insert(key.clone(), phase);
        let (keeper, stop) = (self.keeper.clone(), self.stop.clone());
        self.tenures.spawn(async move {
            let obtained = keeper.obtain(lease, claim, &stop).await;
            Step::Obtained(key, obtained)
        });
    }

    /// Takes the next step of a tenure.
    pub(super) fn step(&mut self, step: Result<Step, JoinError>) -> Result<(), Error> {
        let now = Instant::now();
        match step {
            Ok(Step::Obtained(key, Ok(taken))) => {
                self.view.saw(taken.lease.clone(), now);
                self.mine.insert(key, Phase::Holding);
                self.hold(taken);
                // One lease after the other is asked for.
                self.balance_soon(now);
                Ok(())
            }
            Ok(Step::Obtained(key, Err(end))) => {
                self.takes = TAKES;
                if matches!(end, End::NotTaken(None)) && self.mine.get(&key) == Some(&Phase::Asking) {
                    // A table that fails now fails the next moment. A refusal that shows the row is news to go on with.
                    self.ask_at = now + self.settings.timing.watch();
                }
                self.settle(&key, None, end, now)
            }
            Ok(Step::Ended(key, result, end)) => self.settle(&key, result, end, now),
            Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            Err(_) => Ok(()),
        }
    }

    fn hold(&mut self, taken: Taken) {
        let key = taken.lease.key.clone();
        let (keeper, stop) = (self.keeper.clone(), self.stop.clone());
        let known = self.streams.iter().find(|known| known.stream.key == key.stream);
        let Some(known) = known.filter(|_| !stop.is_cancelled()) else {
            self.tenures.spawn(async move { Step::Ended(key, None, keeper.give_up(taken).await) });
            return;
        };
        let (partition, halt) = (partition_of(&known.stream, &key), stop.child_token());
        info!(shard = %partition, position = %taken.lease.position, "reading shard");
        metrics::families().leases_taken.with_label_values::<&str>(&[]).inc();
        self.count_held();
        let commits = self.held.begin(partition.clone());
        let shard = lane::Shard {
            stream: known.stream.clone(),
            partition,
            position: taken.lease.position.clone(),
            hash_keys: taken.lease.hash_keys.or_else(|| known.graph.as_ref()?.0.hash_keys(&key.shard)),
            on_trimmed: self.settings.on_trimmed,
            halt: halt.clone(),
        };
        let (lanes, held) = (Arc::clone(&self.lanes), Arc::clone(&self.held));
        self.tenures.spawn(async move {
            let partition = shard.partition.clone();
            let lane = AbortOnDropHandle::new(tokio::spawn(async move { shard.read(&*lanes).await }));
            let (result, end) = keeper.hold(taken, commits, &halt, &stop, lane).await;
            held.end(&partition);
            Step::Ended(key, result, end)
        });
    }

    fn count_held(&self) {
        let held = self.mine.values().filter(|phase| **phase == Phase::Holding).count();
        metrics::families().leases_owned.with_label_values::<&str>(&[]).set(metrics::signed(held));
    }

    /// Takes the end of a tenure.
    fn settle(
        &mut self,
        key: &LeaseKey,
        result: Option<Result<Result<LaneEnd, LaneError>, JoinError>>,
        end: End,
        now: Instant,
    ) -> Result<(), Error> {
        self.mine.remove(key);
        self.count_held();
        self.balance_soon(now);
        if matches!(end, End::Lost) {
            metrics::families().leases_lost.with_label_values::<&str>(&[]).inc();
        }
        match end {
            End::Ended(lease) => {
                info!(lease = %key, "shard delivered to its end");
                self.view.saw(lease, now);
                for known in self.streams.iter_mut().filter(|known| known.stream.key == key.stream) {
                    (known.list_at, known.unlisted_children) = (now, 0);
                }
            }
            End::GivenUp(lease) => self.view.saw(lease, now),
            End::NotTaken(Some(lease)) => self.view.saw(lease, now),
            End::NotTaken(None) | End::Lost => {
                // What is known of it is not true; nothing is decided on it before the next look.
                self.view.forget(key);
                self.scan_at = now;
            }
            End::Failed(error) => return Err(error.into()),
        }
        let partition = || match self.streams.iter().find(|known| known.stream.key == key.stream) {
            Some(known) => partition_of(&known.stream, key),
            None => Partition { stream: "unknown".into(), shard: key.shard.clone() },
        };
        match result {
            None | Some(Ok(Ok(_) | Err(LaneError::Checkpoint(CheckpointError::Lost { .. })))) => Ok(()),
            Some(Ok(Err(source))) => Err(Error::Lane { partition: partition(), source }),
            Some(Err(_)) => Err(Error::Panicked { partition: partition() }),
        }
    }
}

/// What a lease's shard is called in commits: a stream of several is told by its whole key.
fn partition_of(stream: &Stream, key: &LeaseKey) -> Partition {
    let name = key.stream.as_ref().map_or_else(|| stream.kinesis.stream(), StreamKey::as_str);
    Partition { stream: Arc::clone(name), shard: key.shard.clone() }
}
