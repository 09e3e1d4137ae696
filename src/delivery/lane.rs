//! A lane: one partition from its source to its commits. Four loops run side by side, each with a bounded queue to the
//! next: read, take apart and submit, await receipts in order, commit. Only the first looks at the stop signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::commit::commit_newest;
use super::range::{self, Gatherer, Sealed, Writer};
use super::work::{Group, Place};
use super::{LaneEnd, LaneError, Parts, board};
use crate::budget::Reservation;
use crate::checkpoint::{Commits, Stored};
use crate::format::Lines;
use crate::record::{Partition, Position, Record, ShardId};
use crate::sink::SinkError;
use crate::sink::batch::{Gone, Origins, Outlet, RangeLimits, Receipt};
use crate::sink::retry::Complaint;
use crate::source::{BoxFuture, Read, Source};

/// Reads that wait to be taken apart. Their bytes are bounded by the budget; this bounds the count of tiny ones.
const READS_AHEAD: usize = 8;

/// Groups that wait for their receipts. Their bytes are bounded by the budget; this bounds the count of those without.
const GROUPS_IN_FLIGHT: usize = 256;

/// How long a lane waits for a sink before the log says which.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the reading loop hands on.
pub(super) struct Taken {
    pub(super) records: Arc<Vec<Record>>,
    pub(super) position: Position,
    pub(super) lag: Option<Duration>,
    pub(super) reservation: Reservation,
}

/// What was submitted, to be awaited in order.
#[derive(Default)]
pub(super) struct Submitted {
    pub(super) receipts: Vec<Receipt>,
    pub(super) records: usize,
    /// Where reading goes on, with the last group of a read.
    pub(super) position: Option<Position>,
    /// What is to be written as one range, up to that position.
    pub(super) range: Option<Sealed>,
}

/// How reading ended.
enum ReadEnd {
    Ended(Vec<ShardId>),
    Stopped,
}

/// Runs one partition.
pub(super) async fn run(
    parts: &Parts,
    checkpoints: &dyn Commits,
    partition: Partition,
    source: Box<dyn Source>,
    stop: &CancellationToken,
    ranges: Option<RangeLimits>,
    board: &board::Place,
) -> Result<LaneEnd, LaneError> {
    // A loop that fails stops the reading of its own lane; the others end as their queues do.
    let halt = stop.child_token();
    let (taken_in, taken_out) = mpsc::channel(READS_AHEAD);
    let (submitted_in, submitted_out) = mpsc::channel(GROUPS_IN_FLIGHT);
    let (newest_in, newest_out) = watch::channel(None);
    let abandon = &parts.abandon;

    let gathering = match ranges {
        None => None,
        Some(limits) => {
            let begin = begin_ranges(parts, checkpoints, &partition, limits, submitted_in.clone());
            let Some(begun) = until(&halt, begin).await else { return Ok(LaneEnd::Stopped) };
            Some(begun?)
        }
    };
    let ended = AtomicBool::new(false);
    let reading = Box::pin(until(abandon, read(parts, source, &halt, taken_in, &ended, board)));
    let (work, deliver): (BoxFuture<'_, _>, BoxFuture<'_, _>) = match gathering {
        None => (
            Box::pin(work(parts, taken_out, submitted_in, &halt)),
            Box::pin(await_receipts(parts, submitted_out, newest_in.clone())),
        ),
        Some((gatherer, writer)) => {
            drop(submitted_in);
            (Box::pin(gatherer.work(taken_out, &halt, &ended)), Box::pin(writer.write(submitted_out)))
        }
    };
    let working = Box::pin(until(abandon, halting(&halt, work)));
    let awaiting = Box::pin(until(abandon, halting(&halt, deliver)));
    // The end of the partition is a position as well, but only once all before it is delivered.
    let delivering = async {
        let (read, worked, awaited) = tokio::join!(reading, working, awaiting);
        let complete = matches!((&worked, &awaited), (Some(Ok(())), Some(Ok(()))));
        if complete && matches!(read, Some(Ok(ReadEnd::Ended(_)))) {
            newest_in.send_replace(Some(Position::End));
        }
        drop(newest_in);
        (read, worked, awaited)
    };
    let committing = halting(&halt, async {
        commit_newest(checkpoints, &partition, newest_out, abandon).await.map_err(LaneError::from)
    });
    let ((read, worked, awaited), committed) = tokio::join!(delivering, Box::pin(committing));
    let committed = committed?;
    worked.transpose()?;
    awaited.transpose()?;
    match read.transpose()? {
        Some(ReadEnd::Ended(children)) if committed && !abandon.is_cancelled() => Ok(LaneEnd::Ended { children }),
        _ => Ok(LaneEnd::Stopped),
    }
}

