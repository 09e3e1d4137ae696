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

/// Workers nearest after this one that are all watched: one read a second each, at the default.
const NEAR: usize = 8;

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
    /// Owners that were overdue when they were last looked at, and those of an expired lease.
    suspected: BTreeSet<(WorkerId, usize)>,
    /// Owners that are dead, and since when that is known.
    dead: BTreeMap<WorkerId, Instant>,
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
        Self { me, timing, seen: BTreeMap::new(), suspected: BTreeSet::new(), dead: BTreeMap::new() }
    }

    /// The worker whose view this is.
    pub fn me(&self) -> &WorkerId {
        &self.me
    }

    /// Takes over the whole table, as it was read from `asked` until `now`. What was written or seen in between is newer.
    pub fn saw_all(&mut self, leases: Vec<Lease>, asked: Instant, now: Instant) {
        let mut before = std::mem::take(&mut self.seen);
        for lease in leases {
            let key = lease.key.clone();
            if let Some(seen) = before.remove(&key) {
                self.seen.insert(key, seen);
            }
            self.glimpsed_since(lease, asked, now);
        }
        self.seen.extend(before.into_iter().filter(|(_, seen)| seen.looked > asked));
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

    /// Takes over one lease that was read no earlier than `asked`.
    fn glimpsed_since(&mut self, lease: Lease, asked: Instant, now: Instant) {
        let is_newer = |seen: &Seen| seen.looked > asked && seen.lease.counter > lease.counter;
        if !self.seen.get(&lease.key).is_some_and(is_newer) {
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
    pub fn is_expired(&self, lease: &Lease) -> bool {
        let Some(seen) = self.seen.get(&lease.key) else { return false };
        if lease.draining.is_some() {
            // Nobody renews it while it is handed over: who asked has its own patience, and comes first.
            return seen.still() >= self.timing.failover.max(self.timing.handoff + self.timing.renewal());
        }
        let owner_is_dead = lease.owner.as_ref().is_some_and(|owner| self.dead.contains_key(owner));
        seen.still() >= self.timing.failover || (owner_is_dead && self.is_quiet(seen))
    }

    /// Whether a lease that names this worker, which does not hold it, may be taken: it was left by a life before this
    /// one, or lost. If something of the same name holds it, it moves.
    pub fn is_left(&self, lease: &Lease, now: Instant) -> bool {
        let since = self.seen.get(&lease.key).map(|seen| seen.since);
        since.is_some_and(|since| now.saturating_duration_since(since) >= self.timing.overdue())
    }

    /// Notes the owners of which a lease was seen to stand still for the failover time, and none to move in half of it:
    /// they are dead, until a lease of theirs moves. Gives those that were not known to be.
    pub fn note_dead(&mut self, now: Instant) -> Vec<WorkerId> {
        let mut owners: BTreeMap<&WorkerId, (bool, bool, Instant)> = BTreeMap::new();
        for seen in self.seen.values().filter(|seen| seen.lease.draining.is_none() && !seen.lease.is_ended()) {
            let Some(owner) = &seen.lease.owner else { continue };
            let (is_still, is_quiet, moved) = owners.entry(owner).or_insert((false, true, seen.since));
            *is_still |= seen.still() >= self.timing.failover;
            *is_quiet &= self.is_quiet(seen);
            *moved = seen.since.max(*moved);
        }
        let mut dead = std::mem::take(&mut self.dead);
        dead.retain(|owner, since| owners.get(owner).is_some_and(|(.., moved)| moved <= since));
        let is_new = |owner: &WorkerId, is_dead| is_dead && !dead.contains_key(owner);
        let new = owners.iter().filter(|(owner, (is_still, is_quiet, _))| is_new(owner, *is_still && *is_quiet));
        let new: Vec<WorkerId> = new.map(|(owner, _)| (*owner).clone()).collect();
        dead.extend(new.iter().map(|owner| (owner.clone(), now)));
        self.dead = dead;
        new
    }

    fn is_quiet(&self, seen: &Seen) -> bool {
        seen.still() >= self.timing.failover / 2
    }

    /// Whether an owner is to be counted on: one of its leases moved when it was last looked at, or not long before.
    pub fn is_live(&self, owner: &WorkerId) -> bool {
        *owner == self.me
            || self.seen.values().any(|seen| {
                seen.lease.owner.as_ref() == Some(owner)
                    && seen.still() < self.timing.overdue().max(self.timing.failover / 2)
            })
    }

    /// The leases to watch: one of each of the next few workers, and of those at powers of two after them. In a small
    /// fleet each watches all others; in a large one a worker is watched by several, and none watches more than a dozen
    /// and a half.
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
        let near = 0..NEAR;
        let places = near.chain(std::iter::successors(Some(2 * NEAR - 1), |place| Some(place * 2 + 1)));
        places.map_while(|place: usize| keys.get(place).cloned()).collect()
    }

    /// Whether an owner has just become overdue, or its lease just expired: time to look at all leases, once each time.
    /// The two looks tell which of its other leases stand still as well.
    pub fn has_new_suspects(&mut self, watched: &[LeaseKey]) -> bool {
        let mut suspected = BTreeSet::new();
        for seen in watched.iter().filter_map(|key| self.seen.get(key)) {
            for (level, time) in [self.timing.overdue(), self.timing.failover].into_iter().enumerate() {
                let owner = seen.lease.owner.clone().filter(|_| seen.still() >= time);
                suspected.extend(owner.map(|owner| (owner, level)));
            }
        }
        let is_new = suspected.difference(&self.suspected).next().is_some();
        self.suspected = suspected;
        is_new
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
    fn each_worker_watches_the_next_ones_and_those_at_powers_of_two() {
        let check = |me: &str, owners: &str, expected: &str| {
            let mut view = View::new(WorkerId::new(me), TIMING);
            let leases = owners.split_whitespace().enumerate().map(|(at, owner)| lease(&format!("{at:02}"), owner, 1));
            let now = Instant::now();
            view.saw_all(leases.collect(), now, now);
            let owner = |key: LeaseKey| view.get(&key).and_then(|lease| lease.owner.clone()).unwrap();
            let found: Vec<_> = view.watched().into_iter().map(owner).collect();
            assert_eq!(names(&found).join(" "), expected, "{me} among {owners}");
        };
        check("a", "", "");
        check("a", "a a", "");
        check("a", "a b", "b");
        check("b", "a b c", "c a");
        check("d", "a b c", "a b c");
        check("c", "a b c d e f g h i", "d e f g h i a b");
        check("a", "a b c d e f g h i j", "b c d e f g h i");
        check("a", "a b c d e f g h i j k l m n o p q r s", "b c d e f g h i q");
    }

    #[test]
    fn a_lease_expires_once_it_was_seen_to_stand_still() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut view = View::new(WorkerId::new("me"), TIMING);
        let expired = |view: &View, shard: &str| {
            let lease = view.get(&lease(shard, "", 0).key).unwrap().clone();
            view.is_expired(&lease)
        };
        view.saw_all(vec![lease("0", "x", 5), lease("1", "x", 5), lease("2", "y", 5)], at(0), at(0));
        assert!(!expired(&view, "0"), "it was not looked at since");
        view.glimpsed(lease("0", "x", 5), at(20));
        assert!(!expired(&view, "0"));
        // A late answer does not make it move.
        view.glimpsed(lease("0", "x", 4), at(25));
        view.glimpsed(lease("0", "x", 5), at(30));
        assert!(expired(&view, "0"));
        assert!(view.note_dead(at(30)).is_empty(), "its other lease was not looked at");
        // So has all that its owner holds and that was seen to stand still for half the time; nobody else's has.
        view.glimpsed(lease("1", "x", 5), at(30));
        assert_eq!(names(&view.note_dead(at(30))), ["x"]);
        assert!(view.note_dead(at(30)).is_empty(), "told twice");
        assert!(expired(&view, "1"));
        assert!(!expired(&view, "2"));
        // It stays dead when the lease that told so is another worker's.
        view.glimpsed(lease("0", "y", 6), at(31));
        view.note_dead(at(31));
        assert!(expired(&view, "1"));
        // One lease of it that moves shows that it lives.
        view.saw_all(vec![lease("0", "x", 7), lease("1", "x", 6), lease("2", "y", 5)], at(32), at(32));
        view.note_dead(at(32));
        assert!(!expired(&view, "0") && !expired(&view, "1"));
    }

    #[test]
    fn what_is_handed_over_is_left_alone_for_longer() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut view = View::new(WorkerId::new("me"), TIMING);
        let asked = Lease { draining: Some(WorkerId::new("x")), ..lease("0", "y", 5) };
        view.saw(asked.clone(), at(0));
        view.saw(asked.clone(), at(39));
        assert!(!view.is_expired(&asked));
        view.saw(asked.clone(), at(40));
        assert!(view.is_expired(&asked));
    }

    #[test]
    fn a_lease_of_this_name_is_left_once_it_misses_a_renewal() {
        let begun = Instant::now();
        let mut view = View::new(WorkerId::new("me"), TIMING);
        let mine = lease("0", "me", 5);
        view.saw(mine.clone(), begun);
        assert!(!view.is_left(&mine, begun + Duration::from_secs(12)), "a twin may renew it");
        assert!(view.is_left(&mine, begun + Duration::from_secs(13)));
    }

    #[test]
    fn what_was_written_while_the_table_was_read_is_newer() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut view = View::new(WorkerId::new("me"), TIMING);
        view.saw(lease("0", "me", 5), at(0));
        view.saw(lease("1", "", 0), at(2));
        view.saw(lease("0", "me", 6), at(2));
        view.saw_all(vec![lease("0", "me", 5)], at(1), at(3));
        assert_eq!(view.leases().map(|lease| lease.counter).collect::<Vec<_>>(), [6, 0]);
        view.saw_all(vec![lease("0", "me", 7)], at(4), at(5));
        assert_eq!(view.leases().map(|lease| lease.counter).collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn an_owner_is_suspected_once_it_misses_a_renewal() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut view = View::new(WorkerId::new("me"), TIMING);
        view.saw_all(vec![lease("0", "x", 5), lease("1", "x", 5)], at(0), at(0));
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
        view.saw_all(vec![lease("0", "x", 6), lease("1", "x", 5)], at(31), at(31));
        assert!(!view.is_live(&WorkerId::new("x")), "all of its leases stand still");
        // Once more when the lease has expired.
        view.glimpsed(lease("0", "x", 6), at(45));
        assert!(view.has_new_suspects(&watched));
        assert!(!view.has_new_suspects(&watched));
    }
}
