//! A body: what the caller sent to a model, or what the model answered, in the dialect of the model's family. It is read
//! lazily from the raw JSON, told apart by shape and never by the model's name; a body of a dialect that is not known
//! yields nothing and is never an error.

use std::borrow::Cow;

use crate::invocation::{Invocation, RawJson};

mod conversation;
mod value;

pub use conversation::{Part, Turn, conversation};
use value::{Kind, Value};

/// What an answer's body says about the call beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Why the model stopped, in the dialect's own word.
    pub stop_reason: Option<Cow<'a, str>>,
    /// From the request to the end of the answer, in milliseconds.
    pub latency_ms: Option<i64>,
    /// Tokens of the prompt, without cached ones.
    pub input_tokens: Option<i64>,
    /// Tokens of the answer.
    pub output_tokens: Option<i64>,
    /// Tokens read from the prompt cache.
    pub cache_read_tokens: Option<i64>,
    /// Tokens written to the prompt cache.
    pub cache_write_tokens: Option<i64>,
    /// Whether a guardrail intervened: it blocked or masked something.
    pub guardrail_intervened: bool,
}

impl<'a> Facts<'a> {
    /// The facts of an invocation: the record's own token counts first, then what the answer's body says.
    pub fn of(invocation: &Invocation<'a>) -> Self {
        let body = invocation.output.as_ref().and_then(|output| output.output_body_json);
        let mut facts = body.map(Self::read).unwrap_or_default();
        let input = invocation.input.as_ref();
        let prefer = |fact: &mut Option<i64>, record: Option<i64>| *fact = record.or(*fact);
        prefer(&mut facts.input_tokens, input.and_then(|i| i.input_token_count));
        prefer(&mut facts.output_tokens, invocation.output.as_ref().and_then(|o| o.output_token_count));
        // Some collectors leave the cache's counts beside `input` and not in it.
        let beside = |name: &str| {
            let field = invocation.unknown.iter().find(|field| field.key.0 == name)?;
            Value::new(field.value).integer()
        };
        let read = input.and_then(|i| i.cache_read_input_token_count);
        prefer(&mut facts.cache_read_tokens, read.or_else(|| beside("cacheReadInputTokenCount")));
        let written = input.and_then(|i| i.cache_write_input_token_count);
        prefer(&mut facts.cache_write_tokens, written.or_else(|| beside("cacheWriteInputTokenCount")));
        facts
    }

    /// The facts of an answer's body: one object, or the list of a stream's events, where later events win.
    pub fn read(body: RawJson<'a>) -> Self {
        let mut facts = Self::default();
        let body = Value::new(body);
        match body.kind() {
            Kind::Object => facts.read_object(body),
            Kind::Array => body.elements().for_each(|event| facts.read_object(event)),
            _ => {}
        }
        facts
    }

    /// Reads an answer, or one event of a stream: every family keeps these facts at the top or one level below it.
    fn read_object(&mut self, object: Value<'a>) {
        let mut is_response = false;
        for (key, value) in object.members() {
            match key {
                "object" => is_response = value.text() == "\"response\"",
                "choices" | "results" | "outputs" | "generations" | "completions" => {
                    value.elements().take(1).for_each(|first| self.read_choice(first));
                }
                // Anthropic and Cohere: `delta`; Anthropic: `message`; Converse and Nova streams: `messageStop`, `metadata`.
                "delta" | "message" | "messageStop" | "metadata" => self.read_nested(value),
                "response" => self.read_response(value),
                _ => self.read_member(key, value),
            }
        }
        if is_response {
            self.read_status(object);
        }
    }

    fn read_nested(&mut self, nested: Value<'a>) {
        for (key, value) in nested.members() {
            self.read_member(key, value);
        }
    }

    /// One of several alternatives; the first one speaks for all.
    fn read_choice(&mut self, choice: Value<'a>) {
        for (key, value) in choice.members() {
            match key {
                // AI21 Jurassic: an object with the reason in it.
                "finishReason" if value.kind() == Kind::Object => self.read_stop(value.get("reason")),
                // Titan: the tokens of this result.
                "tokenCount" => set(&mut self.output_tokens, Some(value)),
                _ => self.read_member(key, value),
            }
        }
    }

    fn read_member(&mut self, key: &str, value: Value<'a>) {
        match key {
            "stopReason" | "stop_reason" | "finish_reason" | "finishReason" | "completionReason" => {
                self.read_stop(Some(value));
            }
            "metrics" => set(&mut self.latency_ms, value.get("latencyMs")),
            "usage" => self.read_usage(value),
            "amazon-bedrock-invocationMetrics" => {
                set(&mut self.latency_ms, value.get("invocationLatency"));
                self.read_usage(value);
            }
            "amazon-bedrock-guardrailAction" => {
                self.guardrail_intervened |= value.string().is_some_and(|action| action == "INTERVENED");
            }
            // Llama and Titan.
            "prompt_token_count" | "inputTextTokenCount" => set(&mut self.input_tokens, Some(value)),
            "generation_token_count" => set(&mut self.output_tokens, Some(value)),
            _ => {}
        }
    }

