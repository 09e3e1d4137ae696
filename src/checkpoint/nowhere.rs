//! A store that keeps nothing: for what is delivered once and has no position to come back to, such as an object whose
//! notification is deleted, or a request that is answered.

use super::{CheckpointError, Commits, Stored};
use crate::delivery::{Announcement, Delivered};
use crate::record::Partition;
use crate::source::BoxFuture;

/// Takes every commit and forgets it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Commits for Nowhere {
    fn commit(&self, _: Delivered) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn announce(&self, _: Announcement) -> BoxFuture<'_, Result<(), CheckpointError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn stored(&self, _: &Partition) -> BoxFuture<'_, Result<Stored, CheckpointError>> {
        Box::pin(std::future::ready(Ok(Stored::default())))
    }
}
