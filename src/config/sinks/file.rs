//! The file sink's keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Destination;
use crate::config::document::{KeyPath, Problem};
use crate::config::units::{ByteSize, DurationText, duration, format_duration};
use crate::format::Format;
use crate::sink::Planned;
use crate::sink::file::{self, Settings};

/// A file that is rotated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileSink {
    /// The file that is written; its directory is created if need be. A finished file stands beside it under a name with
    /// its time.
    pub path: PathBuf,
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

pub(super) fn default_rotate_size() -> ByteSize {
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

impl Destination for FileSink {
    const KIND: &'static str = "file";

    fn check(&self, _: Format, _: &KeyPath, _: &mut Vec<Problem>) {}

    fn describe(&self, format: &str) -> String {
        let compressed = match self.compression {
            Compression::None => "",
            Compression::Gzip => ", gzip",
        };
        let (path, size, age) = (self.path.display(), self.rotate_size, format_duration(self.rotate_age));
        format!("file {path}, {format}{compressed}, a new one after {size} or {age}")
    }

    fn plan(&self, _: Format) -> Planned {
        file::planned(self.settings())
    }

    fn path(&self) -> Option<(&Path, Compression)> {
        Some((&self.path, self.compression))
    }
}

impl Destination for FileDeadLetter {
    const KIND: &'static str = "file";

    fn check(&self, _: Format, _: &KeyPath, _: &mut Vec<Problem>) {}

    fn describe(&self, format: &str) -> String {
        self.as_sink().describe(format)
    }

    fn plan(&self, format: Format) -> Planned {
        self.as_sink().plan(format)
    }

    fn path(&self) -> Option<(&Path, Compression)> {
        Some((&self.path, self.compression))
    }
}

impl FileSink {
    /// What the sink is told.
    pub fn settings(&self) -> Settings {
        Settings {
            path: self.path.clone(),
            rotate_bytes: Some(self.rotate_size.bytes()),
            rotate_age: Some(self.rotate_age),
            gzip: self.compression == Compression::Gzip,
        }
    }
}

impl FileDeadLetter {
    /// The same file as a sink's, which has other defaults alone.
    fn as_sink(&self) -> FileSink {
        let Self { path, rotate_size, rotate_age, compression } = self.clone();
        FileSink { path, rotate_size, rotate_age, compression }
    }
}
