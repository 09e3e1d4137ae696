//! A tenure: a lease from the moment that this worker goes for it until it is someone else's, or ended. It is a task of
//! its own, so that nothing that holds up a lane holds up a renewal. The lane's commits are folded into the renewals:
//! one write in the time between two, whatever is delivered; at the end of a shard, at a stop and while handing over, a
//! commit is written at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use super::held::{Announce, Ask, Commit};
use super::protocol::{Answer, Change, Update, Verdict, as_stored, commits, is_promised, judge, judge_first};
use super::table::{Table, TableError};
use super::view::Timing;
use super::{Lease, LeaseKey, WorkerId};
use crate::checkpoint::Stored;
use crate::record::Position;
use crate::sink::retry::Backoff;
use crate::source::kinesis::poll::margin_before;

/// Writes that are under way at a time: a start or a stop with thousands of leases opens no thousands of connections.
const CONCURRENT_WRITES: usize = 64;

/// How long a lease may take to be released. If the table does not answer by then, others wait for its expiry; this
/// worker, which may be stopping, does not.
const RELEASE_PATIENCE: Duration = Duration::from_secs(2);

/// What all tenures of a worker share. Cheap to clone.
#[derive(Clone)]
pub struct Keeper {
    table: Arc<dyn Table>,
    me: WorkerId,
    timing: Timing,
    writes: Arc<Semaphore>,
    /// No warning about the table before this: all leases meet the same trouble.
    warn_at: Arc<Mutex<Instant>>,
}

/// How a worker comes by a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nobody holds it.
    Take,
    /// This worker holds it, who is asked for it.
    Ask(WorkerId),
    /// It is promised already, by whoever assigns leases.
    Await,
}

/// A lease that was just taken.
#[derive(Debug)]
pub struct Taken {
    /// The row as it was written.
    pub lease: Lease,
    /// Just before the write was sent: others may count from here.
    pub sent: Instant,
}

/// How a tenure ended, with the row as it was last seen.
#[derive(Debug)]
pub enum End {
    /// Another worker was faster, or the row is gone.
    NotTaken(Option<Lease>),
    /// The shard is delivered to its end, and the row says so.
    Ended(Lease),
    /// The lease was handed over or released.
    GivenUp(Lease),
    /// Another worker took it, or it could not be renewed in time.
    Lost,
    /// The table cannot be used at all.
    Failed(TableError),
}

