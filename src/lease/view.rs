//! The view: what one worker has seen of the lease table, and which leases have expired by its own clock. No clock of
//! another host is looked at: a lease has expired once its counter was seen not to move for the failover time.
//!
//! Reading the whole table often would cost more than the leases. A worker reads it once in a failover time, and in
//! between watches one lease of each of a few other workers: the next one in the order of their names, the one two
//! places on, four, eight, and so on. A worker renews all its leases at one pace, so that a watched lease which stands
//! still tells that its owner does; a second look at the owner's other leases confirms it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{Lease, LeaseKey, WorkerId};

/// The times that leases live by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A lease that was not renewed for so long is anyone's.
    pub failover: Duration,
    /// How long a worker that was asked for a lease may take to drain.
    pub handoff: Duration,
}

impl Timing {
    /// Between two renewals of a lease: two of them may fail before it is lost.
    pub fn renewal(&self) -> Duration {
        self.failover / 3
    }

    /// Between two looks at a watched lease: a second at the default, so that a lease is taken over that soon after it
    /// was released, or after it expired.
    pub fn watch(&self) -> Duration {
        self.failover / 30
    }

    /// A watched lease that has not moved for so long has missed a renewal.
    fn overdue(&self) -> Duration {
        self.renewal() + 3 * self.watch()
    }
}

/// What a worker has seen.
#[derive(Debug)]
pub struct View {
    me: WorkerId,
    timing: Timing,
    seen: BTreeMap<LeaseKey, Seen>,
    /// Owners that were overdue when they were last looked at.
    suspected: BTreeSet<WorkerId>,
}

/// A lease as it was last seen.
#[derive(Debug)]
struct Seen {
    lease: Lease,
    /// When the lease was first seen.
    first: Instant,
    /// When this counter was first seen.
    since: Instant,
    /// When it was last seen.
    looked: Instant,
}

impl Seen {
    /// For how long the counter is known not to have moved.
    fn still(&self) -> Duration {
        self.looked.saturating_duration_since(self.since)
    }
}

impl View {
    /// A view of nothing.
    pub fn new(me: WorkerId, timing: Timing) -> Self {
        Self { me, timing, seen: BTreeMap::new(), suspected: BTreeSet::new() }
    }

    /// The worker whose view this is.
    pub fn me(&self) -> &WorkerId {
        &self.me
    }

    /// Takes over the whole table, as read at `now`.
    pub fn saw_all(&mut self, leases: Vec<Lease>, now: Instant) {
        let mut before = std::mem::take(&mut self.seen);
        for lease in leases {
            if let Some(seen) = before.remove(&lease.key) {
                self.seen.insert(lease.key.clone(), seen);
            }
            self.saw(lease, now);
        }
    }

    /// Takes over one lease as it was written, or read consistently, at `now`.
    pub fn saw(&mut self, lease: Lease, now: Instant) {
        let before = self.seen.get(&lease.key);
        let still = before.filter(|seen| seen.lease.counter == lease.counter && seen.lease.owner == lease.owner);
        let since = still.map_or(now, |seen| seen.since);
        let first = before.map_or(now, |seen| seen.first);
        self.seen.insert(lease.key.clone(), Seen { lease, first, since, looked: now });
    }

    /// Takes over one lease that was read at `now`, or some time before.
    pub fn glimpsed(&mut self, lease: Lease, now: Instant) {
        if self.seen.get(&lease.key).is_none_or(|seen| seen.lease.counter <= lease.counter) {
            self.saw(lease, now);
        }
    }

    /// Forgets a lease that is gone from the table.
    pub fn forget(&mut self, key: &LeaseKey) {
        self.seen.remove(key);
    }

    /// The lease as last seen.
    pub fn get(&self, key: &LeaseKey) -> Option<&Lease> {
        self.seen.get(key).map(|seen| &seen.lease)
    }

    /// When a lease was first seen.
    pub fn first_seen(&self, key: &LeaseKey) -> Option<Instant> {
        self.seen.get(key).map(|seen| seen.first)
    }

