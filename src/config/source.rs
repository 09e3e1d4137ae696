//! The source section: where records come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::KinesisSource;
use super::document::{KeyPath, Problem};
use super::units::shortened;
use super::validate;

/// Where records come from: exactly one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A Kinesis data stream that a CloudWatch Logs subscription filter writes to.
    Kinesis(Box<KinesisSource>),
    /// Files, directories or standard input: for replay, tests and people without a stream.
    File(FileSource),
}

/// Files, read once from beginning to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// Files, globs (`*`, `?`, `[…]`, `{…}`, `**`), directories (all files in them, at any depth), or `-` for standard
    /// input. At least one.
    #[schemars(length(min = 1))]
    pub paths: Vec<String>,
}

impl FileSource {
    pub(super) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let at = at.key("paths");
        for (index, path) in self.paths.iter().enumerate() {
            let at = at.index(index);
            if path.is_empty() {
                problems.push(Problem::value(at, "the path is empty"));
            } else if self.paths[..index].contains(path) {
                problems.push(Problem::value(at, format!("{} stands here twice", shortened(path))));
            } else if Self::is_glob(path)
                && let Err(message) = validate::glob(path)
            {
                problems.push(Problem::value(at, message).hint("a bracket that is meant as itself is written `[[]`"));
            }
        }
    }

    /// Whether a path is a glob: whether it holds one of `*?[{`.
    pub fn is_glob(path: &str) -> bool {
        path.contains(['*', '?', '[', '{'])
    }
}
