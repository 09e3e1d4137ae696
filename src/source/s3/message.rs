//! A message of the queue: the objects that it tells of, read to their ends. It is done when all of them are delivered.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::choice::{Choice, Skip};
use super::notification::{self, Created, Notification};
use super::object::{Object, ObjectError, ObjectSource, Objects, Trouble};
use crate::budget::Budget;
use crate::delivery::{LaneEnd, LaneError, Lanes};
use crate::record::{Partition, ShardId};
use crate::source::SourceError;
use crate::source::kinesis::pace::Backoff;

/// The stream that partitions of objects belong to.
const STREAM: &str = "s3";

/// How long a message is held whose object nothing but a person can make readable, while no other object is read: those
/// that are held keep more from being received, and each that is received counts for the queue's redrive policy.
const PATIENCE: Duration = Duration::from_secs(300);

/// What S3 gave so shortly before tells, too, that it is an object by itself that is the trouble: a few that are denied
/// among many do not hold up the others. Where a right is taken away, what is received in this time is left to the queue.
const RECENTLY: Duration = Duration::from_secs(60);

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Everything that it tells of is delivered, or is not to be read: it is deleted.
    Done,
    /// It is left to the queue's redrive policy.
    Left,
    /// The process stops: it is given back.
    Stopped,
}

/// What became of messages and objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Messages that were received.
    pub(super) messages: u64,
    /// Objects that were delivered.
    pub(super) objects: u64,
    /// Objects that were not read.
    pub(super) skipped: BTreeMap<Skip, u64>,
    /// Events that tell of no new object, S3's test among them.
    pub(super) others: u64,
    /// Messages that are no notification.
    pub(super) unreadable: u64,
    /// Objects that could not be read, by what was wrong with them.
    pub(super) failed: BTreeMap<Trouble, u64>,
    /// Messages that were given back at the stop.
    pub(super) given_back: u64,
}

/// What a flight is told by: the object, and what tells this writing of it from others.
type Content = (Object, Option<String>);

type Flights = HashMap<Content, watch::Receiver<Option<End>>>;

/// Reads what messages tell of.
pub(super) struct Work {
    pub(super) objects: Objects,
    pub(super) choice: Choice,
    pub(super) lanes: Arc<dyn Lanes>,
    pub(super) budget: Budget,
    pub(super) max_inflated_bytes: usize,
    /// Cancelled: begin nothing more, and wait for nothing.
    pub(super) stop: CancellationToken,
    /// Cancelled: read on in no object.
    pub(super) halt: CancellationToken,
    pub(super) state: Mutex<State>,
}

/// What changes.
#[derive(Default)]
pub(super) struct State {
    pub(super) counts: Counts,
    /// Objects that are being read.
    flights: Flights,
    /// When S3 last gave an object, or said something of one that only who may read it is told.
    opened: Option<Instant>,
}

/// Ends a flight, whatever becomes of its leader.
struct Landing<'w> {
    work: &'w Work,
    content: Content,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.work.state().flights.remove(&self.content);
    }
}

impl Work {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all objects of a message with this text, one after the other.
    ///
    /// # Errors
    /// What ends the process: a sink that is gone, or a panic.
    pub(super) async fn message(&self, text: &str) -> Result<End, LaneError> {
        let created = match notification::read(text) {
            Ok(Notification::Test) => {
                debug!("S3 tried whether it may send");
                self.state().counts.others += 1;
                return Ok(End::Done);
            }
            Ok(Notification::Events { created, others }) => {
                self.state().counts.others += others as u64;
                created
            }
            Err(error) => {
                warn!(%error, "a message is no notification of S3: it is left to the queue's redrive policy");
                self.state().counts.unreadable += 1;
                return Ok(End::Left);
            }
        };
        // A message is patient once, however many objects it tells of.
        let (mut end, began) = (End::Done, Instant::now());
        for created in created {
            let Object { bucket, key, .. } = &created.object;
            if let Some(skip) = self.choice.skip(bucket, key, created.size) {
                debug!(object = %created.object, %skip, "an object is not read");
                *self.state().counts.skipped.entry(skip).or_default() += 1;
                continue;
            }
            match self.share(created, began).await? {
                End::Done => {}
                // What else the message tells of is delivered all the same.
                End::Left => end = End::Left,
                End::Stopped => return Ok(End::Stopped),
            }
        }
        Ok(end)
    }

