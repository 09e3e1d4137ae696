//! Counting instead of delivering: each partition goes through the pure line, and nothing comes out but counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::delivery::total::Total;
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::pipeline::{Line, Parcel, Settings, Tally};
use crate::record::Partition;
use crate::source::s3::list::dates::Span;
use crate::source::{BoxFuture, Read, Source};

/// What a day holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Partitions that were read to their end.
    pub partitions: u64,
    /// Bytes of records, as they were read.
    pub bytes: u64,
    /// Log events read.
    pub log_events: u64,
    /// Invocations that would be delivered.
    pub invocations: u64,
    /// Log events that are none, or are left out.
    pub skipped: u64,
    /// What could not be read.
    pub rejects: u64,
}

impl Day {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.partitions += other.partitions;
        self.bytes += other.bytes;
        self.log_events += other.log_events;
        self.invocations += other.invocations;
        self.skipped += other.skipped;
        self.rejects += other.rejects;
    }
}

/// Counts what partitions hold, by day. It delivers and commits nothing.
pub struct Counting {
    line: Settings,
    total: Arc<Total>,
    days: Mutex<BTreeMap<String, Day>>,
}

impl Counting {
    /// Counts by such a line; its outputs are left out.
    pub fn new(line: Settings) -> Self {
        let line = Settings { outputs: Vec::new(), ..line };
        Self { line, total: Arc::default(), days: Mutex::default() }
    }

    /// What all partitions hold so far.
    pub fn total(&self) -> Arc<Total> {
        Arc::clone(&self.total)
    }

    /// What the days hold so far; what has no date is behind them.
    pub fn days(&self) -> BTreeMap<String, Day> {
        self.days.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, name: &str, day: &Day) {
        let mut days = self.days.lock().unwrap_or_else(PoisonError::into_inner);
        days.entry(name.to_owned()).or_default().add(day);
    }

    async fn count(
        &self,
        partition: &Partition,
        source: &mut dyn Source,
        stop: &CancellationToken,
    ) -> Result<LaneEnd, LaneError> {
        let name = day_of(partition);
        let mut line = Line::new(self.line.clone());
        loop {
            let read = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(LaneEnd::Stopped),
                read = source.next() => read?,
            };
            let (records, reservation) = match read {
                Read::End { children } => {
                    self.add(&name, &Day { partitions: 1, ..Day::default() });
                    return Ok(LaneEnd::Ended { children });
                }
                Read::Records { records, reservation, .. } => (records, reservation),
            };
            let bytes = records.iter().map(|record| record.data.len() as u64).sum();
            let origin = records.first().map_or_else(String::new, |record| record.origin.to_string());
            let counted = tokio::task::spawn_blocking(move || {
                let (now, mut parcel) = (Timestamp::now(), Parcel::default());
                for record in &records {
                    line.process(record, now, &mut parcel);
                    parcel.rejects.clear();
                }
                drop(reservation);
                (line, parcel.tally)
            });
            let Ok((back, tally)) = counted.await else { return Err(LaneError::Panicked { origin }) };
            line = back;
            self.total.add_tally(&tally);
            self.add(&name, &Day { bytes, ..of(&tally) });
        }
    }
}

fn of(tally: &Tally) -> Day {
    Day {
        log_events: tally.log_events,
        invocations: tally.invocations,
        skipped: tally.skipped.values().sum(),
        rejects: tally.rejects.values().sum(),
        ..Day::default()
    }
}

/// The day of a partition, which begins with a time, or is a folder with a date.
fn day_of(partition: &Partition) -> String {
    let shard = partition.shard.as_str();
    let time = shard.split(' ').next().and_then(|time| time.parse::<Timestamp>().ok());
    let time = time.or_else(|| Span::of(shard).map(|span| span.from));
    time.map_or_else(|| "no date".to_owned(), |time| time.strftime("%Y-%m-%d").to_string())
}

impl Lanes for Counting {
    fn run(
        &self,
        partition: Partition,
        mut source: Box<dyn Source>,
        stop: CancellationToken,
    ) -> BoxFuture<'_, Result<LaneEnd, LaneError>> {
        Box::pin(async move { self.count(&partition, source.as_mut(), &stop).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ShardId;

    #[test]
    fn partitions_are_of_a_day() {
        let check = |shard: &str, expected: &str| {
            let partition = Partition { stream: "backfill".into(), shard: ShardId::new(shard) };
            assert_eq!(day_of(&partition), expected, "{shard}");
        };
        check("2026-01-02T23:00:00Z /aws/bedrock logs", "2026-01-02");
        check("a b/2026/01/02/23/", "2026-01-02");
        check("a/2026/01/", "2026-01-01");
        check("exports/", "no date");
    }
}
