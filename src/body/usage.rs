//! Usage: tokens, in Bedrock's way of counting: the prompt's without cached ones.

use super::value::{Kind, Value};
use crate::invocation::Invocation;

/// Tokens. What nobody says is none, never computed from the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, without cached ones.
    pub input: Option<i64>,
    /// Tokens of the answer, its reasoning included.
    pub output: Option<i64>,
    /// Tokens read from the prompt cache.
    pub cache_read: Option<i64>,
    /// Tokens written to the prompt cache.
    pub cache_write: Option<i64>,
    /// Of those, the ones that are kept for an hour, where the body says so.
    pub cache_write_1h: Option<i64>,
    /// Tokens of the answer that are reasoning, where the body says so.
    pub reasoning: Option<i64>,
    /// The sum, as the body says it.
    pub total: Option<i64>,
    /// Whether the body's own counts do not add up to its total.
    pub total_is_off: bool,
}

/// The record's own counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: Option<i64>,
    output: Option<i64>,
    cache_read: Option<i64>,
    cache_write: Option<i64>,
}

impl Counts {
    pub(super) fn of(invocation: &Invocation<'_>) -> Self {
        let input = invocation.input.as_ref();
        // Some collectors leave the cache's counts beside `input` and not in it.
        let beside = |name: &str| {
            let field = invocation.unknown.iter().find(|field| field.key.0 == name)?;
            Value::new(field.value).integer()
        };
        let read = input.and_then(|i| i.cache_read_input_token_count);
        let written = input.and_then(|i| i.cache_write_input_token_count);
        Self {
            input: input.and_then(|i| i.input_token_count),
            output: invocation.output.as_ref().and_then(|output| output.output_token_count),
            cache_read: read.or_else(|| beside("cacheReadInputTokenCount")),
            cache_write: written.or_else(|| beside("cacheWriteInputTokenCount")),
        }
    }

    /// These counts, and the body's where the record says nothing.
    pub(super) fn over(self, body: &Usage) -> Usage {
        Usage {
            input: self.input.or(body.input),
            output: self.output.or(body.output),
            cache_read: self.cache_read.or(body.cache_read),
            cache_write: self.cache_write.or(body.cache_write),
            ..*body
        }
    }
}

impl Usage {
    /// Reads the usage object of any dialect; what it says replaces what was known.
    pub(super) fn read(&mut self, usage: Value<'_>) {
        let mut includes_cached = false;
        for (key, value) in usage.members() {
            match &*key {
                "inputTokens" | "input_tokens" | "prompt_tokens" | "inputTokenCount" => set(&mut self.input, value),
                "outputTokens" | "output_tokens" | "completion_tokens" | "outputTokenCount" => {
                    set(&mut self.output, value);
                }
                "cacheReadInputTokens" | "cacheReadInputTokenCount" | "cache_read_input_tokens" => {
                    set(&mut self.cache_read, value);
                }
                "cacheWriteInputTokens" | "cacheWriteInputTokenCount" | "cache_creation_input_tokens" => {
                    set(&mut self.cache_write, value);
                }
                "totalTokens" | "total_tokens" => set(&mut self.total, value),
                "prompt_tokens_details" | "input_tokens_details" if value.kind() == Kind::Object => {
                    value.get("cached_tokens").into_iter().for_each(|count| set(&mut self.cache_read, count));
                    value.get("cache_write_tokens").into_iter().for_each(|count| set(&mut self.cache_write, count));
                    includes_cached = true;
                }
                // Cohere. One level and no recursion: what is nested on purpose is not followed.
                "tokens" => {
                    value.get("input_tokens").into_iter().for_each(|count| set(&mut self.input, count));
                    value.get("output_tokens").into_iter().for_each(|count| set(&mut self.output, count));
                }
                _ => {}
            }
        }
        if includes_cached {
            // OpenAI counts cached tokens as tokens of the prompt, Bedrock does not.
            let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
            self.input = self.input.map(|all| all.saturating_sub(cached).max(0));
        }
    }
}

/// Sets a count to a number, if it is one.
pub(super) fn set(count: &mut Option<i64>, value: Value<'_>) {
    if let Some(number) = value.integer() {
        *count = Some(number);
    }
}
