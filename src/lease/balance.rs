//! The balance: which leases a worker takes, and which it asks for. Every worker decides for itself, from what it sees;
//! there is no leader to lose. Pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tokio::time::Instant;

use super::view::View;
use super::{Lease, LeaseKey, WorkerId};

/// What a worker does next.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Leases that nobody holds: to be taken.
    pub take: Vec<Lease>,
    /// A lease of the most loaded worker: to be asked for.
    pub ask: Option<Lease>,
    /// Whether there are more to take than the limit allows at a time.
    pub is_limited: bool,
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
}

/// Decides. `is_ready` tells the leases that may be read now: what waits for its parents is nobody's load.
///
/// The target is the leases divided by the workers, rounded up. A worker below it takes what is free or has expired;
/// when there is nothing of the kind, it asks the most loaded worker for one lease, and only one that stays at the
/// target or above without it.
pub fn moves(view: &View, is_ready: &dyn Fn(&Lease) -> bool, mine: Mine<'_>, now: Instant) -> Moves {
    let (me, dead) = (view.me(), view.dead(now));
    let active: Vec<_> = view.leases().filter(|lease| !lease.is_ended() && is_ready(lease)).collect();
    let mut loads: BTreeMap<&WorkerId, usize> = BTreeMap::from([(me, 0)]);
    let mut free = Vec::new();
    for lease in &active {
        let owner = match &lease.owner {
            _ if (mine.has)(&lease.key) => Some(me),
            // What says that it is this worker's, and is not: of a life before this one, or lost and still unclaimed.
            Some(owner) if owner == me && lease.draining.is_none() => None,
            Some(owner) if !view.is_expired(lease, &dead, now) => Some(owner),
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
        let is_limited = wanted.min(free.len()) > mine.limit;
        let take = free.into_iter().take(wanted.min(mine.limit)).cloned().collect();
        return Moves { take, ask: None, is_limited };
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
