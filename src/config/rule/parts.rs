//! The parts of a rule's file.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units;
use crate::detect::Severity;
use crate::detect::rule::Function;

/// A severity with its condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeverityWhen {
    /// When it holds.
    #[schemars(length(min = 1, max = 4096))]
    pub when: String,
    /// How bad a finding is then.
    pub severity: Severity,
}

/// A value with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The name: letters, digits and `_`.
    pub name: String,
    /// The expression.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
}

/// MITRE's names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mitre {
    /// ATT&CK: a tactic and a technique, such as `TA0040:T1496.004`. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attack: Vec<String>,
    /// ATLAS: a technique, such as `AML.T0051`. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub atlas: Vec<String>,
}

/// Something that must hold of all findings in the window together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AggregateFile {
    /// What is made of the values.
    pub function: Function,
    /// The value of one event. One that is null counts for nothing.
    #[schemars(length(min = 1, max = 4096))]
    pub of: String,
    /// It is at least this.
    pub at_least: f64,
}

/// What is usual: the median and the median absolute deviation of the group's events before. Events that stand out are
/// among those that later ones are compared with: half of them would have to before that is what is usual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The value of one event.
    #[schemars(length(min = 1, max = 4096))]
    pub of: String,
    /// It is above the median by so many deviations (1.4826 median absolute deviations each, and at least a tenth of the
    /// median, so that a small rise does not stand out where all were alike), 0 to 1000.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub deviations: f64,
    /// And it is at least this. Default: `0`.
    #[serde(default)]
    pub at_least: f64,
    /// And it is at least so many times the median. Default: `1`.
    #[serde(default = "default_medians")]
    pub at_least_medians: f64,
    /// Events of the group that must have been before, 1 to 512. Default: `20`.
    #[serde(default = "default_samples")]
    #[schemars(range(min = 1, max = 512))]
    pub min_samples: u32,
    /// How far back events are looked at, `1m` to `30d`; of more than 512 the newest are taken. Default: `7d`.
    #[serde(default = "default_week", with = "units::duration")]
    #[schemars(with = "units::DurationText", extend("x-minimum" = "1m", "x-maximum" = "30d"))]
    pub window: Duration,
}

/// What a group had before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstSeen {
    /// What is new or not.
    #[schemars(length(min = 1, max = 4096))]
    pub of: String,
    /// Events of the group that must have been before, 0 to 512. Default: `20`.
    #[serde(default = "default_samples")]
    #[schemars(range(min = 0, max = 512))]
    pub min_samples: u32,
    /// How long something stays known after it was last seen, `1m` to `30d`; of more than 512 values of a group those that
    /// were seen last. Default: `30d`.
    #[serde(default = "default_month", with = "units::duration")]
    #[schemars(with = "units::DurationText", extend("x-minimum" = "1m", "x-maximum" = "30d"))]
    pub window: Duration,
}

/// Events with what a rule must say of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleTest {
    /// What is tested.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// The records, as JSON: one, or several behind one another in the order in which they come. Those without an account,
    /// a model or a time get some.
    pub events: String,
    /// The findings that there must be.
    pub findings: u64,
    /// The alerts that there must be. Default: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<u64>,
    /// The title of the first finding. Default: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The severity of the first finding. Default: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The dedup string of the first finding. Default: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup: Option<String>,
}

fn default_medians() -> f64 {
    1.0
}

fn default_samples() -> u32 {
    20
}

fn default_week() -> Duration {
    Duration::from_secs(7 * 86_400)
}

fn default_month() -> Duration {
    Duration::from_secs(30 * 86_400)
}
