//! The outlet: where lanes hand lines to a sink, and the receipts that they get for them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{RangeLimits, Settings};
use crate::budget::{Budget, Reservation};
use crate::format::Lines;
use crate::metrics;
use crate::record::Origin;
use crate::sink::Range;
use crate::sink::retry::{Complaint, Patience};

/// Submissions that wait before a sink. The bytes are bounded by the budget; this bounds the count of tiny ones.
const QUEUE_SUBMISSIONS: usize = 256;

/// The bytes that wait for a sink that is not required, beside the memory budget: what comes in a second or two.
const SPARE_BYTES: usize = 16 << 20;

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

    /// Says where the lines behind those of `self` came from, of which there are `lines`.
    pub fn append(&mut self, lines: usize, other: Self) {
        self.ends.extend(other.ends.into_iter().map(|(end, origin)| (lines + end, origin)));
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

/// What comes through the queue.
#[derive(Debug)]
pub(super) enum Message {
    /// Lines to deliver.
    Submission(Submission),
    /// Whoever submitted before waits, and nothing more comes of it: what is gathered goes now.
    Flush,
}

/// What a lane submits.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) parts: Vec<Lines>,
    pub(super) origins: Arc<Origins>,
    pub(super) range: Option<Arc<Range>>,
    pub(super) ticket: Arc<Ticket>,
}

/// One submission's claim to a receipt: its bytes of the budget, and the pieces that are not durable yet.
#[derive(Debug)]
pub(super) struct Ticket {
    pieces: AtomicUsize,
    receipt: Mutex<Option<oneshot::Sender<()>>>,
    hold: Mutex<Vec<Arc<Reservation>>>,
}

impl Ticket {
    fn new(hold: Vec<Arc<Reservation>>) -> (Arc<Self>, Receipt) {
        let (sender, receiver) = oneshot::channel();
        let ticket = Self { pieces: AtomicUsize::new(1), receipt: Mutex::new(Some(sender)), hold: Mutex::new(hold) };
        (Arc::new(ticket), Receipt(receiver))
    }

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
        drop(self.hold.lock().map(|mut hold| std::mem::take(&mut *hold)));
        if let Some(receipt) = self.receipt.lock().ok().and_then(|mut receipt| receipt.take()) {
            // A lane that has given up does not wait for its receipts.
            let _ = receipt.send(());
        }
    }
}

/// What a sink did, for its log lines and for metrics.
#[derive(Debug)]
pub struct Counts {
    metrics: metrics::Sink,
    pending_bytes: AtomicUsize,
    pending_items: AtomicUsize,
    refused: AtomicU64,
    dropped: AtomicU64,
    complaint: Mutex<Option<Complaint>>,
    last_error: Mutex<Option<(Timestamp, String)>>,
}

impl Counts {
    /// The counts of the sink with this name.
    pub fn of(sink: &str) -> Self {
        Self {
            metrics: metrics::Sink::named(sink),
            pending_bytes: AtomicUsize::default(),
            pending_items: AtomicUsize::default(),
            refused: AtomicU64::default(),
            dropped: AtomicU64::default(),
            complaint: Mutex::default(),
            last_error: Mutex::default(),
        }
    }

    /// The last failure of a try, and when it was.
    pub fn last_error(&self) -> Option<(Timestamp, String)> {
        self.last_error.lock().ok().and_then(|last| last.clone())
    }

    /// Notes a try that failed.
    pub(crate) fn failed(&self, error: &dyn std::fmt::Display) {
        if let Ok(mut last) = self.last_error.lock() {
            *last = Some((Timestamp::now(), error.to_string()));
        }
    }

    /// Whether the destination counts as up.
    pub fn is_up(&self) -> bool {
        self.metrics.up.get() != 0
    }

    /// The items that were submitted and are not durable yet.
    pub fn pending_items(&self) -> usize {
        self.pending_items.load(Ordering::Relaxed)
    }

    /// What of this is measured.
    pub fn metrics(&self) -> &metrics::Sink {
        &self.metrics
    }

