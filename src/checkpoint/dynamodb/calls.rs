//! Calls to the table: each is tried again for a while, and what it cannot do says who can.

use std::sync::{Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, PutRequest, ReturnValuesOnConditionCheckFailure, WriteRequest,
};
use tokio::task::JoinSet;

use super::item::{Item, attribute, key_of, number, size};
use super::watch::Owner;
use crate::checkpoint::CheckpointError;
use crate::lease::dynamodb::error::Target;
use crate::lease::table::TableError;
use crate::sink::retry::Backoff;
use crate::source::BoxFuture;

/// The partition of the owners: one look has all of them.
const OWNERS: &str = "owners";

/// The most items of a BatchWriteItem, and the most bytes that are sent at once. Source: the DynamoDB API reference.
const BATCH_ITEMS: usize = 25;
const BATCH_BYTES: usize = 1 << 20;

/// Batches under way at a time.
const BATCHES: usize = 8;

/// Tries of a call: with the waits between them, about ten seconds. Whoever saves tries again then.
const TRIES: u32 = 8;

/// A table of books, and its client.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) client: Client,
    pub(super) table: String,
}

/// What becomes of an item.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Put(Item),
    /// Its key.
    Delete(Item),
}

impl Write {
    fn size(&self) -> usize {
        let (Self::Put(item) | Self::Delete(item)) = self;
        size(item)
    }

    fn request(self) -> Option<WriteRequest> {
        let request = WriteRequest::builder();
        let request = match self {
            Self::Put(item) => request.put_request(PutRequest::builder().set_item(Some(item)).build().ok()?),
            Self::Delete(key) => request.delete_request(DeleteRequest::builder().set_key(Some(key)).build().ok()?),
        };
        Some(request.build())
    }
}

/// The error of the store.
pub(super) fn refused(error: TableError) -> CheckpointError {
    match error {
        TableError::Retry { table, reason } => CheckpointError::Retry { store: table, source: reason.into() },
        TableError::Denied { table, reason, advice } => {
            let said = format!("{reason}: {advice}; or set `keep_state = false` in [detect]");
            CheckpointError::Retry { store: table, source: said.into() }
        }
        TableError::Unusable { table, reason, advice } => CheckpointError::Fatal {
            store: table,
            advice: format!("{reason}: {advice}; or set `keep_state = false` in [detect]"),
            source: None,
        },
    }
}

impl Calls {
    fn target(&self, action: &'static str) -> Target<'_> {
        Target { table: &self.table, action, row: None }
    }

    /// Tries a call again while it may work a moment later.
    async fn patiently<'c, T>(
        &self,
        mut call: impl FnMut() -> BoxFuture<'c, Result<T, TableError>>,
    ) -> Result<T, CheckpointError> {
        let mut backoff = Backoff::default();
        let mut tries = 0;
        loop {
            tries += 1;
            match call().await {
                Err(TableError::Retry { .. }) if tries < TRIES => tokio::time::sleep(backoff.next_wait()).await,
                result => return result.map_err(refused),
            }
        }
    }

    /// Writes items, in no order: all are durable once this returns.
    pub(super) async fn write(&self, writes: Vec<Write>) -> Result<(), CheckpointError> {
        let mut batches: Vec<(usize, Vec<WriteRequest>)> = Vec::new();
        for write in writes {
            let bytes = write.size();
            let Some(request) = write.request() else { continue };
            match batches.last_mut() {
                Some((sum, batch)) if batch.len() < BATCH_ITEMS && *sum + bytes <= BATCH_BYTES => {
                    *sum += bytes;
                    batch.push(request);
                }
                _ => batches.push((bytes, vec![request])),
            }
        }
        let mut writing = JoinSet::new();
        for (_, batch) in batches {
            if writing.len() >= BATCHES {
                done(writing.join_next().await)?;
            }
            let calls = self.clone();
            writing.spawn(async move { calls.write_batch(batch).await });
        }
        while let Some(ended) = writing.join_next().await {
            done(Some(ended))?;
        }
        Ok(())
    }

