//! The clock: processor time of the calling thread, so that what else the machine does counts as little as possible.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time that `work` takes on this thread.
pub(crate) fn processor_time(work: impl FnOnce()) -> Duration {
    let start = now();
    work();
    now().saturating_sub(start)
}

/// The processor time that this thread has used.
pub(crate) fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The middle of `values`.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The middle of the quotients of two rows of times taken in the same rounds: what slows one round slows both.
pub(crate) fn median_ratio(numerators: &[Duration], denominators: &[Duration]) -> f64 {
    median(numerators.iter().zip(denominators).map(|(n, d)| n.as_secs_f64() / d.as_secs_f64()).collect())
}
