//! What the daemon says at its end: what was read, what became of it, and what was not delivered.

use tracing::{info, warn};

use super::Summary;
use crate::pipeline::{Noted, Tally};
use crate::sink::batch::Counts;

/// The last lines of the log.
pub(super) fn say(summary: &Summary, closed_pipe: bool) {
    let undelivered = summary.records_read.saturating_sub(summary.records_delivered);
    // Who closes a pipe has seen enough and wants no warning.
    if undelivered > 0 && !closed_pipe {
        warn!(records = undelivered, "stopped before these were delivered, the next start reads them again");
    }
    let Tally { payloads, envelopes, control, log_events, invocations, skipped, rejects, noted } = &summary.tally;
    info!(
        records = summary.records_read,
        payloads,
        envelopes,
        control,
        log_events,
        invocations,
        skipped = skipped.values().sum::<u64>(),
        rejects = rejects.values().sum::<u64>(),
        "done"
    );
    if let Some(detected) = &summary.detected {
        detected.say();
    }
    if *noted != Noted::default() {
        info!(
            unevaluated = noted.unevaluated,
            masked = ?noted.masked,
            bodies = ?noted.bodies,
            unpriced = ?noted.unpriced,
            "noted on the way"
        );
    }
}

/// Says what a sink did not deliver, if there is anything.
pub(super) fn say_undelivered(sink: &str, counts: &Counts) {
    let (refused, dropped) = (counts.items_refused(), counts.items_dropped());
    if refused > 0 || dropped > 0 {
        info!(
            sink,
            refused, dropped, "not delivered: what was refused is in the dead letter, what was dropped is gone"
        );
    }
}
