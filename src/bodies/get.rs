//! A get: one request for one object, and what its failure means.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectError;

use super::State;
use super::allowed::split;
use super::patience::{Miss, Then};
use crate::aws::error::{Failure, Meaning};

/// Gets the bytes of an object. `take` is told how many there will be, before they come, and gives what holds their place.
pub(super) async fn object<Hold>(
    client: &Client,
    path: &str,
    limit: usize,
    take: impl FnOnce(usize) -> Option<Hold>,
) -> Result<(Vec<u8>, Hold), Miss> {
    let miss = |state, then, code: &str| Miss { state, then, code: code.to_owned() };
    let too_large = || miss(State::TooLarge, Then::GiveUp, "more bytes than allowed");
    let (bucket, key) = split(path).ok_or_else(|| miss(State::NotAllowed, Then::GiveUp, "no path in S3"))?;
    let sent = Box::pin(client.get_object().bucket(bucket).key(key).send()).await;
    let mut answer = sent.map_err(|error| meaning(&error))?;
    // An answer without a length may be as long as allowed.
    let length = answer.content_length().and_then(|length| usize::try_from(length).ok());
    let promised = length.unwrap_or(limit);
    if promised > limit {
        return Err(too_large());
    }
    let hold = take(promised).ok_or_else(|| miss(State::Failed, Then::MakeRoom, "no memory is free"))?;
    let mut bytes = Vec::with_capacity(length.unwrap_or_default());
    while let Some(chunk) = answer.body.next().await {
        let chunk = chunk.map_err(|_| miss(State::Failed, Then::Retry, "the answer broke off, or is damaged"))?;
        if bytes.len() + chunk.len() > promised {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, hold))
}

fn meaning(error: &SdkError<GetObjectError>) -> Miss {
    let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
    let Failure { meaning, code, .. } = Failure::read(error);
    let (state, then) = match (code.as_str(), meaning, status) {
        ("NoSuchBucket", ..) => (State::Missing, Then::GiveUp),
        // Archived: a person would have to restore it.
        ("InvalidObjectState", ..) => (State::Failed, Then::GiveUp),
        (_, Meaning::Throttled, _) => (State::Failed, Then::Retry),
        (_, _, 404) => (State::Missing, Then::AwaitLanding),
        // What is not there is denied too, if the role may not list. Source: the Amazon S3 API reference, `GetObject`.
        (_, Meaning::Denied, _) => (State::Denied, Then::AwaitLanding),
        (_, Meaning::Invalid, _) => (State::Failed, Then::GiveUp),
        ("RequestTimeout", ..) | (_, _, 408) => (State::Timeout, Then::Retry),
        (_, _, 300..=499) => (State::Failed, Then::GiveUp),
        _ if matches!(error, SdkError::TimeoutError(_)) => (State::Timeout, Then::Retry),
        _ => (State::Failed, Then::Retry),
    };
    Miss { state, then, code }
}
