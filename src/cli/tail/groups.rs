//! Log groups that are watched: looked up before, so that a person who mistyped a name is told at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::aws::Access;
use crate::budget::Budget;
use crate::checkpoint::memory::Memory;
use crate::delivery::Lanes;
use crate::source::cloudwatch::client::{DEFAULT_CALLS_PER_SECOND, Group, Logs};
use crate::source::cloudwatch::error::{CallError, Policy};
use crate::source::cloudwatch::groups::{Reader, Start};
use crate::source::cloudwatch::live::{self, Delays};

/// A person looks at the newest, and waits for the rest: what is read without a session is so old, and once more two
/// minutes later.
const DELAYS: Delays = Delays { lag: Duration::from_secs(10), lookback: Duration::from_secs(120) };

/// Names of log groups that are offered where there is none of the name.
const MAX_NEAR: usize = 5;

/// What is watched.
#[derive(Debug)]
pub(super) struct Watched {
    /// Log groups, each by its name or its ARN.
    pub(super) names: Vec<Arc<str>>,
    /// How they are reached.
    pub(super) access: Access,
    /// What events have to match, in CloudWatch Logs' syntax.
    pub(super) pattern: Option<Arc<str>>,
}

/// Shows what log groups hold since a time, or from now on, until `stop` is cancelled.
///
/// # Errors
/// No access, a log group that is not there, or one that cannot be read.
pub(super) async fn watch(
    watched: Watched,
    since: Option<Timestamp>,
    lanes: Arc<dyn Lanes>,
    checkpoints: Arc<Memory>,
    budget: Budget,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Watched { names, access, pattern } = watched;
    let logs = Box::pin(Logs::connect(&access, DEFAULT_CALLS_PER_SECOND)).await?;
    for name in &names {
        Box::pin(find(&logs, name)).await?;
    }
    let settings = live::Settings {
        log_groups: names,
        start: since.map_or(Start::Latest, Start::At),
        pattern,
        is_endpoint_named: access.endpoint_url.is_some(),
        delays: DELAYS,
        history_first: true,
    };
    let read = Box::pin(live::run(&settings, Reader { logs, lanes, checkpoints, budget, stop })).await;
    read.with_context(|| format!("cannot watch {}", settings.log_groups.join(", ")))
}

/// Finds out whether a log group is there, as far as one may.
async fn find(logs: &Logs, name: &str) -> anyhow::Result<()> {
    let group = Group::of(name);
    let Err(failure) = logs.describe(&group).await else { return Ok(()) };
    let advice = failure.advice();
    match failure.policy {
        Policy::NotFound => anyhow::bail!("{}", not_there(logs, &group).await),
        // An ARN needs no look-up, and reading may be allowed where looking up is not.
        Policy::Denied if is_right(&failure) && group.account.is_some() => Ok(()),
        Policy::Denied if is_right(&failure) => {
            warn!(error = %failure, advice, "the log group cannot be looked up, reading by polling");
            Ok(())
        }
        Policy::Denied | Policy::Invalid => Err(anyhow::Error::new(failure).context(advice)),
        // It may work the next time, and then goes on.
        Policy::Throttled | Policy::Retry => Ok(()),
    }
}

/// Whether it is the right that is missing, and not good credentials.
fn is_right(failure: &CallError) -> bool {
    matches!(failure.code.as_str(), "AccessDeniedException" | "AccessDenied")
}

async fn not_there(logs: &Logs, group: &Group) -> String {
    let (name, region) = (&group.given, logs.region());
    let none = format!("there is no log group {name} in {region}");
    // The last part of a name is what a person remembers.
    let part = group.name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(&group.name);
    let call = logs.client().describe_log_groups().log_group_name_pattern(part);
    let near = Box::pin(call.send()).await.ok().and_then(|answer| answer.log_groups).unwrap_or_default();
    let near: Vec<_> = near.into_iter().filter_map(|group| group.log_group_name).take(MAX_NEAR).collect();
    if near.is_empty() {
        format!("{none}: check the name, --region and --profile")
    } else {
        format!("{none}; there is {}", near.join(", "))
    }
}
