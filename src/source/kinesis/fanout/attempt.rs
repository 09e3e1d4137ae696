//! One try at a shard's next event: a subscription if there is none, the event, and bytes of the budget for it.
//!
//! It owns all that it needs and runs as a task of its own, so that a reader which turns to something else for a moment
//! neither breaks off a subscription that counts against the shard's limits nor loses an event that is on its way.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::error::ProvideErrorMetadata as _;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError as StreamError;
use aws_sdk_kinesis::types::{SubscribeToShardEvent, SubscribeToShardEventStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Settings;
use super::consumer::{Consumer, ConsumerError};
use crate::budget::{Budget, Reservation};
use crate::record::Position;
use crate::source::kinesis::attempt::held_bytes;
use crate::source::kinesis::client::{Events, Kinesis};
use crate::source::kinesis::error::{CallError, Policy};
use crate::source::kinesis::pace::fraction;
use crate::source::kinesis::progress::Progress;
use crate::source::kinesis::refusal::Oldest;
use crate::source::kinesis::shards;

/// The most that a shard holds without a reservation: an event that came while the shard was thought to be caught up
/// waits for its bytes if it is no larger. A thousand shards hold 64 MiB so at the worst, and what AWS sends of a quiet
/// shard is smaller.
const UNRESERVED_BYTES: usize = 64 * 1024;
/// How long bytes that were reserved ahead wait for their event: a shard that is behind has its next one ready, and
/// bytes that wait for nothing are missing elsewhere.
const AHEAD_PATIENCE: Duration = Duration::from_secs(2);
/// How long a subscription stands unread while bytes are waited for. Its events fill the window of a connection that
/// other subscriptions and calls share, so it is then let go and asked for again.
const UNREAD_PATIENCE: Duration = Duration::from_secs(5);

/// A subscription that is under way.
#[derive(Debug)]
pub(super) struct Subscription {
    events: Events,
    consumer: Arc<str>,
    renew_at: Instant,
}

/// What a try needs.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) kinesis: Kinesis,
    pub(super) consumer: Consumer,
    /// The shard and what is known of it when the try begins.
    pub(super) progress: Progress,
    pub(super) budget: Budget,
    pub(super) settings: Settings,
    pub(super) subscription: Option<Subscription>,
    /// Where a subscription begins.
    pub(super) position: Position,
    /// Bytes to reserve before anything is read.
    pub(super) ahead: usize,
}

/// What a try brought.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) result: Result<Came, Stop>,
    /// The subscription, if it may be read further.
    pub(super) subscription: Option<Subscription>,
    /// When a subscription was asked for and the call was over, if it came to that.
    pub(super) called: Option<Instant>,
    /// What is known of a shard or consumer that was not found.
    pub(super) found: Option<Found>,
    /// The shard's oldest record, if the stored position was not found.
    pub(super) oldest: Option<Oldest>,
}

/// An event, and the bytes that it holds.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) event: SubscribeToShardEvent,
    pub(super) reservation: Reservation,
    /// Whether nothing follows it.
    pub(super) is_end: bool,
}

/// Why a subscription is not read any further.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is time to renew it.
    Due,
    /// An event of so many bytes came, for which there is no room: it was let go.
    NoRoom(usize),
    /// A call or the stream of events failed.
    Failed(CallError),
}

impl From<CallError> for Stop {
    fn from(failure: CallError) -> Self {
        Self::Failed(failure)
    }
}

/// What did not let a shard be found.
#[derive(Debug)]
pub(super) enum Found {
    /// The consumer is another one now.
    NewConsumer,
    /// There is no consumer.
    NoConsumer(Arc<ConsumerError>),
    /// The stream lists the shard, as one that is written to or not any more.
    Listed { closed: bool },
    /// The stream has the shard no more.
    Expired,
    /// There is no such stream.
    NoStream,
    /// It could not be found out.
    Unclear(CallError),
}

