//! A model of the fleet that a checker walks through, state by state: leases, handing over, resharding, checkpoints. The
//! table's and the workers' decisions are the program's own functions (`lease::protocol`, `lease::ready`); the model
//! adds what may go wrong between them. Workers crash at any time and forget; a write may be in flight for any time
//! while others act, be lost, or be applied and told as failed, and then is tried again; every clock is arbitrarily
//! wrong, so that any lease may be taken for expired at any time; listings are old. Nothing bounds how often: a setting
//! bounds only how many failed writes are on their way at once, and the settings of several shards leave out what one shard shows.
//!
//! The larger settings: `cargo test --test integration lease::model::larger -- --ignored --nocapture`

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
    /// How many writes the workers can wait for at once.
    sent: usize,
    /// How many writes can be on their way that were told as failed.
    late: usize,
    /// Whether a worker whose lease was taken knows it at once. All that it could do otherwise is deliver more, and
    /// send what is refused.
    is_told: bool,
    /// Whether workers ask for leases.
    asks: bool,
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

/// One lease with everything that may go wrong, but for failed writes that arrive late.
const ONE_SHARD: Setting =
    Setting { workers: 2, parents: &[&[]], records: 2, sent: 2, late: 0, is_told: false, asks: true };
const FAILING: Setting = Setting { records: 1, late: 1, ..ONE_SHARD };
/// Leases that begin and end with their shards; what happens to each on the way is the business of the settings above.
const SPLIT: Setting =
    Setting { workers: 2, parents: &[&[], &[0], &[0]], records: 1, sent: 1, late: 0, is_told: true, asks: false };
const MERGE: Setting = Setting { parents: &[&[], &[], &[0, 1]], ..SPLIT };

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
    eprintln!(
        "{fault:?}: {} states, {:.1?}, {property}: {:?}",
        checker.unique_state_count(),
        begun.elapsed(),
        path.into_actions()
    );
}

#[test]
fn one_shard() {
    check("one shard", ONE_SHARD);
}

#[test]
fn one_shard_with_failing_writes() {
    check("one shard with failing writes", FAILING);
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
#[ignore = "takes minutes, and gigabytes with the splits"]
fn larger_settings() {
    check("one shard, two records, failing writes", Setting { late: 1, ..ONE_SHARD });
    check("one shard, three workers", Setting { workers: 3, records: 1, ..ONE_SHARD });
    check("a split and a shard beside it", Setting { parents: &[&[], &[0], &[0], &[]], ..SPLIT });
    check("a split, writes that race", Setting { sent: 2, ..SPLIT });
    check("a merge, three workers", Setting { workers: 3, ..MERGE });
    check("a merge, handing over", Setting { asks: true, ..MERGE });
    check("a split, handing over", Setting { asks: true, ..SPLIT });
}

#[test]
fn every_broken_rule_is_found() {
    check_fault(Fault::TakeUnchecked, ONE_SHARD, ONE_HOLDER);
    check_fault(Fault::CommitUnchecked, Setting { late: 1, ..ONE_SHARD }, NEVER_BACK);
    check_fault(Fault::OwnerIsDone, ONE_SHARD, ONE_HOLDER);
    check_fault(Fault::ChildBeforeParent, SPLIT, PARENTS_FIRST);
    check_fault(Fault::ChildAtLatest, SPLIT, NOTHING_SKIPPED);
    check_fault(Fault::DeletedTooEarly, SPLIT, NEVER_BACK);
}
