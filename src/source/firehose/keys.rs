//! The access keys that are taken: only their digests are kept, and those are compared in constant time.

use std::sync::{PoisonError, RwLock};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use super::EndpointError;
use super::limits::MAX_KEY_BYTES;
use crate::config::Secret;
use crate::sink::retry::Causes;

type KeyDigest = [u8; 32];

/// The keys.
pub(super) struct Keys {
    secrets: Vec<Secret>,
    state: RwLock<State>,
}

struct State {
    digests: Vec<KeyDigest>,
    /// What was wrong with the secrets when they were last read: it is said once.
    trouble: Option<String>,
}

/// How Secrets Manager keeps a key. Source: the Firehose developer guide, "Authenticate with AWS Secrets Manager".
#[derive(Deserialize)]
struct Kept {
    api_key: String,
}

impl Keys {
    /// Reads all keys.
    ///
    /// # Errors
    /// One is not there, or is none that Firehose could send.
    pub(super) fn read(secrets: &[Secret]) -> Result<Self, EndpointError> {
        let state = State { digests: digests(secrets)?, trouble: None };
        Ok(Self { secrets: secrets.to_vec(), state: RwLock::new(state) })
    }

    /// Whether this is one of the keys. The time that it takes tells nothing of the keys: digests of one length are
    /// compared whole, with all of them.
    pub(super) fn knows(&self, presented: &[u8]) -> bool {
        let presented: KeyDigest = Sha256::digest(presented).into();
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let mut known = 0u8;
        for digest in &state.digests {
            let difference = digest.iter().zip(&presented).fold(0u8, |all, (a, b)| all | (a ^ b));
            known |= u8::from(std::hint::black_box(difference) == 0);
        }
        known != 0
    }

    /// Reads all keys again. The old ones stay where one cannot be read.
    pub(super) fn refresh(&self) {
        let read = digests(&self.secrets);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(digests) => {
                if digests != state.digests {
                    info!("the access keys have changed");
                }
                *state = State { digests, trouble: None };
            }
            Err(error) => {
                let trouble = Causes(&error).to_string();
                if state.trouble.as_ref() != Some(&trouble) {
                    warn!(error = trouble, "the access keys cannot be read again, those from before stay");
                }
                state.trouble = Some(trouble);
            }
        }
    }
}

fn digests(secrets: &[Secret]) -> Result<Vec<KeyDigest>, EndpointError> {
    secrets.iter().map(digest).collect()
}

fn digest(secret: &Secret) -> Result<KeyDigest, EndpointError> {
    let mut value = secret.read().map_err(EndpointError::Key)?;
    let none = |flaw| EndpointError::KeyForm { secret: secret.clone(), flaw };
    if value.trim_ascii_start().starts_with(b"{") {
        // What is no such JSON may be half written, and is not to be taken for a key.
        let kept: Result<Kept, _> = serde_json::from_slice(&value);
        value = kept.map_err(|_| none("begins with `{` and is no JSON with the text `api_key`"))?.api_key.into_bytes();
    }
    let is_sent = value.trim_ascii() == value && !value.iter().any(u8::is_ascii_control);
    match value.len() {
        0 => Err(none("holds nothing")),
        length if length > MAX_KEY_BYTES => Err(none("is longer than the 4096 bytes that Firehose sends")),
        _ if !is_sent => Err(none("has a space at its begin or end, or a control character, which no header carries")),
        _ => Ok(Sha256::digest(&value).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_as_they_are_and_as_secrets_manager_keeps_them_and_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        std::fs::write(&one, "first\n").unwrap();
        std::fs::write(&two, r#"{"api_key": "sec\u006fnd", "more": 1}"#).unwrap();
        let keys = Keys::read(&[Secret::File(one.clone()), Secret::File(two)]).unwrap();
        let check = |known: &[&str], unknown: &[&str]| {
            for key in known {
                assert!(keys.knows(key.as_bytes()), "{key}");
            }
            for key in unknown {
                assert!(!keys.knows(key.as_bytes()), "{key}");
            }
        };
        check(&["first", "second"], &["", "firs", "first\n", "First", "third"]);
        std::fs::write(&one, "third").unwrap();
        keys.refresh();
        check(&["third", "second"], &["first"]);
        std::fs::write(&one, r#"{"api_key": "fou"#).unwrap();
        keys.refresh();
        check(&["third", "second"], &["first", r#"{"api_key": "fou"#]);
        std::fs::remove_file(&one).unwrap();
        keys.refresh();
        check(&["third", "second"], &["first"]);
    }

    /// As volumes of Kubernetes do it: what is shown is a link to a link to a directory of one version.
    #[cfg(unix)]
    #[test]
    fn a_key_behind_a_link_that_is_swapped_is_the_new_one() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for version in ["one", "two"] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("key"), version).unwrap();
        }
        symlink("one", at("data")).unwrap();
        symlink("data/key", at("key")).unwrap();
        let keys = Keys::read(&[Secret::File(at("key"))]).unwrap();
        assert!(keys.knows(b"one"));
        symlink("two", at("next")).unwrap();
        std::fs::rename(at("next"), at("data")).unwrap();
        keys.refresh();
        assert!(keys.knows(b"two") && !keys.knows(b"one"));
    }

    #[test]
    fn what_firehose_could_not_send_is_no_key() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("key");
        let check = |content: &str, expected: &str| {
            std::fs::write(&at, content).unwrap();
            let error = Keys::read(&[Secret::File(at.clone())]).err().unwrap();
            let text = Causes(&error).to_string();
            assert!(text.contains(expected), "{text}");
        };
        check("", "holds nothing");
        check(r#"{"api_key": ""}"#, "holds nothing");
        check(&"a".repeat(4097), "4096 bytes");
        for half in [r#"{"api_key": "ab"#, r#"{"apiKey": "ab"}"#, r#"{"api_key": 1}"#, " {"] {
            check(half, "no JSON with the text `api_key`");
        }
        for never_sent in [" ab", "ab ", "ab\n\n", "a\tb", "a\nb", r#"{"api_key": "ab\n"}"#] {
            check(never_sent, "which no header carries");
        }
    }
}
