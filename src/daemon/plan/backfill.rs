//! From a configuration to a backfill: its sinks, with another source and positions of their own.

use std::path::Path;
use std::sync::Arc;

use crate::aws::{Access, CredentialsFrom};
use crate::backfill::journal::Run;
use crate::backfill::{self, Job, Tools, Watched};
use crate::config::{Config, Coordination, LocalCoordination, Source};
use crate::daemon::plan::detection;
use crate::daemon::{Plan, Seam, SourcePlan};

/// What becomes of the alerts of a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alerts {
    /// They are sent.
    Sent,
    /// Nobody hears of them.
    Kept,
}

/// What delivers a job.
///
/// # Errors
/// See [`Plan::of`].
pub fn of(
    config: &Config,
    job: Job,
    run: Run,
    state: &Path,
    alerts: Alerts,
    watched: Arc<Watched>,
) -> anyhow::Result<Plan> {
    let mut config = config.clone();
    if alerts == Alerts::Kept {
        config.alerts.clear();
    }
    // The daemon may be running: its positions and its default dead letter are its own.
    config.coordination = Coordination::Local(LocalCoordination { directory: state.to_path_buf() });
    let detection = detection::plan(&config)?;
    let max_inflated_bytes = config.decode.limits().inflated_bytes;
    let source = SourcePlan::Partitions(Box::new(move |seam: Seam| {
        Box::pin(async move {
            let Seam { engine, checkpoints, budget, stop } = seam;
            // Names of ranges are made of sequence numbers, and these positions are none.
            let engine = engine.without_ranges();
            watched.count(engine.total());
            let tools = Tools { lanes: Arc::new(engine), checkpoints, budget, max_inflated_bytes, watched, stop };
            backfill::read(job, run, tools).await.map(drop)
        })
    }));
    Plan::reading(&config, source, detection)
}

/// How the services of a backfill are reached where its flags do not say: as the configured source, as far as it is of
/// the same kind, or in its Region and by its profile.
pub fn access(config: &Config, is_objects: bool) -> Access {
    match &config.source {
        Source::S3(source) if is_objects => source.aws.access(),
        Source::Cloudwatch(source) if !is_objects => source.aws.access(),
        Source::S3(source) => beside(source.aws.access()),
        Source::Cloudwatch(source) => beside(source.aws.access()),
        Source::Kinesis(source) => {
            let mut regions: Vec<_> = source.streams().iter().map(|stream| source.region_of(stream)).collect();
            regions.dedup();
            let region = if let [region] = regions[..] { region.map(str::to_owned) } else { None };
            Access { region, profile: source.profile.clone(), credentials: CredentialsFrom::Chain, ..Access::default() }
        }
        Source::Firehose(_) | Source::File(_) => Access::default(),
    }
}

/// The same credentials at another service.
fn beside(access: Access) -> Access {
    Access { endpoint_url: None, ..access }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::Place;
    use crate::checkpoint::local;
    use crate::config::Environment;
    use crate::daemon::CheckpointPlan;

    #[test]
    fn positions_are_kept_whatever_the_configured_source_has() {
        let queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/a";
        let sources = [
            "kinesis = { stream = 'a', region = 'eu-west-1' }".to_owned(),
            format!("s3.queue_url = '{queue}'"),
            "firehose = { listen = '127.0.0.1:8080', access_keys = [{ env = 'KEY' }] }".to_owned(),
        ];
        for source in sources {
            let text = format!("source.{source}\nsinks.console.stdout = {{}}");
            let config = Config::parse(&text, "test.toml", &Environment::default()).unwrap();
            let time = |text: &str| text.parse().unwrap();
            let job = Job {
                place: Place::LogGroups(vec!["a".into()]),
                from: time("2026-01-01T00:00:00Z"),
                to: time("2026-01-02T00:00:00Z"),
                access: access(&config, false),
            };
            let run = Run::untold(&job);
            let plan = of(&config, job, run, Path::new("state"), Alerts::Kept, Arc::default()).unwrap();
            let CheckpointPlan::Local(local::Settings { directory }) = plan.checkpoints else { panic!("{source}") };
            assert_eq!(directory, Path::new("state"));
        }
    }
}
