//! A model: its id in all the forms in which a caller may name it, and the dialect in which it is spoken to.

use super::body::guardrail::Evidence;
use super::body::{anthropic, completion, converse, embedding, openai, responses};
use super::call::{Call, tokens};
use super::caller::Home;
use super::json::Json;
use super::random::Random;
use super::text;

/// The dialect of a model's native bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Anthropic's messages.
    Anthropic,
    /// Amazon Nova: as Converse.
    Nova,
    /// Meta Llama: a prompt.
    Llama,
    /// Mistral's instruct models: a prompt.
    Mistral,
    /// Pixtral: chat completions.
    Pixtral,
    /// Cohere Command: a message and its history.
    Command,
    /// DeepSeek: chat completions that show their reasoning.
    DeepSeek,
    /// OpenAI: chat completions and responses.
    OpenAi,
    /// Titan's text embeddings.
    Titan,
    /// Cohere's text embeddings.
    Embed,
}

/// A model of some family.
#[derive(Debug)]
pub(super) struct Model {
    /// Its base id.
    pub(super) id: &'static str,
    /// The name that it calls itself in its answers.
    pub(super) name: &'static str,
    /// Its dialect.
    pub(super) family: Family,
    /// Whether it is called through inference profiles.
    profiles: bool,
}

const fn model(id: &'static str, name: &'static str, family: Family, profiles: bool) -> Model {
    Model { id, name, family, profiles }
}

/// Models that converse.
pub(super) const CHAT: &[Model] = &[
    model("anthropic.claude-sonnet-4-20250514-v1:0", "claude-sonnet-4-20250514", Family::Anthropic, true),
    model("anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929", Family::Anthropic, true),
    model("anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5-20251001", Family::Anthropic, true),
    model("anthropic.claude-3-haiku-20240307-v1:0", "claude-3-haiku-20240307", Family::Anthropic, false),
    model("amazon.nova-pro-v1:0", "nova-pro", Family::Nova, true),
    model("amazon.nova-lite-v1:0", "nova-lite", Family::Nova, true),
    model("amazon.nova-micro-v1:0", "nova-micro", Family::Nova, true),
    model("meta.llama3-3-70b-instruct-v1:0", "llama3-3-70b", Family::Llama, true),
    model("meta.llama3-8b-instruct-v1:0", "llama3-8b", Family::Llama, false),
    model("mistral.mistral-7b-instruct-v0:2", "mistral-7b", Family::Mistral, false),
    model("mistral.pixtral-large-2502-v1:0", "pixtral-large-2502", Family::Pixtral, true),
    model("cohere.command-r-plus-v1:0", "command-r-plus", Family::Command, false),
    model("deepseek.r1-v1:0", "deepseek-r1", Family::DeepSeek, true),
];

/// Models behind the APIs that are compatible with OpenAI's.
pub(super) const OPENAI: &[Model] = &[
    model("openai.gpt-oss-120b-1:0", "openai.gpt-oss-120b-1:0", Family::OpenAi, false),
    model("openai.gpt-oss-20b-1:0", "openai.gpt-oss-20b-1:0", Family::OpenAi, false),
];

/// Models that embed.
pub(super) const EMBEDDING: &[Model] = &[
    model("amazon.titan-embed-text-v1", "titan-embed-text-v1", Family::Titan, false),
    model("amazon.titan-embed-text-v2:0", "titan-embed-text-v2", Family::Titan, false),
    model("cohere.embed-multilingual-v3", "embed-multilingual-v3", Family::Embed, false),
];

impl Model {
    /// The `modelId` that a record shows: a base id, a profile's id, or the ARN of either; and whether the call may
    /// be served in another Region.
    pub(super) fn called_as(&self, random: &mut Random, home: Home) -> (String, bool) {
        let Home { account, region, prefix, .. } = home;
        let arn = format!("arn:aws:bedrock:{region}");
        match (self.profiles, random.weighted(&[50, 25, 15, 10])) {
            (false, 0..=2) => (self.id.to_owned(), false),
            (false, _) => (format!("{arn}::foundation-model/{}", self.id), false),
            (true, 0) => (format!("{prefix}.{}", self.id), true),
            (true, 1) => (format!("{arn}:{account}:inference-profile/{prefix}.{}", self.id), true),
            (true, 2) => (format!("global.{}", self.id), true),
            (true, _) => {
                let mut id = String::new();
                random.symbols(b"abcdefghijklmnopqrstuvwxyz0123456789", 12, &mut id);
                (format!("{arn}:{account}:application-inference-profile/{id}"), true)
            }
        }
    }

