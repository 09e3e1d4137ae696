//! The firehose source's keys.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::document::{KeyPath, Problem};

/// An HTTP endpoint for a delivery stream of Amazon Data Firehose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirehoseSource {
    /// The address and port to listen on, such as `0.0.0.0:8443`.
    pub listen: SocketAddr,
}

impl FirehoseSource {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let _ = (at, problems);
    }

    /// What is read, a line each, for `bedrock-tap check`.
    pub fn describe(&self) -> Vec<String> {
        Vec::new()
    }
}
