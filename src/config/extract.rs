//! The extract section: which log events are taken.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};
use super::validate;

/// Which log events are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Extract {
    /// Globs of the log groups to take (`*` matches any text, `/` too; `?`, `[…]` and `{a,b}` as in a shell). Events of
    /// other groups are skipped and counted; events without a known group are taken. Default: `["*"]`, all, because
    /// the subscription filter has chosen already.
    #[schemars(length(min = 1))]
    pub log_groups: Vec<String>,
}

impl Default for Extract {
    fn default() -> Self {
        Self { log_groups: vec!["*".into()] }
    }
}

impl Extract {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let at = KeyPath::of(&["extract", "log_groups"]);
        let count = problems.len();
        for (index, pattern) in self.log_groups.iter().enumerate() {
            if let Err(message) = validate::glob(pattern) {
                problems.push(Problem::value(at.index(index), message));
            }
        }
        // Each by itself may be valid and all together too large.
        if problems.len() == count
            && let Err(error) = self.log_group_set()
        {
            problems.push(Problem::value(at, format!("the patterns cannot be used together: {}", error.kind())));
        }
    }

    /// The globs as one matcher.
    ///
    /// # Errors
    /// A pattern that is no glob; never for a configuration that was checked.
    pub fn log_group_set(&self) -> Result<GlobSet, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for pattern in &self.log_groups {
            set.add(GlobBuilder::new(pattern).literal_separator(false).build()?);
        }
        set.build()
    }
}
