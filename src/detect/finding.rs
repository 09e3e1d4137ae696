//! A finding: one rule's match on one event, with all that an alert needs to know of it.

use std::sync::Arc;

use jiff::Timestamp;

use super::rule::{Rule, Severity};
use crate::enrich::Event;
use crate::json::push_hex;

mod line;

pub(in crate::detect) use line::{Line, shown};
pub use line::{json, text};
pub(crate) use line::{rule_in, tone};

/// What a rule found in an event.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: Arc<Rule>,
    /// How bad it is.
    pub severity: Severity,
    /// What it is, in one line.
    pub title: String,
    /// What it is counted and told under: findings of a rule with the same text are one alert.
    pub dedup: String,
    /// What it is grouped by: names and values, in the rule's order. What is not known is empty.
    pub group: Vec<(String, String)>,
    /// What a person wants to know beside the title: names and values, in the rule's order.
    pub context: Vec<(String, String)>,
    /// When the event was.
    pub time: Timestamp,
    /// The event's identity: its row id, or CloudTrail's event id; the same for every redelivery.
    pub event_id: String,
    /// The call's id, if it is known.
    pub request_id: Option<String>,
    /// What the rule measures of the event: for each of its aggregates, and for its baseline, the number or the hash of
    /// the text. None is something that is not known, and counts for nothing.
    pub measures: Vec<Option<Measure>>,
}

/// What is measured of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// A number.
    Number(f64),
    /// The hash of a text, of which only is asked whether it is the same as another.
    Hash(u64),
}

/// What a finding takes from the event itself.
#[derive(Clone, Debug)]
pub struct Source {
    /// When the event was.
    pub time: Timestamp,
    /// Its identity: the row id of an invocation, CloudTrail's event id.
    pub event_id: String,
    /// The call's id.
    pub request_id: Option<String>,
}

impl Source {
    /// What a finding takes from an invocation.
    pub fn of_event(event: &Event<'_>) -> Self {
        let request_id = event.invocation.request_id.map(|id| id.decode().into_owned()).filter(|id| !id.is_empty());
        let mut event_id = Vec::with_capacity(32);
        push_hex(&mut event_id, &event.row_id());
        let event_id = String::from_utf8(event_id).unwrap_or_default();
        Self { time: event.invocation.event_time, event_id, request_id }
    }
}

#[cfg(test)]
mod tests;
