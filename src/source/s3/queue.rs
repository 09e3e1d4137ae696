//! The queue that notifications come to: its calls, each made once, and what came of each message.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::operation::delete_message_batch::DeleteMessageBatchOutput;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, QueueAttributeName,
};

use super::error::{CallError, MAX_ANSWER_BYTES, Policy};
use crate::aws::bounded::BoundedAnswers;
use crate::aws::calls::CALLS;
use crate::aws::{Access, AccessError};

/// The messages of a call. Source: the Amazon SQS API reference, `ReceiveMessage` and `DeleteMessageBatch`.
pub(super) const MAX_MESSAGES: usize = 10;

/// How long an empty queue is waited at, the longest that there is. Source: the Amazon SQS API reference,
/// `ReceiveMessage`.
const WAIT: Duration = Duration::from_secs(20);

/// How long a call may take beside that: it has to be made again well within the shortest visibility timeout.
const CALL: Duration = Duration::from_secs(5);

/// Which queue, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How to reach SQS.
    pub access: Access,
    /// The queue's URL.
    pub url: String,
}

/// A message as it was received.
#[derive(Debug)]
pub(super) struct Received {
    /// What it says.
    pub(super) body: String,
    /// What its deletion takes.
    pub(super) handle: String,
}

/// What came of each message of a call, in their order.
pub(super) type Verdicts = Vec<Result<(), CallError>>;

/// Calls the queue. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// Finds Region and credentials and makes the client, which tries each call once.
    ///
    /// # Errors
    /// What is missing or wrong, and where to set it.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, AccessError> {
        let config = settings.access.load().await?;
        let timeouts = config.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
        let timeouts = timeouts.read_timeout(WAIT + CALL).operation_timeout(WAIT + CALL).build();
        let mut builder = aws_sdk_sqs::config::Builder::from(&config)
            .interceptor(CALLS)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .interceptor(BoundedAnswers::all(MAX_ANSWER_BYTES));
        if let Some(url) = &settings.access.endpoint_url {
            builder = builder.endpoint_url(url);
        }
        Ok(Self { client: Client::from_conf(builder.build()), url: settings.url.clone() })
    }

    /// Receives up to so many messages, 10 at most, which nobody else sees for as long as `visibility`.
    pub(super) async fn receive(&self, most: usize, visibility: Duration) -> Result<Vec<Received>, CallError> {
        let call = self.client.receive_message().queue_url(&self.url);
        let call = call.max_number_of_messages(most.clamp(1, MAX_MESSAGES) as i32);
        let call = call.wait_time_seconds(seconds(WAIT)).visibility_timeout(seconds(visibility));
        let answer = Box::pin(call.send()).await.map_err(|error| CallError::read("ReceiveMessage", &error))?;
        let messages = answer.messages.unwrap_or_default().into_iter();
        // What cannot be deleted is not read either: it comes again.
        let received = messages.filter_map(|message| {
            Some(Received { body: message.body.unwrap_or_default(), handle: message.receipt_handle? })
        });
        Ok(received.take(most).collect())
    }

    /// Deletes up to ten messages. Where the call as a whole says that a message is lost, each is tried by itself.
    pub(super) async fn delete(&self, handles: &[&str]) -> Verdicts {
        const OPERATION: &str = "DeleteMessageBatch";
        let entries = handles.iter().enumerate().filter_map(|(index, handle)| {
            DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(*handle).build().ok()
        });
        let call = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries.collect()));
        let answer = match tokio::time::timeout(CALL, Box::pin(call.send())).await {
            Err(_) => Err(CallError::of_entry(OPERATION, Some("no answer in time"))),
            Ok(answer) => answer.map_err(|error| CallError::read(OPERATION, &error)),
        };
        match answer {
            Ok(DeleteMessageBatchOutput { successful, failed, .. }) => {
                let failed = failed.iter().map(|entry| (entry.id.as_str(), entry.code.as_str()));
                verdicts(OPERATION, handles.len(), successful.iter().map(|entry| entry.id.as_str()), failed)
            }
            Err(error) if error.policy == Policy::Lost && handles.len() > 1 => {
                let mut verdicts = Vec::with_capacity(handles.len());
                for handle in handles {
                    verdicts.extend(Box::pin(self.delete(&[handle])).await);
                }
                verdicts
            }
            Err(error) => all(handles.len(), &error),
        }
    }

    /// Lets up to ten messages be seen again after this time from now; otherwise as [`Self::delete`].
    pub(super) async fn hide(&self, handles: &[&str], visibility: Duration) -> Verdicts {
        const OPERATION: &str = "ChangeMessageVisibilityBatch";
        let entries = handles.iter().enumerate().filter_map(|(index, handle)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
            entry.receipt_handle(*handle).visibility_timeout(seconds(visibility)).build().ok()
        });
        let call = self.client.change_message_visibility_batch().queue_url(&self.url);
        let call = call.set_entries(Some(entries.collect()));
        let answer = match tokio::time::timeout(CALL, Box::pin(call.send())).await {
            Err(_) => Err(CallError::of_entry(OPERATION, Some("no answer in time"))),
            Ok(answer) => answer.map_err(|error| CallError::read(OPERATION, &error)),
        };
        match answer {
            Ok(answer) => {
                let failed = answer.failed.iter().map(|entry| (entry.id.as_str(), entry.code.as_str()));
                verdicts(OPERATION, handles.len(), answer.successful.iter().map(|entry| entry.id.as_str()), failed)
            }
            Err(error) if error.policy == Policy::Lost && handles.len() > 1 => {
                let mut verdicts = Vec::with_capacity(handles.len());
                for handle in handles {
                    verdicts.extend(Box::pin(self.hide(&[handle], visibility)).await);
                }
                verdicts
            }
            Err(error) => all(handles.len(), &error),
        }
    }

    /// Whether messages that are received too often go to another queue.
    pub(super) async fn has_redrive(&self) -> Result<bool, CallError> {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let call = call.attribute_names(QueueAttributeName::RedrivePolicy);
        let answer = Box::pin(call.send()).await.map_err(|error| CallError::read("GetQueueAttributes", &error))?;
        Ok(answer.attributes.is_some_and(|attributes| attributes.contains_key(&QueueAttributeName::RedrivePolicy)))
    }
}

