//! A log entry: one invocation as Bedrock writes it to the log, whatever became of it.

use jiff::Timestamp;

use super::body::converse;
use super::body::guardrail::Evidence;
use super::call::{Call, Stop};
use super::caller::{self, Home};
use super::json::Json;
use super::model::{CHAT, EMBEDDING, Family, Model, OPENAI};
use super::random::{Quantiles, Random};
use super::{Profile, call};

/// The operations in the order of a profile's weights; embeddings are InvokeModel calls of their own kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Converse,
    ConverseStream,
    Invoke,
    InvokeStream,
    Embed,
    ChatCompletions,
    Responses,
}

const KINDS: [Kind; 7] = [
    Kind::Converse,
    Kind::ConverseStream,
    Kind::Invoke,
    Kind::InvokeStream,
    Kind::Embed,
    Kind::ChatCompletions,
    Kind::Responses,
];

/// Bytes of a text that is embedded.
const PASSAGE_BYTES: Quantiles = &[(0, 120), (500, 900), (950, 2_800), (1000, 6_000)];

impl Kind {
    fn operation(self) -> &'static str {
        match self {
            Self::Converse => "Converse",
            Self::ConverseStream => "ConverseStream",
            Self::Invoke | Self::Embed => "InvokeModel",
            Self::InvokeStream => "InvokeModelWithResponseStream",
            Self::ChatCompletions => "ChatCompletions",
            Self::Responses => "Responses",
        }
    }
}

/// Why a call failed, and whether its request was logged.
#[derive(Clone, Copy, Debug)]
struct Failure {
    code: &'static str,
    with_input: bool,
}

/// What one side of a call came to: its body, and how many tokens.
#[derive(Debug, Default)]
struct Side {
    body: Option<String>,
    tokens: Option<usize>,
    cache: Option<(usize, usize)>,
}

/// One log entry and the id of its request.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) json: String,
    pub(super) request_id: String,
}

/// An entry of a call that was logged at `at_millis`.
pub(super) fn entry(random: &mut Random, profile: &Profile, home: Home, at_millis: i64) -> Entry {
    let kind = KINDS[random.weighted(&profile.operations)];
    let models = match kind {
        Kind::ChatCompletions | Kind::Responses => OPENAI,
        Kind::Embed => EMBEDDING,
        _ => CHAT,
    };
    let weights: Vec<u32> = models.iter().map(|model| if model.family == Family::Anthropic { 3 } else { 1 }).collect();
    let model = &models[random.weighted(&weights)];
    let (model_id, profiled) = model.called_as(random, home);
    let failure = random.chance(profile.failures_per_mille).then(|| failure(random, kind));

    let (mut input, mut output) = sides(random, profile, kind, model, at_millis);
    if let Some(failure) = failure {
        output = Side::default();
        input = if failure.with_input { Side { tokens: None, cache: None, ..input } } else { Side::default() };
    }
    let request_id = random.uuid();
    let mut json = Json::with_capacity(
        input.body.as_ref().map_or(0, String::len) + output.body.as_ref().map_or(0, String::len) + 1024,
    );
    // Entries before 2025 began with the schema; newer ones end with it. Both are still read back from archives.
    let old_order = random.chance(100);
    json.object(|json| {
        if old_order {
            schema(json);
        }
        json.key("timestamp").text(&timestamp(random, at_millis));
        json.key("accountId").text(home.account);
        json.key("region").text(home.region);
        json.key("requestId").text(&request_id);
        json.key("operation").text(kind.operation());
        json.key("modelId").text(&model_id);
        if let Some(failure) = failure {
            json.key("errorCode").text(failure.code);
        }
        // A refused call has empty sides, or none at all.
        if failure.is_none_or(|failure| failure.with_input || random.chance(300)) {
            let pointer = pointer(home, at_millis, &request_id);
            json.key("input").object(|json| side(input, "input", &pointer, profile, random, json));
            json.key("output").object(|json| side(output, "output", &pointer, profile, random, json));
        }
        json.key("identity").object(|json| json.key("arn").text(&caller::arn(random, home.account)));
        if profiled && failure.is_none() {
            json.key("inferenceRegion").text(if random.chance(500) { home.elsewhere } else { home.region });
        }
        if random.chance(60) {
            json.key("performanceConfig").object(|json| {
                json.key("latency").text(random.pick(&["standard", "optimized"]));
            });
        }
        caller::request_metadata(random, kind == Kind::ChatCompletions, json);
        if !old_order {
            schema(json);
        }
    });
    Entry { json: json.finish(), request_id }
}

fn schema(json: &mut Json) {
    json.key("schemaType").text("ModelInvocationLog");
    json.key("schemaVersion").text("1.0");
}

