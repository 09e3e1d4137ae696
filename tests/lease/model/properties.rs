//! What has to hold in every state, and what has to happen in some.

use stateright::Property;

use super::Fleet;
use super::rules::Told;
use super::state::{COUNTER, END, Kind, LATEST, NOBODY, SHARDS, State};

pub(super) const NOTHING_SKIPPED: &str = "no record is skipped";
pub(super) const PARENTS_FIRST: &str = "no child is read before its parents' end";
pub(super) const ONE_HOLDER: &str = "never two workers that both can commit";
pub(super) const NEVER_BACK: &str = "no position moves backwards";

pub(super) fn all() -> Vec<Property<Fleet>> {
    vec![
        Property::always(NOTHING_SKIPPED, nothing_is_skipped),
        Property::always(PARENTS_FIRST, parents_come_first),
        Property::always(ONE_HOLDER, one_can_commit),
        Property::always(NEVER_BACK, |_, state: &State| !state.moved_back),
        Property::sometimes("every record is delivered and every shard ends", |fleet: &Fleet, state: &State| {
            (0..fleet.shards()).all(|shard| state.ended[shard] && fleet.has_all(state, shard))
        }),
        Property::sometimes("a lease is handed over", |fleet: &Fleet, state: &State| {
            !fleet.setting.asks
                || waiting(fleet, state, Kind::HandOver)
                    .any(|(_, shard)| state.rows[shard].is_some_and(|row| row.counter == COUNTER))
        }),
        Property::sometimes(
            "a renewal that was told as failed is known to be applied",
            |fleet: &Fleet, state: &State| fleet.setting.late == 0 || is_recognised(fleet, state),
        ),
        Property::sometimes("the lease of a completed shard is deleted", |fleet: &Fleet, state: &State| {
            fleet.setting.parents.iter().all(|parents| parents.is_empty())
                || (0..fleet.shards()).any(|shard| state.ended[shard] && state.rows[shard].is_none())
        }),
    ]
}

impl Fleet {
    /// Whether each record of a shard up to a position was delivered.
    fn has_up_to(&self, state: &State, shard: usize, position: u8) -> bool {
        let last = match position {
            END => self.setting.records,
            LATEST => 0,
            record => record,
        };
        (1..=last).all(|record| state.delivered[shard] & (1 << record) != 0)
    }

    pub(super) fn has_all(&self, state: &State, shard: usize) -> bool {
        self.has_up_to(state, shard, END)
    }
}

fn nothing_is_skipped(fleet: &Fleet, state: &State) -> bool {
    let rows = state.rows.iter().enumerate();
    rows.filter_map(|(shard, row)| Some((shard, row.as_ref()?.position)))
        .all(|(shard, position)| fleet.has_up_to(state, shard, position))
}

fn parents_come_first(fleet: &Fleet, state: &State) -> bool {
    (0..fleet.shards()).all(|shard| {
        let is_read = state.delivered[shard] != 0 || state.slots.iter().any(|slots| slots[shard].held.is_some());
        !is_read
            || fleet.setting.parents[shard].iter().all(|parent| state.ended[*parent] && fleet.has_all(state, *parent))
    })
}

/// A worker can commit while the counter that it knows is the row's.
fn one_can_commit(fleet: &Fleet, state: &State) -> bool {
    (0..fleet.shards()).all(|shard| {
        let holders = state.slots.iter().filter_map(|slots| slots[shard].held);
        state.rows[shard].is_none_or(|row| holders.filter(|held| held.counter == row.counter).count() <= 1)
    })
}

/// Who waits for an answer to such a write.
fn waiting(fleet: &Fleet, state: &State, kind: Kind) -> impl Iterator<Item = (usize, usize)> {
    let all = (0..fleet.setting.workers).flat_map(|worker| (0..SHARDS).map(move |shard| (worker, shard)));
    all.filter(move |(worker, shard)| state.slots[*worker][*shard].sent.is_some_and(|write| write.kind == kind))
}

fn is_recognised(fleet: &Fleet, state: &State) -> bool {
    waiting(fleet, state, Kind::Renew).any(|(worker, shard)| {
        let write = state.slots[worker][shard].sent;
        let (Some(write), Some(row)) = (write, state.rows[shard]) else { return false };
        let me = u8::try_from(worker).unwrap() + 1;
        let told = || fleet.rules.judge(me, shard, write, Err(Some(row)));
        row.counter != write.counter && row.draining == NOBODY && matches!(told(), Told::Done(_))
    })
}
