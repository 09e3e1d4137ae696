//! A signer: signs requests with AWS Signature Version 4, for AWS services and gateways that are reached without their
//! SDK.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_sdk_kinesis::config::{Credentials, ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::SinkError;
use crate::aws::{Access, no_credentials};
use crate::json::push_hex;

/// How long credentials are kept at most: what is rotated in a file or an environment of a role is then found.
const LONGEST_KEPT: Duration = Duration::from_secs(15 * 60);

/// Credentials are replaced this long before they expire, so that a slow source does not hold deliveries up.
const RENEWED_BEFORE: Duration = Duration::from_secs(120);

/// Signs requests for one service in one Region.
#[derive(Debug)]
pub struct Signer {
    service: String,
    region: String,
    provider: SharedCredentialsProvider,
    kept: Mutex<Option<(SystemTime, Credentials)>>,
}

/// Why a request is not signed.
#[derive(Debug, thiserror::Error)]
enum SignError {
    /// The body is a stream, whose hash is not known before it is sent.
    #[error("a body that is streamed cannot be signed")]
    Streamed,
    /// The library's reason, which does not quote the request.
    #[error("the request cannot be signed")]
    NotSigned(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Signer {
    /// A signer for `service`, by the name that it has in signatures: `es`, `aoss`, `execute-api`.
    ///
    /// # Errors
    /// No Region or no credentials are known, with where to set them.
    pub async fn new(access: &Access, service: &str) -> anyhow::Result<Self> {
        let config = access.load().await?;
        let region = config.region().context("no AWS region is known")?.to_string();
        let provider = config.credentials_provider().context("no AWS credentials are configured")?;
        Ok(Self { service: service.to_owned(), region, provider, kept: Mutex::new(None) })
    }

    /// Adds the signature's headers to a request that is otherwise complete. Headers that are marked as sensitive are
    /// sent and not signed.
    ///
    /// # Errors
    /// [`SinkError::Retry`]: the credentials' source does not answer, or the body is no bytes.
    pub async fn sign(&self, request: &mut Request) -> Result<(), SinkError> {
        let credentials = self.credentials(SystemTime::now()).await?;
        self.sign_at(request, credentials, SystemTime::now()).map_err(SinkError::retry)
    }

    /// Forgets the credentials, so that the next request asks their source: the service does not take them.
    pub async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    async fn credentials(&self, now: SystemTime) -> Result<Credentials, SinkError> {
        let mut kept = self.kept.lock().await;
        if let Some((until, credentials)) = kept.as_ref()
            && now < *until
        {
            return Ok(credentials.clone());
        }
        let is_valid = |credentials: &Credentials| credentials.expiry().is_none_or(|expiry| expiry > now);
        match (self.provider.provide_credentials().await, kept.as_ref()) {
            (Ok(credentials), _) => {
                let renewal = credentials.expiry().and_then(|expiry| expiry.checked_sub(RENEWED_BEFORE));
                let until = renewal.unwrap_or(now + LONGEST_KEPT).min(now + LONGEST_KEPT);
                *kept = Some((until, credentials.clone()));
                Ok(credentials)
            }
            // The old ones are good as long as they last.
            (Err(_), Some((_, credentials))) if is_valid(credentials) => Ok(credentials.clone()),
            (Err(error), _) => Err(SinkError::retry(no_credentials(&error))),
        }
    }

    fn sign_at(&self, request: &mut Request, credentials: Credentials, now: SystemTime) -> Result<(), SignError> {
        fn not_signed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SignError {
            SignError::NotSigned(error.into())
        }
        let mut settings = SigningSettings::default();
        // OpenSearch Serverless asks for the body's hash as a header; the others take it.
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
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
        let (instructions, _) = sign(signable, &params).map_err(not_signed)?.into_parts();
        let (added, _) = instructions.into_parts();
        for header in added {
            let mut value = HeaderValue::try_from(header.value()).map_err(not_signed)?;
            let name = HeaderName::from_static(header.name());
            value.set_sensitive(header.sensitive() || name == AUTHORIZATION);
            request.headers_mut().insert(name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::client::{Client, Settings};
    use aws_config::credential_process::CredentialProcessProvider;

    fn signer(provider: SharedCredentialsProvider, region: &str, service: &str) -> Signer {
        Signer { service: service.to_owned(), region: region.to_owned(), provider, kept: Mutex::new(None) }
    }

    fn time(text: &str) -> SystemTime {
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    /// AWS's test suite for Signature Version 4, the case `post-x-www-form-urlencoded` with its body signed.
    #[test]
    fn a_signature_is_the_one_that_aws_publishes() {
        let credentials =
            Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test");
        let signer = signer(SharedCredentialsProvider::new(credentials.clone()), "us-east-1", "service");
        let mut request = Client::new(&Settings::default())
            .unwrap()
            .request(reqwest::Method::POST, "https://example.amazonaws.com/".parse().unwrap())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("content-length", "13")
            .body("Param1=value1")
            .build()
            .unwrap();
        signer.sign_at(&mut request, credentials, time("2015-08-30T12:36:00Z")).unwrap();
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

    fn keyed(key: &str, expiry: Option<SystemTime>) -> Credentials {
        Credentials::new(key, "secret", None, expiry, "test")
    }

    #[tokio::test]
    async fn credentials_are_asked_for_again_before_they_expire() {
        let now = time("2026-01-02T03:00:00Z");
        let after = |seconds: u64| now + Duration::from_secs(seconds);
        let check = async |source: SharedCredentialsProvider, kept: Option<(u64, Option<u64>)>, at: u64| {
            let signer = signer(source, "eu-central-1", "es");
            *signer.kept.lock().await = kept.map(|(until, expiry)| (after(until), keyed("kept", expiry.map(after))));
            let found = signer.credentials(after(at)).await;
            let until = signer.kept.lock().await.as_ref().map(|(until, _)| *until);
            (found.ok().map(|credentials| credentials.access_key_id().to_owned()), until)
        };
        let gives = |expiry: Option<u64>| SharedCredentialsProvider::new(keyed("new", expiry.map(after)));
        let fails = || SharedCredentialsProvider::new(CredentialProcessProvider::new("exit 1".to_owned()));
        let (kept, new) = (Some("kept".to_owned()), Some("new".to_owned()));
        assert_eq!(check(gives(None), None, 0).await, (new.clone(), Some(after(900))));
        assert_eq!(check(gives(Some(600)), None, 0).await, (new.clone(), Some(after(480))));
        assert_eq!(check(gives(None), Some((480, Some(600))), 479).await, (kept.clone(), Some(after(480))));
        assert_eq!(check(gives(None), Some((480, Some(600))), 480).await, (new, Some(after(480 + 900))));
        // A source that fails is no trouble as long as what it gave before is good.
        assert_eq!(check(fails(), Some((480, Some(600))), 599).await, (kept.clone(), Some(after(480))));
        assert_eq!(check(fails(), Some((900, None)), 901).await, (kept, Some(after(900))));
        assert_eq!(check(fails(), Some((480, Some(600))), 600).await.0, None);
        assert_eq!(check(fails(), None, 0).await, (None, None));
    }
}
