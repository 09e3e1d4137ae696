//! Tables: their key, billing, recovery and expiry.

use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{BillingMode, PointInTimeRecoveryStatus, TableDescription, TimeToLiveStatus};

use super::Reach;
use super::stream::absent;
use crate::doctor::facts::{Asked, Refusal, Table, TableFound};
use crate::lease::dynamodb::setup::Kind;

/// A client of DynamoDB.
pub(in crate::doctor) fn client(reach: &Reach) -> Client {
    let mut builder = aws_sdk_dynamodb::config::Builder::from(&reach.config).retry_config(RetryConfig::disabled());
    if let Some(url) = &reach.endpoint_url {
        builder = builder.endpoint_url(url);
    }
    Client::from_conf(builder.build())
}

/// All about a table.
pub(super) async fn table(reach: &Reach, name: String, kind: Kind, is_made: bool) -> Table {
    let client = client(reach);
    let (found, recovery, expiry) = tokio::join!(
        described(reach, &client, &name, kind),
        recovery(reach, &client, &name),
        expiry(reach, &client, &name)
    );
    Table { name, region: reach.region().to_owned(), wanted: kind.keys, is_made, found, recovery, expiry }
}

async fn described(reach: &Reach, client: &Client, name: &str, kind: Kind) -> Asked<Option<TableFound>> {
    let action = "dynamodb:DescribeTable";
    let asked = async {
        let call = client.describe_table().table_name(name);
        let answer = Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error))?;
        let table = answer.table.ok_or_else(|| Refusal::unreadable(action))?;
        Ok(Some(found(&table, kind)))
    };
    absent(reach.within(action, asked).await)
}

fn found(table: &TableDescription, kind: Kind) -> TableFound {
    let type_of = |name: &str| {
        let definition = table.attribute_definitions().iter().find(|definition| definition.attribute_name() == name);
        definition.map_or("?", |definition| definition.attribute_type().as_str())
    };
    let part = |name: &str, of: &str| format!("{name} ({}, {of})", type_of(name));
    let elements = table.key_schema().iter();
    let key: Vec<_> = elements.map(|element| part(element.attribute_name(), element.key_type().as_str())).collect();
    let wanted = kind.keys.iter().zip(["HASH", "RANGE"]);
    let wanted: Vec<_> = wanted.map(|(name, of)| format!("{name} (S, {of})")).collect();
    let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
    TableFound {
        arn: table.table_arn().unwrap_or_default().to_owned(),
        status: table.table_status().map_or("not told", |status| status.as_str()).to_owned(),
        is_ours: key == wanted,
        key,
        on_demand: billing == Some(&BillingMode::PayPerRequest),
    }
}

async fn recovery(reach: &Reach, client: &Client, name: &str) -> Asked<bool> {
    let action = "dynamodb:DescribeContinuousBackups";
    let asked = async {
        let call = client.describe_continuous_backups().table_name(name);
        let answer = Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error))?;
        let backups = answer.continuous_backups_description;
        let recovery = backups.and_then(|backups| backups.point_in_time_recovery_description);
        let status = recovery.and_then(|recovery| recovery.point_in_time_recovery_status);
        Ok(status == Some(PointInTimeRecoveryStatus::Enabled))
    };
    reach.within(action, asked).await
}

async fn expiry(reach: &Reach, client: &Client, name: &str) -> Asked<Option<String>> {
    let action = "dynamodb:DescribeTimeToLive";
    let asked = async {
        let call = client.describe_time_to_live().table_name(name);
        let answer = Box::pin(call.send()).await.map_err(|error| Refusal::read(action, &error))?;
        let told = answer.time_to_live_description;
        let told = told.filter(|told| {
            matches!(told.time_to_live_status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling))
        });
        Ok(told.map(|told| told.attribute_name.unwrap_or_default()))
    };
    reach.within(action, asked).await
}