impl Attempt {
    pub(super) async fn run(mut self) -> Outcome {
        let used = self.subscription.as_ref().map_or_else(|| self.consumer.arn(), |held| Arc::clone(&held.consumer));
        let mut called = None;
        let mut result = self.read(&mut called).await;
        let found = match &result {
            Err(Stop::Failed(failure)) if failure.policy == Policy::ResourceGone => Some(self.look(&used).await),
            _ => None,
        };
        let mut oldest = None;
        if self.misses_position(&result) {
            match Oldest::look_up(&self.kinesis, self.progress.shard()).await {
                Ok(found) => oldest = found,
                // What came is judged by it: it is subscribed to again. A refusal is one without it, too.
                Err(unclear) if result.is_ok() => result = Err(Stop::Failed(unclear)),
                Err(_) => {}
            }
        }
        let subscription = self.subscription.filter(|_| result.is_ok());
        Outcome { result, subscription, called, found, oldest }
    }

    /// Whether the stored position is refused, or was asked for and another record came.
    fn misses_position(&self, result: &Result<Came, Stop>) -> bool {
        match result {
            Ok(came) => came.event.records.first().is_some_and(|first| self.progress.misses(first)),
            Err(Stop::Failed(failure)) => failure.policy == Policy::BadPosition,
            Err(_) => false,
        }
    }

    async fn read(&mut self, called: &mut Option<Instant>) -> Result<Came, Stop> {
        let ahead = match self.ahead {
            0 => None,
            bytes => Some(self.reserve(bytes).await),
        };
        let mut subscription = match self.subscription.take() {
            Some(subscription) => subscription,
            None => self.subscribe(called).await?,
        };
        let (event, ahead) = self.receive(&mut subscription, ahead).await?;
        self.subscription = Some(subscription);
        let is_end = self.is_end(&event).await?;
        let bytes = held_bytes(event.records.iter().map(|record| record.data.as_ref()));
        let reservation = self.fit(ahead, bytes).await?;
        Ok(Came { event, reservation, is_end })
    }

    async fn subscribe(&self, called: &mut Option<Instant>) -> Result<Subscription, CallError> {
        let consumer = self.consumer.arn();
        let call = self.kinesis.subscribe(&consumer, self.progress.shard(), &self.position);
        let subscribed = timeout(self.settings.silence, call).await;
        // The service counts from the call's success, which it sees before this side does: never too early so.
        *called = Some(Instant::now());
        let events = subscribed.map_err(|_| self.fault(&consumer, "no answer in time"))??;
        // Up to a tenth earlier, so that a fleet which started together does not renew in step.
        let renew_at = Instant::now() + self.settings.life.mul_f64(1.0 - 0.1 * fraction());
        Ok(Subscription { events, consumer, renew_at })
    }

    /// Waits for the next event; gives up bytes that were reserved for one that does not come soon.
    async fn receive(
        &self,
        subscription: &mut Subscription,
        mut ahead: Option<Reservation>,
    ) -> Result<(SubscribeToShardEvent, Option<Reservation>), Stop> {
        let Subscription { events, consumer, renew_at } = subscription;
        let (give_back, silent_at) = (Instant::now() + AHEAD_PATIENCE, Instant::now() + self.settings.silence);
        if *renew_at <= Instant::now() {
            return Err(Stop::Due);
        }
        loop {
            let mut received = pin!(events.recv());
            let received = loop {
                tokio::select! {
                    received = &mut received => break received,
                    () = sleep_until(give_back), if ahead.is_some() => ahead = None,
                    () = sleep_until(*renew_at) => return Err(Stop::Due),
                    () = sleep_until(silent_at) => return Err(self.fault(consumer, "no event came for too long").into()),
                }
            };
            match received {
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => return Ok((event, ahead)),
                // AWS adds kinds of events without notice.
                Ok(Some(_)) => {}
                Ok(None) => return Err(self.fault(consumer, "the subscription ended").into()),
                Err(err) => return Err(CallError::in_stream("SubscribeToShard", &**consumer, &err, code_of).into()),
            }
        }
    }

