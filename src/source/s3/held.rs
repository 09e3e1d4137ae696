//! Held messages: those that are worked on, hidden from other receivers for as long as that lasts. A task of its own asks
//! for more time and deletes; nothing that waits for sinks or memory holds it up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

use super::error::{CallError, Policy};
use super::queue::{MAX_MESSAGES, Queue};
use crate::source::kinesis::pace::Backoff;

/// Of the time for which messages are hidden, the part that passes before more is asked for. What fails is tried again
/// after a quarter of that: seven times before the time is over.
const RENEWALS: u32 = 3;

/// Tries to give a message back. It comes back by itself, only later.
const GIVE_BACK_TRIES: u32 = 3;

/// Messages that are held, and the queue that they are of. Cheap to clone.
#[derive(Clone)]
pub(super) struct Held {
    queue: Queue,
    visibility: Duration,
    renewals: Arc<Mutex<Renewals>>,
    deletions: mpsc::Sender<Deletion>,
}

#[derive(Default)]
struct Renewals {
    next_id: u64,
    messages: BTreeMap<u64, Renewal>,
    /// Messages that could not be held until their work ended.
    lost: u64,
}

struct Renewal {
    handle: Arc<str>,
    due: Instant,
}

struct Deletion {
    handle: Arc<str>,
    done: oneshot::Sender<()>,
}

/// One message. It is held until this is dropped.
pub(super) struct Hold {
    id: u64,
    handle: Arc<str>,
    held: Held,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.lock().messages.remove(&self.id);
    }
}

impl Held {
    /// Holds messages of the queue, each hidden for `visibility` at a time. The future renews and deletes, for as long as
    /// it runs; it never ends.
    pub(super) fn new(queue: Queue, visibility: Duration) -> (Self, impl Future<Output = ()> + Send) {
        // Whoever deletes waits for it, so there are no more than messages are worked on.
        let (deletions, requests) = mpsc::channel(MAX_MESSAGES);
        let held = Self { queue, visibility, renewals: Arc::default(), deletions };
        let keeper = held.clone();
        let keep = async move {
            tokio::join!(keeper.renew(), delete(&keeper.queue, requests));
        };
        (held, keep)
    }

    fn lock(&self) -> MutexGuard<'_, Renewals> {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a message that was received at this time.
    pub(super) fn hold(&self, handle: String, received: Instant) -> Hold {
        let handle = Arc::<str>::from(handle);
        let renewal = Renewal { handle: Arc::clone(&handle), due: received + self.visibility / RENEWALS };
        let mut renewals = self.lock();
        let id = renewals.next_id;
        renewals.next_id += 1;
        renewals.messages.insert(id, renewal);
        Hold { id, handle, held: self.clone() }
    }

    /// Messages that could not be held until their work ended.
    pub(super) fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// Asks for more time for each message when a third of its time has passed.
    async fn renew(&self) {
        loop {
            let now = Instant::now();
            let due: Vec<(u64, Arc<str>)> = {
                let renewals = self.lock();
                let due = renewals.messages.iter().filter(|(_, renewal)| renewal.due <= now);
                due.map(|(id, renewal)| (*id, Arc::clone(&renewal.handle))).take(MAX_MESSAGES).collect()
            };
            if due.is_empty() {
                // Nothing becomes due in less than a third of the time after it was received.
                let next = self.lock().messages.values().map(|renewal| renewal.due).min();
                let latest = now + self.visibility / (2 * RENEWALS);
                sleep_until(next.map_or(latest, |next| next.min(latest))).await;
                continue;
            }
            let handles: Vec<&str> = due.iter().map(|(_, handle)| &**handle).collect();
            let verdicts = self.queue.hide(&handles, self.visibility).await;
            let mut failed: Option<CallError> = None;
            {
                let mut renewals = self.lock();
                for ((id, _), verdict) in due.iter().zip(verdicts) {
                    // Those whose work has ended meanwhile are nobody's concern.
                    let Some(renewal) = renewals.messages.get_mut(id) else { continue };
                    match verdict {
                        Ok(()) => renewal.due = now + self.visibility / RENEWALS,
                        Err(error) if error.policy == Policy::Lost => {
                            renewals.messages.remove(id);
                            renewals.lost += 1;
                            warn!(%error, "a message cannot be held any longer: its objects may be read by others too");
                        }
                        Err(error) => {
                            renewal.due = Instant::now() + self.visibility / (4 * RENEWALS);
                            failed = Some(error);
                        }
                    }
                }
            }
            if let Some(error) = failed {
                warn!(%error, advice = error.advice(), "messages cannot be held, trying again");
            }
        }
    }
}

impl Hold {
    /// Deletes the message, once all of it is delivered. Returns when it is gone from the queue, or was not this
    /// receiver's any more.
    pub(super) async fn delete(self) {
        let (done, deleted) = oneshot::channel();
        let deletion = Deletion { handle: Arc::clone(&self.handle), done };
        if self.held.deletions.send(deletion).await.is_ok() {
            let _ = deleted.await;
        }
    }

    /// Gives the message back: others receive it at once.
    pub(super) async fn give_back(self) {
        // What is given back is not to be renewed behind that.
        self.held.lock().messages.remove(&self.id);
        let mut backoff = Backoff::brief();
        for _ in 0..GIVE_BACK_TRIES {
            let verdicts = self.held.queue.hide(&[&self.handle], Duration::ZERO).await;
            match verdicts.into_iter().next() {
                Some(Err(error)) if error.policy == Policy::Retry => {
                    debug!(%error, "a message cannot be given back, trying again");
                    sleep(backoff.wait()).await;
                }
                _ => return,
            }
        }
    }
}

/// Deletes what is asked for, together what is asked for while another call is on its way.
async fn delete(queue: &Queue, mut requests: mpsc::Receiver<Deletion>) {
    let (mut pending, mut backoff, mut slow): (Vec<Deletion>, _, _) = (Vec::new(), Backoff::brief(), Backoff::slow());
    loop {
        if pending.is_empty() {
            match requests.recv().await {
                Some(deletion) => pending.push(deletion),
                None => return,
            }
        }
        while pending.len() < MAX_MESSAGES
            && let Ok(deletion) = requests.try_recv()
        {
            pending.push(deletion);
        }
        let handles: Vec<&str> = pending.iter().map(|deletion| &*deletion.handle).collect();
        let verdicts = queue.delete(&handles).await;
        let tried = std::mem::take(&mut pending);
        let mut failed: Option<CallError> = None;
        for (deletion, verdict) in tried.into_iter().zip(verdicts) {
            match verdict {
                Err(error) if error.policy != Policy::Lost => {
                    failed = Some(error);
                    pending.push(deletion);
                }
                // A handle that has expired is no error: whoever has the message now finds its events delivered again.
                _ => drop(deletion.done.send(())),
            }
        }
        let Some(error) = failed else {
            backoff.reset();
            slow.reset();
            continue;
        };
        let wait = if error.policy == Policy::Held { slow.wait() } else { backoff.wait() };
        warn!(%error, advice = error.advice(), "messages whose objects are delivered cannot be deleted, trying again");
        sleep(wait).await;
    }
}
