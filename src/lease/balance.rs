//! The balance: which leases a worker takes, and which it asks for. Every worker decides for itself, from what it sees;
//! there is no leader to lose. Pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tokio::time::Instant;

use super::view::View;
use super::{Lease, LeaseKey, WorkerId};

/// Leases that a worker takes beyond its part at a time.
const LEFT_OVERS: usize = 3;

/// What a worker does next.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Leases that nobody holds: to be taken.
    pub take: Vec<Lease>,
    /// A lease of the most loaded worker: to be asked for.
    pub ask: Option<Lease>,
    /// Whether there are more to take than the limit allows at a time.
    pub is_limited: bool,
    /// What is free, and not taken now.
    pub left: Vec<LeaseKey>,
}

/// What a worker has, beside what the table says.
#[derive(Clone, Copy)]
pub struct Mine<'a> {
    /// Whether the worker holds a lease, or is about to.
    pub has: &'a dyn Fn(&LeaseKey) -> bool,
    /// Whether it waits for one that it asked for.
    pub is_asking: bool,
    /// The most that it takes at a time.
    pub limit: usize,
    /// Whether a lease has been free for so long that nobody else seems to come for it.
    pub is_left_over: &'a dyn Fn(&LeaseKey) -> bool,
}

/// Decides. `is_ready` tells the leases that may be read now: what waits for its parents is nobody's load.
///
/// The target is the leases divided by the workers, rounded up. A worker below it takes what is free or has expired;
/// when there is nothing of the kind, it asks the most loaded worker for one lease, and only one that stays at the
/// target or above without it. What a worker left that stopped, and nobody below the target comes for, is taken beyond it,
/// and asked for later: in a large fleet not every worker notices at once that something is free.
pub fn moves(view: &View, is_ready: &dyn Fn(&Lease) -> bool, mine: Mine<'_>, now: Instant) -> Moves {
    let me = view.me();
    let active: Vec<_> = view.leases().filter(|lease| !lease.is_ended() && is_ready(lease)).collect();
    let mut loads: BTreeMap<&WorkerId, usize> = BTreeMap::from([(me, 0)]);
    let mut free = Vec::new();
    for lease in &active {
        let owner = match &lease.owner {
            _ if (mine.has)(&lease.key) => Some(me),
            Some(owner) if owner == me && lease.draining.is_none() && view.is_left(lease, now) => None,
            Some(owner) if !view.is_expired(lease) => Some(owner),
            _ => None,
        };
        match owner {
            Some(owner) => *loads.entry(owner).or_default() += 1,
            None => free.push(*lease),
        }
    }
    let workers = loads.keys().filter(|owner| view.is_live(owner)).count();
    let target = active.len().div_ceil(workers.max(1));
    let wanted = target.saturating_sub(loads.get(me).copied().unwrap_or_default());
    if !free.is_empty() {
        // Each worker in an order of its own, so that several do not race for the same ones.
        free.sort_by_cached_key(|lease| order(me, &lease.key));
        let (mut take, mut left, mut is_limited) = (Vec::new(), Vec::new(), false);
        // A few at a time, and only once they are few.
        let mut left_overs = if free.len() <= 2 * workers { LEFT_OVERS } else { 0 };
        for (at, lease) in free.into_iter().enumerate() {
            let is_left_over = at >= wanted && left_overs > 0 && (mine.is_left_over)(&lease.key);
            left_overs -= usize::from(is_left_over);
            let is_wanted = at < wanted || is_left_over;
            is_limited |= is_wanted && take.len() >= mine.limit;
            if is_wanted && take.len() < mine.limit {
                take.push(lease.clone());
            } else {
                left.push(lease.key.clone());
            }
        }
        return Moves { take, ask: None, is_limited, left };
    }
    let most = loads.iter().filter(|(owner, load)| **owner != me && **load > target).max_by_key(|(_, load)| **load);
    let Some((owner, _)) = most.filter(|_| wanted > 0 && !mine.is_asking) else { return Moves::default() };
    let theirs = active.iter().filter(|lease| lease.owner.as_ref() == Some(owner) && lease.draining.is_none());
    let ask = theirs.min_by_key(|lease| order(me, &lease.key)).map(|lease| (*lease).clone());
    Moves { ask, ..Moves::default() }
}

