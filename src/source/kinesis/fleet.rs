//! The fleet: one of several workers that share the shards of one or more streams through leases. It looks at the lease
//! table, takes what falls to it, reads what it holds, and notices what others leave behind.
//!
//! The loop itself never waits for anything outside: whatever asks the table or a stream is a task that brings an
//! [`Event`], so that a slow answer holds up nothing else. What a worker does with what it sees is decided elsewhere, by
//! pure functions: [`crate::lease::ready`], [`crate::lease::balance`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::client::Kinesis;
use super::coordinator::{Error, OnTrimmed};
use super::error::CallError;
use super::pace::{Backoff, fraction};
use super::reader::Reader;
use super::shards::{self, Graph, Reopened, Start};
use crate::delivery::Lanes;
use crate::lease::balance::{self, Mine, Moves};
use crate::lease::held::Held;
use crate::lease::ready::Leases;
use crate::lease::table::{Table, TableError};
use crate::lease::tenure::{Claim, Keeper};
use crate::lease::view::{Timing, View};
use crate::lease::{Lease, LeaseKey, StreamKey, WorkerId};

use holding::Step;

mod holding;
mod lane;
mod looking;
mod placing;

/// Leases that a worker takes at a time before it looks again: others that start at the same moment show up meanwhile.
/// Twice as many each time that nobody was in the way.
const TAKES: usize = 32;

/// Between a lease that the last listing does not know and the next listing.
const RELIST: Duration = Duration::from_millis(500);

/// For how long after another worker was seen to stop leases are taken that others leave. Later, and at a start, there
/// are better owners on their way.
const LEFT_OVERS_FOR: Duration = Duration::from_secs(5);

/// Events that come at one moment are answered together after this time.
const SETTLE: Duration = Duration::from_millis(10);

/// What a worker is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This worker.
    pub worker: WorkerId,
    /// The times that leases live by.
    pub timing: Timing,
    /// Where to start without a lease of the stream.
    pub start: Start,
    /// What to do about a position that is not in the stream any more.
    pub on_trimmed: OnTrimmed,
    /// How often all workers together list the shards of a stream where nothing calls for it: the look for holes.
    pub audit_interval: Duration,
}

/// One stream that the fleet reads.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The stream.
    pub kinesis: Kinesis,
    /// How its shards are read.
    pub reader: Reader,
    /// Its part of the leases' keys, in a table of several streams.
    pub key: Option<StreamKey>,
}

/// Reads what falls to this worker until told to stop; returns when each lease is given up.
///
/// `stop` is the token that the lanes obey too: a failure cancels it, so that what was read is delivered before this
/// returns. `held` is where the lanes commit.
///
/// # Errors
/// See [`Error`]: the first failure.
pub async fn run(
    settings: Settings,
    streams: Vec<Stream>,
    table: Arc<dyn Table>,
    lanes: Arc<dyn Lanes>,
    held: Arc<Held>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let mut fleet = Fleet::new(settings, streams, table, lanes, held, stop.clone());
    let mut failed = fleet.work().await.err();
    if failed.is_some() {
        stop.cancel();
    }
    fleet.tasks.abort_all();
    while let Some(step) = fleet.tenures.join_next().await {
        if let Err(error) = fleet.step(step) {
            stop.cancel();
            if failed.is_some() {
                warn!(%error, "another shard failed");
            }
            failed.get_or_insert(error);
        }
    }
    info!(worker = %fleet.settings.worker, "all leases are given up");
    failed.map_or(Ok(()), Err)
}

/// What a task brings.
enum Event {
    Scanned { asked: Instant, scanned: Result<Vec<Lease>, TableError> },
    Watched(Vec<(LeaseKey, Option<Lease>)>),
    Listed { stream: usize, asked: (Timestamp, Instant), listed: Result<Graph, CallError> },
    Created { stream: usize, created: placing::Created },
    Deleted(Vec<LeaseKey>),
}

/// How far a worker is with a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Taking,
    Asking,
    Holding,
}

/// What is known of one stream.
struct Known {
    stream: Stream,
    /// The last listing, and when it was asked for.
    graph: Option<(Graph, Instant)>,
    /// When to list next.
    list_at: Instant,
    reopened: Reopened,
    is_listing: bool,
    is_creating: bool,
    /// How often children of ended shards were looked for and not found.
    unlisted_children: u32,
    /// No leases are created before this, and the waits after a creation that failed or met another worker's.
    create_at: Instant,
    create_trouble: Backoff,
    brief: Backoff,
    slow: Backoff,
}

