//! Pace: when a shard may be asked again. A budget of calls and bytes kept on this side, so that the service's throttle
//! is not met in steady state, and the waits after failures.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// What GetRecords allows a shard, for all its polling consumers together. Source: the Kinesis API reference.
const SHARD_CALLS_PER_SECOND: f64 = 5.0;
/// What GetRecords gives of a shard in a second, for all its polling consumers together. Source: as above.
const SHARD_BYTES_PER_SECOND: f64 = 2.0 * 1024.0 * 1024.0;
/// A call every 20 seconds is the slowest pace that can be asked for: well within the life of an iterator.
const MIN_CALLS_PER_SECOND: f64 = 0.05;
/// A throttled shard is asked at most this many times more slowly: at the default, once in two seconds.
const MAX_STRETCH: f64 = 8.0;

/// How a shard is polled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// GetRecords calls a second and shard. The default, 4, leaves one of the service's five to a second consumer (a
    /// person who watches) and to clocks that run apart.
    pub calls_per_second: f64,
    /// The longest wait between two calls of a shard that is caught up.
    pub max_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls_per_second: 4.0, max_idle: Duration::from_secs(1) }
    }
}

/// When one shard may be asked again.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    max_idle: Duration,
    /// The wait of a shard that is caught up; it grows while nothing comes.
    idle: Duration,
    /// How many times slower than asked for, after throttles.
    stretch: f64,
    next: Instant,
}

impl Pace {
    /// A pace within the limits, which are themselves kept within the service's. The first call may be made at once.
    pub fn new(limits: Limits) -> Self {
        let calls = limits.calls_per_second;
        let calls = if calls.is_finite() { calls.clamp(MIN_CALLS_PER_SECOND, SHARD_CALLS_PER_SECOND) } else { 1.0 };
        let interval = Duration::from_secs_f64(1.0 / calls);
        Self { interval, max_idle: limits.max_idle.max(interval), idle: interval, stretch: 1.0, next: Instant::now() }
    }

    /// When the next call may be made.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Notes that a call was made: whatever becomes of it, the service counts it.
    pub fn called(&mut self, at: Instant) {
        self.next = at + self.interval.mul_f64(self.stretch);
    }

    /// Notes an answer of so many bytes; `behind` says that there is more to read.
    pub fn answered(&mut self, bytes: usize, behind: bool) {
        let now = Instant::now();
        // One throttle's slowdown is forgotten after some 25 good answers: seconds, not minutes.
        self.stretch = (self.stretch * 0.97).max(1.0);
        let mut wait = Duration::from_secs_f64(bytes as f64 / SHARD_BYTES_PER_SECOND);
        if behind {
            self.idle = self.interval;
        } else {
            self.idle = (self.idle * 2).min(self.max_idle);
            // Up to a tenth less, so that the shards of a stream do not ask in step.
            wait = wait.max(self.idle.mul_f64(1.0 - 0.1 * fraction()));
        }
        self.next = self.next.max(now + wait);
    }

    /// Notes that the service asked for fewer calls.
    pub fn throttled(&mut self) {
        self.stretch = (self.stretch * 2.0).min(MAX_STRETCH);
    }
}

/// The waits between tries: exponential, with jitter, bounded.
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    tries: u32,
}

impl Backoff {
    /// For what passes by itself: a throttle, a lost connection, a service in trouble.
    pub fn brief() -> Self {
        Self { base: Duration::from_millis(200), cap: Duration::from_secs(10), tries: 0 }
    }

    /// For what a person has to repair: often enough to go on soon after, seldom enough to be no load.
    pub fn slow() -> Self {
        Self { base: Duration::from_secs(2), cap: Duration::from_secs(30), tries: 0 }
    }

    /// The next wait: between half and all of what the tries so far call for.
    pub fn wait(&mut self) -> Duration {
        let whole = self.base.saturating_mul(1 << self.tries.min(16)).min(self.cap);
        self.tries = self.tries.saturating_add(1);
        whole.mul_f64(0.5 + 0.5 * fraction())
    }

    /// The waits since the last success.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// Notes a success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A number from 0 to 1, for jitter: the standard library seeds each hasher anew.
pub(super) fn fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    /// Answers in turn; each is its bytes and whether it leaves the shard behind. Gives the calls' times.
    async fn calls(limits: Limits, answers: &[(usize, bool)]) -> Vec<Duration> {
        let start = Instant::now();
        let mut pace = Pace::new(limits);
        let mut times = Vec::new();
        for (bytes, behind) in answers {
            tokio::time::sleep_until(pace.next()).await;
            times.push(start.elapsed());
            pace.called(Instant::now());
            pace.answered(*bytes, *behind);
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_is_behind_is_asked_at_the_full_rate_and_no_faster() {
        let times = calls(Limits { calls_per_second: 5.0, ..Limits::default() }, &[(1024, true); 26]).await;
        assert!(times[25] >= Duration::from_secs(5), "{:?}", times[25]);
        assert!(times[25] < Duration::from_millis(5_100), "{:?}", times[25]);
    }

    #[tokio::test(start_paused = true)]
    async fn more_calls_than_the_service_allows_are_never_made() {
        for calls_per_second in [1000.0, f64::INFINITY, f64::NAN] {
            let times = calls(Limits { calls_per_second, ..Limits::default() }, &[(0, true); 6]).await;
            assert!(times[5] >= Duration::from_secs(1), "{calls_per_second}: {:?}", times[5]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_paid_for_before_the_next_call() {
        let times = calls(Limits::default(), &[(10 * MIB, true), (MIB, true), (0, true)]).await;
        assert_eq!(times[1].as_secs_f64().round(), 5.0, "{:?}", times[1]);
        assert!(times[2] - times[1] >= Duration::from_millis(500), "{times:?}");
        assert!(times[2] - times[1] < Duration::from_millis(520), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_shard_is_asked_ever_less_often_up_to_the_longest_wait() {
        let times = calls(Limits::default(), &[(0, false); 12]).await;
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps[0] < Duration::from_millis(520), "{gaps:?}");
        for gap in &gaps[3..] {
            assert!((900..=1001).contains(&gap.as_millis()), "{gaps:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttle_slows_the_pace_for_a_while() {
        let mut pace = Pace::new(Limits { calls_per_second: 4.0, ..Limits::default() });
        let gap = |pace: &mut Pace| {
            pace.called(Instant::now());
            pace.next() - Instant::now()
        };
        assert_eq!(gap(&mut pace), Duration::from_millis(250));
        pace.throttled();
        assert_eq!(gap(&mut pace), Duration::from_millis(500));
        (0..10).for_each(|_| pace.throttled());
        assert_eq!(gap(&mut pace), Duration::from_secs(2));
        (0..100).for_each(|_| pace.answered(0, true));
        assert_eq!(gap(&mut pace), Duration::from_millis(250));
    }

    #[test]
    fn waits_grow_to_their_bound_and_begin_again_after_a_success() {
        let mut backoff = Backoff::brief();
        assert!(backoff.wait() <= Duration::from_millis(200));
        for _ in 0..40 {
            assert!(backoff.wait() <= Duration::from_secs(10));
        }
        assert!(backoff.wait() >= Duration::from_secs(5));
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_millis(200));
    }
}
