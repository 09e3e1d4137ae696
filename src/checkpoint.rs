//! Checkpoints: how far each partition was delivered, stored so that a crash cannot damage it; and beside them what
//! detection remembers of what was read up to there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::delivery::{Announcement, Delivered};
use crate::record::{Partition, Position, SequenceNumber};
use crate::source::BoxFuture;

pub mod dynamodb;
pub mod local;
pub mod memory;
pub mod nowhere;

/// Stores how far each partition was delivered.
pub trait Commits: Send + Sync {
    /// Moves a partition to the position that was delivered: durable once this returns. Only a delivery makes the
    /// token that this takes.
    fn commit(&self, delivered: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>>;

    /// Stores up to where the range goes that is about to be written, and with it what was delivered before, if that is
    /// not stored yet: durable once this returns. The next commit that moves the partition takes the announcement away.
    fn announce(&self, announcement: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>>;

    /// What is stored of a partition.
    fn stored(&self, partition: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>>;
}

/// What is stored of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// How far it was delivered, or where it starts.
    pub position: Option<Position>,
    /// Up to where a range was announced that may be written, in whole or in part: whoever goes on delivers exactly this
    /// range again.
    pub announced: Option<Position>,
}

/// Knows where each partition goes on.
pub trait CheckpointStore: Commits {
    /// The stored positions of all partitions of `stream`.
    fn load(&self, stream: &str) -> BoxFuture<'_, Result<Vec<(Partition, Position)>, CheckpointError>>;

    /// Stores where a partition that was never read before starts, so that a crash before its first delivery changes
    /// nothing. Does nothing for a partition that has a position.
    fn begin(&self, partition: Partition, start: Position) -> BoxFuture<'_, Result<(), CheckpointError>>;
}

/// What changed in what is remembered: keys with their values; those without one are gone.
pub type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Entries on their way out of a store, one at a time.
pub type Outgoing = SyncSender<(Vec<u8>, Vec<u8>)>;

/// Keeps what is remembered of events that were read: entries, each a key and a value that only their owner can read.
pub trait Entries: Send + Sync {
    /// Hands over all entries, one at a time: there may be many. Whoever takes them may have enough before the last.
    fn recall(&self, entries: Outgoing) -> BoxFuture<'_, Result<(), CheckpointError>>;

    /// Stores changes: durable once this returns. All or none, or else in the order of
    /// [`turn`](crate::detect::state::turn).
    fn remember(&self, changes: Arc<Changes>) -> BoxFuture<'_, Result<Kept, CheckpointError>>;

    /// How long to wait between two saves for which nobody waits: where each of them is paid for.
    fn pace(&self) -> Duration {
        Duration::ZERO
    }

    /// How often to look for what others have left behind; none where there are no others.
    fn looks(&self) -> Option<Duration> {
        None
    }

    /// Hands over what others have left behind. It stays theirs until it is [`inherited`](Self::inherited); until then
    /// this may hand it over again.
    fn inherit(&self, _: Outgoing) -> BoxFuture<'_, Result<Heritage, CheckpointError>> {
        Box::pin(std::future::ready(Ok(Heritage::None)))
    }

    /// What was handed over is durable among one's own.
    fn inherited(&self) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Nothing more is stored: others may have it at once.
    fn release(&self) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What is stored after a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// What was stored before, with the changes.
    Changes,
    /// Nothing: another has taken what was stored for left behind. All of it is to be stored anew.
    Nothing,
}

/// What others have left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heritage {
    /// Nothing.
    None,
    /// Nothing yet, but somebody has not been heard of for longer than is usual.
    Doubtful,
    /// What was handed over.
    Some,
    /// Another has taken what is stored here for left behind: all of it is to be stored anew.
    Lost,
}

