//! Nothing as a sink: what is delivered is gone. For measurements.

use std::sync::Arc;

use super::{Batch, Sink, SinkError};
use crate::source::BoxFuture;

/// Takes everything and keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Null;

impl Sink for Null {
    fn deliver(&self, _: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
