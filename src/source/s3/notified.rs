//! Objects that a queue tells of: messages are received as there is room for their objects, and deleted when all of those
//! are delivered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::choice::Choice;
use super::error::{CallError, Policy};
use super::held::{Held, Hold};
use super::message::{Counts, End, State, Work};
use super::object::Objects;
use super::queue::{self, MAX_MESSAGES, Queue, Received};
use crate::aws::{Access, AccessError};
use crate::budget::Budget;
use crate::delivery::{LaneError, Lanes};
use crate::source::kinesis::pace::Backoff;

/// How long messages may be deleted and given back once the drain deadline has passed: less than tasks get to end then.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// What is read, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How to reach S3.
    pub access: Access,
    /// The queue.
    pub queue: queue::Settings,
    /// Which objects are read.
    pub choice: Choice,
    /// Messages that are worked on at a time, each with one object at a time.
    pub concurrency: usize,
    /// How long a message is hidden from others at a time; it is made longer for as long as the message is worked on.
    pub visibility: Duration,
    /// How long a stop may take; objects are read on for half of it.
    pub drain: Duration,
    /// The bytes that a record may have after inflating; see [`crate::pipeline::Limits`].
    pub max_inflated_bytes: usize,
}

/// Reads what a queue tells of.
pub struct Notified {
    settings: Settings,
    objects: Objects,
    queue: Queue,
}

impl Notified {
    /// Finds Regions and credentials.
    ///
    /// # Errors
    /// What is missing or wrong, and where to set it.
    pub async fn connect(settings: Settings) -> Result<Self, AccessError> {
        let objects = Box::pin(Objects::connect(&settings.access)).await?;
        let queue = Box::pin(Queue::connect(&settings.queue)).await?;
        Ok(Self { settings, objects, queue })
    }

    /// Receives and reads until `stop`. Objects have no position to come back to: `lanes` has a store that forgets.
    ///
    /// # Errors
    /// The first error of a lane that ends the process, once those that were running beside it have ended.
    pub async fn run(self, lanes: Arc<dyn Lanes>, budget: Budget, stop: CancellationToken) -> Result<(), LaneError> {
        let Self { settings, objects, queue } = self;
        let Settings { choice, concurrency, visibility, drain, max_inflated_bytes, .. } = settings;
        let (held, keep) = Held::new(queue.clone(), visibility);
        let mut keeper = JoinSet::new();
        keeper.spawn(keep);
        let work = Work {
            objects,
            choice,
            lanes,
            budget,
            max_inflated_bytes,
            stop,
            halt: CancellationToken::new(),
            state: std::sync::Mutex::new(State::default()),
        };
        let url = settings.queue.url;
        let receiver =
            Receiver { work: Arc::new(work), queue, held, visibility, url, working: JoinSet::new(), first: Ok(()) };
        receiver.run(concurrency.max(1), drain).await
    }
}

/// Receives messages, and owns the tasks that work on them.
struct Receiver {
    work: Arc<Work>,
    queue: Queue,
    held: Held,
    visibility: Duration,
    url: String,
    working: JoinSet<Result<(), LaneError>>,
    first: Result<(), LaneError>,
}

impl Receiver {
    async fn run(mut self, concurrency: usize, drain: Duration) -> Result<(), LaneError> {
        let stop = self.work.stop.clone();
        let looking = look_for_redrive(&self.queue, &self.url);
        if stop.run_until_cancelled(looking).await.is_some() {
            self.receive_all(Arc::new(Semaphore::new(concurrency))).await;
        }
        self.end(drain).await;
        let Counts { messages, objects, skipped, others, unreadable, failed, given_back } =
            self.work.state().counts.clone();
        let lost = self.held.lost();
        info!(
            messages,
            objects,
            ?skipped,
            others,
            unreadable,
            ?failed,
            given_back,
            lost,
            "messages of the queue, and the objects that they told of"
        );
        self.first
    }

