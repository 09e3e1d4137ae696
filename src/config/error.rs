//! A configuration that is not valid: each fault with its place and the way out.

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn unreadable(name: &str, error: &std::io::Error) -> Self {
        Self(format!("cannot read {name}: {error}"))
    }

    pub(super) fn invalid(name: &str, error: &toml::de::Error) -> Self {
        Self(format!("{name}: {error}"))
    }
}
