//! An answer's body, in any dialect: one object, or the list of a stream's events. Each is walked once; what its
//! members are called tells what they say, wherever in the list they stand.

use super::Answer;
use super::stop::StopReason;
use super::stream::Pieces;
use super::text::Text;
use super::usage::{Tally, set};
use super::value::{Kind, Value};

mod event;
mod media;

/// Reads an answer's body.
pub(super) fn read(body: Value<'_>) -> Answer<'_> {
    let mut reader = Reader::default();
    match body.kind() {
        Kind::Object => reader.event(body),
        // What is no object says nothing: `"[DONE]"` stands in many streams.
        Kind::Array => body.elements().for_each(|event| reader.event(event)),
        _ => {}
    }
    let (messages, asks) = reader.said.finish();
    Answer { messages, asks, usage: reader.tally.finish(), ..reader.answer }
}

impl Answer<'_> {
    /// Why the model stopped, in one set of words. Responses and Cohere's Command R end an answer that asks for a tool
    /// like any other.
    pub(super) fn why_stopped(&self) -> Option<StopReason> {
        let word = self.stop_reason.as_ref()?.decode();
        let is_done = word.eq_ignore_ascii_case("complete") || word.eq_ignore_ascii_case("completed");
        Some(if is_done && self.asks { StopReason::ToolUse } else { StopReason::of(&word) })
    }
}

/// Reads the events of an answer into it.
#[derive(Default)]
struct Reader<'a> {
    answer: Answer<'a>,
    tally: Tally,
    said: Pieces<'a>,
    /// The alternative whose stop reason is known; the first one speaks for all.
    stopped: Option<i64>,
    /// How good the response's id is.
    id_rank: u8,
}

/// The alternative that an error speaks for: it comes before all others.
const ERROR: i64 = i64::MIN;

impl<'a> Reader<'a> {
    /// Takes a fact of the call, if the member is one. Every family keeps them at the top or one level below it.
    fn fact(&mut self, key: &str, value: Value<'a>) {
        match key {
            "stopReason" | "stop_reason" | "finish_reason" | "finishReason" | "completionReason" => {
                self.stop(0, value.as_text());
            }
            "usage" | "meta" => self.tally.read(value),
            "metrics" => value.get("latencyMs").into_iter().for_each(|ms| set(&mut self.answer.latency_ms, ms)),
            "amazon-bedrock-invocationMetrics" => self.metrics(value),
            "id" => self.id(3, value),
            "response_id" | "responseId" => self.id(2, value),
            "generation_id" => self.id(1, value),
            "request_id" | "requestId" | "x-request-id" => {
                self.answer.request_id = self.answer.request_id.take().or_else(|| value.as_text());
            }
            "model" => self.answer.model = self.answer.model.take().or_else(|| value.as_text()),
            // A prompt router's choice.
            "trace" => {
                let router = value.get("promptRouter").and_then(|router| router.get_text("invokedModelId"));
                self.answer.model = router.or(self.answer.model.take());
            }
            // Llama and Titan.
            "prompt_token_count" | "inputTextTokenCount" => self.tally.input(value),
            "generation_token_count" | "totalOutputTextTokenCount" => self.tally.output(value),
            // Stability: null for each image that is there.
            "finish_reasons" => self.stop(0, value.elements().find_map(Value::as_text)),
            // Converse: the stream broke off.
            exception if exception.ends_with("Exception") && value.kind() == Kind::Object => {
                self.stop(ERROR, Some(Text::of(exception)));
            }
            _ => {}
        }
    }

    fn metrics(&mut self, metrics: Value<'a>) {
        for (key, value) in metrics.members() {
            match &*key {
                "invocationLatency" => set(&mut self.answer.latency_ms, value),
                "firstByteLatency" => set(&mut self.answer.first_byte_ms, value),
                _ => self.tally.measure(&key, value),
            }
        }
    }

    /// Takes the reason of one of several alternatives.
    fn stop(&mut self, alternative: i64, reason: Option<Text<'a>>) {
        let is_first = self.stopped.is_none_or(|known| alternative <= known);
        if is_first && reason.as_ref().is_some_and(|reason| !reason.is_empty()) {
            self.answer.stop_reason = reason;
            self.stopped = Some(alternative);
        }
    }

    /// The state of a response stands for the reason of its end; an incomplete one names its reason.
    fn status(&mut self, status: Option<Text<'a>>, incomplete: Option<Value<'a>>) {
        let is_open = status.as_ref().is_some_and(|status| *status == "in_progress" || *status == "queued");
        let reason = incomplete.and_then(|incomplete| incomplete.get_text("reason"));
        self.stop(0, reason.or(status).filter(|_| !is_open));
    }

    /// An error: its type, or a sentence that tells of a filter; what is neither is but an error.
    fn error(&mut self, error: Value<'a>) {
        let word = match error.kind() {
            Kind::Object => error.get_text("type").or_else(|| error.get_text("code")),
            Kind::String if error.text() != "\"\"" => error.as_text(),
            _ => return,
        };
        let known = word.filter(|word| StopReason::of(&word.decode()) != StopReason::Other);
        self.stop(ERROR, known.or(Some(Text::of_json("error"))));
    }

    fn id(&mut self, rank: u8, id: Value<'a>) {
        if rank <= self.id_rank {
            return;
        }
        // AI21 Jurassic numbers its answers.
        let id = if id.kind() == Kind::Number { Some(Text::of_json(id.text())) } else { id.as_text() };
        if let Some(id) = id.filter(|id| !id.is_empty()) {
            self.answer.response_id = Some(id);
            self.id_rank = rank;
        }
    }
}

#[cfg(test)]
mod tests;
