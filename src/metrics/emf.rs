//! Metrics as lines of JSON that CloudWatch makes metrics of when they come to a log group (source: "CloudWatch embedded
//! metric format specification" in the CloudWatch user guide). On ECS the log driver takes the lines of standard output
//! there; elsewhere the CloudWatch agent takes them over TCP.
//!
//! CloudWatch adds up what it is sent, so counters go as what they grew by since the last export. Each name with each set
//! of dimension values is a metric that is paid for: what is exported is chosen, and labels that are not chosen are added
//! up.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use globset::GlobSet;
use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use crate::format::Lines;
use crate::metrics::is_named;
use crate::sink::stdout::Stdout;
use crate::sink::{Batch, Sink, SinkError};

use self::agent::Agent;
use self::document::{Directive, Metrics};

mod agent;
mod document;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Standard error, between the lines of the log.
    Stderr,
    /// The CloudWatch agent at this host and port, over TCP.
    Agent(String),
}

/// What the exporter is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where lines go.
    pub target: Target,
    /// The namespace of the metrics.
    pub namespace: String,
    /// The log group that the agent is to put the lines into.
    pub log_group: Option<String>,
    /// Dimensions that every metric has.
    pub dimensions: BTreeMap<String, String>,
    /// The metrics that are exported, by their names.
    pub metrics: GlobSet,
    /// The labels that become dimensions.
    pub labels: Vec<String>,
}

/// Writes metrics as lines.
pub struct Exporter {
    out: Box<dyn Sink>,
    directive: Directive,
    metrics: GlobSet,
    labels: Vec<String>,
    /// What counters held at the last export.
    before: Metrics,
    /// An export that is not out yet, and what counters held then.
    pending: Option<(Arc<Batch>, Metrics)>,
}

impl Exporter {
    /// Takes the target.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn open(settings: Settings) -> anyhow::Result<Self> {
        let Settings { target, namespace, log_group, dimensions, metrics, labels } = settings;
        let out: Box<dyn Sink> = match target {
            Target::Stdout => Box::new(Stdout::new().context("standard output is closed")?),
            Target::Stderr => Box::new(Stdout::to(std::io::stderr())),
            Target::Agent(address) => Box::new(Agent::at(address)),
        };
        let directive = Directive { namespace, log_group, dimensions };
        Ok(Self { out, directive, metrics, labels, before: Metrics::default(), pending: None })
    }

    /// Writes what the families grew by since the last export, and what gauges hold now. An export that failed is written
    /// first: it may come twice where it cannot be known how much of it came.
    ///
    /// # Errors
    /// The target takes nothing.
    pub async fn export(&mut self, families: &[MetricFamily], now: Timestamp) -> Result<(), SinkError> {
        self.write_pending().await?;
        let chosen = families.iter().filter(|family| is_named(family.name(), |name| self.metrics.is_match(name)));
        let dimensions = &self.directive.dimensions;
        let metrics = Metrics::of(chosen, |label| self.labels.iter().any(|kept| kept == label), dimensions);
        let mut lines = Lines::default();
        for document in metrics.documents(&self.before, &self.directive, now) {
            lines.push_with(|line| line.extend_from_slice(document.to_string().as_bytes()));
        }
        self.pending = Some((Arc::new(Batch { parts: vec![lines], range: None }), metrics));
        self.write_pending().await
    }

    async fn write_pending(&mut self) -> Result<(), SinkError> {
        if let Some((batch, _)) = &self.pending {
            self.out.deliver(Arc::clone(batch)).await?;
        }
        if let Some((_, metrics)) = self.pending.take() {
            self.before = metrics;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
