//! The coordinator: which shards of a stream are read, and when. This one reads all of them, in this process.
//!
//! What it decides with is in [`shards`] and pure; how a shard is read is the [`Lanes`]' and the source's. One that
//! shares the shards with other workers differs in which of the startable shards it starts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::client::{self, ClientError, Kinesis};
use super::fanout::consumer::ConsumerError;
use super::pace::{Backoff, Limits};
use super::poll::margin_before;
use super::reader::{Mode, Reader};
use super::refusal::made_anew;
use super::shards::{self, Graph, Reopened, Start};
use crate::budget::Budget;
use crate::checkpoint::{CheckpointError, CheckpointStore};
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::lease::table::TableError;
use crate::record::{Partition, Position, ShardId};
use crate::source::SourceError;

/// After a shard's end its children are looked for this often, a second and more apart, before the next regular
/// listing is waited for: the service lists them at once, or a moment later.
pub(super) const MAX_CHILD_LOOKS: u32 = 5;

/// Between a shard whose position was refused and its next start.
pub(super) const TRIMMED_WAIT: Duration = Duration::from_secs(1);

/// What is read, from where, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The stream, and how to reach it.
    pub client: client::Settings,
    /// What the stream is called in stored positions, where its name is not enough to tell it from others.
    pub stored_as: Option<Arc<str>>,
    /// How shards are read.
    pub mode: Mode,
    /// Where to start without a stored position of the stream.
    pub start: Start,
    /// What to do about a stored position that is not in the stream any more.
    pub on_trimmed: OnTrimmed,
    /// How each shard is polled.
    pub limits: Limits,
    /// How often shards are listed where nothing calls for it. The default, a minute, finds what a reshard made beside
    /// the shards that are read: an audit, since children are looked for when their parent ends.
    pub list_interval: Duration,
}

impl Settings {
    /// The defaults, for a stream.
    pub fn new(client: client::Settings) -> Self {
        Self {
            client,
            stored_as: None,
            mode: Mode::default(),
            start: Start::default(),
            on_trimmed: OnTrimmed::default(),
            limits: Limits::default(),
            list_interval: Duration::from_secs(60),
        }
    }
}

/// What to do about a stored position that is not in the stream any more: records were lost before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnTrimmed {
    /// Stop, and let a person decide.
    #[default]
    Fail,
    /// Warn, and go on with the oldest record there is.
    Oldest,
}

/// Why a stream is not read any further.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream cannot be reached as configured.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is no consumer to subscribe with.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// The stream cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Positions cannot be read or stored.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The leases cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A shard cannot be read or delivered any further.
    #[error("{partition} stopped")]
    Lane {
        /// The shard.
        partition: Partition,
        /// Why.
        #[source]
        source: LaneError,
    },
    /// The task of a shard panicked: a bug. What was not committed is read again after a restart.
    #[error("the task of {partition} panicked: this is a bug; nothing is lost, a restart reads on from the checkpoint")]
    Panicked {
        /// The shard.
        partition: Partition,
    },
}

/// Reads all shards of a stream until told to stop; returns when each lane has ended.
///
/// `stop` is the token that the lanes obey too: a shard that fails cancels it, so that the others deliver what they
/// have read before this returns the failure. The stream may still be in the making; a missing one is an error.
///
/// # Errors
/// See [`Error`]: the first failure, if several shards fail.
pub async fn run(
    settings: Settings,
    lanes: Arc<dyn Lanes>,
    checkpoints: Arc<dyn CheckpointStore>,
    budget: Budget,
    stop: CancellationToken,
) -> Result<(), Error> {
    let kinesis = tokio::select! {
        kinesis = Kinesis::connect(&settings.client) => kinesis?,
        () = stop.cancelled() => return Ok(()),
    };
    Box::pin(coordinate(kinesis, settings, lanes, checkpoints, budget, stop)).await
}

