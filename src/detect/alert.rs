//! An alert: what findings of one rule with one dedup string add up to, and the formats in which it is told.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;

use super::rule::{Rule, Severity};
use crate::format::object::Object;

mod json;
mod line;
mod ocsf;
mod pagerduty;
mod slack;
mod subject;

pub use json::json_schema;
pub use line::text;

/// An alert as it stands.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Its identity, 32 hexadecimal digits: the same for all its updates, and after a restart.
    pub id: String,
    /// The rule.
    pub rule: Arc<Rule>,
    /// The worst severity among its findings.
    pub severity: Severity,
    /// The title of the finding that opened it.
    pub title: String,
    /// What its findings have in common.
    pub dedup: String,
    /// What it is grouped by.
    pub group: Vec<(String, String)>,
    /// The newest finding's context.
    pub context: Vec<(String, String)>,
    /// The time of the first event in it.
    pub first_seen: Timestamp,
    /// The time of the last event in it.
    pub last_seen: Timestamp,
    /// Events in it.
    pub count: u64,
    /// Ids of the first events in it.
    pub event_ids: Vec<String>,
    /// 1 when it is opened, and one more with each update that is sent.
    pub revision: u64,
}

impl Alert {
    /// Whether it is told of for the first time.
    fn is_new(&self) -> bool {
        self.revision <= 1
    }

    /// What it is, in a few words: its title, or where that is blank its rule's name or id.
    fn headline(&self) -> &str {
        let names = [&self.title, &self.rule.name];
        names.into_iter().find(|name| !name.trim().is_empty()).unwrap_or(&self.rule.id)
    }
}

/// A format that a sink of alerts can ask for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum AlertFormat {
    /// One JSON object an alert, with all that is known of it.
    #[default]
    Json,
    /// An OCSF 1.8.0 event of the class Detection Finding.
    Ocsf,
    /// A message for an incoming webhook of Slack, or of what is compatible with it.
    Slack,
    /// An event of PagerDuty's Events API v2.
    Pagerduty,
}

/// What is told with an alert and not of it.
#[derive(Clone, Copy, Debug)]
pub struct AlertContext<'a> {
    /// The key of the service at PagerDuty, 32 characters (`routing_key` of the alert sink). No other format has it.
    pub routing_key: Option<&'a str>,
    /// The severity that the alert had when it was told of last; none if it never was. Slack cannot change a message, so
    /// it hears of an alert again only when this has risen.
    pub told: Option<Severity>,
    /// The program's version.
    pub version: &'a str,
    /// The time of the process.
    pub now: Timestamp,
}

impl AlertFormat {
    /// The name in the configuration and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ocsf => "ocsf",
            Self::Slack => "slack",
            Self::Pagerduty => "pagerduty",
        }
    }

    /// Whether one request takes one alert only: `batch.max_events` of its sink is 1, and its body is the alert itself.
    pub fn is_one_by_one(self) -> bool {
        matches!(self, Self::Slack | Self::Pagerduty)
    }

    /// Appends an alert in this format, one JSON value without a newline. Says whether there is anything to be sent: if
    /// not, nothing was appended, and the alert counts as told.
    #[must_use]
    pub fn encode(self, alert: &Alert, context: &AlertContext<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Json => json::encode(alert, out),
            Self::Ocsf => ocsf::encode(alert, context, out),
            Self::Slack if context.told.is_some_and(|told| told >= alert.severity) => return false,
            Self::Slack => slack::encode(alert, context, out),
            Self::Pagerduty => pagerduty::encode(alert, context, out),
        }
        true
    }
}

/// Ids of events that are told of one alert: enough to look at; `count` says how many there are.
const MAX_EVENT_IDS: usize = 100;

/// Names and values that are told of one alert.
const MAX_PAIRS: usize = 100;

/// Characters of a name and of a value.
const MAX_NAME: usize = 100;
const MAX_VALUE: usize = 1100;

/// At most so many characters of a text; `…` is the last where some are missing.
pub(super) fn bounded(text: &str, characters: usize) -> Cow<'_, str> {
    let Some((end, _)) = text.char_indices().nth(characters) else { return Cow::Borrowed(text) };
    let last = text[..end].char_indices().next_back().map_or(0, |(at, _)| at);
    Cow::Owned(format!("{}…", &text[..last]))
}

/// Appends names with their values as one object, empty where there are none.
pub(super) fn pairs(object: &mut Object<'_>, key: &'static str, pairs: &[(String, String)]) {
    object.object(key, |object| {
        for (name, value) in named(pairs) {
            object.entry(&name, &value);
        }
    });
}

/// Names with their values, bounded. Each name stands once: `region` of the view and of the event are `region` and
/// `region_2`.
fn named(pairs: &[(String, String)]) -> Vec<(String, Cow<'_, str>)> {
    let mut named: Vec<(String, Cow<'_, str>)> = Vec::new();
    for (name, value) in pairs.iter().take(MAX_PAIRS) {
        let name = bounded(name, MAX_NAME);
        let free = |name: &str| named.iter().all(|(known, _)| known != name);
        let name = std::iter::once(name.to_string())
            .chain((2..=MAX_PAIRS + 1).map(|number| format!("{name}_{number}")))
            .find(|name| free(name));
        named.extend(name.map(|name| (name, bounded(value, MAX_VALUE))));
    }
    named
}

#[cfg(test)]
mod tests;
