//! Ranges: what a lane gathers for sinks that take whole ranges of a partition, such as objects of a bucket, and how each
//! is written exactly once.
//!
//! A range begins at the stored position. Before it is written, its end is announced: stored beside the position. Then it
//! is written under a name made of both ends, and then its end becomes the position. Whoever goes on after a crash finds
//! either no announcement, and nothing of a range was written; or one, and reads and writes exactly this range again,
//! under the same name. So no crash leaves a hole, or a record under two names.
//!
//! Ranges wait in memory until they are large or old enough. Where memory is short they end early, the largest first.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::lane::{Submitted, Taken, flush, patiently, stopped, submit_to};
use super::work::{Group, Place};
use super::{Announcement, Delivered, LaneError, Parts};
use crate::budget::Reservation;
use crate::checkpoint::{CheckpointError, Commits, Stored};
use crate::format::Lines;
use crate::record::{Origin, Partition, Position, Record, SequenceNumber};
use crate::sink::Range;
use crate::sink::batch::{Origins, RangeLimits};
use crate::sink::retry::{Backoff, Causes, Complaint};
use crate::source::BoxFuture;
use crate::source::kinesis::progress::behind;

/// What the open ranges of all lanes share.
#[derive(Debug)]
pub struct Shelf {
    /// The lanes that wait for memory; said again whenever a range has given its own back.
    waiting: watch::Sender<usize>,
    open: Mutex<Held>,
    /// A range that is read again must be whole before it gives back anything, whatever there is of memory: one at a time.
    again: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    ranges: usize,
}

impl Default for Shelf {
    fn default() -> Self {
        let (waiting, _) = watch::channel(0);
        Self { waiting, open: Mutex::default(), again: Arc::new(Semaphore::new(1)) }
    }
}

impl Shelf {
    fn with<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        act(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a range is as large as the others on average: one of them always is.
    fn is_large(&self, bytes: usize) -> bool {
        self.with(|open| bytes * open.ranges >= open.bytes)
    }

    /// Says that a lane waits for memory, until what it gives is dropped.
    fn wait(&self) -> Waiting<'_> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        Waiting(self)
    }
}

struct Waiting<'a>(&'a Shelf);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

/// The bytes of an open range, as the shelf counts them.
#[derive(Debug)]
struct Counted {
    bytes: usize,
    parts: Arc<Shelf>,
}

impl Counted {
    fn new(parts: &Arc<Shelf>) -> Self {
        parts.with(|open| open.ranges += 1);
        Self { bytes: 0, parts: Arc::clone(parts) }
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.parts.with(|open| open.bytes += bytes);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.parts.with(|open| (open.ranges, open.bytes) = (open.ranges - 1, open.bytes - self.bytes));
    }
}

/// A range that is complete, on its way to its sinks.
#[derive(Debug)]
pub(super) struct Sealed {
    /// For each outlet that takes ranges: its index, its items, and where they came from.
    outputs: Vec<(usize, Vec<Lines>, Origins)>,
    holds: Vec<Arc<Reservation>>,
    to: Position,
    _again: Option<OwnedSemaphorePermit>,
}

/// What is read and in no range yet.
#[derive(Default)]
struct Open {
    outputs: Vec<(usize, Vec<Lines>, Origins)>,
    holds: Vec<Arc<Reservation>>,
    counted: Option<Counted>,
    since: Option<Instant>,
    records: usize,
    /// The end of the last record that is wholly in it.
    to: Option<Position>,
    /// Where reading goes on behind it.
    position: Option<Position>,
    /// Whether a part of a record is in it.
    is_within_record: bool,
}

/// A range that was announced before and is read again.
struct Again {
    to: Position,
    sequence: SequenceNumber,
    permit: OwnedSemaphorePermit,
}

/// Gathers the ranges of a lane.
pub(super) struct Gatherer<'a> {
    parts: &'a Parts,
    limits: RangeLimits,
    again: Option<Again>,
    open: Open,
    submitted: mpsc::Sender<Submitted>,
    waiting: watch::Receiver<usize>,
}

