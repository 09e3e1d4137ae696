//! Batching: what lanes submit is collected while the sink is busy and delivered together. One task a sink, a bounded
//! queue before it, and a receipt for each submission that resolves once all of it is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dead_letter::{DeadLetter, refused};
use super::retry::{self, Circuit, Patience};
use super::{Batch, Range, Sink, SinkError};
use crate::format::Lines;
use crate::record::Origin;

use self::outlet::{Message, Submission, Ticket};

mod outlet;

pub use self::outlet::{Counts, Gone, Origins, Outlet, Receipt};

/// How batches are made for one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The bytes at which a batch is full. One item that is larger makes a batch of its own.
    pub max_batch_bytes: usize,
    /// The items at which a batch is full.
    pub max_batch_items: usize,
    /// How long a batch that is not full waits for more. Zero: it goes as soon as the sink is free.
    pub linger: Duration,
    /// The batches that may be under way at a time. One keeps the order.
    pub concurrency: usize,
    /// The bytes of the largest item, newline included: a larger one is refused without asking the destination.
    pub max_item_bytes: usize,
    /// Bytes that each item adds to a batch in the destination's count, beside its own.
    pub item_overhead_bytes: usize,
    /// How long a batch is tried. A sink that does not try for ever never holds anything back: what it has no room for
    /// is dropped.
    pub patience: Patience,
    /// Whether the sink takes whole ranges of partitions, each as a batch of its own, instead of what there is; and how
    /// large and old a range becomes. Such a sink answers for whole batches: a part of a range has no name.
    pub ranges: Option<RangeLimits>,
}

/// When a range ends. It may end earlier, where memory is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLimits {
    /// Bytes of its items.
    pub bytes: usize,
    /// Time since its first item was read.
    pub age: Duration,
}

impl Settings {
    /// What suits a local destination that takes everything.
    pub const DEFAULT: Self = Self {
        // One write and one sync of 8 MiB stay well under a second on a slow disk.
        max_batch_bytes: 8 << 20,
        max_batch_items: usize::MAX,
        linger: Duration::ZERO,
        concurrency: 1,
        max_item_bytes: usize::MAX,
        item_overhead_bytes: 0,
        patience: Patience::Unlimited,
        ranges: None,
    };

