//! The shards of a stream: who goes on where whom ended, and which may be read when. Pure, but for the listing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::client::Kinesis;
use super::error::{CallError, Policy};
use super::pace::Backoff;
use crate::record::{HashKeys, Position, ShardId};
use crate::source::SourceError;

/// Pages of a listing: a million shards, fifty times the highest quota. A service that pages on for ever is a fault.
const MAX_PAGES: usize = 1000;

/// One shard of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The shard's id.
    pub id: ShardId,
    /// The shards that it goes on from: none, one after a split, two after a merge. They may be gone from the stream.
    pub parents: Vec<ShardId>,
    /// Whether nothing is written to it any more.
    pub closed: bool,
    /// The hash keys of its records, if the service told them.
    pub hash_keys: Option<HashKeys>,
}

/// Where an application starts that has no position of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Start {
    /// With the oldest record that the stream holds.
    #[default]
    TrimHorizon,
    /// With what comes from now on.
    Latest,
    /// With the first record that arrived at or after this time.
    AtTimestamp(Timestamp),
}

/// The shards of a stream, by id.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    shards: BTreeMap<ShardId, Shard>,
    parents: BTreeSet<ShardId>,
}

impl FromIterator<Shard> for Graph {
    fn from_iter<I: IntoIterator<Item = Shard>>(shards: I) -> Self {
        let shards: BTreeMap<_, _> = shards.into_iter().map(|shard| (shard.id.clone(), shard)).collect();
        let parents = shards.values().flat_map(|shard| shard.parents.iter().cloned()).collect();
        Self { shards, parents }
    }
}

impl Graph {
    /// Whether the stream still has the shard.
    pub fn has(&self, id: &ShardId) -> bool {
        self.shards.contains_key(id)
    }

    /// Whether a listed shard goes on from this one.
    pub fn has_child_of(&self, id: &ShardId) -> bool {
        self.parents.contains(id)
    }

    /// The hash keys of a shard's records.
    pub fn hash_keys(&self, id: &ShardId) -> Option<HashKeys> {
        self.shards.get(id)?.hash_keys
    }

    /// The shards, by id.
    pub fn shards(&self) -> impl DoubleEndedIterator<Item = &Shard> {
        self.shards.values()
    }

    /// The shards that may be read now: neither read to their end nor being read, and each of their parents is at its
    /// end, or is gone from the stream and not being read either.
    pub fn startable<'a>(
        &'a self,
        ended: &'a BTreeSet<ShardId>,
        running: &'a BTreeSet<ShardId>,
    ) -> impl Iterator<Item = &'a Shard> {
        let is_over = |parent: &ShardId| ended.contains(parent) || !(self.has(parent) || running.contains(parent));
        let is_new = |shard: &Shard| !ended.contains(&shard.id) && !running.contains(&shard.id);
        self.shards.values().filter(move |shard| is_new(shard) && shard.parents.iter().all(is_over))
    }

    /// Whether a shard goes on, at whatever distance, from one that is known.
    fn descends(&self, shard: &Shard, known: &BTreeMap<ShardId, Position>) -> bool {
        let (mut seen, mut next) = (BTreeSet::new(), shard.parents.iter().collect::<Vec<_>>());
        while let Some(parent) = next.pop() {
            if known.contains_key(parent) {
                return true;
            }
            if seen.insert(parent) {
                next.extend(self.shards.get(parent).into_iter().flat_map(|shard| &shard.parents));
            }
        }
        false
    }

    /// Where the shards start that have no stored position, children before parents: stored in this order, a shard
    /// whose start is known has children whose start is known. `asked` is a time just before the listing.
    pub fn starts(
        &self,
        known: &BTreeMap<ShardId, Position>,
        start: Start,
        asked: Timestamp,
    ) -> Vec<(ShardId, Position)> {
        let mut unknown: Vec<_> = self.shards.values().rev().filter(|shard| !known.contains_key(&shard.id)).collect();
        // A child is made after its parents, and its id is greater; ids of no such order lose only this nicety.
        unknown.sort_by(|a, b| b.id.cmp(&a.id));
        let time = |position: &&Position| match position {
            Position::AtTimestamp(time) => Some(*time),
            _ => None,
        };
        let begun = known.values().filter(|position| time(position).is_some()).min_by_key(time);
        let position = |shard: &Shard| match (known.is_empty(), start) {
            (true, Start::TrimHorizon) => Position::TrimHorizon,
            (true, Start::Latest) if shard.closed => Position::End,
            (true, Start::Latest) => Position::AtTimestamp(asked),
            (true, Start::AtTimestamp(time)) => Position::AtTimestamp(time),
            // A child of a shard that is known goes on where that one ended. A shard of unknown descent beside one
            // that is still at the time of the start was listed by a start that was cut off before it was stored.
            (false, _) => match begun {
                Some(begun) if !self.descends(shard, known) => begun.clone(),
                _ => Position::TrimHorizon,
            },
        };
        unknown.into_iter().map(|shard| (shard.id.clone(), position(shard))).collect()
    }
}