/// How large ranges become, if any sink takes some: as the one says that has enough first.
pub(super) fn limits(parts: &Parts) -> Option<RangeLimits> {
    let all = parts.outlets.iter().filter_map(|outlet| outlet.ranges());
    all.reduce(|one, other| RangeLimits { bytes: one.bytes.min(other.bytes), age: one.age.min(other.age) })
}

impl<'a> Gatherer<'a> {
    /// Gathers from the stored position on. Where a range was announced there, waits until it may be read again.
    pub(super) async fn begin(
        parts: &'a Parts,
        partition: &Partition,
        limits: RangeLimits,
        announced: Option<Position>,
        submitted: mpsc::Sender<Submitted>,
    ) -> Self {
        let again = match announced.and_then(|to| Some((sequence_of(&to)?.clone(), to))) {
            None => None,
            Some((sequence, to)) => {
                info!(%partition, %to, "a range may be written in part, reading and writing it again");
                // The semaphore is never closed.
                let permit = Arc::clone(&parts.shelf.again).acquire_owned().await.ok();
                permit.map(|permit| Again { to, sequence, permit })
            }
        };
        let waiting = parts.shelf.waiting.subscribe();
        Self { parts, limits, again, open: Open::default(), submitted, waiting }
    }

    /// Takes apart what is read, until no more comes. `ended` says whether the partition has ended then.
    pub(super) async fn work(
        mut self,
        mut taken: mpsc::Receiver<Taken>,
        halt: &CancellationToken,
        ended: &AtomicBool,
    ) -> Result<(), LaneError> {
        loop {
            let next = tokio::select! {
                biased;
                next = taken.recv() => next,
                () = self.due() => {
                    self.relieve().await?;
                    continue;
                }
            };
            let Some(Taken { records, position, reservation }) = next else { break };
            match self.end_of_again(&records) {
                None => self.take(&records, position, halt).await?,
                Some(count) => {
                    let rest = records.get(count..).unwrap_or_default().to_vec();
                    let first = Arc::new(records.get(..count).unwrap_or_default().to_vec());
                    let end = if rest.is_empty() { position.clone() } else { self.end() };
                    self.take(&first, end, halt).await?;
                    self.seal().await;
                    if !rest.is_empty() {
                        self.take(&Arc::new(rest), position, halt).await?;
                    }
                }
            }
            drop((records, reservation));
        }
        // A part of a range that was announced is no range; whoever goes on reads it again.
        if self.again.is_none() || ended.load(Ordering::Acquire) {
            self.seal().await;
        }
        flush(self.parts).await;
        Ok(())
    }

    /// The end of the range that is read again.
    fn end(&self) -> Position {
        self.again.as_ref().map_or(Position::TrimHorizon, |again| again.to.clone())
    }

    /// How many of these records belong to the range that is read again, if it ends with one of them.
    fn end_of_again(&self, records: &[Record]) -> Option<usize> {
        let again = self.again.as_ref()?;
        let is_in = |record: &Record| sequence(record).is_some_and(|sequence| *sequence <= again.sequence);
        let count = records.iter().take_while(|record| is_in(record)).count();
        let is_last = |record: &Record| sequence(record) == Some(&again.sequence);
        let ends = count < records.len() || records.last().is_some_and(is_last);
        ends.then_some(count)
    }

