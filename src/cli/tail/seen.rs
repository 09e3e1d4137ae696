//! What was shown: the identities of the last invocations, so that a redelivered one is not shown again.

use std::collections::{HashSet, VecDeque};

/// Identities that are remembered. CloudWatch Logs and Kinesis redeliver within minutes; this is minutes of a very busy
/// account, in 6 MiB at most.
pub const MAX_SEEN: usize = 100_000;

/// A row id, as [`Invocation::row_id`](crate::invocation::Invocation::row_id) gives it.
type RowId = [u8; 16];

/// The last row ids, oldest first.
#[derive(Debug)]
pub struct Seen {
    known: HashSet<RowId>,
    order: VecDeque<RowId>,
    capacity: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self::with_capacity(MAX_SEEN)
    }
}

impl Seen {
    /// Remembers `capacity` row ids.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { known: HashSet::new(), order: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// Remembers the row id; gives whether it was not known.
    pub fn insert(&mut self, row_id: RowId) -> bool {
        if !self.known.insert(row_id) {
            return false;
        }
        if self.order.len() == self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(row_id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut seen = Seen::with_capacity(2);
        let id = |n: u8| [n; 16];
        assert!(seen.insert(id(1)));
        assert!(seen.insert(id(2)));
        assert!(!seen.insert(id(1)));
        assert!(seen.insert(id(3)), "takes the place of 1");
        assert!(seen.insert(id(1)), "was forgotten, and takes the place of 2");
        assert!(!seen.insert(id(3)));
        assert_eq!((seen.known.len(), seen.order.len()), (2, 2));
    }
}