impl Known {
    /// Whether the last listing tells about a lease's parents: one that is older than the lease may not know of them,
    /// and what it does not name could be taken for gone.
    fn is_current_for(&self, lease: &Lease, view: &View) -> bool {
        let Some((graph, asked)) = &self.graph else { return false };
        graph.has(&lease.key.shard) || view.first_seen(&lease.key).is_some_and(|seen| seen < *asked)
    }
}

struct Fleet {
    settings: Settings,
    table: Arc<dyn Table>,
    lanes: Arc<dyn Lanes>,
    held: Arc<Held>,
    keeper: Keeper,
    stop: CancellationToken,
    view: View,
    streams: Vec<Known>,
    /// The leases that this worker goes for or holds.
    mine: HashMap<LeaseKey, Phase>,
    tenures: JoinSet<Step>,
    tasks: JoinSet<Event>,
    scan_at: Instant,
    is_scanning: bool,
    has_scanned: bool,
    /// No look at all leases before this, whatever happens.
    no_scan_before: Instant,
    scan_trouble: Backoff,
    watch_at: Instant,
    is_watching: bool,
    /// When to decide anew, if anything has changed.
    balance_at: Option<Instant>,
    /// As many leases were taken as are at a time: no more before the next look at all of them.
    has_taken: bool,
    /// No lease is asked for before this.
    ask_at: Instant,
    /// Until then leases that others leave are taken beyond this worker's part: another worker has stopped.
    left_overs_until: Instant,
    /// Since when leases were seen free that this worker left to others.
    left: HashMap<LeaseKey, Instant>,
    takes: usize,
}

impl Fleet {
    fn new(
        settings: Settings,
        streams: Vec<Stream>,
        table: Arc<dyn Table>,
        lanes: Arc<dyn Lanes>,
        held: Arc<Held>,
        stop: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let known = |stream| Known {
            stream,
            graph: None,
            list_at: now,
            reopened: Reopened::default(),
            is_listing: false,
            is_creating: false,
            unlisted_children: 0,
            create_at: now,
            create_trouble: Backoff::slow(),
            brief: Backoff::brief(),
            slow: Backoff::slow(),
        };
        Self {
            keeper: Keeper::new(Arc::clone(&table), settings.worker.clone(), settings.timing),
            view: View::new(settings.worker.clone(), settings.timing),
            settings,
            table,
            lanes,
            held,
            stop,
            streams: streams.into_iter().map(known).collect(),
            mine: HashMap::new(),
            tenures: JoinSet::new(),
            tasks: JoinSet::new(),
            scan_at: now,
            is_scanning: false,
            has_scanned: false,
            no_scan_before: now,
            scan_trouble: Backoff::brief(),
            watch_at: now,
            is_watching: false,
            balance_at: None,
            has_taken: false,
            ask_at: now,
            left_overs_until: now,
            left: HashMap::new(),
            takes: TAKES,
        }
    }

