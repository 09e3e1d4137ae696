//! Usage: tokens, in Bedrock's way of counting: the prompt's without cached ones.

use memchr::memmem;

use super::value::{Kind, Value};
use crate::invocation::Invocation;

/// More than any call can count, and as far as every reader of JSON counts exactly: 2^53.
const MAX_COUNT: i64 = 9_007_199_254_740_992;

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

impl Usage {
    fn cached(&self) -> i64 {
        self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0))
    }
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
            count(Value::new(field.value))
        };
        let plausible = |number: &i64| (0..=MAX_COUNT).contains(number);
        let output = invocation.output.as_ref().and_then(|output| output.output_token_count);
        let read = input.and_then(|i| i.cache_read_input_token_count).filter(plausible);
        let written = input.and_then(|i| i.cache_write_input_token_count).filter(plausible);
        Self {
            input: input.and_then(|i| i.input_token_count).filter(plausible),
            output: output.filter(plausible),
            cache_read: read.or_else(|| beside("cacheReadInputTokenCount")),
            cache_write: written.or_else(|| beside("cacheWriteInputTokenCount")),
        }
    }

    /// These counts, if both sides of the call are among them.
    pub(super) fn whole(self) -> Option<Usage> {
        let Self { input, output, cache_read, cache_write } = self;
        let usage = Usage { input, output, cache_read, cache_write, ..Usage::default() };
        (input.is_some() && output.is_some()).then_some(usage)
    }

    /// These counts, and the body's where the record says nothing.
    pub(super) fn over(self, body: &Usage) -> Usage {
        // Some records count cached tokens as tokens of the prompt; where the body shows that, the body is right.
        let with_cached = body.input.map(|input| input.saturating_add(body.cached()));
        let includes_cached = body.cached() > 0 && self.input == with_cached;
        Usage {
            input: self.input.filter(|_| !includes_cached).or(body.input),
            output: self.output.or(body.output),
            cache_read: self.cache_read.or(body.cache_read),
            cache_write: self.cache_write.or(body.cache_write),
            ..*body
        }
    }
}

/// Whether a body may count cached tokens, without reading it: whatever dialect, the key has `cache` in it, and stands
/// before a number other than 0 or before an object of such. Text about caches is taken for a count.
pub(super) fn may_count_cached(body: &str) -> bool {
    // A key may be written with its letters escaped: `a`, `c`, `e`, `h` and `C` are 61, 63, 65, 68 and 43.
    let is_escaped =
        ["\\u006", "\\u004"].into_iter().any(|escape| memmem::find(body.as_bytes(), escape.as_bytes()).is_some());
    is_escaped
        || memmem::find_iter(body.as_bytes(), b"ache").any(|at| {
            let rest = body.as_bytes()[at..].trim_ascii_start();
            let key = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
            let rest = rest[key..].strip_prefix(b"\\").unwrap_or(&rest[key..]);
            let Some(rest) = rest.strip_prefix(b"\"").map(<[u8]>::trim_ascii_start) else { return true };
            match rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start) {
                Some([b'{', ..]) => false,
                Some([b'0', after, ..]) => after.is_ascii_digit() || matches!(after, b'.' | b'e' | b'E'),
                _ => true,
            }
        })
}

/// What an answer's body says of its tokens, gathered from all the places where it does. In a stream the later count
/// wins, since counts grow; a zero says nothing against a count that is known.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// `input` is here the count of the dialects that leave cached tokens out.
    usage: Usage,
    /// The prompt's tokens in an OpenAI dialect.
    prompt: Option<i64>,
    /// Whether cached tokens are among the prompt's.
    prompt_has_cached: bool,
    /// The prompt's tokens as Bedrock measured them.
    measured: Option<i64>,
}

