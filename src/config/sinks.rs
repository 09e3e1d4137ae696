//! The sinks and dead letter sections: where events and rejects go.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{ByteSize, DurationText, duration};
use crate::format::Format;

/// One destination of events: exactly one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sink {
    /// Standard output.
    Stdout(StdoutSink),
    /// A file that is rotated; written and synced before an event counts as delivered.
    File(FileSink),
}

impl Sink {
    /// The format that the sink takes.
    pub fn format(&self) -> Format {
        match self {
            Self::Stdout(sink) => sink.format,
            Self::File(sink) => sink.format,
        }
    }

    /// The name of the policy of redaction that the sink asks for.
    pub fn redact(&self) -> Option<&str> {
        match self {
            Self::Stdout(sink) => sink.redact.as_deref(),
            Self::File(sink) => sink.redact.as_deref(),
        }
    }
}

/// Standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StdoutSink {
    /// What an event is written as: `panther` (one JSON object a line: the schema's fields and Panther's standard
    /// fields), `raw` (the record as it came), `text` (one line for people), `view` (the view of the bodies), `flat`
    /// (one flat row for SQL and Parquet), `ocsf` (OCSF 1.8.0), `ecs` (Elastic's names) or `otel` (an OTLP log record).
    /// Default: `panther`.
    pub format: Format,
    /// The policy of redaction, by its name: what this sink is not to see. Default: none, it sees everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redact: Option<String>,
}

/// A file that is rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSink {
    /// The file that is written; its directory is created if need be. A finished file stands beside it under a name with
    /// its time.
    pub path: PathBuf,
    /// What an event is written as: `panther`, `raw`, `text`, `view`, `flat`, `ocsf`, `ecs` or `otel`. Default:
    /// `panther`.
    #[serde(default)]
    pub format: Format,
    /// The policy of redaction, by its name: what this sink is not to see. Default: none, it sees everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redact: Option<String>,
    /// The size at which a new file is begun, `64 KiB` to `1024 GiB`, before compression. Default: `256 MiB`, which common
    /// tools still open and copy with ease.
    #[serde(default = "default_rotate_size")]
    #[schemars(extend("x-minimum" = "64 KiB", "x-maximum" = "1024 GiB"))]
    pub rotate_size: ByteSize,
    /// The age at which a new file is begun, `1s` to `31d`. Default: `1h`, so that whoever collects finished files is never
    /// more than that behind.
    #[serde(default = "default_rotate_age", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "31d"))]
    pub rotate_age: Duration,
    /// How the file is compressed: `none`, or `gzip` with one member a batch, so that what is synced can be read after a
    /// crash; `.gz` is added to the file's name unless it ends so. Default: `none`, so that the file can be followed while it grows.
    #[serde(default)]
    pub compression: Compression,
}

fn default_rotate_size() -> ByteSize {
    ByteSize::mib(256)
}

fn default_rotate_age() -> Duration {
    Duration::from_secs(3600)
}

impl FileSink {
    /// A sink into `path` with all else at its default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: Format::default(),
            redact: None,
            rotate_size: default_rotate_size(),
            rotate_age: default_rotate_age(),
            compression: Compression::default(),
        }
    }
}

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As gzip, one member a batch, so that what is synced can be read after a crash.
    Gzip,
}

/// Where rejects go, as JSON lines with origin, stage, reason and the original bytes in base64: at most one kind.
/// Default: a file beside the positions, because a reject must never go nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetter {
    /// A file that is rotated.
    File(FileDeadLetter),
    /// Standard output. It shows prompts and answers to whoever reads it.
    Stdout(StdoutDeadLetter),
}

/// A file of rejects that is rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileDeadLetter {
    /// The file that is written; its directory is created if need be.
    pub path: PathBuf,
    /// The size at which a new file is begun, `64 KiB` to `1024 GiB`, before compression. Default: `256 MiB`, as for
    /// a sink.
    #[serde(default = "default_rotate_size")]
    #[schemars(extend("x-minimum" = "64 KiB", "x-maximum" = "1024 GiB"))]
    pub rotate_size: ByteSize,
    /// The age at which a new file is begun, `1s` to `31d`. Default: `1d`: rejects are rare, and a file an hour would be
    /// mostly empty.
    #[serde(default = "default_dead_letter_age", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "31d"))]
    pub rotate_age: Duration,
    /// How the file is compressed: `none` or `gzip`, as for a sink. Default: `none`.
    #[serde(default)]
    pub compression: Compression,
}

fn default_dead_letter_age() -> Duration {
    Duration::from_secs(86_400)
}

impl FileDeadLetter {
    /// A dead letter in `path` with all else at its default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            rotate_size: default_rotate_size(),
            rotate_age: default_dead_letter_age(),
            compression: Compression::default(),
        }
    }
}

/// Rejects on standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdoutDeadLetter {}
