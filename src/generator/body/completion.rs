//! The native bodies of Llama, Mistral and Cohere's Command: a prompt in, a text out.

use super::super::call::{Call, Usage};
use super::super::json::Json;
use super::super::random::Random;
use super::super::text;
use super::{id, invocation_metrics, stop_word, temperature};

/// Writes a request to Llama.
pub(in super::super) fn llama_request(call: &Call, json: &mut Json) {
    let mut prompt = String::from("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n");
    call.flat(
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        &mut prompt,
    );
    prompt.push_str("<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
    json.object(|json| {
        json.key("prompt").text(&prompt);
        json.key("max_gen_len").number(call.max_tokens);
        temperature(call, json);
    });
}

/// Writes Llama's whole answer.
pub(in super::super) fn llama_response(call: &Call, json: &mut Json) {
    json.object(|json| {
        json.key("generation").text(&call.answer);
        json.key("prompt_token_count").number(call.usage.prompt());
        json.key("generation_token_count").number(call.usage.output);
        json.key("stop_reason").text(stop_word(call, "stop", "stop", "length"));
    });
}

/// Writes Llama's stream.
pub(in super::super) fn llama_stream(call: &Call, random: &mut Random, json: &mut Json) {
    let pieces = text::pieces(random, &call.answer);
    let Usage { output, .. } = call.usage;
    json.array(|json| {
        for (index, piece) in pieces.iter().enumerate() {
            json.object(|json| {
                json.key("generation").text(piece);
                if index == 0 {
                    json.key("prompt_token_count").number(call.usage.prompt());
                } else {
                    json.key("prompt_token_count").raw("null");
                }
                json.key("generation_token_count").number((index + 1) * output / (pieces.len() + 1));
                json.key("stop_reason").raw("null");
            });
        }
        json.object(|json| {
            json.key("generation").text("");
            json.key("prompt_token_count").raw("null");
            json.key("generation_token_count").number(output);
            json.key("stop_reason").text(stop_word(call, "stop", "stop", "length"));
            invocation_metrics(call, json);
        });
    });
}

/// Writes a request to Mistral.
pub(in super::super) fn mistral_request(call: &Call, json: &mut Json) {
    let mut prompt = String::from("<s>");
    call.flat("[INST] ", " [/INST] ", &mut prompt);
    prompt.push_str(" [/INST]");
    json.object(|json| {
        json.key("prompt").text(&prompt);
        json.key("max_tokens").number(call.max_tokens);
        temperature(call, json);
        json.key("top_k").number(50);
    });
}

/// Writes Mistral's whole answer.
pub(in super::super) fn mistral_response(call: &Call, json: &mut Json) {
    json.object(|json| {
        json.key("outputs").array(|json| {
            json.object(|json| {
                json.key("text").text(&call.answer);
                json.key("stop_reason").text(stop_word(call, "stop", "stop", "length"));
            });
        });
    });
}

/// Writes Mistral's stream.
pub(in super::super) fn mistral_stream(call: &Call, random: &mut Random, json: &mut Json) {
    let pieces = text::pieces(random, &call.answer);
    json.array(|json| {
        for (index, piece) in pieces.iter().enumerate() {
            let last = index + 1 == pieces.len();
            json.object(|json| {
                json.key("outputs").array(|json| {
                    json.object(|json| {
                        json.key("text").text(piece);
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

/// Writes a request to Cohere's Command.
pub(in super::super) fn command_request(call: &Call, json: &mut Json) {
    json.object(|json| {
        json.key("message").text(call.question());
        if let Some(preamble) = &call.system {
            json.key("preamble").text(preamble);
        }
        json.key("chat_history").array(|json| history(call, call.turns.len() - 1, json));
        json.key("max_tokens").number(call.max_tokens);
        temperature(call, json);
    });
}

/// Writes Command's whole answer.
pub(in super::super) fn command_response(call: &Call, random: &mut Random, json: &mut Json) {
    json.object(|json| {
        json.key("response_id").text(&random.uuid());
        json.key("text").text(&call.answer);
        json.key("generation_id").text(&random.uuid());
        json.key("chat_history").array(|json| {
            history(call, call.turns.len(), json);
            json.object(|json| {
                json.key("role").text("CHATBOT");
                json.key("message").text(&call.answer);
            });
        });
        json.key("finish_reason").text(stop_word(call, "COMPLETE", "COMPLETE", "MAX_TOKENS"));
    });
}

/// Writes Command's stream.
pub(in super::super) fn command_stream(call: &Call, random: &mut Random, json: &mut Json) {
    let pieces = text::pieces(random, &call.answer);
    let finish = stop_word(call, "COMPLETE", "COMPLETE", "MAX_TOKENS");
    json.array(|json| {
        json.object(|json| {
            json.key("is_finished").raw("false");
            json.key("event_type").text("stream-start");
            json.key("generation_id").text(&id(random, "", 24));
        });
        for piece in pieces {
            json.object(|json| {
                json.key("is_finished").raw("false");
                json.key("event_type").text("text-generation");
                json.key("text").text(piece);
            });
        }
        json.object(|json| {
            json.key("is_finished").raw("true");
            json.key("event_type").text("stream-end");
            json.key("finish_reason").text(finish);
            json.key("response").object(|json| {
                json.key("response_id").text(&random.uuid());
                json.key("text").text(&call.answer);
                json.key("finish_reason").text(finish);
            });
            invocation_metrics(call, json);
        });
    });
}

fn history(call: &Call, turns: usize, json: &mut Json) {
    for (index, turn) in call.turns.iter().take(turns).enumerate() {
        json.object(|json| {
            json.key("role").text(if index.is_multiple_of(2) { "USER" } else { "CHATBOT" });
            json.key("message").text(turn);
        });
    }
}
