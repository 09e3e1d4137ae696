//! The reader: how the shards of one stream are read, chosen once for all of them.

use tokio::time::sleep;
use tracing::warn;

use crate::budget::Budget;
use crate::record::{HashKeys, Position, ShardId};
use crate::source::Source;

use super::client::Kinesis;
use super::fanout::consumer::{Consumer, ConsumerError};
use super::fanout::{self, FanOutSource, IfRefused};
use super::pace::{Backoff, Limits};
use super::poll::PollSource;
use super::progress::Progress;

/// How to read a stream.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// By GetRecords: at the pace that all polling consumers of a shard share.
    #[default]
    Polling,
    /// By SubscribeToShard: pushed, with 2 MiB a second and shard of its own, and paid for by the hour and the byte.
    FanOut {
        /// The consumer's name: a stable one, the same for all workers of an application.
        consumer: String,
        /// Whether a missing consumer is registered.
        register: bool,
    },
    /// By SubscribeToShard where it is allowed, otherwise by GetRecords.
    Auto {
        /// As above.
        consumer: String,
        /// As above.
        register: bool,
    },
}

/// Opens the shards of one stream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    kinesis: Kinesis,
    limits: Limits,
    budget: Budget,
    /// With what to subscribe; shards are polled otherwise.
    fan_out: Option<(Consumer, fanout::Settings)>,
}

impl Reader {
    /// A reader that polls, within limits for each shard; `budget` holds the bytes of what was read.
    pub fn polling(kinesis: Kinesis, limits: Limits, budget: Budget) -> Self {
        Self { kinesis, limits, budget, fan_out: None }
    }

    /// A reader that subscribes as `consumer`; `limits` are for a shard whose end only polling can tell.
    pub fn fan_out(kinesis: Kinesis, consumer: Consumer, limits: Limits, budget: Budget) -> Self {
        Self { kinesis, limits, budget, fan_out: Some((consumer, fanout::Settings::default())) }
    }

    /// A reader of the stream as asked for; finds or registers the consumer first.
    ///
    /// [`Mode::FanOut`] waits for a person where the consumer is denied or the stream has too many: whoever calls this
    /// may give up at any time. [`Mode::Auto`] then polls, and says so once.
    ///
    /// # Errors
    /// See [`ConsumerError`]: what neither waiting nor polling helps against.
    pub async fn connect(kinesis: Kinesis, mode: &Mode, limits: Limits, budget: Budget) -> Result<Self, ConsumerError> {
        let (name, register, if_refused) = match mode {
            Mode::Polling => return Ok(Self::polling(kinesis, limits, budget)),
            Mode::FanOut { consumer, register } => (consumer, *register, IfRefused::Wait),
            Mode::Auto { consumer, register } => (consumer, *register, IfRefused::Poll),
        };
        let mut slow = Backoff::slow();
        loop {
            match (Consumer::find(kinesis.clone(), name, register).await, if_refused) {
                (Ok(consumer), _) => {
                    let settings = fanout::Settings { if_refused, ..fanout::Settings::default() };
                    return Ok(Self { kinesis, limits, budget, fan_out: Some((consumer, settings)) });
                }
                (Err(refused @ ConsumerError::Refused(_)), _) => return Err(refused),
                (Err(error), IfRefused::Poll) => {
                    warn!(stream = %kinesis.stream(), consumer = name, reason = told(&error),
                        "reading by polling instead of subscriptions");
                    return Ok(Self::polling(kinesis, limits, budget));
                }
                (Err(error @ (ConsumerError::Denied(_) | ConsumerError::Full { .. })), IfRefused::Wait) => {
                    warn!(stream = %kinesis.stream(), consumer = name, reason = told(&error),
                        "the stream waits for a person");
                    sleep(slow.wait()).await;
                }
                (Err(error), IfRefused::Wait) => return Err(error),
            }
        }
    }

    /// Opens a shard.
    pub fn open(&self, shard: ShardId, position: Position, hash_keys: Option<HashKeys>) -> Box<dyn Source> {
        let progress = Progress::new(self.kinesis.stream().clone(), shard, position, hash_keys);
        let (kinesis, budget, limits) = (self.kinesis.clone(), self.budget.clone(), self.limits);
        match &self.fan_out {
            None => Box::new(PollSource::new(kinesis, progress, budget, limits)),
            Some((consumer, settings)) => {
                Box::new(FanOutSource::new(kinesis, consumer.clone(), progress, budget, limits, *settings))
            }
        }
    }
}

/// An error with what the service said.
fn told(error: &ConsumerError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
