//! The bodies of Converse and ConverseStream, which are logged alike, and of the Nova models, which speak the same
//! dialect natively.

use super::super::call::{Call, Stop};
use super::super::json::Json;
use super::super::random::Random;
use super::super::text;
use super::guardrail::Evidence;
use super::{argument_schema, arguments, id, invocation_metrics, temperature};

/// Writes a request.
pub(in super::super) fn request(
    call: &Call,
    guardrail: Option<&Evidence>,
    media: Option<&str>,
    random: &mut Random,
    json: &mut Json,
) {
    json.object(|json| {
        json.key("messages").array(|json| {
            for (index, turn) in call.turns.iter().enumerate() {
                let last = index + 1 == call.turns.len();
                message(index, turn, media.filter(|_| last), random, json);
            }
        });
        if let Some(system) = &call.system {
            json.key("system").array(|json| {
                json.object(|json| json.key("text").text(system));
                if call.cached {
                    json.object(|json| json.key("cachePoint").object(|json| json.key("type").text("default")));
                }
            });
        }
        json.key("inferenceConfig").object(|json| {
            json.key("maxTokens").number(call.max_tokens);
            temperature(call, json);
        });
        if !call.tools.is_empty() {
            json.key("toolConfig").object(|json| {
                json.key("tools").array(|json| call.tools.iter().for_each(|tool| offer(tool, json)));
            });
        }
        if let Some(guardrail) = guardrail {
            json.key("guardrailConfig").object(|json| {
                json.key("guardrailIdentifier").text(&guardrail.id);
                json.key("guardrailVersion").text("3");
                json.key("trace").text("enabled");
            });
        }
    });
}

/// Writes the merged answer.
pub(in super::super) fn response(call: &Call, guardrail: Option<&Evidence>, random: &mut Random, json: &mut Json) {
    json.object(|json| {
        json.key("output").object(|json| {
            json.key("message").object(|json| {
                json.key("role").text("assistant");
                json.key("content").array(|json| content(call, random, json));
            });
        });
        json.key("stopReason").text(stop_reason(call));
        json.key("metrics").object(|json| json.key("latencyMs").number(call.latency_millis));
        json.key("usage").object(|json| usage(call, json));
        if let Some(guardrail) = guardrail {
            let blocked = text::answer(random, 200);
            json.key("trace").object(|json| guardrail.converse(&blocked, json));
        }
    });
}

/// Writes a Nova model's stream as InvokeModelWithResponseStream logs it.
pub(in super::super) fn nova_stream(call: &Call, guardrail: Option<&Evidence>, random: &mut Random, json: &mut Json) {
    let pieces = text::pieces(random, &call.answer);
    json.array(|json| {
        json.object(|json| json.key("messageStart").object(|json| json.key("role").text("assistant")));
        for piece in pieces {
            json.object(|json| {
                json.key("contentBlockDelta").object(|json| {
                    json.key("delta").object(|json| json.key("text").text(piece));
                    json.key("contentBlockIndex").number(0);
                });
            });
        }
        json.object(|json| json.key("contentBlockStop").object(|json| json.key("contentBlockIndex").number(0)));
        json.object(|json| json.key("messageStop").object(|json| json.key("stopReason").text(stop_reason(call))));
        json.object(|json| {
            json.key("metadata").object(|json| {
                json.key("usage").object(|json| usage(call, json));
                json.key("metrics").object(|_| {});
                json.key("trace").object(|_| {});
            });
            if let Some(guardrail) = guardrail {
                guardrail.native(&call.answer, json);
            }
            invocation_metrics(call, json);
        });
    });
}

fn message(index: usize, turn: &str, media: Option<&str>, random: &mut Random, json: &mut Json) {
    json.object(|json| {
        json.key("role").text(if index.is_multiple_of(2) { "user" } else { "assistant" });
        json.key("content").array(|json| {
            json.object(|json| json.key("text").text(turn));
            if let Some(uri) = media {
                json.object(|json| {
                    json.key("document").object(|json| {
                        json.key("format").text("pdf");
                        json.key("name").text(&text::phrase(random));
                        json.key("source").object(|json| json.key("s3Uri").text(uri));
                    });
                });
            }
        });
    });
}

fn offer(tool: &super::super::call::Tool, json: &mut Json) {
    json.object(|json| {
        json.key("toolSpec").object(|json| {
            json.key("name").text(tool.name);
            json.key("description").text(tool.description);
            json.key("inputSchema").object(|json| {
                json.key("json");
                argument_schema(tool.arguments, json);
            });
        });
    });
}

fn content(call: &Call, random: &mut Random, json: &mut Json) {
    if let Some(reasoning) = &call.reasoning {
        json.object(|json| {
            json.key("reasoningContent").object(|json| {
                json.key("reasoningText").object(|json| {
                    json.key("text").text(reasoning);
                    json.key("signature").text(&id(random, "ErUB", 220));
                });
            });
        });
    }
    if !call.answer.is_empty() {
        json.object(|json| json.key("text").text(&call.answer));
    }
    if let Some((tool, _)) = &call.asked {
        json.object(|json| {
            json.key("toolUse").object(|json| {
                json.key("toolUseId").text(&id(random, "tooluse_", 22));
                json.key("name").text(tool.name);
                json.key("input");
                arguments(call, json);
            });
        });
    }
}

fn stop_reason(call: &Call) -> &'static str {
    match call.stop {
        Stop::End => "end_turn",
        Stop::Tool => "tool_use",
        Stop::Length => "max_tokens",
        Stop::Guardrail => "guardrail_intervened",
    }
}

fn usage(call: &Call, json: &mut Json) {
    json.key("inputTokens").number(call.usage.input);
    json.key("outputTokens").number(call.usage.output);
    json.key("totalTokens").number(call.usage.total());
    if call.cached {
        json.key("cacheReadInputTokens").number(call.usage.cache_read);
        json.key("cacheWriteInputTokens").number(call.usage.cache_write);
    }
}
