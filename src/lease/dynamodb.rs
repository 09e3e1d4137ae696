//! The lease table in DynamoDB, in the format of the Kinesis Client Library: a KCL application and this program can
//! share it, or take it over from each other. Every write is one conditional UpdateItem whose refusal brings the row as
//! it is; nothing is read again, and attributes that are no part of a lease here are left as they are.
//!
//! Sources: amazon-kinesis-client 3.5.1 for the attributes, the DynamoDB API reference for the calls.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::protocol::{Answer, Update};
use super::table::{Table, TableError};
use super::{Lease, LeaseKey};
use crate::aws::calls::CALLS;
use crate::aws::{Access, AccessError};
use crate::source::BoxFuture;
use crate::source::kinesis::shards::Start;

pub(crate) mod error;
mod expression;
mod row;
pub(crate) mod setup;

use error::Target;
use expression::Expression;
use row::{Item, Rows, attribute};
use setup::Wanted;

/// A connection that is not made in this time is tried again: within a region it takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A whole call. They take milliseconds; one that hangs is given up early enough for two more tries before a lease of
/// 10 s, the KCL's default, expires.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Pages of a scan. A page is 1 MiB, about 2,000 leases, so that this is twenty times the highest quota of shards in a
/// Region. A service that pages on for ever is a fault.
const MAX_PAGES: usize = 200;

/// How to reach a lease table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The table's name.
    pub table: String,
    /// Whether to make the table if it is not there, paid by request.
    pub create: bool,
    /// How to reach the service.
    pub access: Access,
    /// Where the application starts: for rows of a KCL application, which stores no time, and for what such a one
    /// finds in rows of ours.
    pub start: Start,
}

/// Why there is no table to work with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service cannot be reached.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The table does not answer, refuses, or cannot be used.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A client whose calls are made once: a retry is the caller's, who knows how much time is left and what a lost answer
/// means. Gives the Region too.
///
/// # Errors
/// What is missing or wrong.
pub(crate) async fn client(access: &Access) -> Result<(Client, Option<String>), AccessError> {
    let config = access.load().await?;
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(CALL_TIMEOUT).build();
    let mut builder = aws_sdk_dynamodb::config::Builder::from(&config)
        .interceptor(CALLS)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(url) = &access.endpoint_url {
        // Only this client's: an assumed role is asked for at its own service.
        builder = builder.endpoint_url(url);
    }
    Ok((Client::from_conf(builder.build()), config.region().map(ToString::to_string)))
}

/// A lease table in DynamoDB.
#[derive(Debug)]
pub struct Dynamo {
    client: Client,
    table: String,
    start: Start,
    rows: Rows,
}