    /// Whether nothing follows an event. At the end the guide promises children and no number to go on from. Children
    /// beside such a number may come with records that others follow; one without children may be a fault, and a shard
    /// that is taken for ended is never read again: the listing tells.
    async fn is_end(&self, event: &SubscribeToShardEvent) -> Result<bool, CallError> {
        match (event.continuation_sequence_number.is_empty(), event.child_shards().is_empty()) {
            (false, true) => Ok(false),
            (false, false) => Ok(event.records.is_empty()),
            (true, false) => Ok(true),
            (true, true) => {
                let graph = shards::list(&self.kinesis).await?;
                let is_open = graph.shards().any(|shard| shard.id == *self.progress.shard() && !shard.closed);
                if is_open {
                    let code = "an event of an open shard holds no continuation number";
                    return Err(self.fault(&self.consumer.arn(), code));
                }
                Ok(true)
            }
        }
    }

    /// Bytes for an event, before anything more is read.
    async fn fit(&mut self, ahead: Option<Reservation>, bytes: usize) -> Result<Reservation, Stop> {
        if let Some(mut ahead) = ahead
            && (bytes <= ahead.bytes() || ahead.bytes() >= self.budget.total_bytes())
        {
            ahead.shrink_to(bytes);
            return Ok(ahead);
        }
        // What was reserved and is too small is given back by now: sources that hold a part each and wait for the rest
        // would wait for each other.
        if bytes == 0 {
            return Ok(Reservation::default());
        }
        match self.budget.try_reserve(bytes) {
            Some(reservation) => Ok(reservation),
            None if bytes > UNRESERVED_BYTES => Err(Stop::NoRoom(bytes)),
            None => Ok(self.reserve(bytes).await),
        }
    }

    async fn reserve(&mut self, bytes: usize) -> Reservation {
        let budget = self.budget.clone();
        let mut reserved = pin!(budget.reserve(bytes));
        if self.subscription.is_some() {
            tokio::select! {
                reservation = &mut reserved => return reservation,
                () = sleep(UNREAD_PATIENCE) => self.subscription = None,
            }
        }
        reserved.await
    }

    /// Finds out what a subscription did not find. The consumer is looked for first: the shard says nothing about it.
    async fn look(&self, used: &str) -> Found {
        match self.consumer.find_again(used).await {
            Ok(true) => return Found::NewConsumer,
            Err(error) => return Found::NoConsumer(error),
            Ok(false) => {}
        }
        match shards::list(&self.kinesis).await {
            Ok(graph) => match graph.shards().find(|shard| shard.id == *self.progress.shard()) {
                Some(shard) => Found::Listed { closed: shard.closed },
                None => Found::Expired,
            },
            Err(failure) if failure.policy == Policy::ResourceGone => Found::NoStream,
            Err(failure) => Found::Unclear(failure),
        }
    }

    fn fault(&self, consumer: &str, code: &str) -> CallError {
        CallError {
            policy: Policy::Retry,
            operation: "SubscribeToShard",
            resource: consumer.to_owned(),
            code: code.to_owned(),
            message: None,
            request_id: None,
        }
    }
}

/// An exception's code: its type stands in a header that the SDK turns into a variant, and mostly nowhere else.
fn code_of(error: &StreamError) -> Option<&str> {
    match error {
        StreamError::ResourceNotFoundException(_) => Some("ResourceNotFoundException"),
        StreamError::ResourceInUseException(_) => Some("ResourceInUseException"),
        StreamError::KmsDisabledException(_) => Some("KMSDisabledException"),
        StreamError::KmsInvalidStateException(_) => Some("KMSInvalidStateException"),
        StreamError::KmsAccessDeniedException(_) => Some("KMSAccessDeniedException"),
        StreamError::KmsNotFoundException(_) => Some("KMSNotFoundException"),
        StreamError::KmsOptInRequired(_) => Some("KMSOptInRequired"),
        StreamError::KmsThrottlingException(_) => Some("KMSThrottlingException"),
        StreamError::InternalFailureException(_) => Some("InternalFailureException"),
        other => other.code(),
    }
}
