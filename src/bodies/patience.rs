//! Patience: how often and how long a body is asked for that was not given. It is bounded by times, never by a number of
//! tries: a body may land until some time after its event, and trouble is borne for some time after it began.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Pace, Settings, State};

/// The shortest wait that jitter may choose, so that S3 is never asked in a tight loop.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// Why a try brought no body.
#[derive(Debug)]
pub(super) struct Miss {
    /// What the body is if nothing better comes.
    pub(super) state: State,
    /// What is to be done.
    pub(super) then: Then,
    /// What S3 said, or what happened on the way; no data.
    pub(super) code: String,
}

/// What is to be done about a body that was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It may land yet.
    AwaitLanding,
    /// Trouble that passes.
    Retry,
    /// Nothing.
    GiveUp,
    /// Come back with more memory.
    MakeRoom,
}

/// What cuts waiting short.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    /// Nothing more is read.
    pub(super) stop: CancellationToken,
    /// The bodies that the line cannot go on without are there: those behind them can be waited for later.
    pub(super) enough: CancellationToken,
    /// The memory is used up: what has not been asked for yet need not be.
    pub(super) full: CancellationToken,
}

impl Signals {
    /// For one round.
    pub(super) fn new(stop: &CancellationToken) -> Self {
        Self { stop: stop.clone(), enough: CancellationToken::new(), full: CancellationToken::new() }
    }
}

/// What becomes of a body that was not given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask again, now.
    Again,
    /// Ask another time.
    Later,
    /// This is what became of it.
    Settled(State),
}

/// How long one body is asked for.
#[derive(Debug)]
pub(super) struct Patience {
    pace: Pace,
    landing: Instant,
    trouble: Option<Instant>,
    waits: u32,
    retried: bool,
    stopped: bool,
}

impl Patience {
    /// For a body whose event is of that time. A time to come is as good as now. Where nothing more is read, what has not
    /// landed is asked for once.
    pub(super) fn new(settings: &Settings, event_time: Timestamp, signals: &Signals) -> Self {
        let age = Duration::try_from(Timestamp::now().duration_since(event_time)).unwrap_or_default();
        let stopped = signals.stop.is_cancelled();
        let left = if stopped { Duration::ZERO } else { settings.wait.saturating_sub(age) };
        let (now, pace) = (Instant::now(), settings.pace);
        let trouble = stopped.then(|| now + pace.after_stop);
        Self { pace, landing: now + left, trouble, waits: 0, retried: stopped, stopped }
    }

    /// Waits as is right after this miss, and says what then.
    pub(super) async fn after(&mut self, miss: &Miss, signals: &Signals) -> Verdict {
        let until = match miss.then {
            Then::GiveUp => return Verdict::Settled(miss.state),
            Then::MakeRoom => return Verdict::Later,
            Then::AwaitLanding => self.landing,
            Then::Retry => *self.trouble.get_or_insert_with(|| Instant::now() + self.pace.trouble),
        };
        let now = Instant::now();
        if now >= until {
            // Once more all the same: it may have landed between the try and the time.
            if std::mem::replace(&mut self.retried, true) {
                return Verdict::Settled(miss.state);
            }
            tokio::time::sleep(jittered(self.pace.first_wait)).await;
            return Verdict::Again;
        }
        let ceiling = self.pace.first_wait.saturating_mul(1 << self.waits.min(16)).min(self.pace.longest_wait);
        self.waits += 1;
        let wait = jittered(ceiling).min(until - now);
        tokio::select! {
            biased;
            () = signals.stop.cancelled(), if !self.stopped => self.shorten(),
            () = signals.enough.cancelled(), if miss.then == Then::AwaitLanding => return Verdict::Later,
            () = tokio::time::sleep(wait) => {}
        }
        Verdict::Again
    }

    /// Nothing more is read: what is left of the time is for delivering.
    fn shorten(&mut self) {
        self.stopped = true;
        let end = Instant::now() + self.pace.after_stop;
        self.landing = self.landing.min(end);
        self.trouble = Some(self.trouble.map_or(end, |trouble| trouble.min(end)));
    }
}

/// Full jitter: those that failed together do not come back together. The standard library seeds each hasher anew.
fn jittered(ceiling: Duration) -> Duration {
    let bits = RandomState::new().hash_one(0) >> 11;
    ceiling.mul_f64(bits as f64 / (1_u64 << 53) as f64).max(SHORTEST_WAIT)
}

#[cfg(test)]
mod tests;
