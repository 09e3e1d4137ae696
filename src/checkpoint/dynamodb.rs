//! What detection remembers in DynamoDB, in a table of its own beside that of the leases: each process has a book of
//! entries, and takes up those that others have left behind, each of them once.
//!
//! ```text
//! book = "owners", part = <book>      holder, worker, renewed, released     who has it
//! book = <book>,   part = e<key>      the entry, compressed                 or which pieces it is in
//! book = <book>,   part = p<key>-...  a piece of a large one
//! ```
//!
//! A save writes what has changed, an item an entry, and then renews the owner on the condition that it is the holder
//! still: only then is anything committed behind it. Whoever takes a book for left behind makes itself the holder, on the
//! condition that the owner stands as it was seen; takes in the entries; has them durable in its own book; and deletes the
//! old one. A crash in between leaves both, and what is taken in twice counts once. A holder that lives all the same
//! learns it from its next save or renewal, and stores all that it remembers in a new book.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Turns;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Changes, CheckpointError, Entries, Heritage, Kept, Outgoing};
use crate::aws::Access;
use crate::detect::state;
use crate::lease::WorkerId;
use crate::lease::dynamodb::setup::{self, Kind, Wanted};
use crate::sink::retry::Causes;
use crate::source::BoxFuture;

mod calls;
mod item;
mod watch;

use calls::{Calls, Write, refused};
use item::{Reading, attribute};
use watch::{Looker, Watch};

/// What stands behind the lease table's name.
pub(crate) const SUFFIX: &str = "-detection";

/// The table's key.
pub(crate) const KIND: Kind =
    Kind { name: "table of what detection remembers", keys: &[attribute::BOOK, attribute::PART] };

/// Parts of the failover time in which a holder renews: as the leases have it.
const RENEWALS: u32 = 3;

/// The longest time between two looks for what others have left behind: a worker that stops is followed soon.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// Entries that are written together, in bytes: what is under way beside what is remembered.
const TOGETHER: usize = 4 << 20;

/// Where what is remembered is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The lease table's name.
    pub leases: String,
    /// Whether to make the table if it is not there, paid by request.
    pub create: bool,
    /// How to reach the service.
    pub access: Access,
    /// How long a process may stand still until others take up what it has remembered.
    pub failover: Duration,
}

/// The books of all processes, with one of this one's own.
#[derive(Debug)]
pub struct Books {
    calls: Calls,
    worker: WorkerId,
    failover: Duration,
    own: Turns<Own>,
    held: Arc<Mutex<Held>>,
    watch: Mutex<Watch>,
    /// Renews what is held, until this is dropped.
    _renewing: JoinSet<()>,
}

/// This process's book, in the hands of whoever writes it.
#[derive(Debug, Default)]
struct Own {
    /// By the key of an entry in pieces: its edition, and how many.
    cut: HashMap<Vec<u8>, (u64, usize)>,
    editions: u64,
    /// Books that others took although this process lives; what it still wrote there is of no use.
    taken: Vec<String>,
}

/// What this process holds.
#[derive(Debug)]
struct Held {
    /// Its own book.
    book: String,
    /// Whether that is in the table.
    is_begun: bool,
    /// Whether another has taken it.
    is_lost: bool,
    /// Books that are being taken up, with the holder that they know.
    claimed: Vec<(String, String)>,
}

/// A key, and its value unless it is gone.
type Change<'c> = (&'c Vec<u8>, &'c Option<Vec<u8>>);

