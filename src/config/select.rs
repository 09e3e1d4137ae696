//! The select section: which invocations are kept, dropped or sampled.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};
use crate::expression::{Expression, Flaw};
use crate::select::Selection;

/// Which invocations are delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// Invocations for which this is false are left out, 1 to 4096 characters. Default: none, so nothing is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub keep: Option<String>,
    /// Invocations for which this is true are left out, 1 to 4096 characters. Default: none, so nothing is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub drop: Option<String>,
    /// A sample, the same in every run and on every worker: an invocation is kept if the first 8 bytes of the SHA-256
    /// of its request id, read as a big-endian number and divided by 2^64, are less than `ratio`. Where a record has no
    /// request id, its row id in hexadecimal stands in its place. Default: none, so nothing is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
}

/// A sample of the invocations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The share that is kept, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: f64,
    /// Only invocations for which this is true are sampled, all others are kept; 1 to 4096 characters. Default: none,
    /// so all are sampled.
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
            check_expression(path, text, problems);
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

/// Finds what is wrong with an expression.
pub(super) fn check_expression(path: KeyPath, text: &str, problems: &mut Vec<Problem>) {
    if let Err(Flaw { message, hint, allowed, .. }) = Expression::compile(text) {
        problems.push(Problem { hint, allowed, ..Problem::value(path, message) });
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, Sample};

    /// Parses a select section, and compares what its errors say with `expected`.
    #[track_caller]
    fn check(section: &str, variables: &[(&str, &str)], expected: &[&str]) {
        let text = format!("source.file.paths = ['-']\nsinks.a.stdout = {{}}\n[select]\n{section}\n");
        let environment: Environment = variables.iter().copied().collect();
        match Config::parse(&text, "t.toml", &environment) {
            Ok(config) => {
                assert!(expected.is_empty(), "{section} is valid");
                assert_eq!(config.select.selection().unwrap().is_none(), config.select.is_all());
            }
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty() && expected.iter().all(|part| error.contains(part)), "{error}");
            }
        }
    }

    #[test]
    fn expressions_and_shares_are_checked() {
        check("", &[], &[]);
        check("keep = 'has(view.error)'\ndrop = 'event.region == \"a\"'", &[], &[]);
        for ratio in ["0", "1", "0.25", "1e-3", "1.0"] {
            check(&format!("sample.ratio = {ratio}"), &[], &[]);
        }
        for ratio in ["-0.1", "1.01", "2", "nan", "inf"] {
            check(&format!("sample.ratio = {ratio}"), &[], &["`select.sample.ratio`", "is out of range", "0.0 to 1.0"]);
        }
        check("sample.ratio = '1'", &[], &["`select.sample.ratio`: expected a number, found a string"]);
        check("sample.when = 'true'", &[], &["`select.sample.ratio`: missing"]);
        check("sample = { ratio = 1, when = 'view' + '' }", &[], &["t.toml:4:"]);
        check("keep = ''", &[], &["`select.keep`: has 0 characters"]);
        check("keep = 1", &[], &["`select.keep`: expected a string"]);
        check("keeps = 'true'", &[], &["did you mean `keep`?"]);
        check(
            "keep = 'view.eror'\ndrop = '1 +'\nsample = { ratio = 1, when = 'size(view)' }",
            &[],
            &[
                "3 faults",
                "t.toml:4:8",
                "`select.keep`: in column 5",
                "did you mean `error`?",
                "`select.drop`",
                "`select.sample.when`",
            ],
        );
        check(
            "",
            &[("BEDROCK_TAP__SELECT__KEEP", "has(view.error)"), ("BEDROCK_TAP__SELECT__SAMPLE__RATIO", "0.5")],
            &[],
        );
        check(
            "",
            &[("BEDROCK_TAP__SELECT__SAMPLE__RATIO", "5")],
            &["variable BEDROCK_TAP__SELECT__SAMPLE__RATIO", "out of range"],
        );
    }

    #[test]
    fn equal_samples_are_equal() {
        let sample = |ratio| Sample { ratio, when: None };
        assert!(sample(0.5) == sample(0.5) && sample(0.5) != sample(0.25));
    }
}
