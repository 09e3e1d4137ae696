//! Batching: the keys of all sinks that send requests.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::units::{ByteSize, DurationText, duration};
use crate::sink::batch::Settings;

/// How items are gathered into requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Batching {
    /// Bytes of a request before compression, `1 KiB` to `64 MiB`; never more than the destination takes. Default: what
    /// suits the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-minimum" = "1 KiB", "x-maximum" = "64 MiB"))]
    pub batch_size: Option<ByteSize>,
    /// Items of a request, 1 to 100000; never more than the destination takes. Default: what suits the destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub batch_items: Option<u32>,
    /// How long a request that is not full waits for more, `0s` to `5m`. Default: `1s`: fewer requests, and nobody
    /// notices the delay.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "0s", "x-maximum" = "5m"))]
    pub linger: Duration,
    /// Requests under way at a time, 1 to 64. With 1, events of a shard arrive in their order. Default: 4, so that the
    /// way there and back is not waited for each time.
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u8,
}

impl Default for Batching {
    fn default() -> Self {
        Self { batch_size: None, batch_items: None, linger: Duration::from_secs(1), concurrency: 4 }
    }
}

impl Batching {
    /// How batches are made for a destination that takes at most what `most` says, and is given `usual` bytes unless it
    /// is told otherwise.
    pub fn settings(&self, usual_bytes: usize, most: Settings) -> Settings {
        let bytes = self.batch_size.map_or(usual_bytes, ByteSize::as_usize);
        let items = self.batch_items.map_or(most.max_batch_items, |items| items as usize);
        Settings {
            max_batch_bytes: bytes.min(most.max_batch_bytes),
            max_batch_items: items.min(most.max_batch_items),
            linger: self.linger,
            concurrency: usize::from(self.concurrency),
            ..most
        }
    }
}
