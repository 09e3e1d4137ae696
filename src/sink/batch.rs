//! Batching: what lanes submit is collected while the sink is busy and delivered together. One task a sink, a bounded
//! queue before it, and a receipt for each submission that resolves once all of it is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dead_letter::{DeadLetter, refused};
use super::retry;
use super::{Batch, Sink, SinkError};
use crate::format::Lines;

use self::outlet::{Submission, Ticket};

mod outlet;

pub use self::outlet::{Gone, Origins, Outlet, Receipt};

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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // One write and one sync of 8 MiB stay well under a second on a slow disk.
            max_batch_bytes: 8 << 20,
            max_batch_items: usize::MAX,
            linger: Duration::ZERO,
            concurrency: 1,
        }
    }
}

/// A part of a submission that fits a batch.
#[derive(Debug)]
struct Piece {
    lines: Lines,
    first: usize,
    origins: Arc<Origins>,
    ticket: Arc<Ticket>,
}

/// The task of one sink; see [`start`].
pub struct Driver {
    name: Arc<str>,
    sink: Arc<dyn Sink>,
    settings: Settings,
    dead_letter: Option<DeadLetter>,
    abandon: CancellationToken,
    queue: mpsc::Receiver<Submission>,
    backlog: VecDeque<Piece>,
    pending_bytes: Arc<AtomicUsize>,
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
    let (outlet, queue, pending_bytes) = Outlet::new(name);
    let name = Arc::from(outlet.name());
    let backlog = VecDeque::new();
    (outlet, Driver { name, sink, settings, dead_letter, abandon, queue, backlog, pending_bytes })
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
        tokio::select! {
            biased;
            () = abandon.cancelled() => Ok(()),
            result = self.deliver_all() => result,
        }
    }

    async fn deliver_all(&mut self) -> Result<(), SinkError> {
        let mut under_way: JoinSet<Result<(), SinkError>> = JoinSet::new();
        let mut open = true;
        loop {
            let free = under_way.len() < self.settings.concurrency.max(1);
            tokio::select! {
                biased;
                Some(done) = under_way.join_next() => finished(&self.name, done)?,
                first = first_piece(&mut self.backlog, &mut self.queue, &self.settings), if free && open => {
                    match first {
                        Some(first) => {
                            let pieces = self.gather(first).await;
                            under_way.spawn(self.delivery(pieces));
                        }
                        None => open = false,
                    }
                }
                else => return Ok(()),
            }
        }
    }

    /// Adds to `first` what else has queued, up to the limits of a batch.
    async fn gather(&mut self, first: Piece) -> Vec<Piece> {
        let (mut bytes, mut items) = (first.lines.bytes().len(), first.lines.len());
        let mut pieces = vec![first];
        let deadline = Instant::now() + self.settings.linger;
        while bytes < self.settings.max_batch_bytes && items < self.settings.max_batch_items {
            if self.backlog.is_empty() {
                let submission = match self.queue.try_recv() {
                    Ok(submission) => submission,
                    Err(_) if self.settings.linger.is_zero() => break,
                    Err(_) => match tokio::time::timeout_at(deadline, self.queue.recv()).await {
                        Ok(Some(submission)) => submission,
                        Ok(None) | Err(_) => break,
                    },
                };
                split(submission, &self.settings, &mut self.backlog);
            }
            let fits = |next: &Piece| {
                bytes + next.lines.bytes().len() <= self.settings.max_batch_bytes
                    && items + next.lines.len() <= self.settings.max_batch_items
            };
            let Some(next) = self.backlog.pop_front_if(|next| fits(next)) else { break };
            bytes += next.lines.bytes().len();
            items += next.lines.len();
            pieces.push(next);
        }
        pieces
    }

    fn delivery(&self, pieces: Vec<Piece>) -> impl Future<Output = Result<(), SinkError>> + Send + use<> {
        let (name, sink, dead_letter) = (Arc::clone(&self.name), Arc::clone(&self.sink), self.dead_letter.clone());
        let pending_bytes = Arc::clone(&self.pending_bytes);
        async move {
            let (mut parts, mut claims) = (Vec::with_capacity(pieces.len()), Vec::with_capacity(pieces.len()));
            for Piece { lines, first, origins, ticket } in pieces {
                claims.push(Claim { items: lines.len(), first, origins, ticket });
                parts.push(lines);
            }
            let batch = Arc::new(Batch { parts });
            let refusals = retry::deliver(sink.as_ref(), &name, &batch).await?;
            if !refusals.is_empty() {
                bury(&name, dead_letter.as_ref(), &batch, &claims, refusals).await?;
            }
            pending_bytes.fetch_sub(batch.total_bytes(), Ordering::Relaxed);
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
    queue: &mut mpsc::Receiver<Submission>,
    settings: &Settings,
) -> Option<Piece> {
    loop {
        if let Some(piece) = backlog.pop_front() {
            return Some(piece);
        }
        // Nothing awaits between taking a submission and putting it into the backlog, so nothing is lost when this
        // future is dropped.
        split(queue.recv().await?, settings, backlog);
    }
}

/// Puts a submission into the backlog, in pieces that each fit a batch.
fn split(submission: Submission, settings: &Settings, backlog: &mut VecDeque<Piece>) {
    let Submission { lines, origins, ticket } = submission;
    let fits = lines.bytes().len() <= settings.max_batch_bytes && lines.len() <= settings.max_batch_items;
    if fits || lines.len() <= 1 {
        backlog.push_back(Piece { lines, first: 0, origins, ticket });
        return;
    }
    let mut pieces: Vec<(usize, Lines)> = Vec::new();
    for (index, item) in lines.iter().enumerate() {
        let full = pieces.last().is_none_or(|(_, piece)| {
            piece.bytes().len() + item.len() > settings.max_batch_bytes || piece.len() >= settings.max_batch_items
        });
        if full {
            pieces.push((index, Lines::default()));
        }
        if let Some((_, piece)) = pieces.last_mut() {
            piece.push_with(|out| out.extend_from_slice(item.strip_suffix(b"\n").unwrap_or(item)));
        }
    }
    ticket.split_into(pieces.len());
    for (first, lines) in pieces {
        backlog.push_back(Piece { lines, first, origins: Arc::clone(&origins), ticket: Arc::clone(&ticket) });
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
        let mut rest = index;
        for (claim, lines) in claims.iter().zip(&batch.parts) {
            if rest >= claim.items {
                rest -= claim.items;
                continue;
            }
            if let (Some(item), Some(origin)) = (lines.iter().nth(rest), claim.origins.get(claim.first + rest)) {
                rejects.push(refused(name, &answer, item, origin));
            }
            break;
        }
    }
    let receipt = dead_letter.submit(&rejects).await.map_err(|gone_| gone(gone_.to_string()))?;
    receipt.durable().await.map_err(|_| gone("the dead letter has stopped".to_owned()))
}

fn finished(name: &str, done: Result<Result<(), SinkError>, tokio::task::JoinError>) -> Result<(), SinkError> {
    // The error of a task that panicked quotes the panic, which may quote data.
    done.unwrap_or_else(|_| {
        let advice = format!("the sink {name} panicked; the log says where, please report it");
        Err(SinkError::Stop { advice, source: None })
    })
}
