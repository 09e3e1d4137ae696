//! Parts at the start: a store is opened, and a sink is opened and asked whether it can be written to where that is
//! wanted.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{SinkPlan, panicked};
use crate::checkpoint::local::{self, Local};
use crate::health::SinkPart;
use crate::sink::batch::{self, Counts, Driver, Outlet};
use crate::sink::dead_letter::DeadLetter;

/// How long a destination may take to answer at the start, when a person waits: what needs longer is down.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens the local store.
///
/// # Errors
/// See [`Local::open`].
pub(super) async fn local(settings: local::Settings) -> anyhow::Result<Arc<Local>> {
    let opened = tokio::task::spawn_blocking(move || Local::open(&settings)).await;
    Ok(Arc::new(opened.map_err(|error| panicked(&error))??))
}

/// Opens a sink. What it is asked ends with `stop`, because nothing was read by then that has to be delivered.
///
/// # Errors
/// It cannot be opened or written to, or the process was told to stop.
pub(super) async fn open(
    plan: SinkPlan,
    dead_letter: Option<DeadLetter>,
    stop: &CancellationToken,
    abandon: &CancellationToken,
) -> anyhow::Result<(batch::Outlet, Driver)> {
    let SinkPlan { name, planned, probe, .. } = plan;
    let sink = (planned.opening)().await.with_context(|| format!("the sink {name} cannot be opened"))?;
    if probe {
        let answer = tokio::select! {
            biased;
            () = stop.cancelled() => anyhow::bail!("told to stop before the sink {name} had answered"),
            answer = tokio::time::timeout(PROBE_TIMEOUT, sink.probe()) => answer,
        };
        let answer = answer.with_context(|| format!("the sink {name} does not answer within {PROBE_TIMEOUT:?}"))?;
        answer.with_context(|| format!("the sink {name} cannot be written to"))?;
        info!(sink = name, "the destination answers, and nothing speaks against writing to it");
    }
    Ok(batch::start(&name, sink, planned.batch, dead_letter, abandon.clone()))
}

/// A sink, as it is asked about from outside.
pub(super) fn asked(outlet: &Outlet) -> SinkPart {
    let (name, counts) = counted(outlet);
    SinkPart { name, counts, is_required: outlet.is_required() }
}

/// A sink's name, and what it counts.
pub(super) fn counted(outlet: &Outlet) -> (Arc<str>, Arc<Counts>) {
    (outlet.name().into(), Arc::clone(outlet.counts()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sink::{Batch, Planned, Sink, SinkError};
    use crate::source::BoxFuture;

    /// Takes connections and answers nothing.
    struct Silent;

    impl Sink for Silent {
        fn deliver(&self, _: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
            Box::pin(std::future::pending())
        }

        fn probe(&self) -> BoxFuture<'_, Result<(), SinkError>> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_ends_in_time_and_when_told_to_stop() {
        let check = async |stop_after: Option<u64>, expected: &str| {
            let stop = CancellationToken::new();
            let told = stop.clone();
            let begun = tokio::time::Instant::now();
            tokio::spawn(async move {
                if let Some(seconds) = stop_after {
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                    told.cancel();
                }
            });
            let plan = SinkPlan { probe: true, ..SinkPlan::new("lake", Planned::made(Arc::new(Silent))) };
            let error = open(plan, None, &stop, &CancellationToken::new()).await.err().unwrap();
            assert_eq!(error.to_string(), expected);
            begun.elapsed().as_secs()
        };
        assert_eq!(check(None, "the sink lake does not answer within 30s").await, 30);
        assert_eq!(check(Some(2), "told to stop before the sink lake had answered").await, 2);
        assert_eq!(check(Some(0), "told to stop before the sink lake had answered").await, 0);
    }
}