/// A book's name: no other has it.
fn new_name() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it holds is whole even if a thread panicked beside it.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Books {
    /// Finds the table, or makes it if the settings say so.
    ///
    /// # Errors
    /// What is missing or wrong, and the way out; [`CheckpointError::Retry`] if the same may work later.
    pub async fn connect(settings: &Settings, worker: WorkerId) -> Result<Self, CheckpointError> {
        let table = format!("{}{SUFFIX}", settings.leases);
        let (client, region) = match crate::lease::dynamodb::client(&settings.access).await {
            Ok(made) => made,
            Err(error) => {
                let advice = error.to_string();
                return Err(CheckpointError::Fatal { store: table, advice, source: None });
            }
        };
        let wanted = Wanted {
            kind: KIND,
            table: &table,
            create: settings.create,
            region: region.as_deref(),
            endpoint_url: settings.access.endpoint_url.as_deref(),
        };
        Box::pin(setup::ensure(&client, wanted)).await.map_err(refused)?;
        let calls = Calls { client, table };
        let held = Held { book: new_name(), is_begun: false, is_lost: false, claimed: Vec::new() };
        let held = Arc::new(Mutex::new(held));
        let mut renewing = JoinSet::new();
        renewing.spawn(renew(calls.clone(), Arc::clone(&held), settings.failover / RENEWALS));
        Ok(Self {
            calls,
            worker,
            failover: settings.failover,
            own: Turns::default(),
            held,
            watch: Mutex::default(),
            _renewing: renewing,
        })
    }

    /// A new book in the place of one that another has taken.
    fn turn_over(&self, own: &mut Own) {
        let mut held = lock(&self.held);
        let taken = std::mem::replace(&mut held.book, new_name());
        (held.is_begun, held.is_lost) = (false, false);
        warn!(
            table = self.calls.table,
            book = taken,
            "another worker took what detection remembers here for left behind; it is stored anew, and nothing of it is lost"
        );
        own.taken.push(taken);
        own.cut.clear();
    }

    async fn store(&self, changes: &Changes) -> Result<Kept, CheckpointError> {
        let mut own = self.own.lock().await;
        let (book, is_begun, is_lost) = {
            let held = lock(&self.held);
            (held.book.clone(), held.is_begun, held.is_lost)
        };
        if is_lost {
            self.turn_over(&mut own);
            return Ok(Kept::Nothing);
        }
        if !is_begun {
            self.calls.begin(&book, self.worker.as_str()).await?;
            lock(&self.held).is_begun = true;
        }
        for turn in 0..=2 {
            let is_of_turn = |(key, value): &Change<'_>| state::turn(key, value.is_none()) == turn;
            let of_turn: Vec<Change<'_>> = changes.iter().filter(is_of_turn).collect();
            self.write(&mut own, &book, &of_turn).await?;
        }
        if !self.calls.renew(&book, &book, false).await? {
            self.turn_over(&mut own);
            return Ok(Kept::Nothing);
        }
        while let Some(taken) = own.taken.last() {
            if let Err(error) = self.calls.empty(taken).await {
                warn!(error = %Causes(&error), "what was stored before cannot be deleted yet");
                break;
            }
            own.taken.pop();
        }
        Ok(Kept::Changes)
    }

    /// Writes changes, some at a time.
    async fn write(&self, own: &mut Own, book: &str, changes: &[Change<'_>]) -> Result<(), CheckpointError> {
        let mut changes = changes.iter().peekable();
        while changes.peek().is_some() {
            let (mut bytes, mut pieces, mut entries, mut cut) = (0, Vec::new(), Vec::new(), Vec::new());
            while bytes < TOGETHER
                && let Some(&(key, value)) = changes.next()
            {
                let now = match value {
                    None => {
                        entries.push(Write::Delete(item::key_of(book, &item::place(key))));
                        None
                    }
                    Some(value) => {
                        bytes += value.len();
                        own.editions += 1;
                        let written = item::written(book, key, value, own.editions);
                        let count = written.pieces.len();
                        entries.push(Write::Put(written.own));
                        pieces.extend(written.pieces.into_iter().map(Write::Put));
                        (count > 0).then_some((own.editions, count))
                    }
                };
                cut.push((key, now));
            }
            self.calls.write(pieces).await?;
            self.calls.write(entries).await?;
            // Nobody names the pieces of before any more.
            let mut useless = Vec::new();
            for (key, now) in cut {
                let before = match now {
                    Some(now) => own.cut.insert(key.clone(), now),
                    None => own.cut.remove(key),
                };
                if let Some((edition, count)) = before {
                    useless.extend(item::piece_keys(book, key, edition, count).map(Write::Delete));
                }
            }
            self.calls.write(useless).await?;
        }
        Ok(())
    }

    async fn take_up(&self, entries: Outgoing) -> Result<Heritage, CheckpointError> {
        let (book, is_lost, claimed) = {
            let held = lock(&self.held);
            (held.book.clone(), held.is_lost, held.claimed.clone())
        };
        if is_lost {
            self.turn_over(&mut *self.own.lock().await);
            return Ok(Heritage::Lost);
        }
        let mut owners = self.calls.owners().await?;
        owners.retain(|owner| claimed.iter().all(|(book, _)| *book != owner.book));
        let looker = Looker { book: &book, worker: self.worker.as_str(), failover: self.failover };
        let (free, is_doubtful) = lock(&self.watch).look(owners, looker, Instant::now());
        for owner in free {
            if self.calls.claim(&owner, &book, self.worker.as_str()).await? {
                let (left, by) = (owner.book, owner.worker);
                info!(
                    table = self.calls.table,
                    book = left,
                    worker = by,
                    "detection takes up what a worker remembered"
                );
                lock(&self.held).claimed.push((left, book.clone()));
            }
        }
        let claimed = lock(&self.held).claimed.clone();
        for (left, _) in &claimed {
            self.read(left, &entries).await?;
        }
        Ok(match (claimed.is_empty(), is_doubtful) {
            (false, _) => Heritage::Some,
            (true, true) => Heritage::Doubtful,
            (true, false) => Heritage::None,
        })
    }

    /// Hands over the entries of a book.
    async fn read(&self, book: &str, entries: &Outgoing) -> Result<(), CheckpointError> {
        let (mut reading, mut from) = (Reading::default(), None);
        loop {
            let (items, next) = self.calls.page(book, false, from).await?;
            let whole: Vec<_> = items.iter().filter_map(|item| reading.take(item)).collect();
            let entries = entries.clone();
            // Whoever takes them may be slower.
            let handed =
                tokio::task::spawn_blocking(move || whole.into_iter().all(|entry| entries.send(entry).is_ok()));
            from = next;
            if !handed.await.unwrap_or_default() || from.is_none() {
                return Ok(());
            }
        }
    }

    async fn end_claimed(&self) -> Result<(), CheckpointError> {
        loop {
            let Some((book, holder)) = lock(&self.held).claimed.last().cloned() else { return Ok(()) };
            self.calls.end(&book, &holder).await?;
            lock(&self.held).claimed.retain(|(claimed, _)| *claimed != book);
        }
    }

    async fn let_go(&self) -> Result<(), CheckpointError> {
        // Whoever still saves comes first.
        let _own = self.own.lock().await;
        let (own, claimed) = {
            let mut held = lock(&self.held);
            let own = (held.is_begun && !held.is_lost).then(|| held.book.clone());
            (own, std::mem::take(&mut held.claimed))
        };
        let own = own.into_iter().map(|book| (book.clone(), book));
        for (book, holder) in claimed.into_iter().chain(own) {
            self.calls.renew(&book, &holder, true).await?;
        }
        Ok(())
    }
}

/// Renews what is held.
async fn renew(calls: Calls, held: Arc<Mutex<Held>>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let (own, claimed) = {
            let held = lock(&held);
            ((held.is_begun && !held.is_lost).then(|| held.book.clone()), held.claimed.clone())
        };
        let own = own.into_iter().map(|book| (book.clone(), book));
        for (book, holder) in own.chain(claimed) {
            match calls.renew(&book, &holder, false).await {
                Ok(true) => {}
                Ok(false) => {
                    let mut held = lock(&held);
                    held.is_lost |= held.book == book;
                    held.claimed.retain(|(claimed, _)| *claimed != book);
                }
                Err(error) => warn!(error = %Causes(&error), "cannot renew the hold on what detection remembers"),
            }
        }
    }
}

impl Entries for Books {
    fn recall(&self, _: Outgoing) -> BoxFuture<'_, Result<(), CheckpointError>> {
        // A new process has a new book, and what it had before is what another has left behind.
        Box::pin(std::future::ready(Ok(())))
    }

    fn remember(&self, changes: Arc<Changes>) -> BoxFuture<'_, Result<Kept, CheckpointError>> {
        Box::pin(async move { self.store(&changes).await })
    }

    fn pace(&self) -> Duration {
        self.failover / RENEWALS
    }

    fn looks(&self) -> Option<Duration> {
        Some((self.failover / RENEWALS).min(LONGEST_LOOK))
    }

    fn inherit(&self, entries: Outgoing) -> BoxFuture<'_, Result<Heritage, CheckpointError>> {
        Box::pin(self.take_up(entries))
    }

    fn inherited(&self) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(self.end_claimed())
    }

    fn release(&self) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(self.let_go())
    }
}
