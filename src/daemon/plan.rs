//! From a configuration to the parts that run: what each of them is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;

use super::export::{ExportPlan, ExportTo};
use super::{CheckpointPlan, DetectionPlan, Plan, SinkPlan, SourcePlan};
use crate::aws::{Access, CredentialsFrom};
use crate::bodies;
use crate::checkpoint::local;
use crate::config::{
    AssumeRole, Config, Coordination, DeadLetter, FileSource, LogFormat, Redact, RedactedBodies, Sink, Source,
};
use crate::delivery::work::Crew;
use crate::detect::Detector;
use crate::pipeline::{Detection, Output, Settings};
use crate::redact::{self, Redactor};
use crate::source::file as files;
use crate::telemetry;

pub mod backfill;
pub mod cloudwatch;
pub(super) mod detection;
pub mod firehose;
mod list;
pub mod s3;
pub mod streams;

/// Files read at a time: enough to hide the wait for a disk, few enough that their pieces do not crowd the budget.
const FILES_AT_A_TIME: usize = 4;

/// The name of the dead letter among the sinks, in logs.
const DEAD_LETTER: &str = "dead_letter";

impl Plan {
    /// What a configuration runs.
    ///
    /// # Errors
    /// Files that the source names and that are not there or cannot be read; a key that is not there; a rule that is not
    /// valid, as [`ConfigError`](crate::config::ConfigError).
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        // What is wrong with the rules is said before what is wrong with the world.
        let detection = detection::plan(config)?;
        let source = match &config.source {
            Source::File(source) => SourcePlan::Files(files_of(source, config)?),
            Source::S3(source) => s3::source(source, config),
            Source::Cloudwatch(source) => cloudwatch::source(source),
            Source::Firehose(source) => firehose::source(source, config),
            Source::Kinesis(source) => match &config.coordination {
                Coordination::Local(_) => streams::alone(source),
                Coordination::Dynamodb(table) => streams::shared(source, table),
            },
        };
        let plan = Self::reading(config, source, detection)?;
        // Nothing is opened for positions that there are not, so that such a source runs without a disk; what detection
        // remembers says for itself where it is kept.
        let checkpoints = if config.source.has_positions() { plan.checkpoints } else { CheckpointPlan::Memory };
        Ok(Self { checkpoints, ..plan })
    }

    /// What a configuration runs with another source.
    ///
    /// # Errors
    /// A key that is not there.
    fn reading(config: &Config, source: SourcePlan, looking: Option<DetectionPlan>) -> anyhow::Result<Self> {
        // Whoever wants to know that sinks can be written to wants to know it of what they refuse, too.
        let probe = config.sinks.values().any(|sink| sink.events().probe);
        let letters = config.dead_letters.iter();
        let sinks = sink_plans(config);
        let detection = looking.as_ref().map(|plan| Arc::clone(&plan.detector));
        Ok(Self {
            source,
            crew: Crew::of_lines(lines(config, &sinks, detection)?),
            detection: looking,
            bodies: bodies(config),
            sinks,
            dead_letter: dead_letter_plan(DEAD_LETTER, &config.dead_letter(), probe),
            dead_letters: letters.map(|(name, letter)| dead_letter_plan(name, letter, probe)).collect(),
            checkpoints: match &config.coordination {
                Coordination::Local(local) => {
                    CheckpointPlan::Local(local::Settings { directory: local.directory.clone() })
                }
                // Positions are in the leases.
                Coordination::Dynamodb(_) => CheckpointPlan::Memory,
            },
            memory_bytes: config.memory_budget.as_usize(),
            drain: config.drain_timeout,
            http: config.http.as_ref().map(|http| http.listen),
            exports: exports(config),
        })
    }
}

/// Where metrics are sent.
fn exports(config: &Config) -> Vec<ExportPlan> {
    let otlp = config.metrics.otlp.as_ref();
    let otlp = otlp.map(|otlp| ExportPlan { every: otlp.interval, to: ExportTo::Otlp(otlp.settings()) });
    let emf = config.metrics.emf.as_ref();
    let emf = emf.and_then(|emf| Some(ExportPlan { every: emf.interval, to: ExportTo::Emf(emf.settings()?) }));
    otlp.into_iter().chain(emf).collect()
}

/// What the pure lines are told.
///
/// # Errors
/// See [`line`] and [`outputs`].
pub(super) fn lines(config: &Config, sinks: &[SinkPlan], detector: Option<Arc<Detector>>) -> anyhow::Result<Settings> {
    let detection = detector.map(|detector| Detection { detector, marks: config.detect.findings });
    Ok(Settings { outputs: outputs(config, sinks)?, detection, ..line(config)? })
}

/// The sinks, in the order of their names.
pub(super) fn sink_plans(config: &Config) -> Vec<SinkPlan> {
    config.sinks.iter().map(|(name, sink)| sink_plan(name, sink, config)).collect()
}

