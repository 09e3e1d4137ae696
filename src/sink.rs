//! A sink: one destination. `deliver` returns once its batch is durable there; batching, retry and dead letters are
//! shared by all sinks and live in `batch`, `retry` and `dead_letter`.

use std::sync::Arc;
use std::time::Duration;

use crate::format::Lines;
use crate::source::BoxFuture;

pub mod batch;
pub mod dead_letter;
pub mod file;
pub mod retry;
pub mod stdout;

/// One destination.
pub trait Sink: Send + Sync {
    /// Delivers a batch. `Ok` means that every line is durable at the destination. After `Retry` the same batch is
    /// delivered again. Must be safe to cancel: what a dropped future leaves behind must not damage a later batch.
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>>;
}

/// What is delivered at a time: lines in the sink's format, in the order in which they were read.
#[derive(Debug, Default)]
pub struct Batch {
    /// Runs of lines, each as the pipeline encoded it.
    pub parts: Vec<Lines>,
}

impl Batch {
    /// The bytes of all lines.
    pub fn total_bytes(&self) -> usize {
        self.parts.iter().map(|lines| lines.bytes().len()).sum()
    }

    /// The number of lines.
    pub fn total_items(&self) -> usize {
        self.parts.iter().map(Lines::len).sum()
    }
}

/// Why a batch is not durable, named by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The destination may take the batch later: deliver it again.
    #[error("the sink cannot deliver now")]
    Retry {
        /// How long the destination asked to be left alone, if it did.
        after: Option<Duration>,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Everything but these items is durable; these are refused for good and go to the dead letter.
    #[error("the destination refused {} items", items.len())]
    Refused {
        /// The item's index in the batch, counted over all parts, and the destination's answer.
        items: Vec<(usize, String)>,
    },
    /// The destination is gone for good (a closed pipe): the process drains and stops.
    #[error("the sink cannot deliver any more: {advice}")]
    Stop {
        /// What a person can do about it.
        advice: String,
        /// What went wrong.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl SinkError {
    /// Whether the reader of a pipe has closed it, which ends a command without being a failure.
    pub fn is_closed_pipe(&self) -> bool {
        let Self::Stop { source: Some(source), .. } = self else { return false };
        source.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
