//! Formats: an invocation as bytes.

use crate::invocation::Invocation;
use crate::pipeline::Context;

mod indicators;
pub mod panther;
pub mod raw;
pub mod text;

/// A format that a sink can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line: the schema's fields and Panther's standard fields.
    #[default]
    Panther,
    /// The record as it came.
    Raw,
    /// One line for people.
    Text,
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
    /// Appends `invocation` in this format, without a newline.
    pub fn encode(self, invocation: &Invocation<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Panther => panther::encode(invocation, context, out),
            Self::Raw => raw::encode(invocation, out),
            Self::Text => text::encode(invocation, context, out),
        }
    }
}
