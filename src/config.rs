//! The configuration: the shape of the TOML file, checked without touching the outside.
//!
//! Each key is documented once, by the doc comment of its field: its meaning, unit, default, and the reason for the
//! default. The JSON Schema (`bedrock-tap schema --format config`) takes its descriptions from there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod coordination;
mod decode;
mod environment;
mod error;
mod extract;
mod log;
mod panther;
mod sinks;
mod source;
pub mod units;

pub use coordination::{Coordination, LocalCoordination};
pub use decode::Decode;
pub use environment::Environment;
pub use error::ConfigError;
pub use extract::Extract;
pub use log::{Log, LogFormat, LogLevel};
pub use panther::Panther;
pub use sinks::{Compression, DeadLetter, FileDeadLetter, FileSink, Sink, StdoutDeadLetter, StdoutSink};
pub use source::{AssumeRole, FileSource, KinesisSource, OnTrimmed, Source, Start};
pub use units::ByteSize;

/// The configuration of bedrock-tap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Bytes in flight between the source and the sinks, over all shards together, `32 MiB` to `1024 GiB`. Default:
    /// `256 MiB`: a read brings 10 MiB at most, so two dozen shards run ahead of slow sinks, and the smallest Fargate
    /// task (512 MiB) still has room for the rest.
    #[serde(default = "default_memory_budget")]
    pub memory_budget: ByteSize,
    /// How long a stop waits for what was read to be delivered, `1s` to `120s`. Default: `25s`, below the 30 s after
    /// which ECS kills a task that was asked to stop (`stopTimeout`, 120 s at most).
    #[serde(default = "default_drain_timeout", with = "units::duration")]
    #[schemars(with = "units::DurationText")]
    pub drain_timeout: Duration,
    /// Where records come from: exactly one kind.
    pub source: Source,
    /// Who reads what, and where positions are stored. Default: `local`.
    #[serde(default)]
    pub coordination: Coordination,
    /// Limits on what one record may become.
    #[serde(default)]
    pub decode: Decode,
    /// Which log events are taken.
    #[serde(default)]
    pub extract: Extract,
    /// What the `panther` format writes beside the schema's fields.
    #[serde(default)]
    pub panther: Panther,
    /// Where events go: `[sinks.NAME.KIND]`, at least one. Names are of lower-case letters, digits, `-` and `_`. A batch
    /// counts as delivered when every sink has it.
    #[schemars(length(min = 1))]
    pub sinks: BTreeMap<String, Sink>,
    /// Where rejects go. Default: the file `dead-letter.jsonl` in the directory of the positions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<DeadLetter>,
    /// The service's own log on standard error.
    #[serde(default)]
    pub log: Log,
}

fn default_memory_budget() -> ByteSize {
    ByteSize::mib(256)
}

fn default_drain_timeout() -> Duration {
    Duration::from_secs(25)
}

impl Config {
    /// Reads and checks a configuration file, with the overrides of the process's environment.
    ///
    /// # Errors
    /// A file that cannot be read, or a configuration that is not valid: each fault with its place and the way out.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(&name, &error))?;
        Self::parse(&text, &name, &Environment::of_process())
    }

    /// Reads and checks the text of a configuration; `name` is what errors call it.
    ///
    /// # Errors
    /// A configuration that is not valid: each fault with its place and the way out.
    pub fn parse(text: &str, name: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let _ = environment;
        toml::from_str(text).map_err(|error| ConfigError::invalid(name, &error))
    }

    /// Where rejects go: as configured, else a file beside the positions.
    pub fn dead_letter(&self) -> DeadLetter {
        self.dead_letter.clone().unwrap_or_else(|| {
            DeadLetter::File(FileDeadLetter::new(self.coordination.directory().join("dead-letter.jsonl")))
        })
    }
}
