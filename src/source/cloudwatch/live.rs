//! Live: log groups watched by a session of StartLiveTail, which gives events seconds after they are ingested. A session
//! gives a sample where there is much, breaks off, and ends after three hours; what it leaves out is read by
//! FilterLogEvents, so that live is as complete as polling is, and no slower where no session is to be had.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::session::{FEED, Sessions};
use self::source::{LiveSource, Parts};
use super::groups::{Begun, Reader, Start};
use crate::delivery::LaneError;
use crate::source::Source;

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
#[derive(Clone, Debug)]
pub struct Settings {
    /// The log groups, 1 to 10, each by its name or its ARN.
    pub log_groups: Vec<Arc<str>>,
    /// Where a log group begins that was never read.
    pub start: Start,
    /// Only events that match this pattern, if there is one.
    pub pattern: Option<Arc<str>>,
    /// Whether a person named the endpoint: sessions are then asked for there, and not at a host of their own.
    pub is_endpoint_named: bool,
    /// How long after their times events are there.
    pub delays: Delays,
    /// Whether what is there already is read before what comes: for a person, who reads the lines in their order.
    pub history_first: bool,
}

/// Watches log groups until the reader's `stop`. Positions are the same as those of [`super::poll`].
///
/// # Errors
/// The first error of a lane, once the others have ended.
pub async fn run(settings: &Settings, reader: Reader) -> Result<(), LaneError> {
    let begun = reader.begin(&settings.log_groups, settings.start).await?;
    let max_known = MAX_KNOWN / begun.len().max(1);
    let (mut members, mut sources) = (Vec::with_capacity(begun.len()), Vec::with_capacity(begun.len()));
    for Begun { partition, log_group, position } in begun {
        let (feed, fed) = mpsc::channel(FEED);
        members.push(session::Group::new(&log_group, feed));
        let source = LiveSource::new(Parts {
            logs: reader.logs.clone(),
            log_group,
            pattern: settings.pattern.clone(),
            start: position,
            delays: settings.delays,
            max_known,
            history_first: settings.history_first,
            budget: reader.budget.clone(),
            feed: fed,
        });
        sources.push((partition, Box::new(source) as Box<dyn Source>));
    }
    let sessions = Sessions::new(reader.logs.clone(), settings, members, reader.budget.clone());
    let _sessions = AbortOnDropHandle::new(tokio::spawn(sessions.run()));
    reader.run(sources).await
}