    /// Receives until the stop, never more than there is room for.
    async fn receive_all(&mut self, slots: Arc<Semaphore>) {
        let stop = self.work.stop.clone();
        let (mut brief, mut slow) = (Backoff::brief(), Backoff::slow());
        loop {
            while let Some(ended) = self.working.try_join_next() {
                self.note(ended);
            }
            let Some(Ok(slot)) = stop.run_until_cancelled(Arc::clone(&slots).acquire_owned()).await else { return };
            let more = std::iter::from_fn(|| Arc::clone(&slots).try_acquire_owned().ok());
            let room: Vec<_> = std::iter::once(slot).chain(more.take(MAX_MESSAGES - 1)).collect();
            let receiving = self.queue.receive(room.len(), self.visibility);
            let Some(received) = stop.run_until_cancelled(receiving).await else { return };
            let error = match received {
                Ok(messages) => {
                    brief.reset();
                    slow.reset();
                    let at = Instant::now();
                    messages.into_iter().zip(room).for_each(|(message, slot)| self.begin(message, at, slot));
                    continue;
                }
                Err(error) => error,
            };
            drop(room);
            let wait = if error.policy == Policy::Held { slow.wait() } else { brief.wait() };
            // What passes by itself is not worth a word at once.
            if error.policy == Policy::Held || brief.tries() > 2 {
                warn!(queue = self.url, %error, advice = error.advice(), "nothing can be received, trying again");
            }
            if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// Begins to work on a message.
    fn begin(&mut self, Received { body, handle }: Received, received: Instant, slot: OwnedSemaphorePermit) {
        let (work, hold) = (Arc::clone(&self.work), self.held.hold(handle, received));
        self.work.state().counts.messages += 1;
        self.working.spawn(async move {
            // Until it is deleted: where nothing can be deleted, no more is received.
            let _slot = slot;
            let ended = work.message(&body).await;
            drop(body);
            if ended.is_err() {
                work.stop.cancel();
            }
            conclude(&work, hold, ended).await
        });
    }

    fn note(&mut self, ended: Result<Result<(), LaneError>, JoinError>) {
        let Err(error) = ended.unwrap_or_else(|_| Err(LaneError::Panicked { origin: "an object".to_owned() })) else {
            return;
        };
        self.work.stop.cancel();
        self.work.halt.cancel();
        if self.first.is_ok() {
            self.first = Err(error);
        }
    }

    /// Lets what is worked on come to its end, for half of the time, and then stops it.
    async fn end(&mut self, drain: Duration) {
        let stopped = Instant::now();
        let (halt, last) = (stopped + drain / 2, stopped + drain + LAST_CALLS);
        loop {
            tokio::select! {
                biased;
                ended = self.working.join_next() => match ended {
                    None => return,
                    Some(ended) => self.note(ended),
                },
                () = sleep_until(halt), if !self.work.halt.is_cancelled() => self.work.halt.cancel(),
                () = sleep_until(last) => {
                    let messages = self.working.len();
                    warn!(messages, "ending with messages that are neither deleted nor given back: they come again");
                    return;
                }
            }
        }
    }
}

/// Does what the end of a message calls for.
async fn conclude(work: &Work, hold: Hold, ended: Result<End, LaneError>) -> Result<(), LaneError> {
    match ended {
        Ok(End::Done) => hold.delete().await,
        // Its time runs out, and the queue counts that it was received.
        Ok(End::Left) => drop(hold),
        Ok(End::Stopped) => {
            work.state().counts.given_back += 1;
            hold.give_back().await;
        }
        Err(error) => {
            hold.give_back().await;
            return Err(error);
        }
    }
    Ok(())
}

/// Warns where nothing takes away the messages that cannot be worked on.
async fn look_for_redrive(queue: &Queue, url: &str) {
    match queue.has_redrive().await {
        Ok(true) => {}
        Ok(false) => {
            let advice = "set a RedrivePolicy with a dead-letter queue";
            warn!(queue = url, advice, "messages whose objects cannot be read come again until the queue drops them");
        }
        Err(error @ CallError { policy: Policy::Held, .. }) => {
            info!(queue = url, %error, advice = error.advice(), "whether the queue has a redrive policy is not known");
        }
        Err(error) => debug!(queue = url, %error, "whether the queue has a redrive policy is not known"),
    }
}
