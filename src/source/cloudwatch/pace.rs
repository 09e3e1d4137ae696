//! Pace: when CloudWatch Logs may be called again. Its quota is of an account and Region, so that all log groups of a
//! client share one pace, and a throttle of one slows all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The paces that can be asked for: a call in 20 seconds, and a quota that was raised far.
const CALLS_PER_SECOND: std::ops::RangeInclusive<f64> = 0.05..=1000.0;
/// A throttled client calls at most this many times more slowly: at the default, once in two seconds.
const MAX_STRETCH: f64 = 8.0;

/// When the next call may be made. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Pace(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    interval: Duration,
    /// How many times slower than asked for, after throttles.
    stretch: f64,
    next: Instant,
}

impl Pace {
    pub(super) fn new(calls_per_second: f64) -> Self {
        let calls = if calls_per_second.is_finite() { calls_per_second } else { 1.0 };
        let calls = calls.clamp(*CALLS_PER_SECOND.start(), *CALLS_PER_SECOND.end());
        let interval = Duration::from_secs_f64(1.0 / calls);
        Self(Arc::new(Mutex::new(State { interval, stretch: 1.0, next: Instant::now() })))
    }

    /// Waits for the caller's turn: turns are given in the order in which they were asked for.
    pub(super) async fn turn(&self) {
        let at = {
            let mut state = self.state();
            let at = state.next.max(Instant::now());
            state.next = at + state.interval.mul_f64(state.stretch);
            at
        };
        sleep_until(at).await;
    }

    /// Notes a good answer: one throttle's slowdown is forgotten after some 25 of them.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.stretch = (state.stretch * 0.97).max(1.0);
    }

    /// Notes that the service asked for fewer calls.
    pub(super) fn throttled(&self) {
        let mut state = self.state();
        state.stretch = (state.stretch * 2.0).min(MAX_STRETCH);
        state.next = state.next.max(Instant::now() + state.interval.mul_f64(state.stretch));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times of so many calls of two clones in turn, in milliseconds.
    async fn calls(pace: &Pace, count: usize) -> Vec<u128> {
        let start = Instant::now();
        let mut times = Vec::new();
        for at in 0..count {
            if at % 2 == 0 {
                pace.turn().await
            } else {
                pace.clone().turn().await
            }
            times.push(start.elapsed().as_millis());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn all_clones_share_the_calls_of_a_second() {
        let check = async |calls_per_second: f64, expected: [u128; 4]| {
            assert_eq!(calls(&Pace::new(calls_per_second), 4).await, expected, "{calls_per_second}");
        };
        check(4.0, [0, 250, 500, 750]).await;
        check(1.0, [0, 1000, 2000, 3000]).await;
        check(0.0, [0, 20_000, 40_000, 60_000]).await;
        check(f64::NAN, [0, 1000, 2000, 3000]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_slows_every_clone_for_a_while() {
        let pace = Pace::new(4.0);
        pace.turn().await;
        pace.clone().throttled();
        assert_eq!(calls(&pace, 3).await, [500, 1000, 1500]);
        (0..9).for_each(|_| pace.throttled());
        assert_eq!(calls(&pace, 2).await, [2000, 4000]);
        (0..100).for_each(|_| pace.answered());
        assert_eq!(calls(&pace, 3).await[1..], [2250, 2500]);
    }
}
