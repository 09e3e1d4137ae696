//! From a configuration to log groups that are read by their own API.

use std::sync::Arc;

use crate::aws::Access;
use crate::config::{self, CloudwatchMode, CloudwatchSource};
use crate::daemon::{Seam, SourcePlan};
use crate::source::cloudwatch::client::{Group, Logs};
use crate::source::cloudwatch::groups::{Reader, Start};
use crate::source::cloudwatch::live::{self, Delays};
use crate::source::cloudwatch::poll;

/// The source.
pub(super) fn source(source: &CloudwatchSource) -> SourcePlan {
    let (access, calls_per_second) = (source.access(), f64::from(source.calls_per_second));
    let mode = Mode::of(source, &access);
    SourcePlan::Partitions(Box::new(move |seam: Seam| {
        Box::pin(async move {
            let Seam { engine, checkpoints, budget, stop } = seam;
            let connecting = Logs::connect(&access, calls_per_second);
            let Some(logs) = stop.run_until_cancelled(connecting).await else { return Ok(()) };
            // What a stretch of time holds is not the same when it is read again.
            let lanes = Arc::new(engine.without_ranges());
            let reader = Reader { logs: logs?, lanes, checkpoints, budget, stop };
            match mode {
                Mode::Poll(settings) => poll::run(&settings, reader).await?,
                Mode::Live(settings) => live::run(&settings, reader).await?,
            }
            Ok(())
        })
    }))
}

/// How the events come.
enum Mode {
    Poll(poll::Settings),
    Live(live::Settings),
}

impl Mode {
    fn of(source: &CloudwatchSource, access: &Access) -> Self {
        let (log_groups, start) = (log_groups(source), start(source.start));
        let pattern = source.filter_pattern.as_deref().map(Arc::from);
        let (interval, lag, lookback) = (source.interval, source.lag, source.lookback);
        match source.mode {
            CloudwatchMode::Poll => Self::Poll(poll::Settings { log_groups, start, interval, lag, lookback, pattern }),
            CloudwatchMode::Live => Self::Live(live::Settings {
                log_groups,
                start,
                pattern,
                is_endpoint_named: access.endpoint_url.is_some(),
                delays: Delays { lag, lookback },
                history_first: false,
            }),
        }
    }
}

/// The log groups as they are told by: as an ARN with `:*` at its end is the same log group, it has the same position.
pub fn log_groups(source: &CloudwatchSource) -> Vec<Arc<str>> {
    source.log_groups.iter().map(|text| Group::of(text).given).collect()
}

fn start(start: config::Start) -> Start {
    match start {
        config::Start::TrimHorizon => Start::Oldest,
        config::Start::Latest => Start::Latest,
        config::Start::At(time) => Start::At(time),
    }
}
