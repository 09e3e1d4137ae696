//! An alert: what findings of one rule with one dedup string add up to.

use std::sync::Arc;

use jiff::Timestamp;

use super::rule::{Rule, Severity};

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