impl Tally {
    /// Reads the usage object of any dialect.
    pub(super) fn read(&mut self, usage: Value<'_>) {
        let known = &mut self.usage;
        // Anthropic and OpenAI's Responses have the same word for different counts.
        let (mut input, mut has_prompt) = (None, false);
        let (mut billed, mut tokens) = (None, None);
        for (key, value) in usage.members() {
            match &*key {
                "inputTokens" | "inputTokenCount" => set(&mut known.input, value),
                "input_tokens" => set(&mut input, value),
                "prompt_tokens" => {
                    set(&mut input, value);
                    has_prompt = true;
                }
                "outputTokens" | "output_tokens" | "completion_tokens" | "outputTokenCount" => {
                    set(&mut known.output, value);
                }
                "cacheReadInputTokens" | "cacheReadInputTokenCount" | "cache_read_input_tokens" => {
                    set(&mut known.cache_read, value);
                }
                "cacheWriteInputTokens" | "cacheWriteInputTokenCount" | "cache_creation_input_tokens" => {
                    set(&mut known.cache_write, value);
                }
                "totalTokens" | "total_tokens" => set(&mut known.total, value),
                "cacheDetails" => set_1h(&mut known.cache_write_1h, value),
                "cache_creation" => {
                    value.get("ephemeral_1h_input_tokens").into_iter().for_each(|n| set(&mut known.cache_write_1h, n));
                }
                "prompt_tokens_details" | "input_tokens_details" if value.kind() == Kind::Object => {
                    for (key, value) in value.members() {
                        match &*key {
                            "cached_tokens" => set(&mut known.cache_read, value),
                            "cache_write_tokens" => set(&mut known.cache_write, value),
                            _ => {}
                        }
                    }
                    has_prompt = true;
                    self.prompt_has_cached = true;
                }
                // Cohere, and what else serves OpenAI's dialect without the details.
                "cached_tokens" => {
                    set(&mut known.cache_read, value);
                    has_prompt = true;
                    self.prompt_has_cached = true;
                }
                "completion_tokens_details" | "output_tokens_details" => {
                    value.get("reasoning_tokens").into_iter().for_each(|n| set(&mut known.reasoning, n));
                }
                "reasoning_tokens" => set(&mut known.reasoning, value),
                "billed_units" => billed = Some(value),
                "tokens" => tokens = Some(value),
                _ => {}
            }
        }
        // Cohere: what was billed, and what the model saw, which is what Bedrock counts.
        for nested in [billed, tokens].into_iter().flatten() {
            nested.get("input_tokens").into_iter().for_each(|n| set(&mut input, n));
            nested.get("output_tokens").into_iter().for_each(|n| set(&mut known.output, n));
        }
        better(if has_prompt { &mut self.prompt } else { &mut known.input }, input);
    }

    /// Reads one member of `amazon-bedrock-invocationMetrics`, whose prompt never has cached tokens in it.
    pub(super) fn measure(&mut self, key: &str, value: Value<'_>) {
        match key {
            "inputTokenCount" => set(&mut self.measured, value),
            "outputTokenCount" => set(&mut self.usage.output, value),
            "cacheReadInputTokenCount" => set(&mut self.usage.cache_read, value),
            "cacheWriteInputTokenCount" => set(&mut self.usage.cache_write, value),
            _ => {}
        }
    }

    /// The prompt's tokens, beside the answer and not in a usage object.
    pub(super) fn input(&mut self, value: Value<'_>) {
        set(&mut self.usage.input, value);
    }

    /// The answer's tokens, beside the answer and not in a usage object.
    pub(super) fn output(&mut self, value: Value<'_>) {
        set(&mut self.usage.output, value);
    }

    /// The tokens of one answer of several.
    pub(super) fn more_output(&mut self, value: Value<'_>) {
        if let Some(more) = count(value) {
            self.usage.output = Some(self.usage.output.unwrap_or(0).saturating_add(more).min(MAX_COUNT));
        }
    }

    /// The tokens, in Bedrock's way of counting.
    pub(super) fn finish(self) -> Usage {
        let Self { usage, prompt, prompt_has_cached, measured } = self;
        let cached = usage.cached();
        // What each dialect's own total is the sum of.
        let all_input = match prompt {
            Some(prompt) if prompt_has_cached => Some(prompt),
            _ => prompt.or(usage.input).or(measured).map(|input| input.saturating_add(cached)),
        };
        let sum = all_input.zip(usage.output).map(|(input, output)| input.saturating_add(output));
        let total_is_off = sum.zip(usage.total).is_some_and(|(sum, total)| sum != total);
        let own = match prompt {
            Some(prompt) if prompt_has_cached => Some(prompt.saturating_sub(cached).max(0)),
            _ => prompt.or(usage.input),
        };
        // What is measured is as the body counts where Bedrock took the count over with the cached tokens in it.
        let takes_over = prompt_has_cached && cached > 0 && measured == prompt;
        let mut input = own;
        better(&mut input, measured.filter(|_| !takes_over));
        Usage { input, total_is_off, ..usage }
    }
}

/// Converse's list of cache writes by their time to live.
fn set_1h(known: &mut Option<i64>, details: Value<'_>) {
    let mut sum: Option<i64> = None;
    for detail in details.elements().filter(|detail| detail.kind() == Kind::Object) {
        let is_hour = detail.get_text("ttl").is_some_and(|ttl| ttl == "1h");
        let tokens = detail.get("inputTokens").and_then(count).filter(|_| is_hour).unwrap_or(0);
        sum = Some(sum.unwrap_or(0).saturating_add(tokens).min(MAX_COUNT));
    }
    better(known, sum);
}

/// Sets a count to a number, if it is a plausible one.
pub(super) fn set(known: &mut Option<i64>, value: Value<'_>) {
    better(known, count(value));
}

