//! Guardrail evidence: what a guardrail found and did, from all the places where Bedrock writes it.

use super::text::Text;
use super::value::Value;

mod read;

/// What is known of the guardrail that a call went through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guardrail<'a> {
    /// Whether it blocked or masked something.
    pub intervened: bool,
    /// The action as it came, such as `INTERVENED` or `NONE`.
    pub action: Option<Text<'a>>,
    /// Why, in the guardrail's words.
    pub action_reason: Option<Text<'a>>,
    /// The guardrail's id, or its ARN where only that is known.
    pub id: Option<Text<'a>>,
    /// Its version, such as `1` or `DRAFT`.
    pub version: Option<Text<'a>>,
    /// What it looked at and found, in the order in which it came.
    pub assessments: Vec<Assessment<'a>>,
    /// Characters of text that were looked at, of all that there were.
    pub text_coverage: Option<Coverage>,
    /// Images that were looked at, of all that there were.
    pub image_coverage: Option<Coverage>,
    /// Units that were used, by the names of the trace (`contentPolicyUnits`), input and output together.
    pub units: Vec<(Text<'a>, i64)>,
    /// Milliseconds that it took, input and output together.
    pub latency_ms: Option<i64>,
}

/// One thing that a guardrail looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment<'a> {
    /// Where it looked.
    pub side: Side,
    /// Of which policy.
    pub policy: Policy,
    /// The name of a topic, a regex or a word list, as it came.
    pub name: Option<Text<'a>>,
    /// The type, such as `VIOLENCE`, `EMAIL`, `DENY` or `PROFANITY`.
    pub kind: Option<Text<'a>>,
    /// `NONE`, `LOW`, `MEDIUM` or `HIGH`.
    pub confidence: Option<Text<'a>>,
    /// The strength that the filter was set to.
    pub strength: Option<Text<'a>>,
    /// `BLOCKED`, `ANONYMIZED` or `NONE`.
    pub action: Option<Text<'a>>,
    /// Whether it was found, where the trace says so.
    pub detected: Option<bool>,
    /// The text that was found: as secret as the prompt itself.
    pub matched: Option<Text<'a>>,
    /// The score of contextual grounding, as it came.
    pub score: Option<&'a str>,
    /// The threshold of contextual grounding, as it came.
    pub threshold: Option<&'a str>,
}

/// Which way the assessed text went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// To the model.
    Input,
    /// From the model.
    Output,
}

/// A guardrail's policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Topics that are denied.
    Topic,
    /// Content filters.
    Content,
    /// Words.
    Word,
    /// Personal data and regexes.
    SensitiveInformation,
    /// Grounding and relevance.
    ContextualGrounding,
    /// Automated reasoning.
    AutomatedReasoning,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// What was looked at.
    pub guarded: i64,
    /// All that there was.
    pub total: i64,
}

impl Side {
    /// The name in the view.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

impl Policy {
    /// The name in the view.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Content => "content",
            Self::Word => "word",
            Self::SensitiveInformation => "sensitive_information",
            Self::ContextualGrounding => "contextual_grounding",
            Self::AutomatedReasoning => "automated_reasoning",
        }
    }
}

/// The evidence in a request's and an answer's body; none where neither knows of a guardrail.
pub(super) fn read<'a>(input: Option<Value<'a>>, output: Option<Value<'a>>) -> Option<Guardrail<'a>> {
    read::evidence(input, output)
}

#[cfg(test)]
mod tests;