    /// Takes apart records that are all of one range, as far as it is to be one that was announced.
    async fn take(
        &mut self,
        records: &Arc<Vec<Record>>,
        position: Position,
        halt: &CancellationToken,
    ) -> Result<(), LaneError> {
        let mut place = Place::default();
        while place.record < records.len() {
            let group = self.relieving(self.parts.crew.group(records, &mut place, halt)).await??;
            self.add(group).await?;
            self.open.is_within_record = true;
            let Some(last) = place.record.checked_sub(1).and_then(|last| records.get(last)) else { continue };
            self.open.is_within_record = !place.is_between_records();
            if self.open.is_within_record {
                continue;
            }
            let end = behind(last);
            self.open.position = if place.record < records.len() { end.clone() } else { Some(position.clone()) };
            self.open.to = end;
            if self.is_full() {
                self.seal().await;
            }
        }
        if records.is_empty() {
            self.open.position = Some(position);
        }
        if self.open.counted.is_none() && self.again.is_none() {
            // Nothing is in the range: how far it was read may be stored at once.
            self.seal().await;
        }
        Ok(())
    }

    /// What `act` comes to. While it waits, perhaps for a lane that waits for memory itself, this lane gives memory back.
    async fn relieving<T>(&mut self, act: impl Future<Output = T>) -> Result<T, LaneError> {
        tokio::pin!(act);
        loop {
            tokio::select! {
                biased;
                result = &mut act => return Ok(result),
                () = self.due() => self.relieve().await?,
            }
        }
    }

    /// Gives back the memory of what is open.
    async fn relieve(&mut self) -> Result<(), LaneError> {
        if self.open.is_within_record {
            return self.spill().await;
        }
        self.seal().await;
        Ok(())
    }

    /// Keeps what a group became for the sinks that take ranges, and hands the rest to the others.
    async fn add(&mut self, group: Group) -> Result<(), LaneError> {
        let Group { records, outputs, rejects, tally, seat } = group;
        self.parts.total.add_tally(&tally);
        let bytes = super::lane::bytes_to_hold(self.parts, &outputs, &rejects);
        let hold = Arc::new(self.reserve(bytes).await?);
        drop(seat);
        let mut receipts = Vec::new();
        for (index, (lines, origins)) in outputs.into_iter().enumerate() {
            let outlet = &self.parts.outlets[index];
            if outlet.ranges().is_some() && !lines.is_empty() {
                self.keep(index, lines, origins, &hold);
            } else {
                receipts.extend(submit_to(self.parts, outlet, lines, origins, &hold).await?);
            }
        }
        receipts
            .extend(submit_to(self.parts, self.parts.dead_letter.outlet(), rejects, Origins::default(), &hold).await?);
        self.open.records += records;
        if !receipts.is_empty() {
            // Who takes it has failed and says why.
            let _ = self.submitted.send(Submitted { receipts, ..Submitted::default() }).await;
        }
        Ok(())
    }

    fn keep(&mut self, outlet: usize, lines: Lines, origins: Origins, hold: &Arc<Reservation>) {
        let open = &mut self.open;
        open.since.get_or_insert_with(Instant::now);
        open.counted.get_or_insert_with(|| Counted::new(&self.parts.shelf)).add(lines.bytes().len());
        if !open.holds.last().is_some_and(|last| Arc::ptr_eq(last, hold)) {
            open.holds.push(Arc::clone(hold));
        }
        match open.outputs.iter_mut().find(|(index, _, _)| *index == outlet) {
            Some((_, parts, all)) => {
                all.append(parts.iter().map(Lines::len).sum(), origins);
                parts.push(lines);
            }
            None => open.outputs.push((outlet, vec![lines], origins)),
        }
    }

    /// Memory for a group. Where there is none, this lane's range ends, and other lanes are told to end theirs.
    async fn reserve(&mut self, bytes: usize) -> Result<Reservation, LaneError> {
        if bytes == 0 {
            return Ok(Reservation::default());
        }
        if self.again.is_some() {
            // It gives nothing back before it is whole, so it must not wait for others, nor they for it: it goes beyond the
            // budget, but no second one does.
            return Ok(Reservation::default());
        }
        if let Some(reservation) = self.parts.encoded.try_reserve(bytes) {
            return Ok(reservation);
        }
        self.relieve().await?;
        let _waiting = self.parts.shelf.wait();
        Ok(patiently(self.parts, self.parts.encoded.reserve(bytes)).await)
    }

