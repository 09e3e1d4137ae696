//! The select section: which invocations are kept, dropped or sampled.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};
use crate::select::{Expression, Flaw, Selection};

/// Which invocations are delivered, by expressions of CEL (cel.dev) over two variables: `event`, the record with its own
/// names (`event.input.inputTokenCount`), and `view`, the same names for every model (`bedrock-tap decode --format view`
/// shows them). What is not known is absent: ask `has(view.error)`, or give a default, `view.?error.orValue('')`. An
/// expression that cannot be evaluated for an event, or gives neither true nor false, leaves nothing out and is counted
/// as `unevaluated`. `drop` comes first, then `keep`, then `sample`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// Invocations for which this is false are left out, 1 to 4096 characters. Default: none, all are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub keep: Option<String>,
    /// Invocations for which this is true are left out, 1 to 4096 characters. Default: none, all are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub drop: Option<String>,
    /// A sample of the invocations. Default: none, all are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

/// A sample of the invocations, the same in every run and on every worker: one is kept if the first 8 bytes of the SHA-256
/// of its request id, read as a big-endian number and divided by 2^64, are less than `ratio`. Where a record has no
/// request id, its row id in hexadecimal stands in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The share that is kept, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: f64,
    /// Only invocations for which this is true are sampled, all others are kept; 1 to 4096 characters. Default: none, all
    /// are sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub when: Option<String>,
}

// A ratio that was checked is a number.
impl Eq for Sample {}

impl Select {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let at = KeyPath::of(&["select"]);
        let sample = at.key("sample");
        let when = self.sample.as_ref().and_then(|sample| sample.when.as_ref());
        for (path, text) in [(at.key("keep"), &self.keep), (at.key("drop"), &self.drop)]
            .into_iter()
            .filter_map(|(path, text)| Some((path, text.as_ref()?)))
            .chain(when.map(|text| (sample.key("when"), text)))
        {
            if let Err(Flaw { message, hint, allowed }) = Expression::compile(text) {
                problems.push(Problem { hint, allowed, ..Problem::value(path, message) });
            }
        }
    }

    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// The selection; none where nothing is left out.
    ///
    /// # Errors
    /// An expression that is not valid; never for a configuration that was checked.
    pub fn selection(&self) -> Result<Option<Selection>, Flaw> {
        if self.is_all() {
            return Ok(None);
        }
        let compile = |text: &Option<String>| text.as_deref().map(Expression::compile).transpose();
        let sample = match &self.sample {
            Some(Sample { ratio, when }) => Some(crate::select::Sample { ratio: *ratio, when: compile(when)? }),
            None => None,
        };
        Ok(Some(Selection::new(compile(&self.drop)?, compile(&self.keep)?, sample)))
    }
}
