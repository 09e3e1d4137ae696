//! A backfill: what was logged between two times, read once and delivered as the daemon would have, for as long as it
//! takes and over as many starts as it takes.

use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::aws::Access;
use crate::budget::Budget;
use crate::checkpoint::CheckpointStore;
use crate::delivery::Lanes;
use crate::delivery::total::Total;
use crate::pipeline::Tally;
use crate::source::cloudwatch::client::{DEFAULT_CALLS_PER_SECOND, Group, Logs};
use crate::source::cloudwatch::error::Policy;
use crate::source::s3::choice::Choice;
use crate::source::s3::list::{self, Range, Runners};
use crate::source::s3::object::Objects;
use crate::source::several::{Progress, Seen};

pub mod counting;
pub mod journal;
pub mod slices;

use self::journal::Run;

/// Partitions that are read at a time: a page of log events or an object takes a round trip or two.
const CONCURRENCY: usize = 8;

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Where.
    pub place: Place,
    /// The time of the oldest calls.
    pub from: Timestamp,
    /// The time behind the newest calls.
    pub to: Timestamp,
    /// How the service is reached.
    pub access: Access,
}

/// Where a backfill reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Log groups, by name or ARN.
    LogGroups(Vec<Arc<str>>),
    /// Objects of a bucket.
    Objects {
        /// Its name.
        bucket: Arc<str>,
        /// What keys begin with.
        prefix: Arc<str>,
    },
}

impl Job {
    /// What tells the job from others: what it reads, and of which times. Sinks and selections are no part of it.
    pub fn name(&self) -> String {
        let Self { place, from, to, access } = self;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let place = match place {
            Place::LogGroups(groups) => {
                let mut groups: Vec<&str> = groups.iter().map(|group| &**group).collect();
                groups.sort_unstable();
                // Log groups of one name are in every account and Region; buckets are one of a name.
                format!("{} {} {}", groups.join(","), text(&access.region), text(&access.profile))
            }
            Place::Objects { bucket, prefix } => format!("s3://{bucket}/{prefix}"),
        };
        format!("backfill {from} {to} {place} {}", text(&access.endpoint_url))
    }
}

/// How far a backfill is: shared between who reads and who watches.
#[derive(Debug, Default)]
pub struct Watched {
    progress: Arc<Progress>,
    total: OnceLock<Arc<Total>>,
}

impl Watched {
    /// The partitions, objects and bytes.
    pub fn seen(&self) -> Seen {
        self.progress.look()
    }

    /// What was read and what became of it so far.
    pub fn tally(&self) -> Tally {
        self.total.get().map(|total| total.tally()).unwrap_or_default()
    }

    /// Takes the counts of whoever runs the partitions.
    pub fn count(&self, total: Arc<Total>) {
        self.total.get_or_init(|| total);
    }
}

/// What reading works with.
pub struct Tools {
    /// Runs partitions.
    pub lanes: Arc<dyn Lanes>,
    /// Keeps their positions.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// Holds the bytes of what was read and is not through the line.
    pub budget: Budget,
    /// The bytes that a record may have after inflating.
    pub max_inflated_bytes: usize,
    /// Told how far it is.
    pub watched: Arc<Watched>,
    /// Cancelled when nothing more is to be read.
    pub stop: CancellationToken,
}

/// Reads a job on from where `run` stopped. Whether all of it was delivered; then `run` is marked as finished.
///
/// # Errors
/// What cannot be reached or read, or delivered.
pub async fn read(job: Job, run: Run, tools: Tools) -> anyhow::Result<bool> {
    let Tools { lanes, checkpoints, budget, max_inflated_bytes, watched, stop } = tools;
    let progress = Arc::clone(&watched.progress);
    let Job { place, from, to, access } = job;
    let stream = run.stream();
    let is_whole = match place {
        Place::Objects { bucket, prefix } => {
            let objects = Box::pin(Objects::connect(&access)).await.context("S3 cannot be reached")?;
            let settings = list::Settings {
                bucket,
                prefix,
                range: Range { from, to },
                choice: Choice::default(),
                concurrency: CONCURRENCY,
                max_inflated_bytes,
                stream,
                page_keys: list::PAGE_KEYS,
            };
            let runners = Runners { lanes, growing: None };
            list::run(settings, objects, runners, Arc::clone(&checkpoints), budget, progress, stop).await?
        }
        Place::LogGroups(groups) => {
            let logs = Box::pin(Logs::connect(&access, DEFAULT_CALLS_PER_SECOND)).await;
            let logs = logs.context("CloudWatch Logs cannot be reached")?;
            let Some(known) = stop.run_until_cancelled(check(&groups, &logs, from)).await else { return Ok(false) };
            known?;
            let slices = slices::Settings { groups, from, to, stream, concurrency: CONCURRENCY };
            slices::run(slices, logs, lanes, Arc::clone(&checkpoints), budget, progress, stop).await?
        }
    };
    if is_whole {
        run.finish(checkpoints.as_ref()).await?;
    }
    Ok(is_whole)
}

/// Asks for a moment of each log group: one that is not there was misspelt, and nobody is to wait for it. What else may be
/// the matter is told by who reads it, and may pass.
async fn check(groups: &[Arc<str>], logs: &Logs, from: Timestamp) -> anyhow::Result<()> {
    let to = from.checked_add(SignedDuration::from_millis(1)).unwrap_or(from);
    for group in groups {
        match Box::pin(logs.filter_page(&Group::of(group), from, to, None, None)).await {
            Err(failure) if failure.policy == Policy::NotFound => {
                let advice = failure.advice();
                return Err(anyhow::Error::new(failure).context(advice));
            }
            _ => {}
        }
    }
    Ok(())
}