    /// Looks, takes and reads until told to stop.
    async fn work(&mut self) -> Result<(), Error> {
        let stop = self.stop.clone();
        info!(worker = %self.settings.worker, table = self.table.name(), "sharing leases");
        loop {
            let due = self.next_due();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(step) = self.tenures.join_next(), if !self.tenures.is_empty() => self.step(step)?,
                Some(event) = self.tasks.join_next(), if !self.tasks.is_empty() => match event {
                    Ok(event) => self.heed(event)?,
                    Err(panicked) if panicked.is_panic() => std::panic::resume_unwind(panicked.into_panic()),
                    Err(_) => {}
                },
                () = sleep_until(due) => self.act(),
            }
        }
    }

    fn next_due(&self) -> Instant {
        let listings = self.streams.iter().filter(|known| !known.is_listing && self.has_scanned);
        let scan = (!self.is_scanning).then(|| self.scan_at.max(self.no_scan_before));
        let watch = (!self.is_watching).then_some(self.watch_at);
        let due = listings.map(|known| known.list_at).chain(scan).chain(watch).chain(self.balance_at).min();
        due.unwrap_or_else(|| Instant::now() + self.settings.timing.failover)
    }

    /// Starts what is due.
    fn act(&mut self) {
        let now = Instant::now();
        if !self.is_scanning && self.scan_at.max(self.no_scan_before) <= now {
            self.is_scanning = true;
            let table = Arc::clone(&self.table);
            self.tasks.spawn(async move { Event::Scanned { asked: now, scanned: table.scan().await } });
        }
        if !self.is_watching && self.watch_at <= now {
            self.watch(now);
        }
        for stream in 0..self.streams.len() {
            let known = &mut self.streams[stream];
            // Which leases are missing is known once they were looked at.
            if self.has_scanned && !known.is_listing && known.list_at <= now {
                known.is_listing = true;
                let kinesis = known.stream.kinesis.clone();
                self.tasks.spawn(async move {
                    let asked = (Timestamp::now(), Instant::now());
                    Event::Listed { stream, asked, listed: shards::list(&kinesis).await }
                });
            }
        }
        if self.balance_at.is_some_and(|at| at <= now) {
            self.balance_at = None;
            self.balance(now);
        }
    }

    fn heed(&mut self, event: Event) -> Result<(), Error> {
        let now = Instant::now();
        match event {
            Event::Scanned { asked, scanned } => self.scanned(scanned, asked, now)?,
            Event::Watched(seen) => self.watched(seen, now),
            Event::Listed { stream, asked, listed } => self.listed(stream, asked, listed, now)?,
            Event::Created { stream, created } => self.created(stream, created, now)?,
            Event::Deleted(keys) => keys.iter().for_each(|key| self.view.forget(key)),
        }
        Ok(())
    }

    /// Decides what to go for.
    fn balance(&mut self, now: Instant) {
        let by_stream = self.leases_by_stream();
        let is_ready = |lease: &Lease| {
            let Some(known) = self.streams.iter().find(|known| known.stream.key == lease.key.stream) else {
                return false;
            };
            let (Some((graph, _)), Some(leases)) = (&known.graph, by_stream.get(&lease.key.stream)) else {
                return false;
            };
            known.is_current_for(lease, &self.view) && leases.is_ready(lease, graph)
        };
        let promised = |lease: &&Lease| {
            let is_mine = lease.owner.as_ref() == Some(self.view.me()) && lease.draining.is_some();
            is_mine && !lease.is_ended() && !self.mine.contains_key(&lease.key) && is_ready(lease)
        };
        let promised: Vec<_> = self.view.leases().filter(promised).cloned().collect();
        let patience = self.settings.timing.watch() / 4;
        let mine = Mine {
            has: &|key| self.mine.contains_key(key),
            is_asking: now < self.ask_at || self.mine.values().any(|phase| *phase == Phase::Asking),
            limit: if self.has_taken { 0 } else { self.takes },
            is_left_over: &|key| {
                now < self.left_overs_until && self.left.get(key).is_some_and(|since| now - *since >= patience)
            },
        };
        let Moves { take, ask, is_limited, left } = balance::moves(&self.view, &is_ready, mine, now);
        let is_unclaimed = |lease: &Lease| {
            lease.owner.as_ref() == Some(self.view.me()) && !lease.is_ended() && !self.mine.contains_key(&lease.key)
        };
        if now < self.ask_at {
            self.balance_at = Some(self.ask_at);
        }
        let may_be_left = !left.is_empty() && now < self.left_overs_until;
        if may_be_left || self.view.leases().any(is_unclaimed) {
            self.balance_at = Some(now + patience);
        }
        let since = |key: LeaseKey| (self.left.get(&key).copied().unwrap_or(now), key);
        self.left = left.into_iter().map(since).map(|(since, key)| (key, since)).collect();
        for known in &mut self.streams {
            let is_stale = |lease: &Lease| {
                lease.key.stream == known.stream.key && !lease.is_ended() && !known.is_current_for(lease, &self.view)
            };
            if self.view.leases().any(is_stale) {
                known.list_at = known.list_at.min(now + RELIST);
            }
        }
        if is_limited && !self.has_taken {
            // Others that start now as well take their part meanwhile, and are seen by then.
            self.has_taken = true;
            self.scan_at = self.scan_at.min(now + self.settings.timing.watch());
            self.takes = self.takes.saturating_mul(2);
        }
        for lease in promised {
            self.obtain(lease, Claim::Await);
        }
        for lease in take {
            self.obtain(lease, Claim::Take);
        }
        if let Some((lease, holder)) = ask.and_then(|lease| lease.owner.clone().map(|holder| (lease, holder))) {
            self.obtain(lease, Claim::Ask(holder));
        }
    }

    fn leases_by_stream(&self) -> BTreeMap<Option<StreamKey>, Leases<'_>> {
        let of = |key: &Option<StreamKey>| self.view.leases().filter(|lease| lease.key.stream == *key).collect();
        self.streams.iter().map(|known| (known.stream.key.clone(), of(&known.stream.key))).collect()
    }

    fn balance_soon(&mut self, now: Instant) {
        self.balance_at.get_or_insert(now + SETTLE);
    }
}
