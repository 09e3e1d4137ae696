//! The reader: how the shards of one stream are read, chosen once for all of them.

use crate::budget::Budget;
use crate::record::{HashKeys, Position, ShardId};
use crate::source::Source;

use super::client::Kinesis;
use super::pace::Limits;
use super::poll::PollSource;
use super::progress::Progress;

/// Opens the shards of one stream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    kinesis: Kinesis,
    limits: Limits,
    budget: Budget,
}

impl Reader {
    /// A reader that polls, within limits for each shard; `budget` holds the bytes of what was read.
    pub fn polling(kinesis: Kinesis, limits: Limits, budget: Budget) -> Self {
        Self { kinesis, limits, budget }
    }

    /// Opens a shard.
    pub fn open(&self, shard: ShardId, position: Position, hash_keys: Option<HashKeys>) -> Box<dyn Source> {
        let progress = Progress::new(self.kinesis.stream().clone(), shard, position, hash_keys);
        Box::new(PollSource::new(self.kinesis.clone(), progress, self.budget.clone(), self.limits))
    }
}
