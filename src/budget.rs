//! The byte budget: one number for all bytes in flight, shared fairly by everything that reads.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes are counted in units of this size, so that every budget fits the semaphore's 32-bit requests.
const UNIT_BYTES: usize = 1024;

/// A number of bytes that may be in flight at a time. Requests are served in the order in which they were made, so a
/// large one is not starved by small ones, nor they by it.
#[derive(Clone, Debug)]
pub struct Budget {
    units: Arc<Semaphore>,
    total_units: u32,
}

impl Budget {
    /// A budget of `total_bytes`, rounded up to a KiB.
    pub fn new(total_bytes: usize) -> Self {
        let total_units = u32::try_from(total_bytes.div_ceil(UNIT_BYTES).max(1)).unwrap_or(u32::MAX);
        Self { units: Arc::new(Semaphore::new(total_units as usize)), total_units }
    }

    /// Waits until `bytes` are free and takes them. A request for more than the whole budget takes the whole budget,
    /// so that one oversized item still goes through, alone.
    pub async fn reserve(&self, bytes: usize) -> Reservation {
        let units = self.units_of(bytes);
        let permit = Arc::clone(&self.units).acquire_many_owned(units).await.ok();
        Reservation { permit }
    }

    /// Takes `bytes` if they are free now and nobody waits for them; asks for no more than the whole budget either.
    pub fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let permit = Arc::clone(&self.units).try_acquire_many_owned(self.units_of(bytes)).ok()?;
        Some(Reservation { permit: Some(permit) })
    }

    /// The bytes that are taken now.
    pub fn in_flight_bytes(&self) -> usize {
        (self.total_units as usize).saturating_sub(self.units.available_permits()) * UNIT_BYTES
    }

    /// The whole budget.
    pub fn total_bytes(&self) -> usize {
        self.total_units as usize * UNIT_BYTES
    }

    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.total_units)
    }
}

/// Bytes taken from a budget; given back when it is dropped.
#[derive(Debug, Default)]
pub struct Reservation {
    permit: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// Gives back what is above `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let Some(permit) = &mut self.permit else { return };
        let excess = permit.num_permits().saturating_sub(bytes.div_ceil(UNIT_BYTES));
        drop(permit.split(excess));
    }

    /// Takes over what `other` holds of the same budget; what it holds of another one is given back.
    pub fn merge(&mut self, other: Self) {
        match (&mut self.permit, other.permit) {
            (Some(permit), Some(other)) if Arc::ptr_eq(permit.semaphore(), other.semaphore()) => permit.merge(other),
            (permit @ None, other) => *permit = other,
            _ => {}
        }
    }

    /// The bytes held.
    pub fn bytes(&self) -> usize {
        self.permit.as_ref().map_or(0, |permit| permit.num_permits() * UNIT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_is_missing_until_it_is_dropped() {
        let budget = Budget::new(10 * 1024);
        let mut first = budget.reserve(8 * 1024).await;
        assert_eq!(budget.in_flight_bytes(), 8 * 1024);
        let waits = tokio::time::timeout(Duration::from_secs(1), budget.reserve(4 * 1024)).await;
        assert!(waits.is_err(), "more than is free was given");
        first.shrink_to(1024);
        assert_eq!(first.bytes(), 1024);
        assert!(budget.try_reserve(10 * 1024).is_none(), "more than is free was given");
        let second = budget.try_reserve(4 * 1024).unwrap();
        assert_eq!(budget.in_flight_bytes(), 5 * 1024);
        first.merge(second);
        assert_eq!((first.bytes(), budget.in_flight_bytes()), (5 * 1024, 5 * 1024));
        first.merge(Budget::new(1024).reserve(1024).await);
        assert_eq!(first.bytes(), 5 * 1024);
        drop(first);
        assert_eq!(budget.in_flight_bytes(), 0);
    }

    #[tokio::test]
    async fn more_than_everything_takes_everything() {
        let budget = Budget::new(4096);
        let all = budget.reserve(usize::MAX).await;
        assert_eq!(all.bytes(), 4096);
    }
}
