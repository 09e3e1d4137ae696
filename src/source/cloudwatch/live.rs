//! Live: log groups watched by a session of StartLiveTail, which gives events seconds after they are ingested. A session
//! gives a sample where there is much, breaks off, and ends after three hours; what it leaves out is read by
//! FilterLogEvents, so that live is as complete as polling is, and no slower where no session is to be had.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use self::session::{FEED, Sessions};
use self::source::{LiveSource, Parts};
use super::client::Logs;
use super::poll::{Clock, STREAM, Start};
use crate::budget::Budget;
use crate::checkpoint::CheckpointStore;
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::record::{Partition, Position, ShardId};

mod coverage;
mod endpoint;
mod known;
mod session;
mod source;

pub use coverage::Delays;

/// Events that are remembered over all log groups, in 24 MB or so: as many as a session gives in 20 minutes. Beyond it
/// the oldest are forgotten, and may be given twice, with the same identity.
const MAX_KNOWN: usize = 600_000;

/// How log groups are watched.
#[derive(Clone)]
pub struct Settings {
    /// Only events that match this pattern, if there is one.
    pub pattern: Option<Arc<str>>,
    /// Whether a person named the endpoint: sessions are then asked for there, and not at a host of their own.
    pub is_endpoint_named: bool,
    /// How long after their times events are there.
    pub delays: Delays,
    /// Whether what is there already is read before what comes: for a person, who reads the lines in their order.
    pub history_first: bool,
    /// What tells the time.
    pub clock: Clock,
}

/// Watches log groups (1 to 10, by name or ARN) until `stop`, which the lanes look at too. Positions are the same as
/// those of [`super::poll`].
///
/// # Errors
/// The first error of a lane, once the others have ended.
#[expect(clippy::too_many_arguments, reason = "what a coordinator works with, as elsewhere")]
pub async fn run(
    settings: Settings,
    log_groups: &[Arc<str>],
    start: Start,
    logs: Logs,
    lanes: Arc<dyn Lanes>,
    checkpoints: Arc<dyn CheckpointStore>,
    budget: Budget,
    stop: CancellationToken,
) -> Result<(), LaneError> {
    let stored = checkpoints.load(STREAM).await?;
    let mut begun = Vec::with_capacity(log_groups.len());
    for log_group in log_groups {
        let partition = Partition { stream: STREAM.into(), shard: ShardId::new(Arc::clone(log_group)) };
        let position = match stored.iter().find(|(known, _)| *known == partition) {
            Some((_, Position::UpTo(time))) => *time,
            _ => {
                let start = start.time((settings.clock)());
                checkpoints.begin(partition.clone(), Position::UpTo(start)).await?;
                start
            }
        };
        info!(%log_group, from = %position, "watching a log group");
        begun.push((partition, position));
    }
    let max_known = MAX_KNOWN / begun.len().max(1);
    let mut running: JoinSet<Result<LaneEnd, LaneError>> = JoinSet::new();
    let mut members = Vec::with_capacity(begun.len());
    for (partition, start) in begun {
        let (feed, fed) = mpsc::channel(FEED);
        let log_group: Arc<str> = partition.shard.as_str().into();
        members.push(session::Group::new(&log_group, feed));
        let source = LiveSource::new(Parts {
            logs: logs.clone(),
            log_group,
            pattern: settings.pattern.clone(),
            start,
            delays: settings.delays,
            max_known,
            history_first: settings.history_first,
            budget: budget.clone(),
            clock: Arc::clone(&settings.clock),
            feed: fed,
        });
        let (lanes, reading) = (Arc::clone(&lanes), stop.clone());
        running.spawn(async move { lanes.run(partition, Box::new(source), reading).await });
    }
    let _sessions = AbortOnDropHandle::new(tokio::spawn(Sessions::new(logs, &settings, members, budget).run()));
    let mut first_error = Ok(());
    while let Some(ended) = running.join_next().await {
        let error = match ended {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => error,
            Err(_) => LaneError::Panicked { origin: "a log group".to_owned() },
        };
        stop.cancel();
        first_error = first_error.and(Err(error));
    }
    first_error
}
