//! The filter: which invocations are shown.

use globset::{GlobBuilder, GlobMatcher};
use jiff::Timestamp;

use crate::body::{StopReason, View};
use crate::invocation::{Invocation, JsonStr};

/// A pattern: a glob that knows no case. Without a wildcard it is found anywhere in the text.
#[derive(Clone, Debug)]
pub struct Pattern(GlobMatcher);

impl Pattern {
    /// A pattern that is found anywhere unless it has a wildcard of its own.
    ///
    /// # Errors
    /// The glob is not valid: why, in words.
    pub fn anywhere(text: &str) -> Result<Self, String> {
        if text.contains(['*', '?', '[', '{']) {
            Self::glob(text)
        } else {
            Self::glob(&format!("*{}*", globset::escape(text)))
        }
    }

    /// A pattern for the whole text.
    ///
    /// # Errors
    /// The glob is not valid: why, in words.
    pub fn whole(text: &str) -> Result<Self, String> {
        Self::glob(text)
    }

    fn glob(text: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(text).case_insensitive(true).literal_separator(false).build();
        glob.map(|glob| Self(glob.compile_matcher())).map_err(|error| error.kind().to_string())
    }

    fn matches(&self, text: Option<JsonStr<'_>>) -> bool {
        self.0.is_match(&*text.map(JsonStr::decode).unwrap_or_default())
    }
}

/// Which invocations are shown: those for which all that is set holds; of several patterns for a field one is enough.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Patterns for the model id or ARN.
    pub model: Vec<Pattern>,
    /// Patterns for the operation.
    pub operation: Vec<Pattern>,
    /// Patterns for the caller's ARN.
    pub identity: Vec<Pattern>,
    /// Only calls that failed.
    pub errors: bool,
    /// Only calls in which a guardrail intervened.
    pub guardrail: bool,
    /// Only calls at or after this time.
    pub since: Option<Timestamp>,
}

impl Filter {
    /// Whether the invocation is shown.
    pub fn takes(&self, invocation: &Invocation<'_>) -> bool {
        let one_of = |patterns: &[Pattern], text: Option<JsonStr<'_>>| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
        };
        self.since.is_none_or(|since| invocation.event_time >= since)
            && one_of(&self.model, Some(invocation.model_id))
            && one_of(&self.operation, invocation.operation)
            && one_of(&self.identity, invocation.identity.as_ref().and_then(|identity| identity.arn))
            && (!self.errors || failed(invocation))
            && (!self.guardrail || View::of(invocation).guardrail().is_some_and(|found| found.intervened))
    }
}

/// Whether the call failed: the record has an error code, or the answer's stream broke off and says so.
fn failed(invocation: &Invocation<'_>) -> bool {
    invocation.error_code.is_some_and(|code| !code.0.is_empty())
        || View::of(invocation).stop_reason() == Some(StopReason::Error)
}
