//! A call to the queue that failed: what its code means, and what a person does about it.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::RequestId;

use crate::aws::error::{CREDENTIALS_ADVICE, Failure, Meaning, meaning_of};

/// What the codes of older protocols begin with. SQS sends them to this day.
const OLD_PREFIX: &str = "AWS.SimpleQueueService.";

/// The bytes of an answer that are read: ten messages of 1 MiB together, each character escaped, with room. Source: the
/// Amazon SQS API reference, `ReceiveMessage`.
pub(super) const MAX_ANSWER_BYTES: usize = 16 << 20;

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// It may work the next time.
    Retry,
    /// A person has to grant, enable or correct something.
    Held,
    /// The message is not this receiver's any more, or is deleted.
    Lost,
}

/// A call that failed. It says nothing that the service said, but for its code and the id of the request.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {code}{}", request_id.as_ref().map(|id| format!(", request {id}")).unwrap_or_default())]
pub(super) struct CallError {
    pub(super) policy: Policy,
    pub(super) operation: &'static str,
    pub(super) code: String,
    request_id: Option<String>,
}

impl CallError {
    pub(super) fn read<E>(operation: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + 'static,
    {
        let Failure { meaning, code, message, request_id } = Failure::read(error);
        let (policy, code) = match error {
            SdkError::ServiceError(_) => {
                let code = plain(&code);
                (policy(&code, meaning), code)
            }
            // What happened on the way is this side's to say.
            _ => (Policy::Retry, message.map(|message| format!("{code}: {message}")).unwrap_or(code)),
        };
        Self { policy, operation, code, request_id: request_id.as_deref().map(plain) }
    }

    /// One message of several, or one that an answer does not name.
    pub(super) fn of_entry(operation: &'static str, code: Option<&str>) -> Self {
        let code = code.map_or_else(|| "the answer does not name a message".to_owned(), plain);
        let policy = policy(&code, meaning_of(Some(&code), 400));
        Self { policy, operation, code, request_id: None }
    }

    /// The way out.
    pub(super) fn advice(&self) -> String {
        match self.code.as_str() {
            "QueueDoesNotExist" | "NonExistentQueue" | "QueueDeletedRecently" => {
                "there is no such queue: create it, or correct `queue_url`".to_owned()
            }
            "InvalidAddress" | "UnsupportedOperation" => {
                "the queue is not served there: correct `queue_url` or `queue_endpoint_url`".to_owned()
            }
            "InvalidSecurity" => "use an endpoint with https".to_owned(),
            code if is_of_key(code) => "enable the queue's KMS key, and allow kms:Decrypt on it".to_owned(),
            "AccessDenied" | "AccessDeniedException" => {
                // The action of both forms of a call is that of the single one. Source: the Service Authorization
                // Reference, "Actions, resources, and condition keys for Amazon SQS".
                let action = self.operation.strip_suffix("Batch").unwrap_or(self.operation);
                format!("allow sqs:{action} on the queue, and kms:Decrypt on its key if it has one")
            }
            _ if self.policy == Policy::Held => CREDENTIALS_ADVICE.to_owned(),
            _ => "none is needed if it passes".to_owned(),
        }
    }
}

/// Source of the codes: the Amazon SQS API reference, `ReceiveMessage`, `DeleteMessage`, `ChangeMessageVisibility` and
/// "Common Errors". `InvalidParameterValue` is what SQS says of a handle that has expired, of a message that is not in
/// flight, and of one that would be held for more than 12 hours.
fn policy(code: &str, meaning: Meaning) -> Policy {
    match code {
        "ReceiptHandleIsInvalid" | "MessageNotInflight" | "InvalidParameterValue" | "InvalidIdFormat" => Policy::Lost,
        "QueueDoesNotExist"
        | "NonExistentQueue"
        | "QueueDeletedRecently"
        | "InvalidAddress"
        | "InvalidSecurity"
        | "UnsupportedOperation" => Policy::Held,
        "KMS.ThrottlingException" | "KmsThrottled" => Policy::Retry,
        _ if is_of_key(code) || meaning == Meaning::Denied => Policy::Held,
        _ => Policy::Retry,
    }
}

/// Whether the trouble is with the key that the queue is encrypted with.
fn is_of_key(code: &str) -> bool {
    code.starts_with("KMS.") || code.starts_with("Kms")
}

/// A code as it is compared and logged: without the prefix of older protocols, and only if it looks like one. It comes
/// from outside.
pub(super) fn plain(code: &str) -> String {
    let code = code.strip_prefix(OLD_PREFIX).unwrap_or(code);
    let is_plain = (1..=100).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b' '));
    if is_plain { code.to_owned() } else { "an unknown code".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_to_do() {
        let check = |code: &str, expected: Policy, advice: &str| {
            let error = CallError::of_entry("DeleteMessageBatch", Some(code));
            assert_eq!(error.policy, expected, "{code}");
            assert!(error.advice().contains(advice), "{code}: {}", error.advice());
        };
        check("AccessDenied", Policy::Held, "sqs:DeleteMessage on");
        check("AWS.SimpleQueueService.NonExistentQueue", Policy::Held, "queue_url");
        check("KMS.DisabledException", Policy::Held, "kms:Decrypt");
        check("KMS.ThrottlingException", Policy::Retry, "");
        check("ExpiredToken", Policy::Held, "credentials");
        check("ReceiptHandleIsInvalid", Policy::Lost, "");
        check("InvalidParameterValue", Policy::Lost, "");
        check("RequestThrottled", Policy::Retry, "");
        check("OverLimit", Policy::Retry, "");
        check("InternalError", Policy::Retry, "");
        check("a prompt \u{1b}[2J", Policy::Retry, "");
        let shown = CallError::of_entry("DeleteMessageBatch", Some("a prompt\n")).to_string();
        assert_eq!(shown, "DeleteMessageBatch: an unknown code");
    }
}
