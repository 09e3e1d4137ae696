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
    /// The holder is about to write a range, and may have got further before. Counter + 1. Not refused once the holder
    /// was asked to hand over: what it has read it still writes.
    Announce {
        /// Where reading goes on, if that moved.
        position: Option<Position>,
        /// Where the range ends.
        to: Position,
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
        Change::Announce { position, .. } => position.as_ref(),
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
        new.pending = None;
        new.owner_switches = 0;
    }
    if let Change::Announce { to, .. } = &update.change {
        new.pending = Some(to.clone());
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
    /// The lease is another worker's; the row is this, or there is none.
    Lost(Option<Lease>),
}

/// What an answer means to the holder who sent `update` before, and does not know what became of it. A refusal is no loss
/// where the row is what the update makes of a row: an earlier try was applied, and its answer was lost on the way. The
/// service may answer an error and have written.
pub fn judge(me: &WorkerId, update: &Update, answer: Answer) -> Verdict {
    let row = match answer {
        Answer::Applied(row) => return Verdict::Done(row),
        Answer::Refused(None) => return Verdict::Lost(None),
        Answer::Refused(Some(row)) => row,
    };
    let was_asked = row.draining.as_ref() == Some(me);
    if row.counter == update.counter {
        // Nothing was written since, so that only a request to hand over can have come between.
        return if was_asked { Verdict::Asked(row) } else { Verdict::Lost(Some(row)) };
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
            Change::Announce { position, to } => holds && has(position) && row.pending.as_ref() == Some(to),
            Change::HandOver { position } => row.draining.is_none() && has(position),
            Change::Release { position } => row.owner.is_none() && has(position),
            Change::Ask { .. } => false,
        };
    if done { Verdict::Done(row) } else { Verdict::Lost(Some(row)) }
}

