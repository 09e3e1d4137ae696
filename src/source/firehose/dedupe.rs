//! Deduplication: a request that comes again while it is under way waits for the same end, and one that is durable is
//! answered at once. Nothing of this outlives the process: after a restart a retry is delivered again, with the same event
//! ids.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a request that is durable is remembered: Firehose retries for two hours at most. Source: the Firehose API
/// reference, `HttpEndpointRetryOptions.DurationInSeconds`.
const REMEMBERED_FOR: Duration = Duration::from_secs(3 * 3600);

/// The requests that are remembered, some 100 bytes each. A retry comes after a lost answer, so usually within minutes;
/// one that is forgotten is delivered once more.
const REMEMBERED: usize = 65_536;

/// What a request is told by: the stream, the request's id, and a digest of its records, so that a client that uses an id
/// twice loses nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// The key of a request with these records.
    pub(super) fn new<'r>(source: &'r str, request: &'r str, records: impl Iterator<Item = &'r [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in [source.as_bytes(), request.as_bytes()].into_iter().chain(records) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is under way.
    Running,
    /// Everything in it is durable.
    Durable,
    /// It is not durable, and nothing is under way any more.
    Failed,
}

/// What a request that came is.
pub(super) enum Turn {
    /// The first of its key, to be delivered.
    First(Lead, Follow),
    /// A retry of one that is under way.
    Again(Follow),
    /// A retry of one that is durable.
    Done,
}

/// Waits for the end of a request.
pub(super) struct Follow(watch::Receiver<Outcome>);

impl Follow {
    /// Waits for the end; whether everything became durable.
    pub(super) async fn end(mut self) -> bool {
        self.0.wait_for(|outcome| *outcome != Outcome::Running).await.is_ok_and(|end| *end == Outcome::Durable)
    }
}

/// The requests that are under way or remembered.
#[derive(Default)]
pub(super) struct Registry(Mutex<State>);

#[derive(Default)]
struct State {
    running: HashMap<Key, watch::Receiver<Outcome>>,
    done: HashSet<Key>,
    order: VecDeque<(Instant, Key)>,
}

/// The duty to say how a request ended; one that is dropped says that it failed.
pub(super) struct Lead {
    registry: Arc<Registry>,
    key: Key,
    outcome: watch::Sender<Outcome>,
    is_durable: bool,
}

impl Registry {
    /// Says what a request is that came.
    pub(super) fn enter(self: &Arc<Self>, key: Key) -> Turn {
        let mut state = self.state();
        state.forget_old();
        if state.done.contains(&key) {
            return Turn::Done;
        }
        if let Some(running) = state.running.get(&key) {
            return Turn::Again(Follow(running.clone()));
        }
        let (outcome, follow) = watch::channel(Outcome::Running);
        state.running.insert(key, follow.clone());
        Turn::First(Lead { registry: Arc::clone(self), key, outcome, is_durable: false }, Follow(follow))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_old(&mut self) {
        let now = Instant::now();
        while let Some((since, key)) = self.order.front() {
            if self.order.len() <= REMEMBERED && now.duration_since(*since) < REMEMBERED_FOR {
                return;
            }
            self.done.remove(key);
            self.order.pop_front();
        }
    }
}

impl Lead {
    /// Everything is durable.
    pub(super) fn durable(mut self) {
        self.is_durable = true;
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut state = self.registry.state();
        state.running.remove(&self.key);
        if self.is_durable {
            state.done.insert(self.key);
            state.order.push_back((Instant::now(), self.key));
        }
        drop(state);
        self.outcome.send_replace(if self.is_durable { Outcome::Durable } else { Outcome::Failed });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(request: &str, records: &[&[u8]]) -> Key {
        Key::new("arn", request, records.iter().copied())
    }

    #[test]
    fn records_are_told_apart_by_where_they_end() {
        let keys = [key("a", &[b"bc"]), key("a", &[b"b", b"c"]), key("ab", &[b"c"]), key("a", &[b"bc", b""])];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        assert_eq!(key("a", &[b"bc"]), keys[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_waits_for_the_same_end_and_is_then_done_for_a_time() {
        let registry = Arc::<Registry>::default();
        let first = key("a", &[b"1"]);
        let Turn::First(lead, follow) = registry.enter(first) else { panic!("is the first") };
        let Turn::Again(retry) = registry.enter(first) else { panic!("is under way") };
        assert!(matches!(registry.enter(key("a", &[b"2"])), Turn::First(..)), "other records");
        drop(lead);
        assert!(!follow.end().await && !retry.end().await);
        let Turn::First(lead, follow) = registry.enter(first) else { panic!("the first has failed") };
        lead.durable();
        assert!(follow.end().await);
        assert!(matches!(registry.enter(first), Turn::Done));
        tokio::time::advance(REMEMBERED_FOR - Duration::from_secs(1)).await;
        assert!(matches!(registry.enter(first), Turn::Done));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(registry.enter(first), Turn::First(..)), "is forgotten");
        assert!(registry.state().order.is_empty());
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let registry = Arc::<Registry>::default();
        for number in 0..REMEMBERED + 10 {
            let Turn::First(lead, _) = registry.enter(key(&number.to_string(), &[])) else { panic!("is new") };
            lead.durable();
        }
        assert!(matches!(registry.enter(key("0", &[])), Turn::First(..)));
        let state = registry.state();
        assert!(state.order.len() <= REMEMBERED && state.done.len() == state.order.len());
    }
}
