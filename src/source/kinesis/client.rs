//! The client: the calls of one stream. It retries nothing by itself, so that each call is one that the shard's pace knows of.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::operation::list_shards::ListShardsOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ConsumerStatus, Record, ShardIteratorType, StartingPosition, SubscribeToShardEventStream,
};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::error::{CallError, Policy};
use crate::aws::calls::CALLS;
use crate::aws::{self, Access, AccessError};
use crate::record::{Position, ShardId};

/// Iterators and subscriptions asked for at a time over all shards: a start with thousands of shards opens no thousands of connections.
const CONCURRENT_ITERATOR_CALLS: usize = 64;
/// Clients that subscriptions are spread over. One keeps one HTTP/2 connection, whose streams the service may limit, a
/// hundred or so as is usual, and which share its window; a connection is only made for shards that there are.
const SUBSCRIBERS: usize = 16;
/// Empty answers on the way to a shard's oldest record: each passes over a stretch of time in which nothing was written.
const MAX_EMPTY_ANSWERS: usize = 100;
/// Between two of them: a shard takes five calls a second from all its readers together.
const BETWEEN_EMPTY_ANSWERS: Duration = Duration::from_millis(250);
/// Shards on one page of ListShards: the service's own maximum. Source: the Kinesis API reference.
const SHARDS_PER_PAGE: i32 = 1000;

/// How to reach a stream.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// The stream's name or ARN.
    pub stream: String,
    /// How to reach the service; the region may come from the ARN.
    pub access: Access,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The service cannot be reached.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The stream is neither a name nor an ARN.
    #[error(
        "{0:?} is no stream: give a name (1 to 128 of a-z A-Z 0-9 _ . -) or an ARN \
         (arn:aws:kinesis:REGION:ACCOUNT:stream/NAME)"
    )]
    BadStream(String),
    /// The configured region is not the ARN's.
    #[error("the stream's ARN says region {arn}, the configuration says {configured}: leave the second one out")]
    RegionMismatch {
        /// The ARN's region.
        arn: String,
        /// The configured region.
        configured: String,
    },
}

/// A stream, as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTarget {
    /// The stream's name.
    pub name: Arc<str>,
    /// The stream's ARN, if it was named by it.
    pub arn: Option<String>,
    /// The ARN's region.
    pub region: Option<String>,
}

impl StreamTarget {
    /// Reads a stream's name or ARN.
    ///
    /// # Errors
    /// [`ClientError::BadStream`] for anything else.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let bad = || ClientError::BadStream(text.to_owned());
        let is_name = |name: &str| {
            (1..=128).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        };
        if !text.starts_with("arn:") {
            return if is_name(text) { Ok(Self { name: text.into(), arn: None, region: None }) } else { Err(bad()) };
        }
        let parts: Vec<_> = text.splitn(6, ':').collect();
        let [_, partition, "kinesis", region, account, resource] = parts[..] else { return Err(bad()) };
        let name = resource.strip_prefix("stream/").ok_or_else(bad)?;
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if !partition.starts_with("aws") || region.is_empty() || !is_account || !is_name(name) {
            return Err(bad());
        }
        Ok(Self { name: name.into(), arn: Some(text.to_owned()), region: Some(region.to_owned()) })
    }

    /// The stream as errors name it.
    fn resource(&self) -> String {
        self.arn.clone().unwrap_or_else(|| format!("stream/{}", self.name))
    }
}

/// A stream as the service describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDescription {
    /// The stream's ARN.
    pub arn: String,
    /// The account that owns it: twelve digits, from the ARN.
    pub account: String,
    /// Its name.
    pub name: String,
    /// When it was made: one that was deleted and made anew has another time.
    pub created: Timestamp,
}

/// A registered consumer of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// Its ARN, which embeds its creation time: one that was deregistered and registered anew has another.
    pub arn: String,
    /// What it can be used for now.
    pub status: ConsumerStatus,
}

/// The events of a subscription.
pub type Events = EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>;

/// One stream of Kinesis. Cheap to clone.
#[derive(Clone)]
pub struct Kinesis {
    client: Client,
    /// Clients with connections of their own, for subscriptions.
    subscribers: Arc<[Client]>,
    target: Arc<StreamTarget>,
    iterator_calls: Arc<Semaphore>,
}

