//! Where invocations come from: files, or a stream that is read beside whatever else reads it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::groups::{self, Watched};
use super::screen::Screen;
use crate::aws::Access;
use crate::budget::Budget;
use crate::checkpoint::memory::Memory;
use crate::cli::UsageError;
use crate::cli::check;
use crate::config;
use crate::daemon::plan;
use crate::delivery::Lanes;
use crate::pipeline::Settings;
use crate::source::cloudwatch::client::Group;
use crate::source::file::{self, inputs};
use crate::source::kinesis::client;
use crate::source::kinesis::coordinator::{self, OnTrimmed};
use crate::source::kinesis::pace::Limits;
use crate::source::kinesis::shards::Start;

/// Bytes in flight over all shards: six of the largest answers that Kinesis gives (10 MiB), since a person reads no
/// faster, whatever the stream holds.
const BUDGET_BYTES: usize = 64 << 20;

/// Reads of a shard a second: what a daemon leaves of the service's five to a person who watches.
const CALLS_PER_SECOND: f64 = 1.0;

/// The longest wait between two reads of a shard that has nothing new: a person notices no second.
const MAX_IDLE: Duration = Duration::from_secs(1);

/// What is read, and what the pure line is told about it.
#[derive(Debug)]
pub(super) struct From {
    pub(super) line: Settings,
    input: Input,
}

#[derive(Debug)]
enum Input {
    /// Files, globs, directories or `-`, each read once.
    Files(Vec<String>),
    /// A stream, and how to reach it; what is missing comes from the AWS configuration.
    Stream(client::Settings),
    /// Log groups.
    LogGroups(Watched),
}

impl From {
    /// Files, globs, directories or `-`.
    pub(super) fn files(names: Vec<String>) -> Self {
        Self { line: Settings::default(), input: Input::Files(names) }
    }

    /// A stream.
    pub(super) fn stream(client: client::Settings) -> Self {
        Self { line: Settings::default(), input: Input::Stream(client) }
    }

    /// Log groups, by their names or ARNs.
    pub(super) fn log_groups(names: &[String], mut access: Access) -> Self {
        let groups: Vec<_> = names.iter().map(|name| Group::of(name)).collect();
        let region = groups.iter().find_map(|group| group.region.as_deref().map(str::to_owned));
        access.region = access.region.or(region);
        let mut named: Vec<Arc<str>> = Vec::with_capacity(groups.len());
        for group in groups {
            // Named twice, its lines would come twice, and no session is given for it.
            if !named.contains(&group.given) {
                named.push(group.given);
            }
        }
        Self { line: Settings::default(), input: Input::LogGroups(Watched { names: named, access, pattern: None }) }
    }

    /// What a configuration names as its source, with its limits and its log groups. Its positions are left alone.
    pub(super) fn config(path: &Path) -> Result<Self, UsageError> {
        let config = check::load(path)?;
        let line = plan::line(&config).map_err(|error| UsageError(format!("{error:#}")))?;
        let input = match config.source {
            config::Source::File(files) => Input::Files(files.paths),
            config::Source::Kinesis(kinesis) => match kinesis.streams().as_slice() {
                [stream] => Input::Stream(plan::streams::client(&kinesis, stream)),
                streams => {
                    let message = "has several streams, and one is watched at a time: give one with `--stream`";
                    let file = path.display();
                    return Err(UsageError(format!("{file} {message} ({})", streams.join(", "))));
                }
            },
            config::Source::Cloudwatch(source) => {
                let pattern = source.filter_pattern.as_deref().map(Arc::from);
                let (names, access) = (plan::cloudwatch::log_groups(&source), source.access());
                Input::LogGroups(Watched { names, access, pattern })
            }
            other => {
                let (kind, file) = (other.kind(), path.display());
                let instead = "watch the log group that the same calls are logged to, with --log-group NAME";
                return Err(UsageError(format!("{file}: a source of the kind {kind} cannot be watched; {instead}")));
            }
        };
        Ok(Self { line, input })
    }

    /// Reads to the end of the files, or until `stop` is cancelled; a stream from its newest record on, or from what
    /// arrived since: an event never arrives before it happened.
    pub(super) async fn read(
        self,
        since: Option<Timestamp>,
        screen: Arc<Screen>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let lanes: Arc<dyn Lanes> = screen;
        // Nothing is ever committed to it; it only says that no shard has a position.
        let checkpoints = Arc::new(Memory::default());
        let budget = Budget::new(BUDGET_BYTES);
        match self.input {
            Input::Files(names) => {
                let settings = file::Settings {
                    inputs: inputs::expand(&names)?,
                    max_inflated_bytes: self.line.limits.inflated_bytes,
                    // One after the other, in the order in which they were named.
                    concurrency: 1,
                };
                Ok(Box::pin(file::run(settings, Arc::clone(&lanes), lanes, checkpoints, budget, stop)).await?)
            }
            Input::Stream(client) => {
                let name = client.stream.clone();
                let settings = coordinator::Settings {
                    start: since.map_or(Start::Latest, Start::AtTimestamp),
                    // Who watches wants to go on watching.
                    on_trimmed: OnTrimmed::Oldest,
                    limits: Limits { calls_per_second: CALLS_PER_SECOND, max_idle: MAX_IDLE },
                    ..coordinator::Settings::new(client)
                };
                let read = Box::pin(coordinator::run(settings, lanes, checkpoints, budget, stop)).await;
                read.with_context(|| format!("cannot watch the stream {name}"))
            }
            Input::LogGroups(watched) => {
                Box::pin(groups::watch(watched, since, lanes, checkpoints, budget, stop)).await
            }
        }
    }
}
