//! Auth: in whose name requests are sent.

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Request;
use reqwest::header::{AUTHORIZATION, HeaderValue};

use crate::aws::Access;
use crate::config::Secret;
use crate::sink::SinkError;
use crate::sink::shown::Shown;
use crate::sink::sigv4::Signer;

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// An API key, encoded as Elasticsearch gives it out.
    ApiKey(Secret),
    /// A user with a password.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An identity of AWS, for OpenSearch there.
    Sigv4 {
        /// Where its credentials and Region come from.
        access: Access,
        /// The service's name in signatures: `es` or `aoss`.
        service: String,
    },
}

/// What a request is sent with.
#[derive(Debug)]
pub(super) enum Auth {
    /// Nothing.
    None,
    /// A header.
    Header(Shown<HeaderValue>),
    /// A signature.
    Signed(Signer),
}

impl Auth {
    pub(super) async fn new(credentials: Option<Credentials>) -> anyhow::Result<Self> {
        Ok(match credentials {
            None => Self::None,
            Some(Credentials::Sigv4 { access, service }) => Self::Signed(Signer::new(&access, &service).await?),
            Some(from) => Self::Header(Shown::new(move || header(&from))?),
        })
    }

    /// Adds to a request that is otherwise complete what says who sends it.
    pub(super) async fn apply(&self, request: &mut Request) -> Result<(), SinkError> {
        match self {
            Self::None => Ok(()),
            Self::Header(header) => {
                request.headers_mut().insert(AUTHORIZATION, HeaderValue::clone(&header.get()));
                Ok(())
            }
            Self::Signed(signer) => signer.sign(request).await,
        }
    }

    /// Asks again where credentials are from: the cluster does not take those at hand. If there are none, they stand.
    pub(super) async fn renew(&self) {
        match self {
            Self::None => {}
            Self::Header(header) => {
                if let Err(error) = header.renew().await {
                    tracing::debug!(error = format!("{error:#}"), "the credentials cannot be read again");
                }
            }
            Self::Signed(signer) => signer.forget().await,
        }
    }
}

/// The header, as a secret that is not shown.
fn header(from: &Credentials) -> anyhow::Result<HeaderValue> {
    let text = match from {
        Credentials::ApiKey(secret) => {
            let key = secret.read().context("`auth.api_key`")?;
            [b"ApiKey ".as_slice(), key.trim_ascii()].concat()
        }
        Credentials::Basic { user, password } => {
            let password = password.read().context("`auth.basic.password`")?;
            let both = [user.as_bytes(), b":", &password].concat();
            format!("Basic {}", BASE64_STANDARD.encode(both)).into_bytes()
        }
        Credentials::Sigv4 { .. } => Vec::new(),
    };
    // The library's error quotes nothing, and says no more than this.
    let mut value =
        HeaderValue::from_bytes(&text).ok().context("the secret cannot be in a header: it has line breaks")?;
    value.set_sensitive(true);
    Ok(value)
}