impl fmt::Debug for Kinesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kinesis").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Kinesis {
    /// Finds region and credentials and makes the client. Credentials are asked for once, so that their absence is
    /// told here and not by the first call.
    ///
    /// # Errors
    /// What is missing or wrong, and where to set it.
    pub async fn connect(settings: &Settings) -> Result<Self, ClientError> {
        let target = StreamTarget::parse(&settings.stream)?;
        let mut access = settings.access.clone();
        if let (Some(arn), Some(configured)) = (&target.region, &access.region)
            && arn != configured
        {
            return Err(ClientError::RegionMismatch { arn: arn.clone(), configured: configured.clone() });
        }
        access.region = target.region.clone().or(access.region);
        let config = access.load().await?;
        let mut builder =
            aws_sdk_kinesis::config::Builder::from(&config).interceptor(CALLS).retry_config(RetryConfig::disabled());
        if let Some(url) = &access.endpoint_url {
            // Only this client's: an assumed role is asked for at its own service.
            builder = builder.endpoint_url(url);
        }
        let subscriber = || Ok(Client::from_conf(builder.clone().http_client(aws::http_client()?).build()));
        let subscribers: Result<_, AccessError> = (0..SUBSCRIBERS).map(|_| subscriber()).collect();
        let subscribers = subscribers?;
        Ok(Self { subscribers, ..Self::new(Client::from_conf(builder.build()), target) })
    }

    /// A stream through a client that is there already. The client must not retry by itself.
    pub fn new(client: Client, target: StreamTarget) -> Self {
        let iterator_calls = Arc::new(Semaphore::new(CONCURRENT_ITERATOR_CALLS));
        let subscribers = Arc::from([client.clone()]);
        Self { client, subscribers, target: Arc::new(target), iterator_calls }
    }

    /// The stream's name.
    pub fn stream(&self) -> &Arc<str> {
        &self.target.name
    }

    /// The stream as errors name it: its ARN, or `stream/` and its name.
    pub fn resource(&self) -> String {
        self.target.resource()
    }

    /// The stream's ARN, if it was named by it.
    pub fn arn(&self) -> Option<&str> {
        self.target.arn.as_deref()
    }

    /// The stream's ARN, account, name and creation time.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn describe(&self) -> Result<StreamDescription, CallError> {
        let call = self.client.describe_stream_summary();
        let call = match &self.target.arn {
            Some(arn) => call.stream_arn(arn),
            None => call.stream_name(&*self.target.name),
        };
        let sent = Box::pin(call.send()).await;
        let answer = sent.map_err(|err| CallError::new("DescribeStreamSummary", self.resource(), &err))?;
        let unreadable = || {
            let code = "the answer holds no ARN and creation time of a stream";
            failure("DescribeStreamSummary", Policy::Retry, &self.resource(), code)
        };
        let summary = answer.stream_description_summary.ok_or_else(unreadable)?;
        let created = summary.stream_creation_timestamp;
        let nanos = i32::try_from(created.subsec_nanos()).unwrap_or_default();
        let created = Timestamp::new(created.secs(), nanos).map_err(|_| unreadable())?;
        let account = summary.stream_arn.split(':').nth(4).filter(|account| !account.is_empty());
        let account = account.ok_or_else(unreadable)?.to_owned();
        Ok(StreamDescription { arn: summary.stream_arn, account, name: summary.stream_name, created })
    }

    /// The consumer of this name.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn describe_consumer(&self, stream_arn: &str, name: &str) -> Result<ConsumerDescription, CallError> {
        let call = self.client.describe_stream_consumer().stream_arn(stream_arn).consumer_name(name);
        let failed = |policy, code: &str| failure("DescribeStreamConsumer", policy, stream_arn, code);
        match Box::pin(call.send()).await {
            Ok(answer) => {
                let consumer = answer.consumer_description;
                let consumer = consumer.ok_or_else(|| failed(Policy::Retry, "the answer holds no consumer"))?;
                Ok(ConsumerDescription { arn: consumer.consumer_arn, status: consumer.consumer_status })
            }
            Err(err) => Err(CallError::new("DescribeStreamConsumer", stream_arn, &err)),
        }
    }

    /// Registers a consumer; it can be used once it is described as active.
    ///
    /// # Errors
    /// See [`CallError`]; [`Policy::StreamBusy`] also means that it exists.
    pub async fn register_consumer(&self, stream_arn: &str, name: &str) -> Result<(), CallError> {
        let call = self.client.register_stream_consumer().stream_arn(stream_arn).consumer_name(name);
        let sent = Box::pin(call.send()).await;
        sent.map(|_| ()).map_err(|err| CallError::new("RegisterStreamConsumer", stream_arn, &err))
    }

    /// Subscribes a consumer to a shard from a position.
    ///
    /// No time-out of the client's cuts the events: the read time-out ends with the answer's head, and that of the call
    /// with it. But the SDK then waits for the first event, for as long as it takes: the caller sets its own bound.
    ///
    /// # Errors
    /// See [`CallError`]; a position that is no position of a shard is a bad one.
    pub async fn subscribe(&self, consumer: &str, shard: &ShardId, position: &Position) -> Result<Events, CallError> {
        let failed = |policy, code: &str| failure("SubscribeToShard", policy, consumer, code);
        let start = StartingPosition::builder();
        let start = match position {
            Position::TrimHorizon => start.r#type(ShardIteratorType::TrimHorizon),
            Position::Latest => start.r#type(ShardIteratorType::Latest),
            Position::AtTimestamp(time) => {
                start.r#type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(time.as_millisecond()))
            }
            Position::After(sequence) => {
                start.r#type(ShardIteratorType::AfterSequenceNumber).sequence_number(sequence.as_str())
            }
            // The rest of this record is still to be read.
            Position::Within(sequence, _) => {
                start.r#type(ShardIteratorType::AtSequenceNumber).sequence_number(sequence.as_str())
            }
            Position::Offset(_) | Position::Key(_) | Position::UpTo(_) | Position::End => {
                return Err(failed(Policy::BadPosition, "the position is not one in a shard that is open to reading"));
            }
        };
        let start = start.build().map_err(|_| failed(Policy::BadPosition, "the request cannot be made"))?;
        let mut hasher = DefaultHasher::new();
        shard.hash(&mut hasher);
        let client = &self.subscribers[hasher.finish() as usize % self.subscribers.len()];
        let call = client.subscribe_to_shard().consumer_arn(consumer).shard_id(shard.as_str());
        let _permit = self.iterator_calls.acquire().await;
        match Box::pin(call.starting_position(start).send()).await {
            Ok(answer) => Ok(answer.event_stream),
            Err(err) => Err(CallError::new("SubscribeToShard", consumer, &err)),
        }
    }

    /// One page of the stream's shards: the first, or the one that `token` stands for.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn list_shards(&self, token: Option<String>) -> Result<ListShardsOutput, CallError> {
        let call = self.client.list_shards();
        let call = match token {
            // A token stands for the stream; the service refuses both together.
            Some(token) => call.next_token(token),
            None => match &self.target.arn {
                Some(arn) => call.stream_arn(arn),
                None => call.stream_name(&*self.target.name),
            },
        };
        let sent = Box::pin(call.max_results(SHARDS_PER_PAGE).send()).await;
        sent.map_err(|err| CallError::new("ListShards", self.resource(), &err))
    }

    /// An iterator of a shard at a position.
    ///
    /// # Errors
    /// See [`CallError`]; a position that is no position of a shard is a bad one.
    pub async fn iterator(&self, shard: &ShardId, position: &Position) -> Result<String, CallError> {
        let resource = || format!("{}/{shard}", self.resource());
        let failed = |policy, code: &str| failure("GetShardIterator", policy, &resource(), code);
        let call = self.client.get_shard_iterator().shard_id(shard.as_str());
        let call = match &self.target.arn {
            Some(arn) => call.stream_arn(arn),
            None => call.stream_name(&*self.target.name),
        };
        let call = match position {
            Position::TrimHorizon => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::Latest => call.shard_iterator_type(ShardIteratorType::Latest),
            Position::AtTimestamp(time) => call
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(time.as_millisecond())),
            Position::After(sequence) => call
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
            // The rest of this record is still to be read.
            Position::Within(sequence, _) => call
                .shard_iterator_type(ShardIteratorType::AtSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
            Position::Offset(_) | Position::Key(_) | Position::UpTo(_) | Position::End => {
                return Err(failed(Policy::BadPosition, "the position is not one in a shard that is open to reading"));
            }
        };
        let _permit = self.iterator_calls.acquire().await;
        match Box::pin(call.send()).await {
            Ok(answer) => answer.shard_iterator.ok_or_else(|| failed(Policy::Retry, "the answer holds no iterator")),
            Err(err) => Err(CallError::new("GetShardIterator", resource(), &err)),
        }
    }

    /// The oldest record of a shard, if it has one. Answers may be empty though there are records behind them.
    ///
    /// # Errors
    /// See [`CallError`]; a shard whose answers are empty on and on is one to be asked again.
    pub async fn oldest(&self, shard: &ShardId) -> Result<Option<Record>, CallError> {
        let mut iterator = self.iterator(shard, &Position::TrimHorizon).await?;
        for _ in 0..MAX_EMPTY_ANSWERS {
            let answer = self.up_to(Some(1), shard, &iterator).await?;
            let is_behind = answer.millis_behind_latest.is_some_and(|lag| lag > 0);
            match (answer.records.into_iter().next(), answer.next_shard_iterator) {
                (None, Some(next)) if is_behind => iterator = next,
                (record, _) => return Ok(record),
            }
            tokio::time::sleep(BETWEEN_EMPTY_ANSWERS).await;
        }
        let resource = format!("{}/{shard}", self.resource());
        Err(failure("GetRecords", Policy::Retry, &resource, "its answers are empty on and on"))
    }

    /// The records at an iterator.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn records(&self, shard: &ShardId, iterator: &str) -> Result<GetRecordsOutput, CallError> {
        self.up_to(None, shard, iterator).await
    }

    async fn up_to(&self, limit: Option<i32>, shard: &ShardId, iterator: &str) -> Result<GetRecordsOutput, CallError> {
        let mut call = self.client.get_records().shard_iterator(iterator).set_limit(limit);
        if let Some(arn) = &self.target.arn {
            call = call.stream_arn(arn);
        }
        let sent = Box::pin(call.send()).await;
        sent.map_err(|err| CallError::new("GetRecords", format!("{}/{shard}", self.resource()), &err))
    }
}

