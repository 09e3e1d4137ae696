//! The decode section: limits on what one record may become.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::ByteSize;
use crate::pipeline::Limits;

/// Limits on what one record may become; what is over one of them is a reject, its neighbours go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Decode {
    /// Bytes of one record after inflating, `1 MiB` to `1 GiB`. Default: `64 MiB`: CloudWatch Logs batches 1 MB of
    /// compressed data at most, real logs shrink to a tenth or so, and a gzip bomb grows a thousandfold.
    #[schemars(extend("x-minimum" = "1 MiB", "x-maximum" = "1 GiB"))]
    pub max_inflated: ByteSize,
    /// Log events of one envelope, 1 to 10000000. Default: 100000, ten times what CloudWatch Logs takes in one call
    /// (10,000), so that only a forged envelope is over it.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_events: u32,
    /// Nesting of JSON arrays and objects, 1 to 128. Default: 128, which no model's body comes near; deeper values are made
    /// to exhaust the stack of whoever reads them next.
    #[schemars(range(min = 1, max = 128))]
    pub max_depth: u16,
}

impl Default for Decode {
    fn default() -> Self {
        Self { max_inflated: ByteSize::mib(64), max_events: 100_000, max_depth: 128 }
    }
}

impl Decode {
    /// The limits as the pipeline takes them.
    pub fn limits(&self) -> Limits {
        Limits {
            inflated_bytes: self.max_inflated.as_usize(),
            events: usize::try_from(self.max_events).unwrap_or(usize::MAX),
            depth: usize::from(self.max_depth),
        }
    }
}