impl Dynamo {
    /// Finds region and credentials, and the table: one that is being created is waited for, one that is missing is
    /// created if the settings say so.
    ///
    /// # Errors
    /// What is missing or wrong, and the way out; [`TableError::Retry`] if the same may work a moment later.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let (client, region) = client(&settings.access).await?;
        let wanted = Wanted {
            kind: setup::LEASES,
            table: &settings.table,
            create: settings.create,
            region: region.as_deref(),
            endpoint_url: settings.access.endpoint_url.as_deref(),
        };
        Box::pin(setup::ensure(&client, wanted)).await?;
        let rows = Rows::new(&settings.table, settings.start);
        Ok(Self { client, table: settings.table.clone(), start: settings.start, rows })
    }

    fn target<'a>(&'a self, action: &'static str, row: Option<&'a LeaseKey>) -> Target<'a> {
        Target { table: &self.table, action, row }
    }

    async fn scan_all(&self) -> Result<Vec<Lease>, TableError> {
        let mut leases = Vec::new();
        let mut from = None;
        for _ in 0..MAX_PAGES {
            let call = self.client.scan().table_name(&self.table).consistent_read(true);
            let sent = Box::pin(call.set_exclusive_start_key(from.take()).send()).await;
            let page = sent.map_err(|err| self.target("Scan", None).error(&err))?;
            leases.extend(page.items.unwrap_or_default().iter().filter_map(|item| self.rows.lease(item)));
            from = page.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(leases);
            }
        }
        Err(TableError::Retry { table: self.table.clone(), reason: format!("Scan: no end after {MAX_PAGES} pages") })
    }

    async fn get_one(&self, key: LeaseKey) -> Result<Option<Lease>, TableError> {
        let call = self.client.get_item().table_name(&self.table).key(attribute::KEY, row::text(&key));
        let sent = Box::pin(call.send()).await;
        let answer = sent.map_err(|err| self.target("GetItem", Some(&key)).error(&err))?;
        Ok(answer.item.and_then(|item| self.rows.lease(&item)))
    }

    async fn create_one(&self, lease: Lease) -> Result<bool, TableError> {
        let target = self.target("PutItem", Some(&lease.key));
        let item = row::new(&lease, self.start).ok_or_else(|| target.no_position())?;
        let call = self.client.put_item().table_name(&self.table).set_item(Some(item));
        match Box::pin(call.condition_expression(expression::IS_NEW).send()).await {
            Ok(_) => Ok(true),
            Err(err) => match err.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(target.error(&err)),
            },
        }
    }

    async fn update_one(&self, update: Update) -> Result<Answer, TableError> {
        let target = self.target("UpdateItem", Some(&update.key));
        let expression = Expression::of(&update, self.start).ok_or_else(|| target.no_position())?;
        let call = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(attribute::KEY, row::text(&update.key))
            .condition_expression(expression.condition())
            .update_expression(expression.update())
            .set_expression_attribute_values(Some(expression.values()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let lease = |item: Option<&Item>| item.and_then(|item| self.rows.lease(item));
        match Box::pin(call.send()).await {
            // What was written is readable, unless somebody writes nonsense into the row's other attributes.
            Ok(answer) => match lease(answer.attributes.as_ref()) {
                Some(lease) => Ok(Answer::Applied(lease)),
                None => Err(target.unreadable()),
            },
            Err(err) => match err.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(Answer::Refused(lease(refusal.item())))
                }
                _ => Err(target.error(&err)),
            },
        }
    }

    async fn delete_one(&self, key: LeaseKey, counter: u64) -> Result<bool, TableError> {
        let call = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(attribute::KEY, row::text(&key))
            .condition_expression(expression::IS_UNCHANGED)
            .expression_attribute_values(":counter", AttributeValue::N(counter.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match Box::pin(call.send()).await {
            Ok(_) => Ok(true),
            Err(err) => match err.as_service_error() {
                // No row at all: an earlier try deleted it, or another worker.
                Some(DeleteItemError::ConditionalCheckFailedException(refusal)) => {
                    Ok(refusal.item().is_none_or(Item::is_empty))
                }
                _ => Err(self.target("DeleteItem", Some(&key)).error(&err)),
            },
        }
    }
}

impl Table for Dynamo {
    fn name(&self) -> &str {
        &self.table
    }

    fn scan(&self) -> BoxFuture<'_, Result<Vec<Lease>, TableError>> {
        Box::pin(self.scan_all())
    }

    fn get(&self, key: LeaseKey) -> BoxFuture<'_, Result<Option<Lease>, TableError>> {
        Box::pin(self.get_one(key))
    }

    fn create(&self, lease: Lease) -> BoxFuture<'_, Result<bool, TableError>> {
        Box::pin(self.create_one(lease))
    }

    fn update(&self, update: Update) -> BoxFuture<'_, Result<Answer, TableError>> {
        Box::pin(self.update_one(update))
    }

    fn delete(&self, key: LeaseKey, counter: u64) -> BoxFuture<'_, Result<bool, TableError>> {
        Box::pin(self.delete_one(key, counter))
    }
}