/// The same, through a client that is there already.
///
/// # Errors
/// As [`run`].
pub async fn coordinate(
    kinesis: Kinesis,
    settings: Settings,
    lanes: Arc<dyn Lanes>,
    checkpoints: Arc<dyn CheckpointStore>,
    budget: Budget,
    stop: CancellationToken,
) -> Result<(), Error> {
    let connecting = Reader::connect(kinesis.clone(), &settings.mode, settings.limits, budget);
    let Some(reader) = stop.run_until_cancelled(connecting).await else { return Ok(()) };
    let reader = reader?;
    let mut coordinator = Coordinator {
        kinesis,
        settings,
        lanes,
        checkpoints,
        reader,
        stop: stop.clone(),
        positions: BTreeMap::new(),
        from_now: BTreeSet::new(),
        graph: Graph::default(),
        reopened: Reopened::default(),
        ended: BTreeSet::new(),
        running: BTreeSet::new(),
        tasks: JoinSet::new(),
        shard_of: HashMap::new(),
        unlisted_children: 0,
    };
    let mut failed = coordinator.read().await.err();
    if failed.is_some() {
        stop.cancel();
    }
    while let Some(joined) = coordinator.tasks.join_next_with_id().await {
        if let Err(error) = coordinator.lane_ended(joined) {
            stop.cancel();
            if failed.is_some() {
                warn!(%error, "another shard failed");
            }
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

type Joined = Result<(Id, Result<LaneEnd, LaneError>), JoinError>;

struct Coordinator {
    kinesis: Kinesis,
    settings: Settings,
    lanes: Arc<dyn Lanes>,
    checkpoints: Arc<dyn CheckpointStore>,
    reader: Reader,
    stop: CancellationToken,
    /// Where each shard that was ever seen starts, or started.
    positions: BTreeMap<ShardId, Position>,
    /// Shards whose first iterator is "from now on"; what is stored for them is the time.
    from_now: BTreeSet<ShardId>,
    graph: Graph,
    reopened: Reopened,
    ended: BTreeSet<ShardId>,
    running: BTreeSet<ShardId>,
    tasks: JoinSet<Result<LaneEnd, LaneError>>,
    shard_of: HashMap<Id, ShardId>,
    /// How often children of ended shards were looked for and not found.
    unlisted_children: u32,
}

impl Coordinator {
    /// Lists, starts, and starts what goes on where a shard ended, until told to stop.
    async fn read(&mut self) -> Result<(), Error> {
        let stop = self.stop.clone();
        let Some(stored) = stop.run_until_cancelled(self.load()).await else { return Ok(()) };
        for (partition, position) in stored? {
            if position == Position::End {
                self.ended.insert(partition.shard.clone());
            }
            self.positions.insert(partition.shard, position);
        }
        let (mut brief, mut slow) = (Backoff::brief(), Backoff::slow());
        let mut due = Instant::now();
        loop {
            let kinesis = self.kinesis.clone();
            let listing = async move {
                sleep_until(due).await;
                let asked = Timestamp::now();
                (asked, shards::list(&kinesis).await)
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(joined) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    if let Some(wait) = self.lane_ended(joined)? {
                        (due, self.unlisted_children) = (Instant::now() + wait, 0);
                    }
                }
                (asked, listed) = listing => match listed {
                    Ok(graph) => {
                        (brief, slow) = (Backoff::brief(), Backoff::slow());
                        self.graph = graph;
                        if let Some(shard) = self.reopened.look(&self.graph, self.ended.iter(), Instant::now()) {
                            return Err(made_anew(&self.kinesis, &shard).into());
                        }
                        self.place(asked).await?;
                        due = Instant::now() + self.next_listing();
                    }
                    Err(failure) => due = Instant::now() + shards::listing_failed(&self.kinesis, failure, &mut brief, &mut slow)?,
                },
            }
        }
    }

    async fn load(&self) -> Result<Vec<(Partition, Position)>, CheckpointError> {
        let mut backoff = Backoff::brief();
        loop {
            match self.checkpoints.load(self.stream()).await {
                Err(CheckpointError::Retry { store, source }) => {
                    warn!(store, error = %source, "positions cannot be read, trying again");
                    sleep(backoff.wait()).await;
                }
                done => return done,
            }
        }
    }

    /// Stores where new shards start, then starts every shard that may be read.
    async fn place(&mut self, asked: Timestamp) -> Result<(), Error> {
        let is_first = self.positions.is_empty();
        let starts = self.graph.starts(&self.positions, self.settings.start, margin_before(asked));
        if is_first {
            info!(stream = %self.kinesis.stream(), shards = starts.len(), start = ?self.settings.start, "first start");
        }
        for (shard, position) in starts {
            let Some(begun) = self.stop.clone().run_until_cancelled(self.begin(&shard, &position)).await else {
                return Ok(());
            };
            begun?;
            if is_first && self.settings.start == Start::Latest && position != Position::End {
                self.from_now.insert(shard.clone());
            }
            if position == Position::End {
                self.ended.insert(shard.clone());
            }
            self.positions.insert(shard, position);
        }
        self.end_expired()?;
        let startable: Vec<_> =
            self.graph.startable(&self.ended, &self.running).map(|shard| shard.id.clone()).collect();
        for shard in startable {
            let position = match self.from_now.remove(&shard) {
                true => Position::Latest,
                false => self.positions.get(&shard).cloned().unwrap_or(Position::TrimHorizon),
            };
            self.start(shard, position);
        }
        Ok(())
    }

    async fn begin(&self, shard: &ShardId, position: &Position) -> Result<(), CheckpointError> {
        let mut backoff = Backoff::brief();
        loop {
            match self.checkpoints.begin(self.partition(shard), position.clone()).await {
                Err(CheckpointError::Retry { store, source }) => {
                    warn!(store, %shard, error = %source, "a start cannot be stored, trying again");
                    sleep(backoff.wait()).await;
                }
                done => return done,
            }
        }
    }

    /// Shards that have a position short of their end, are not read, and left the stream: what they still held is lost.
    fn end_expired(&mut self) -> Result<(), Error> {
        // A stream has shards; a listing without any is one of a stream in the making and says nothing.
        if self.graph.shards().next().is_none() {
            return Ok(());
        }
        let is_over = |shard: &ShardId| self.ended.contains(shard) || self.running.contains(shard);
        let gone: Vec<_> =
            self.positions.keys().filter(|shard| !is_over(shard) && !self.graph.has(shard)).cloned().collect();
        for shard in gone {
            if self.settings.on_trimmed == OnTrimmed::Fail {
                let what = format!("shard {shard} of {}", self.kinesis.resource());
                let advice = "its stored position is short of its end, and it left the stream (by the end of the \
                              retention period, or because the stream was made anew); on_trimmed = \"oldest\" goes on \
                              without it";
                return Err(SourceError::Position { what, advice: advice.to_owned(), source: None }.into());
            }
            warn!(%shard, "the shard left the stream before it was read to its end; going on without it");
            // A source that is at its end: its lane commits the end, so that this is said once.
            self.start(shard, Position::End);
        }
        Ok(())
    }

    fn start(&mut self, shard: ShardId, position: Position) {
        info!(%shard, %position, "reading shard");
        let hash_keys = self.graph.hash_keys(&shard);
        let source = self.reader.open(shard.clone(), position, hash_keys);
        let (lanes, partition, stop) = (Arc::clone(&self.lanes), self.partition(&shard), self.stop.clone());
        let task = self.tasks.spawn(async move { lanes.run(partition, source, stop).await });
        self.shard_of.insert(task.id(), shard.clone());
        self.running.insert(shard);
    }

    /// Takes a lane's end. Says when to list, if shards may go on where it ended.
    fn lane_ended(&mut self, joined: Joined) -> Result<Option<Duration>, Error> {
        let id = match &joined {
            Ok((id, _)) => *id,
            Err(panicked) => panicked.id(),
        };
        let shard = self.shard_of.remove(&id).unwrap_or_else(|| ShardId::new("unknown"));
        self.running.remove(&shard);
        let partition = self.partition(&shard);
        match joined {
            Err(_) => Err(Error::Panicked { partition }),
            Ok((_, Ok(LaneEnd::Stopped))) => {
                // A lane that stops was told to, and so is this: the shard is not started again.
                self.stop.cancel();
                Ok(None)
            }
            Ok((_, Ok(LaneEnd::Ended { children }))) => {
                info!(%shard, ?children, "shard delivered to its end");
                self.ended.insert(shard);
                Ok(Some(Duration::ZERO))
            }
            Ok((_, Err(LaneError::Source(SourceError::Position { what, advice, source })))) => {
                if self.settings.on_trimmed == OnTrimmed::Fail || self.stop.is_cancelled() {
                    let source = LaneError::Source(SourceError::Position { what, advice, source });
                    return Err(Error::Lane { partition, source });
                }
                let error = source.map(|source| source.to_string()).unwrap_or_default();
                warn!(%shard, error, "the position is not in the stream any more; records are lost");
                // Whether the shard itself is gone, the next listing says: it is started from its oldest record, or
                // ended. Never at once: a service that contradicts itself is not asked in a tight loop.
                self.positions.insert(shard, Position::TrimHorizon);
                Ok(Some(TRIMMED_WAIT))
            }
            Ok((_, Err(source))) => Err(Error::Lane { partition, source }),
        }
    }

    /// When to list again: soon if a shard ended and nothing that goes on from it was seen.
    fn next_listing(&mut self) -> Duration {
        let is_empty = self.graph.shards().next().is_none();
        let is_childless = |shard: &ShardId| self.graph.has(shard) && !self.graph.has_child_of(shard);
        if (is_empty || self.ended.iter().any(is_childless)) && self.unlisted_children < MAX_CHILD_LOOKS {
            self.unlisted_children += 1;
            return Duration::from_secs(1).min(self.settings.list_interval) * self.unlisted_children;
        }
        self.settings.list_interval
    }

    /// What the stream is called in positions.
    fn stream(&self) -> &Arc<str> {
        self.settings.stored_as.as_ref().unwrap_or_else(|| self.kinesis.stream())
    }

    fn partition(&self, shard: &ShardId) -> Partition {
        Partition { stream: self.stream().clone(), shard: shard.clone() }
    }
}