    /// All leases as last seen, by key.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.seen.values().map(|seen| &seen.lease)
    }

    /// Whether a lease is held by nobody any more: it was seen to stand still for the failover time, or its owner is
    /// dead and it has stood still for half of that, which is longer than a renewal. Whoever takes it on its counter
    /// proves that it stood still until then.
    pub fn is_expired(&self, lease: &Lease, dead: &BTreeSet<WorkerId>, now: Instant) -> bool {
        let Some(seen) = self.seen.get(&lease.key) else { return false };
        let owner_is_dead = lease.owner.as_ref().is_some_and(|owner| dead.contains(owner));
        seen.still() >= self.timing.failover || (owner_is_dead && self.is_quiet(seen, now))
    }

    /// The owners of which a lease was seen to stand still for the failover time, and none to move in half of it.
    pub fn dead(&self, now: Instant) -> BTreeSet<WorkerId> {
        let held = || self.seen.values().filter(|seen| seen.lease.draining.is_none());
        let still = held().filter(|seen| seen.still() >= self.timing.failover);
        let mut dead: BTreeSet<_> = still.filter_map(|seen| seen.lease.owner.clone()).collect();
        for seen in held().filter(|seen| !self.is_quiet(seen, now)) {
            seen.lease.owner.as_ref().map(|owner| dead.remove(owner));
        }
        dead
    }

    fn is_quiet(&self, seen: &Seen, now: Instant) -> bool {
        now.saturating_duration_since(seen.since) >= self.timing.failover / 2
    }

    /// Whether an owner is to be counted on: one of its leases moved when it was last looked at, or not long before.
    pub fn is_live(&self, owner: &WorkerId) -> bool {
        *owner == self.me
            || self.seen.values().any(|seen| {
                seen.lease.owner.as_ref() == Some(owner)
                    && seen.still() < self.timing.overdue().max(self.timing.failover / 2)
            })
    }

    /// The leases to watch: one of each of the workers at powers of two after this one. A worker is so watched by
    /// several, and none watches more than a dozen.
    pub fn watched(&self) -> Vec<LeaseKey> {
        let me = &self.me;
        let mut first: BTreeMap<&WorkerId, &LeaseKey> = BTreeMap::new();
        for lease in self.leases().filter(|lease| !lease.is_ended() && lease.draining.is_none()) {
            if let Some(owner) = lease.owner.as_ref().filter(|owner| **owner != self.me) {
                first.entry(owner).or_insert(&lease.key);
            }
        }
        let (before, after): (Vec<_>, Vec<_>) = first.into_iter().partition(|(owner, _)| *owner < me);
        let after = after.into_iter().chain(before);
        let keys: Vec<_> = after.map(|(_, key)| key.clone()).collect();
        let places = std::iter::successors(Some(0), |place| Some(place * 2 + 1));
        places.map_while(|place: usize| keys.get(place).cloned()).collect()
    }

    /// Whether an owner has just become overdue, or ceased to be: time to look at all leases, once.
    pub fn has_new_suspects(&mut self, watched: &[LeaseKey]) -> bool {
        let overdue = watched.iter().filter_map(|key| self.seen.get(key));
        let overdue = overdue.filter(|seen| seen.still() >= self.timing.overdue());
        let suspected: BTreeSet<_> = overdue.filter_map(|seen| seen.lease.owner.clone()).collect();
        let new = suspected.difference(&self.suspected).next().is_some();
        self.suspected = suspected;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Position, ShardId};

    const TIMING: Timing = Timing { failover: Duration::from_secs(30), handoff: Duration::from_secs(30) };

    fn lease(shard: &str, owner: &str, counter: u64) -> Lease {
        let key = LeaseKey { stream: None, shard: ShardId::new(shard) };
        let owner = Some(owner).filter(|owner| !owner.is_empty()).map(WorkerId::new);
        Lease { owner, counter, ..Lease::new(key, Position::TrimHorizon, [], None) }
    }

    fn names<'a>(workers: impl IntoIterator<Item = &'a WorkerId>) -> Vec<&'a str> {
        workers.into_iter().map(WorkerId::as_str).collect()
    }

    #[test]
    fn each_worker_watches_those_at_powers_of_two_after_it() {
        let check = |me: &str, owners: &str, expected: &str| {
            let mut view = View::new(WorkerId::new(me), TIMING);
            let leases = owners.split_whitespace().enumerate().map(|(at, owner)| lease(&format!("{at:02}"), owner, 1));
            view.saw_all(leases.collect(), Instant::now());
            let owner = |key: LeaseKey| view.get(&key).and_then(|lease| lease.owner.clone()).unwrap();
            let found: Vec<_> = view.watched().into_iter().map(owner).collect();
            assert_eq!(names(&found).join(" "), expected, "{me} among {owners}");
        };
        check("a", "", "");
        check("a", "a a", "");
        check("a", "a b", "b");
        check("b", "a b c", "c a");
        check("d", "a b c", "a b");
        check("c", "a b c d e f g h i", "d e g b");
        check("h", "a b c d e f g h i", "i a c g");
    }

    #[test]
    fn a_lease_expires_once_it_was_seen_to_stand_still() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut view = View::new(WorkerId::new("me"), TIMING);
        let expired = |view: &View, shard: &str, now| {
            let lease = view.get(&lease(shard, "", 0).key).unwrap().clone();
            view.is_expired(&lease, &view.dead(now), now)
        };
        view.saw_all(vec![lease("0", "x", 5), lease("1", "x", 5), lease("2", "y", 5)], at(0));
        assert!(!expired(&view, "0", at(100)), "it was not looked at since");
        view.glimpsed(lease("0", "x", 5), at(20));
        assert!(!expired(&view, "0", at(29)));
        // A late answer does not make it move.
        view.glimpsed(lease("0", "x", 4), at(25));
        view.glimpsed(lease("0", "x", 5), at(30));
        assert!(expired(&view, "0", at(30)));
        assert_eq!(names(&view.dead(at(30))), ["x"]);
        // So has all that its owner holds and that did not move in half the time; nobody else's has.
        assert!(expired(&view, "1", at(30)));
        assert!(!expired(&view, "2", at(30)));
        // One lease of it that moves shows that it lives.
        view.glimpsed(lease("1", "x", 6), at(31));
        assert!(view.dead(at(31)).is_empty());
        assert!(!expired(&view, "1", at(31)));
        assert!(expired(&view, "0", at(31)), "it stood still all the same");
    }

    #[test]
    fn an_owner_is_suspected_once_it_misses_a_renewal() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut view = View::new(WorkerId::new("me"), TIMING);
        view.saw_all(vec![lease("0", "x", 5), lease("1", "x", 5)], at(0));
        let watched = view.watched();
        assert_eq!(watched.len(), 1);
        let mut look = |counter, seconds, expected: (bool, bool)| {
            view.glimpsed(lease("0", "x", counter), at(seconds));
            let found = (view.has_new_suspects(&watched), view.is_live(&WorkerId::new("x")));
            assert_eq!(found, expected, "{seconds}");
        };
        look(5, 12, (false, true));
        look(5, 13, (true, true));
        look(5, 14, (false, true));
        look(6, 15, (false, true));
        look(6, 28, (true, true));
        view.saw_all(vec![lease("0", "x", 6), lease("1", "x", 5)], at(31));
        assert!(!view.is_live(&WorkerId::new("x")), "all of its leases stand still");
    }
}
