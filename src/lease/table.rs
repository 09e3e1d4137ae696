//! A lease table: rows that all workers see, and updates on a condition.

use super::protocol::{Answer, Update};
use super::{Lease, LeaseKey};
use crate::source::BoxFuture;

/// Where leases are stored. An error may come although the write was applied: whoever writes again is told by the
/// refusal what stands there.
pub trait Table: Send + Sync {
    /// The table's name, as errors and logs call it.
    fn name(&self) -> &str;

    /// All leases: every page, read consistently. Rows that are no leases are left out.
    fn scan(&self) -> BoxFuture<'_, Result<Vec<Lease>, TableError>>;

    /// One lease, as it is now or was a moment ago: for a look that costs little, not for a decision.
    fn get(&self, key: LeaseKey) -> BoxFuture<'_, Result<Option<Lease>, TableError>>;

    /// Writes a lease if there is no row with its key. Gives whether it did.
    fn create(&self, lease: Lease) -> BoxFuture<'_, Result<bool, TableError>>;

    /// Applies an update on its condition. Attributes that are not part of a lease stay as they are.
    fn update(&self, update: Update) -> BoxFuture<'_, Result<Answer, TableError>>;

    /// Deletes a row if its counter is still this. Gives whether it is gone.
    fn delete(&self, key: LeaseKey, counter: u64) -> BoxFuture<'_, Result<bool, TableError>>;
}

/// Why a table did not answer, named by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It may answer the next time. A write may have been applied.
    #[error("the lease table {table} does not answer: {reason}")]
    Retry {
        /// The table's name.
        table: String,
        /// The call and what came back.
        reason: String,
    },
    /// A person has to grant or repair something: say so, and go on trying slowly.
    #[error("the lease table {table} refuses: {reason}: {advice}")]
    Denied {
        /// The table's name.
        table: String,
        /// The call and what came back.
        reason: String,
        /// What a person can do about it: names the action and the resource.
        advice: String,
    },
    /// The table is not there, or is none of leases: the process stops.
    #[error("the lease table {table} cannot be used: {reason}: {advice}")]
    Unusable {
        /// The table's name.
        table: String,
        /// What is wrong with it.
        reason: String,
        /// What a person can do about it.
        advice: String,
    },
}
