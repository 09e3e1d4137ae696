//! Access to AWS: Region, credentials, time-outs and transport, chosen once for every service.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::config::{Credentials, ProvideCredentials as _, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::proxies::Proxies;

pub mod actions;
pub(crate) mod bounded;
pub mod calls;
pub(crate) mod error;
pub(crate) mod region;
pub(crate) mod signature;
pub(crate) mod signed;

/// A connection that is not made in this time is tried again: within a region it takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The first byte of an answer comes within a second or two even when the service is slow.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// A whole answer: 10 MiB, 14 MB on the wire, at 2 Mbit/s.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How to reach a service.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Access {
    /// The region, where the environment does not give it.
    pub region: Option<String>,
    /// The profile of the shared configuration files.
    pub profile: Option<String>,
    /// The endpoint, where it is not AWS' own for the region; `http://` works as well.
    pub endpoint_url: Option<String>,
    /// The role to take on with the credentials found.
    pub assume_role: Option<AssumeRole>,
    /// Whose credentials to use.
    pub credentials: CredentialsFrom,
}

/// A role to take on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumeRole {
    /// The role's ARN.
    pub role_arn: String,
    /// The external id that the role's trust policy asks for.
    pub external_id: Option<String>,
    /// The session's name, as CloudTrail shows it.
    pub session_name: Option<String>,
}

/// Where credentials come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CredentialsFrom {
    /// The SDK's chain: environment, profile (SSO, process, role), web identity, container, instance.
    #[default]
    Chain,
    /// Made up, for an endpoint that checks none: one that is embedded in this process.
    MadeUp,
}

/// Why a service cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// No region is known.
    #[error("no AWS region is known: set region in the configuration, pass --region, or set AWS_REGION")]
    NoRegion,
    /// The endpoint is not a URL.
    #[error("endpoint_url {0:?} is no http:// or https:// URL")]
    BadEndpoint(String),
    /// The file that `AWS_CA_BUNDLE` names is of no use.
    #[error("AWS_CA_BUNDLE: {} {reason}", path.display())]
    BadBundle {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No credentials were found, or their source refused.
    #[error(
        "no AWS credentials ({reason}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile, sign in with \
         `aws sso login`, or give the task or instance a role"
    )]
    NoCredentials {
        /// What the sources said, outermost first.
        reason: String,
    },
}

impl Access {
    /// Finds region and credentials. Credentials are asked for once, so that their absence is told here and not by the
    /// first call. `endpoint_url` is checked and left to the caller: it is the service's alone, and a role is asked for
    /// at its own.
    ///
    /// # Errors
    /// What is missing or wrong, and where to set it.
    pub async fn load(&self) -> Result<SdkConfig, AccessError> {
        if let Some(url) = &self.endpoint_url
            && !["http://", "https://"].iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
        {
            return Err(AccessError::BadEndpoint(url.clone()));
        }
        Box::pin(load(self)).await
    }
}

/// The transport: rustls with ring, which needs no C compiler on top; the system's certificates, or those of
/// `AWS_CA_BUNDLE` instead; and the environment's proxy. AWS is asked by https, and what is not (an emulator, the services
/// where instances and containers find their credentials) is near: it is asked directly.
///
/// # Errors
/// The bundle holds no certificates.
pub(crate) fn http_client() -> Result<SharedHttpClient, AccessError> {
    let bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty()).map(PathBuf::from);
    transport(&Proxies::from_env(), bundle.as_deref())
}

fn transport(proxies: &Proxies, bundle: Option<&Path>) -> Result<SharedHttpClient, AccessError> {
    let trusted = bundle.map(trusted).transpose()?.unwrap_or_default();
    let context = TlsContext::builder().with_trust_store(trusted).build();
    let context = context.unwrap_or_else(|_| TlsContext::default());
    let proxy = proxies.https.as_ref().and_then(|url| ProxyConfig::https(url.as_str()).ok());
    let proxy = proxy.map_or_else(ProxyConfig::disabled, |proxy| proxy.no_proxy(&proxies.direct));
    // The builder that takes no function knows of no proxy.
    Ok(Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder();
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        let connector = connector.proxy_config(proxy.clone()).tls_provider(Provider::Rustls(CryptoMode::Ring));
        connector.tls_context(context.clone()).build()
    }))
}

/// The certificates of a bundle, and no others: so do AWS' own tools. The transport would panic at one that it cannot
/// read, so each is read here.
fn trusted(path: &Path) -> Result<TrustStore, AccessError> {
    let bad = |reason: String| AccessError::BadBundle { path: path.to_path_buf(), reason };
    let pem = std::fs::read(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or_else(|| bad(format!("has a damaged certificate behind {} good ones", roots.len())))?;
    }
    if roots.is_empty() {
        return Err(bad("holds no certificate in PEM".to_owned()));
    }
    Ok(TrustStore::empty().with_pem_certificate(pem))
}

async fn load(settings: &Access) -> Result<SdkConfig, AccessError> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    // The transport is given to the loader, so that SSO, STS, containers and instances are asked through it as well.
    let mut loader =
        aws_config::defaults(BehaviorVersion::latest()).http_client(http_client()?).timeout_config(timeouts);
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if settings.credentials == CredentialsFrom::MadeUp {
        loader = loader.credentials_provider(Credentials::new("embedded", "embedded", None, None, "embedded"));
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(AccessError::NoRegion);
    }
    let config = match &settings.assume_role {
        Some(role) => assume(role, config).await,
        None => config,
    };
    let missing = |reason: String| AccessError::NoCredentials { reason };
    let provider = config.credentials_provider().ok_or_else(|| missing("none are configured".to_owned()))?;
    match provider.provide_credentials().await {
        Ok(_) => Ok(config),
        Err(err) => Err(no_credentials(&err)),
    }
}

/// What is said of a source of credentials that gives none.
pub(crate) fn no_credentials(error: &dyn Error) -> AccessError {
    let reason = chain(error).map_or_else(|| error.to_string(), |causes| format!("{error}: {causes}"));
    AccessError::NoCredentials { reason }
}

async fn assume(role: &AssumeRole, config: SdkConfig) -> SdkConfig {
    let name = role.session_name.as_deref().unwrap_or("bedrock-tap");
    let mut builder = AssumeRoleProvider::builder(&role.role_arn).session_name(name);
    if let Some(id) = &role.external_id {
        builder = builder.external_id(id);
    }
    let provider = Box::pin(builder.configure(&config).build()).await;
    config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

/// The causes of an error, outermost first; `None` if it has none.
pub(crate) fn chain(error: &dyn Error) -> Option<String> {
    let mut causes = Vec::new();
    let mut next = error.source();
    // Real chains are a handful of causes deep; the bound is for one that refers to itself.
    while let Some(cause) = next
        && causes.len() < 16
    {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        next = cause.source();
    }
    (!causes.is_empty()).then(|| causes.join(": "))
}
