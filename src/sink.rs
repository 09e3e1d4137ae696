//! A sink: one destination. `deliver` returns once its batch is durable there; batching, retry and dead letters are
//! shared by all sinks and live in `batch`, `retry` and `dead_letter`.

use std::sync::Arc;
use std::time::Duration;

use crate::format::key::Template;
use crate::format::{Lines, Tag};
use crate::record::Partition;
use crate::source::BoxFuture;

mod aside;
pub mod batch;
pub mod client;
pub mod dead_letter;
pub mod elasticsearch;
pub mod file;
pub mod firehose;
pub mod http;
pub mod kinesis;
pub mod null;
pub mod otlp;
mod puts;
pub mod retry;
pub mod s3;
mod service;
mod shown;
pub mod sigv4;
pub mod splunk_hec;
pub mod sqs;
pub mod stdout;

/// One destination.
pub trait Sink: Send + Sync {
    /// Delivers a batch. `Ok` means that every item is durable at the destination. After `Retry` the same batch is
    /// delivered again. Must be safe to cancel: what a dropped future leaves behind must not damage a later batch.
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>>;

    /// Asks the destination whether it can be reached and written to, and leaves nothing there. `Ok` where that cannot be
    /// asked.
    fn probe(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A sink that is to be opened: what it needs is asked for and checked, before anything is read.
pub type Opening = Box<dyn FnOnce() -> BoxFuture<'static, anyhow::Result<Arc<dyn Sink>>> + Send>;

/// A sink that is opened when it is its turn: nothing of `open` is done before.
pub fn opening<S: Sink + 'static>(open: impl Future<Output = anyhow::Result<S>> + Send + 'static) -> Opening {
    Box::new(|| {
        Box::pin(async {
            let sink: Arc<dyn Sink> = Arc::new(open.await?);
            Ok(sink)
        })
    })
}

/// The characters of a destination's answer that go to the dead letter.
const MAX_QUOTED: usize = 500;

/// The beginning of what a destination says, which comes from outside and may be of any length.
fn quoted(text: &str) -> String {
    text.chars().take(MAX_QUOTED).collect()
}

/// A sink as it is configured.
pub struct Planned {
    /// Opens it.
    pub opening: Opening,
    /// How batches are made for it.
    pub batch: batch::Settings,
    /// What it is told of each item beside its bytes; none is told nothing.
    pub tags: Option<Arc<Template>>,
    /// Whether the destination may refuse single items, which then have to be given back as they came.
    pub may_refuse: bool,
}

impl Planned {
    /// A sink that needs nothing to be opened and takes everything.
    pub fn made(sink: Arc<dyn Sink>) -> Self {
        Self::local(Box::new(|| Box::pin(std::future::ready(Ok(sink)))))
    }

    /// A local sink, which takes everything.
    pub fn local(opening: Opening) -> Self {
        Self { opening, batch: batch::Settings::default(), tags: None, may_refuse: false }
    }
}

/// What is delivered at a time: items in the sink's format, in the order in which they were read.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Runs of items, each as the pipeline encoded it.
    pub parts: Vec<Lines>,
    /// What the items are all of, for a sink that is told (see [`batch::Settings::ranges`]).
    pub range: Option<Arc<Range>>,
}

/// A range of a partition: what was read after one position, up to another. Whoever reads it again reads the same, and
/// delivers it as the same range, so that a sink that names what it writes by the range writes it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The partition.
    pub partition: Partition,
    /// The record of the first item, as text: `start` where it is none of a stream.
    pub from: String,
    /// The position that it ends with, as text.
    pub to: String,
}

/// An item of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The item, with the newline that ends it.
    pub line: &'a [u8],
    /// What is known of it, where the sink's output asks for tags.
    pub tag: Option<&'a Tag>,
}

impl<'a> Item<'a> {
    /// The item without its newline.
    pub fn bytes(&self) -> &'a [u8] {
        self.line.strip_suffix(b"\n").unwrap_or(self.line)
    }
}

impl Batch {
    /// The bytes of all items, newlines included.
    pub fn total_bytes(&self) -> usize {
        self.parts.iter().map(|lines| lines.bytes().len()).sum()
    }

    /// The number of items.
    pub fn total_items(&self) -> usize {
        self.parts.iter().map(Lines::len).sum()
    }

    /// All items, in order. An item's index in a [`SinkError`] is its place here.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        self.parts
            .iter()
            .flat_map(|lines| lines.iter().enumerate().map(|(index, line)| Item { line, tag: lines.tag(index) }))
    }

    /// A batch of the items with these indexes, which are in order. It is of no range.
    #[must_use]
    pub fn of_items(&self, indexes: &[usize]) -> Self {
        let (mut some, mut before, mut part) = (Lines::default(), 0, 0);
        for index in indexes {
            while self.parts.get(part).is_some_and(|lines| *index >= before + lines.len()) {
                before += self.parts[part].len();
                part += 1;
            }
            if let Some(lines) = self.parts.get(part) {
                some.push_from(lines, index - before);
            }
        }
        Self { parts: vec![some], range: None }
    }
}

/// Why a batch is not durable, named by what the caller does next. Sources are logged: they never quote items, nor what
/// a destination says of them; that is for the dead letter alone.
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
    /// Everything but these items is durable.
    #[error("the sink delivered a part of the batch")]
    Partial {
        /// Items to deliver again, by their index in the batch.
        retry: Vec<usize>,
        /// Items that are refused for good and go to the dead letter, each with the destination's answer.
        refused: Vec<(usize, String)>,
        /// How long the destination asked to be left alone, if it did.
        after: Option<Duration>,
        /// Why items are to be delivered again.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The destination refuses the batch as it is and none of it is durable: it is delivered again in halves, until it is
    /// known which items are refused.
    #[error("the destination refused the batch")]
    Refused {
        /// The destination's answer.
        answer: String,
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
    /// The batch may be taken later.
    pub fn retry(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Retry { after: None, source: source.into() }
    }

    /// Everything but these items is durable, and these are refused for good.
    pub fn refused_items(refused: Vec<(usize, String)>) -> Self {
        let source = format!("{} items are refused", refused.len()).into();
        Self::Partial { retry: Vec::new(), refused, after: None, source }
    }

    /// Whether the reader of a pipe has closed it, which ends a command without being a failure.
    pub fn is_closed_pipe(&self) -> bool {
        let Self::Stop { source: Some(source), .. } = self else { return false };
        source.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}