/// A failure that this side found.
fn failure(operation: &'static str, policy: Policy, resource: &str, code: &str) -> CallError {
    let (resource, code) = (resource.to_owned(), code.to_owned());
    CallError { policy, operation, resource, code, message: None, request_id: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_name_or_an_arn() {
        let check = |text: &str, expected: Option<(&str, Option<&str>)>| {
            let target = StreamTarget::parse(text).ok();
            let found = target.as_ref().map(|target| (&*target.name, target.region.as_deref()));
            assert_eq!(found, expected, "{text:?}");
        };
        check("bedrock-logs_1.x", Some(("bedrock-logs_1.x", None)));
        check("arn:aws:kinesis:eu-west-1:123456789012:stream/logs", Some(("logs", Some("eu-west-1"))));
        check("arn:aws-us-gov:kinesis:us-gov-west-1:123456789012:stream/a", Some(("a", Some("us-gov-west-1"))));
        let long = "a".repeat(129);
        for text in [
            "",
            "a b",
            "a/b",
            long.as_str(),
            "arn:aws:kinesis:eu-west-1:123456789012:stream/",
            "arn:aws:kinesis:eu-west-1:12345:stream/logs",
            "arn:aws:kinesis::123456789012:stream/logs",
            "arn:aws:firehose:eu-west-1:123456789012:stream/logs",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/logs/consumer/app:1",
        ] {
            check(text, None);
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_with_the_way_out() {
        let check = async |settings: Settings, expected: &str| {
            let err = Kinesis::connect(&settings).await.unwrap_err().to_string();
            assert!(err.contains(expected), "{err:?} lacks {expected:?}");
        };
        let settings = |stream: &str| Settings { stream: stream.to_owned(), ..Settings::default() };
        check(settings("a b"), "is no stream").await;
        let access = Access { region: Some("us-east-1".to_owned()), ..Access::default() };
        check(Settings { access, ..settings("arn:aws:kinesis:eu-west-1:123456789012:stream/s") }, "leave the second")
            .await;
        let access = Access { endpoint_url: Some("localhost:4566".to_owned()), ..Access::default() };
        check(Settings { access, ..settings("s") }, "no http://").await;
    }
}
