//! What a failed call means: one table from everything that the service, the network or the credentials can say to
//! what the reader does next.

use std::error::Error;
use std::fmt;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;

use crate::aws::error::{CREDENTIALS_ADVICE, Failure, Meaning, RETRY_ADVICE, meaning_of, write_words};

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The service asks for fewer calls: wait, then go on more slowly.
    Throttled,
    /// It may work next time: wait, then call again.
    Retry,
    /// Ask for a new iterator after the last record that was read.
    IteratorExpired,
    /// Begin the listing again from its first page.
    TokenExpired,
    /// The stream is not active: wait until it is.
    StreamBusy,
    /// A person has to grant, enable or repair something: keep the position, say so, retry slowly.
    Denied,
    /// The stream or the shard does not exist (any more).
    ResourceGone,
    /// The service does not take the position, or another argument.
    BadPosition,
}

/// A call that failed. Displayed, it names the call, its resource, what the service said, and the way out; it never
/// holds a request's or an answer's body.
#[derive(Debug)]
pub struct CallError {
    /// What the caller does next.
    pub policy: Policy,
    /// The API operation, such as `GetRecords`; with `kinesis:` before it, the IAM action.
    pub operation: &'static str,
    /// The stream's ARN or name, and the shard where there is one.
    pub resource: String,
    /// The error's code as the service wrote it, or what happened on the way.
    pub code: String,
    /// What the service said about it.
    pub message: Option<String>,
    /// The id to quote to AWS support.
    pub request_id: Option<String>,
}

