//! Slices: the time of a backfill of log groups in parts, each a partition of its own.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::checkpoint::CheckpointStore;
use crate::delivery::{LaneError, Lanes};
use crate::record::{Partition, Position, ShardId};
use crate::source::cloudwatch::client::Logs;
use crate::source::cloudwatch::window::{Window, WindowSource};
use crate::source::several::{Progress, Several};
use crate::source::{BoxFuture, Read, Source, SourceError};

/// The most slices of a log group: each costs a call at least, and one that is cut off begins anew at its last page.
const MAX_SLICES: i64 = 400;

/// The slices that a log group has where its time is long enough for any: several times what is read at a time.
const MIN_SLICES: i64 = 24;

/// The lengths of slices, in seconds: people recognize their edges.
const LENGTHS: [i64; 12] = [60, 300, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

/// Slices are longer than an hour only where there would be too many.
const HOUR: i64 = 3600;

/// What is read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The log groups, by name or ARN.
    pub groups: Vec<Arc<str>>,
    /// The time of the oldest events.
    pub from: Timestamp,
    /// The time behind the newest.
    pub to: Timestamp,
    /// The stream that positions are stored under.
    pub stream: Arc<str>,
    /// The slices that are read at a time.
    pub concurrency: usize,
}

/// The slices of a time, which depend on nothing else: the same job has the same ones at each start.
pub fn of(from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let seconds = to.duration_since(from).as_secs().max(0);
    let many = LENGTHS.iter().rev().find(|length| **length <= HOUR && seconds / **length >= MIN_SLICES);
    let length = match many {
        // Too many: as short as there are few enough.
        Some(length) if seconds / length > MAX_SLICES => {
            let few = LENGTHS.iter().find(|longer| **longer > *length && seconds / **longer <= MAX_SLICES);
            few.copied().unwrap_or(seconds / MAX_SLICES + 1)
        }
        Some(length) => *length,
        None => LENGTHS[0],
    };
    let mut slices = Vec::new();
    let mut begin = from;
    while begin < to {
        let end = begin.checked_add(SignedDuration::from_secs(length)).unwrap_or(to).min(to);
        slices.push((begin, end));
        begin = end;
    }
    slices
}

/// Reads all slices to their end, the oldest first, or until `stop`. Whether everything was delivered.
///
/// # Errors
/// The first error of a lane, once the others have ended.
pub async fn run(
    settings: Settings,
    logs: Logs,
    lanes: Arc<dyn Lanes>,
    checkpoints: Arc<dyn CheckpointStore>,
    budget: Budget,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<bool, LaneError> {
    let Settings { groups, from, to, stream, concurrency } = settings;
    let stored = checkpoints.load(&stream).await?;
    let slices = of(from, to);
    progress.add_found((slices.len() * groups.len()) as u64);
    progress.all_found();
    let mut several = Several::new(concurrency, Arc::clone(&progress), stop);
    for (from, to) in slices {
        for group in &groups {
            let shard = ShardId::new(format!("{from} {group}"));
            let partition = Partition { stream: Arc::clone(&stream), shard };
            let known = stored.iter().find(|(known, _)| *known == partition);
            let position = known.map(|(_, position)| position.clone());
            if position == Some(Position::End) {
                progress.add_before();
                continue;
            }
            if !several.has_room().await {
                return several.finish().await;
            }
            let window = Window { log_group: Arc::clone(group), from, to };
            let source = WindowSource::new(logs.clone(), window, position, budget.clone());
            let source = Counted { source, progress: Arc::clone(&progress) };
            several.begin(Arc::clone(&lanes), partition, Box::new(source));
        }
    }
    let is_whole = several.finish().await?;
    if is_whole {
        progress.complete();
    }
    Ok(is_whole)
}

/// A window whose bytes are counted.
struct Counted {
    source: WindowSource,
    progress: Arc<Progress>,
}

impl Source for Counted {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        Box::pin(async move {
            let read = self.source.next().await?;
            if let Read::Records { records, .. } = &read {
                self.progress.add_bytes(records.iter().map(|record| record.data.len() as u64).sum());
            }
            Ok(read)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_neither_few_nor_many_and_leave_no_gap() {
        let check = |seconds: i64, count: usize, length: i64| {
            let from: Timestamp = "2026-01-01T00:00:07Z".parse().unwrap();
            let to = from + SignedDuration::from_secs(seconds);
            let slices = of(from, to);
            assert_eq!((slices.len(), slices[0].1.duration_since(from).as_secs()), (count, length), "{seconds} s");
            assert_eq!((slices[0].0, slices[count - 1].1), (from, to));
            assert!(slices.windows(2).all(|pair| pair[0].1 == pair[1].0));
        };
        check(1, 1, 1);
        check(61, 2, 60);
        check(3600, 60, 60);
        check(7200, 24, 300);
        check(86_400, 24, 3600);
        check(7 * 86_400, 168, 3600);
        check(30 * 86_400, 360, 7200);
        check(365 * 86_400, 365, 86_400);
        check(10 * 365 * 86_400, 400, 788_401);
        assert!(of("2026-01-02T00:00:00Z".parse().unwrap(), "2026-01-01T00:00:00Z".parse().unwrap()).is_empty());
    }
}
