//! The board: where each lane is, for whoever looks at the process from outside.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::{Announcement, Delivered};
use crate::checkpoint::{CheckpointError, Commits, Stored};
use crate::metrics;
use crate::record::{Origin, Partition, Position, Record};
use crate::source::BoxFuture;

/// Reads that are not committed and whose times are known one by one. Beyond them the last one stands for all that follow.
const MAX_READS: usize = 1024;

/// The lanes that run now.
#[derive(Debug, Default)]
pub struct Board {
    lanes: Mutex<BTreeMap<String, LaneState>>,
}

/// Where a lane is.
#[derive(Clone, Debug)]
pub struct LaneState {
    /// The stream, bucket or whatever else the partition is of.
    pub stream: Arc<str>,
    /// The shard, or what stands in its place.
    pub shard: String,
    /// When this lane began.
    pub since: Timestamp,
    /// When it read last.
    pub read_at: Option<Timestamp>,
    /// Records that it read.
    pub records: u64,
    /// How far the last read was behind the newest record, if the source knows.
    pub lag: Option<Duration>,
    /// Where reading goes on once everything that was read is delivered.
    pub read: Option<Position>,
    /// The last position that was committed by this lane.
    pub committed: Option<Position>,
    /// When the newest record up to that position arrived, if the source knows.
    pub committed_time: Option<Timestamp>,
}

impl Board {
    /// The lanes that run now, by stream and shard.
    pub fn lanes(&self) -> Vec<LaneState> {
        self.locked().values().cloned().collect()
    }

    /// Puts a lane on the board for as long as the place lives.
    pub(super) fn place(self: &Arc<Self>, partition: &Partition) -> Place {
        let key = partition.to_string();
        let state = LaneState {
            stream: Arc::clone(&partition.stream),
            shard: partition.shard.as_str().to_owned(),
            since: Timestamp::now(),
            read_at: None,
            records: 0,
            lag: None,
            read: None,
            committed: None,
            committed_time: None,
        };
        self.locked().insert(key.clone(), state);
        self.count();
        Place { board: Arc::clone(self), key, partition: partition.clone(), reads: Mutex::default() }
    }

    fn count(&self) {
        let lanes = i64::try_from(self.locked().len()).unwrap_or(i64::MAX);
        metrics::families().shards.with_label_values::<&str>(&[]).set(lanes);
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, LaneState>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane's place on the board.
#[derive(Debug)]
pub(super) struct Place {
    board: Arc<Board>,
    key: String,
    partition: Partition,
    /// What was read and is not committed: where each read ends, and when its newest record arrived.
    reads: Mutex<VecDeque<(Position, Option<Timestamp>)>>,
}

impl Place {
    /// Notes a read.
    pub(super) fn read(&self, records: &[Record], position: &Position, lag: Option<Duration>) {
        let newest = records.iter().filter_map(|record| arrival(&record.origin)).max();
        let mut reads = self.reads();
        if reads.len() >= MAX_READS {
            reads.pop_back();
        }
        reads.push_back((position.clone(), newest));
        drop(reads);
        if let Some(lag) = lag {
            metrics::families().lag.with_label_values(&self.labels()).set(lag.as_secs_f64());
        }
        self.change(|state| {
            state.read_at = Some(Timestamp::now());
            state.records += records.len() as u64;
            state.lag = lag.or(state.lag);
            state.read = Some(position.clone());
        });
    }

    /// Notes a commit.
    pub(super) fn committed(&self, position: &Position) {
        let mut newest = None;
        let mut reads = self.reads();
        while let Some((_, time)) = reads.pop_front_if(|(read, _)| is_up_to(read, position)) {
            newest = newest.max(time);
        }
        drop(reads);
        if let Position::UpTo(time) = position {
            newest = newest.max(Some(*time));
        }
        if let Some(time) = newest {
            let seconds = time.as_millisecond() as f64 / 1000.0;
            metrics::families().committed.with_label_values(&self.labels()).set(seconds);
        }
        self.change(|state| {
            state.committed = Some(position.clone());
            state.committed_time = state.committed_time.max(newest);
        });
    }

    fn change(&self, change: impl FnOnce(&mut LaneState)) {
        if let Some(state) = self.board.locked().get_mut(&self.key) {
            change(state);
        }
    }

    fn labels(&self) -> [&str; 2] {
        [&self.partition.stream, self.partition.shard.as_str()]
    }

    fn reads(&self) -> MutexGuard<'_, VecDeque<(Position, Option<Timestamp>)>> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Commits that are noted on the board.
pub(super) struct Noting<'a> {
    pub(super) place: &'a Place,
    pub(super) positions: &'a dyn Commits,
}

impl Commits for Noting<'_> {
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(async {
            let position = delivered.position().clone();
            self.positions.commit(delivered).await?;
            self.place.committed(&position);
            Ok(())
        })
    }

    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>> {
        self.positions.announce(announcement)
    }

