//! A model of the fleet that a checker walks through, state by state: leases, handing over, resharding, checkpoints. The
//! table's and the workers' decisions are the program's own functions (`lease::protocol`, `lease::ready`); the model
//! adds what may go wrong between them. Workers crash at any time and forget; a write may be in flight for any time
//! while others act, be lost, or be applied and told as failed, and then is tried again; every clock is arbitrarily
//! wrong, so that any lease may be taken for expired at any time; listings are old. Nothing bounds how often: a setting
//! bounds only how many failed writes are on their way at once.
//!
//! The larger settings: `cargo test --test integration lease::model -- --ignored --nocapture`

mod properties;
mod rules;
mod state;
mod steps;

use std::time::Instant;

use stateright::{Checker as _, HasDiscoveries, Model as _};

use properties::{NEVER_BACK, NOTHING_SKIPPED, ONE_HOLDER, PARENTS_FIRST};
use rules::Rules;
use state::{Renaming, WORKERS};

/// A stream and its workers.
#[derive(Clone, Copy)]
struct Setting {
    workers: usize,
    /// The parents of each shard. The shards without any are there first, and are split or merged into the others.
    parents: &'static [&'static [usize]],
    /// How many records each shard gets.
    records: u8,
    /// How many writes can be on their way that were told as failed.
    late: usize,
}

/// One rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// A lease is taken whatever its counter is, and written as the taker knew it.
    TakeUnchecked,
    /// The same for renewals and commits.
    CommitUnchecked,
    /// A refused write is taken for done wherever the row names the worker as its owner.
    OwnerIsDone,
    /// Children do not wait for their parents.
    ChildBeforeParent,
    /// Children start with what comes from now on.
    ChildAtLatest,
    /// A lease is deleted once it is at its end.
    DeletedTooEarly,
}

struct Fleet {
    setting: Setting,
    fault: Fault,
    rules: Rules,
    renamings: Vec<Renaming>,
}

impl Fleet {
    fn new(setting: Setting, fault: Fault) -> Self {
        let mut orders: Vec<[u8; WORKERS]> = vec![[0, 1, 2], [1, 0, 2]];
        if setting.workers > 2 {
            orders.extend([[0, 2, 1], [1, 2, 0], [2, 0, 1], [2, 1, 0]]);
        }
        let mut places = vec![[0, 1, 2, 3]];
        if let [[], [0], [0], ..] = setting.parents {
            places.push([0, 2, 1, 3]);
        } else if let [[], [], ..] = setting.parents {
            places.push([1, 0, 2, 3]);
        }
        let all = orders.iter().flat_map(|workers| places.iter().map(|shards| (*workers, *shards)));
        let renamings = all.skip(1).map(|(workers, shards)| Renaming { workers, shards }).collect();
        Self { setting, fault, rules: Rules::new(&setting, fault), renamings }
    }

    fn shards(&self) -> usize {
        self.setting.parents.len()
    }

    fn is_first(&self, shard: usize) -> bool {
        self.setting.parents[shard].is_empty()
    }
}

const ONE_SHARD: Setting = Setting { workers: 2, parents: &[&[]], records: 2, late: 1 };
const SPLIT: Setting = Setting { workers: 2, parents: &[&[], &[0], &[0]], records: 1, late: 0 };
const MERGE: Setting = Setting { workers: 2, parents: &[&[], &[], &[0, 1]], records: 1, late: 0 };

/// Walks through all states.
fn check(name: &str, setting: Setting) {
    let begun = Instant::now();
    let checker = Fleet::new(setting, Fault::None).checker().threads(2).spawn_bfs().join();
    eprintln!(
        "{name}: {} states, {} ways between them, {} steps deep, {:.1?}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        begun.elapsed()
    );
    checker.assert_properties();
}

/// Breaks a rule, and expects that a property notices.
fn check_fault(fault: Fault, setting: Setting, property: &'static str) {
    let begun = Instant::now();
    let fleet = Fleet::new(setting, fault);
    let found = HasDiscoveries::AnyOf([property].into());
    let checker = fleet.checker().threads(2).finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(property);
    eprintln!("{fault:?}: {} states, {:.1?}, {property}: {:?}", checker.unique_state_count(), begun.elapsed(), path.into_actions());
}

#[test]
fn one_shard() {
    check("one shard", ONE_SHARD);
}

#[test]
fn a_split() {
    check("a split", SPLIT);
}

#[test]
fn a_merge() {
    check("a merge", MERGE);
}

#[test]
fn every_broken_rule_is_found() {
    check_fault(Fault::TakeUnchecked, ONE_SHARD, ONE_HOLDER);
    check_fault(Fault::CommitUnchecked, ONE_SHARD, NEVER_BACK);
    check_fault(Fault::OwnerIsDone, ONE_SHARD, ONE_HOLDER);
    check_fault(Fault::ChildBeforeParent, SPLIT, PARENTS_FIRST);
    check_fault(Fault::ChildAtLatest, SPLIT, NOTHING_SKIPPED);
    check_fault(Fault::DeletedTooEarly, SPLIT, NEVER_BACK);
}
