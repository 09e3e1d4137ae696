//! What may happen next, and what it makes of a state.

use stateright::{Model, Property};

use super::rules::Told;
use super::state::{COUNTER, END, Kind, LATEST, Late, NOBODY, Row, SHARDS, Slot, State, WORKERS, Write};
use super::{Fault, Fleet, properties};

/// One thing that happens. Workers and shards are counted from 0 here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The stream's first shards are closed: split or merged.
    Reshard,
    /// They leave the listing.
    Expire,
    /// A worker lists the stream.
    List { worker: usize },
    /// A worker creates the lease of a shard that its listing shows.
    Create { worker: usize, shard: usize },
    /// A worker deletes a lease that is over.
    Delete { worker: usize, shard: usize },
    /// A worker sends a write. A decision on an old look at the table is one that was sent then and is not there yet.
    Send { worker: usize, shard: usize, write: Write },
    /// A worker sees that a lease was handed to it.
    Hold { worker: usize, shard: usize },
    /// A worker delivers its next record. What it has read and not delivered is nowhere.
    Deliver { worker: usize, shard: usize },
    /// A worker has delivered all of a closed shard.
    End { worker: usize, shard: usize },
    /// The table takes or refuses a worker's write and tells it.
    Answer { worker: usize, shard: usize },
    /// The answer fails, and the worker will try the same write again; the first one still arrives some time.
    Fail { worker: usize, shard: usize },
    /// A write arrives that was told as failed.
    Arrive { late: usize },
    /// A worker has heard nothing for so long that it gives a lease up.
    GiveUp { worker: usize, shard: usize },
    /// A worker dies and starts again.
    Crash { worker: usize },
}

