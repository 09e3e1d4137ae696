//! Chat completions: OpenAI's dialect, which Pixtral and DeepSeek speak too.

use super::super::call::Call;
use super::super::json::Json;
use super::super::random::Random;
use super::super::text;
use super::{argument_schema, arguments_text, id, invocation_metrics, stop_word, temperature};

/// Writes a request; `model` is a member of it only where the API carries it there.
pub(in super::super) fn request(call: &Call, model: Option<&str>, stream: bool, json: &mut Json) {
    json.object(|json| {
        if let Some(model) = model {
            json.key("model").text(model);
        }
        json.key("messages").array(|json| {
            if let Some(system) = &call.system {
                message("system", system, json);
            }
            for (index, turn) in call.turns.iter().enumerate() {
                message(if index.is_multiple_of(2) { "user" } else { "assistant" }, turn, json);
            }
        });
        json.key("max_tokens").number(call.max_tokens);
        temperature(call, json);
        if !call.tools.is_empty() {
            json.key("tools").array(|json| {
                for tool in call.tools {
                    json.object(|json| {
                        json.key("type").text("function");
                        json.key("function").object(|json| {
                            json.key("name").text(tool.name);
                            json.key("description").text(tool.description);
                            json.key("parameters");
                            argument_schema(tool.arguments, json);
                        });
                    });
                }
            });
        }
        if model.is_some() {
            json.key("stream").raw(if stream { "true" } else { "false" });
        }
    });
}

/// Writes a whole answer.
pub(in super::super) fn response(call: &Call, model: &str, random: &mut Random, json: &mut Json) {
    json.object(|json| {
        json.key("id").text(&id(random, "chatcmpl-", 29));
        json.key("object").text("chat.completion");
        json.key("created").number(call.created);
        json.key("model").text(model);
        json.key("choices").array(|json| {
            json.object(|json| {
                json.key("index").number(0);
                json.key("message").object(|json| {
                    json.key("role").text("assistant");
                    content("content", &call.answer, json);
                    if let Some(reasoning) = &call.reasoning {
                        json.key("reasoning_content").text(reasoning);
                    }
                    if call.asked.is_some() {
                        tool_calls(call, random, json);
                    }
                    json.key("refusal").raw("null");
                });
                json.key("logprobs").raw("null");
                json.key("finish_reason").text(stop_word(call, "stop", "tool_calls", "length"));
            });
        });
        json.key("usage").object(|json| usage(call, json));
        json.key("system_fingerprint").raw("null");
    });
}

/// Writes an answer's stream as the chat completions API logs it: chunks, at times closed by a bare `[DONE]`.
pub(in super::super) fn stream(call: &Call, model: &str, random: &mut Random, json: &mut Json) {
    let completion = id(random, "chatcmpl-", 29);
    let pieces = text::pieces(random, &call.answer);
    let done = random.chance(300);
    let chunk = |json: &mut Json, delta: &mut dyn FnMut(&mut Json), finish: Option<&str>, last: bool| {
        json.object(|json| {
            json.key("id").text(&completion);
            json.key("object").text("chat.completion.chunk");
            json.key("created").number(call.created);
            json.key("model").text(model);
            json.key("choices").array(|json| {
                json.object(|json| {
                    json.key("index").number(0);
                    json.key("delta").object(delta);
                    match finish {
                        Some(reason) => json.key("finish_reason").text(reason),
                        None => json.key("finish_reason").raw("null"),
                    }
                });
            });
            if last {
                json.key("usage").object(|json| usage(call, json));
                invocation_metrics(call, json);
            }
        });
    };
    json.array(|json| {
        chunk(json, &mut |json| json.key("role").text("assistant"), None, false);
        for piece in pieces {
            chunk(json, &mut |json| json.key("content").text(piece), None, false);
        }
        if call.asked.is_some() {
            chunk(json, &mut |json| tool_calls(call, random, json), None, false);
        }
        chunk(json, &mut |_| {}, Some(stop_word(call, "stop", "tool_calls", "length")), true);
        if done {
            json.text("[DONE]");
        }
    });
}

/// Writes the stream of a DeepSeek model: first its reasoning, then its answer.
pub(in super::super) fn reasoning_stream(call: &Call, random: &mut Random, json: &mut Json) {
    let reasoning = call.reasoning.as_deref().unwrap_or("The question is short, so the answer can be too.");
    let thoughts = text::pieces(random, reasoning);
    let pieces = text::pieces(random, &call.answer);
    let total = thoughts.len() + pieces.len();
    let said = thoughts.into_iter().map(|piece| (true, piece)).chain(pieces.into_iter().map(|piece| (false, piece)));
    json.array(|json| {
        for (index, (thought, piece)) in said.enumerate() {
            let last = index + 1 == total;
            json.object(|json| {
                json.key("choices").array(|json| {
                    json.object(|json| {
                        json.key("index").number(0);
                        json.key("message").object(|json| {
                            json.key("role").text("assistant");
                            if thought {
                                json.key("content").raw("null");
                                json.key("reasoning_content").text(piece);
                            } else {
                                json.key("content").text(piece);
                                json.key("reasoning_content").raw("null");
                            }
                        });
                        match last {
                            true => json.key("stop_reason").text(stop_word(call, "stop", "stop", "length")),
                            false => json.key("stop_reason").raw("null"),
                        }
                    });
                });
                if last {
                    invocation_metrics(call, json);
                }
            });
        }
    });
}

fn message(role: &str, content: &str, json: &mut Json) {
    json.object(|json| {
        json.key("role").text(role);
        json.key("content").text(content);
    });
}

fn content(key: &str, text: &str, json: &mut Json) {
    if text.is_empty() {
        json.key(key).raw("null");
    } else {
        json.key(key).text(text);
    }
}

fn tool_calls(call: &Call, random: &mut Random, json: &mut Json) {
    json.key("tool_calls").array(|json| {
        for (index, (tool, _)) in call.asked.iter().enumerate() {
            json.object(|json| {
                json.key("index").number(index);
                json.key("id").text(&id(random, "call_", 24));
                json.key("type").text("function");
                json.key("function").object(|json| {
                    json.key("name").text(tool.name);
                    json.key("arguments").text(&arguments_text(call));
                });
            });
        }
    });
}

fn usage(call: &Call, json: &mut Json) {
    json.key("prompt_tokens").number(call.usage.prompt());
    json.key("completion_tokens").number(call.usage.output);
    json.key("total_tokens").number(call.usage.total());
    json.key("prompt_tokens_details").object(|json| json.key("cached_tokens").number(call.usage.cache_read));
}
