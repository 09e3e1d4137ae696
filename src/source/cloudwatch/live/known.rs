//! What was delivered: the log events of the last minutes and of open gaps, told by their content, since a session gives
//! no event ids.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// Below this it is not looked for what can be forgotten.
const LEAST_CROWD: usize = 10_000;

/// An event: its time in milliseconds, then a hash of its log stream, time and message.
pub(super) type Mark = (i64, [u8; 16]);

/// The mark of an event.
pub(super) fn mark(log_stream: &str, millis: i64, message: &str) -> Mark {
    let mut hash = Sha256::new();
    // The length keeps the parts apart.
    hash.update((log_stream.len() as u64).to_le_bytes());
    hash.update(log_stream);
    hash.update(millis.to_le_bytes());
    hash.update(message);
    let digest: [u8; 32] = hash.finalize().into();
    (millis, *digest.first_chunk().unwrap_or(&[0; 16]))
}

/// Counts events that are alike within one update or page: there they are two, and not one that came twice. Alike in two
/// of them, they are taken for one.
#[derive(Debug, Default)]
pub(super) struct Alike(HashMap<Mark, u64>);

impl Alike {
    /// The mark of an event, told apart from those before it that are alike.
    pub(super) fn count(&mut self, (millis, hash): Mark) -> Mark {
        let before = self.0.entry((millis, hash)).or_default();
        let told_apart = u128::from_le_bytes(hash).wrapping_add(u128::from(*before));
        *before += 1;
        (millis, told_apart.to_le_bytes())
    }
}

/// The marks of what was delivered.
#[derive(Debug)]
pub(super) struct Known {
    marks: BTreeSet<Mark>,
    /// So many marks call for a look at what can be forgotten.
    crowd: usize,
    max: usize,
}

impl Known {
    /// Remembers so many at most; each takes some 40 bytes.
    pub(super) fn new(max: usize) -> Self {
        Self { marks: BTreeSet::new(), crowd: LEAST_CROWD, max }
    }

    /// Remembers an event; gives whether it was not known.
    pub(super) fn insert(&mut self, mark: Mark) -> bool {
        self.marks.insert(mark)
    }

    /// Forgets what needs not be remembered, if there is much. Where too much needs it, the oldest is forgotten: it may
    /// then be delivered again, with the same identity.
    pub(super) fn tidy(&mut self, is_needed: impl Fn(Timestamp) -> bool) {
        if self.marks.len() < self.crowd {
            return;
        }
        self.marks.retain(|(millis, _)| Timestamp::from_millisecond(*millis).is_ok_and(&is_needed));
        while self.marks.len() > self.max {
            self.marks.pop_first();
        }
        self.crowd = (self.marks.len() * 2).clamp(LEAST_CROWD, self.max + LEAST_CROWD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_by_all_of_its_content() {
        let one = mark("stream", 5, "message");
        assert_eq!(one, mark("stream", 5, "message"));
        for other in [mark("stream", 6, "message"), mark("strea", 5, "mmessage"), mark("stream", 5, "messagf")] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn events_that_are_alike_are_as_many_as_they_are() {
        let mut known = Known::new(100);
        let mut take = |texts: &[&str]| {
            let mut alike = Alike::default();
            texts.iter().filter(|text| known.insert(alike.count(mark("", 5, text)))).count()
        };
        assert_eq!(take(&["a", "a", "b", "a"]), 4);
        assert_eq!(take(&["a", "b", "a"]), 0, "read again");
        assert_eq!(take(&["b", "b"]), 1, "one was not told");
    }

    #[test]
    fn what_is_not_needed_is_forgotten_and_of_the_rest_the_oldest() {
        let mut known = Known::new(200_000);
        let mark = |millis: i64| mark("", millis, "");
        for millis in 0..2 * LEAST_CROWD as i64 {
            assert!(known.insert(mark(millis)));
        }
        known.tidy(|time| time.as_millisecond() >= 15_000);
        assert!(known.insert(mark(0)), "was forgotten");
        assert!(!known.insert(mark(15_000)), "was forgotten");
        for millis in 20_000..400_000 {
            known.insert(mark(millis));
            known.tidy(|_| true);
        }
        assert!(known.marks.len() <= 200_000 + LEAST_CROWD, "{}", known.marks.len());
        assert!(!known.insert(mark(399_999)), "the newest was forgotten");
    }
}
