//! Formats: an invocation as bytes.

use crate::enrich::Event;
use crate::pipeline::Context;

mod indicators;
mod names;
pub mod object;
#[cfg(test)]
mod samples;

pub mod ecs;
pub mod flat;
pub mod ocsf;
pub mod otel;
pub mod panther;
pub mod raw;
pub mod text;
pub mod view;

/// A format that a sink can ask for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line: the schema's fields and Panther's standard fields.
    #[default]
    Panther,
    /// The record as it came.
    Raw,
    /// One line for people.
    Text,
    /// An OCSF 1.8.0 event of the class API Activity, with the profiles `cloud` and `ai_operation`.
    Ocsf,
    /// Elastic's field names for Bedrock invocations.
    Ecs,
    /// The GenAI log event of OpenTelemetry's semantic conventions 1.41.
    Otel,
    /// One flat record for Parquet and SQL.
    Flat,
    /// The view of the bodies, as `[select]` sees it.
    View,
}

/// Encoded items in one buffer, each ending in a newline.
#[derive(Debug, Default, Clone)]
pub struct Lines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Lines {
    /// All items, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each item with its newline.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).filter_map(|i| {
            let start = if i == 0 { 0 } else { self.ends[i - 1] };
            self.bytes.get(start..self.ends[i])
        })
    }

    /// Appends one item that `write` produces; a newline is added to it.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }

    /// Gives back the memory that no item uses.
    pub fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Drops all items and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl Format {
    /// The name in the configuration and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Panther => "panther",
            Self::Raw => "raw",
            Self::Text => "text",
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
            Self::Otel => "otel",
            Self::Flat => "flat",
            Self::View => "view",
        }
    }

    /// Appends an event in this format, without a newline.
    pub fn encode(self, event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Panther => panther::encode(event, context, out),
            Self::Raw => raw::encode(event, out),
            Self::Text => text::encode(event, context, out),
            Self::Ocsf => ocsf::encode(event, context, out),
            Self::Ecs => ecs::encode(event, context, out),
            Self::Otel => otel::encode(event, context, out),
            Self::Flat => flat::encode(event, context, out),
            Self::View => view::encode(event, context, out),
        }
    }
}