/// The request and the answer of a call that succeeds.
fn sides(random: &mut Random, profile: &Profile, kind: Kind, model: &Model, at_millis: i64) -> (Side, Side) {
    if kind == Kind::Embed {
        let bytes = random.quantile(PASSAGE_BYTES);
        let (input, output, tokens) = model.embed(random, bytes);
        let input = Side { body: Some(input), tokens: Some(tokens), cache: None };
        return (input, Side { body: Some(output), tokens: None, cache: None });
    }
    let guarded = matches!(
        (kind, model.family),
        (Kind::Converse | Kind::ConverseStream, _)
            | (Kind::Invoke | Kind::InvokeStream, Family::Anthropic)
            | (Kind::InvokeStream, Family::Nova)
    );
    let calls_tools = matches!(
        (kind, model.family),
        (Kind::Converse | Kind::ConverseStream | Kind::ChatCompletions | Kind::Responses, _) | (_, Family::Anthropic)
    );
    let guardrail = (guarded && random.chance(profile.interventions_per_mille)).then(|| Evidence::new(random));
    let stop = match random.weighted(&[78, 14, 8]) {
        _ if guardrail.is_some() => Stop::Guardrail,
        1 if calls_tools => Stop::Tool,
        2 => Stop::Length,
        _ => Stop::End,
    };
    let call = Call::new(random, profile.sizes, stop, at_millis / 1000);
    let (input, output) = match kind {
        Kind::Converse | Kind::ConverseStream => converse_bodies(&call, guardrail.as_ref(), random, at_millis),
        Kind::Invoke | Kind::Embed => model.native(&call, false, guardrail.as_ref(), random),
        Kind::InvokeStream => model.native(&call, true, guardrail.as_ref(), random),
        Kind::ChatCompletions => model.chat_completion(&call, random.chance(350), random),
        Kind::Responses => model.response(&call, random.chance(400), random),
    };
    let call::Usage { input: read, output: written, cache_read, cache_write } = call.usage;
    let cache = (call.cached || random.chance(200)).then_some((cache_read, cache_write));
    (
        Side { body: Some(input), tokens: Some(read), cache },
        Side { body: Some(output), tokens: Some(written), cache: None },
    )
}

fn converse_bodies(call: &Call, guardrail: Option<&Evidence>, random: &mut Random, at_millis: i64) -> (String, String) {
    let (mut input, mut output) = (Json::with_capacity(8192), Json::with_capacity(8192));
    let media = random.chance(40).then(|| {
        let key = random.uuid();
        format!("s3://bedrock-large-data/AWSLogs/{}/data/{key}_input_media_00.pdf", hour(at_millis))
    });
    converse::request(call, guardrail, media.as_deref(), random, &mut input);
    converse::response(call, guardrail, random, &mut output);
    (input.finish(), output.finish())
}

/// Writes one side's members. A large body is put into a bucket and pointed at; a configuration may also say that no
/// body is logged at all.
fn side(side: Side, name: &str, pointer: &str, profile: &Profile, random: &mut Random, json: &mut Json) {
    let Side { body, tokens, cache } = side;
    if body.is_none() && tokens.is_none() {
        return;
    }
    json.key(&format!("{name}ContentType")).text("application/json");
    match body {
        _ if random.chance(profile.without_bodies_per_mille) => {}
        Some(body) if body.len() > LARGE_BODY_BYTES || random.chance(profile.offloaded_per_mille) => {
            if random.chance(500) {
                json.key(&format!("{name}BodyJson")).raw("null");
            }
            json.key(&format!("{name}BodyS3Path")).text(&format!("{pointer}_{name}.json.gz"));
        }
        Some(body) => json.key(&format!("{name}BodyJson")).raw(&body),
        None => {}
    }
    if let Some(tokens) = tokens {
        json.key(&format!("{name}TokenCount")).number(tokens);
    }
    if let Some((read, write)) = cache {
        json.key("cacheReadInputTokenCount").number(read);
        json.key("cacheWriteInputTokenCount").number(write);
    }
}

/// The size above which Bedrock puts a body into a bucket. Source: the Bedrock user guide, "Model invocation logging".
const LARGE_BODY_BYTES: usize = 100 * 1024;

fn failure(random: &mut Random, kind: Kind) -> Failure {
    if matches!(kind, Kind::ChatCompletions | Kind::Responses) {
        return Failure { code: "validation_error", with_input: false };
    }
    let (code, with_input) = [
        ("ThrottlingException", true),
        ("ThrottlingException", false),
        ("ValidationException", true),
        ("AccessDeniedException", false),
        ("ModelTimeoutException", true),
        ("ServiceUnavailableException", true),
    ][random.below(6)];
    Failure { code, with_input }
}

fn timestamp(random: &mut Random, millis: i64) -> String {
    let format = if random.chance(150) { "%Y-%m-%dT%H:%M:%S%.3fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    instant(millis).strftime(format).to_string()
}

fn hour(millis: i64) -> String {
    instant(millis).strftime("%Y/%m/%d/%H").to_string()
}

/// Where Bedrock puts a call's large bodies, up to the side's name.
fn pointer(home: Home, millis: i64, request_id: &str) -> String {
    let Home { account, region, .. } = home;
    let hour = hour(millis);
    format!("s3://bedrock-large-data/AWSLogs/{account}/BedrockModelInvocationLogs/{region}/{hour}/data/{request_id}")
}

fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}