    fn read_stop(&mut self, value: Option<Value<'a>>) {
        let Some(reason) = value.and_then(Value::string).filter(|reason| !reason.is_empty()) else { return };
        self.guardrail_intervened |= reason == "guardrail_intervened";
        self.stop_reason = Some(reason);
    }

    /// An event of OpenAI's Responses that carries the response so far.
    fn read_response(&mut self, response: Value<'a>) {
        self.read_nested(response);
        self.read_status(response);
    }

    /// The state of a response stands for the reason of its end; an incomplete one names its reason.
    fn read_status(&mut self, response: Value<'a>) {
        let reason = response.get("incomplete_details").and_then(|details| details.get("reason"));
        self.read_stop(reason.or_else(|| response.get("status")));
    }

    fn read_usage(&mut self, usage: Value<'a>) {
        let mut includes_cached = false;
        for (key, value) in usage.members() {
            match key {
                "inputTokens" | "input_tokens" | "prompt_tokens" | "inputTokenCount" => {
                    set(&mut self.input_tokens, Some(value));
                }
                "outputTokens" | "output_tokens" | "completion_tokens" | "outputTokenCount" => {
                    set(&mut self.output_tokens, Some(value));
                }
                "cacheReadInputTokens" | "cacheReadInputTokenCount" | "cache_read_input_tokens" => {
                    set(&mut self.cache_read_tokens, Some(value));
                }
                "cacheWriteInputTokens" | "cacheWriteInputTokenCount" | "cache_creation_input_tokens" => {
                    set(&mut self.cache_write_tokens, Some(value));
                }
                "prompt_tokens_details" | "input_tokens_details" if value.kind() == Kind::Object => {
                    set(&mut self.cache_read_tokens, value.get("cached_tokens"));
                    set(&mut self.cache_write_tokens, value.get("cache_write_tokens"));
                    includes_cached = true;
                }
                // Cohere. One level and no recursion: what is nested on purpose is not followed.
                "tokens" => {
                    set(&mut self.input_tokens, value.get("input_tokens"));
                    set(&mut self.output_tokens, value.get("output_tokens"));
                }
                _ => {}
            }
        }
        if includes_cached {
            // OpenAI counts cached tokens as tokens of the prompt, Bedrock does not.
            let cached = self.cache_read_tokens.unwrap_or(0).saturating_add(self.cache_write_tokens.unwrap_or(0));
            self.input_tokens = self.input_tokens.map(|all| all.saturating_sub(cached).max(0));
        }
    }
}