    async fn write_batch(&self, batch: Vec<WriteRequest>) -> Result<(), CheckpointError> {
        let left = Mutex::new(batch);
        let left = &left;
        self.patiently(move || {
            Box::pin(async move {
                let batch = left.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let call = self.client.batch_write_item().request_items(&self.table, batch);
                let answer = Box::pin(call.send()).await.map_err(|err| self.target("BatchWriteItem").error(&err))?;
                let throttled = answer.unprocessed_items.and_then(|mut items| items.remove(&self.table));
                let Some(throttled) = throttled.filter(|items| !items.is_empty()) else { return Ok(()) };
                let reason = format!("BatchWriteItem: {} items are throttled", throttled.len());
                *left.lock().unwrap_or_else(PoisonError::into_inner) = throttled;
                Err(TableError::Retry { table: self.table.clone(), reason })
            })
        })
        .await
    }

    /// A page of a partition, as it is now, and where the next begins.
    pub(super) async fn page(
        &self,
        book: &str,
        only_keys: bool,
        from: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), CheckpointError> {
        let from = &from;
        self.patiently(move || {
            Box::pin(async move {
                let mut call = self
                    .client
                    .query()
                    .table_name(&self.table)
                    .consistent_read(true)
                    .key_condition_expression("#b = :b")
                    .expression_attribute_names("#b", attribute::BOOK)
                    .expression_attribute_values(":b", AttributeValue::S(book.to_owned()))
                    .set_exclusive_start_key(from.clone());
                if only_keys {
                    call = call.projection_expression("#b, #p").expression_attribute_names("#p", attribute::PART);
                }
                let answer = Box::pin(call.send()).await.map_err(|err| self.target("Query").error(&err))?;
                let next = answer.last_evaluated_key.filter(|key| !key.is_empty());
                Ok((answer.items.unwrap_or_default(), next))
            })
        })
        .await
    }

    /// The owners of all books.
    pub(super) async fn owners(&self) -> Result<Vec<Owner>, CheckpointError> {
        let (mut owners, mut from) = (Vec::new(), None);
        loop {
            let (items, next) = self.page(OWNERS, false, from).await?;
            owners.extend(items.iter().filter_map(owner));
            from = next;
            if from.is_none() {
                return Ok(owners);
            }
        }
    }

    /// Begins a book. Its name is nobody else's.
    pub(super) async fn begin(&self, book: &str, worker: &str) -> Result<(), CheckpointError> {
        let mut item = key_of(OWNERS, book);
        item.extend([
            (attribute::HOLDER.to_owned(), AttributeValue::S(book.to_owned())),
            (attribute::WORKER.to_owned(), AttributeValue::S(worker.to_owned())),
            (attribute::RENEWED.to_owned(), AttributeValue::N("1".to_owned())),
            (attribute::RELEASED.to_owned(), AttributeValue::Bool(false)),
        ]);
        let item = &item;
        self.patiently(move || {
            Box::pin(async move {
                let call = self.client.put_item().table_name(&self.table).set_item(Some(item.clone()));
                Box::pin(call.send()).await.map(|_| ()).map_err(|err| self.target("PutItem").error(&err))
            })
        })
        .await
    }

    /// Says that the holder of a book lives, or with `is_released` that it lets go, which stands; whether it is the holder
    /// still.
    pub(super) async fn renew(&self, book: &str, holder: &str, is_released: bool) -> Result<bool, CheckpointError> {
        self.patiently(move || {
            Box::pin(async move {
                let mut call = self
                    .client
                    .update_item()
                    .table_name(&self.table)
                    .set_key(Some(key_of(OWNERS, book)))
                    .condition_expression("#h = :h")
                    .update_expression(if is_released { "SET #n = #n + :one, #r = :r" } else { "SET #n = #n + :one" })
                    .expression_attribute_names("#h", attribute::HOLDER)
                    .expression_attribute_names("#n", attribute::RENEWED)
                    .expression_attribute_values(":h", AttributeValue::S(holder.to_owned()))
                    .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
                if is_released {
                    call = call
                        .expression_attribute_names("#r", attribute::RELEASED)
                        .expression_attribute_values(":r", AttributeValue::Bool(true));
                }
                match Box::pin(call.send()).await {
                    Ok(_) => Ok(true),
                    Err(err) => match err.as_service_error() {
                        Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(false),
                        _ => Err(self.target("UpdateItem").error(&err)),
                    },
                }
            })
        })
        .await
    }