    /// Reads an object, or waits for the end of who reads the same already. S3 tells some things twice.
    async fn share(&self, Created { object, sequencer, .. }: Created, began: Instant) -> Result<End, LaneError> {
        if object.version.is_none() && sequencer.is_none() {
            // It may have been written anew between two notifications.
            return self.object(&object, began).await;
        }
        let content = (object.clone(), sequencer);
        let (tell, told) = watch::channel(None);
        let other = {
            let flights = &mut self.state().flights;
            let other = flights.get(&content).cloned();
            if other.is_none() {
                flights.insert(content.clone(), told);
            }
            other
        };
        if let Some(mut other) = other {
            let end = other.wait_for(Option::is_some).await.map_or(None, |end| *end);
            return Ok(end.unwrap_or(End::Stopped));
        }
        let _landing = Landing { work: self, content };
        let end = self.object(&object, began).await?;
        tell.send_replace(Some(end));
        Ok(end)
    }

    /// Reads an object to its end, of a message that was begun at this time.
    async fn object(&self, object: &Object, began: Instant) -> Result<End, LaneError> {
        let mut backoff = Backoff::slow();
        loop {
            let (objects, budget) = (self.objects.clone(), self.budget.clone());
            let source = ObjectSource::new(objects, object.clone(), self.max_inflated_bytes, budget);
            let partition = Partition { stream: STREAM.into(), shard: ShardId::new(object.to_string()) };
            let error = match self.lanes.run(partition, Box::new(source), self.halt.clone()).await {
                Ok(LaneEnd::Ended { .. }) => {
                    let mut state = self.state();
                    state.opened = Some(Instant::now());
                    state.counts.objects += 1;
                    return Ok(End::Done);
                }
                Ok(LaneEnd::Stopped) => return Ok(End::Stopped),
                Err(LaneError::Source(error)) => error,
                Err(error) => return Err(error),
            };
            let (trouble, advice) = trouble(&error);
            let waits = trouble.is_of_access() && began.elapsed() < PATIENCE && !self.opened_since(began);
            let what = if waits {
                "an object cannot be read until a person acts, and is held"
            } else {
                "an object cannot be read: its message is left to the queue's redrive policy"
            };
            warn!(object = %object, error = %Code(&error), advice, "{what}");
            if !waits {
                let mut state = self.state();
                // These S3 tells only whom it would give the object.
                if matches!(trouble, Trouble::Gone | Trouble::Changed | Trouble::Archived) {
                    state.opened = Some(Instant::now());
                }
                *state.counts.failed.entry(trouble).or_default() += 1;
                return Ok(End::Left);
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(End::Stopped),
                () = sleep(backoff.wait()) => {}
            }
        }
    }

    /// Whether S3 gave other objects since, or just before: then it is this one that is the trouble.
    fn opened_since(&self, began: Instant) -> bool {
        self.state().opened.is_some_and(|opened| opened + RECENTLY > began)
    }
}

fn trouble(error: &SourceError) -> (Trouble, &str) {
    let (SourceError::Position { advice, source, .. } | SourceError::Fatal { advice, source, .. }) = error;
    let found = source.as_ref().and_then(|source| source.downcast_ref::<ObjectError>());
    (found.map_or(Trouble::Failed, |error| error.trouble), advice)
}

/// What S3 said of an object. What else reading met may quote the object, and is not shown.
struct Code<'e>(&'e SourceError);

impl std::fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (SourceError::Position { source, .. } | SourceError::Fatal { source, .. }) = self.0;
        match source.as_ref().and_then(|source| source.downcast_ref::<ObjectError>()) {
            Some(error) => error.fmt(f),
            None => f.write_str("reading it failed"),
        }
    }
}
