//! The leases of one stream beside the stream's own shards: which are to be created, which may be read, which are over.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Lease, LeaseKey, StreamKey};
use crate::record::{Position, ShardId};
use crate::source::kinesis::shards::{Graph, Start};

/// The leases of one stream, by shard, as one look at the table showed them.
#[derive(Clone, Debug, Default)]
pub struct Leases<'a> {
    rows: BTreeMap<&'a ShardId, &'a Lease>,
    /// The parents of leases that were begun: read to their end, whether or not they still have a row.
    passed: BTreeSet<&'a ShardId>,
}

impl<'a> FromIterator<&'a Lease> for Leases<'a> {
    fn from_iter<I: IntoIterator<Item = &'a Lease>>(leases: I) -> Self {
        let rows: BTreeMap<_, _> = leases.into_iter().map(|lease| (&lease.key.shard, lease)).collect();
        // A KCL application that began at LATEST has leases of open shards alone: what came before them is not its own.
        let has_begun = |lease: &&&Lease| lease.has_progress() || lease.position == Position::Latest;
        let passed = rows.values().filter(has_begun).flat_map(|lease| &lease.parents).collect();
        Self { rows, passed }
    }
}

impl Leases<'_> {
    /// Whether a lease may be read now: each of its parents was read to its end, or has neither a lease nor a place in
    /// the stream any more. A parent that is listed and has no lease was not placed yet: its children wait for it.
    /// The listing may be older than the leases, never a failed or empty one.
    pub fn is_ready(&self, lease: &Lease, listed: &Graph) -> bool {
        lease.parents.iter().all(|parent| match self.rows.get(parent) {
            Some(row) => row.is_ended(),
            None => self.passed.contains(parent) || !listed.has(parent),
        })
    }

    /// The leases that listed shards have not, children before parents: created in this order, a start that is cut off
    /// goes on as if it had not been. A shard whose lease was completed and cleaned up while the stream still had it,
    /// as other consumers of the same table do, is told by the progress of a descendant, and is not created again.
    /// `asked` is a time just before the listing.
    pub fn missing(&self, stream: Option<&StreamKey>, listed: &Graph, start: Start, asked: Timestamp) -> Vec<Lease> {
        let known = self.rows.iter().map(|(shard, lease)| ((*shard).clone(), lease.position.clone()));
        let shards: BTreeMap<_, _> = listed.shards().map(|shard| (&shard.id, shard)).collect();
        let mut passed: BTreeSet<&ShardId> = BTreeSet::new();
        let mut next: Vec<&ShardId> = self.passed.iter().copied().collect();
        while let Some(shard) = next.pop() {
            if !self.rows.contains_key(shard) && passed.insert(shard) {
                next.extend(shards.get(shard).into_iter().flat_map(|shard| &shard.parents));
            }
        }
        let known: BTreeMap<_, _> =
            known.chain(passed.into_iter().map(|shard| (shard.clone(), Position::End))).collect();
        let create = |(id, position): (ShardId, Position)| {
            let shard = shards.get(&id)?;
            let key = LeaseKey { stream: stream.cloned(), shard: id };
            Some(Lease::new(key, position, shard.parents.iter().cloned(), shard.hash_keys))
        };
        listed.starts(&known, start, asked).into_iter().filter_map(create).collect()
    }

    /// Whether a lease is of no use to anybody any more and may be deleted: the shard was read to its end and has left
    /// the stream, and each of its children has a lease with progress, so that nobody asks for the parent's end again.
    /// A listing without the shard may also be older than the shard: one that shows a descendant is not. Parents go
    /// before their children, through whose leases a descendant is known.
    pub fn is_over(&self, lease: &Lease, listed: &Graph) -> bool {
        let shard = &lease.key.shard;
        let mut leased = self.rows.values().filter(|row| row.parents.contains(shard));
        let mut children = listed.shards().filter(|child| child.parents.contains(shard));
        lease.is_ended()
            && !listed.has(shard)
            && !lease.parents.iter().any(|parent| self.rows.contains_key(parent))
            && leased.all(|child| child.has_progress())
            && children.all(|child| self.rows.contains_key(&child.id))
            && self.has_listed_descendant(shard, listed)
    }

    fn has_listed_descendant(&self, shard: &ShardId, listed: &Graph) -> bool {
        let mut family = BTreeSet::from([shard]);
        loop {
            let is_next = |row: &&&Lease| {
                !family.contains(&row.key.shard) && row.parents.iter().any(|parent| family.contains(parent))
            };
            let next: Vec<_> = self.rows.values().filter(is_next).map(|row| &row.key.shard).collect();
            if next.iter().any(|child| listed.has(child)) {
                return true;
            }
            if next.is_empty() {
                return false;
            }
            family.extend(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SequenceNumber;
    use crate::source::kinesis::shards::Shard;

    fn id(name: &str) -> ShardId {
        ShardId::new(name)
    }

    /// Shards as `child<parent+parent`, closed if another one goes on from them.
    fn graph(text: &str) -> Graph {
        let split = |word: &str| {
            let (name, parents) = word.split_once('<').unwrap_or((word, ""));
            (id(name), parents.split('+').filter(|parent| !parent.is_empty()).map(id).collect::<Vec<_>>())
        };
        let shards: Vec<_> = text.split_whitespace().map(split).collect();
        let closed = |name: &ShardId| shards.iter().any(|(_, parents)| parents.contains(name));
        let new = |(name, parents): &(ShardId, Vec<_>)| Shard {
            id: name.clone(),
            parents: parents.clone(),
            closed: closed(name),
            hash_keys: None,
        };
        shards.iter().map(new).collect()
    }

    /// Leases as `child<parent+parent=position`: `0` at the start, `t` at a time, `e` at the end, else after a record.
    fn leases(text: &str) -> Vec<Lease> {
        let read = |word: &str| {
            let (shard, position) = word.split_once('=').unwrap();
            let (name, parents) = shard.split_once('<').unwrap_or((shard, ""));
            let position = match position {
                "0" => Position::TrimHorizon,
                "t" => Position::AtTimestamp(Timestamp::UNIX_EPOCH),
                "e" => Position::End,
                digits => Position::After(SequenceNumber::new(digits).unwrap()),
            };
            let parents = parents.split('+').filter(|parent| !parent.is_empty()).map(id);
            Lease::new(LeaseKey { stream: None, shard: id(name) }, position, parents, None)
        };
        text.split_whitespace().map(read).collect()
    }

    #[test]
    fn a_lease_is_read_after_its_parents_and_goes_once_its_children_have_progress() {
        /// The shards listed, the leases; of those: what may be read, what is over.
        fn check(listed: &str, rows: &str, ready: &str, over: &str) {
            let (listed, rows) = (graph(listed), leases(rows));
            let all: Leases<'_> = rows.iter().collect();
            let names = |rule: &dyn Fn(&Lease) -> bool| {
                rows.iter().filter(|row| rule(row)).map(|row| row.key.to_string()).collect::<Vec<_>>().join(" ")
            };
            assert_eq!(names(&|row| all.is_ready(row, &listed)), ready, "ready of {rows:?}");
            assert_eq!(names(&|row| all.is_over(row, &listed)), over, "over of {rows:?}");
        }
        // No parents.
        check("a b", "a=0 b=e", "a b", "");
        // A parent that is read, has ended, was not placed yet, and is gone with its lease.
        check("a b<a c<a", "a=7 b<a=0 c<a=0", "a", "");
        check("a b<a c<a", "a=e b<a=0 c<a=0", "a b c", "");
        check("a b<a c<a", "b<a=0 c<a=0", "", "");
        check("b<a c<a", "b<a=0 c<a=0", "b c", "");
        // A parent that is gone from the stream but still has a lease that is not at its end.
        check("b<a c<a", "a=7 b<a=0 c<a=0", "a", "");
        // A merge waits for both.
        check("a b c<a+b", "a=e b=7 c<a+b=0", "a b", "");
        check("a b c<a+b", "a=e b=e c<a+b=0", "a b c", "");
        // A completed parent, deleted while it is listed: its child's progress tells, and frees the other child.
        check("a b<a c<a", "b<a=7 c<a=0", "b c", "");
        // Over: not while it is listed, not before each child has a lease, and progress.
        check("a b<a c<a", "a=e b<a=7 c<a=7", "a b c", "");
        check("b<a c<a", "a=e b<a=7 c<a=0", "a b c", "");
        check("b<a c<a", "a=e b<a=7 c<a=t", "a b c", "");
        check("b<a c<a", "a=e b<a=7", "a b", "");
        check("b<a c<a", "a=e b<a=7 c<a=e", "a b c", "a");
        check("b<a c<a", "a=e", "a", "");
        // A shard that left the stream with its children; a listing that is older than the shard; the oldest go first.
        check("d<c", "a=e c<a=e d<c=7", "a c d", "a");
        check("d<c", "c<a=e d<c=7", "c d", "c");
        check("a", "a=e b<a=e c<a=e", "a b c", "");
        // A shard that was not read to its end stays.
        check("d", "a=7 d=7", "a d", "");
    }

    #[test]
    fn leases_are_created_for_shards_that_have_none_and_were_not_completed() {
        fn check(listed: &str, rows: &str, start: Start, expected: &str) {
            let (rows, expected) = (leases(rows), leases(expected));
            let stream = StreamKey::new("123456789012", "logs", 1);
            let mut found = rows.iter().collect::<Leases<'_>>().missing(
                Some(&stream),
                &graph(listed),
                start,
                Timestamp::UNIX_EPOCH,
            );
            for lease in &mut found {
                assert_eq!(lease.key.stream.take().as_ref(), Some(&stream));
            }
            assert_eq!(found, expected, "{listed} with {rows:?}");
        }
        check("a b", "", Start::TrimHorizon, "b=0 a=0");
        check("a b<a c<a", "", Start::Latest, "c<a=t b<a=t a=e");
        // Later children: from their first record, however the application started.
        check("a b<a c<a", "a=7", Start::Latest, "c<a=0 b<a=0");
        check("a b<a c<a", "a=e b<a=7", Start::Latest, "c<a=0");
        check("a b c<a+b", "a=7 b=7", Start::Latest, "c<a+b=0");
        // A parent without a lease: not placed yet, or completed and cleaned up, which its child tells.
        check("a b<a c<a", "b<a=0 c<a=0", Start::TrimHorizon, "a=0");
        check("a b<a c<a", "b<a=7 c<a=0", Start::TrimHorizon, "");
        check("a b<a c<a", "b<a=7", Start::TrimHorizon, "c<a=0");
        check("a b<a c<a", "a=e b<a=e c<a=t", Start::TrimHorizon, "");
    }
}
