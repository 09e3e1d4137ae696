//! Keys: what a request carries so that it is taken, read from where the secrets are.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::{Auth, Endpoint, Settings};
use crate::config::{Secret, SecretError};
use crate::json::push_hex;
use crate::redact;

/// What all requests carry until a secret changes.
pub(super) struct Keys {
    /// Where requests go; it may be a secret.
    pub(super) url: Url,
    headers: HeaderMap,
    hmac: Option<Hmac>,
}

struct Hmac {
    header: HeaderName,
    key: redact::Key,
    prefix: String,
    base64: bool,
}

/// What is wrong with a secret. The secret itself is never shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("`{key}`")]
    NotThere {
        key: String,
        #[source]
        source: SecretError,
    },
    #[error("`{0}` has a line break, or another character that no header has")]
    NoHeader(String),
    #[error("`{0}` is no URL that begins with http:// or https:// and holds no user")]
    NoUrl(&'static str),
}

impl Keys {
    pub(super) fn read(settings: &Settings) -> Result<Self, KeysError> {
        let url = match &settings.to {
            Endpoint::Url(url) => parsed(url.as_bytes(), "url")?,
            Endpoint::Secret(secret) => parsed(&read(secret, "secret_url")?, "secret_url")?,
        };
        let mut headers = HeaderMap::new();
        let mut add = |key: String, name: &str, value: &[u8], is_secret: bool| {
            let name = HeaderName::try_from(name).map_err(|_| KeysError::NoHeader(key.clone()))?;
            let mut value = HeaderValue::from_bytes(value).map_err(|_| KeysError::NoHeader(key))?;
            value.set_sensitive(is_secret);
            headers.insert(name, value);
            Ok(())
        };
        for (name, value) in &settings.headers {
            add(format!("headers.{name}"), name, value.as_bytes(), false)?;
        }
        for (name, secret) in &settings.secret_headers {
            let key = format!("secret_headers.{name}");
            add(key.clone(), name, &read(secret, &key)?, true)?;
        }
        let mut hmac = None;
        match &settings.auth {
            Some(Auth::Bearer(token)) => {
                let key = "auth.bearer.token";
                let value = [b"Bearer ", &read(token, key)?[..]].concat();
                add(key.to_owned(), AUTHORIZATION.as_str(), &value, true)?;
            }
            Some(Auth::Basic { user, password }) => {
                let key = "auth.basic.password";
                let pair = [user.as_bytes(), b":", &read(password, key)?].concat();
                let value = format!("Basic {}", BASE64_STANDARD.encode(pair));
                add(key.to_owned(), AUTHORIZATION.as_str(), value.as_bytes(), true)?;
            }
            Some(Auth::Hmac { header, key, prefix, base64 }) => {
                let key = redact::Key::new(&read(key, "auth.hmac.key")?);
                let name = HeaderName::try_from(header);
                let header = name.map_err(|_| KeysError::NoHeader("auth.hmac.header".to_owned()))?;
                hmac = Some(Hmac { header, key, prefix: prefix.clone(), base64: *base64 });
            }
            Some(Auth::SigV4 { .. }) | None => {}
        }
        Ok(Self { url, headers, hmac })
    }

    /// The headers of a request with this body. Takes a while where they have a hash of it.
    pub(super) fn headers(&self, body: &[u8]) -> HeaderMap {
        let mut headers = self.headers.clone();
        let Some(Hmac { header, key, prefix, base64 }) = &self.hmac else { return headers };
        let hash = key.hash(body);
        let mut value = prefix.clone().into_bytes();
        if *base64 {
            value.extend_from_slice(BASE64_STANDARD.encode(hash).as_bytes());
        } else {
            push_hex(&mut value, &hash);
        }
        // The prefix was checked with the configuration.
        if let Ok(mut value) = HeaderValue::from_bytes(&value) {
            value.set_sensitive(true);
            headers.insert(header.clone(), value);
        }
        headers
    }
}

fn read(secret: &Secret, key: &str) -> Result<Vec<u8>, KeysError> {
    secret.read().map_err(|source| KeysError::NotThere { key: key.to_owned(), source })
}

fn parsed(text: &[u8], key: &'static str) -> Result<Url, KeysError> {
    let url = std::str::from_utf8(text).ok().and_then(|text| Url::parse(text.trim()).ok());
    let is_good = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    };
    url.filter(is_good).ok_or(KeysError::NoUrl(key))
}
