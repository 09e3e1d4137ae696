//! Live: log groups watched by a session of StartLiveTail, which gives events seconds after they are ingested. A session
//! gives a sample where there is much, breaks off, and ends after three hours; what it leaves out is read by
//! FilterLogEvents, so that live is as complete as polling is, and no slower where no session is to be had.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::session::{FEED, Sessions};
use self::source::{LiveSource, Parts};
use super::client::Logs;
use crate::budget::Budget;
use crate::delivery::{LaneError, Lanes};
use crate::record::{Partition, Position};

mod coverage;
mod endpoint;
mod known;
mod session;
mod source;

pub use coverage::Delays;

/// Events that are remembered over all log groups, in 24 MB or so: as many as a session gives in 20 minutes. Beyond it
/// the oldest are forgotten, and may be given twice, with the same identity.
const MAX_KNOWN: usize = 600_000;

/// What tells the time: that of the system, or a test's.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(Timestamp::now)
}

/// What is watched, and how.
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

/// A log group that is watched.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The log group as the user named it.
    pub log_group: Arc<str>,
    /// What its positions are stored as.
    pub partition: Partition,
    /// Where reading begins.
    pub start: Timestamp,
}

/// Watches log groups (1 to 10) until `stop` is cancelled or one of them cannot be read any more; returns when each lane
/// has ended.
///
/// # Errors
/// The partition that failed first, and why.
pub async fn watch(
    logs: Logs,
    settings: Settings,
    groups: Vec<Watched>,
    lanes: Arc<dyn Lanes>,
    budget: Budget,
    stop: CancellationToken,
) -> Result<(), (Partition, LaneError)> {
    let max_known = MAX_KNOWN / groups.len().max(1);
    let mut running = JoinSet::new();
    let mut members = Vec::with_capacity(groups.len());
    for Watched { log_group, partition, start } in groups {
        let (feed, fed) = mpsc::channel(FEED);
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
        let (lanes, stop) = (Arc::clone(&lanes), stop.clone());
        running.spawn(async move {
            let ended = lanes.run(partition.clone(), Box::new(source), stop).await;
            ended.map_err(|error| (partition, error))
        });
    }
    let sessions = AbortOnDropHandle::new(tokio::spawn(Sessions::new(logs, &settings, members, budget).run()));
    let mut failed = None;
    while let Some(ended) = running.join_next().await {
        let ended = ended.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ok(crate::delivery::LaneEnd::Stopped),
        });
        if let Err(error) = ended {
            // Log groups that are watched together stop together.
            stop.cancel();
            failed.get_or_insert(error);
        }
    }
    drop(sessions);
    failed.map_or(Ok(()), Err)
}

/// Where reading begins for a stored position, if it has a time.
pub fn start_of(position: &Position) -> Option<Timestamp> {
    match position {
        Position::UpTo(time) | Position::AtTimestamp(time) => Some(*time),
        Position::TrimHorizon => Some(Timestamp::UNIX_EPOCH),
        _ => None,
    }
}
