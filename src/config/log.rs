//! The log section: the service's own log on standard error, which never holds a payload.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The service's own log on standard error; it never holds a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least severe level that is written: `error`, `warn`, `info`, `debug` or `trace`. Default: `info`, a few lines
    /// a minute.
    pub level: LogLevel,
    /// How a line is written: `text` for people, or `json` for machines. Default: `text`.
    pub format: LogFormat,
}

/// A level of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What stops the service.
    Error,
    /// What a person should look at some day.
    Warn,
    /// What the service does, a few lines a minute.
    #[default]
    Info,
    /// Each step.
    Debug,
    /// Everything, libraries included.
    Trace,
}

impl LogLevel {
    /// The name, as in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
