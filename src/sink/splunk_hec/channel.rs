//! The token that the collector knows this program by, and the channels that acknowledgements are counted by.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use reqwest::header::HeaderValue;

use crate::config::{Secret, SecretError};

/// A token, as the header that shows it.
#[derive(Debug)]
pub(super) struct Token {
    secret: Secret,
    header: Mutex<HeaderValue>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// It is not there.
    #[error("the token cannot be read")]
    NotRead(#[source] SecretError),
    /// It has a line break or the like.
    #[error("{0} holds a character that no token has")]
    NotValid(Secret),
}

impl Token {
    /// Reads the token from where it is.
    pub(super) fn read(secret: Secret) -> Result<Self, TokenError> {
        let header = Mutex::new(header(&secret)?);
        Ok(Self { secret, header })
    }

    /// Reads it once more: a file may hold another by now. Blocks.
    pub(super) fn read_again(&self) -> Result<(), TokenError> {
        let header = header(&self.secret)?;
        *self.header.lock().unwrap_or_else(PoisonError::into_inner) = header;
        Ok(())
    }

    /// The value of the header `Authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn header(secret: &Secret) -> Result<HeaderValue, TokenError> {
    let token = secret.read().map_err(TokenError::NotRead)?;
    let value = [b"Splunk ".as_slice(), &token].concat();
    let mut value = HeaderValue::from_bytes(&value).map_err(|_| TokenError::NotValid(secret.clone()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A new channel: a random UUID (RFC 9562, version 4).
pub(super) fn new_channel() -> String {
    // The hasher's keys are random: random numbers without a dependency.
    let random = || RandomState::new().build_hasher().finish();
    let bits = u128::from(random()) << 64 | u128::from(random());
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_random_uuids() {
        let channels: Vec<String> = (0..100).map(|_| new_channel()).collect();
        for channel in &channels {
            let parts: Vec<usize> = channel.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{channel}");
            assert!(channel.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()), "{channel}");
            assert!(channel.as_bytes()[14] == b'4' && b"89ab".contains(&channel.as_bytes()[19]), "{channel}");
            assert_eq!(channels.iter().filter(|other| *other == channel).count(), 1);
        }
    }

    #[test]
    fn a_token_is_read_again_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first\n").unwrap();
        let token = Token::read(Secret::File(file.path().into())).unwrap();
        assert_eq!(token.header(), "Splunk first");
        assert!(!format!("{token:?}").contains("first"));
        std::fs::write(file.path(), "second").unwrap();
        token.read_again().unwrap();
        assert_eq!(token.header(), "Splunk second");
        std::fs::write(file.path(), "top\nsecret").unwrap();
        let error = token.read_again().unwrap_err().to_string();
        assert!(error.contains("no token has") && !error.contains("secret"), "{error}");
        assert_eq!(token.header(), "Splunk second");
        std::fs::write(file.path(), "").unwrap();
        assert!(token.read_again().is_err());
    }
}