    /// The bytes that items count for.
    fn bytes_of(&self, parts: &[Lines]) -> usize {
        parts.iter().map(|lines| lines.bytes().len() + lines.len() * self.item_overhead_bytes).sum()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A part of a submission that fits a batch.
#[derive(Debug)]
struct Piece {
    parts: Vec<Lines>,
    /// The index of its first item in the submission.
    first: usize,
    origins: Arc<Origins>,
    range: Option<Arc<Range>>,
    ticket: Arc<Ticket>,
}

impl Piece {
    fn items(&self) -> usize {
        self.parts.iter().map(Lines::len).sum()
    }
}

/// Deliveries under way.
type UnderWay = JoinSet<Result<(), SinkError>>;

/// How long a sink that is not required may go on once nothing more comes.
const BEST_EFFORT_DRAIN: Duration = Duration::from_secs(5);

/// The task of one sink; see [`start`].
pub struct Driver {
    name: Arc<str>,
    sink: Arc<dyn Sink>,
    settings: Settings,
    dead_letter: Option<DeadLetter>,
    abandon: CancellationToken,
    queue: mpsc::Receiver<Message>,
    backlog: VecDeque<Piece>,
    counts: Arc<Counts>,
    circuit: Arc<Circuit>,
}

/// Makes the outlet of a sink and the driver that delivers what it takes. What the destination refuses goes to
/// `dead_letter`; a sink without one is a dead letter itself, where a refusal is the end. Once `abandon` is cancelled
/// the driver ends and leaves what is not durable without a receipt.
pub fn start(
    name: &str,
    sink: Arc<dyn Sink>,
    settings: Settings,
    dead_letter: Option<DeadLetter>,
    abandon: CancellationToken,
) -> (Outlet, Driver) {
    let (outlet, queue, counts) = Outlet::new(name, &settings);
    let (name, backlog, circuit) = (Arc::from(outlet.name()), VecDeque::new(), Arc::default());
    (outlet, Driver { name, sink, settings, dead_letter, abandon, queue, backlog, counts, circuit })
}

impl Driver {
    /// The sink's name in logs.
    pub fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Delivers until every outlet is dropped and everything is durable, or until it is told to abandon the rest.
    ///
    /// # Errors
    /// [`SinkError::Stop`]: the destination is gone for good.
    pub async fn run(mut self) -> Result<(), SinkError> {
        let abandon = self.abandon.clone();
        let result = tokio::select! {
            biased;
            () = abandon.cancelled() => Ok(()),
            result = self.deliver_all() => result,
        };
        if self.is_best_effort() {
            self.counts.drop_pending(&self.name);
        }
        result
    }

    fn is_best_effort(&self) -> bool {
        self.settings.patience != Patience::Unlimited
    }

    async fn deliver_all(&mut self) -> Result<(), SinkError> {
        let mut under_way = UnderWay::new();
        let (mut open, mut closed) = (true, None);
        loop {
            let free = under_way.len() < self.settings.concurrency.max(1);
            tokio::select! {
                biased;
                Some(done) = under_way.join_next() => finished(&self.name, done)?,
                first = first_piece(&mut self.backlog, &mut self.queue, &self.settings), if free && open => {
                    match first {
                        Some(first) => {
                            let pieces = self.gather(first, &mut under_way).await?;
                            under_way.spawn(self.delivery(pieces));
                        }
                        None => open = false,
                    }
                }
                // Nobody waits for it, so that the end of the process does not wait for it long.
                () = tokio::time::sleep(Duration::from_secs(1)), if self.is_best_effort() => {
                    if self.queue.is_closed() && *closed.get_or_insert_with(Instant::now) + BEST_EFFORT_DRAIN <= Instant::now() {
                        return Ok(());
                    }
                }
                else => return Ok(()),
            }
        }
    }

    /// Adds to `first` what else has queued, up to the limits of a batch. A range is a batch of its own.
    ///
    /// # Errors
    /// A delivery that is under way meanwhile finds that the destination is gone.
    async fn gather(&mut self, first: Piece, under_way: &mut UnderWay) -> Result<Vec<Piece>, SinkError> {
        let (mut bytes, mut items) = (self.settings.bytes_of(&first.parts), first.items());
        let is_range = first.range.is_some();
        let mut pieces = vec![first];
        let deadline = Instant::now() + self.settings.linger;
        while !is_range && bytes < self.settings.max_batch_bytes && items < self.settings.max_batch_items {
            if self.backlog.is_empty() {
                match self.next(deadline, under_way).await? {
                    Some(Message::Submission(submission)) => split(submission, &self.settings, &mut self.backlog),
                    Some(Message::Flush) | None => break,
                }
            }
            let fits = |next: &Piece| {
                next.range.is_none()
                    && bytes + self.settings.bytes_of(&next.parts) <= self.settings.max_batch_bytes
                    && items + next.items() <= self.settings.max_batch_items
            };
            let Some(next) = self.backlog.pop_front_if(|next| fits(next)) else { break };
            bytes += self.settings.bytes_of(&next.parts);
            items += next.items();
            pieces.push(next);
        }
        Ok(pieces)
    }

    /// What has queued, or queues before the deadline.
    async fn next(&mut self, deadline: Instant, under_way: &mut UnderWay) -> Result<Option<Message>, SinkError> {
        if let Ok(message) = self.queue.try_recv() {
            return Ok(Some(message));
        }
        while Instant::now() < deadline {
            tokio::select! {
                biased;
                message = self.queue.recv() => return Ok(message),
                Some(done) = under_way.join_next() => finished(&self.name, done)?,
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
        Ok(None)
    }

    fn delivery(&self, pieces: Vec<Piece>) -> impl Future<Output = Result<(), SinkError>> + Send + use<> {
        let (name, sink, dead_letter) = (Arc::clone(&self.name), Arc::clone(&self.sink), self.dead_letter.clone());
        let (counts, circuit, settings) = (Arc::clone(&self.counts), Arc::clone(&self.circuit), self.settings);
        async move {
            let (mut batch, mut claims) = (Batch::default(), Vec::with_capacity(pieces.len()));
            for Piece { mut parts, first, origins, range, ticket } in pieces {
                claims.push(Claim { items: parts.iter().map(Lines::len).sum(), first, origins, ticket });
                batch.parts.append(&mut parts);
                batch.range = range;
            }
            let batch = Arc::new(batch);
            let limits = retry::Limits { max_item_bytes: settings.max_item_bytes, patience: settings.patience };
            let outcome = retry::deliver(sink.as_ref(), &name, &batch, &circuit, limits, &counts).await?;
            let undelivered = outcome.refused.len() + outcome.dropped;
            if !outcome.refused.is_empty() {
                counts.refused(outcome.refused.len());
                bury(&name, dead_letter.as_ref(), &batch, &claims, outcome.refused).await?;
            }
            let bytes = batch.parts.iter().map(|lines| lines.bytes().len()).sum();
            counts.metrics().delivered(batch.total_items().saturating_sub(undelivered), bytes);
            counts.drop_items(&name, outcome.dropped);
            counts.done(batch.total_items(), batch.parts.iter().map(Lines::memory_bytes).sum());
            drop(batch);
            claims.iter().for_each(|claim| claim.ticket.piece_is_durable());
            Ok(())
        }
    }
}

/// What is left of a piece once its lines are in a batch.
struct Claim {
    items: usize,
    first: usize,
    origins: Arc<Origins>,
    ticket: Arc<Ticket>,
}

async fn first_piece(
    backlog: &mut VecDeque<Piece>,
    queue: &mut mpsc::Receiver<Message>,
    settings: &Settings,
) -> Option<Piece> {
    loop {
        if let Some(piece) = backlog.pop_front() {
            return Some(piece);
        }
        // Nothing awaits between taking a submission and putting it into the backlog, so nothing is lost when this
        // future is dropped.
        if let Message::Submission(submission) = queue.recv().await? {
            split(submission, settings, backlog);
        }
    }
}

/// Puts a submission into the backlog, in pieces that each fit a batch. A range stays whole.
fn split(submission: Submission, settings: &Settings, backlog: &mut VecDeque<Piece>) {
    let Submission { parts, origins, range, ticket } = submission;
    let items = parts.iter().map(Lines::len).sum::<usize>();
    let fits = settings.bytes_of(&parts) <= settings.max_batch_bytes && items <= settings.max_batch_items;
    if fits || items <= 1 || range.is_some() {
        backlog.push_back(Piece { parts, first: 0, origins, range, ticket });
        return;
    }
    let mut pieces: Vec<(usize, Lines)> = Vec::new();
    let indexes = parts.iter().flat_map(|lines| (0..lines.len()).map(move |index| (lines, index)));
    for (first, (lines, index)) in indexes.enumerate() {
        let item_bytes = lines.get(index).unwrap_or_default().len() + settings.item_overhead_bytes;
        let full = pieces.last().is_none_or(|(_, piece)| {
            settings.bytes_of(std::slice::from_ref(piece)) + item_bytes > settings.max_batch_bytes
                || piece.len() >= settings.max_batch_items
        });
        if full {
            pieces.push((first, Lines::default()));
        }
        if let Some((_, piece)) = pieces.last_mut() {
            piece.push_from(lines, index);
        }
    }
    ticket.split_into(pieces.len());
    for (first, lines) in pieces {
        let (origins, ticket) = (Arc::clone(&origins), Arc::clone(&ticket));
        backlog.push_back(Piece { parts: vec![lines], first, origins, range: None, ticket });
    }
}

/// Writes refused items to the dead letter and waits until they are durable there.
async fn bury(
    name: &str,
    dead_letter: Option<&DeadLetter>,
    batch: &Batch,
    claims: &[Claim],
    refusals: Vec<(usize, String)>,
) -> Result<(), SinkError> {
    let gone = |advice: String| SinkError::Stop { advice, source: None };
    let Some(dead_letter) = dead_letter else {
        let advice = format!("the dead letter {name} refuses rejects; choose a destination that takes any line");
        return Err(gone(advice));
    };
    tracing::warn!(sink = name, items = refusals.len(), "the destination refused items, they go to the dead letter");
    let mut rejects = Vec::with_capacity(refusals.len());
    for (index, answer) in refusals {
        let claim = place(index, claims, |claim| claim.items);
        let part = place(index, &batch.parts, Lines::len);
        let (Some((claim, nth)), Some((lines, rest))) = (claim, part) else { continue };
        let item = lines.get(rest).unwrap_or_default();
        let original = lines.original(rest).unwrap_or_else(|| item.strip_suffix(b"\n").unwrap_or(item));
        let unknown = || Origin::File { path: "unknown".into(), offset: 0 };
        let origin = claim.origins.get(claim.first + nth).cloned().unwrap_or_else(unknown);
        rejects.push(refused(name, &answer, original, lines.event(rest), &origin));
    }
    let receipt = dead_letter.submit(&rejects).await.map_err(|gone_| gone(gone_.to_string()))?;
    dead_letter.outlet().flush().await;
    receipt.durable().await.map_err(|_| gone("the dead letter has stopped".to_owned()))
}

/// Which of several runs holds what has this index over all of them, and its index in there.
fn place<T>(index: usize, runs: &[T], len: impl Fn(&T) -> usize) -> Option<(&T, usize)> {
    let mut rest = index;
    for run in runs {
        match rest.checked_sub(len(run)) {
            Some(less) => rest = less,
            None => return Some((run, rest)),
        }
    }
    None
}

fn finished(name: &str, done: Result<Result<(), SinkError>, tokio::task::JoinError>) -> Result<(), SinkError> {
    // The error of a task that panicked quotes the panic, which may quote data.
    done.unwrap_or_else(|_| {
        let advice = format!("the sink {name} panicked; the log says where, please report it");
        Err(SinkError::Stop { advice, source: None })
    })
}
