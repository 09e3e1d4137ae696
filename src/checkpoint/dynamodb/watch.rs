//! The watch: what was seen of the owners of books, and which of them are gone by the clock of whoever looks.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Who has a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The book.
    pub(super) book: String,
    /// The book of the process that has it: itself, or another that is taking it up.
    pub(super) holder: String,
    /// The worker that has it.
    pub(super) worker: String,
    /// Grows with all that its holder does.
    pub(super) renewed: u64,
    /// Whether its holder has let go of it.
    pub(super) is_released: bool,
}

/// What was seen of the owners of books. Clocks of machines are never compared.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: HashMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    holder: String,
    renewed: u64,
    since: Instant,
}

/// Whoever looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looker<'a> {
    pub(super) book: &'a str,
    pub(super) worker: &'a str,
    pub(super) failover: Duration,
}

impl Watch {
    /// Books that whoever looks may take, and whether others are in doubt: not renewed for longer than is usual.
    pub(super) fn look(&mut self, owners: Vec<Owner>, looker: Looker<'_>, now: Instant) -> (Vec<Owner>, bool) {
        self.seen.retain(|book, _| owners.iter().any(|owner| owner.book == *book));
        let (mut free, mut is_doubtful) = (Vec::new(), false);
        for owner in owners {
            if owner.holder == looker.book {
                continue;
            }
            let new = || Seen { holder: owner.holder.clone(), renewed: owner.renewed, since: now };
            let seen = self.seen.entry(owner.book.clone()).or_insert_with(new);
            if (&seen.holder, seen.renewed) != (&owner.holder, owner.renewed) {
                *seen = Seen { holder: owner.holder.clone(), renewed: owner.renewed, since: now };
            }
            let silent = now.saturating_duration_since(seen.since);
            // A worker that has one's own name is oneself, before a restart in place.
            if owner.is_released || owner.worker == looker.worker || silent >= looker.failover {
                free.push(owner);
            } else {
                is_doubtful |= silent > looker.failover / 2;
            }
        }
        (free, is_doubtful)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_gone_by_the_clock_of_whoever_looks() {
        let (mut watch, start) = (Watch::default(), Instant::now());
        let owner = |holder: &str, renewed, is_released| Owner {
            book: "a".into(),
            holder: holder.into(),
            worker: format!("worker of {holder}"),
            renewed,
            is_released,
        };
        let looker = Looker { book: "b", worker: "worker of b", failover: Duration::from_secs(30) };
        let mut check = |owner: Owner, seconds: u64, expected: (usize, bool)| {
            let (free, is_doubtful) = watch.look(vec![owner], looker, start + Duration::from_secs(seconds));
            assert_eq!((free.len(), is_doubtful), expected, "after {seconds} s");
        };
        check(owner("a", 1, false), 0, (0, false));
        check(owner("a", 1, false), 15, (0, false));
        check(owner("a", 1, false), 16, (0, true));
        check(owner("a", 2, false), 29, (0, false));
        check(owner("a", 2, false), 58, (0, true));
        check(owner("a", 2, false), 59, (1, false));
        check(owner("c", 2, false), 60, (0, false));
        check(owner("c", 2, false), 90, (1, false));
        check(owner("a", 9, true), 91, (1, false));
        check(owner("b", 9, false), 200, (0, false));
        let same = Owner { worker: "worker of b".into(), ..owner("z", 9, false) };
        check(same, 201, (1, false));
    }
}
