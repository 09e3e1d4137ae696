//! The total: what all lanes of a process did, for the last line of its log and for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::pipeline::Tally;

/// Counts that lanes add to while they run.
#[derive(Debug, Default)]
pub struct Total {
    tally: Mutex<Tally>,
    read: AtomicU64,
    delivered: AtomicU64,
}

impl Total {
    /// What was read and what became of it, delivered or not.
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that sources handed over.
    pub fn records_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Records of which everything is durable.
    pub fn records_delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    pub(crate) fn add_tally(&self, part: &Tally) {
        let mut total = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        total.payloads += part.payloads;
        total.envelopes += part.envelopes;
        total.control += part.control;
        total.log_events += part.log_events;
        total.invocations += part.invocations;
        for (kind, count) in &part.skipped {
            *total.skipped.entry(*kind).or_default() += count;
        }
        for (reason, count) in &part.rejects {
            *total.rejects.entry(*reason).or_default() += count;
        }
        total.noted.add(&part.noted);
    }

    pub(super) fn add_read(&self, records: usize) {
        self.read.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(super) fn add_delivered(&self, records: usize) {
        self.delivered.fetch_add(records as u64, Ordering::Relaxed);
    }
}
