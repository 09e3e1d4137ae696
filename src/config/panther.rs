//! The panther section: what the `panther` format writes beside the schema's fields.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};

/// What the `panther` format writes beside the schema's fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Panther {
    /// The value of `p_source_id`: the log source's id in Panther, 1 to 256 characters. Default: none, the field is omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub source_id: Option<String>,
    /// The value of `p_source_label`: the log source's name in Panther, 1 to 256 characters. Default: none, the field is
    /// omitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub source_label: Option<String>,
    /// Whether fields that the schema does not know are written under `unmapped`. Default: `true`, because dropping
    /// evidence is a loss, and AWS adds fields without notice.
    pub unmapped: bool,
}

impl Default for Panther {
    fn default() -> Self {
        Self { source_id: None, source_label: None, unmapped: true }
    }
}

impl Panther {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        for (key, value) in [("source_id", &self.source_id), ("source_label", &self.source_label)] {
            if value.as_deref().is_some_and(|text| text.chars().any(char::is_control)) {
                problems.push(Problem::value(KeyPath::of(&["panther", key]), "holds a control character"));
            }
        }
    }
}
