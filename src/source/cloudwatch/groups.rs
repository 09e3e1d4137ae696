//! Log groups: where each begins, and the lanes that read them, however their events come.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::client::{Group, Logs};
use crate::budget::Budget;
use crate::checkpoint::CheckpointStore;
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::record::{Partition, Position, ShardId};
use crate::source::Source;

/// The stream that partitions of log groups belong to.
const STREAM: &str = "cloudwatch";

/// Where a log group begins that was never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With its oldest event.
    Oldest,
    /// With what is written from now on.
    Latest,
    /// With the first event at or after this time.
    At(Timestamp),
}

/// What log groups are read with.
pub struct Reader {
    /// The service.
    pub logs: Logs,
    /// What runs each log group.
    pub lanes: Arc<dyn Lanes>,
    /// Where positions are kept.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// Bytes in flight.
    pub budget: Budget,
    /// When to end; the lanes look at it too.
    pub stop: CancellationToken,
}

/// A log group that is about to be read.
pub(super) struct Begun {
    pub(super) partition: Partition,
    pub(super) log_group: Arc<str>,
    /// Everything before was read, or is not wanted.
    pub(super) position: Timestamp,
}

impl Reader {
    /// Finds the position of each log group, or gives it one.
    pub(super) async fn begin(&self, log_groups: &[Arc<str>], start: Start) -> Result<Vec<Begun>, LaneError> {
        let stored = self.checkpoints.load(STREAM).await?;
        let mut begun = Vec::with_capacity(log_groups.len());
        for log_group in log_groups {
            let partition = Partition { stream: STREAM.into(), shard: ShardId::new(Arc::clone(log_group)) };
            let position = match stored.iter().find(|(known, _)| *known == partition) {
                Some((_, Position::UpTo(time))) => *time,
                _ => {
                    let start = self.start(log_group, start).await;
                    self.checkpoints.begin(partition.clone(), Position::UpTo(start)).await?;
                    start
                }
            };
            info!(%log_group, from = %position, "reading a log group");
            begun.push(Begun { partition, log_group: Arc::clone(log_group), position });
        }
        Ok(begun)
    }

    async fn start(&self, log_group: &str, start: Start) -> Timestamp {
        match start {
            Start::Oldest => Timestamp::UNIX_EPOCH,
            Start::At(time) => time,
            Start::Latest => {
                // A host whose clock is fast would begin behind what is still to come.
                self.stop.run_until_cancelled(self.logs.ask_for_time(&Group::of(log_group))).await;
                // Events have whole milliseconds: one of this very moment is taken.
                let now = self.logs.now();
                Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
            }
        }
    }

    /// Runs the lanes until all have ended.
    pub(super) async fn run(
        self,
        sources: impl IntoIterator<Item = (Partition, Box<dyn Source>)>,
    ) -> Result<(), LaneError> {
        let mut running: JoinSet<Result<LaneEnd, LaneError>> = JoinSet::new();
        for (partition, source) in sources {
            let (lanes, reading) = (Arc::clone(&self.lanes), self.stop.clone());
            running.spawn(async move { lanes.run(partition, source, reading).await });
        }
        let mut first_error = Ok(());
        while let Some(ended) = running.join_next().await {
            let error = match ended {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => error,
                Err(_) => LaneError::Panicked { origin: "a log group".to_owned() },
            };
            self.stop.cancel();
            first_error = first_error.and(Err(error));
        }
        first_error
    }
}