impl CallError {
    /// Reads an error of the SDK.
    pub fn new<E>(operation: &'static str, resource: impl Into<String>, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + Error + 'static,
    {
        let Failure { meaning, code, message, request_id } = Failure::read(error);
        let policy = policy_of(&code).unwrap_or_else(|| meaning.into());
        Self { policy, operation, resource: resource.into(), code, message, request_id }
    }

    /// Reads an error of the SDK that came inside an event stream; `code` names an exception, where the SDK knows it.
    pub fn in_stream<E, R>(
        operation: &'static str,
        resource: impl Into<String>,
        error: &SdkError<E, R>,
        code: impl FnOnce(&E) -> Option<&str>,
    ) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug,
    {
        // As above: the sources of what could not be read are left out.
        let (policy, code, message) = match error {
            SdkError::ServiceError(context) => {
                // There is no status: the answer as a whole was a success.
                let code = code(context.err());
                let policy = code.and_then(policy_of).unwrap_or_else(|| meaning_of(code, 0).into());
                (policy, code.unwrap_or("an error without a code"), context.err().message())
            }
            SdkError::DispatchFailure(_) => (Policy::Retry, "the connection broke off", None),
            SdkError::ResponseError(_) => (Policy::Retry, "what came is not readable", None),
            _ => (Policy::Retry, "an unknown failure", None),
        };
        let (code, message) = (code.to_owned(), message.map(str::to_owned));
        Self { policy, operation, resource: resource.into(), code, message, request_id: None }
    }

    /// A sentence for the person who runs this.
    pub fn advice(&self) -> String {
        let Self { operation, resource, .. } = self;
        match (self.policy, self.code.as_str()) {
            (_, "KMSAccessDeniedException") => {
                format!("grant kms:Decrypt on the key that encrypts {resource} to the role that reads it")
            }
            (_, "KMSDisabledException" | "KMSInvalidStateException" | "KMSNotFoundException") => {
                format!("enable or restore the KMS key that encrypts {resource}")
            }
            (_, "KMSOptInRequired" | "OptInRequired" | "SubscriptionRequiredException") => {
                "sign the account up for the service that the message names".to_owned()
            }
            (Policy::Denied, "AccessDeniedException" | "AccessDenied") => {
                format!("grant kinesis:{operation} on {resource} to the role that reads it")
            }
            (Policy::Denied, _) => CREDENTIALS_ADVICE.to_owned(),
            (Policy::Throttled, _) => {
                format!("other consumers share the limits of {resource}: lower calls_per_second, or add shards")
            }
            (Policy::Retry, _) => RETRY_ADVICE.to_owned(),
            (Policy::IteratorExpired, _) => "a new iterator is asked for; nothing to do".to_owned(),
            (Policy::TokenExpired, _) => "the listing begins again; nothing to do".to_owned(),
            (Policy::StreamBusy, _) => format!("wait until {resource} is ACTIVE"),
            (Policy::ResourceGone, _) => {
                format!("check that {resource} exists, and the region, the account and the endpoint")
            }
            (Policy::BadPosition, _) => format!("check the start position and the name of {resource}"),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}: {}", self.operation, self.resource, self.code)?;
        write_words(f, self.message.as_deref(), self.request_id.as_deref())
    }
}

impl Error for CallError {}

/// What the codes mean that are this service's own. Source: the Kinesis API reference.
fn policy_of(code: &str) -> Option<Policy> {
    match code {
        "ExpiredIteratorException" => Some(Policy::IteratorExpired),
        "ExpiredNextTokenException" => Some(Policy::TokenExpired),
        "ResourceInUseException" => Some(Policy::StreamBusy),
        "ResourceNotFoundException" => Some(Policy::ResourceGone),
        _ => None,
    }
}

impl From<Meaning> for Policy {
    fn from(meaning: Meaning) -> Self {
        match meaning {
            Meaning::Throttled => Self::Throttled,
            Meaning::Retry => Self::Retry,
            Meaning::Denied => Self::Denied,
            Meaning::Invalid => Self::BadPosition,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, status: u16, expected: Policy, advice: &str) {
        let code = (!code.is_empty()).then_some(code);
        let policy = code.and_then(policy_of).unwrap_or_else(|| meaning_of(code, status).into());
        assert_eq!(policy, expected, "{code:?} {status}");
        let error = CallError {
            policy,
            operation: "GetRecords",
            resource: "stream/logs".to_owned(),
            code: code.unwrap_or_default().to_owned(),
            message: None,
            request_id: None,
        };
        let given = error.advice();
        assert!(given.contains(advice), "{code:?} {status}: {given:?} lacks {advice:?}");
        assert!(!given.is_empty() && !given.ends_with('.'), "{given:?} is no fragment");
    }

    #[test]
    fn each_error_has_its_policy_and_its_advice() {
        use Policy::*;
        let rows = [
            ("ProvisionedThroughputExceededException", 400, Throttled, "calls_per_second"),
            ("LimitExceededException", 400, Throttled, "calls_per_second"),
            ("ThrottlingException", 400, Throttled, "calls_per_second"),
            ("KMSThrottlingException", 400, Throttled, "limits"),
            ("", 429, Throttled, "calls_per_second"),
            ("", 509, Throttled, "calls_per_second"),
            ("InternalFailureException", 500, Retry, "tried again"),
            ("", 500, Retry, "tried again"),
            ("", 502, Retry, "tried again"),
            ("", 503, Retry, "tried again"),
            ("", 504, Retry, "tried again"),
            ("SomethingNewException", 400, Retry, "tried again"),
            ("DryRunOperationException", 400, Retry, "tried again"),
            ("ExpiredIteratorException", 400, IteratorExpired, "new iterator"),
            ("ExpiredNextTokenException", 400, TokenExpired, "begins again"),
            ("ResourceInUseException", 400, StreamBusy, "ACTIVE"),
            ("AccessDeniedException", 400, Denied, "kinesis:GetRecords on stream/logs"),
            ("KMSAccessDeniedException", 400, Denied, "kms:Decrypt"),
            ("KMSDisabledException", 400, Denied, "KMS key"),
            ("KMSInvalidStateException", 400, Denied, "KMS key"),
            ("KMSNotFoundException", 400, Denied, "KMS key"),
            ("KMSOptInRequired", 400, Denied, "sign the account up"),
            ("UnrecognizedClientException", 400, Denied, "credentials"),
            ("InvalidSignatureException", 400, Denied, "clock"),
            ("ExpiredTokenException", 400, Denied, "expired"),
            ("", 403, Denied, "credentials"),
            ("ResourceNotFoundException", 400, ResourceGone, "exists"),
            ("InvalidArgumentException", 400, BadPosition, "start position"),
            ("ValidationException", 400, BadPosition, "start position"),
        ];
        for (code, status, expected, advice) in rows {
            check(code, status, expected, advice);
        }
    }
}
