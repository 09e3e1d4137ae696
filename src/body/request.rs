//! A request's body, in any dialect: what each of its members is, told by the member's name and never by the model's.

use super::block;
use super::text::Text;
use super::value::{Kind, Value};
use super::{MediaKind, Message, Part, Request, ToolResult};

mod offer;

/// Shots of a film, and what they are made of.
const MAX_TASK_DEPTH: usize = 2;

/// Reads one member of a body.
type Read = for<'a> fn(&mut Reading<'a>, Value<'a>);

/// What the members of a body are, in the order in which they are read: the history before what is asked now, settings
/// of the model's own before those of Bedrock, which win. A member that is not here may be a parameter.
const MEMBERS: &[(&str, Read)] = &[
    // Converse, Anthropic, Nova; Responses; Cohere.
    ("system", system),
    ("instructions", system),
    ("preamble", system),
    // Cohere; every chat; Responses and embeddings of OpenAI's.
    ("chat_history", history),
    ("messages", messages),
    ("input", input),
    // Llama, Mistral, AI21, DeepSeek, Stability, Anthropic's old text dialect.
    ("prompt", say),
    ("negative_prompt", say),
    ("search_prompt", say),
    ("select_prompt", say),
    ("text_prompts", say),
    // Titan and Marengo; Pegasus; Cohere's chat, embeddings and reranking, and Amazon's reranking.
    ("inputText", say),
    ("inputPrompt", say),
    ("message", say),
    ("query", say),
    ("texts", say),
    ("documents", documents),
    ("inputs", inputs),
    // Variables of a prompt that Bedrock keeps.
    ("promptVariables", variables),
    // Nova Canvas, Titan Image, Nova Reel.
    ("textToImageParams", task),
    ("inPaintingParams", task),
    ("outPaintingParams", task),
    ("imageVariationParams", task),
    ("colorGuidedGenerationParams", task),
    ("backgroundRemovalParams", task),
    ("virtualTryOnParams", task),
    ("textToVideoParams", task),
    ("multiShotAutomatedParams", task),
    ("multiShotManualParams", task),
    // A job's request, with the model's own body in it.
    ("modelInput", model_input),
    // Nova's embeddings.
    ("singleEmbeddingParams", task),
    ("segmentedEmbeddingParams", task),
    // Marengo.
    ("text", input_text),
    ("text_image", task),
    // Llama and Cohere; Stability; Titan; Marengo.
    ("images", images),
    ("image", image),
    ("init_image", image),
    ("mask_image", image),
    ("mask", image),
    ("style_image", image),
    ("inputImage", image),
    ("video", video),
    ("audio", audio),
    // Marengo says of what kind its media are; Pegasus takes videos only.
    ("inputType", kind_of_media),
    ("mediaSource", media_source),
    // Cohere: what the tools gave that the last answer asked for.
    ("tool_results", tool_results),
    // What the model may call, and how it is to answer.
    ("additionalModelRequestFields", additional),
    ("tools", tools),
    ("functions", tools),
    ("toolConfig", tool_config),
    ("inferenceConfig", config),
    ("textGenerationConfig", config),
    ("parameters", config),
];

/// Reads a request's body.
pub(super) fn read(body: Value<'_>) -> Request<'_> {
    let mut reading = Reading::default();
    members(&mut reading, body);
    reading.end_message();
    reading.request
}

/// Reads the members of a body.
fn members<'a>(reading: &mut Reading<'a>, body: Value<'a>) {
    let mut found = [None; MEMBERS.len()];
    for (key, value) in body.members() {
        match MEMBERS.iter().zip(&mut found).find(|((name, _), _)| *name == key) {
            Some((_, slot)) => *slot = Some(value),
            None => offer::parameter(&mut reading.request.parameters, &key, value),
        }
    }
    for ((_, read), value) in MEMBERS.iter().zip(found) {
        value.filter(|value| value.kind() != Kind::Null).into_iter().for_each(|value| read(reading, value));
    }
}

#[derive(Default)]
struct Reading<'a> {
    request: Request<'a>,
    /// What the body's own members say, which make up one message of the user's.
    user: Vec<Part<'a>>,
    kind: Option<MediaKind>,
    /// Whether the body is the one in a job's request.
    is_inner: bool,
}

impl<'a> Reading<'a> {
    fn end_message(&mut self) {
        let parts = std::mem::take(&mut self.user);
        self.push(Message::new("user", parts));
    }

    fn push(&mut self, message: Message<'a>) {
        if !message.parts.is_empty() {
            self.request.messages.push(message);
        }
    }
}

fn system<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    reading.request.system.append(&mut block::parts(value));
}

fn messages<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    reading.request.messages.extend(value.elements().filter_map(block::message));
}

/// A text, or items and texts.
fn input<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    if value.kind() != Kind::Array {
        say(reading, value);
    }
    for item in value.elements() {
        match item.kind() {
            Kind::String => say(reading, item),
            Kind::Object => {
                reading.end_message();
                reading.push(block::item(item));
            }
            _ => {}
        }
    }
}