/// Why a checkpoint could not be read or stored, named by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The store may work again: try again.
    #[error("the checkpoint store {store} does not answer")]
    Retry {
        /// The store's name: a path or a table.
        store: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The partition is another worker's now: its lane stops at once, and nothing of it is committed any more.
    #[error("the lease of {partition} is held by another worker")]
    Lost {
        /// The partition.
        partition: Partition,
    },
    /// The store cannot be used: the process stops.
    #[error("the checkpoint store {store} cannot be used: {advice}")]
    Fatal {
        /// The store's name: a path or a table.
        store: String,
        /// What a person can do about it.
        advice: String,
        /// What went wrong.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// The form of stored positions; a later one is told apart by it.
const FORM: &str = "1 ";

/// A position as it is stored, readable by a person: `1 after:4959`.
fn encode(position: &Position) -> String {
    format!("{FORM}{position}")
}

/// A position that [`encode`] wrote.
fn decode(text: &str) -> Option<Position> {
    match text.strip_prefix(FORM)? {
        "trim_horizon" => Some(Position::TrimHorizon),
        "latest" => Some(Position::Latest),
        "end" => Some(Position::End),
        other => match other.split_once(':')? {
            ("at", time) => time.parse().ok().map(Position::AtTimestamp),
            ("after", at) => match at.split_once('/') {
                None => SequenceNumber::new(at).map(Position::After),
                Some((digits, user_record)) => {
                    Some(Position::Within(SequenceNumber::new(digits)?, user_record.parse().ok()?))
                }
            },
            ("offset", bytes) => bytes.parse().ok().map(Position::Offset),
            ("key", key) => Some(Position::Key(key.into())),
            ("upto", time) => time.parse().ok().map(Position::UpTo),
            _ => None,
        },
    }
}

/// Whether a commit moves a partition: never backwards, and never away from its end.
pub(crate) fn moves(stored: &Position, new: &Position) -> bool {
    match (stored, new) {
        (Position::After(stored), Position::After(new) | Position::Within(new, _)) => new > stored,
        (Position::Within(stored, _), Position::After(new)) => new >= stored,
        (Position::Within(stored, from), Position::Within(new, to)) => (new, to) > (stored, from),
        (Position::Offset(stored), Position::Offset(new)) => new > stored,
        (Position::Key(stored), Position::Key(new)) => new > stored,
        (Position::UpTo(stored), Position::UpTo(new)) => new > stored,
        (Position::End, _) => false,
        (_, Position::TrimHorizon | Position::Latest | Position::AtTimestamp(_)) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(digits: &str) -> Position {
        Position::After(SequenceNumber::new(digits).unwrap())
    }

    #[test]
    fn positions_are_text_and_come_back() {
        let check = |position: Position, expected: &str| {
            assert_eq!(encode(&position), expected);
            assert_eq!(decode(expected), Some(position));
        };
        check(Position::TrimHorizon, "1 trim_horizon");
        check(Position::Latest, "1 latest");
        check(Position::AtTimestamp("2026-01-02T03:04:05.678Z".parse().unwrap()), "1 at:2026-01-02T03:04:05.678Z");
        check(Position::Within(SequenceNumber::new("12").unwrap(), 3), "1 after:12/3");
        check(after(&"9".repeat(129)), &format!("1 after:{}", "9".repeat(129)));
        check(Position::Offset(u64::MAX), "1 offset:18446744073709551615");
        check(Position::Key("a b:c/\u{e9}.gz".into()), "1 key:a b:c/\u{e9}.gz");
        check(Position::UpTo("2026-01-02T03:04:05.678Z".parse().unwrap()), "1 upto:2026-01-02T03:04:05.678Z");
        check(Position::End, "1 end");
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in [
            "",
            "1 ",
            "end",
            "2 end",
            "1 after:",
            "1 after:-1",
            "1 after:1/",
            "1 after:1/-1",
            "1 after:/1",
            "1 offset:x",
            "1 at:now",
            "1 END",
            "1 end ",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_commit_never_moves_backwards() {
        let check = |stored: &Position, new: &Position, expected: bool| {
            assert_eq!(moves(stored, new), expected, "{stored:?} to {new:?}");
        };
        check(&after("9"), &after("10"), true);
        check(&after("10"), &after("9"), false);
        check(&after("10"), &after("10"), false);
        let within = |digits: &str, user_record| Position::Within(SequenceNumber::new(digits).unwrap(), user_record);
        check(&within("9", 7), &within("10", 0), true);
        check(&within("10", 1), &within("10", 2), true);
        check(&within("10", 2), &within("10", 1), false);
        check(&within("10", 2), &after("10"), true);
        check(&after("10"), &within("10", 2), false);
        check(&after("10"), &within("11", 0), true);
        check(&after("10"), &Position::TrimHorizon, false);
        check(&after("10"), &Position::End, true);
        check(&Position::End, &after("11"), false);
        check(&Position::End, &Position::Offset(5), false);
        check(&Position::Offset(5), &Position::Offset(4), false);
        check(&Position::Offset(5), &Position::Offset(6), true);
        check(&Position::Key("a/b".into()), &Position::Key("a/c".into()), true);
        check(&Position::Key("a/b".into()), &Position::Key("a".into()), false);
        let up_to = |time: &str| Position::UpTo(time.parse().unwrap());
        check(&up_to("2026-01-01T00:00:00Z"), &up_to("2026-01-01T00:00:00.001Z"), true);
        check(&up_to("2026-01-01T00:00:00Z"), &up_to("2025-12-31T00:00:00Z"), false);
        check(&Position::Latest, &after("1"), true);
        check(&Position::TrimHorizon, &after("1"), true);
    }
}
