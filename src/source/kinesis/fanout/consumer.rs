//! A consumer: the registration under which a stream's shards are subscribed to. It is found by its name, which many
//! workers share, and made where that is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::types::ConsumerStatus;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use crate::source::kinesis::client::Kinesis;
use crate::source::kinesis::error::{CallError, Policy};
use crate::source::kinesis::pace::Backoff;

/// How long a consumer is waited for that is being made or deleted: either takes seconds, a minute on a bad day.
const PATIENCE: Duration = Duration::from_secs(300);
/// Registrations refused for a limit before it is taken for the limit of consumers: the same error stands for five
/// calls a second and for five consumers that are being made (source: the Kinesis API reference), and those pass.
const MAX_LIMITED_REGISTRATIONS: u32 = 5;
/// A consumer that was just looked for is not looked for again by the next shard: a stream allows 20 descriptions a
/// second (source: as above), and a thousand shards miss their consumer at the same moment.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Why there is no consumer to subscribe with.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// Nobody registered it.
    #[error(
        "{stream} has no consumer {name:?}: register it with `aws kinesis register-stream-consumer --stream-arn \
         {stream} --consumer-name {name}`, or let it be registered on request"
    )]
    Missing {
        /// The stream's ARN.
        stream: String,
        /// The consumer's name.
        name: String,
    },
    /// The stream has all the consumers that it may have.
    #[error(
        "{stream} takes no further consumer {name:?}: a stream has 20 (50 with on-demand advantage), queues included; \
         deregister one that nobody uses (`aws kinesis list-stream-consumers --stream-arn {stream}`, `aws kinesis \
         deregister-stream-consumer`), or read by polling"
    )]
    Full {
        /// The stream's ARN.
        stream: String,
        /// The consumer's name.
        name: String,
        /// What the service said.
        #[source]
        source: Box<CallError>,
    },
    /// A person has to grant or repair something.
    #[error("the consumer cannot be looked for: {}", .0.advice())]
    Denied(#[source] Box<CallError>),
    /// The endpoint knows no consumers.
    #[error("the endpoint does not offer enhanced fan-out: read by polling")]
    Unsupported(#[source] Box<CallError>),
    /// The stream does not exist, or the consumer's name is none.
    #[error("no such stream, or no name of a consumer (1 to 128 of a-z A-Z 0-9 _ . -): {}", .0.advice())]
    Refused(#[source] Box<CallError>),
    /// It did not become usable in time.
    #[error("the consumer {name:?} was not usable within five minutes ({last}); it is in nobody's way: try again")]
    NotActive {
        /// The consumer's name.
        name: String,
        /// What stood in the way at the end.
        last: String,
    },
}

/// A consumer of a stream, shared by all that subscribe with it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Consumer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    kinesis: Kinesis,
    name: String,
    register: bool,
    arn: watch::Sender<Arc<str>>,
    /// When it was last looked for again, and what came of it; held while it is looked for, so that one looks for all.
    looked: Mutex<Option<Looked>>,
    /// Whether it was told that shards are polled instead.
    told: AtomicBool,
}

/// When the consumer was looked for again, and why it was not found, if it was not.
type Looked = (Instant, Result<(), Arc<ConsumerError>>);

impl Consumer {
    /// Finds the consumer of this name and waits until it can be used; `register` makes it if it is missing. Any
    /// number of workers may do this at once.
    ///
    /// # Errors
    /// See [`ConsumerError`]. What passes by itself is waited for, five minutes at most.
    pub async fn find(kinesis: Kinesis, name: &str, register: bool) -> Result<Self, ConsumerError> {
        let arn = Search { kinesis: &kinesis, name, register, limited: 0 }.run().await?;
        info!(consumer = %arn, "subscribing to shards as this consumer");
        let shared = Shared {
            kinesis,
            name: name.to_owned(),
            register,
            arn: watch::Sender::new(arn),
            looked: Mutex::default(),
            told: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The consumer's ARN.
    pub fn arn(&self) -> Arc<str> {
        self.shared.arn.borrow().clone()
    }

    /// Looks whether the consumer is still the one of this ARN; gives whether it is another one now.
    pub(super) async fn find_again(&self, used: &str) -> Result<bool, Arc<ConsumerError>> {
        let Shared { kinesis, name, register, arn, .. } = &*self.shared;
        let mut looked = self.shared.looked.lock().await;
        if *self.arn() != *used {
            return Ok(true);
        }
        if let Some((at, result)) = &*looked
            && at.elapsed() < LOOK_INTERVAL
        {
            return result.clone().map(|()| false);
        }
        let found = Search { kinesis, name, register: *register, limited: 0 }.run().await.map_err(Arc::new);
        *looked = Some((Instant::now(), found.as_ref().map(|_| ()).map_err(Arc::clone)));
        let found = found?;
        let is_another = *found != *used;
        if is_another {
            info!(consumer = %found, before = used, "the consumer was registered anew");
            arn.send_replace(found);
        }
        Ok(is_another)
    }

    /// Whether this is the first time that it is told that shards are polled instead.
    pub(super) fn is_first_refusal(&self) -> bool {
        !self.shared.told.swap(true, Ordering::Relaxed)
    }
}

/// Whether an endpoint says that it has no such call.
pub(super) fn is_unsupported(failure: &CallError) -> bool {
    matches!(
        &*failure.code,
        "UnknownOperationException"
            | "NotImplemented"
            | "NotImplementedException"
            | "UnsupportedOperation"
            | "UnsupportedOperationException"
            | "InvalidAction"
    )
}

struct Search<'a> {
    kinesis: &'a Kinesis,
    name: &'a str,
    register: bool,
    /// Registrations refused for a limit.
    limited: u32,
}

/// What a look brought: the ARN, or why to look again.
type Look = Result<Result<Arc<str>, String>, ConsumerError>;

impl Search<'_> {
    async fn run(mut self) -> Result<Arc<str>, ConsumerError> {
        let (begun, mut backoff) = (Instant::now(), Backoff::brief());
        let mut stream = self.kinesis.arn().map(str::to_owned);
        loop {
            let look = match &stream {
                Some(stream) => self.look(stream).await?,
                None => match self.kinesis.describe().await {
                    Ok(described) => {
                        stream = Some(described.arn);
                        continue;
                    }
                    Err(failure) => wait_out(failure)?,
                },
            };
            let last = match look {
                Ok(arn) => return Ok(arn),
                Err(last) => last,
            };
            if begun.elapsed() > PATIENCE {
                return Err(ConsumerError::NotActive { name: self.name.to_owned(), last });
            }
            debug!(consumer = self.name, reason = last, "the consumer is not usable yet");
            sleep(backoff.wait()).await;
        }
    }

    async fn look(&mut self, stream: &str) -> Look {
        match self.kinesis.describe_consumer(stream, self.name).await {
            Ok(consumer) if consumer.status == ConsumerStatus::Active => Ok(Ok(consumer.arn.into())),
            // One that is being deleted is gone soon: then it is missing.
            Ok(consumer) => Ok(Err(format!("it is {}", consumer.status))),
            Err(failure) if failure.policy == Policy::ResourceGone && self.register => self.register(stream).await,
            Err(failure) if failure.policy == Policy::ResourceGone => {
                Err(ConsumerError::Missing { stream: stream.to_owned(), name: self.name.to_owned() })
            }
            Err(failure) => wait_out(failure),
        }
    }

    async fn register(&mut self, stream: &str) -> Look {
        match self.kinesis.register_consumer(stream, self.name).await {
            Ok(()) => {
                info!(stream, consumer = self.name, "consumer registered");
                Ok(Err("it was just registered".to_owned()))
            }
            Err(failure) if failure.code == "LimitExceededException" => {
                self.limited += 1;
                if self.limited < MAX_LIMITED_REGISTRATIONS {
                    return Ok(Err(failure.to_string()));
                }
                Err(ConsumerError::Full {
                    stream: stream.to_owned(),
                    name: self.name.to_owned(),
                    source: failure.into(),
                })
            }
            // Another worker was faster, or the stream is not active: either way the next look tells.
            Err(failure) => wait_out(failure),
        }
    }
}

/// What passes by itself is a reason to look again.
fn wait_out(failure: CallError) -> Look {
    match failure.policy {
        _ if is_unsupported(&failure) => Err(ConsumerError::Unsupported(failure.into())),
        Policy::Denied => Err(ConsumerError::Denied(failure.into())),
        Policy::ResourceGone | Policy::BadPosition => Err(ConsumerError::Refused(failure.into())),
        Policy::Throttled | Policy::Retry | Policy::IteratorExpired | Policy::TokenExpired | Policy::StreamBusy => {
            Ok(Err(failure.to_string()))
        }
    }
}