/// What gathers and writes the ranges of a partition.
async fn begin_ranges<'a>(
    parts: &'a Parts,
    checkpoints: &'a dyn Commits,
    partition: &'a Partition,
    limits: RangeLimits,
    submitted: mpsc::Sender<Submitted>,
) -> Result<(Gatherer<'a>, Writer<'a>), LaneError> {
    let Stored { position, announced } = range::look(checkpoints, partition).await?;
    let gatherer = Gatherer::begin(parts, partition, limits, announced, submitted).await;
    Ok((gatherer, Writer::new(parts, checkpoints, partition, position)))
}

/// The result of `act`, unless it is abandoned before. Sinks end at the same signal, which is then no error of theirs.
async fn until<T>(abandon: &CancellationToken, act: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = abandon.cancelled() => None,
        result = act => Some(result),
    }
}

/// Stops the reading of the lane if `act` fails.
async fn halting<T>(halt: &CancellationToken, act: impl Future<Output = Result<T, LaneError>>) -> Result<T, LaneError> {
    let result = act.await;
    if result.is_err() {
        halt.cancel();
    }
    result
}

async fn read(
    parts: &Parts,
    mut source: Box<dyn Source>,
    halt: &CancellationToken,
    taken: mpsc::Sender<Taken>,
    ended: &AtomicBool,
    board: &board::Place,
) -> Result<ReadEnd, LaneError> {
    loop {
        let read = tokio::select! {
            biased;
            () = halt.cancelled() => return Ok(ReadEnd::Stopped),
            read = source.next() => read?,
        };
        match read {
            Read::End { children } => {
                ended.store(true, Ordering::Release);
                return Ok(ReadEnd::Ended(children));
            }
            Read::Records { records, position, lag, reservation } => {
                parts.total.add_read(&records);
                board.read(&records, &position, lag);
                let records = Arc::new(records);
                if taken.send(Taken { records, position, lag, reservation }).await.is_err() {
                    // The next loop has failed and says why.
                    return Ok(ReadEnd::Stopped);
                }
            }
        }
    }
}

async fn work(
    parts: &Parts,
    mut taken: mpsc::Receiver<Taken>,
    submitted: mpsc::Sender<Submitted>,
    halt: &CancellationToken,
) -> Result<(), LaneError> {
    while let Some(Taken { records, position, reservation, .. }) = taken.recv().await {
        let mut place = Place::default();
        while place.record < records.len() {
            let group = parts.crew.group(&records, &mut place, halt).await?;
            let last = place.record >= records.len();
            let mut sent = submit(parts, group).await?;
            sent.position = last.then(|| position.clone());
            if submitted.send(sent).await.is_err() {
                return Ok(());
            }
        }
        if records.is_empty() {
            let sent = Submitted { position: Some(position), ..Submitted::default() };
            if submitted.send(sent).await.is_err() {
                return Ok(());
            }
        }
        // The raw bytes are through the line.
        drop((records, reservation));
    }
    flush(parts).await;
    Ok(())
}