/// A place in an order that each worker shuffles in its own way.
fn order(me: &WorkerId, key: &LeaseKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    (me, key).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::view::Timing;
    use crate::record::{Position, ShardId};
    use std::time::Duration;

    /// Moves of the worker `me` on leases of these owners: `-` is free, `.` ended, `!` not ready.
    fn found(owners: &str, is_asking: bool, limit: usize) -> (usize, Option<String>, bool) {
        let timing = Timing { failover: Duration::from_secs(30), handoff: Duration::from_secs(30) };
        let mut view = View::new(WorkerId::new("me"), timing);
        let lease = |(at, owner): (usize, &str)| {
            let key = LeaseKey { stream: None, shard: ShardId::new(format!("{owner}{at}")) };
            let position = if owner == "." { Position::End } else { Position::TrimHorizon };
            let owner = Some(owner).filter(|owner| !["-", ".", "!"].contains(owner)).map(WorkerId::new);
            Lease { owner, ..Lease::new(key, position, [], None) }
        };
        let now = Instant::now();
        view.saw_all(owners.split_whitespace().enumerate().map(lease).collect(), now, now);
        let has = |key: &LeaseKey| key.shard.as_str().starts_with("me");
        let mine = Mine {
            has: &has,
            is_asking,
            limit,
            is_left_over: &|key| key.shard.as_str().starts_with('-') && limit == 7,
        };
        let is_ready = |lease: &Lease| !lease.key.shard.as_str().starts_with('!');
        let Moves { take, ask, is_limited, left } = moves(&view, &is_ready, mine, Instant::now());
        assert_eq!(
            take.len() + left.len(),
            view.leases()
                .filter(|lease| lease.owner.is_none() && !lease.is_ended() && is_ready(lease))
                .count()
                .max(take.len())
        );
        (take.len(), ask.and_then(|lease| lease.owner).map(|owner| owner.as_str().to_owned()), is_limited)
    }

    #[test]
    fn what_is_free_is_taken_up_to_the_target() {
        let check = |owners: &str, expected: usize| {
            let (take, ask, _) = found(owners, false, 100);
            assert_eq!((take, ask), (expected, None), "{owners}");
        };
        check("", 0);
        check("- - -", 3);
        check("me - -", 2);
        check("x x - -", 2);
        check("x x x - -", 2);
        check("x y - - - -", 2);
        check("me x -", 1);
        check("me me x -", 0);
        // Neither what has ended nor what waits for its parents counts.
        check(". . . ! ! -", 1);
        check("x ! ! ! -", 1);
    }

    #[test]
    fn the_most_loaded_is_asked_for_one_when_nothing_is_free() {
        let check = |owners: &str, expected: Option<&str>| {
            let (take, ask, _) = found(owners, false, 100);
            assert_eq!((take, ask.as_deref()), (0, expected), "{owners}");
            assert_eq!(found(owners, true, 100).1, None, "one at a time");
        };
        check("x", None);
        check("x x", Some("x"));
        check("x x y", Some("x"));
        check("x x x y y", Some("x"));
        check("me x x", None);
        check("me x x x", Some("x"));
        check("x x x x y y y", Some("x"));
        check("me me x x x y y y y", Some("y"));
        check("me me me x x x x", None);
    }

    #[test]
    fn a_limit_is_kept_and_told() {
        assert_eq!(found("- - - -", false, 3), (3, None, true));
        assert_eq!(found("- - - -", false, 4), (4, None, false));
        assert_eq!(found("x - -", false, 1), (1, None, true));
        // What nobody comes for is taken beyond the target.
        assert_eq!(found("me me x -", false, 6), (0, None, false));
        assert_eq!(found("me me x -", false, 7), (1, None, false));
    }
}
