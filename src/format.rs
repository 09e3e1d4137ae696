//! Formats: an invocation as bytes.

use crate::enrich::Event;
use crate::pipeline::Context;

mod indicators;
pub mod key;
mod lines;
mod names;
pub mod object;
#[cfg(test)]
pub(crate) mod samples;

pub mod ecs;
pub mod flat;
pub mod ocsf;
pub mod otel;
pub mod panther;
pub mod raw;
pub mod text;
pub mod view;

pub use lines::{Lines, Tag};

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
