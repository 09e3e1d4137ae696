//! A window: the log events of a log group between two times, oldest first.

use std::sync::Arc;

use jiff::Timestamp;

/// Which events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The log group's name or ARN.
    pub log_group: Arc<str>,
    /// The time of the oldest, included.
    pub from: Timestamp,
    /// The time behind the newest, excluded.
    pub to: Timestamp,
}
