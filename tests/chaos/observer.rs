//! The observer: a look at the lease table and at the workers' files all the time, for what must never be there in
//! between, and for when each line came.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::worker::{Output, TABLE, Worker};
use crate::support::dynamodb_double::DynamoDouble;

/// A machine that stands still for so long has paused all workers: what is not of this program's making.
const STALL: Duration = Duration::from_millis(500);

/// Looks at the table and the workers' files all the time, on a thread of its own.
pub(super) struct Observer {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Observed>>,
}

/// What the observer has seen.
#[derive(Default)]
pub(super) struct Observed {
    /// What must never be.
    pub(super) faults: BTreeSet<String>,
    /// How long the observer itself was held up at most: how busy the machine was.
    pub(super) latest: Duration,
    /// When that was long enough to hold up the workers as well.
    pub(super) stalls: Vec<(Instant, Instant)>,
    rows: BTreeMap<String, Value>,
}

impl Observer {
    pub(super) fn start(table: &Arc<DynamoDouble>, workers: &[Worker]) -> Self {
        let (table, is_over) = (Arc::clone(table), Arc::new(AtomicBool::new(false)));
        let outputs: Vec<Arc<Mutex<Output>>> = workers.iter().map(|worker| Arc::clone(&worker.output)).collect();
        let told = Arc::clone(&is_over);
        let observe = move || {
            let mut observed = Observed::default();
            while !told.load(Ordering::Relaxed) {
                let began = Instant::now();
                outputs.iter().for_each(|output| output.lock().unwrap().poll());
                observed.see(table.items(TABLE));
                thread::sleep(Duration::from_millis(20));
                observed.latest = observed.latest.max(began.elapsed());
                if began.elapsed() > STALL {
                    observed.stalls.push((began, Instant::now()));
                }
            }
            observed
        };
        Self { is_over, thread: Some(thread::spawn(observe)) }
    }

    pub(super) fn stop(mut self) -> Observed {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Observed {
    fn see(&mut self, rows: BTreeMap<String, Value>) {
        for (key, row) in &rows {
            let parents = row["parentShardId"]["SS"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let unread = |parent: &&str| rows.get(*parent).is_none_or(|parent| !is_ended(parent));
            let begun = !matches!(row["checkpoint"]["S"].as_str().unwrap(), "TRIM_HORIZON" | "LATEST" | "AT_TIMESTAMP");
            for parent in parents.filter(unread).filter(|_| begun) {
                self.faults.insert(format!("{key} has progress, its parent {parent} is not at its end"));
            }
            if let Some(before) = self.rows.get(key).filter(|before| place(before) > place(row)) {
                self.faults.insert(format!("{key} went back from {before} to {row}"));
            }
        }
        for gone in self.rows.keys().filter(|key| !rows.contains_key(*key)) {
            self.faults.insert(format!("{gone} is gone while the stream has the shard"));
        }
        self.rows = rows;
    }
}

/// What must only ever grow: the checkpoint, and the counter.
fn place(row: &Value) -> (u8, usize, &str, u64, u64) {
    let number = |name: &str| row[name]["N"].as_str().map_or(0, |digits| digits.parse().unwrap());
    let checkpoint = row["checkpoint"]["S"].as_str().unwrap();
    let (kind, digits) = match checkpoint {
        "SHARD_END" => (2, ""),
        digits if digits.starts_with(|first: char| first.is_ascii_digit()) => (1, digits),
        _ => (0, ""),
    };
    (kind, digits.len(), digits, number("checkpointSubSequenceNumber"), number("leaseCounter"))
}

/// Whether a row is at the end of its shard.
pub(super) fn is_ended(row: &Value) -> bool {
    row["checkpoint"]["S"] == "SHARD_END"
}
