//! An SQS queue as a sink: one event a message, ten messages a request, each answered for by itself. What counts as
//! delivered is in the queue, on several servers. In a FIFO queue the event's identity is the deduplication id, so what is
//! delivered again within five minutes is there once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use tracing::{info, warn};

use self::answer::{Verdict, conclude};
use self::error::CallError;
use super::service;
use super::{Batch, Item, Planned, Sink, SinkError, batch, opening};
use crate::aws::Access;
use crate::aws::calls::CALLS;
use crate::format::key::Template;
use crate::source::BoxFuture;

mod answer;
mod error;

/// The bytes of a message, and of all messages of a request together. Source: the Amazon SQS API reference,
/// `SendMessageBatch`. A queue may be set to less; it then refuses what is larger, each message by itself.
pub const MAX_BYTES: usize = 1 << 20;

/// The messages of a request. Source: the Amazon SQS API reference, `SendMessageBatch`.
const MAX_ITEMS: usize = 10;

/// The characters of a message group and of a deduplication id. Source: the Amazon SQS API reference,
/// `SendMessageBatchRequestEntry`.
pub const MAX_GROUP: usize = 128;

/// How batches are made for a queue. The newline that ends an item is not sent.
pub const LIMITS: batch::Settings = batch::Settings {
    max_batch_bytes: MAX_BYTES,
    max_batch_items: MAX_ITEMS,
    max_item_bytes: MAX_BYTES + 1,
    ..batch::Settings::DEFAULT
};

/// Which queue, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How to reach SQS.
    pub access: Access,
    /// The queue's URL.
    pub queue_url: String,
    /// The message group of each event; none sends none. A FIFO queue has to have one.
    pub group: Option<Template>,
    /// Whether the queue is a FIFO queue, whose messages have deduplication ids.
    pub is_fifo: bool,
    /// How long a request may take, its answer included.
    pub timeout: Duration,
}

/// Sends messages to a queue.
struct Sqs {
    client: Client,
    queue_url: String,
    has_groups: bool,
    is_fifo: bool,
}

/// A queue as it is configured; `batch` is within [`LIMITS`].
pub fn planned(settings: Settings, batch: batch::Settings) -> Planned {
    let tags = settings.group.clone().map(Arc::new);
    Planned { opening: opening(Sqs::open(settings)), batch, tags, may_refuse: true }
}

impl Sqs {
    async fn open(settings: Settings) -> anyhow::Result<Self> {
        let Settings { access, queue_url, group, is_fifo, timeout } = settings;
        let config = service::load(&access, timeout).await.with_context(|| format!("the queue {queue_url}"))?;
        let builder = aws_sdk_sqs::config::Builder::from(&config).interceptor(CALLS).interceptor(service::BOUNDED);
        Ok(Self { client: Client::from_conf(builder.build()), queue_url, has_groups: group.is_some(), is_fifo })
    }

    /// The message that an item becomes, if it can be one. Its id is the item's index.
    fn entry(&self, index: usize, item: Item<'_>) -> Option<SendMessageBatchRequestEntry> {
        let tag = |wanted: bool| item.tag.filter(|_| wanted);
        let entry = SendMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .message_body(body(item.bytes())?)
            .set_message_group_id(tag(self.has_groups).map(|tag| tag.key.chars().take(MAX_GROUP).collect()))
            .set_message_deduplication_id(tag(self.is_fifo).map(|tag| tag.id_text()));
        entry.build().ok()
    }

    async fn send(&self, batch: &Batch) -> Result<(), SinkError> {
        let mut verdicts = vec![Verdict::Unanswered; batch.total_items()];
        let mut entries = Vec::with_capacity(verdicts.len());
        for ((index, item), verdict) in batch.items().enumerate().zip(&mut verdicts) {
            match self.entry(index, item) {
                Some(entry) => entries.push(entry),
                None => *verdict = Verdict::Refused("it is empty or no UTF-8, and was not sent".to_owned()),
            }
        }
        if !entries.is_empty() {
            let call = self.client.send_message_batch().queue_url(&self.queue_url).set_entries(Some(entries));
            let answer = Box::pin(call.send()).await.map_err(|error| error::meaning(&error))?;
            answer::read(&mut verdicts, &answer);
        }
        conclude(verdicts)
    }

    async fn ask(&self) -> Result<(), SinkError> {
        let call = self.client.get_queue_attributes().queue_url(&self.queue_url);
        let call = call.attribute_names(QueueAttributeName::MaximumMessageSize);
        let answer = match Box::pin(call.send()).await {
            Ok(answer) => answer,
            Err(error) => {
                let error = CallError::read("GetQueueAttributes", &error);
                if !error.is_right_missing() {
                    return Err(SinkError::retry(error));
                }
                // The right to send is another one, and nothing but a message could tell whether it is there.
                let advice = "allow sqs:GetQueueAttributes to have it asked";
                info!(queue = self.queue_url, advice, "SQS was reached; whether the queue takes messages is not known");
                return Ok(());
            }
        };
        let attributes = answer.attributes.unwrap_or_default();
        let most = attributes.get(&QueueAttributeName::MaximumMessageSize).and_then(|text| text.parse().ok());
        if let Some(most) = most.filter(|most: &usize| *most < MAX_BYTES) {
            let advice = "set the queue's MaximumMessageSize to 1048576";
            warn!(
                queue = self.queue_url,
                most, advice, "the queue refuses larger messages, they go to the dead letter"
            );
        }
        Ok(())
    }
}

impl Sink for Sqs {
    fn deliver(&self, batch: Arc<Batch>) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move { self.send(&batch).await })
    }

    /// Asks for the queue's attributes. Where the right to ask is missing, only that SQS answers is known.
    fn probe(&self) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(self.ask())
    }
}

/// An item as the body of a message; none if it is empty or no UTF-8. SQS takes every character but controls, which no format
/// leaves, and two that stand for nothing: those are written as JSON would escape them. Source: the Amazon SQS API
/// reference, `SendMessage`.
fn body(item: &[u8]) -> Option<String> {
    let text = simdutf8::basic::from_utf8(item).ok().filter(|text| !text.is_empty())?;
    let is_banned = |c: char| matches!(c, '\u{fffe}' | '\u{ffff}');
    // All that SQS does not take begins with this byte in UTF-8, and little else does.
    if memchr::memchr(0xef, item).is_none() || !text.contains(is_banned) {
        return Some(text.to_owned());
    }
    Some(text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqs_does_not_take_is_escaped() {
        let check = |item: &[u8], expected: Option<&str>| assert_eq!(body(item).as_deref(), expected);
        check(br#"{"a":"\u0000"}"#, Some(r#"{"a":"\u0000"}"#));
        check("{\"a\":\"\u{fffe}b\u{ffff}\u{fffd}\"}".as_bytes(), Some("{\"a\":\"\\ufffeb\\uffff\u{fffd}\"}"));
        check("ﬀ\u{10ffff}".as_bytes(), Some("ﬀ\u{10ffff}"));
        check(b"", None);
        check(b"a\xff", None);
    }
}