/// What the pure line is told beside its outputs.
///
/// # Errors
/// A log group's pattern or an expression that is none; the configuration's own check refuses it before.
pub fn line(config: &Config) -> anyhow::Result<Settings> {
    Ok(Settings {
        limits: config.decode.limits(),
        log_groups: config.extract.log_group_set().context("`extract.log_groups`")?,
        selection: config
            .select
            .selection()
            .map_err(|flaw| anyhow::anyhow!("`select`: {}", flaw.message))?
            .map(Arc::new),
        prices: Arc::new(config.cost.prices()),
        detection: None,
        outputs: Vec::new(),
        source_id: config.panther.source_id.clone(),
        source_label: config.panther.source_label.clone(),
        unmapped: config.panther.unmapped,
        metered: config.exports_metrics(),
    })
}

/// How bodies in S3 are fetched, if they are.
fn bodies(config: &Config) -> Option<bodies::Settings> {
    let section = &config.bodies;
    section.fetch.then(|| bodies::Settings {
        access: Access {
            region: section.region_beside(&config.source).map(str::to_owned),
            profile: section.profile_beside(&config.source).map(str::to_owned),
            endpoint_url: section.endpoint_url.clone(),
            assume_role: section.assume_role.as_ref().map(AssumeRole::settings),
            credentials: CredentialsFrom::Chain,
        },
        buckets: section.buckets.clone(),
        max_body_bytes: section.max_body.as_usize(),
        concurrency: usize::from(section.concurrency),
        wait: section.wait,
        memory_bytes: section.memory.as_usize(),
        // The record around a body has two levels.
        depth: config.decode.limits().depth.saturating_sub(2),
        pace: bodies::Pace::default(),
    })
}

/// One output for each sink, in the order of their names, which is that of `plans`.
///
/// # Errors
/// A key that is not there, or one that is too short.
fn outputs(config: &Config, plans: &[SinkPlan]) -> anyhow::Result<Vec<Output>> {
    let mut redactors = BTreeMap::new();
    let names: BTreeSet<&str> = config.sinks.values().filter_map(Sink::redact).collect();
    for name in names {
        let policy = config.redact.get(name).with_context(|| format!("there is no [redact.{name}]"))?;
        let redactor = redactor(policy).with_context(|| format!("[redact.{name}]"))?;
        redactors.insert(name, Arc::new(redactor));
    }
    let output = |(sink, plan): (&Sink, &SinkPlan)| {
        let selection = sink.events().selection().map_err(|flaw| anyhow::anyhow!("{}", flaw.message))?;
        Ok(Output {
            format: sink.format(),
            redactor: sink.redact().and_then(|name| redactors.get(name).cloned()),
            selection: selection.map(Arc::new),
            tags: plan.planned.tags.clone(),
            originals: plan.planned.may_refuse,
        })
    };
    config.sinks.values().zip(plans).map(output).collect()
}

fn redactor(policy: &Redact) -> anyhow::Result<Redactor> {
    let bodies = match policy.bodies {
        RedactedBodies::Keep => redact::Bodies::Keep,
        RedactedBodies::Drop => redact::Bodies::Drop,
        RedactedBodies::Hash => {
            let secret = policy.key.as_ref().context("`key` is missing")?;
            let key = secret.read().context("`key` is not there")?;
            let (length, least) = (key.len(), Redact::MIN_KEY_BYTES);
            anyhow::ensure!(length >= least, "`key` has {length} bytes, and needs {least} at least ({secret})");
            redact::Bodies::Hash(Box::new(redact::Key::new(&key)))
        }
    };
    let patterns = policy.patterns.iter().map(|(name, pattern)| (name.as_str(), pattern.as_str()));
    Redactor::new(bodies, &policy.detect, patterns).context("`patterns`")
}

/// What the log is told.
pub fn log(config: &Config) -> telemetry::Settings {
    let form = match config.log.format {
        LogFormat::Text => telemetry::Form::Text,
        LogFormat::Json => telemetry::Form::Json,
    };
    telemetry::Settings { form, level: config.log.level.as_str().to_owned() }
}

/// What the file source is told.
///
/// # Errors
/// A path that is not there or cannot be read.
fn files_of(source: &FileSource, config: &Config) -> anyhow::Result<files::Settings> {
    Ok(files::Settings {
        inputs: files::inputs::expand(&source.paths)?,
        max_inflated_bytes: config.decode.limits().inflated_bytes,
        concurrency: FILES_AT_A_TIME,
    })
}

fn sink_plan(name: &str, sink: &Sink, config: &Config) -> SinkPlan {
    let letter = sink.events().dead_letter.as_ref();
    SinkPlan {
        name: name.to_owned(),
        planned: sink.plan(),
        dead_letter: letter.and_then(|letter| config.dead_letters.keys().position(|name| name == letter)),
        probe: sink.events().probe,
    }
}

fn dead_letter_plan(name: &str, letter: &DeadLetter, probe: bool) -> SinkPlan {
    SinkPlan { name: name.to_owned(), planned: letter.plan(), dead_letter: None, probe }
}
