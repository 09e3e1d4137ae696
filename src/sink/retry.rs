//! Retry: a batch is delivered again until it is durable. A required sink holds what it has; it never drops it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{Batch, Sink, SinkError};

/// The first back-off: long enough for a connection to be made anew, too short to be noticed.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);

/// The longest back-off: an outage of an hour is then found to be over within half a minute.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The shortest wait that jitter may choose, so that a destination is never asked in a tight loop.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// The longest time between two log lines about the same trouble.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// Waits between attempts: exponential with full jitter, so that many that failed together do not come back together.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// How long to wait before the next attempt.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = FIRST_BACKOFF.saturating_mul(1 << self.attempts.min(16)).min(LONGEST_BACKOFF);
        self.attempts = self.attempts.saturating_add(1);
        // The hasher's keys are random: a random number without a dependency.
        let random = RandomState::new().build_hasher().finish();
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(random % nanos.max(1)).max(SHORTEST_WAIT)
    }

    /// The attempts that failed.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

/// Decides when trouble that goes on is worth another log line: at once, then at intervals that double.
#[derive(Debug)]
pub struct Complaint {
    since: Instant,
    next: Instant,
    interval: Duration,
}

impl Complaint {
    /// Trouble that starts now; the first line is due after `patience`.
    pub fn new(patience: Duration) -> Self {
        let now = Instant::now();
        Self { since: now, next: now + patience, interval: patience.max(Duration::from_secs(1)) }
    }

    /// Whether a line is due now; if so, the next is due after twice the time.
    pub fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + self.interval;
        self.interval = (self.interval * 2).min(LONGEST_SILENCE);
        true
    }

    /// When the next line is due.
    pub fn due_at(&self) -> Instant {
        self.next
    }

    /// How long the trouble has lasted.
    pub fn lasting(&self) -> Duration {
        self.since.elapsed()
    }
}

/// Delivers a batch until it is durable; returns the items that the destination refused for good, each with its answer.
///
/// # Errors
/// Only [`SinkError::Stop`]: everything else is tried again, without a limit.
pub async fn deliver(sink: &dyn Sink, name: &str, batch: &Arc<Batch>) -> Result<Vec<(usize, String)>, SinkError> {
    let mut backoff = Backoff::default();
    let mut complaint: Option<Complaint> = None;
    loop {
        match sink.deliver(Arc::clone(batch)).await {
            Ok(()) => {
                recovered(name, complaint.as_ref(), &backoff);
                return Ok(Vec::new());
            }
            Err(SinkError::Refused { items }) => {
                recovered(name, complaint.as_ref(), &backoff);
                return Ok(items);
            }
            Err(SinkError::Retry { after, source }) => {
                // A destination that asks for a time knows best; jitter comes on top, so that not all come back at it.
                let wait = backoff.next_wait() + after.unwrap_or_default();
                let complaint = complaint.get_or_insert_with(|| Complaint::new(Duration::ZERO));
                if complaint.is_due() {
                    warn!(
                        sink = name,
                        attempts = backoff.attempts(),
                        lasting_seconds = complaint.lasting().as_secs(),
                        error = %Causes(source.as_ref()),
                        "the sink cannot deliver, holding and trying again"
                    );
                }
                tokio::time::sleep(wait).await;
            }
            Err(stop @ SinkError::Stop { .. }) => return Err(stop),
        }
    }
}

fn recovered(name: &str, complaint: Option<&Complaint>, backoff: &Backoff) {
    if let Some(complaint) = complaint {
        let lasting_seconds = complaint.lasting().as_secs();
        info!(sink = name, attempts = backoff.attempts(), lasting_seconds, "the sink delivers again");
    }
}

/// An error with its causes on one line.
pub struct Causes<'a>(pub &'a (dyn std::error::Error + 'a));

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::BoxFuture;
    use std::sync::Mutex;

    /// Gives the scripted answers in turn and notes when it was asked.
    struct Scripted(Mutex<Vec<Result<(), SinkError>>>, Mutex<Vec<Instant>>);

    impl Sink for Scripted {
        fn deliver(&self, _: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
            self.1.lock().unwrap().push(Instant::now());
            let answer = self.0.lock().unwrap().remove(0);
            Box::pin(async move { answer })
        }
    }

    fn retry(after: Option<Duration>) -> Result<(), SinkError> {
        Err(SinkError::Retry { after, source: "busy".into() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_required_sink_is_asked_until_it_delivers() {
        let mut script: Vec<_> = (0..200).map(|_| retry(None)).collect();
        script.push(Ok(()));
        let sink = Scripted(Mutex::new(script), Mutex::default());
        let refused = deliver(&sink, "lake", &Arc::default()).await.unwrap();
        assert!(refused.is_empty());
        let asked = sink.1.lock().unwrap();
        assert_eq!(asked.len(), 201);
        for pair in asked.windows(2) {
            let wait = pair[1] - pair[0];
            assert!(wait >= SHORTEST_WAIT && wait <= LONGEST_BACKOFF + Duration::from_millis(1), "{wait:?}");
        }
        assert!(asked[200] - asked[0] > Duration::from_secs(300), "the waits do not grow");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_that_the_destination_asks_for_is_kept() {
        let sink = Scripted(Mutex::new(vec![retry(Some(Duration::from_secs(90))), Ok(())]), Mutex::default());
        deliver(&sink, "lake", &Arc::default()).await.unwrap();
        let asked = sink.1.lock().unwrap();
        assert!(asked[1] - asked[0] >= Duration::from_secs(90));
    }

    #[tokio::test(start_paused = true)]
    async fn refused_items_and_the_end_are_handed_back() {
        let items = vec![(3, "too old".to_owned())];
        let stop = Err(SinkError::Stop { advice: "open it again".into(), source: None });
        let script = vec![Err(SinkError::Refused { items: items.clone() }), stop];
        let sink = Scripted(Mutex::new(script), Mutex::default());
        assert_eq!(deliver(&sink, "lake", &Arc::default()).await.unwrap(), items);
        assert!(matches!(deliver(&sink, "lake", &Arc::default()).await, Err(SinkError::Stop { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn complaints_grow_rare() {
        let mut complaint = Complaint::new(Duration::ZERO);
        let mut lines = 0;
        for _ in 0..3600 {
            lines += u32::from(complaint.is_due());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!((15..=25).contains(&lines), "{lines} lines in an hour");
    }
}