    fn stored(&self, partition: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>> {
        self.positions.stored(partition)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.board.locked().remove(&self.key);
        self.board.count();
        // A shard that is read elsewhere has its figures there. What was never set cannot be removed.
        let families = metrics::families();
        let _ = families.lag.remove_label_values(&self.labels());
        let _ = families.committed.remove_label_values(&self.labels());
    }
}

fn arrival(origin: &Origin) -> Option<Timestamp> {
    match origin {
        Origin::Kinesis { arrival, .. } => *arrival,
        _ => None,
    }
}

/// Whether a read ends at or before a position.
fn is_up_to(read: &Position, position: &Position) -> bool {
    match (read, position) {
        (_, Position::End) => true,
        (
            Position::After(read) | Position::Within(read, _),
            Position::After(committed) | Position::Within(committed, _),
        ) => read <= committed,
        (Position::Offset(read), Position::Offset(committed)) => read <= committed,
        (Position::Key(read), Position::Key(committed)) => read <= committed,
        (Position::UpTo(read), Position::UpTo(committed)) => read <= committed,
        (read, committed) => read == committed,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::{SequenceNumber, ShardId};

    fn sequence(number: u64) -> SequenceNumber {
        SequenceNumber::new(&number.to_string()).unwrap()
    }

    fn record(number: u64) -> Record {
        let shard = ShardId::new("shardId-000000000001");
        let arrival = Timestamp::from_second(1_700_000_000 + number as i64).ok();
        Record::new(
            Bytes::new(),
            Origin::Kinesis { stream: "board".into(), shard, sequence: sequence(number), arrival },
        )
    }

    #[test]
    fn the_time_of_a_commit_is_that_of_the_newest_record_before_it() {
        let board = Arc::new(Board::default());
        let partition = Partition { stream: "board".into(), shard: ShardId::new("shardId-000000000001") };
        let place = board.place(&partition);
        for number in [10, 20, 30] {
            place.read(&[record(number)], &Position::After(sequence(number)), Some(Duration::from_millis(1500)));
        }
        let check = |committed: Position, expected: Option<i64>| {
            place.committed(&committed);
            let [lane] = &board.lanes()[..] else { panic!("one lane is on the board") };
            assert_eq!(lane.committed_time.map(|time| time.as_second() - 1_700_000_000), expected, "{committed}");
            assert_eq!((lane.records, lane.lag), (3, Some(Duration::from_millis(1500))));
        };
        check(Position::TrimHorizon, None);
        check(Position::After(sequence(10)), Some(10));
        // Between two reads, as where a range ends.
        check(Position::After(sequence(25)), Some(20));
        check(Position::End, Some(30));
        drop(place);
        assert!(board.lanes().is_empty());
    }

    #[test]
    fn reads_that_are_never_committed_do_not_pile_up() {
        let board = Arc::new(Board::default());
        let place = board.place(&Partition { stream: "many".into(), shard: ShardId::new("one") });
        for number in 0..5000 {
            place.read(&[record(number)], &Position::After(sequence(number)), None);
        }
        assert_eq!(place.reads().len(), MAX_READS);
        place.committed(&Position::After(sequence(4999)));
        assert_eq!(board.lanes()[0].committed_time.map(|time| time.as_second()), Some(1_700_004_999));
    }
}
