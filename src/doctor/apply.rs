//! Applying repairs: each that adds something is made, one after another, and asked about again; the first that fails ends
//! it.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatchlogs::types::{Distribution, LogGroupClass};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification, ScalarAttributeType,
};
use aws_sdk_kinesis::types::{EncryptionType, StreamMode, StreamModeDetails};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::ask::logs::PATTERN;
use super::ask::{Reach, Reaches, bedrock, stream, table};
use super::facts::{Asked, Refusal};
use super::repair::{Change, GROUP_DAYS, STREAM_HOURS};
use super::{Check, Options, Repair, examine};
use crate::aws::signed::{Call, Service};
use crate::config::Config;

/// How long a stream or a table may take to come up.
const WAIT: Duration = Duration::from_secs(120);
/// Between two looks at it.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// What became of a repair.
pub enum Applied<'r> {
    /// It was made, and these checks were asked again.
    Made(&'r Repair, Vec<Check>),
    /// It is left to a person.
    Left(&'r Repair),
    /// It failed, and nothing behind it was tried.
    Failed(&'r Repair, String),
}

/// Makes what adds something, in order, and tells of each.
///
/// # Errors
/// What the first failure says; `told` was told of it.
pub async fn apply(
    config: &Arc<Config>,
    options: &Options,
    repairs: &[Repair],
    mut told: impl FnMut(Applied<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let mut reaches = Reaches::new(options.limit);
    for repair in repairs {
        let Some(step) = &repair.step else {
            told(Applied::Left(repair))?;
            continue;
        };
        let made = match reaches.get(&step.access).await {
            Ok(reach) => Box::pin(make(&reach, &step.change)).await.map_err(|refusal| refusal.said()),
            Err(why) => Err(why),
        };
        if let Err(why) = made {
            told(Applied::Failed(repair, why))?;
            return Ok(false);
        }
        let again = Box::pin(examine(config, options)).await.report.checks;
        let mends = |check: &Check| repair.mends.contains(&check.id.as_str());
        told(Applied::Made(repair, again.into_iter().filter(mends).collect()))?;
    }
    Ok(true)
}

/// Bedrock's logging, of everything.
pub(super) fn logging_config(group: &str, role: &str) -> Value {
    json!({
        "cloudWatchConfig": { "logGroupName": group, "roleArn": role },
        "textDataDeliveryEnabled": true,
        "imageDataDeliveryEnabled": true,
        "embeddingDataDeliveryEnabled": true,
    })
}

async fn make(reach: &Reach, change: &Change) -> Asked<()> {
    match change {
        Change::CreateStream { name } => create_stream(reach, name).await,
        Change::RaiseStreamRetention { name } => {
            is_up(reach, name).await?;
            let action = "kinesis:IncreaseStreamRetentionPeriod";
            let call = stream::client(reach).increase_stream_retention_period();
            let call = call.stream_name(name).retention_period_hours(STREAM_HOURS);
            let sent = async { Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error)) };
            reach.within(action, sent).await.map(|_| ())
        }
        Change::EncryptStream { name, key } => {
            is_up(reach, name).await?;
            let action = "kinesis:StartStreamEncryption";
            let call = stream::client(reach).start_stream_encryption();
            let call = call.stream_name(name).encryption_type(EncryptionType::Kms).key_id(key);
            let sent = async { Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error)) };
            reach.within(action, sent).await?;
            is_up(reach, name).await
        }
        Change::CreateLogGroup { name } => create_group(reach, name).await,
        Change::RaiseGroupRetention { name } => put_retention(reach, name).await,
        Change::PutFilter { group, name, stream, role } => put_filter(reach, [group, name, stream, role]).await,
        Change::StartLogging { group, role } => start_logging(reach, group, role).await,
        Change::CreateTable { name, keys } => create_table(reach, name, keys).await,
        Change::EnableRecovery { name } => enable_recovery(reach, name).await,
    }
}

async fn create_stream(reach: &Reach, name: &str) -> Asked<()> {
    let action = "kinesis:CreateStream";
    let unmade = |_| Refusal::unreadable(action);
    let mode = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().map_err(unmade)?;
    let call = stream::client(reach).create_stream().stream_name(name).stream_mode_details(mode);
    let sent = async { Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error)) };
    reach.within(action, sent).await?;
    is_up(reach, name).await
}