    /// Writes the native request and answer of a conversation.
    pub(super) fn native(
        &self,
        call: &Call,
        stream: bool,
        guardrail: Option<&Evidence>,
        random: &mut Random,
    ) -> (String, String) {
        let (mut input, mut output) = bodies(call);
        let (i, o) = (&mut input, &mut output);
        match (self.family, stream) {
            (Family::Nova, false) => {
                converse::request(call, None, None, random, i);
                converse::response(call, guardrail, random, o);
            }
            (Family::Nova, true) => {
                converse::request(call, None, None, random, i);
                converse::nova_stream(call, guardrail, random, o);
            }
            (Family::Llama, _) => {
                completion::llama_request(call, i);
                if stream { completion::llama_stream(call, random, o) } else { completion::llama_response(call, o) }
            }
            (Family::Mistral, _) => {
                completion::mistral_request(call, i);
                if stream { completion::mistral_stream(call, random, o) } else { completion::mistral_response(call, o) }
            }
            (Family::Command, _) => {
                completion::command_request(call, i);
                match stream {
                    true => completion::command_stream(call, random, o),
                    false => completion::command_response(call, random, o),
                }
            }
            (Family::DeepSeek, true) => {
                openai::request(call, None, true, i);
                openai::reasoning_stream(call, random, o);
            }
            (Family::DeepSeek | Family::Pixtral | Family::OpenAi, _) => {
                openai::request(call, None, stream, i);
                match stream {
                    true => openai::stream(call, self.name, random, o),
                    false => openai::response(call, self.name, random, o),
                }
            }
            (Family::Anthropic | Family::Titan | Family::Embed, _) => {
                anthropic::request(call, i);
                match stream {
                    true => anthropic::stream(call, self.name, guardrail, random, o),
                    false => anthropic::response(call, self.name, guardrail, random, o),
                }
            }
        }
        (input.finish(), output.finish())
    }

    /// Writes the request and answer of a chat completion.
    pub(super) fn chat_completion(&self, call: &Call, stream: bool, random: &mut Random) -> (String, String) {
        let (mut input, mut output) = bodies(call);
        openai::request(call, Some(self.name), stream, &mut input);
        match stream {
            true => openai::stream(call, self.name, random, &mut output),
            false => openai::response(call, self.name, random, &mut output),
        }
        (input.finish(), output.finish())
    }

    /// Writes the request and answer of the Responses API.
    pub(super) fn response(&self, call: &Call, stream: bool, random: &mut Random) -> (String, String) {
        let (mut input, mut output) = bodies(call);
        responses::request(call, self.name, stream, &mut input);
        match stream {
            true => responses::stream(call, self.name, random, &mut output),
            false => responses::response(call, self.name, random, &mut output),
        }
        (input.finish(), output.finish())
    }

    /// Writes the request and answer of an embedding of about `bytes` bytes of text, and gives its tokens.
    pub(super) fn embed(&self, random: &mut Random, bytes: usize) -> (String, String, usize) {
        let (mut input, mut output) = (Json::default(), Json::default());
        let said = text::question(random, bytes);
        let count = tokens(&said);
        if self.family == Family::Embed {
            let texts = [said];
            embedding::cohere_request(&texts, &mut input);
            embedding::cohere_response(&texts, random, &mut output);
        } else {
            let second = self.id.ends_with("v2:0");
            let dimensions = second.then(|| [256, 512, 1024][random.below(3)]);
            embedding::titan_request(&said, dimensions, &mut input);
            embedding::titan_response(count, dimensions, random, &mut output);
        }
        (input.finish(), output.finish(), count)
    }
}

/// Two empty bodies, with room for what the call says.
fn bodies(call: &Call) -> (Json, Json) {
    let said: usize = call.turns.iter().chain(&call.system).map(String::len).sum();
    (Json::with_capacity(said + said / 8 + 1024), Json::with_capacity(call.answer.len() * 6 + 1024))
}
