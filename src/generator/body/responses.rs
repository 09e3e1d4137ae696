//! The bodies of OpenAI's Responses API.

use super::super::call::{Call, Stop};
use super::super::json::Json;
use super::super::random::Random;
use super::super::text;
use super::{argument_schema, arguments_text, id, temperature};

/// Ids that a response and its parts keep over a whole stream.
#[derive(Debug)]
struct Ids {
    response: String,
    item: String,
    call: String,
}

/// Writes a request.
pub(in super::super) fn request(call: &Call, model: &str, stream: bool, json: &mut Json) {
    json.object(|json| {
        json.key("model").text(model);
        json.key("stream").raw(if stream { "true" } else { "false" });
        json.key("store").raw("false");
        json.key("max_output_tokens").number(call.max_tokens);
        json.key("input").array(|json| {
            let system = call.system.iter().map(|system| ("developer", system));
            let turns = call.turns.iter().enumerate();
            let turns = turns.map(|(index, turn)| (if index.is_multiple_of(2) { "user" } else { "assistant" }, turn));
            for (role, content) in system.chain(turns) {
                json.object(|json| {
                    json.key("role").text(role);
                    json.key("content").text(content);
                });
            }
        });
        if !call.tools.is_empty() {
            tools(call, json);
        }
    });
}

/// Writes a whole answer.
pub(in super::super) fn response(call: &Call, model: &str, random: &mut Random, json: &mut Json) {
    let ids = Ids::new(random);
    json.object(|json| state(call, model, &ids, true, json));
}

/// Writes an answer's stream.
pub(in super::super) fn stream(call: &Call, model: &str, random: &mut Random, json: &mut Json) {
    let ids = Ids::new(random);
    let arguments = arguments_text(call);
    let said = if call.asked.is_some() { arguments.as_str() } else { call.answer.as_str() };
    let part = if call.asked.is_some() { "function_call_arguments" } else { "output_text" };
    let mut sequence = 0;
    let mut event = |json: &mut Json, kind: &str, members: &mut dyn FnMut(&mut Json)| {
        json.object(|json| {
            json.key("type").text(kind);
            json.key("sequence_number").number(sequence);
            members(json);
        });
        sequence += 1;
    };
    let pieces = text::pieces(random, said);
    json.array(|json| {
        for kind in ["response.created", "response.in_progress"] {
            event(json, kind, &mut |json| json.key("response").object(|json| state(call, model, &ids, false, json)));
        }
        event(json, "response.output_item.added", &mut |json| {
            json.key("output_index").number(0);
            json.key("item");
            item(call, &ids, false, json);
        });
        for piece in pieces {
            event(json, &format!("response.{part}.delta"), &mut |json| {
                json.key("item_id").text(&ids.item);
                json.key("output_index").number(0);
                json.key("delta").text(piece);
                json.key("obfuscation").text(&id(random, "", 4 + piece.len() % 12));
            });
        }
        event(json, &format!("response.{part}.done"), &mut |json| {
            json.key("item_id").text(&ids.item);
            json.key("output_index").number(0);
            json.key(if call.asked.is_some() { "arguments" } else { "text" }).text(said);
        });
        event(json, "response.output_item.done", &mut |json| {
            json.key("output_index").number(0);
            json.key("item");
            item(call, &ids, true, json);
        });
        event(json, "response.completed", &mut |json| {
            json.key("response").object(|json| state(call, model, &ids, true, json));
        });
    });
}

impl Ids {
    fn new(random: &mut Random) -> Self {
        let mut hex = |prefix: &str| {
            let mut id = prefix.to_owned();
            random.hex(32, &mut id);
            id
        };
        Self { response: hex("resp_"), item: hex("msg_"), call: hex("call_") }
    }
}

/// Writes the members of a response, begun or complete.
fn state(call: &Call, model: &str, ids: &Ids, complete: bool, json: &mut Json) {
    json.key("id").text(&ids.response);
    json.key("object").text("response");
    json.key("created_at").number(call.created);
    json.key("status").text(match (complete, call.stop) {
        (false, _) => "in_progress",
        (true, Stop::Length) => "incomplete",
        (true, _) => "completed",
    });
    json.key("background").raw("false");
    json.key("error").raw("null");
    json.key("instructions").raw("null");
    json.key("max_output_tokens").number(call.max_tokens);
    json.key("model").text(model);
    json.key("output").array(|json| {
        if complete {
            item(call, ids, true, json);
        }
    });
    json.key("parallel_tool_calls").raw("true");
    json.key("previous_response_id").raw("null");
    json.key("reasoning").object(|json| {
        json.key("effort").text("medium");
        json.key("summary").raw("null");
    });
    json.key("service_tier").text("default");
    json.key("store").raw("false");
    temperature(call, json);
    json.key("text").object(|json| json.key("format").object(|json| json.key("type").text("text")));
    json.key("tool_choice").text("auto");
    tools(call, json);
    json.key("truncation").text("disabled");
    if !complete {
        json.key("usage").raw("null");
        return;
    }
    json.key("usage").object(|json| {
        json.key("input_tokens").number(call.usage.prompt());
        json.key("input_tokens_details").object(|json| json.key("cached_tokens").number(call.usage.cache_read));
        json.key("output_tokens").number(call.usage.output);
        json.key("output_tokens_details").object(|json| json.key("reasoning_tokens").number(0));
        json.key("total_tokens").number(call.usage.total());
    });
}

fn item(call: &Call, ids: &Ids, complete: bool, json: &mut Json) {
    json.object(|json| {
        json.key("id").text(&ids.item);
        json.key("status").text(if complete { "completed" } else { "in_progress" });
        if let Some((tool, _)) = &call.asked {
            json.key("type").text("function_call");
            json.key("call_id").text(&ids.call);
            json.key("name").text(tool.name);
            json.key("arguments").text(&if complete { arguments_text(call) } else { String::new() });
            return;
        }
        json.key("type").text("message");
        json.key("role").text("assistant");
        json.key("content").array(|json| {
            if complete {
                json.object(|json| {
                    json.key("type").text("output_text");
                    json.key("annotations").array(|_| {});
                    json.key("text").text(&call.answer);
                });
            }
        });
    });
}

fn tools(call: &Call, json: &mut Json) {
    json.key("tools").array(|json| {
        for tool in call.tools {
            json.object(|json| {
                json.key("type").text("function");
                json.key("name").text(tool.name);
                json.key("description").text(tool.description);
                json.key("parameters");
                argument_schema(tool.arguments, json);
            });
        }
    });
}