/// Shards that were read to their end, and that the stream lists as open: it was deleted, and made anew.
#[derive(Clone, Debug, Default)]
pub struct Reopened {
    since: BTreeMap<ShardId, Instant>,
}

/// For how long a shard must be listed as open to be believed: a listing may be older than a shard's end, by seconds.
const REOPENED_FOR: Duration = Duration::from_secs(60);

impl Reopened {
    /// Compares a listing with the shards that were read to their end. Gives one that has been open again for a while.
    pub fn look<'a>(
        &mut self,
        listed: &Graph,
        ended: impl Iterator<Item = &'a ShardId>,
        now: Instant,
    ) -> Option<ShardId> {
        let is_open = |shard: &&ShardId| listed.shards.get(*shard).is_some_and(|shard| !shard.closed);
        let since = |shard: &ShardId| (shard.clone(), self.since.get(shard).copied().unwrap_or(now));
        self.since = ended.filter(is_open).map(since).collect();
        self.since.iter().find(|(_, since)| now - **since >= REOPENED_FOR).map(|(shard, _)| shard.clone())
    }
}

/// All shards of the stream that have not expired: all pages.
///
/// # Errors
/// The first page that fails. What was listed before it is of no use: a listing begins again with its first page, which
/// is also what an expired token asks for.
pub async fn list(kinesis: &Kinesis) -> Result<Graph, CallError> {
    let mut shards = Vec::new();
    let mut token = None;
    for _ in 0..MAX_PAGES {
        let page = kinesis.list_shards(token.take()).await?;
        shards.extend(page.shards.unwrap_or_default().into_iter().map(read_shard));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(shards.into_iter().collect());
        }
    }
    Err(CallError {
        policy: Policy::Retry,
        operation: "ListShards",
        resource: kinesis.resource(),
        code: format!("the listing has no end after {MAX_PAGES} pages"),
        message: None,
        request_id: None,
    })
}

/// How long to wait after a listing that failed.
///
/// # Errors
/// Why there is nothing to wait for.
pub(super) fn listing_failed(
    kinesis: &Kinesis,
    failure: CallError,
    brief: &mut Backoff,
    slow: &mut Backoff,
) -> Result<Duration, SourceError> {
    match failure.policy {
        Policy::ResourceGone | Policy::BadPosition => {
            let (what, advice) = (kinesis.resource(), failure.advice());
            Err(SourceError::Fatal { what, advice, source: Some(failure.into()) })
        }
        Policy::Denied => {
            warn!(error = %failure, advice = failure.advice(), "shards cannot be listed until a person acts");
            Ok(slow.wait())
        }
        Policy::Throttled | Policy::Retry | Policy::TokenExpired | Policy::IteratorExpired | Policy::StreamBusy => {
            warn!(error = %failure, advice = failure.advice(), "shards cannot be listed, trying again");
            Ok(brief.wait())
        }
    }
}

/// What a listing says about a shard that a call did not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// The stream has it: what did not find it was not up to date.
    Listed,
    /// The stream has it no more.
    Expired,
    /// There is no such stream.
    NoStream,
}

/// Looks for a shard that a call did not find.
///
/// # Errors
/// A listing that does not tell.
pub async fn find(kinesis: &Kinesis, shard: &ShardId) -> Result<Whereabouts, CallError> {
    match list(kinesis).await {
        Ok(graph) if graph.has(shard) => Ok(Whereabouts::Listed),
        Ok(_) => Ok(Whereabouts::Expired),
        Err(err) if err.policy == Policy::ResourceGone => Ok(Whereabouts::NoStream),
        Err(err) => Err(err),
    }
}

