//! The program's own rules, on the model's small values.

use std::collections::HashMap;

use bedrock_tap::lease::protocol::{Answer, Change, Update, Verdict, apply, commits, is_promised, judge};
use bedrock_tap::lease::ready::Leases;
use bedrock_tap::lease::{Lease, LeaseKey, WorkerId};
use bedrock_tap::record::{Position, SequenceNumber, ShardId};
use bedrock_tap::source::kinesis::shards::{Graph, Shard, Start};
use jiff::Timestamp;

use super::state::{COUNTER, END, Kind, LATEST, NOBODY, Row, SHARDS, TRIM_HORIZON, WORKERS, Write};
use super::{Fault, Setting};

/// What a look at the table and a listing lets a worker do.
#[derive(Clone, Debug, Default)]
pub(super) struct Looks {
    pub(super) ready: [bool; SHARDS],
    pub(super) over: [bool; SHARDS],
    /// Where a lease is to be created.
    pub(super) missing: [Option<u8>; SHARDS],
}

pub(super) struct Rules {
    fault: Fault,
    workers: Vec<WorkerId>,
    leases: Vec<Lease>,
    /// What each phase of the stream lists.
    listings: Vec<Graph>,
    /// By the listing's phase and the rows' positions; the rules look at nothing else.
    looks: HashMap<(u8, [Option<u8>; SHARDS]), Looks>,
}

impl Rules {
    pub(super) fn new(setting: &Setting, fault: Fault) -> Self {
        let id = |shard: usize| ShardId::new(format!("shardId-{shard:012}"));
        let parents = |shard: usize| setting.parents[shard].iter().map(|parent| id(*parent));
        let lease = |shard| {
            let key = LeaseKey { stream: None, shard: id(shard) };
            Lease::new(key, Position::TrimHorizon, parents(shard), None)
        };
        let listed = |phase: u8| {
            let (is_first, all) = (|shard: &usize| setting.parents[*shard].is_empty(), 0..setting.parents.len());
            all.filter(|shard| [is_first(shard), true, !is_first(shard)][usize::from(phase)])
                .map(|shard| Shard { id: id(shard), parents: parents(shard).collect(), closed: true, hash_keys: None })
                .collect()
        };
        let workers = (1..=WORKERS).map(|worker| WorkerId::new(format!("worker-{worker}"))).collect();
        let leases = (0..setting.parents.len()).map(lease).collect();
        let mut rules =
            Self { fault, workers, leases, listings: (0..3).map(listed).collect(), looks: HashMap::default() };
        let (mut all, absent) = (vec![[None; SHARDS]], rules.leases.len());
        let each = (1..=setting.records).chain([TRIM_HORIZON, LATEST, END]).map(Some).chain([None]);
        for shard in 0..absent {
            let with = |positions: [Option<u8>; SHARDS]| {
                each.clone().map(move |position| {
                    let mut positions = positions;
                    positions[shard] = position;
                    positions
                })
            };
            all = all.into_iter().flat_map(with).collect();
        }
        rules.looks = (0..3)
            .flat_map(|phase| all.iter().map(move |positions| (phase, *positions)))
            .map(|(phase, positions)| ((phase, positions), rules.new_look(phase, positions)))
            .collect();
        rules
    }

    fn new_look(&self, phase: u8, positions: [Option<u8>; SHARDS]) -> Looks {
        let row = |position| Row { owner: NOBODY, draining: NOBODY, counter: COUNTER, position };
        let rows = positions.iter().enumerate().filter_map(|(shard, at)| Some((shard, self.lease(shard, row((*at)?)))));
        let (rows, listed) = (rows.collect::<Vec<_>>(), &self.listings[usize::from(phase)]);
        let all: Leases<'_> = rows.iter().map(|(_, lease)| lease).collect();
        let mut looks = Looks::default();
        for (shard, lease) in &rows {
            looks.ready[*shard] = all.is_ready(lease, listed) || self.fault == Fault::ChildBeforeParent;
            looks.over[*shard] = all.is_over(lease, listed) || self.fault == Fault::DeletedTooEarly && lease.is_ended();
        }
        for lease in all.missing(None, listed, Start::TrimHorizon, Timestamp::UNIX_EPOCH) {
            let shard = self.leases.iter().position(|other| other.key == lease.key).unwrap();
            let at_latest = self.fault == Fault::ChildAtLatest && !lease.parents.is_empty();
            looks.missing[shard] = Some(if at_latest { LATEST } else { small(&lease.position) });
        }
        looks
    }