/// Waits until the stream takes changes: it takes one at a time.
async fn is_up(reach: &Reach, name: &str) -> Asked<()> {
    let (client, deadline) = (stream::client(reach), Instant::now() + WAIT);
    loop {
        match stream::described(reach, &client, name).await? {
            Some(found) if found.status == "ACTIVE" => return Ok(()),
            _ if Instant::now() >= deadline => return Err(Refusal::late("kinesis:DescribeStreamSummary", WAIT)),
            _ => sleep(LOOK_PAUSE).await,
        }
    }
}

async fn create_group(reach: &Reach, name: &str) -> Asked<()> {
    let action = "logs:CreateLogGroup";
    let logs = reach.logs(true);
    let call = logs.client().create_log_group().log_group_name(name).log_group_class(LogGroupClass::Standard);
    let sent = async { Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error)) };
    reach.within(action, sent).await?;
    put_retention(reach, name).await
}

async fn put_retention(reach: &Reach, name: &str) -> Asked<()> {
    let action = "logs:PutRetentionPolicy";
    let logs = reach.logs(true);
    let call = logs.client().put_retention_policy().log_group_name(name).retention_in_days(GROUP_DAYS);
    let sent = async { Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error)) };
    reach.within(action, sent).await.map(|_| ())
}

async fn put_filter(reach: &Reach, [group, name, stream, role]: [&str; 4]) -> Asked<()> {
    let action = "logs:PutSubscriptionFilter";
    let logs = reach.logs(true);
    let call = logs.client().put_subscription_filter().log_group_name(group).filter_name(name);
    let call = call.filter_pattern(PATTERN).destination_arn(stream).role_arn(role).distribution(Distribution::Random);
    let sent = async { Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error)) };
    reach.within(action, sent).await.map(|_| ())
}

async fn start_logging(reach: &Reach, group: &str, role: &str) -> Asked<()> {
    let body = json!({ "loggingConfig": logging_config(group, role) }).to_string();
    let operation = "PutModelInvocationLoggingConfiguration";
    let call = Call::rest(Service::Bedrock, operation, reqwest::Method::PUT, bedrock::PATH, body);
    reach.signed(&call).await.map(|_| ())
}

async fn create_table(reach: &Reach, name: &str, keys: &[&str]) -> Asked<()> {
    let action = "dynamodb:CreateTable";
    let client = table::client(reach);
    let mut call = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    let unmade = |_| Refusal::unreadable(action);
    for (key, of) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
        let attribute = AttributeDefinition::builder().attribute_name(*key).attribute_type(ScalarAttributeType::S);
        let element = KeySchemaElement::builder().attribute_name(*key).key_type(of);
        call = call.attribute_definitions(attribute.build().map_err(unmade)?);
        call = call.key_schema(element.build().map_err(unmade)?);
    }
    let sent = async { Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error)) };
    reach.within(action, sent).await?;
    let deadline = Instant::now() + WAIT;
    let looking = "dynamodb:DescribeTable";
    loop {
        let call = client.describe_table().table_name(name);
        let sent = async { Box::pin(call.send()).await.map_err(|error| Refusal::read(looking, &error)) };
        let status = reach.within(looking, sent).await?.table.and_then(|table| table.table_status);
        match status.as_ref().map(|status| status.as_str()) {
            Some("ACTIVE") => return Ok(()),
            _ if Instant::now() >= deadline => return Err(Refusal::late(looking, WAIT)),
            _ => sleep(LOOK_PAUSE).await,
        }
    }
}

async fn enable_recovery(reach: &Reach, name: &str) -> Asked<()> {
    let action = "dynamodb:UpdateContinuousBackups";
    let on = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true);
    let on = on.build().map_err(|_| Refusal::unreadable(action))?;
    let call = table::client(reach).update_continuous_backups().table_name(name);
    let call = call.point_in_time_recovery_specification(on);
    let sent = async { Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error)) };
    reach.within(action, sent).await.map(|_| ())
}
