//! The state of the model, small: a worker is a number from 1 (0 is nobody), a position the number of the record that it
//! is after.

/// Room for workers and shards; a setting may have fewer.
pub(super) const WORKERS: usize = 3;
pub(super) const SHARDS: usize = 4;

pub(super) const NOBODY: u8 = 0;

/// Positions besides the numbers of records, of which the first is 1.
pub(super) const TRIM_HORIZON: u8 = 0;
pub(super) const LATEST: u8 = 100;
pub(super) const END: u8 = 200;

/// The counter of every row. The protocol only asks whether two counters are equal or one apart, so that after each
/// write all counters of a lease are moved until the row's is this again: the model has finitely many states however
/// often a lease changes hands. What is two or more behind the row is lost for good, and stays at 0.
pub(super) const COUNTER: u8 = 2;

/// A row of the lease table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Row {
    pub(super) owner: u8,
    pub(super) draining: u8,
    pub(super) counter: u8,
    pub(super) position: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Renew,
    Take,
    Ask,
    Commit,
    HandOver,
    Release,
}

/// A write that a worker sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Write {
    pub(super) kind: Kind,
    pub(super) counter: u8,
    /// What is committed.
    pub(super) position: Option<u8>,
    /// Whom [`Kind::Ask`] asks.
    pub(super) holder: u8,
}

/// What a worker knows of one lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot {
    /// The row that it holds, as it knows it.
    pub(super) held: Option<Row>,
    /// How far it has delivered since it holds the lease.
    pub(super) at: u8,
    /// The write that it waits for the answer of.
    pub(super) sent: Option<Write>,
}

/// A write that its sender was told to have failed, and that arrives nonetheless, some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Late {
    pub(super) worker: u8,
    pub(super) shard: u8,
    pub(super) write: Write,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct State {
    /// What has happened to the stream: nothing yet, its first shards were split or merged, they have left the listing.
    pub(super) phase: u8,
    /// The phase of the listing that each worker goes by.
    pub(super) listings: [u8; WORKERS],
    pub(super) rows: [Option<Row>; SHARDS],
    pub(super) slots: [[Slot; SHARDS]; WORKERS],
    pub(super) late: Vec<Late>,
    /// For each shard a bit for each record that was ever delivered.
    pub(super) delivered: [u8; SHARDS],
    /// The shards whose rows were ever at their end.
    pub(super) ended: [bool; SHARDS],
    /// Whether a row ever moved backwards.
    pub(super) moved_back: bool,
}

impl State {
    /// Moves the counters of a lease until its row's is [`COUNTER`] again.
    pub(super) fn rebase(&mut self, shard: usize) {
        let Some(row) = &mut self.rows[shard] else { return };
        if row.counter == COUNTER {
            return;
        }
        let (up, down) = (COUNTER.saturating_sub(row.counter), row.counter.saturating_sub(COUNTER));
        let rebase = |counter: &mut u8| *counter = (*counter + up).saturating_sub(down);
        rebase(&mut row.counter);
        for slots in &mut self.slots {
            let slot = &mut slots[shard];
            slot.held.iter_mut().for_each(|row| rebase(&mut row.counter));
            slot.sent.iter_mut().for_each(|write| rebase(&mut write.counter));
        }
        for late in &mut self.late {
            if usize::from(late.shard) == shard {
                rebase(&mut late.write.counter);
            }
        }
    }

    /// The same state with workers and shards renamed.
    pub(super) fn renamed(&self, renaming: &Renaming) -> Self {
        let Renaming { workers, shards } = renaming;
        let worker = |number: u8| if number == NOBODY { NOBODY } else { workers[usize::from(number) - 1] + 1 };
        let row = |row: Row| Row { owner: worker(row.owner), draining: worker(row.draining), ..row };
        let write = |write: Write| Write { holder: worker(write.holder), ..write };
        let mut new = self.clone();
        for (from, to) in shards.iter().map(|to| usize::from(*to)).enumerate() {
            new.rows[to] = self.rows[from].map(row);
            new.delivered[to] = self.delivered[from];
            new.ended[to] = self.ended[from];
            for (old, other) in workers.iter().map(|to| usize::from(*to)).enumerate() {
                let slot = self.slots[old][from];
                new.slots[other][to] = Slot { held: slot.held.map(row), sent: slot.sent.map(write), ..slot };
            }
        }
        for (old, other) in workers.iter().map(|to| usize::from(*to)).enumerate() {
            new.listings[other] = self.listings[old];
        }
        for late in &mut new.late {
            *late =
                Late { worker: worker(late.worker), shard: shards[usize::from(late.shard)], write: write(late.write) };
        }
        new.late.sort_unstable();
        new
    }
}

/// Names under which a state is the same state: workers are alike, and so are the two children of a split.
#[derive(Clone, Debug)]
pub(super) struct Renaming {
    pub(super) workers: [u8; WORKERS],
    pub(super) shards: [u8; SHARDS],
}
