//! Sinks without keys of their own: standard output, and nothing.

use std::sync::Arc;

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Destination;
use crate::config::document::{KeyPath, Problem};
use crate::format::Format;
use crate::sink::{Planned, null, opening, stdout};

/// Standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stdout {}

/// Nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Null {}

impl Destination for Stdout {
    const KIND: &'static str = "stdout";

    fn check(&self, _: Format, _: &KeyPath, _: &mut Vec<Problem>) {}

    fn describe(&self, format: &str) -> String {
        format!("standard output, {format}")
    }

    fn plan(&self, _: Format) -> Planned {
        Planned::local(opening(async { stdout::Stdout::new().context("standard output is closed") }))
    }
}

impl Destination for Null {
    const KIND: &'static str = "null";

    fn check(&self, _: Format, _: &KeyPath, _: &mut Vec<Problem>) {}

    fn describe(&self, format: &str) -> String {
        format!("nothing: what comes as {format} is dropped")
    }

    fn plan(&self, _: Format) -> Planned {
        Planned::made(Arc::new(null::Null))
    }
}
