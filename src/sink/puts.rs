//! Puts: calls of an AWS service that write many records at a time, what their answers say of each record, and what a
//! person can do about those that fail.

use std::error::Error;
use std::time::Duration;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;

use super::{SinkError, service};
use crate::aws::error::{CREDENTIALS_ADVICE, Failure, Meaning, meaning_of};

/// The longest time that a call takes, unless a test is in a hurry: 10 MiB, 14 MB on the wire, at 2 Mbit/s. Whoever gives
/// up sooner sends again what may have arrived.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Whom puts are for.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The call, as an IAM action: `kinesis:PutRecords`.
    pub(super) put: &'static str,
    /// The stream, as errors name it: its ARN, or its kind and name.
    pub(super) resource: String,
    /// What a person can do about an error of this code, where the service has its own answer.
    pub(super) advice: fn(code: &str) -> Option<&'static str>,
}

/// A call that did not do what it was to. It quotes nothing that was sent, nor what the service said of it.
#[derive(Debug, thiserror::Error)]
#[error("{action} on {resource}: {what}; {advice}")]
pub(super) struct PutError {
    action: &'static str,
    resource: String,
    what: String,
    advice: String,
}

/// What an answer says of a record: that it is durable, or the code of an error. What has no id was not taken.
pub(super) fn entry<'a>(id: Option<&str>, code: Option<&'a str>) -> Result<(), &'a str> {
    match code.filter(|code| !code.is_empty()) {
        Some(code) => Err(code),
        None if id.is_some_and(|id| !id.is_empty()) => Ok(()),
        None => Err("NoAnswer"),
    }
}

impl Target {
    /// What is left of a batch, of which the records at `sent` were sent, and `refused` were not because they never can
    /// be. Sent records that the answer says nothing of are as those that failed.
    pub(super) fn settle<'a>(
        &self,
        sent: &[usize],
        entries: impl Iterator<Item = Result<(), &'a str>>,
        refused: Vec<(usize, String)>,
    ) -> Result<(), SinkError> {
        let entries = entries.chain(std::iter::repeat(entry(None, None)));
        let (mut retry, mut first) = (Vec::new(), None);
        for (place, entry) in sent.iter().zip(entries) {
            if let Err(code) = entry {
                retry.push(*place);
                first = first.or(Some(code));
            }
        }
        let Some(code) = first else {
            return if refused.is_empty() { Ok(()) } else { Err(SinkError::refused_items(refused)) };
        };
        let what = format!("{} of {} records failed, the first with {}", retry.len(), sent.len(), name(code));
        let error = self.error(self.put, what, code, meaning_of(Some(code), 0));
        // Where nothing got through, the destination may be down.
        if retry.len() == sent.len() && refused.is_empty() {
            return Err(SinkError::retry(error));
        }
        Err(SinkError::Partial { retry, refused, after: None, source: Box::new(error) })
    }

    /// What a put that failed means for all its records: they are refused if the service says that the request is wrong,
    /// and held if it says anything else.
    pub(super) fn failed<E>(&self, error: &SdkError<E>) -> SinkError
    where
        E: ProvideErrorMetadata + RequestId + Error + 'static,
    {
        let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
        let failure = Failure::read(error);
        // What the SDK itself cannot make of a request is no word of the service.
        let is_refused = failure.meaning == Meaning::Invalid && matches!(error, SdkError::ServiceError(_));
        if is_refused || status == 413 {
            let Failure { code, message, .. } = failure;
            let answer = format!("{code}: {}", message.unwrap_or_default());
            return SinkError::Refused { answer: super::quoted(&answer) };
        }
        SinkError::Retry { after: service::retry_after(error), source: Box::new(self.call_error(self.put, error)) }
    }

    /// A call that failed, whatever it was for.
    pub(super) fn call_error<E>(&self, action: &'static str, error: &SdkError<E>) -> PutError
    where
        E: ProvideErrorMetadata + RequestId + Error + 'static,
    {
        let Failure { meaning, code, message, request_id } = Failure::read(error);
        // A service's own words may quote what was sent; those about the way there cannot.
        let what = match (error, message) {
            (SdkError::ServiceError(_), _) => name(&code).to_owned(),
            (_, Some(message)) => format!("{code} ({message})"),
            (_, None) => code.clone(),
        };
        let mut error = self.error(action, what, &code, meaning);
        if let Some(id) = request_id {
            error.advice.push_str(&format!(" (request {})", name(&id)));
        }
        error
    }

    /// A stream that is not as it has to be.
    pub(super) fn unfit(&self, action: &'static str, what: String, advice: &str) -> SinkError {
        let (resource, advice) = (self.resource.clone(), advice.to_owned());
        SinkError::retry(PutError { action, resource, what, advice })
    }

    fn error(&self, action: &'static str, what: String, code: &str, meaning: Meaning) -> PutError {
        let resource = self.resource.clone();
        let advice = (self.advice)(code).map(str::to_owned).unwrap_or_else(|| match (meaning, code) {
            (Meaning::Denied, "AccessDeniedException" | "AccessDenied") => {
                format!("grant {action} on it to the role that writes")
            }
            (Meaning::Denied, "KMSOptInRequired" | "OptInRequired" | "SubscriptionRequiredException") => {
                "sign the account up for the service".to_owned()
            }
            (Meaning::Denied, _) => CREDENTIALS_ADVICE.to_owned(),
            _ if code == "ResourceNotFoundException" => {
                "check that it exists, and the Region, the account and the endpoint".to_owned()
            }
            _ => "it is tried again; if it lasts, check the network path, endpoint_url and the quotas".to_owned(),
        });
        PutError { action, resource, what, advice }
    }
}

/// A name that a service gave, such as an error's code, if it is one: it is logged, and quotes nothing.
pub(super) fn name(text: &str) -> &str {
    let is_name =
        (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if is_name { text } else { "an unreadable name" }
}
