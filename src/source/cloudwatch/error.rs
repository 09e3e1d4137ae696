//! What a failed call of CloudWatch Logs means: one table from everything that the service, the network or the
//! credentials can say to what the reader does next.

use std::error::Error;
use std::fmt;

use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::operation::RequestId;

use crate::aws::error::{CREDENTIALS_ADVICE, Failure, Meaning, RETRY_ADVICE, write_words};

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The service asks for fewer calls: wait, then go on more slowly.
    Throttled,
    /// It may work next time: wait, then call again.
    Retry,
    /// A person has to grant or repair something: keep the position, say so, retry slowly.
    Denied,
    /// The log group does not exist (yet, or any more): keep the position, say so, retry slowly.
    NotFound,
    /// The service does not take the request. Of a call with a token it is the token, which expired.
    Invalid,
}

/// A call that failed. Displayed, it names the call, the log group and what the service said; it never holds a request's
/// or an answer's body.
#[derive(Debug)]
pub struct CallError {
    /// What the caller does next.
    pub policy: Policy,
    /// The API operation, such as `FilterLogEvents`; with `logs:` before it, the IAM action.
    pub operation: &'static str,
    /// The log group's name or ARN.
    pub log_group: String,
    /// The Region that was asked.
    pub region: String,
    /// The error's code as the service wrote it, or what happened on the way.
    pub code: String,
    /// What the service said about it.
    pub message: Option<String>,
    /// The id to quote to AWS support.
    pub request_id: Option<String>,
}

impl CallError {
    /// Reads an error of the SDK.
    pub(super) fn new<E>(operation: &'static str, log_group: &str, region: &str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + Error + 'static,
    {
        let Failure { meaning, code, message, request_id } = Failure::read(error);
        let policy = policy_of(&code, meaning);
        Self {
            policy,
            operation,
            log_group: log_group.to_owned(),
            region: region.to_owned(),
            code,
            message,
            request_id,
        }
    }

    /// A sentence for the person who runs this.
    pub fn advice(&self) -> String {
        let Self { operation, log_group, region, .. } = self;
        match (self.policy, self.code.as_str()) {
            (Policy::Denied, "AccessDeniedException" | "AccessDenied") => {
                format!("grant logs:{operation} on the log group {log_group} to the role that reads it")
            }
            (Policy::Denied, _) => CREDENTIALS_ADVICE.to_owned(),
            (Policy::NotFound, _) => format!(
                "check that the log group {log_group} exists in {region}, and the account; one of another account is \
                 named by its ARN"
            ),
            (Policy::Throttled, _) => {
                format!("other callers share the quota of logs:{operation} in {region}: lower calls_per_second")
            }
            (Policy::Retry, _) => RETRY_ADVICE.to_owned(),
            (Policy::Invalid, _) => {
                format!("check the name or ARN of the log group {log_group}, its Region and the filter pattern")
            }
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}: {}", self.operation, self.log_group, self.code)?;
        write_words(f, self.message.as_deref(), self.request_id.as_deref())
    }
}

impl Error for CallError {}

/// The codes that are this service's own, before those of all services. Source: the CloudWatch Logs API reference.
fn policy_of(code: &str, meaning: Meaning) -> Policy {
    match (code, meaning) {
        ("ResourceNotFoundException", _) => Policy::NotFound,
        ("InvalidParameterException" | "InvalidOperationException", _) | (_, Meaning::Invalid) => Policy::Invalid,
        (_, Meaning::Throttled) => Policy::Throttled,
        (_, Meaning::Retry) => Policy::Retry,
        (_, Meaning::Denied) => Policy::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::error::meaning_of;

    #[test]
    fn each_error_has_its_policy_and_its_advice() {
        let check = |code: &str, status: u16, expected: Policy, part: &str| {
            let policy = policy_of(code, meaning_of((!code.is_empty()).then_some(code), status));
            assert_eq!(policy, expected, "{code:?} {status}");
            let error = CallError {
                policy,
                operation: "FilterLogEvents",
                log_group: "/aws/bedrock".to_owned(),
                region: "eu-west-1".to_owned(),
                code: code.to_owned(),
                message: None,
                request_id: None,
            };
            let advice = error.advice();
            assert!(advice.contains(part), "{code:?} {status}: {advice:?} lacks {part:?}");
        };
        check("ThrottlingException", 400, Policy::Throttled, "calls_per_second");
        check("LimitExceededException", 400, Policy::Throttled, "logs:FilterLogEvents in eu-west-1");
        check("", 429, Policy::Throttled, "quota");
        check("ServiceUnavailableException", 500, Policy::Retry, "tried again");
        check("", 502, Policy::Retry, "network");
        check("AccessDeniedException", 400, Policy::Denied, "grant logs:FilterLogEvents on the log group /aws/bedrock");
        check("ExpiredTokenException", 400, Policy::Denied, "credentials");
        check("UnrecognizedClientException", 400, Policy::Denied, "credentials");
        check("ResourceNotFoundException", 400, Policy::NotFound, "/aws/bedrock exists in eu-west-1");
        check("InvalidParameterException", 400, Policy::Invalid, "filter pattern");
        check("ValidationException", 400, Policy::Invalid, "name or ARN");
    }
}
