//! An open alert, as it is kept beside the samples of its key: what a later finding does not bring along. The texts that
//! every finding of the key has are in the outbox, as long as the alert is there.

use super::bound::heap;
use crate::detect::rule::Severity;

/// The most sample ids of an alert.
pub(super) const MAX_IDS: usize = 10;

/// The most alerts of one key that further findings may be for. There are several only where events come out of order
/// by more than the period; of more, the one that began first takes nothing in any longer.
pub(super) const MAX_OPEN: usize = 64;

/// Times are in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Open {
    /// The time of the event with which it was opened.
    pub(super) opened: i64,
    /// It takes in what is after this, and before `until`.
    pub(super) after: i64,
    pub(super) until: i64,
    pub(super) first_seen: i64,
    pub(super) last_seen: i64,
    pub(super) count: u64,
    /// The revision that was given out last, and when by the clock of the process. 0: none was.
    pub(super) revision: u64,
    pub(super) given: i64,
    pub(super) severity: Severity,
    pub(super) title: Box<str>,
    /// Ids of its first events, in the order in which they came, with newlines between them.
    pub(super) ids: Box<str>,
}

impl Open {
    /// Whether an event of this time is for it.
    pub(super) fn takes(&self, time: i64) -> bool {
        time > self.after && time < self.until
    }

    /// Takes an event in.
    pub(super) fn add(&mut self, time: i64, id: impl FnOnce() -> String) {
        if self.count < MAX_IDS as u64 {
            let id = id();
            // A line is an id.
            let id = id.replace('\n', " ");
            self.ids = if self.count == 0 { id.into() } else { format!("{}\n{id}", self.ids).into() };
        }
        self.count += 1;
        self.first_seen = self.first_seen.min(time);
        self.last_seen = self.last_seen.max(time);
    }

    pub(super) fn heap(&self) -> usize {
        heap(self.title.len()) + heap(self.ids.len())
    }
}
