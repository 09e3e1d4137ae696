//! A fact: something of an event that is known without building its variables.

/// What is known of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A member of `view` that the record says, by its name.
    Record(Field),
    /// A text of the record itself, by its name in `event`.
    Text(&'static str),
    /// A number of the record itself.
    Count(&'static str),
    /// A member of `view.usage`.
    Usage(&'static str),
    /// `view.stop_reason`
    StopReason,
    /// `view.latency_ms`
    Latency,
    /// `view.first_byte_ms`
    FirstByte,
    /// Whether there is `view.guardrail`.
    Guardrail,
    /// `view.guardrail.intervened`
    Intervened,
    /// `view.cost`, of which only is known whether it is there.
    Cost,
    /// How many `view.tool_calls` there are.
    Calls,
    /// The names of `view.tool_calls`: it is asked whether one of them passes.
    CallNames,
}

/// A member of `view` that the record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Account,
    Region,
    InferenceRegion,
    Operation,
    ModelId,
    Model,
    Identity,
    RequestId,
    Error,
}

/// Texts of the record.
const TEXTS: &[(&[&str], &str)] = &[
    (&["accountId"], "accountId"),
    (&["errorCode"], "errorCode"),
    (&["inferenceRegion"], "inferenceRegion"),
    (&["modelId"], "modelId"),
    (&["operation"], "operation"),
    (&["region"], "region"),
    (&["status"], "status"),
    (&["identity", "arn"], "arn"),
];

/// Numbers of the record.
const COUNTS: &[(&[&str], &str)] = &[
    (&["input", "inputTokenCount"], "inputTokenCount"),
    (&["input", "cacheReadInputTokenCount"], "cacheReadInputTokenCount"),
    (&["input", "cacheWriteInputTokenCount"], "cacheWriteInputTokenCount"),
    (&["output", "outputTokenCount"], "outputTokenCount"),
];

/// Members of `view.usage`.
const USAGE: &[&str] = &["input", "output", "cache_read", "cache_write", "reasoning", "total"];

impl Fact {
    /// The fact at a path of `view`, if it is one.
    pub(super) fn of_view(path: &[String]) -> Option<Self> {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        Some(match path.as_slice() {
            ["account"] => Self::Record(Field::Account),
            ["region"] => Self::Record(Field::Region),
            ["inference_region"] => Self::Record(Field::InferenceRegion),
            ["operation"] => Self::Record(Field::Operation),
            ["model_id"] => Self::Record(Field::ModelId),
            ["model"] => Self::Record(Field::Model),
            ["identity"] => Self::Record(Field::Identity),
            ["request_id"] => Self::Record(Field::RequestId),
            ["error"] => Self::Record(Field::Error),
            ["stop_reason"] => Self::StopReason,
            ["latency_ms"] => Self::Latency,
            ["first_byte_ms"] => Self::FirstByte,
            ["usage", name] => Self::Usage(USAGE.iter().find(|known| *known == name)?),
            ["guardrail"] => Self::Guardrail,
            ["guardrail", "intervened"] => Self::Intervened,
            ["cost"] | ["cost", "input" | "output" | "cache_read" | "cache_write" | "guardrail" | "total"] => {
                Self::Cost
            }
            _ => return None,
        })
    }

    /// The fact at a path of `event`, an invocation, if it is one.
    pub(super) fn of_event(path: &[String]) -> Option<Self> {
        let find = |known: &[(&[&str], &'static str)]| {
            known.iter().find(|(names, _)| path.iter().eq(names.iter())).map(|(_, name)| *name)
        };
        find(TEXTS).map(Self::Text).or_else(|| find(COUNTS).map(Self::Count))
    }

    /// Whether it is a text, or several.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Record(_) | Self::Text(_) | Self::StopReason | Self::CallNames)
    }

    /// Whether it is a number.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::Usage(_) | Self::Latency | Self::FirstByte | Self::Cost | Self::Calls)
    }

    /// 0 for what the record says, 1 for what the answer must be read for.
    pub(super) fn price(&self) -> u8 {
        u8::from(!matches!(self, Self::Record(_) | Self::Text(_) | Self::Count(_)))
    }
}