/// Turns of Cohere's older chat, whose roles are `USER`, `CHATBOT`, `SYSTEM` and `TOOL`.
fn history<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    for turn in value.elements() {
        let [role, message, calls, results] = turn.fields(["role", "message", "tool_calls", "tool_results"]);
        let role = match role.and_then(Value::string).map(|role| role.to_lowercase()) {
            None => Text::of_json("user"),
            Some(role) if role == "chatbot" => Text::of_json("assistant"),
            Some(role) => Text::of(&role),
        };
        let mut parts = message.map(block::parts).unwrap_or_default();
        parts.extend(objects(calls).map(block::function_call));
        parts.extend(objects(results).map(tool_result));
        reading.push(Message { role, parts });
    }
}

fn tool_results<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    reading.end_message();
    reading.push(Message::new("tool", objects(Some(value)).map(tool_result).collect()));
}

/// The objects of a list; what else is in it is not meant.
fn objects<'a>(list: Option<Value<'a>>) -> impl Iterator<Item = Value<'a>> {
    list.into_iter().flat_map(Value::elements).filter(|element| element.kind() == Kind::Object)
}

/// What a tool gave, in Cohere's older chat: a list of objects of any shape.
fn tool_result(result: Value<'_>) -> Part<'_> {
    let outputs = result.get("outputs").into_iter().flat_map(Value::elements);
    let parts = outputs.map(|output| output.as_text().map_or(Part::Json(output.raw()), Part::Text)).collect();
    Part::ToolResult(ToolResult { id: None, is_error: false, parts })
}

fn say<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    reading.user.append(&mut block::parts(value));
}

fn documents<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    value.elements().for_each(|document| block::document(&mut reading.user, document));
}

/// Cohere's embeddings: contents of several blocks. Open models: a text, or several.
fn inputs<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    if value.kind() == Kind::String {
        say(reading, value);
    }
    for input in value.elements() {
        let text = Some(input).filter(|input| input.kind() == Kind::String);
        text.or_else(|| input.get("content")).into_iter().for_each(|content| say(reading, content));
    }
}

fn variables<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    value.members().for_each(|(_, variable)| say(reading, variable));
}

fn input_text<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    value.get("inputText").into_iter().for_each(|text| say(reading, text));
}

/// The model's own body; in it there is no other one.
fn model_input<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    if !reading.is_inner {
        reading.is_inner = true;
        members(reading, value);
    }
}

fn task<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    task_at(reading, value, MAX_TASK_DEPTH);
}

/// What an image, a video or an embedding is to be made of.
fn task_at<'a>(reading: &mut Reading<'a>, params: Value<'a>, depth: usize) {
    if depth == 0 {
        return;
    }
    for (key, value) in params.members() {
        match &*key {
            "text" | "negativeText" | "maskPrompt" | "inputText" | "value" if value.kind() == Kind::String => {
                say(reading, value);
            }
            // Nova's embeddings: the text, or where it is.
            "text" => task_at(reading, value, depth - 1),
            "source" => block::attach(&mut reading.user, MediaKind::Document, value),
            "image" | "conditionImage" | "maskImage" | "sourceImage" | "referenceImage" | "mediaSource" => {
                image(reading, value);
            }
            "images" => images(reading, value),
            "video" => video(reading, value),
            "audio" => audio(reading, value),
            "shots" => value.elements().for_each(|shot| task_at(reading, shot, depth - 1)),
            _ => {}
        }
    }
}

fn images<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    value.elements().for_each(|one| image(reading, one));
}

fn image<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    block::attach(&mut reading.user, MediaKind::Image, value);
}

fn video<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    block::attach(&mut reading.user, MediaKind::Video, value);
}

fn audio<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    block::attach(&mut reading.user, MediaKind::Audio, value);
}

fn kind_of_media<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    reading.kind = match value.string().as_deref() {
        Some("image") => Some(MediaKind::Image),
        Some("audio") => Some(MediaKind::Audio),
        _ => None,
    };
}

fn media_source<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    block::attach(&mut reading.user, reading.kind.unwrap_or(MediaKind::Video), value);
}

fn tools<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    reading.request.tools.extend(value.elements().filter_map(offer::tool));
}

fn tool_config<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    value.get("tools").into_iter().for_each(|list| tools(reading, list));
}

/// What Converse passes on to the model as it is.
fn additional<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    for (key, value) in value.members() {
        match &*key {
            "tools" => tools(reading, value),
            "inferenceConfig" => config(reading, value),
            _ => offer::parameter(&mut reading.request.parameters, &key, value),
        }
    }
}

fn config<'a>(reading: &mut Reading<'a>, value: Value<'a>) {
    value.members().for_each(|(key, value)| offer::parameter(&mut reading.request.parameters, &key, value));
}

#[cfg(test)]
mod tests;
