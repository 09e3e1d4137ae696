//! A signer: signs requests with AWS Signature Version 4, for AWS services and gateways that are reached without their
//! SDK.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_sdk_kinesis::config::{Credentials, ProvideCredentials as _, SharedCredentialsProvider};
use reqwest::Request;
use tokio::sync::Mutex;

use super::SinkError;
use crate::aws::signature::{Scope, sign};
use crate::aws::{Access, no_credentials};

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
        sign(request, credentials, Scope { service: &self.service, region: &self.region }, SystemTime::now())
            .map_err(SinkError::retry)
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_config::credential_process::CredentialProcessProvider;

    fn signer(provider: SharedCredentialsProvider, region: &str, service: &str) -> Signer {
        Signer { service: service.to_owned(), region: region.to_owned(), provider, kept: Mutex::new(None) }
    }

    fn time(text: &str) -> SystemTime {
        text.parse::<jiff::Timestamp>().unwrap().into()
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