/// What an answer says of so many messages. One that it does not name, or names as failed as well, failed.
fn verdicts<'a>(
    operation: &'static str,
    count: usize,
    successful: impl Iterator<Item = &'a str>,
    failed: impl Iterator<Item = (&'a str, &'a str)>,
) -> Verdicts {
    let mut verdicts: Verdicts = (0..count).map(|_| Err(CallError::of_entry(operation, None))).collect();
    let at = |id: &str| id.parse().ok().filter(|index: &usize| *index < count);
    for index in successful.filter_map(at) {
        verdicts[index] = Ok(());
    }
    for (index, code) in failed.filter_map(|(id, code)| Some((at(id)?, code))) {
        verdicts[index] = Err(CallError::of_entry(operation, Some(code)));
    }
    verdicts
}

/// What a call that failed says of each of its messages.
fn all(count: usize, error: &CallError) -> Verdicts {
    (0..count).map(|_| Err(CallError::of_entry(error.operation, Some(&error.code)))).collect()
}

/// Whole seconds, which is what SQS takes.
fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_answer_names_as_done_is_done() {
        let check = |successful: &[&str], failed: &[(&str, &str)], expected: &[Option<Policy>]| {
            let found = verdicts("DeleteMessageBatch", 3, successful.iter().copied(), failed.iter().copied());
            let found: Vec<_> = found.iter().map(|verdict| verdict.as_ref().err().map(|error| error.policy)).collect();
            assert_eq!(found, expected, "{successful:?}, {failed:?}");
        };
        let retry = Some(Policy::Retry);
        check(&["2", "0", "1"], &[], &[None, None, None]);
        check(&["0"], &[("1", "InternalError")], &[None, retry, retry]);
        check(&["0", "3", "-1", "x", "99999999999999999999"], &[("7", "a")], &[None, retry, retry]);
        check(&["0", "1", "2"], &[("1", "ReceiptHandleIsInvalid")], &[None, Some(Policy::Lost), None]);
    }
}