/// Sets a count to one that is known; none, and a zero for what is known already, say nothing.
fn better(known: &mut Option<i64>, number: Option<i64>) {
    if number.is_some_and(|number| number > 0 || known.is_none()) {
        *known = number;
    }
}

fn count(value: Value<'_>) -> Option<i64> {
    value.integer().filter(|number| !value.text().starts_with('-') && *number <= MAX_COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_counts_no_cached_tokens_is_known_without_reading_it() {
        let check = |body: &str, expected: bool| assert_eq!(may_count_cached(body), expected, "{body}");
        check(r#"{"usage":{"inputTokens":3}}"#, false);
        check(r#"{"usage":{"cacheReadInputTokens":0,"cacheWriteInputTokenCount": 0 }}"#, false);
        check(r#"{"usage":{"cache_creation":{"ephemeral_5m_input_tokens":0},"cache_read_input_tokens":0}}"#, false);
        check(r#""{\"usage\":{\"cache_read_input_tokens\":0}}""#, false);
        check(r#"{"usage":{"cacheReadInputTokens":7}}"#, true);
        check(r#"{"usage":{"cache_read_input_tokens":0.5}}"#, true);
        check(r#"{"usage":{"prompt_tokens_details":{"cached_tokens":12}}}"#, true);
        check(r#"{"usage":{"cacheReadInputTokens":"7"}}"#, true);
        check(r#"{"usage":{"c\u0061cheReadInputTokens":7}}"#, true);
        check(r#"{"text":"about caches"}"#, true);
    }

    #[cfg(feature = "demo")]
    #[test]
    fn what_is_charged_for_is_what_is_used() {
        use crate::extract::LogEvent;
        use crate::generator::{Generator, Profile};
        use crate::parse::{self, Parsed};

        let mut generator = Generator::new(7, Profile::bench());
        let mut short = 0;
        for _ in 0..2000 {
            let message = generator.invocation();
            let event = LogEvent { message: &message, ..LogEvent::default() };
            let Parsed::Invocation(invocation) = parse::message(event, 128) else { continue };
            let (charged, used) = (crate::body::View::of(&invocation).charged(), crate::body::View::of(&invocation));
            let used = used.usage();
            let count = |tokens: Option<i64>| tokens.unwrap_or(0);
            assert_eq!((charged.input, charged.output), (used.input, used.output), "{}", invocation.model_id.0);
            assert_eq!(count(charged.cache_read), count(used.cache_read), "{}", invocation.model_id.0);
            assert_eq!(count(charged.cache_write), count(used.cache_write), "{}", invocation.model_id.0);
            assert_eq!(count(charged.cache_write_1h), count(used.cache_write_1h), "{}", invocation.model_id.0);
            short += u32::from(charged != *used);
        }
        assert!(short > 100, "answers are looked into all the same: {short}");
    }

    #[test]
    fn the_record_counts_before_the_body() {
        let known = |[input, output, read, write]: [i64; 4]| {
            // A negative number stands for what is not said.
            let known = |number: i64| (number >= 0).then_some(number);
            (known(input), known(output), known(read), known(write))
        };
        for (name, record, body, expected) in [
            ("the record alone", [1, 2, 3, 4], [-1; 4], [1, 2, 3, 4]),
            ("the body alone", [-1; 4], [1, 2, 3, 4], [1, 2, 3, 4]),
            ("the record first, zeros too", [1, 2, 0, 0], [9, 9, 9, 9], [1, 2, 0, 0]),
            ("the body where the record is silent", [1, -1, -1, 0], [9, 8, 7, 6], [1, 8, 7, 0]),
            ("cached tokens in the record's prompt", [24318, 5, 24316, 0], [2, 5, 24316, 0], [2, 5, 24316, 0]),
            ("read and written ones", [100, 5, -1, -1], [10, 5, 60, 30], [10, 5, 60, 30]),
            ("cached tokens beside the record's prompt", [2, 5, 24316, 0], [2, 5, 24316, 0], [2, 5, 24316, 0]),
            ("nothing is cached", [12, 5, 0, 0], [12, 5, 0, 0], [12, 5, 0, 0]),
            ("a body without a prompt", [90, 5, -1, -1], [-1, 5, 90, -1], [90, 5, 90, -1]),
        ] {
            let (input, output, cache_read, cache_write) = known(record);
            let counts = Counts { input, output, cache_read, cache_write };
            let (input, output, cache_read, cache_write) = known(body);
            let body = Usage { input, output, cache_read, cache_write, total: Some(7), ..Usage::default() };
            let usage = counts.over(&body);
            let found = (usage.input, usage.output, usage.cache_read, usage.cache_write);
            assert_eq!((found, usage.total), (known(expected), Some(7)), "{name}");
        }
    }
}
