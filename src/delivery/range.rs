//! Ranges: what a lane gathers for sinks that take whole ranges of a partition, such as objects of a bucket, and how each
//! is written exactly once.
//!
//! A range begins at the stored position. Before it is written, its end is announced: stored beside the position. Then it
//! is written under a name made of its first record with an item and its end, and then its end becomes the position. Whoever
//! goes on after a crash finds either no announcement, and nothing of a range was written; or one, and reads and writes
//! exactly this range again, under the same name. So no crash leaves a hole, or a record under two names. Where the stream
//! has lost the first records of a range meanwhile, what is left of it has another name: it takes the place of nothing that
//! may hold them.
//!
//! Ranges wait in memory until they are large or old enough. Where memory is short they end early, the largest first.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::lane::{Submitted, Taken, flush, patiently, stopped, submit_to};
use super::work::{Group, Place};
use super::{LaneError, Parts};
use crate::budget::Reservation;
use crate::format::Lines;
use crate::record::{Origin, Partition, Position, Record, SequenceNumber};
use crate::sink::batch::{Origins, RangeLimits};
use crate::source::kinesis::progress::behind;

use self::shelf::{Counted, Turn};

mod shelf;
mod writer;

pub use self::shelf::Shelf;
pub(super) use self::writer::{Writer, look};

/// A range that is complete, on its way to its sinks.
#[derive(Debug)]
pub(super) struct Sealed {
    outputs: Vec<Output>,
    holds: Vec<Arc<Reservation>>,
    to: Position,
    _turn: Option<Turn>,
}

/// The items of a range for one outlet.
#[derive(Debug)]
struct Output {
    /// The outlet's index.
    outlet: usize,
    /// The record of its first item, even if that was handed on before the rest.
    first: Option<SequenceNumber>,
    parts: Vec<Lines>,
    origins: Origins,
}

/// What is read and in no range yet.
#[derive(Default)]
struct Open {
    outputs: Vec<Output>,
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
    turn: Turn,
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
                let turn = parts.shelf.turn(limits.bytes, parts.encoded.total_bytes()).await;
                Some(Again { to, sequence, turn })
            }
        };
        let waiting = parts.shelf.watch();
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
            let Some(Taken { records, position, lag, reservation }) = next else { break };
            if records.is_empty() && lag == Some(Duration::ZERO) && self.open.records == 0 {
                // There is nothing to be read, so that the range is gone from the stream: others may have their turn.
                self.again = None;
            }
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
        let is_in = |record: &Record| sequence(&record.origin).is_some_and(|sequence| *sequence <= again.sequence);
        let count = records.iter().take_while(|record| is_in(record)).count();
        let is_last = |record: &Record| sequence(&record.origin) == Some(&again.sequence);
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
        if self.again.is_none() {
            // One that is read again does not end for others, who are not to wait for that.
            open.since.get_or_insert_with(Instant::now);
            open.counted.get_or_insert_with(|| Counted::new(&self.parts.shelf)).add(lines.bytes().len());
        }
        if !open.holds.last().is_some_and(|last| Arc::ptr_eq(last, hold)) {
            open.holds.push(Arc::clone(hold));
        }
        match open.outputs.iter_mut().find(|output| output.outlet == outlet) {
            Some(output) => {
                output.origins.append(output.parts.iter().map(Lines::len).sum(), origins);
                output.parts.push(lines);
            }
            None => {
                let first = origins.get(0).and_then(sequence).cloned();
                open.outputs.push(Output { outlet, first, parts: vec![lines], origins });
            }
        }
    }

    /// Memory for a group. Where there is none, this lane's range ends, and other lanes are told to end theirs.
    async fn reserve(&mut self, bytes: usize) -> Result<Reservation, LaneError> {
        if bytes == 0 {
            return Ok(Reservation::default());
        }
        if self.again.is_some() {
            // It gives nothing back before it is whole, so it must not wait for others, nor they for it: it goes beyond the
            // budget. The shelf lets as many do so as are expected to take no more than one large range.
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
        let holds = std::mem::take(&mut self.open.holds);
        (self.open.counted, self.open.since) = (None, None);
        let mut receipts = Vec::with_capacity(self.open.outputs.len());
        for output in self.open.outputs.iter_mut().filter(|output| !output.parts.is_empty()) {
            let (parts, origins) = (std::mem::take(&mut output.parts), std::mem::take(&mut output.origins));
            let outlet = &self.parts.outlets[output.outlet];
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
        let Open { mut outputs, holds, counted, records, to, position, .. } = std::mem::take(&mut self.open);
        drop(counted);
        outputs.retain(|output| !output.parts.is_empty());
        let again = self.again.take();
        let to = again.as_ref().map(|again| again.to.clone()).or(to);
        let range = match (outputs.is_empty(), to) {
            (false, Some(to)) => Some(Sealed { outputs, holds, to, _turn: again.map(|again| again.turn) }),
            _ => None,
        };
        if position.is_some() || records > 0 {
            // Who takes it has failed and says why.
            let _ = self.submitted.send(Submitted { receipts: Vec::new(), records, position, range }).await;
        }
    }
}

fn sequence_of(position: &Position) -> Option<&SequenceNumber> {
    match position {
        Position::After(sequence) | Position::Within(sequence, _) => Some(sequence),
        _ => None,
    }
}

fn sequence(origin: &Origin) -> Option<&SequenceNumber> {
    match origin {
        Origin::Kinesis { sequence, .. } => Some(sequence),
        _ => None,
    }
}