    pub(super) fn look(&self, phase: u8, rows: &[Option<Row>; SHARDS]) -> &Looks {
        &self.looks[&(phase, rows.map(|row| row.map(|row| row.position)))]
    }

    /// What the table makes of a write.
    pub(super) fn apply(&self, worker: u8, shard: usize, row: Row, write: Write) -> Option<Row> {
        let mut row = row;
        let unchecked = match write.kind {
            Kind::Take => self.fault == Fault::TakeUnchecked,
            Kind::Ask => false,
            Kind::Renew | Kind::Commit | Kind::HandOver | Kind::Release => self.fault == Fault::CommitUnchecked,
        };
        if unchecked {
            row.counter = write.counter;
        }
        apply(&self.lease(shard, row), &self.update(worker, shard, write)).map(|lease| self.row(&lease))
    }

    /// What its sender makes of an answer to any write but a request.
    pub(super) fn judge(&self, worker: u8, shard: usize, write: Write, answer: Result<Row, Option<Row>>) -> Told {
        let me = self.worker(worker);
        if let (Fault::OwnerIsDone, Err(Some(row))) = (self.fault, answer)
            && row.owner == worker
        {
            return Told::Done(row);
        }
        match judge(&me, &self.update(worker, shard, write), self.answer(shard, answer)) {
            Verdict::Done(lease) => Told::Done(self.row(&lease)),
            Verdict::Asked(lease) => Told::Asked(self.row(&lease)),
            Verdict::Lost(_) => Told::Lost,
        }
    }

    /// Whether the answer to a request promises the lease.
    pub(super) fn is_promised(&self, worker: u8, shard: usize, answer: Result<Row, Option<Row>>) -> bool {
        is_promised(&self.worker(worker), &self.answer(shard, answer))
    }

    /// Whether a worker that holds `row` commits this.
    pub(super) fn commits(&self, shard: usize, row: Row, position: u8) -> bool {
        commits(&self.lease(shard, row), &large(position))
    }

    fn answer(&self, shard: usize, answer: Result<Row, Option<Row>>) -> Answer {
        match answer {
            Ok(row) => Answer::Applied(self.lease(shard, row)),
            Err(row) => Answer::Refused(row.map(|row| self.lease(shard, row))),
        }
    }

    fn worker(&self, worker: u8) -> WorkerId {
        self.workers[usize::from(worker) - 1].clone()
    }

    fn lease(&self, shard: usize, row: Row) -> Lease {
        let worker = |number: u8| (number != NOBODY).then(|| self.worker(number));
        Lease {
            owner: worker(row.owner),
            draining: worker(row.draining),
            counter: row.counter.into(),
            position: large(row.position),
            ..self.leases[shard].clone()
        }
    }

    fn row(&self, lease: &Lease) -> Row {
        let number = |id: &WorkerId| self.workers.iter().zip(1..).find(|(other, _)| *other == id).unwrap().1;
        Row {
            owner: lease.owner.as_ref().map_or(NOBODY, number),
            draining: lease.draining.as_ref().map_or(NOBODY, number),
            counter: lease.counter.try_into().unwrap(),
            position: small(&lease.position),
        }
    }

    fn update(&self, worker: u8, shard: usize, write: Write) -> Update {
        let position = write.position.map(large);
        let change = match write.kind {
            Kind::Renew => Change::Renew { position },
            Kind::Take => Change::Take { owner: self.worker(worker) },
            Kind::Ask => Change::Ask { owner: self.worker(worker), draining: self.worker(write.holder) },
            Kind::Commit => Change::Commit { position: position.unwrap() },
            Kind::HandOver => Change::HandOver { position },
            Kind::Release => Change::Release { position },
        };
        Update { key: self.leases[shard].key.clone(), counter: write.counter.into(), change }
    }
}

/// What a holder is told; see [`Verdict`].
pub(super) enum Told {
    Done(Row),
    Asked(Row),
    Lost,
}

fn large(position: u8) -> Position {
    match position {
        TRIM_HORIZON => Position::TrimHorizon,
        LATEST => Position::Latest,
        END => Position::End,
        record => Position::After(SequenceNumber::new(&record.to_string()).unwrap()),
    }
}

fn small(position: &Position) -> u8 {
    match position {
        Position::TrimHorizon => TRIM_HORIZON,
        Position::Latest => LATEST,
        Position::End => END,
        Position::After(sequence) => sequence.as_str().parse().unwrap(),
        other => unreachable!("{other}"),
    }
}
