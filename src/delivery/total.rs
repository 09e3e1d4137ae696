//! The total: what all lanes of a process did, for the last line of its log and for its metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::board::Board;
use crate::metrics;
use crate::pipeline::Tally;
use crate::record::Record;

/// Counts that lanes add to while they run.
#[derive(Debug, Default)]
pub struct Total {
    tally: Mutex<Tally>,
    read: AtomicU64,
    delivered: AtomicU64,
    board: Arc<Board>,
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

    /// Where each lane is.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    pub(crate) fn add_tally(&self, part: &Tally) {
        metrics::add_tally(part);
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

    pub(super) fn add_read(&self, records: &[Record]) {
        self.read.fetch_add(records.len() as u64, Ordering::Relaxed);
        let families = metrics::families();
        families.records_read.with_label_values::<&str>(&[]).inc_by(records.len() as u64);
        let bytes = records.iter().map(|record| record.data.len() as u64).sum();
        families.record_bytes.with_label_values::<&str>(&[]).inc_by(bytes);
    }

    pub(super) fn add_delivered(&self, records: usize) {
        self.delivered.fetch_add(records as u64, Ordering::Relaxed);
        metrics::families().records_delivered.with_label_values::<&str>(&[]).inc_by(records as u64);
    }
}