    /// The bytes that were submitted and are not durable yet.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes.load(Ordering::Relaxed)
    }

    /// The items that the destination refused for good; they are in the dead letter.
    pub fn items_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The items that a sink which is not required has dropped.
    pub fn items_dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self, items: usize) {
        self.refused.fetch_add(items as u64, Ordering::Relaxed);
        self.metrics.refused(items);
    }

    fn submitted(&self, items: usize, bytes: usize) {
        self.pending_items.fetch_add(items, Ordering::Relaxed);
        self.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.metrics.submitted(items, bytes);
    }

    pub(super) fn done(&self, items: usize, bytes: usize) {
        self.pending_items.fetch_sub(items, Ordering::Relaxed);
        self.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.metrics.done(items, bytes);
    }

    /// Counts what a sink that is not required leaves behind when it ends.
    pub(super) fn drop_pending(&self, sink: &str) {
        let (items, bytes) =
            (self.pending_items.swap(0, Ordering::Relaxed), self.pending_bytes.swap(0, Ordering::Relaxed));
        self.metrics.done(items, bytes);
        self.drop_items(sink, items);
    }

    /// Counts items that are dropped, and says so at intervals that grow.
    pub(super) fn drop_items(&self, sink: &str, items: usize) {
        if items == 0 {
            return;
        }
        let dropped = self.dropped.fetch_add(items as u64, Ordering::Relaxed) + items as u64;
        self.metrics.dropped.inc_by(items as u64);
        let Ok(mut complaint) = self.complaint.lock() else { return };
        if complaint.get_or_insert_with(|| Complaint::new(Duration::ZERO)).is_due() {
            tracing::warn!(sink, dropped, "a sink that is not required drops what it cannot deliver");
        }
    }
}

/// Where lanes hand lines to a sink.
#[derive(Clone, Debug)]
pub struct Outlet {
    name: Arc<str>,
    queue: mpsc::Sender<Message>,
    counts: Arc<Counts>,
    complained: Arc<Mutex<Option<Instant>>>,
    ranges: Option<RangeLimits>,
    /// The room of a sink that is not required: beyond it, what comes is dropped.
    spare: Option<Budget>,
}

impl Outlet {
    /// An outlet, the end of its queue, and its counts.
    pub(super) fn new(name: &str, settings: &Settings) -> (Self, mpsc::Receiver<Message>, Arc<Counts>) {
        let (queue, receiver) = mpsc::channel(QUEUE_SUBMISSIONS);
        let spare = (settings.patience != Patience::Unlimited).then(|| Budget::new(SPARE_BYTES));
        let (name, counts) = (name.into(), Arc::new(Counts::of(name)));
        let outlet = Self {
            name,
            queue,
            counts: Arc::clone(&counts),
            complained: Arc::default(),
            ranges: settings.ranges,
            spare,
        };
        (outlet, receiver, counts)
    }

    /// The sink's name in logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the sink did.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The bytes that were submitted and are not durable yet.
    pub fn pending_bytes(&self) -> usize {
        self.counts.pending_bytes()
    }

    /// How large ranges become, if the sink takes whole ranges.
    pub fn ranges(&self) -> Option<RangeLimits> {
        self.ranges
    }

    /// Whether what is submitted waits for the sink. What is not required is offered.
    pub fn is_required(&self) -> bool {
        self.spare.is_none()
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
        self.submit_parts(None, vec![lines], origins, vec![hold]).await
    }

    /// Hands several runs of lines to the sink, as what a range is if one is given; waits while its queue is full.
    ///
    /// # Errors
    /// [`Gone`]: the sink has stopped.
    pub async fn submit_parts(
        &self,
        range: Option<Arc<Range>>,
        parts: Vec<Lines>,
        origins: Origins,
        holds: Vec<Arc<Reservation>>,
    ) -> Result<Receipt, Gone> {
        let place = self.queue.reserve().await.map_err(|_| Gone)?;
        self.counts.submitted(parts.iter().map(Lines::len).sum(), parts.iter().map(Lines::memory_bytes).sum());
        let (ticket, receipt) = Ticket::new(holds);
        place.send(Message::Submission(Submission { parts, origins: Arc::new(origins), range, ticket }));
        Ok(receipt)
    }

    /// Says that nothing more comes from who submitted before, and waits for it: what is gathered does not wait for more.
    pub async fn flush(&self) {
        // Who has stopped has nothing gathered.
        let _ = self.queue.send(Message::Flush).await;
    }

    /// Hands lines to a sink that is not required: what it has no room for is dropped and counted. Nobody waits for it.
    pub fn offer(&self, lines: Lines, origins: Origins) {
        let (items, bytes) = (lines.len(), lines.memory_bytes());
        let hold = self.spare.as_ref().and_then(|spare| spare.try_reserve(bytes));
        let place = hold.and_then(|hold| Some((hold, self.queue.try_reserve().ok()?)));
        let Some((hold, place)) = place else { return self.counts.drop_items(&self.name, items) };
        self.counts.submitted(items, bytes);
        let (ticket, _) = Ticket::new(vec![Arc::new(hold)]);
        let submission = Submission { parts: vec![lines], origins: Arc::new(origins), range: None, ticket };
        place.send(Message::Submission(submission));
    }
}
