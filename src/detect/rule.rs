//! A rule: what is looked for in an event, how it is told, and what adds up to an alert.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::finding::{Measure, Source};
use super::hit::Hit;
use super::template::{Template, cut};
use crate::expression::{Answer, Bindings, Demand, Expression, Variables};

/// How bad a finding is, from the least.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look some day.
    Low,
    /// Worth a look.
    Medium,
    /// Worth a look now.
    High,
    /// Somebody should be called.
    Critical,
}

impl Severity {
    /// All of them, from the least.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name in files, lines and alerts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What kind of records a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum LogType {
    /// Bedrock's model invocations.
    #[serde(rename = "AWS.BedrockModelInvocation")]
    Invocation,
    /// CloudTrail's records.
    #[serde(rename = "AWS.CloudTrail")]
    CloudTrail,
}

impl LogType {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invocation => "AWS.BedrockModelInvocation",
            Self::CloudTrail => "AWS.CloudTrail",
        }
    }
}

/// A rule, compiled.
#[derive(Debug)]
pub struct Rule {
    /// Its id, such as `tap.guardrail-intervened`.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// What it looks for and why.
    pub description: String,
    /// What it does not see.
    pub blind_spots: Option<String>,
    /// How bad a finding is, unless one of `severities` says otherwise.
    pub severity: Severity,
    /// The kind of records that it is about.
    pub log_type: LogType,
    /// Words to choose it by.
    pub tags: Vec<String>,
    /// MITRE ATT&CK: `TA0040:T1496.004`.
    pub attack: Vec<String>,
    /// MITRE ATLAS: `AML.T0051`.
    pub atlas: Vec<String>,
    /// Where to read more.
    pub references: Vec<String>,
    /// What to do.
    pub runbook: Option<String>,
    /// What adds up to an alert.
    pub counting: Counting,
    /// Changes when something does that stored counts depend on.
    pub fingerprint: u64,
    pub(crate) matching: Matching,
    pub(crate) demand: Demand,
}

/// The expressions of a rule.
#[derive(Debug)]
pub(crate) struct Matching {
    /// Values that the others may use, in order.
    pub(crate) bindings: Vec<(String, Expression)>,
    pub(crate) matches: Expression,
    /// The first that holds gives the severity.
    pub(crate) severities: Vec<(Expression, Severity)>,
    pub(crate) title: Template,
    pub(crate) dedup: Option<Template>,
    pub(crate) group: Vec<(String, Expression)>,
    pub(crate) context: Vec<(String, Expression)>,
    /// What is measured of an event: for each aggregate, then for the baseline or the first use.
    pub(crate) measured: Vec<Expression>,
}

/// What adds up to an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Counting {
    /// Findings of one group and dedup string within `window`, at least.
    pub threshold: u32,
    /// The window of the threshold and the aggregates: it slides over the times of the events.
    pub window: Duration,
    /// How long an alert takes further findings in, from its first one on.
    pub dedup_period: Duration,
    /// What must hold in the window beside the threshold.
    pub aggregates: Vec<Aggregate>,
    /// What an event is compared with before it is a finding.
    pub history: Option<History>,
}

impl Counting {
    /// Whether every match is told of in an alert.
    pub(super) fn tells_at_once(&self) -> bool {
        self.threshold <= 1 && self.aggregates.is_empty() && self.history.is_none()
    }
}

/// Something that must hold of all findings in the window together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregate {
    /// What is made of the measures.
    pub function: Function,
    /// It is at least this.
    pub at_least: f64,
}

/// What is made of the measures in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// How many different ones there are.
    Distinct,
}

/// The least deviation of a baseline, as a share of its median. Where nearly all events are alike, the median absolute
/// deviation is 0 or close to it, and without this every tiny rise would stand out.
pub const MIN_DEVIATION: f64 = 0.1;

/// What an event is compared with: the events of its group before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum History {
    /// It is a finding if its measure is above what is usual: the median plus so many median absolute deviations, each
    /// scaled by 1.4826 so that it is a standard deviation where the measures are normal.
    Baseline {
        /// How many deviations.
        deviations: f64,
        /// And at least this.
        at_least: f64,
        /// And at least so many times the median.
        at_least_medians: f64,
        /// Events of the group that must have been before.
        min_samples: u32,
        /// How far back events are looked at.
        window: Duration,
    },
    /// It is a finding if no event of its group had this measure before.
    FirstSeen {
        /// Events of the group that must have been before.
        min_samples: u32,
        /// How far back events are looked at.
        window: Duration,
    },
}

/// A rule could not be evaluated for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unevaluated;

impl Rule {
    /// Whether the rule matches an event, before anything that it remembers, and what it is counted by.
    ///
    /// # Errors
    /// Its condition cannot be evaluated for this event.
    pub(crate) fn find<'h>(
        self: &'h std::sync::Arc<Self>,
        variables: Variables<'h>,
        source: impl FnOnce() -> &'h Source,
    ) -> Result<Option<Hit<'h>>, Unevaluated> {
        let Matching { bindings: values, matches, group, measured, .. } = &self.matching;
        let mut bindings = Bindings::default();
        for (name, value) in values {
            value.bind(name, &variables, &mut bindings);
        }
        if !matches.evaluate_with(&variables, &bindings).ok_or(Unevaluated)? {
            return Ok(None);
        }
        let text = |value: &Expression| value.answer(&variables, &bindings).as_ref().and_then(Answer::text);
        let group = group.iter().map(|(name, value)| (name.clone(), cut(text(value).unwrap_or_default()))).collect();
        let measures = measured.iter().map(|value| measure(&value.answer(&variables, &bindings)?)).collect();
        Ok(Some(Hit::new(self, source(), group, measures, (variables, bindings))))
    }
}

/// What is measured; a list, a text and a boolean are only told from others.
fn measure(answer: &Answer) -> Option<Measure> {
    if let Some(number) = answer.number() {
        return Some(Measure::Number(number));
    }
    let digest = Sha256::digest(answer.text()?.as_bytes());
    Some(Measure::Hash(digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))))
}
