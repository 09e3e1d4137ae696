//! The outlet: where lanes hand lines to a sink, and the receipts that they get for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::budget::Reservation;
use crate::format::Lines;
use crate::record::Origin;

/// Submissions that wait before a sink. The bytes are bounded by the budget; this bounds the count of tiny ones.
const QUEUE_SUBMISSIONS: usize = 256;

/// The least time between two log lines about the same slow sink.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

/// Where the lines of a run came from: one origin for each record, by the number of lines up to its last.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    ends: Vec<(usize, Origin)>,
}

impl Origins {
    /// Says that the lines up to `end` that have no origin yet came from `origin`.
    pub fn push(&mut self, end: usize, origin: &Origin) {
        if self.ends.last().map_or(0, |(last, _)| *last) < end {
            self.ends.push((end, origin.clone()));
        }
    }

    /// Where the line with this index came from.
    pub fn get(&self, index: usize) -> Option<&Origin> {
        let at = self.ends.partition_point(|(end, _)| *end <= index);
        self.ends.get(at).map(|(_, origin)| origin)
    }
}

/// Resolves once everything in its submission is durable.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<()>);

impl Receipt {
    /// Waits until everything in the submission is durable.
    ///
    /// # Errors
    /// [`Gone`]: the sink has stopped before that.
    pub async fn durable(self) -> Result<(), Gone> {
        self.0.await.map_err(|_| Gone)
    }
}

/// The sink has stopped; its task's result says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sink has stopped")]
pub struct Gone;

/// What a lane submits.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) lines: Lines,
    pub(super) origins: Arc<Origins>,
    pub(super) ticket: Arc<Ticket>,
}

/// One submission's claim to a receipt: its bytes of the budget, and the pieces that are not durable yet.
#[derive(Debug)]
pub(super) struct Ticket {
    pieces: AtomicUsize,
    receipt: Mutex<Option<oneshot::Sender<()>>>,
    hold: Mutex<Option<Arc<Reservation>>>,
}

impl Ticket {
    /// Says that the submission was split into so many pieces, before any of them is delivered.
    pub(super) fn split_into(&self, pieces: usize) {
        self.pieces.store(pieces, Ordering::Release);
    }

    /// Says that a piece is durable; with the last one the receipt is given.
    pub(super) fn piece_is_durable(&self) {
        if self.pieces.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        // The bytes are given back before the receipt is: who waits for the receipt finds them free.
        drop(self.hold.lock().map(|mut hold| hold.take()));
        if let Some(receipt) = self.receipt.lock().ok().and_then(|mut receipt| receipt.take()) {
            // A lane that has given up does not wait for its receipts.
            let _ = receipt.send(());
        }
    }
}

/// Where lanes hand lines to a sink.
#[derive(Clone, Debug)]
pub struct Outlet {
    name: Arc<str>,
    queue: mpsc::Sender<Submission>,
    pending_bytes: Arc<AtomicUsize>,
    complained: Arc<Mutex<Option<Instant>>>,
}

impl Outlet {
    /// An outlet, the end of its queue, and the count of its pending bytes.
    pub(super) fn new(name: &str) -> (Self, mpsc::Receiver<Submission>, Arc<AtomicUsize>) {
        let (queue, receiver) = mpsc::channel(QUEUE_SUBMISSIONS);
        let pending_bytes = Arc::<AtomicUsize>::default();
        let (name, count) = (name.into(), Arc::clone(&pending_bytes));
        (Self { name, queue, pending_bytes, complained: Arc::default() }, receiver, count)
    }

    /// The sink's name in logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes that were submitted and are not durable yet.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    /// Says in the log that this sink holds back reading, unless it was said within [`COMPLAINT_INTERVAL`]: many lanes
    /// wait for one slow sink.
    pub(crate) fn complain(&self, waiting: Duration) {
        let Ok(mut complained) = self.complained.lock() else { return };
        if complained.is_none_or(|last| last.elapsed() >= COMPLAINT_INTERVAL) {
            *complained = Some(Instant::now());
            tracing::warn!(
                sink = self.name(),
                pending_bytes = self.pending_bytes(),
                waiting_seconds = waiting.as_secs(),
                "a slow sink holds everything back"
            );
        }
    }

    /// Hands lines to the sink; waits while its queue is full. `hold` is given back once they are durable.
    ///
    /// # Errors
    /// [`Gone`]: the sink has stopped.
    pub async fn submit(&self, lines: Lines, origins: Origins, hold: Arc<Reservation>) -> Result<Receipt, Gone> {
        let (sender, receiver) = oneshot::channel();
        let ticket =
            Ticket { pieces: AtomicUsize::new(1), receipt: Mutex::new(Some(sender)), hold: Mutex::new(Some(hold)) };
        let bytes = lines.bytes().len();
        self.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        let submission = Submission { lines, origins: Arc::new(origins), ticket: Arc::new(ticket) };
        self.queue.send(submission).await.map_err(|_| Gone)?;
        Ok(Receipt(receiver))
    }
}
