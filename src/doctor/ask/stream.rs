//! Streams: what the service says of one, its key, and the consumer of fan-out.

use aws_config::retry::RetryConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{EncryptionType, StreamMode};

use super::{Reach, kms};
use crate::config::{KinesisSource, Mode};
use crate::doctor::facts::{Asked, Refusal, Refused, Stream, StreamFound};

/// The key that AWS manages itself, which needs no care.
const OF_AWS: &str = "alias/aws/kinesis";

/// A client of Kinesis.
pub(in crate::doctor) fn client(reach: &Reach) -> Client {
    let mut builder = aws_sdk_kinesis::config::Builder::from(&reach.config).retry_config(RetryConfig::disabled());
    if let Some(url) = &reach.endpoint_url {
        builder = builder.endpoint_url(url);
    }
    Client::from_conf(builder.build())
}

/// All about a stream.
pub(super) async fn stream(reach: &Reach, source: &KinesisSource, given: &str) -> Stream {
    let client = client(reach);
    let found = described(reach, &client, given).await;
    let (mut key, mut consumer) = (None, None);
    if let Ok(Some(found)) = &found {
        if let Some(id) = found.key.as_deref().filter(|id| !id.ends_with(OF_AWS)) {
            key = Some(kms::state(reach, id).await);
        }
        if source.mode != Mode::Polling {
            consumer = Some(registered(reach, &client, &found.arn, &source.consumer).await);
        }
    }
    Stream { given: given.to_owned(), region: reach.region().to_owned(), found, key, consumer }
}

/// What the service says of a stream; none if there is none.
pub(in crate::doctor) async fn described(reach: &Reach, client: &Client, given: &str) -> Asked<Option<StreamFound>> {
    let action = "kinesis:DescribeStreamSummary";
    let call = client.describe_stream_summary();
    let call = if given.starts_with("arn:") { call.stream_arn(given) } else { call.stream_name(given) };
    let asked = async {
        let answer = Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error))?;
        let summary = answer.stream_description_summary.ok_or_else(|| Refusal::unreadable(action))?;
        let mode = summary.stream_mode_details.map(|details| details.stream_mode);
        Ok(Some(StreamFound {
            arn: summary.stream_arn,
            status: summary.stream_status.as_str().to_owned(),
            on_demand: mode == Some(StreamMode::OnDemand),
            open_shards: summary.open_shard_count,
            retention_hours: summary.retention_period_hours,
            key: (summary.encryption_type == Some(EncryptionType::Kms)).then(|| summary.key_id.unwrap_or_default()),
            max_record_kib: summary.max_record_size_in_kib,
        }))
    };
    absent(reach.within(action, asked).await)
}

/// The status of a consumer; none if it is not registered.
async fn registered(reach: &Reach, client: &Client, arn: &str, name: &str) -> Asked<Option<String>> {
    let action = "kinesis:DescribeStreamConsumer";
    let asked = async {
        let call = client.describe_stream_consumer().stream_arn(arn).consumer_name(name);
        let answer = Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error))?;
        let consumer = answer.consumer_description.ok_or_else(|| Refusal::unreadable(action))?;
        Ok(Some(consumer.consumer_status.as_str().to_owned()))
    };
    absent(reach.within(action, asked).await)
}

/// What does not exist is no refusal.
pub(super) fn absent<T>(asked: Asked<Option<T>>) -> Asked<Option<T>> {
    match asked {
        Err(refusal) if refusal.refused == Refused::Missing => Ok(None),
        asked => asked,
    }
}
