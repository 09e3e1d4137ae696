//! From a configuration to log groups that are read by their own API.

use std::sync::Arc;

use crate::config::{self, CloudwatchMode, CloudwatchSource, Config};
use crate::daemon::{Seam, SourcePlan};
use crate::source::cloudwatch::client::{Group, Logs};
use crate::source::cloudwatch::groups::{Reader, Start};
use crate::source::cloudwatch::live::{self, Delays};
use crate::source::cloudwatch::poll;

/// The source.
pub(super) fn source(source: &CloudwatchSource, _: &Config) -> SourcePlan {
    match source.mode {
        CloudwatchMode::Poll => polling(source),
        CloudwatchMode::Live => watching(source),
    }
}

/// The log groups as they are told by: as an ARN with `:*` at its end is the same log group, it has the same position.
pub fn log_groups(source: &CloudwatchSource) -> Vec<Arc<str>> {
    source.log_groups.iter().map(|text| Group::of(text).given).collect()
}

fn watching(source: &CloudwatchSource) -> SourcePlan {
    let (access, calls_per_second) = (source.access(), f64::from(source.calls_per_second));
    let settings = live::Settings {
        log_groups: log_groups(source),
        start: start(source.start),
        pattern: source.filter_pattern.as_deref().map(Arc::from),
        is_endpoint_named: access.endpoint_url.is_some(),
        delays: Delays { lag: source.lag, lookback: source.lookback },
        history_first: false,
    };
    SourcePlan::Partitions(Box::new(move |seam: Seam| {
        Box::pin(async move {
            let Seam { engine, checkpoints, budget, stop } = seam;
            let connecting = Logs::connect(&access, calls_per_second);
            let Some(logs) = stop.run_until_cancelled(connecting).await else { return Ok(()) };
            // What a stretch of time holds is not the same when it is read again.
            let lanes = Arc::new(engine.without_ranges());
            live::run(&settings, Reader { logs: logs?, lanes, checkpoints, budget, stop }).await?;
            Ok(())
        })
    }))
}

fn polling(source: &CloudwatchSource) -> SourcePlan {
    let (access, calls_per_second) = (source.access(), f64::from(source.calls_per_second));
    let settings = poll::Settings {
        log_groups: log_groups(source),
        start: start(source.start),
        interval: source.interval,
        lag: source.lag,
        lookback: source.lookback,
        pattern: source.filter_pattern.as_deref().map(Arc::from),
    };
    SourcePlan::Partitions(Box::new(move |seam: Seam| {
        Box::pin(async move {
            let Seam { engine, checkpoints, budget, stop } = seam;
            let connecting = Logs::connect(&access, calls_per_second);
            let Some(logs) = stop.run_until_cancelled(connecting).await else { return Ok(()) };
            // What a stretch of time holds is not the same when it is read again.
            let lanes = Arc::new(engine.without_ranges());
            poll::run(&settings, Reader { logs: logs?, lanes, checkpoints, budget, stop }).await?;
            Ok(())
        })
    }))
}

fn start(start: config::Start) -> Start {
    match start {
        config::Start::TrimHorizon => Start::Oldest,
        config::Start::Latest => Start::Latest,
        config::Start::At(time) => Start::At(time),
    }
}