fn read_shard(shard: aws_sdk_kinesis::types::Shard) -> Shard {
    let closed = shard.sequence_number_range.is_some_and(|range| range.ending_sequence_number.is_some());
    let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
    let parents = parents.into_iter().flatten().filter(|id| !id.is_empty()).map(ShardId::new).collect();
    let hash_keys = shard.hash_key_range.and_then(|r| HashKeys::parse(&r.starting_hash_key, &r.ending_hash_key));
    Shard { id: ShardId::new(shard.shard_id), parents, closed, hash_keys }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: usize) -> ShardId {
        ShardId::new(format!("shardId-{number:012}"))
    }

    /// A history of splits and merges: `None` splits a shard, `Some` merges it with another; both are picked among
    /// the open ones. Gives all shards that ever were.
    fn history(roots: usize, steps: &[(usize, Option<usize>)]) -> Vec<Shard> {
        let new = |number, parents| Shard { id: id(number), parents, closed: false, hash_keys: None };
        let mut shards: Vec<_> = (0..roots).map(|number| new(number, Vec::new())).collect();
        for (pick, other) in steps {
            let open: Vec<_> = (0..shards.len()).filter(|at| !shards[*at].closed).collect();
            let first = open[pick % open.len()];
            let parents = match other {
                Some(other) if open[other % open.len()] != first => vec![first, open[other % open.len()]],
                _ => vec![first],
            };
            let children = if parents.len() == 1 { 2 } else { 1 };
            for parent in &parents {
                shards[*parent].closed = true;
            }
            for _ in 0..children {
                let number = shards.len();
                shards.push(new(number, parents.iter().map(|parent| id(*parent)).collect()));
            }
        }
        shards
    }

    fn steps() -> impl Strategy<Value = Vec<(usize, Option<usize>)>> {
        prop::collection::vec((any::<usize>(), any::<Option<usize>>()), 0..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever order shards end in and whichever old shards have left the stream: each one that is listed is read
        /// exactly once, and never before its parents that still exist have ended.
        #[test]
        fn every_shard_is_read_once_and_after_its_parents(
            roots in 1_usize..5,
            steps in steps(),
            expired in 0_usize..20,
            order in prop::collection::vec(any::<usize>(), 1..100),
        ) {
            let all = history(roots, &steps);
            let open = all.iter().position(|shard| !shard.closed).unwrap_or(0);
            let graph: Graph = all.into_iter().skip(expired.min(open)).collect();
            let (mut ended, mut running) = (BTreeSet::new(), BTreeSet::new());
            let mut picks = order.iter().cycle();
            loop {
                let fresh: Vec<_> = graph.startable(&ended, &running).cloned().collect();
                for shard in fresh {
                    for parent in &shard.parents {
                        prop_assert!(ended.contains(parent) || !graph.has(parent), "{} too early", shard.id);
                    }
                    prop_assert!(running.insert(shard.id.clone()));
                }
                let Some(pick) = picks.next() else { break };
                let Some(done) = running.iter().nth(pick % running.len().max(1)).cloned() else { break };
                running.remove(&done);
                prop_assert!(ended.insert(done));
            }
            let listed: BTreeSet<_> = graph.shards().map(|shard| shard.id.clone()).collect();
            prop_assert_eq!(ended, listed);
        }

        /// A start that is cut off at any point and made again starts every shard at the same place.
        #[test]
        fn a_start_that_was_cut_off_goes_on_as_if_it_had_not_been(
            roots in 1_usize..5,
            steps in steps(),
            cut in any::<usize>(),
            time in 1_i64..1_000_000,
        ) {
            let graph: Graph = history(roots, &steps).into_iter().collect();
            let start = Start::AtTimestamp(Timestamp::from_second(time).unwrap());
            let whole = graph.starts(&BTreeMap::new(), start, Timestamp::now());
            let stored = whole.iter().take(cut % (whole.len() + 1)).cloned().collect();
            let rest = graph.starts(&stored, Start::TrimHorizon, Timestamp::now());
            let expected: Vec<_> = whole.iter().skip(stored.len()).cloned().collect();
            if !stored.is_empty() {
                prop_assert_eq!(rest, expected);
            }
        }
    }

    #[test]
    fn a_first_start_places_each_shard() {
        let graph: Graph = history(2, &[(0, None)]).into_iter().collect();
        let (time, asked) = (Timestamp::from_second(1_000).unwrap(), Timestamp::from_second(2_000).unwrap());
        let check = |start, expected: [Position; 4]| {
            let mut found = graph.starts(&BTreeMap::new(), start, asked);
            found.reverse();
            let expected: Vec<_> = expected.into_iter().enumerate().map(|(at, position)| (id(at), position)).collect();
            assert_eq!(found, expected, "{start:?}");
        };
        let (at, now) = (Position::AtTimestamp(time), Position::AtTimestamp(asked));
        check(Start::TrimHorizon, [const { Position::TrimHorizon }; 4]);
        check(Start::Latest, [Position::End, now.clone(), now.clone(), now]);
        check(Start::AtTimestamp(time), [at.clone(), at.clone(), at.clone(), at]);
    }

    #[test]
    fn children_found_later_are_read_from_their_first_record() {
        let known = [(id(0), Position::AtTimestamp(Timestamp::UNIX_EPOCH)), (id(1), Position::End)].into();
        let graph: Graph = history(2, &[(0, None)]).into_iter().collect();
        let found = graph.starts(&known, Start::Latest, Timestamp::now());
        assert_eq!(found, [(id(3), Position::TrimHorizon), (id(2), Position::TrimHorizon)]);
    }

    #[test]
    fn a_parent_that_left_the_stream_while_it_is_read_still_holds_its_children() {
        let graph: Graph = history(1, &[(0, None)]).into_iter().skip(1).collect();
        let (none, parent) = (BTreeSet::new(), BTreeSet::from([id(0)]));
        assert_eq!(graph.startable(&none, &parent).count(), 0);
        assert_eq!(graph.startable(&none, &none).count(), 2);
        assert_eq!(graph.startable(&parent, &none).count(), 2);
    }
}