impl Model for Fleet {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            phase: 0,
            listings: [0; WORKERS],
            rows: [None; SHARDS],
            slots: [[Slot::default(); SHARDS]; WORKERS],
            late: Vec::new(),
            delivered: [0; SHARDS],
            ended: [false; SHARDS],
            moved_back: false,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let mut shards = 0..self.shards();
        let has_children = shards.clone().any(|shard| !self.is_first(shard));
        match state.phase {
            0 => steps.push(Step::Reshard),
            // The retention of a stream is hours at the least: longer than it takes to read what it holds.
            1 if has_children && shards.all(|shard| !self.is_first(shard) || self.has_all(state, shard)) => {
                steps.push(Step::Expire);
            }
            _ => {}
        }
        for late in 0..state.late.len() {
            steps.push(Step::Arrive { late });
        }
        for worker in 0..self.setting.workers {
            if state.listings[worker] < state.phase {
                steps.push(Step::List { worker });
            }
            if state.slots[worker].iter().any(|slot| *slot != Slot::default()) {
                steps.push(Step::Crash { worker });
            }
            for shard in 0..self.shards() {
                self.steps_of(state, worker, shard, steps);
            }
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut new = state.clone();
        match step {
            Step::Reshard | Step::Expire => new.phase += 1,
            Step::List { worker } => new.listings[worker] = new.phase,
            Step::Create { worker, shard } => {
                let position = self.rules.look(state.listings[worker], &state.rows).missing[shard]?;
                new.moved_back |= state.ended[shard];
                new.rows[shard] = Some(Row { owner: NOBODY, draining: NOBODY, counter: COUNTER, position });
            }
            Step::Delete { shard, .. } => new.rows[shard] = None,
            Step::Send { worker, shard, write } => {
                let sent = state.slots.iter().flatten().filter(|slot| slot.sent.is_some()).count();
                if sent == self.setting.sent {
                    return None;
                }
                new.slots[worker][shard].sent = Some(write);
            }
            Step::Hold { worker, shard } => new.slots[worker][shard] = holding(state.rows[shard]?),
            Step::Deliver { worker, shard } => {
                let slot = &mut new.slots[worker][shard];
                slot.at += 1;
                new.delivered[shard] |= 1 << slot.at;
            }
            Step::End { worker, shard } => new.slots[worker][shard].at = END,
            Step::Answer { worker, shard } => self.answer(&mut new, worker, shard)?,
            Step::Fail { worker, shard } => {
                let write = state.slots[worker][shard].sent?;
                new.late.push(Late {
                    worker: u8::try_from(worker).unwrap() + 1,
                    shard: shard.try_into().unwrap(),
                    write,
                });
            }
            Step::Arrive { late } => {
                let late = new.late.remove(late);
                self.write(&mut new, late.worker, late.shard.into(), late.write).ok();
            }
            Step::GiveUp { worker, shard } => new.slots[worker][shard] = Slot::default(),
            Step::Crash { worker } => new.slots[worker] = [Slot::default(); SHARDS],
        }
        Some(self.tidied(new))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

/// What a worker knows of a lease that it has just got.
fn holding(row: Row) -> Slot {
    Slot { held: Some(row), at: row.position, sent: None }
}

impl Fleet {
    fn steps_of(&self, state: &State, worker: usize, shard: usize, steps: &mut Vec<Step>) {
        let look = self.rules.look(state.listings[worker], &state.rows);
        let slot = state.slots[worker][shard];
        let row = state.rows[shard];
        if row.is_none() && look.missing[shard].is_some() {
            steps.push(Step::Create { worker, shard });
        }
        if look.over[shard] {
            steps.push(Step::Delete { worker, shard });
        }
        if slot.sent.is_some() {
            steps.extend([Step::Answer { worker, shard }, Step::GiveUp { worker, shard }]);
            if state.late.len() < self.setting.late {
                steps.push(Step::Fail { worker, shard });
            }
        }
        match (slot.held, row) {
            (Some(held), _) => self.steps_of_holder(state, worker, shard, held, steps),
            (None, Some(row)) if slot.sent.is_none() && row.position != END && look.ready[shard] => {
                self.steps_of_other(worker, shard, row, steps);
            }
            _ => {}
        }
    }

    fn steps_of_holder(&self, state: &State, worker: usize, shard: usize, held: Row, steps: &mut Vec<Step>) {
        let slot = state.slots[worker][shard];
        if slot.at < self.setting.records {
            steps.push(Step::Deliver { worker, shard });
        } else if slot.at != END && (!self.is_first(shard) || state.phase > 0) {
            // Later shards are closed too, some time.
            steps.push(Step::End { worker, shard });
        }
        if slot.sent.is_some() {
            return;
        }
        let position = (slot.at != LATEST && self.rules.commits(shard, held, slot.at)).then_some(slot.at);
        let mut send = |kind| {
            let write = Write { kind, counter: held.counter, position, holder: NOBODY };
            steps.push(Step::Send { worker, shard, write });
        };
        if usize::from(held.draining) == worker + 1 {
            if position.is_some() {
                send(Kind::Commit);
            }
            send(Kind::HandOver);
        } else {
            send(Kind::Renew);
            send(Kind::Release);
        }
    }

    fn steps_of_other(&self, worker: usize, shard: usize, row: Row, steps: &mut Vec<Step>) {
        let is_mine = usize::from(row.owner) == worker + 1;
        let send = |kind, holder| {
            let write = Write { kind, counter: row.counter, position: None, holder };
            Step::Send { worker, shard, write }
        };
        if is_mine && row.draining == NOBODY {
            steps.push(Step::Hold { worker, shard });
            return;
        }
        // Free, expired by the clock of this worker, however wrong it may be, or not handed over in time.
        steps.push(send(Kind::Take, NOBODY));
        if self.setting.asks && !is_mine && row.owner != NOBODY && row.draining == NOBODY {
            steps.push(send(Kind::Ask, row.owner));
        }
    }

    /// Writes to the table, and gives its answer.
    fn write(&self, state: &mut State, worker: u8, shard: usize, write: Write) -> Result<Row, Option<Row>> {
        let Some(row) = state.rows[shard] else { return Err(None) };
        let Some(new) = self.rules.apply(worker, shard, row, write) else { return Err(Some(row)) };
        state.moved_back |= new.position != row.position && !self.rules.commits(shard, row, new.position);
        state.ended[shard] |= new.position == END;
        state.rows[shard] = Some(new);
        Ok(new)
    }

    fn answer(&self, state: &mut State, worker: usize, shard: usize) -> Option<()> {
        let write = state.slots[worker][shard].sent?;
        let me = u8::try_from(worker).unwrap() + 1;
        let answer = self.write(state, me, shard, write);
        let slot = &mut state.slots[worker][shard];
        slot.sent = None;
        if write.kind == Kind::Ask {
            // Nothing to remember: the row says who was promised the lease, to this worker after a restart too.
            let is_promised = self.rules.is_promised(me, shard, answer);
            assert!(is_promised || answer.is_err(), "an applied request promises the lease");
            return Some(());
        }
        *slot = match (write.kind, self.rules.judge(me, shard, write, answer)) {
            (Kind::HandOver | Kind::Release, Told::Done(_)) | (_, Told::Lost) => Slot::default(),
            (Kind::Take, Told::Done(row) | Told::Asked(row)) => holding(row),
            (_, Told::Done(row)) if row.position == END && row.draining == NOBODY => Slot::default(),
            (_, Told::Done(row) | Told::Asked(row)) => Slot { held: Some(row), ..*slot },
        };
        Some(())
    }

    /// One of all states that are the same but for names, counters that moved together, and late writes that can do
    /// nothing any more.
    fn tidied(&self, mut state: State) -> State {
        (0..self.shards()).for_each(|shard| state.rebase(shard));
        if self.setting.is_told {
            for slot in state.slots.iter_mut().flatten() {
                let is_lost = slot.held.is_some_and(|row| row.counter != COUNTER);
                if is_lost || slot.sent.is_some_and(|write| write.counter != COUNTER) {
                    *slot = Slot::default();
                }
            }
        }
        let unchecked = matches!(self.fault, Fault::TakeUnchecked | Fault::CommitUnchecked);
        state.late.retain(|late| {
            let row = state.rows[usize::from(late.shard)];
            unchecked || row.is_some_and(|row| row.counter == late.write.counter)
        });
        state.late.sort_unstable();
        let others = self.renamings.iter().map(|renaming| state.renamed(renaming));
        others.min().into_iter().fold(state.clone(), Ord::min)
    }
}