fn set(fact: &mut Option<i64>, value: Option<Value<'_>>) {
    if let Some(number) = value.and_then(Value::integer) {
        *fact = Some(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>(stop: &'a str, latency: i64, tokens: [i64; 4]) -> Facts<'a> {
        // A negative number stands for what the body does not say.
        let known = |number: i64| (number >= 0).then_some(number);
        let [input, output, read, write] = tokens.map(known);
        Facts {
            stop_reason: (!stop.is_empty()).then_some(Cow::Borrowed(stop)),
            latency_ms: known(latency),
            input_tokens: input,
            output_tokens: output,
            cache_read_tokens: read,
            cache_write_tokens: write,
            guardrail_intervened: false,
        }
    }

    #[test]
    fn facts_are_found_in_every_dialect() {
        let check = |name: &str, body: &str, expected: Facts<'_>| {
            assert_eq!(Facts::read(RawJson(body)), expected, "{name}");
        };
        check(
            "Converse",
            r#"{"output":{"message":{"role":"assistant","content":[{"text":"\"stopReason\":\"no\""}]}},"stopReason":"end_turn",
               "metrics":{"latencyMs":576},"usage":{"inputTokens":9,"outputTokens":5,"totalTokens":14,"cacheReadInputTokens":3}}"#,
            facts("end_turn", 576, [9, 5, 3, -1]),
        );
        check(
            "ConverseStream as events",
            r#"[{"messageStart":{"role":"assistant"}},{"contentBlockDelta":{"delta":{"text":"hi"}}},
               {"messageStop":{"stopReason":"max_tokens"}},{"metadata":{"usage":{"inputTokens":2,"outputTokens":3},"metrics":{"latencyMs":7}}}]"#,
            facts("max_tokens", 7, [2, 3, -1, -1]),
        );
        check(
            "Anthropic",
            r#"{"type":"message","content":[],"stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":401,
               "cache_creation_input_tokens":1789,"cache_read_input_tokens":0}}"#,
            facts("tool_use", -1, [3, 401, 0, 1789]),
        );
        check(
            "Anthropic stream",
            r#"[{"type":"message_start","message":{"stop_reason":null,"usage":{"input_tokens":12,"output_tokens":1}}},
               {"type":"content_block_delta","delta":{"type":"text_delta","text":"x"}},
               {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":40}},
               {"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":12,"outputTokenCount":40,
               "invocationLatency":1200,"firstByteLatency":300,"cacheReadInputTokenCount":8}},"[DONE]"]"#,
            facts("end_turn", 1200, [12, 40, 8, -1]),
        );
        check(
            "OpenAI counts cached tokens in the prompt",
            r#"{"choices":[{"finish_reason":"stop","message":{}},{"finish_reason":"length"}],"usage":{"prompt_tokens":24318,
               "completion_tokens":5,"prompt_tokens_details":{"cached_tokens":24316,"cache_write_tokens":0}}}"#,
            facts("stop", -1, [2, 5, 24316, 0]),
        );
        check(
            "DeepSeek stream",
            r#"[{"choices":[{"message":{"reasoning_content":"hm"},"stop_reason":null}]},
               {"choices":[{"stop_reason":"length"}],"amazon-bedrock-invocationMetrics":{"invocationLatency":551}}]"#,
            facts("length", 551, [-1, -1, -1, -1]),
        );
        check("Mistral", r#"{"outputs":[{"text":"hi","stop_reason":"stop"}]}"#, facts("stop", -1, [-1, -1, -1, -1]));
        check(
            "Llama",
            r#"{"generation":"hi","prompt_token_count":17,"generation_token_count":5,"stop_reason":"stop"}"#,
            facts("stop", -1, [17, 5, -1, -1]),
        );
        check(
            "Titan",
            r#"{"inputTextTokenCount":4,"results":[{"tokenCount":6,"outputText":"x","completionReason":"FINISH"}]}"#,
            facts("FINISH", -1, [4, 6, -1, -1]),
        );
        check("Cohere", r#"{"text":"x","finish_reason":"COMPLETE"}"#, facts("COMPLETE", -1, [-1, -1, -1, -1]));
        check(
            "Cohere, newer",
            r#"{"message":{"role":"assistant"},"finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":5,"output_tokens":6}}}"#,
            facts("COMPLETE", -1, [5, 6, -1, -1]),
        );
        check("AI21", r#"{"completions":[{"finishReason":{"reason":"endoftext"}}]}"#, facts("endoftext", -1, [-1; 4]));
        check(
            "Responses",
            r#"{"status":"incomplete","object":"response","incomplete_details":{"reason":"max_output_tokens"},"usage":
               {"input_tokens":56,"output_tokens":19,"input_tokens_details":{"cached_tokens":6}}}"#,
            facts("max_output_tokens", -1, [50, 19, 6, -1]),
        );
        check(
            "Responses stream",
            r#"[{"type":"response.created","response":{"status":"in_progress","usage":null}},
               {"type":"response.completed","response":{"status":"completed","usage":{"input_tokens":56,"output_tokens":19}}}]"#,
            facts("completed", -1, [56, 19, -1, -1]),
        );
        for unknown in [
            "{}",
            "[]",
            "null",
            "3",
            "\"text\"",
            "[[{\"stop_reason\":\"x\"}]]",
            r#"{"status":"ok"}"#,
            "{\"usage\":[1]}",
        ] {
            check(unknown, unknown, Facts::default());
        }
    }

    #[test]
    fn a_guardrail_is_seen_wherever_it_says_so() {
        for (body, intervened) in [
            (r#"{"stopReason":"guardrail_intervened"}"#, true),
            (r#"{"content":[],"amazon-bedrock-guardrailAction":"INTERVENED"}"#, true),
            (
                r#"[{"amazon-bedrock-guardrailAction":"INTERVENED","delta":{}},{"amazon-bedrock-guardrailAction":"NONE"}]"#,
                true,
            ),
            (r#"[{"delta":{"amazon-bedrock-guardrailAction":"INTERVENED"}}]"#, true),
            (r#"{"amazon-bedrock-guardrailAction":"NONE","stop_reason":"end_turn"}"#, false),
            (r#"{"generation":"\"amazon-bedrock-guardrailAction\":\"INTERVENED\""}"#, false),
        ] {
            assert_eq!(Facts::read(RawJson(body)).guardrail_intervened, intervened, "{body}");
        }
    }
}
