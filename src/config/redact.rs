//! The redact sections: what sinks are not to see.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conform::nearest;
use super::document::{KeyPath, Problem};
use super::secret::Secret;
use super::{Config, validate};
use crate::redact::{Detector, own_regex};

/// A policy of redaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Redact {
    /// What becomes of the request's and the answer's body: `keep`, with what is found in them masked; `drop`; or
    /// `hash`, which leaves the length in bytes and a keyed hash (HMAC-SHA-256), so that equal bodies can be told without
    /// being read. Default: `keep`.
    pub bodies: RedactedBodies,
    /// The built-in detectors. What they find becomes `[email]`, `[token]` and so on; the event says how much of each it
    /// was. Default: all, because a secret that nobody thought of is the one that leaks.
    pub detect: Vec<Detector>,
    /// The key of the hashes, for `bodies = "hash"`: at least 16 bytes. Whoever has it can try what a body was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
    /// What else is masked: regexes by the name that stands in the mask (letters, digits, `_` and `-`). Of a match with a
    /// group called `secret` only the group is masked. They take time in proportion to the text, so neither
    /// look-around nor back-references exist. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub patterns: BTreeMap<String, String>,
}

impl Default for Redact {
    fn default() -> Self {
        Self { bodies: RedactedBodies::default(), detect: Detector::ALL.into(), key: None, patterns: BTreeMap::new() }
    }
}

/// What becomes of bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RedactedBodies {
    /// They stay, with what is found in them masked.
    #[default]
    Keep,
    /// They are taken out.
    Drop,
    /// In their place stand their length and a keyed hash.
    Hash,
}

impl RedactedBodies {
    /// The name, as in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::Hash => "hash",
        }
    }
}

/// Patterns of one policy at most: each one reads every text once more.
const MAX_PATTERNS: usize = 100;

impl Redact {
    /// The least length of a key in bytes: below it, the key is what would be guessed.
    pub const MIN_KEY_BYTES: usize = 16;

    fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        match (&self.key, self.bodies) {
            // A key that cannot be read was taken out, and has its own fault.
            (None, RedactedBodies::Hash) if problems.iter().any(|problem| problem.path.is_below(&at.key("key"))) => {}
            (None, RedactedBodies::Hash) => {
                let hint = "a key from the environment, `{ env = \"NAME\" }`, or a file, `{ file = \"path\" }`";
                problems.push(Problem::key(at.key("key"), "missing: `bodies = \"hash\"` needs a key").hint(hint));
            }
            (Some(key), _) => key.check(&at.key("key"), problems),
            (None, RedactedBodies::Keep | RedactedBodies::Drop) => {}
        }
        let at = at.key("patterns");
        if self.patterns.len() > MAX_PATTERNS {
            problems.push(Problem::key(at.clone(), format!("has more than {MAX_PATTERNS} patterns")));
        }
        for (name, pattern) in self.patterns.iter().take(MAX_PATTERNS) {
            let at = at.key(name);
            if !validate::is_name(name, 64, b"_-") {
                let allowed = "1 to 64 letters, digits, `_` and `-`";
                problems.push(Problem::key(at.clone(), "the mask's name is not valid").allowed(allowed));
            } else if Detector::ALL.iter().any(|detector| detector.as_str() == name) {
                problems.push(Problem::key(at.clone(), "is the name of a built-in detector").allowed("another name"));
            }
            if let Err(error) = own_regex(pattern) {
                let message = match error {
                    regex::Error::CompiledTooBig(_) => "the regex is too large".to_owned(),
                    error => {
                        // The last line says what is wrong; the others draw where.
                        let text = error.to_string();
                        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                        format!("the regex is not valid: {reason}")
                    }
                };
                problems.push(Problem::value(at, message));
            }
        }
    }
}

/// Checks the policies, and that each one that a sink names exists.
pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    for (name, policy) in &config.redact {
        let at = KeyPath::of(&["redact", name]);
        if !validate::is_name(name, 64, b"_-") {
            let allowed = "1 to 64 letters, digits, `_` and `-`";
            problems.push(Problem::key(at.clone(), "the policy's name is not valid").allowed(allowed));
        }
        policy.check(&at, problems);
    }
    for (name, sink) in &config.sinks {
        let Some(policy) = sink.redact().filter(|policy| !config.redact.contains_key(*policy)) else { continue };
        let at = KeyPath::of(&["sinks", name, sink.kind(), "redact"]);
        // A policy that cannot be read was taken out, and has its own fault.
        if problems.iter().any(|problem| problem.path.is_below(&KeyPath::of(&["redact", policy]))) {
            continue;
        }
        let names: Vec<String> = config.redact.keys().map(|name| format!("[redact.{name}]")).collect();
        let mut problem = Problem::value(at, format!("there is no [redact.{policy}]"));
        if let Some(near) = nearest(policy, config.redact.keys().map(String::as_str)) {
            problem = problem.hint(format!("did you mean {near:?}?"));
        }
        let allowed = if names.is_empty() { "none; no policy is configured".to_owned() } else { names.join(", ") };
        problems.push(problem.allowed(allowed));
    }
}
