//! The shelf: what the open ranges of all lanes share, so that memory goes from the large ones to who waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The parts of the memory that ranges which are read again may take at a time.
const SHARES: u32 = 1024;

/// The least that one counts for: no more than 16 are read again at a time.
const LEAST_SHARES: u32 = SHARES / 16;

/// What the open ranges of all lanes share.
#[derive(Debug)]
pub struct Shelf {
    /// The lanes that wait for memory; said again whenever a range has given its own back.
    waiting: watch::Sender<usize>,
    open: Mutex<Held>,
    /// A range that is read again must be whole before it gives back anything, whatever there is of memory: no more at a
    /// time than one is expected to take.
    again: Arc<Semaphore>,
    /// The lanes that read one again or wait for it.
    to_read_again: AtomicUsize,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    ranges: usize,
}

impl Default for Shelf {
    fn default() -> Self {
        let (waiting, _) = watch::channel(0);
        let again = Arc::new(Semaphore::new(SHARES as usize));
        Self { waiting, open: Mutex::default(), again, to_read_again: AtomicUsize::new(0) }
    }
}

impl Shelf {
    fn with<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        act(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a range is as large as the others on average: one of them always is.
    pub(super) fn is_large(&self, bytes: usize) -> bool {
        self.with(|open| bytes * open.ranges >= open.bytes)
    }

    /// Says that those who wait for memory are to look once more.
    pub(super) fn remind(&self) {
        self.waiting.send_modify(|_| ());
    }

    /// Tells of the lanes that wait for memory.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Waits until a range of at most `most` bytes may be read again, which was gathered within a budget of
    /// `budget_bytes`: so many that were gathered together had no more than their share of it.
    pub(super) async fn turn(self: &Arc<Self>, most: usize, budget_bytes: usize) -> Turn {
        let turn = Counting(Arc::clone(self));
        let lanes = self.to_read_again.fetch_add(1, Ordering::Relaxed) + 1;
        let share = (budget_bytes / lanes).saturating_mul(SHARES as usize) / most.max(1);
        let shares = u32::try_from(share).unwrap_or(SHARES).clamp(LEAST_SHARES, SHARES);
        // The semaphore is never closed.
        let permit = Arc::clone(&self.again).acquire_many_owned(shares).await.ok();
        Turn { _permit: permit, _counting: turn }
    }

    /// Says that a lane waits for memory, until what it gives is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        Waiting(self)
    }
}

pub(super) struct Waiting<'a>(&'a Shelf);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

/// The right to read a range again, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
    _counting: Counting,
}

#[derive(Debug)]
struct Counting(Arc<Shelf>);

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.to_read_again.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of an open range, as the shelf counts them.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) bytes: usize,
    parts: Arc<Shelf>,
}

impl Counted {
    pub(super) fn new(parts: &Arc<Shelf>) -> Self {
        parts.with(|open| open.ranges += 1);
        Self { bytes: 0, parts: Arc::clone(parts) }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.parts.with(|open| open.bytes += bytes);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.parts.with(|open| (open.ranges, open.bytes) = (open.ranges - 1, open.bytes - self.bytes));
    }
}
