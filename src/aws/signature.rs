//! A signature: AWS Signature Version 4 of one request, for what is reached without an SDK.

use std::error::Error;
use std::time::SystemTime;

use aws_sdk_kinesis::config::Credentials;
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::json::push_hex;

/// What a signature is good for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    /// The service, by the name that it has in signatures: `es`, `aoss`, `bedrock`.
    pub(crate) service: &'a str,
    /// The Region.
    pub(crate) region: &'a str,
}

/// Why a request is not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    /// The body is a stream, whose hash is not known before it is sent.
    #[error("a body that is streamed cannot be signed")]
    Streamed,
    /// The library's reason, which does not quote the request.
    #[error("the request cannot be signed")]
    NotSigned(#[source] Box<dyn Error + Send + Sync>),
}

/// Adds the signature's headers to a request that is otherwise complete. Headers that are marked as sensitive are sent and
/// not signed.
///
/// # Errors
/// See [`SignError`].
pub(crate) fn sign(
    request: &mut Request,
    credentials: Credentials,
    scope: Scope<'_>,
    now: SystemTime,
) -> Result<(), SignError> {
    fn not_signed(error: impl Into<Box<dyn Error + Send + Sync>>) -> SignError {
        SignError::NotSigned(error.into())
    }
    let mut settings = SigningSettings::default();
    // OpenSearch Serverless asks for the body's hash as a header; the others take it.
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(now)
        .settings(settings)
        .build()
        .map_err(not_signed)?
        .into();
    let body = match request.body() {
        None => &[][..],
        Some(body) => body.as_bytes().ok_or(SignError::Streamed)?,
    };
    // The signing library shows headers in its most talkative logs.
    let headers = request.headers().iter().filter(|(_, value)| !value.is_sensitive());
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let (method, url) = (request.method().as_str(), request.url().as_str());
    // Given by its hash, so that the library has nothing of it to show.
    let mut hash = Vec::with_capacity(64);
    push_hex(&mut hash, &Sha256::digest(body));
    let body = SignableBody::Precomputed(String::from_utf8(hash).map_err(not_signed)?);
    let signable = SignableRequest::new(method, url, headers, body).map_err(not_signed)?;
    let (instructions, _) = aws_sigv4::http_request::sign(signable, &params).map_err(not_signed)?.into_parts();
    let (added, _) = instructions.into_parts();
    for header in added {
        let mut value = HeaderValue::try_from(header.value()).map_err(not_signed)?;
        let name = HeaderName::from_static(header.name());
        value.set_sensitive(header.sensitive() || name == AUTHORIZATION);
        request.headers_mut().insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::client::{Client, Settings};

    /// AWS's test suite for Signature Version 4, the case `post-x-www-form-urlencoded` with its body signed.
    #[test]
    fn a_signature_is_the_one_that_aws_publishes() {
        let credentials =
            Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
        let mut request = Client::new(&Settings::default())
            .unwrap()
            .request(reqwest::Method::POST, "https://example.amazonaws.com/".parse().unwrap())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("content-length", "13")
            .body("Param1=value1")
            .build()
            .unwrap();
        let time: jiff::Timestamp = "2015-08-30T12:36:00Z".parse().unwrap();
        sign(&mut request, credentials, Scope { service: "service", region: "us-east-1" }, time.into()).unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        assert_eq!(header("x-amz-date"), "20150830T123600Z");
        assert_eq!(header("x-amz-content-sha256"), "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e");
        assert_eq!(
            header("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-length;content-type;host;x-amz-content-sha256;x-amz-date, \
             Signature=d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"
        );
        assert!(request.headers()["authorization"].is_sensitive());
    }
}
