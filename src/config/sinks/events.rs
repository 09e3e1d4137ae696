//! What a sink takes: the keys that all kinds of sinks have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::document::{KeyPath, Problem};
use crate::config::{Select, select};
use crate::expression::Flaw;
use crate::format::Format;
use crate::select::Selection;

/// A destination and what it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("unevaluatedProperties" = false))]
pub struct Events<K> {
    /// What it takes.
    #[serde(flatten)]
    pub events: Taken,
    /// The destination.
    #[serde(flatten)]
    pub to: K,
}

/// What a sink takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Taken {
    /// What an event is written as: `panther` (one JSON object a line: the schema's fields and Panther's standard
    /// fields), `raw` (the record as it came), `text` (one line for people), `view` (the view of the bodies), `flat`
    /// (one flat row for SQL and Parquet), `ocsf` (OCSF 1.8.0), `ecs` (Elastic's names) or `otel` (an OTLP log record).
    /// Default: `panther`.
    pub format: Format,
    /// The policy of redaction, by its name: what this sink is not to see. Default: none, it sees everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redact: Option<String>,
    /// Events for which this is false do not go to this sink, 1 to 4096 characters of CEL, as in `[select]`, which comes
    /// first. Default: none, so all go.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub keep: Option<String>,
    /// Events for which this is true do not go to this sink, 1 to 4096 characters of CEL. Default: none, so all go.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub drop: Option<String>,
    /// Whether an event counts as delivered only once this sink has it. A sink that is not required never holds anything
    /// back: what it cannot deliver within a minute, or has no room for (16 MiB wait at most), is dropped and counted.
    /// Default: `true`, because nothing may be lost.
    pub required: bool,
    /// Where what this sink refuses for good goes: the name of a `[dead_letters.NAME]`. Default: `[dead_letter]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
    /// Whether the destination is asked at the start, before anything is read, if it can be reached and written to; if
    /// not, the program ends. Default: `false`, because a destination that is down for a while is waited for.
    pub probe: bool,
}

impl Default for Taken {
    fn default() -> Self {
        Self {
            format: Format::default(),
            redact: None,
            keep: None,
            drop: None,
            required: true,
            dead_letter: None,
            probe: false,
        }
    }
}

impl Taken {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        for (key, text) in [("keep", &self.keep), ("drop", &self.drop)] {
            let Some(text) = text else { continue };
            select::check_expression(at.key(key), text, problems);
        }
    }

    /// Which events it takes; none takes all.
    ///
    /// # Errors
    /// An expression that is not valid; never for a configuration that was checked.
    pub fn selection(&self) -> Result<Option<Selection>, Flaw> {
        Select { keep: self.keep.clone(), drop: self.drop.clone(), sample: None }.selection()
    }
}
