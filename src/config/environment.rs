//! Overrides from the environment: `BEDROCK_TAP__SECTION__KEY=value`.

use std::ffi::OsString;

/// The variables that may override keys of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Vec<(OsString, OsString)>,
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self::from_iter(std::env::vars_os())
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}
