//! A failure: what came back from a service instead of an answer, and what its code means whichever service it is.

use std::error::Error;
use std::fmt;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;

use super::chain;

/// What a person does about credentials that a service does not take.
pub(crate) const CREDENTIALS_ADVICE: &str =
    "check the credentials (expired, revoked, of another account or partition) and this host's clock";

/// What a person does about a call that fails again and again.
pub(crate) const RETRY_ADVICE: &str =
    "it is tried again; if it lasts, check the network path, endpoint_url and the credentials' source";

/// Writes what a service said of a failed call, behind what it was.
pub(crate) fn write_words(f: &mut fmt::Formatter<'_>, message: Option<&str>, request_id: Option<&str>) -> fmt::Result {
    message.map_or(Ok(()), |message| write!(f, ": {message}"))?;
    request_id.map_or(Ok(()), |id| write!(f, " (request {id})"))
}

/// What a failure means at every service; a service's own codes come before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The service asks for fewer calls.
    Throttled,
    /// It may work the next time.
    Retry,
    /// A person has to grant, enable or repair something.
    Denied,
    /// The request is none that the service takes.
    Invalid,
}

/// A call that failed. It never holds a request's or an answer's body.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What it means.
    pub(crate) meaning: Meaning,
    /// The error's code as the service wrote it, or what happened on the way.
    pub(crate) code: String,
    /// What the service said about it.
    pub(crate) message: Option<String>,
    /// The id to quote to AWS support.
    pub(crate) request_id: Option<String>,
}

impl Failure {
    /// Reads an error of the SDK.
    pub(crate) fn read<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + Error + 'static,
    {
        // The sources of an answer that could not be read are left out: they may quote it.
        let (meaning, code, message) = match error {
            SdkError::ConstructionFailure(_) => (Meaning::Invalid, "the request cannot be made", chain(error)),
            SdkError::TimeoutError(_) => (Meaning::Retry, "no answer in time", None),
            SdkError::DispatchFailure(_) => (Meaning::Retry, "the request was not answered", chain(error)),
            SdkError::ResponseError(raw) => {
                (meaning_of(None, raw.raw().status().as_u16()), "the answer is not readable", None)
            }
            SdkError::ServiceError(context) => {
                let (err, status) = (context.err(), context.raw().status().as_u16());
                let code = err.code().unwrap_or("an error without a code");
                (meaning_of(err.code(), status), code, err.message().map(str::to_owned))
            }
            _ => (Meaning::Retry, "an unknown failure", None),
        };
        Self { meaning, code: code.to_owned(), message, request_id: error.request_id().map(str::to_owned) }
    }
}

/// The table: by the code where it is known, else by the HTTP status. Sources: the API references of Kinesis and
/// DynamoDB, and botocore's retry data; what none of them knows is retried.
pub(crate) fn meaning_of(code: Option<&str>, status: u16) -> Meaning {
    match code.unwrap_or_default() {
        "ProvisionedThroughputExceededException"
        | "LimitExceededException"
        | "KMSThrottlingException"
        | "ThrottlingException"
        | "ThrottledException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown" => Meaning::Throttled,
        "AccessDeniedException"
        | "AccessDenied"
        | "KMSAccessDeniedException"
        | "KMSDisabledException"
        | "KMSInvalidStateException"
        | "KMSNotFoundException"
        | "KMSOptInRequired"
        | "OptInRequired"
        | "SubscriptionRequiredException"
        | "NotAuthorized"
        | "UnauthorizedException"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "RequestTimeTooSkewed" => Meaning::Denied,
        "InvalidArgumentException" | "ValidationException" | "InvalidParameterValue" => Meaning::Invalid,
        "InternalFailureException"
        | "InternalFailure"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException" => Meaning::Retry,
        _ => match status {
            429 | 509 => Meaning::Throttled,
            401 | 403 => Meaning::Denied,
            _ => Meaning::Retry,
        },
    }
}
