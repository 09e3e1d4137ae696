//! Several partitions that are known before they are read, a few at a time, each from where it was left to its end; and
//! how far they are, for a person who waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Source;
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::record::Partition;

/// How far the reading is. All counts begin at 0 with the process.
#[derive(Debug, Default)]
pub struct Progress {
    found: AtomicU64,
    before: AtomicU64,
    done: AtomicU64,
    objects: AtomicU64,
    gone: AtomicU64,
    bytes: AtomicU64,
    is_all_found: AtomicBool,
    is_complete: AtomicBool,
    current: Mutex<String>,
}

/// A look at [`Progress`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Partitions that were found so far, with those of `before`.
    pub found: u64,
    /// Partitions of them that were delivered to their end by an earlier run.
    pub before: u64,
    /// Partitions of them that are delivered to their end, with those of `before`.
    pub done: u64,
    /// Objects read to their end.
    pub objects: u64,
    /// Objects that were listed, and were gone when they were to be read.
    pub gone: u64,
    /// Bytes read: of objects as they are stored, of log events as they are.
    pub bytes: u64,
    /// Whether `found` is all that there is.
    pub is_all_found: bool,
    /// Whether everything was delivered to its end.
    pub is_complete: bool,
    /// The partition that was begun last.
    pub current: String,
}

impl Progress {
    /// How far it is now.
    pub fn look(&self) -> Seen {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Seen {
            found: count(&self.found),
            before: count(&self.before),
            done: count(&self.done),
            objects: count(&self.objects),
            gone: count(&self.gone),
            bytes: count(&self.bytes),
            is_all_found: self.is_all_found.load(Ordering::Relaxed),
            is_complete: self.is_complete.load(Ordering::Relaxed),
            current: self.current.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Notes partitions that there are.
    pub(crate) fn add_found(&self, partitions: u64) {
        self.found.fetch_add(partitions, Ordering::Relaxed);
    }

    /// Notes that no more partitions will be found.
    pub(crate) fn all_found(&self) {
        self.is_all_found.store(true, Ordering::Relaxed);
    }

    /// Notes a partition that was found, and was delivered before.
    pub(crate) fn add_before(&self) {
        self.before.fetch_add(1, Ordering::Relaxed);
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that everything is delivered.
    pub(crate) fn complete(&self) {
        self.is_complete.store(true, Ordering::Relaxed);
    }

    /// Notes an object that was read to its end.
    pub(crate) fn add_object(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes an object that was listed and is gone.
    pub(crate) fn add_gone(&self) {
        self.gone.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes bytes that were read.
    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn begin(&self, partition: &Partition) {
        partition.shard.as_str().clone_into(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Runs partitions, so many at a time. One that fails stops the others.
pub(crate) struct Several {
    running: JoinSet<Result<LaneEnd, LaneError>>,
    concurrency: usize,
    first_error: Result<(), LaneError>,
    is_whole: bool,
    progress: Arc<Progress>,
    stop: CancellationToken,
}

impl Several {
    /// Runs `concurrency` partitions at a time, until `stop`, which it cancels itself when one fails.
    pub(crate) fn new(concurrency: usize, progress: Arc<Progress>, stop: CancellationToken) -> Self {
        let concurrency = concurrency.max(1);
        Self { running: JoinSet::new(), concurrency, first_error: Ok(()), is_whole: true, progress, stop }
    }

    /// Waits until a partition more may run. False once nothing more is to be read.
    pub(crate) async fn has_room(&mut self) -> bool {
        while self.running.len() >= self.concurrency {
            self.join_one().await;
        }
        !self.stop.is_cancelled()
    }

    /// Begins a partition.
    pub(crate) fn begin(&mut self, lanes: Arc<dyn Lanes>, partition: Partition, source: Box<dyn Source>) {
        self.progress.begin(&partition);
        let stop = self.stop.clone();
        self.running.spawn(async move {
            let end = lanes.run(partition, source, stop.clone()).await;
            if end.is_err() {
                // Told here, since whoever looks for further partitions may be waiting for something else.
                stop.cancel();
            }
            end
        });
    }

    /// Waits for all. Whether each was delivered to its end.
    ///
    /// # Errors
    /// The first that a partition failed with.
    pub(crate) async fn finish(mut self) -> Result<bool, LaneError> {
        while !self.running.is_empty() {
            self.join_one().await;
        }
        self.first_error.map(|()| self.is_whole && !self.stop.is_cancelled())
    }

    async fn join_one(&mut self) {
        let error = match self.running.join_next().await {
            None => return,
            Some(Ok(Ok(LaneEnd::Ended { .. }))) => {
                self.progress.done.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Some(Ok(Ok(LaneEnd::Stopped))) => {
                self.is_whole = false;
                return;
            }
            Some(Ok(Err(error))) => error,
            Some(Err(_)) => LaneError::Panicked { origin: "a partition".to_owned() },
        };
        self.stop.cancel();
        if self.first_error.is_ok() {
            self.first_error = Err(error);
        }
    }
}
