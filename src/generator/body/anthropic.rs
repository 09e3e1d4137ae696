//! Anthropic's native bodies.

use super::super::call::Call;
use super::super::json::Json;
use super::super::random::Random;
use super::super::text;
use super::guardrail::Evidence;
use super::{argument_schema, arguments, arguments_text, id, invocation_metrics, stop_word, temperature};

/// Writes a request.
pub(in super::super) fn request(call: &Call, json: &mut Json) {
    json.object(|json| {
        json.key("anthropic_version").text("bedrock-2023-05-31");
        json.key("max_tokens").number(call.max_tokens);
        temperature(call, json);
        match &call.system {
            Some(system) if call.cached => json.key("system").array(|json| {
                json.object(|json| {
                    json.key("type").text("text");
                    json.key("text").text(system);
                    json.key("cache_control").object(|json| json.key("type").text("ephemeral"));
                });
            }),
            Some(system) => json.key("system").text(system),
            None => {}
        }
        json.key("messages").array(|json| {
            for (index, turn) in call.turns.iter().enumerate() {
                json.object(|json| {
                    json.key("role").text(if index.is_multiple_of(2) { "user" } else { "assistant" });
                    json.key("content").array(|json| {
                        json.object(|json| {
                            json.key("type").text("text");
                            json.key("text").text(turn);
                        });
                    });
                });
            }
        });
        if !call.tools.is_empty() {
            json.key("tools").array(|json| {
                for tool in call.tools {
                    json.object(|json| {
                        json.key("name").text(tool.name);
                        json.key("description").text(tool.description);
                        json.key("input_schema");
                        argument_schema(tool.arguments, json);
                    });
                }
            });
        }
    });
}

/// Writes a whole answer.
pub(in super::super) fn response(
    call: &Call,
    model: &str,
    guardrail: Option<&Evidence>,
    random: &mut Random,
    json: &mut Json,
) {
    json.object(|json| {
        head(model, random, json);
        json.key("content").array(|json| {
            if let Some(thinking) = &call.reasoning {
                json.object(|json| {
                    json.key("type").text("thinking");
                    json.key("thinking").text(thinking);
                    json.key("signature").text(&id(random, "EqQB", 220));
                });
            }
            if !call.answer.is_empty() {
                json.object(|json| {
                    json.key("type").text("text");
                    json.key("text").text(&call.answer);
                });
            }
            if let Some((tool, _)) = &call.asked {
                json.object(|json| {
                    json.key("type").text("tool_use");
                    json.key("id").text(&id(random, "toolu_bdrk_01", 22));
                    json.key("name").text(tool.name);
                    json.key("input");
                    arguments(call, json);
                });
            }
        });
        json.key("stop_reason").text(stop_word(call, "end_turn", "tool_use", "max_tokens"));
        json.key("stop_sequence").raw("null");
        json.key("usage").object(|json| usage(call, call.usage.output, json));
        if let Some(guardrail) = guardrail {
            guardrail.native(&text::answer(random, 200), json);
        }
    });
}

/// Writes an answer's stream.
pub(in super::super) fn stream(
    call: &Call,
    model: &str,
    guardrail: Option<&Evidence>,
    random: &mut Random,
    json: &mut Json,
) {
    json.array(|json| {
        json.object(|json| {
            json.key("type").text("message_start");
            json.key("message").object(|json| {
                head(model, random, json);
                json.key("content").array(|_| {});
                json.key("stop_reason").raw("null");
                json.key("stop_sequence").raw("null");
                json.key("usage").object(|json| usage(call, 1, json));
            });
        });
        let mut index = 0;
        if !call.answer.is_empty() {
            let pieces = text::pieces(random, &call.answer);
            let start = |json: &mut Json| {
                json.key("type").text("text");
                json.key("text").text("");
            };
            block(index, start, "text_delta", "text", &pieces, json);
            index += 1;
        }
        if let Some((tool, _)) = &call.asked {
            let arguments = arguments_text(call);
            let pieces = text::pieces(random, &arguments);
            let tool_id = id(random, "toolu_bdrk_01", 22);
            let start = |json: &mut Json| {
                json.key("type").text("tool_use");
                json.key("id").text(&tool_id);
                json.key("name").text(tool.name);
                json.key("input").object(|_| {});
            };
            block(index, start, "input_json_delta", "partial_json", &pieces, json);
        }
        json.object(|json| {
            json.key("type").text("message_delta");
            json.key("delta").object(|json| {
                json.key("stop_reason").text(stop_word(call, "end_turn", "tool_use", "max_tokens"));
                json.key("stop_sequence").raw("null");
            });
            json.key("usage").object(|json| json.key("output_tokens").number(call.usage.output));
            if guardrail.is_some() {
                json.key("amazon-bedrock-guardrailAction").text("INTERVENED");
            }
        });
        json.object(|json| {
            json.key("type").text("message_stop");
            if let Some(guardrail) = guardrail {
                guardrail.native(&call.answer, json);
            }
            invocation_metrics(call, json);
        });
    });
}

/// Writes one block of a stream: its start, its pieces and its end.
fn block(index: usize, start: impl FnOnce(&mut Json), kind: &str, member: &str, pieces: &[&str], json: &mut Json) {
    json.object(|json| {
        json.key("type").text("content_block_start");
        json.key("index").number(index);
        json.key("content_block").object(start);
    });
    for piece in pieces {
        json.object(|json| {
            json.key("type").text("content_block_delta");
            json.key("index").number(index);
            json.key("delta").object(|json| {
                json.key("type").text(kind);
                json.key(member).text(piece);
            });
        });
    }
    json.object(|json| {
        json.key("type").text("content_block_stop");
        json.key("index").number(index);
    });
}

fn head(model: &str, random: &mut Random, json: &mut Json) {
    json.key("model").text(model);
    json.key("id").text(&id(random, "msg_bdrk_01", 22));
    json.key("type").text("message");
    json.key("role").text("assistant");
}

fn usage(call: &Call, output: usize, json: &mut Json) {
    json.key("input_tokens").number(call.usage.input);
    json.key("cache_creation_input_tokens").number(call.usage.cache_write);
    json.key("cache_read_input_tokens").number(call.usage.cache_read);
    json.key("output_tokens").number(output);
}
