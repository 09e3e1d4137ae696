//! The file source's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::document::{KeyPath, Problem};
use crate::config::units::shortened;
use crate::config::validate;

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
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
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
