//! A secret: where its value is. The value itself is never written in the file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};

/// Where a secret value is: exactly one of the two. It never stands in the file itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// The environment variable that holds the secret.
    Env(String),
    /// The file that holds the secret and nothing else; one line break at its end is no part of it.
    File(PathBuf),
}

/// A secret that is not there.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("the file {} cannot be read", .0.display())]
    NotRead(PathBuf, #[source] std::io::Error),
    /// There is nothing in it.
    #[error("{0} holds nothing")]
    Empty(Secret),
}

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

impl Secret {
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let (key, valid) = match self {
            Self::Env(name) => ("env", !name.is_empty() && !name.contains(['=', '\0', ' '])),
            Self::File(path) => ("file", path.file_name().is_some()),
        };
        if !valid {
            let what = if key == "env" { "names no environment variable" } else { "names no file" };
            // A secret written here by mistake is not repeated.
            problems.push(Problem::value(at.key(key), what).secret());
        }
    }

    /// Reads the value.
    ///
    /// # Errors
    /// It is not there, or empty.
    pub fn read(&self) -> Result<Vec<u8>, SecretError> {
        self.read_by(|name| std::env::var_os(name), |path| std::fs::read(path))
    }

    fn read_by(
        &self,
        variable: impl Fn(&str) -> Option<OsString>,
        file: impl Fn(&Path) -> std::io::Result<Vec<u8>>,
    ) -> Result<Vec<u8>, SecretError> {
        let value = match self {
            Self::Env(name) => variable(name).ok_or_else(|| SecretError::NotSet(name.clone()))?.into_encoded_bytes(),
            Self::File(path) => {
                let mut value = file(path).map_err(|error| SecretError::NotRead(path.clone(), error))?;
                for end in [b'\n', b'\r'] {
                    value.pop_if(|last| *last == end);
                }
                value
            }
        };
        if value.is_empty() { Err(SecretError::Empty(self.clone())) } else { Ok(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_from_where_it_is() {
        let check = |secret: Secret, expected: Result<&[u8], &str>| {
            let variable = |name: &str| match name {
                "KEY" => Some("a b\n".into()),
                "EMPTY" => Some("".into()),
                _ => None,
            };
            let file = |path: &Path| match path.to_str() {
                Some("key") => Ok(b"a\n\r\n".to_vec()),
                Some("bare") => Ok(b"a".to_vec()),
                Some("empty") => Ok(b"\n".to_vec()),
                _ => Err(std::io::ErrorKind::NotFound.into()),
            };
            let found = secret.read_by(variable, file);
            assert_eq!(found.as_deref().map_err(ToString::to_string), expected.map_err(str::to_owned), "{secret}");
        };
        check(Secret::Env("KEY".into()), Ok(b"a b\n"));
        check(Secret::Env("EMPTY".into()), Err("the environment variable EMPTY holds nothing"));
        check(Secret::Env("NONE".into()), Err("the environment variable NONE is not set"));
        check(Secret::File("key".into()), Ok(b"a\n"));
        check(Secret::File("bare".into()), Ok(b"a"));
        check(Secret::File("empty".into()), Err("the file empty holds nothing"));
        check(Secret::File("none".into()), Err("the file none cannot be read"));
    }
}