impl Keeper {
    /// What a worker's tenures share.
    pub fn new(table: Arc<dyn Table>, me: WorkerId, timing: Timing) -> Self {
        let writes = Arc::new(Semaphore::new(CONCURRENT_WRITES));
        Self { table, me, timing, writes, warn_at: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Goes for a lease; returns once it is taken.
    ///
    /// # Errors
    /// How it ended before it began.
    pub async fn obtain(&self, lease: Lease, claim: Claim, stop: &CancellationToken) -> Result<Taken, End> {
        let lease = match claim {
            Claim::Take => lease,
            Claim::Ask(holder) => {
                let lease = self.ask(lease, holder).await?;
                self.handed_over(lease, stop).await?
            }
            Claim::Await => self.handed_over(lease, stop).await?,
        };
        let taken = self.must(&lease, Change::Take { owner: self.me.clone() }).await?;
        if taken.lease.position != Position::Latest {
            return Ok(taken);
        }
        // "From now on" is a time from here on: whoever reads on after this worker begins there as well.
        let now = margin_before(Timestamp::now());
        // A row holds milliseconds, and what is read there is compared with what was written.
        let position = Timestamp::from_millisecond(now.as_millisecond()).ok().map(Position::AtTimestamp);
        self.must(&taken.lease, Change::Renew { position }).await
    }

    /// Writes what a tenure cannot begin without.
    async fn must(&self, lease: &Lease, change: Change) -> Result<Taken, End> {
        let deadline = Instant::now() + self.timing.failover;
        match self.write(&self.update(lease, change), deadline).await? {
            (Verdict::Done(lease), sent) => Ok(Taken { lease, sent }),
            (Verdict::Asked(row), _) => Err(End::NotTaken(Some(row))),
            (Verdict::Lost(row), _) => Err(End::NotTaken(row)),
        }
    }

    /// Asks the holder for a lease.
    async fn ask(&self, lease: Lease, holder: WorkerId) -> Result<Lease, End> {
        info!(lease = %lease.key, %holder, "asking for a lease");
        let update = self.update(&lease, Change::Ask { owner: self.me.clone(), draining: holder });
        // Tried once: the next round decides anew.
        let call = async {
            let _permit = self.writes.acquire().await;
            self.table.update(update).await
        };
        let answer = match timeout_at(Instant::now() + self.timing.failover, call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(unusable @ TableError::Unusable { .. })) => return Err(End::Failed(unusable)),
            // If it was applied, the next look at the table finds the promise.
            Ok(Err(error)) => {
                self.complain(&lease.key, &error, "a lease cannot be asked for");
                return Err(End::NotTaken(None));
            }
            Err(_) => return Err(End::NotTaken(None)),
        };
        let is_mine = is_promised(&self.me, &answer);
        let (Answer::Applied(row) | Answer::Refused(Some(row))) = answer else {
            return Err(End::NotTaken(None));
        };
        if is_mine { Ok(row) } else { Err(End::NotTaken(Some(row))) }
    }

    /// Waits until whoever drains a lease has handed it over, or has taken too long.
    async fn handed_over(&self, mut lease: Lease, stop: &CancellationToken) -> Result<Lease, End> {
        let (asked, mut stopped) = (Instant::now(), false);
        // One that stops waits for the holder's next renewal only, to leave the lease free and not its own.
        let mut deadline = asked + self.timing.handoff;
        loop {
            let pause = tokio::time::sleep(self.timing.watch());
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopped => {
                    stopped = true;
                    deadline = deadline.min(Instant::now() + self.timing.renewal() + self.timing.watch());
                }
                () = pause => {}
            }
            match self.table.get(lease.key.clone()).await {
                // What is older than the promise, which left the counter as it was, is no news.
                Ok(Some(row)) if row.counter > lease.counter || row.owner == lease.owner => lease = row,
                Ok(Some(_)) => {}
                Ok(None) => return Err(End::NotTaken(None)),
                Err(unusable @ TableError::Unusable { .. }) => return Err(End::Failed(unusable)),
                Err(error) => self.complain(&lease.key, &error, "a look at a lease failed"),
            }
            if lease.owner.as_ref() != Some(&self.me) || lease.is_ended() {
                return Err(End::NotTaken(Some(lease)));
            }
            if stopped && lease.draining.is_none() {
                return Err(self.release(lease, None).await);
            }
            if lease.draining.is_none() {
                return Ok(lease);
            }
            if Instant::now() >= deadline {
                if stopped {
                    return Err(End::Lost);
                }
                warn!(lease = %lease.key, "the lease was not handed over in time, taking it");
                return Ok(lease);
            }
        }
    }

    /// Holds a lease while its lane runs. `halt` stops the lane's reading; `stop` says that the worker stops. Gives what
    /// the lane came to, unless the lease was lost before.
    pub async fn hold<T>(
        &self,
        taken: Taken,
        mut asks: mpsc::Receiver<Ask>,
        halt: &CancellationToken,
        stop: &CancellationToken,
        mut lane: AbortOnDropHandle<T>,
    ) -> (Option<Result<T, JoinError>>, End) {
        let mut holding = Holding {
            keeper: self,
            // The renewals of leases that were taken together are spread over the time between two.
            due: taken.sent + self.timing.renewal().mul_f64(spread(&taken.lease)),
            deadline: taken.sent + self.timing.failover,
            lease: taken.lease,
            pending: None,
            announced: None,
            is_asked: false,
            is_released: false,
        };
        let mut is_flushed = false;
        let result = loop {
            tokio::select! {
                biased;
                result = &mut lane => break result,
                ask = asks.recv() => match ask {
                    Some(ask) => holding.accept(ask),
                    // Another tenure leads the partition's commits: this one is over.
                    None => return (None, End::Lost),
                },
                () = sleep_until(holding.due), if !holding.is_asked && !holding.is_released => {}
                () = stop.cancelled(), if !is_flushed => is_flushed = true,
            }
            if let Err(end) = holding.write_what_is_due(is_flushed, halt).await {
                return (None, end);
            }
        };
        let end = if holding.is_released {
            End::Ended(holding.lease)
        } else {
            let holder = holding.is_asked.then(|| self.me.clone());
            self.release(holding.lease, holder).await
        };
        (Some(result), end)
    }

