//! A shard under a lease, read by a lane; once more from its oldest record where the position was trimmed out of the
//! stream and the user wants to go on.

use super::{OnTrimmed, Stream};
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::record::{HashKeys, Partition, Position};
use crate::source::SourceError;
use crate::source::kinesis::coordinator::TRIMMED_WAIT;
use crate::source::kinesis::shards::{self, Whereabouts};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub(super) struct Shard {
    pub(super) stream: Stream,
    pub(super) partition: Partition,
    pub(super) position: Position,
    pub(super) hash_keys: Option<HashKeys>,
    pub(super) on_trimmed: OnTrimmed,
    /// Cancelled: nothing more is read of this shard.
    pub(super) halt: CancellationToken,
}

impl Shard {
    pub(super) async fn read(mut self, lanes: &dyn Lanes) -> Result<LaneEnd, LaneError> {
        loop {
            let shard = self.partition.shard.clone();
            let source = self.stream.reader.open(shard.clone(), self.position.clone(), self.hash_keys);
            let error = match lanes.run(self.partition.clone(), source, self.halt.clone()).await {
                Err(LaneError::Source(SourceError::Position { source, .. })) if self.goes_on() => source,
                end => return end,
            };
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            warn!(shard = %self.partition, error, "the position is not in the stream any more; records are lost");
            // Never at once: a service that contradicts itself is not asked in a tight loop.
            if self.halt.run_until_cancelled(tokio::time::sleep(TRIMMED_WAIT)).await.is_none() {
                return Ok(LaneEnd::Stopped);
            }
            self.position = match shards::find(&self.stream.kinesis, &shard).await {
                // A source that is at its end: its lane commits the end, so that this is said once.
                Ok(Whereabouts::Expired) => Position::End,
                _ => Position::TrimHorizon,
            };
        }
    }

    fn goes_on(&self) -> bool {
        self.on_trimmed == OnTrimmed::Oldest && !self.halt.is_cancelled()
    }
}
