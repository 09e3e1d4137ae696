//! Detection in the daemon: what it is told, what it takes up at the start, and what it has to say at the end.

use std::sync::Arc;

use anyhow::Context as _;
use tracing::{info, warn};

use super::alerts::AlertPlan;
use super::open;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::Entries;
use crate::checkpoint::dynamodb::{self, Books};
use crate::checkpoint::local::{self, Local};
use crate::delivery::memory::Memory;
use crate::detect::Detector;
use crate::lease::worker;
use crate::sink::retry::Causes;
use crate::source::kinesis::pace::Backoff;

/// What is looked for, and where alerts go.
pub struct DetectionPlan {
    /// The detector, which the pure lines have as well.
    pub detector: Arc<Detector>,
    /// Where what is remembered is kept; none keeps it for as long as the process.
    pub keep: Option<Keep>,
    /// Where alerts go.
    pub alerts: Vec<AlertPlan>,
}

/// Where what is remembered is kept.
#[derive(Clone, Debug)]
pub enum Keep {
    /// An embedded database: that of the positions, where that is the same.
    Local(local::Settings),
    /// A table beside that of the leases.
    Dynamodb(dynamodb::Settings),
}

/// What is taken up at the start, and where it is kept from then on.
pub(super) struct Remembered {
    detector: Arc<Detector>,
    keep: Option<Keep>,
}

impl Remembered {
    /// What this plan remembers.
    pub(super) fn of(plan: &DetectionPlan) -> Self {
        Self { detector: Arc::clone(&plan.detector), keep: plan.keep.clone() }
    }

    /// Takes up what was remembered before, where it is kept. `local` is the store of the positions.
    ///
    /// # Errors
    /// A store that cannot be opened or read.
    pub(super) async fn recall(self, local: Option<Arc<Local>>) -> anyhow::Result<Option<Arc<Memory>>> {
        let Self { detector, keep } = self;
        let store: Arc<dyn Entries> = match (keep, local) {
            (None, _) => return Ok(None),
            (Some(Keep::Local(settings)), Some(local)) if local.is_in(&settings.directory) => local,
            (Some(Keep::Local(settings)), _) => {
                open::local(settings).await.context("what detection remembers is kept where positions are")?
            }
            (Some(Keep::Dynamodb(settings)), _) => {
                let books = connect(&settings).await;
                Arc::new(books.context("what detection remembers is kept beside the leases")?)
            }
        };
        let memory = Memory::new(detector, store);
        let restored = memory.recall().await?;
        if restored.kept + restored.dropped > 0 {
            let (kept, dropped) = (restored.kept, restored.dropped);
            info!(kept, dropped, "detection goes on with what it remembers; what no rule knows any more is dropped");
        }
        if restored.alerts > 0 {
            warn!(alerts = restored.alerts, "these alerts were not sent and never are: their rules are off or gone");
        }
        Ok(Some(Arc::new(memory)))
    }
}

/// Finds the table of what is remembered; waits for one that does not answer. One that a person has to grant ends the
/// start with what to do: the leases may have been granted long ago, and the way out is to keep nothing.
async fn connect(settings: &dynamodb::Settings) -> Result<Books, CheckpointError> {
    let worker = worker::id().await;
    let mut backoff = Backoff::brief();
    loop {
        match Books::connect(settings, worker.clone()).await {
            Err(error @ CheckpointError::Retry { .. }) => {
                warn!(error = %Causes(&error), "the table of what detection remembers cannot be opened, trying again");
                tokio::time::sleep(backoff.wait()).await;
            }
            result => return result,
        }
    }
}

/// What was found, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Detected {
    /// Findings of all rules.
    pub findings: u64,
    /// Alerts that were opened.
    pub alerts: u64,
    /// Rules that could not be evaluated for an event.
    pub unevaluated: u64,
    /// Groups that were forgotten for want of room.
    pub evicted: u64,
}

impl Detected {
    /// What this detector has found.
    pub(super) fn by(detector: &Detector) -> Self {
        let counts = detector.state().counts();
        Self {
            findings: counts.findings,
            alerts: counts.alerts,
            unevaluated: detector.unevaluated(),
            evicted: counts.evicted,
        }
    }

    /// Says it in the log.
    pub(super) fn say(&self) {
        let Self { findings, alerts, unevaluated, evicted } = self;
        info!(findings, alerts, unevaluated, evicted, "looked for trouble");
    }
}