    /// Gives up a lease that was taken and is not read.
    pub async fn give_up(&self, taken: Taken) -> End {
        self.release(taken.lease, None).await
    }

    /// Gives a lease up: hands it over if it was asked for, and leaves it free otherwise.
    async fn release(&self, mut lease: Lease, draining: Option<WorkerId>) -> End {
        let mut is_asked = draining.is_some();
        let deadline = Instant::now() + RELEASE_PATIENCE;
        loop {
            let change = match is_asked {
                true => Change::HandOver { position: None },
                false => Change::Release { position: None },
            };
            match self.write(&self.update(&lease, change), deadline).await {
                Ok((Verdict::Done(row), _)) => return End::GivenUp(row),
                Ok((Verdict::Asked(row), _)) if !is_asked => (lease, is_asked) = (row, true),
                Ok(_) => return End::Lost,
                Err(end) => return end,
            }
        }
    }

    fn update(&self, lease: &Lease, change: Change) -> Update {
        Update { key: lease.key.clone(), counter: lease.counter, change }
    }

    /// Writes until the table answers, the deadline passes, or the table cannot be used. Gives what the answer means, and
    /// when the first try was sent: which of several tries was applied is not known.
    async fn write(&self, update: &Update, deadline: Instant) -> Result<(Verdict, Instant), End> {
        let (mut backoff, mut first, mut tries) = (Backoff::default(), None, 0);
        loop {
            let call = async {
                let _permit = self.writes.acquire().await;
                first.get_or_insert_with(Instant::now);
                self.table.update(update.clone()).await
            };
            let error = match timeout_at(deadline, call).await {
                Ok(Ok(answer)) => {
                    let sent = first.unwrap_or_else(Instant::now);
                    let judge = if tries == 0 { judge_first } else { judge };
                    return Ok((judge(&self.me, update, answer), sent));
                }
                Ok(Err(unusable @ TableError::Unusable { .. })) => return Err(End::Failed(unusable)),
                Ok(Err(error)) => error,
                Err(_) => {
                    if self.may_warn() {
                        warn!(lease = %update.key, "the lease table does not answer in time, leases are given up");
                    }
                    return Err(End::Lost);
                }
            };
            tries += 1;
            if tries > 3 || matches!(error, TableError::Denied { .. }) {
                self.complain(&update.key, &error, "leases cannot be written, trying again");
            }
            let wait = backoff.next_wait().min(self.timing.renewal() / 4);
            sleep_until((Instant::now() + wait).min(deadline)).await;
        }
    }
}

impl Keeper {
    /// Says what is wrong with the table: aloud, but not for each lease.
    pub fn complain(&self, lease: &LeaseKey, error: &TableError, what: &str) {
        if self.may_warn() {
            warn!(%lease, %error, "{what}");
        } else {
            debug!(%lease, %error, "{what}");
        }
    }

    fn may_warn(&self) -> bool {
        let mut warn_at = self.warn_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let may = *warn_at <= now;
        if may {
            *warn_at = now + self.timing.renewal();
        }
        may
    }
}