/// What the answer to the first try of an update means: no earlier one can have been applied, so a refusal is one. Two
/// processes of one name, which nobody should start, would otherwise take each other's renewals for their own.
pub fn judge_first(me: &WorkerId, update: &Update, answer: Answer) -> Verdict {
    match answer {
        Answer::Applied(row) => Verdict::Done(row),
        Answer::Refused(Some(row)) if row.counter == update.counter && row.draining.as_ref() == Some(me) => {
            Verdict::Asked(row)
        }
        Answer::Refused(row) => Verdict::Lost(row),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{SequenceNumber, ShardId};

    fn worker(name: &str) -> WorkerId {
        WorkerId::new(name)
    }

    fn after(digits: &str) -> Position {
        Position::After(SequenceNumber::new(digits).unwrap())
    }

    fn key() -> LeaseKey {
        LeaseKey { stream: None, shard: ShardId::new("shardId-000000000000") }
    }

    /// A row as `owner draining counter position switches`, `-` for nobody.
    fn row(text: &str) -> Lease {
        let words: Vec<_> = text.split(' ').collect();
        let name = |word: &str| (word != "-").then(|| worker(word));
        Lease {
            owner: name(words[0]),
            draining: name(words[1]),
            counter: words[2].parse().unwrap(),
            owner_switches: words[4].parse().unwrap(),
            ..Lease::new(key(), after(words[3]), [], None)
        }
    }

    fn update(counter: u64, change: Change) -> Update {
        Update { key: key(), counter, change }
    }

    fn renew(at: Option<&str>) -> Change {
        Change::Renew { position: at.map(after) }
    }

    fn take() -> Change {
        Change::Take { owner: worker("me") }
    }

    fn ask() -> Change {
        Change::Ask { owner: worker("me"), draining: worker("x") }
    }

    fn commit(at: &str) -> Change {
        Change::Commit { position: after(at) }
    }

    fn hand_over(at: Option<&str>) -> Change {
        Change::HandOver { position: at.map(after) }
    }

    fn release(at: Option<&str>) -> Change {
        Change::Release { position: at.map(after) }
    }

    #[test]
    fn an_update_is_applied_on_its_condition() {
        let check = |before: &str, change: Change, expected: Option<&str>| {
            let before = row(before);
            assert_eq!(apply(&before, &update(5, change.clone())), expected.map(row), "{change:?} of {before:?}");
            for other in [4, 6] {
                assert_eq!(apply(&before, &update(other, change.clone())), None, "{change:?} at {other}");
            }
        };
        check("me - 5 10 3", renew(None), Some("me - 6 10 3"));
        check("me - 5 10 3", renew(Some("12")), Some("me - 6 12 0"));
        check("y me 5 10 3", renew(Some("12")), None);
        check("- - 5 10 3", take(), Some("me - 6 10 4"));
        check("x - 5 10 3", take(), Some("me - 6 10 4"));
        check("me x 5 10 3", take(), Some("me - 6 10 4"));
        check("x - 5 10 3", ask(), Some("me x 5 10 4"));
        check("- - 5 10 3", ask(), None);
        check("y - 5 10 3", ask(), None);
        check("y x 5 10 3", ask(), None);
        check("x y 5 10 3", ask(), None);
        check("y me 5 10 3", commit("12"), Some("y me 6 12 0"));
        check("y me 5 10 3", hand_over(None), Some("y - 6 10 3"));
        check("y me 5 10 3", hand_over(Some("12")), Some("y - 6 12 0"));
        check("y - 5 10 3", hand_over(Some("12")), None);
        check("me - 5 10 3", release(None), Some("- - 6 10 3"));
        check("me - 5 10 3", release(Some("12")), Some("- - 6 12 0"));
        check("y me 5 10 3", release(Some("12")), None);
    }

    #[test]
    fn an_announcement_stands_until_a_commit_moves_the_lease() {
        let announce = |at: Option<&str>, to: &str| Change::Announce { position: at.map(after), to: after(to) };
        let pending = |text: &str, to: Option<&str>| Lease { pending: to.map(after), ..row(text) };
        let check = |before: &Lease, change: Change, expected: Lease| {
            assert_eq!(apply(before, &update(before.counter, change.clone())), Some(expected), "{change:?}");
        };
        check(&row("me - 5 10 3"), announce(None, "20"), pending("me - 6 10 3", Some("20")));
        check(&row("y me 5 10 3"), announce(Some("12"), "20"), pending("y me 6 12 0", Some("20")));
        let stands = pending("me - 6 10 3", Some("20"));
        check(&stands, renew(None), pending("me - 7 10 3", Some("20")));
        check(&stands, take(), pending("me - 7 10 4", Some("20")));
        check(&stands, release(None), pending("- - 7 10 3", Some("20")));
        check(&stands, renew(Some("20")), row("me - 7 20 0"));
        check(&stands, announce(Some("20"), "30"), pending("me - 7 20 0", Some("30")));
        let told = |change: Change, stands: &Lease| {
            let sent = update(5, change);
            matches!(judge(&worker("me"), &sent, Answer::Refused(Some(stands.clone()))), Verdict::Done(_))
        };
        assert!(told(announce(None, "20"), &stands));
        assert!(!told(announce(None, "21"), &stands));
        assert!(!told(announce(Some("12"), "20"), &stands));
        assert!(!told(announce(None, "20"), &row("me - 6 10 3")));
        assert!(!told(announce(None, "20"), &pending("x - 6 10 3", Some("20"))));
    }

    #[test]
    fn a_refusal_is_done_where_an_earlier_try_was_applied() {
        #[derive(Debug, PartialEq)]
        enum Told {
            Done,
            Asked,
            Lost,
        }
        use Told::{Asked, Done, Lost};
        let check = |change: Change, stands: &str, expected: Told| {
            let (sent, stands) = (update(5, change), row(stands));
            let told = match judge(&worker("me"), &sent, Answer::Refused(Some(stands.clone()))) {
                Verdict::Done(row) if row == stands => Done,
                Verdict::Asked(row) if row == stands => Asked,
                Verdict::Lost(Some(row)) if row == stands => Lost,
                other => panic!("{other:?} is of another row"),
            };
            assert_eq!(told, expected, "{sent:?} with {stands:?}");
            // Nothing was applied before the first try.
            let first = judge_first(&worker("me"), &sent, Answer::Refused(Some(stands.clone())));
            assert_eq!(matches!(first, Verdict::Asked(_)), told == Asked, "{first:?}");
            assert!(!matches!(first, Verdict::Done(_)), "{first:?}");
            assert_eq!(judge(&worker("me"), &sent, Answer::Refused(None)), Verdict::Lost(None));
            assert_eq!(judge(&worker("me"), &sent, Answer::Applied(stands.clone())), Verdict::Done(stands));
        };
        // Applied before, asked since, written by another, written twice, not what was sent.
        check(renew(Some("12")), "me - 6 12 0", Done);
        check(renew(None), "me - 6 10 3", Done);
        check(renew(Some("12")), "y me 6 12 1", Done);
        check(renew(Some("12")), "y - 6 12 1", Lost);
        check(renew(Some("12")), "me - 7 12 0", Lost);
        check(renew(Some("12")), "me - 6 11 0", Lost);
        // Asked in between, by which nothing was applied.
        check(renew(Some("12")), "y me 5 10 4", Asked);
        check(release(Some("12")), "y me 5 10 4", Asked);
        check(take(), "me - 6 10 4", Done);
        check(take(), "y me 6 10 5", Done);
        check(take(), "me x 6 10 4", Lost);
        check(take(), "x - 6 10 4", Lost);
        check(commit("12"), "y me 6 12 0", Done);
        check(commit("12"), "y me 6 11 0", Lost);
        check(commit("12"), "y - 6 10 3", Lost);
        check(hand_over(Some("12")), "y - 6 12 0", Done);
        check(hand_over(Some("12")), "y - 6 10 3", Lost);
        check(hand_over(None), "y me 6 10 3", Lost);
        check(release(Some("12")), "- - 6 12 0", Done);
        check(release(None), "y - 6 10 4", Lost);
    }

    #[test]
    fn a_request_is_promised_by_what_stands_in_the_row() {
        let check = |answer: Answer, expected: bool| {
            assert_eq!(is_promised(&worker("me"), &answer), expected, "{answer:?}");
        };
        check(Answer::Applied(row("me x 5 10 3")), true);
        check(Answer::Refused(Some(row("me x 6 10 3"))), true);
        check(Answer::Refused(Some(row("me - 6 10 3"))), false);
        check(Answer::Refused(Some(row("me me 6 10 3"))), false);
        check(Answer::Refused(Some(row("y x 6 10 3"))), false);
        check(Answer::Refused(None), false);
    }
}
