//! Delivery: receipts from the sinks, the longest delivered prefix of a partition, and the token that only it can make.

use crate::record::{Partition, Position};

/// Proof that everything in a partition up to a position is durable, or recorded as a reject. Only this module makes
/// one, and a checkpoint store takes nothing else.
#[derive(Debug)]
pub struct Delivered {
    partition: Partition,
    position: Position,
}

impl Delivered {
    /// The partition that was delivered.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Where reading goes on.
    pub fn position(&self) -> &Position {
        &self.position
    }
}
