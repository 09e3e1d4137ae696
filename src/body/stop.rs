//! A stop reason: why a model ended its answer, in one set of words for all dialects.

/// Why a model ended its answer. The words are those of Bedrock's Converse API where it has one (source: the API model
/// `bedrock-runtime`, `StopReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StopReason {
    /// The answer is complete.
    EndTurn,
    /// The model asks for a tool.
    ToolUse,
    /// The limit of tokens was reached.
    MaxTokens,
    /// A stop sequence was met.
    StopSequence,
    /// A guardrail intervened.
    GuardrailIntervened,
    /// The model's own filter, or the model's refusal, ended it.
    ContentFiltered,
    /// The model wrote what is no message.
    MalformedModelOutput,
    /// The model wrote what is no tool call.
    MalformedToolUse,
    /// The context window was full.
    ContextWindowExceeded,
    /// The answer broke off with an error.
    Error,
    /// A word that is not known.
    Other,
}

impl StopReason {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndTurn => "end_turn",
            Self::ToolUse => "tool_use",
            Self::MaxTokens => "max_tokens",
            Self::StopSequence => "stop_sequence",
            Self::GuardrailIntervened => "guardrail_intervened",
            Self::ContentFiltered => "content_filtered",
            Self::MalformedModelOutput => "malformed_model_output",
            Self::MalformedToolUse => "malformed_tool_use",
            Self::ContextWindowExceeded => "model_context_window_exceeded",
            Self::Error => "error",
            Self::Other => "other",
        }
    }

    /// The reason that a dialect's word stands for. Case does not matter: Titan, Cohere and Stability shout. Sources: the
    /// response fields of each family in the user guide of Amazon Bedrock, and the API references of the providers.
    pub fn of(word: &str) -> Self {
        let word = word.to_ascii_lowercase();
        match word.as_str() {
            "end_turn" | "stop" | "finish" | "finished" | "complete" | "completed" | "endoftext" | "eos"
            | "eos_token" | "success" => Self::EndTurn,
            "tool_use" | "tool_calls" | "tool_call" | "function_call" => Self::ToolUse,
            "max_tokens" | "length" | "max_output_tokens" | "max_length" => Self::MaxTokens,
            "stop_sequence" | "stop_criteria_met" => Self::StopSequence,
            "guardrail_intervened" => Self::GuardrailIntervened,
            "content_filtered" | "content_filter" | "refusal" | "error_toxic" => Self::ContentFiltered,
            "malformed_model_output" => Self::MalformedModelOutput,
            "malformed_tool_use" => Self::MalformedToolUse,
            // Mistral's and Cohere's words for the model's own limit, not the caller's.
            "model_context_window_exceeded" | "model_length" | "error_limit" => Self::ContextWindowExceeded,
            "failed" | "incomplete" | "cancelled" | "user_cancel" | "timeout" | "insufficient_system_resource" => {
                Self::Error
            }
            // Stability and Nova Canvas: a sentence, such as `Filter reason: prompt`.
            _ if word.starts_with("filter reason") || word.contains("content filter") => Self::ContentFiltered,
            // Exceptions of Bedrock's streams, error types of Anthropic's and OpenAI's, `ERROR`, `Inference error`.
            _ if word.ends_with("error") || word.ends_with("exception") => Self::Error,
            // `pause_turn`, `RAG_QUERY_WHEN_RAG_DISABLED` and what comes after this was written.
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_familys_word_is_known() {
        for (reason, words) in [
            (StopReason::EndTurn, "end_turn stop FINISH FINISHED COMPLETE completed endoftext SUCCESS"),
            (StopReason::ToolUse, "tool_use tool_calls TOOL_CALL function_call"),
            (StopReason::MaxTokens, "max_tokens MAX_TOKENS length LENGTH max_output_tokens"),
            (StopReason::StopSequence, "stop_sequence STOP_SEQUENCE STOP_CRITERIA_MET"),
            (StopReason::GuardrailIntervened, "guardrail_intervened"),
            (StopReason::ContentFiltered, "content_filtered CONTENT_FILTERED content_filter refusal ERROR_TOXIC"),
            (StopReason::MalformedModelOutput, "malformed_model_output"),
            (StopReason::MalformedToolUse, "malformed_tool_use"),
            (StopReason::ContextWindowExceeded, "model_context_window_exceeded ERROR_LIMIT model_length"),
            (
                StopReason::Error,
                "error ERROR failed cancelled USER_CANCEL TIMEOUT overloaded_error throttlingException",
            ),
            (StopReason::Other, "pause_turn RAG_QUERY_WHEN_RAG_DISABLED x errors"),
        ] {
            for word in words.split(' ') {
                assert_eq!(StopReason::of(word), reason, "{word}");
            }
            if !matches!(reason, StopReason::Other) {
                assert_eq!(StopReason::of(reason.as_str()), reason, "its own name");
            }
        }
        assert_eq!(StopReason::of("Filter reason: output image"), StopReason::ContentFiltered);
        assert_eq!(StopReason::of("Inference error"), StopReason::Error);
        assert_eq!(StopReason::of(""), StopReason::Other);
    }
}