    /// Writes what there is of a record that memory has no room for, under names of what is in it: a crash right then
    /// leaves a double, but nothing is stuck, and nothing lost. It takes a record whose fetched bodies fill the memory.
    async fn spill(&mut self) -> Result<(), LaneError> {
        let (outputs, holds) = (std::mem::take(&mut self.open.outputs), std::mem::take(&mut self.open.holds));
        (self.open.counted, self.open.since) = (None, None);
        let mut receipts = Vec::with_capacity(outputs.len());
        for (index, parts, origins) in outputs {
            let outlet = &self.parts.outlets[index];
            let sending = outlet.submit_parts(None, parts, origins, holds.clone());
            receipts.push(patiently(self.parts, sending).await.map_err(|gone| stopped(outlet.name(), gone))?);
        }
        // Who takes it has failed and says why.
        let _ = self.submitted.send(Submitted { receipts, ..Submitted::default() }).await;
        Ok(())
    }

    fn is_full(&self) -> bool {
        let Open { counted: Some(counted), since: Some(since), .. } = &self.open else { return false };
        let is_full = counted.bytes >= self.limits.bytes || since.elapsed() >= self.limits.age || self.is_pressed();
        is_full && self.again.is_none()
    }

    /// Whether memory is short and this range is to end for it.
    fn is_pressed(&self) -> bool {
        let counted = self.open.counted.as_ref();
        *self.waiting.borrow() > 0 && counted.is_some_and(|counted| self.parts.shelf.is_large(counted.bytes))
    }

    /// Waits until what is open is to end, whatever else comes: for its age only if that is between records.
    async fn due(&mut self) {
        let (None, Some(since)) = (&self.again, self.open.since) else { return pending().await };
        while !self.is_pressed() {
            tokio::select! {
                () = sleep_until(since + self.limits.age), if !self.open.is_within_record => return,
                changed = self.waiting.changed() => if changed.is_err() { pending::<()>().await },
            }
        }
    }

    /// Ends the range, and hands it on.
    async fn seal(&mut self) {
        let Open { outputs, holds, counted, records, to, position, .. } = std::mem::take(&mut self.open);
        drop(counted);
        let again = self.again.take();
        let to = again.as_ref().map(|again| again.to.clone()).or(to);
        let range = match (outputs.is_empty(), to) {
            (false, Some(to)) => Some(Sealed { outputs, holds, to, _again: again.map(|again| again.permit) }),
            _ => None,
        };
        if position.is_some() || records > 0 {
            // Who takes it has failed and says why.
            let _ = self.submitted.send(Submitted { receipts: Vec::new(), records, position, range }).await;
        }
    }
}

/// Writes the ranges of a lane, one after the other, and commits behind each.
pub(super) struct Writer<'a> {
    parts: &'a Parts,
    checkpoints: &'a dyn Commits,
    partition: &'a Partition,
    /// The stored position, or the one that is stored with the next announcement.
    from: Option<Position>,
}

impl<'a> Writer<'a> {
    /// Writes from the stored position on.
    pub(super) fn new(
        parts: &'a Parts,
        checkpoints: &'a dyn Commits,
        partition: &'a Partition,
        from: Option<Position>,
    ) -> Self {
        Self { parts, checkpoints, partition, from }
    }

