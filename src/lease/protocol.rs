//! The conditional writes that leases live by. Each is one update of one row on a condition that the table checks in the
//! same step; whoever loses a race is told what stands there now. Pure: [`apply`] is what a table does with an update,
//! and [`judge`] what a holder makes of the answer.

use super::{Lease, LeaseKey, WorkerId};
use crate::checkpoint::moves;
use crate::record::Position;

/// An update of one lease. Its condition is that the row's counter is still `counter`, and what [`Change`] adds to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Update {
    /// The row.
    pub key: LeaseKey,
    /// The counter that the writer knows.
    pub counter: u64,
    /// What is written.
    pub change: Change,
}

/// What an update does to its row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// The holder lives, and may have got further. Refused once the holder was asked to hand over. Counter + 1.
    Renew {
        /// Where reading goes on, if that moved.
        position: Option<Position>,
    },
    /// A worker takes a lease that is free or has expired, or whose handing over took too long. Counter + 1, so that
    /// whoever held it can neither renew nor commit.
    Take {
        /// The worker.
        owner: WorkerId,
    },
    /// A worker asks the holder to hand the lease over: it becomes the owner, and the holder the one that drains. Refused
    /// if the holder is another by now, or was asked before. The counter stays, so that the holder can still commit.
    Ask {
        /// The worker that asks.
        owner: WorkerId,
        /// The holder.
        draining: WorkerId,
    },
    /// The holder commits while it drains. Counter + 1.
    Commit {
        /// Where reading goes on.
        position: Position,
    },
    /// The holder has drained and hands the lease over to whom asked for it. Counter + 1.
    HandOver {
        /// Where reading goes on, if that moved.
        position: Option<Position>,
    },
    /// The holder stops: the lease is free, for whoever sees it first. Refused once the holder was asked to hand over:
    /// then it does that. Counter + 1.
    Release {
        /// Where reading goes on, if that moved.
        position: Option<Position>,
    },
}

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was applied; the row is this now.
    Applied(Lease),
    /// Its condition did not hold; the row is this, or there is none.
    Refused(Option<Lease>),
}

/// What a table makes of a row by an update; `None` if the condition does not hold.
pub fn apply(lease: &Lease, update: &Update) -> Option<Lease> {
    if lease.counter != update.counter {
        return None;
    }
    let mut new = lease.clone();
    new.counter += 1;
    let moved = match &update.change {
        Change::Renew { position } => {
            if lease.draining.is_some() {
                return None;
            }
            position.as_ref()
        }
        Change::Take { owner } => {
            new.owner_switches += 1;
            (new.owner, new.draining) = (Some(owner.clone()), None);
            None
        }
        Change::Ask { owner, draining } => {
            if lease.owner.as_ref() != Some(draining) || lease.draining.is_some() {
                return None;
            }
            new.counter = lease.counter;
            new.owner_switches += 1;
            (new.owner, new.draining) = (Some(owner.clone()), Some(draining.clone()));
            None
        }
        Change::Commit { position } => Some(position),
        Change::HandOver { position } => {
            new.draining.take()?;
            position.as_ref()
        }
        Change::Release { position } => {
            if lease.draining.is_some() {
                return None;
            }
            new.owner = None;
            position.as_ref()
        }
    };
    if let Some(position) = moved {
        new.position = position.clone();
        new.owner_switches = 0;
    }
    Some(new)
}

/// What an answer means to the holder who sent the update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done; the row is this now.
    Done(Lease),
    /// Another worker asked for the lease; the update was not applied. The row is this.
    Asked(Lease),
    /// The lease is another worker's, or gone.
    Lost,
}

/// What an answer means to the holder who sent `update`. A refusal is no loss where the row is what the update makes of
/// a row: an earlier try was applied, and its answer was lost on the way. The service may answer an error and have
/// written.
pub fn judge(me: &WorkerId, update: &Update, answer: Answer) -> Verdict {
    let row = match answer {
        Answer::Applied(row) => return Verdict::Done(row),
        Answer::Refused(None) => return Verdict::Lost,
        Answer::Refused(Some(row)) => row,
    };
    let was_asked = row.draining.as_ref() == Some(me);
    if row.counter == update.counter {
        // Nothing was written since, so that only a request to hand over can have come between.
        return if was_asked { Verdict::Asked(row) } else { Verdict::Lost };
    }
    let holds = (row.owner.as_ref() == Some(me) && row.draining.is_none()) || was_asked;
    let written = row.counter == update.counter + 1;
    let has = |position: &Option<Position>| position.as_ref().is_none_or(|position| row.position == *position);
    let done = written
        && match &update.change {
            // Asked between the write and the second try: the renewal stands, and the next one is told.
            Change::Renew { position } => holds && has(position),
            Change::Take { owner } => holds && owner == me,
            Change::Commit { position } => holds && row.position == *position,
            Change::HandOver { position } => row.draining.is_none() && has(position),
            Change::Release { position } => row.owner.is_none() && has(position),
            Change::Ask { .. } => false,
        };
    if done { Verdict::Done(row) } else { Verdict::Lost }
}

/// Whether an answer to an [`Change::Ask`] means that the lease will be handed to `me`.
pub fn is_promised(me: &WorkerId, answer: &Answer) -> bool {
    let (Answer::Applied(row) | Answer::Refused(Some(row))) = answer else { return false };
    row.owner.as_ref() == Some(me) && row.draining.as_ref().is_some_and(|draining| draining != me)
}

/// A position as a row holds it, which knows user records only: a whole record is one with a single user record.
pub fn as_stored(position: Position) -> Position {
    match position {
        Position::After(sequence) => Position::Within(sequence, 0),
        other => other,
    }
}

/// Whether a commit moves a lease: never backwards.
pub fn commits(lease: &Lease, position: &Position) -> bool {
    moves(&lease.position, position)
}
