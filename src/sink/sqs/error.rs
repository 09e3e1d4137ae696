//! A call to SQS that failed: what its code means, and what a person does about it.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::RequestId;
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchError;

use crate::aws::error::{CREDENTIALS_ADVICE, Failure, Meaning, meaning_of};
use crate::sink::{SinkError, quoted, service};

/// What the codes of older protocols begin with. SQS sends them to this day.
const OLD_PREFIX: &str = "AWS.SimpleQueueService.";

/// A call that failed. It says nothing that the service said, but for its code and the id of the request.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {code}{}{}", said(", ", advice), said(", request ", request_id))]
pub(super) struct CallError {
    operation: &'static str,
    code: String,
    advice: Option<&'static str>,
    request_id: Option<String>,
}

fn said(before: &str, text: &Option<impl std::fmt::Display>) -> String {
    text.as_ref().map(|text| format!("{before}{text}")).unwrap_or_default()
}

impl CallError {
    pub(super) fn read<E>(operation: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + 'static,
    {
        let Failure { code, message, request_id, .. } = Failure::read(error);
        let code = match error {
            SdkError::ServiceError(_) => plain(&code),
            // What happened on the way is this side's to say.
            _ => code + &said(": ", &message),
        };
        Self { operation, advice: advice(&code), code, request_id: request_id.as_deref().map(plain) }
    }

    /// Items that are to be sent again, the first with this code.
    pub(super) fn of_items(items: usize, code: &str) -> Self {
        let code = plain(code);
        let advice = advice(&code);
        Self {
            operation: "SendMessageBatch",
            code: format!("{items} messages failed with {code}"),
            advice,
            request_id: None,
        }
    }

    /// Whether the caller is known and may not make this call.
    pub(super) fn is_right_missing(&self) -> bool {
        matches!(self.code.as_str(), "AccessDenied" | "AccessDeniedException")
    }
}

/// What the failure of a whole request means. Only what speaks of messages refuses them: some are then taken in a smaller
/// request, until it is known which are not. A queue answers for each message by itself; doubles of SQS do not always.
pub(super) fn meaning(error: &SdkError<SendMessageBatchError>) -> SinkError {
    if let SdkError::ServiceError(context) = error
        && let Some(code) = context.err().code()
        && is_of_messages(&plain(code))
    {
        return SinkError::Refused { answer: answer(code, context.err().message()) };
    }
    SinkError::Retry {
        after: service::retry_after(error),
        source: Box::new(CallError::read("SendMessageBatch", error)),
    }
}

fn is_of_messages(code: &str) -> bool {
    matches!(
        code,
        "InvalidMessageContents" | "InvalidParameterValue" | "BatchRequestTooLong" | "TooManyEntriesInBatchRequest"
    )
}

/// Whether a message that failed may be taken later, although SQS says that the sender is at fault: it asks for fewer
/// calls, or a person mends the queue, its key or a right.
pub(super) fn is_passing(code: &str) -> bool {
    let code = plain(code);
    let is_known = matches!(code.as_str(), "OverLimit" | "InternalError" | "InternalFailure" | "ServiceUnavailable");
    is_known || is_of_key(&code) || advice(&code).is_some() || meaning_of(Some(&code), 400) == Meaning::Throttled
}

/// A code as it is compared and logged: without the prefix of older protocols, and only if it looks like one. It comes
/// from outside.
fn plain(code: &str) -> String {
    let code = code.strip_prefix(OLD_PREFIX).unwrap_or(code);
    let is_plain = (1..=100).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if is_plain { code.to_owned() } else { "an unknown code".to_owned() }
}

/// Whether the trouble is with the key that the queue is encrypted with.
fn is_of_key(code: &str) -> bool {
    code.starts_with("KMS.") || code.starts_with("Kms")
}

/// The way out. Source of the codes: the Amazon SQS API reference, `SendMessageBatch`, and "Common Errors".
fn advice(code: &str) -> Option<&'static str> {
    match code {
        "QueueDoesNotExist" | "NonExistentQueue" | "QueueDeletedRecently" => {
            Some("there is no such queue: create it, or correct `queue_url` or `region`")
        }
        "InvalidAddress" | "UnsupportedOperation" => {
            Some("the queue is not served there: correct `queue_url`, `region` or `endpoint_url`")
        }
        "InvalidSecurity" => Some("use an endpoint with https"),
        "AccessDenied" | "AccessDeniedException" => {
            Some("allow sqs:SendMessage on the queue, and kms:GenerateDataKey and kms:Decrypt on its key if it has one")
        }
        "KMS.ThrottlingException" | "KmsThrottled" => None,
        _ if is_of_key(code) => Some("enable the queue's KMS key, and allow kms:GenerateDataKey and kms:Decrypt on it"),
        _ if meaning_of(Some(code), 400) == Meaning::Denied => Some(CREDENTIALS_ADVICE),
        _ => None,
    }
}

/// An answer as the dead letter keeps it.
pub(super) fn answer(code: &str, message: Option<&str>) -> String {
    match message.map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) => format!("{}: {}", quoted(code), quoted(message)),
        None => quoted(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_person_or_time_mends_is_sent_again() {
        for code in [
            "QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue",
            "AccessDenied",
            "ExpiredToken",
            "KMS.ThrottlingException",
            "KMS.DisabledException",
            "KmsAccessDenied",
            "OverLimit",
            "RequestThrottled",
            "ThrottlingException",
            "UnsupportedOperation",
            "InvalidAddress",
            "InternalError",
        ] {
            assert!(is_passing(code), "{code}");
        }
        for code in ["InvalidMessageContents", "InvalidParameterValue", "MissingParameter", "MessageTooLong", "", "?"] {
            assert!(!is_passing(code), "{code}");
        }
    }

    #[test]
    fn what_comes_from_outside_is_short() {
        assert_eq!(plain("AWS.SimpleQueueService.BatchRequestTooLong"), "BatchRequestTooLong");
        assert_eq!(plain("a prompt"), "an unknown code");
        assert_eq!(plain(&"a".repeat(101)), "an unknown code");
        assert_eq!(answer("A", None), "A");
        assert_eq!(answer("A", Some(" ")), "A");
        assert_eq!(answer("A", Some(&"é".repeat(999))).chars().count(), 503);
        let error = CallError::of_items(2, "KMS.ThrottlingException");
        assert_eq!(error.to_string(), "SendMessageBatch: 2 messages failed with KMS.ThrottlingException");
        let error = CallError::of_items(1, "a prompt, and advice");
        assert_eq!(error.to_string(), "SendMessageBatch: 1 messages failed with an unknown code");
    }
}
