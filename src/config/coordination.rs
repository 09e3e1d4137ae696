//! The coordination section: who reads what, and where positions are stored.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};

/// The name of the file of the positions in its directory.
pub(super) const POSITIONS_FILE: &str = "positions.redb";

/// Where positions are stored: at most one kind. Default: `local`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Coordination {
    /// One worker, with its positions in a local directory.
    Local(LocalCoordination),
}

impl Default for Coordination {
    fn default() -> Self {
        Self::Local(LocalCoordination::default())
    }
}

/// One worker, with its positions in a local directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocalCoordination {
    /// The directory of the positions, and of the dead letter if none is configured; it must outlive the process, so in
    /// a container it is a volume. Default: `/var/lib/bedrock-tap`, the place for a service's state.
    pub directory: PathBuf,
}

impl Default for LocalCoordination {
    fn default() -> Self {
        Self { directory: "/var/lib/bedrock-tap".into() }
    }
}

impl Coordination {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        if self.directory().as_os_str().is_empty() {
            let at = KeyPath::of(&["coordination", "local", "directory"]);
            problems.push(Problem::value(at, "is empty").hint("`.` is the working directory"));
        }
    }

    /// The local directory for state.
    pub fn directory(&self) -> &Path {
        match self {
            Self::Local(local) => &local.directory,
        }
    }
}