    /// Writes what comes, until no more does and the last position is stored.
    pub(super) async fn write(mut self, mut submitted: mpsc::Receiver<Submitted>) -> Result<(), LaneError> {
        let mut commit: Option<(Position, BoxFuture<'a, Result<(), CheckpointError>>)> = None;
        loop {
            let committed = async {
                match &mut commit {
                    Some((_, committing)) => committing.await,
                    None => pending().await,
                }
            };
            let next = tokio::select! {
                biased;
                next = submitted.recv() => next,
                result = committed => {
                    result?;
                    commit = None;
                    continue;
                }
            };
            let Some(Submitted { receipts, records, position, range }) = next else { break };
            for receipt in receipts {
                patiently(self.parts, receipt.durable()).await.map_err(|gone| stopped("a sink", gone))?;
            }
            if let Some(range) = range {
                // What is not stored yet is stored with the announcement; a commit that came behind it would undo it.
                let delivered = commit.take().map(|(position, _)| position);
                self.write_range(range, delivered).await?;
            }
            self.parts.total.add_delivered(records);
            if let Some(position) = position {
                self.from = Some(position.clone());
                commit = Some((position.clone(), self.commit(position)));
            }
        }
        if let Some((_, committing)) = commit {
            committing.await?;
        }
        Ok(())
    }

    async fn write_range(&self, sealed: Sealed, delivered: Option<Position>) -> Result<(), LaneError> {
        let Sealed { outputs, holds, to, _again } = sealed;
        let announcement = Announcement { partition: self.partition.clone(), delivered, to: to.clone() };
        stored(self.partition, || self.checkpoints.announce(announcement.clone())).await?;
        let from = self.from.as_ref().map_or_else(|| START.to_owned(), name_of);
        let range = Arc::new(Range { partition: self.partition.clone(), from, to: name_of(&to) });
        let mut receipts = Vec::with_capacity(outputs.len());
        for (index, parts, origins) in outputs {
            let outlet = &self.parts.outlets[index];
            let sending = outlet.submit_parts(Some(Arc::clone(&range)), parts, origins, holds.clone());
            receipts.push(patiently(self.parts, sending).await.map_err(|gone| stopped(outlet.name(), gone))?);
        }
        drop(holds);
        for receipt in receipts {
            patiently(self.parts, receipt.durable()).await.map_err(|gone| stopped("a sink", gone))?;
        }
        // Whoever waits for memory may need still more.
        self.parts.shelf.waiting.send_modify(|_| ());
        Ok(())
    }

    fn commit(&self, position: Position) -> BoxFuture<'a, Result<(), CheckpointError>> {
        let (checkpoints, partition) = (self.checkpoints, self.partition);
        Box::pin(stored(partition, move || {
            checkpoints.commit(Delivered { partition: partition.clone(), position: position.clone() })
        }))
    }
}

/// Asks a store until it answers.
async fn stored<'a, T>(
    partition: &'a Partition,
    ask: impl Fn() -> BoxFuture<'a, Result<T, CheckpointError>>,
) -> Result<T, CheckpointError> {
    let (mut backoff, mut complaint) = (Backoff::default(), None);
    loop {
        let error = match ask().await {
            Err(error @ CheckpointError::Retry { .. }) => error,
            answer => return answer,
        };
        let complaint = complaint.get_or_insert_with(|| Complaint::new(std::time::Duration::ZERO));
        if complaint.is_due() {
            let lasting_seconds = complaint.lasting().as_secs();
            tracing::warn!(%partition, lasting_seconds, error = %Causes(&error), "cannot store a position, trying again");
        }
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// What is stored of a partition, once the store answers.
pub(super) async fn look(checkpoints: &dyn Commits, partition: &Partition) -> Result<Stored, CheckpointError> {
    stored(partition, || checkpoints.stored(partition)).await
}

/// What stands for a position that is none of a record.
const START: &str = "start";

/// A position in a range's name, the same whoever stored it: a lease table has a record that is no aggregate as one with
/// a single user record.
fn name_of(position: &Position) -> String {
    match position {
        Position::After(sequence) | Position::Within(sequence, 0) => sequence.to_string(),
        Position::Within(sequence, user_record) => format!("{sequence}.{user_record}"),
        _ => START.to_owned(),
    }
}

fn sequence_of(position: &Position) -> Option<&SequenceNumber> {
    match position {
        Position::After(sequence) | Position::Within(sequence, _) => Some(sequence),
        _ => None,
    }
}

fn sequence(record: &Record) -> Option<&SequenceNumber> {
    match &record.origin {
        Origin::Kinesis { sequence, .. } => Some(sequence),
        Origin::File { .. } => None,
    }
}