/// A lease that is held.
struct Holding<'a> {
    keeper: &'a Keeper,
    lease: Lease,
    /// When the next renewal is due.
    due: Instant,
    /// When the lease counts as lost if no write is applied before.
    deadline: Instant,
    /// A commit that the table does not have yet.
    pending: Option<Commit>,
    /// An announcement that the table does not have yet.
    announced: Option<Announce>,
    /// Another worker has asked for the lease.
    is_asked: bool,
    /// The end of the shard is written, and the lease let go with it.
    is_released: bool,
}

impl Holding<'_> {
    /// Takes on what the lane asks for; what is newer takes the place of what nobody waits for any more.
    fn accept(&mut self, ask: Ask) {
        let mut commit = match ask {
            Ask::Commit(commit) => commit,
            Ask::Announce(mut announce) => {
                announce.to = as_stored(announce.to);
                announce.position = announce.position.map(as_stored).filter(|position| commits(&self.lease, position));
                // It says all that a commit before it said.
                (self.pending, self.announced) = (None, Some(announce));
                return;
            }
            Ask::Look(reply) => {
                let (position, announced) = (Some(self.lease.position.clone()), self.lease.pending.clone());
                // Who asked may be gone.
                let _ = reply.send(Stored { position, announced });
                return;
            }
        };
        commit.position = as_stored(commit.position);
        if commits(&self.lease, &commit.position) {
            self.pending = Some(commit);
        } else {
            // The table has it, or more. Who asked may be gone.
            let _ = commit.reply.send(Ok(()));
        }
    }

    /// Writes a renewal that is due, and a commit that must not wait for one.
    async fn write_what_is_due(&mut self, is_stopping: bool, halt: &CancellationToken) -> Result<(), End> {
        loop {
            let position = self.pending.as_ref().map(|commit| commit.position.clone());
            let is_end = position == Some(Position::End);
            let announced = self.announced.as_ref();
            let is_urgent = announced.is_some() || position.is_some() && (is_end || is_stopping || self.is_asked);
            let is_due = !self.is_asked && !self.is_released && self.due <= Instant::now();
            let change = match position {
                _ if !is_urgent && !is_due => return Ok(()),
                _ if let Some(Announce { position, to, .. }) = announced => {
                    Change::Announce { position: position.clone(), to: to.clone() }
                }
                Some(_) if is_end && self.is_asked => Change::HandOver { position },
                Some(_) if is_end => Change::Release { position },
                Some(position) if self.is_asked => Change::Commit { position },
                position => Change::Renew { position },
            };
            let update = self.keeper.update(&self.lease, change);
            let (verdict, sent) = self.keeper.write(&update, self.deadline).await?;
            match verdict {
                Verdict::Done(row) => {
                    debug!(lease = %row.key, counter = row.counter, position = %row.position, "lease written");
                    self.lease = row;
                    self.is_released = is_end && self.announced.is_none();
                    (self.due, self.deadline) =
                        (sent + self.keeper.timing.renewal(), self.deadline.max(sent + self.keeper.timing.failover));
                    let announced = self.announced.take().map(|announce| announce.reply);
                    if let Some(reply) = announced.or_else(|| self.pending.take().map(|commit| commit.reply)) {
                        let _ = reply.send(Ok(()));
                    }
                }
                Verdict::Asked(row) => {
                    let by = row.owner.as_ref().map_or("", WorkerId::as_str);
                    info!(lease = %row.key, by, "asked to hand the lease over, draining");
                    self.lease = row;
                    self.is_asked = true;
                    // From here on nothing renews it: whoever waits decides how long.
                    self.deadline = Instant::now() + self.keeper.timing.handoff + self.keeper.timing.failover;
                    halt.cancel();
                }
                Verdict::Lost(_) => {
                    info!(lease = %self.lease.key, "the lease is another worker's");
                    return Err(End::Lost);
                }
            }
        }
    }
}

/// A part of 1 that is a lease's own.
fn spread(lease: &Lease) -> f64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    lease.key.hash(&mut hasher);
    // The upper half: a value of 32 bits is exact.
    f64::from((hasher.finish() >> 32) as u32) / f64::from(u32::MAX)
}