    /// Takes a book whose owner stands as it was seen; whether it is taken. An answer that was lost is told by the next.
    pub(super) async fn claim(&self, seen: &Owner, holder: &str, worker: &str) -> Result<bool, CheckpointError> {
        self.patiently(move || {
            Box::pin(async move {
                let call = self
                    .client
                    .update_item()
                    .table_name(&self.table)
                    .set_key(Some(key_of(OWNERS, &seen.book)))
                    .condition_expression("#h = :seen AND #n = :n")
                    .update_expression("SET #h = :h, #w = :w, #n = #n + :one, #r = :r")
                    .expression_attribute_names("#h", attribute::HOLDER)
                    .expression_attribute_names("#w", attribute::WORKER)
                    .expression_attribute_names("#n", attribute::RENEWED)
                    .expression_attribute_names("#r", attribute::RELEASED)
                    .expression_attribute_values(":seen", AttributeValue::S(seen.holder.clone()))
                    .expression_attribute_values(":n", AttributeValue::N(seen.renewed.to_string()))
                    .expression_attribute_values(":h", AttributeValue::S(holder.to_owned()))
                    .expression_attribute_values(":w", AttributeValue::S(worker.to_owned()))
                    .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
                    .expression_attribute_values(":r", AttributeValue::Bool(false))
                    .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
                match Box::pin(call.send()).await {
                    Ok(_) => Ok(true),
                    Err(err) => match err.as_service_error() {
                        Some(UpdateItemError::ConditionalCheckFailedException(refusal)) => {
                            Ok(refusal.item().and_then(owner).is_some_and(|owner| owner.holder == holder))
                        }
                        _ => Err(self.target("UpdateItem").error(&err)),
                    },
                }
            })
        })
        .await
    }

    /// Deletes what is in a book.
    pub(super) async fn empty(&self, book: &str) -> Result<(), CheckpointError> {
        let mut from = None;
        loop {
            let (keys, next) = self.page(book, true, from).await?;
            self.write(keys.into_iter().map(Write::Delete).collect()).await?;
            from = next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Deletes a book that this process holds.
    pub(super) async fn end(&self, book: &str, holder: &str) -> Result<(), CheckpointError> {
        self.empty(book).await?;
        self.patiently(move || {
            Box::pin(async move {
                let call = self
                    .client
                    .delete_item()
                    .table_name(&self.table)
                    .set_key(Some(key_of(OWNERS, book)))
                    .condition_expression("#h = :h")
                    .expression_attribute_names("#h", attribute::HOLDER)
                    .expression_attribute_values(":h", AttributeValue::S(holder.to_owned()));
                match Box::pin(call.send()).await {
                    Ok(_) => Ok(()),
                    Err(err) => match err.as_service_error() {
                        // It is gone, or another's, who takes up what is left of it.
                        Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
                        _ => Err(self.target("DeleteItem").error(&err)),
                    },
                }
            })
        })
        .await
    }
}

/// What a batch's task came to.
fn done(ended: Option<Result<Result<(), CheckpointError>, tokio::task::JoinError>>) -> Result<(), CheckpointError> {
    match ended {
        Some(Ok(result)) => result,
        Some(Err(_)) => Err(CheckpointError::Fatal {
            store: "of what is remembered".to_owned(),
            advice: "writing it panicked; the log says where, please report it".to_owned(),
            source: None,
        }),
        None => Ok(()),
    }
}

fn owner(item: &Item) -> Option<Owner> {
    let text = |name| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    Some(Owner {
        book: text(attribute::PART)?,
        holder: text(attribute::HOLDER)?,
        worker: text(attribute::WORKER)?,
        renewed: number(item, attribute::RENEWED)?,
        is_released: item.get(attribute::RELEASED).is_some_and(|value| value.as_bool() == Ok(&true)),
    })
}