/// Tells all sinks that what was submitted is waited for, and nothing more comes.
pub(super) async fn flush(parts: &Parts) {
    for outlet in parts.outlets.iter().chain([parts.dead_letter.outlet()]) {
        if outlet.is_required() {
            outlet.flush().await;
        }
    }
}

/// Hands a group to all sinks and the dead letter.
async fn submit(parts: &Parts, group: Group) -> Result<Submitted, LaneError> {
    let Group { records, outputs, rejects, tally, seat } = group;
    parts.total.add_tally(&tally);
    let bytes = bytes_to_hold(parts, &outputs, &rejects);
    let hold = match bytes {
        0 => Arc::default(),
        bytes => Arc::new(patiently(parts, parts.encoded.reserve(bytes)).await),
    };
    drop(seat);
    let mut receipts = Vec::with_capacity(outputs.len() + 1);
    for ((lines, origins), outlet) in outputs.into_iter().zip(&parts.outlets) {
        receipts.extend(submit_to(parts, outlet, lines, origins, &hold).await?);
    }
    receipts.extend(submit_to(parts, parts.dead_letter.outlet(), rejects, Origins::default(), &hold).await?);
    Ok(Submitted { receipts, records, ..Submitted::default() })
}

/// The bytes of the budget that a group needs: those of what is waited for.
pub(super) fn bytes_to_hold(parts: &Parts, outputs: &[(Lines, Origins)], rejects: &Lines) -> usize {
    let required = outputs.iter().zip(&parts.outlets).filter(|(_, outlet)| outlet.is_required());
    required.map(|((lines, _), _)| lines.memory_bytes()).sum::<usize>() + rejects.memory_bytes()
}

/// Hands lines to a sink, and gives the receipt of one that is waited for.
pub(super) async fn submit_to(
    parts: &Parts,
    outlet: &Outlet,
    lines: Lines,
    origins: Origins,
    hold: &Arc<Reservation>,
) -> Result<Option<Receipt>, LaneError> {
    if lines.is_empty() {
        return Ok(None);
    }
    if !outlet.is_required() {
        outlet.offer(lines, origins);
        return Ok(None);
    }
    let sending = outlet.submit(lines, origins, Arc::clone(hold));
    patiently(parts, sending).await.map(Some).map_err(|gone| stopped(outlet.name(), gone))
}

/// Awaits the receipts in the order in which their groups were read: the newest position is therefore always the end
/// of the longest delivered prefix, whatever the order in which receipts come back.
async fn await_receipts(
    parts: &Parts,
    mut submitted: mpsc::Receiver<Submitted>,
    newest: watch::Sender<Option<Position>>,
) -> Result<(), LaneError> {
    while let Some(Submitted { receipts, records, position, .. }) = submitted.recv().await {
        for receipt in receipts {
            patiently(parts, receipt.durable()).await.map_err(|gone| stopped("a sink", gone))?;
        }
        parts.total.add_delivered(records);
        if let Some(position) = position {
            newest.send_replace(Some(position));
        }
    }
    Ok(())
}

/// Waits for a sink, and says in the log which one, at intervals that grow.
pub(super) async fn patiently<T>(parts: &Parts, act: impl Future<Output = T>) -> T {
    tokio::pin!(act);
    let mut complaint = Complaint::new(PATIENCE);
    loop {
        tokio::select! {
            biased;
            result = &mut act => return result,
            () = tokio::time::sleep_until(complaint.due_at()) => {}
        }
        if complaint.is_due() {
            let outlets = parts.outlets.iter().chain([parts.dead_letter.outlet()]);
            if let Some(slowest) = outlets.max_by_key(|outlet| outlet.pending_bytes()) {
                slowest.complain(complaint.lasting());
            }
        }
    }
}

pub(super) fn stopped(sink: &str, gone: Gone) -> LaneError {
    LaneError::Sink(SinkError::Stop { advice: format!("{sink}: {gone}"), source: None })
}
