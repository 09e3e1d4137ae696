//! A body: what the caller sent to a model, or what the model answered, in the dialect of the model's family. The view
//! is one picture of all of them, told apart by shape and never by the model's name. It is read lazily from the raw
//! JSON; a body of a dialect that is not known yields what the record itself says and is never an error.

use std::cell::OnceCell;

use crate::invocation::{Invocation, RawJson, Section};

pub mod guardrail;
pub mod stop;
mod text;
mod value;

mod answer;
mod block;
mod request;
mod said;
mod stream;
mod usage;

pub use guardrail::Guardrail;
pub use stop::StopReason;
pub use text::Text;
pub use usage::Usage;
pub(crate) use value::{Kind, Value};

/// One picture of an invocation's bodies. Each part is read when it is first asked for, and once.
#[derive(Debug)]
pub struct View<'a> {
    input: Option<Value<'a>>,
    output: Option<Value<'a>>,
    record: usage::Counts,
    failed: bool,
    request: OnceCell<Request<'a>>,
    answer: OnceCell<Answer<'a>>,
    usage: OnceCell<Usage>,
    guardrail: OnceCell<Option<Guardrail<'a>>>,
}

/// What the caller sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// The system prompt's parts.
    pub system: Vec<Part<'a>>,
    /// The messages, oldest first.
    pub messages: Vec<Message<'a>>,
    /// The tools that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// How the model was to answer.
    pub parameters: Parameters<'a>,
}

/// What the model answered; of a stream, all its events together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The answers: one, or as many as there were alternatives or items.
    pub messages: Vec<Message<'a>>,
    /// Why the model stopped, in the dialect's own word.
    pub stop_reason: Option<Text<'a>>,
    /// Tokens, as the body counts them.
    pub usage: Usage,
    /// From the request to the end of the answer, in milliseconds.
    pub latency_ms: Option<i64>,
    /// From the request to the first byte of the answer, in milliseconds.
    pub first_byte_ms: Option<i64>,
    /// The provider's id of the answer.
    pub response_id: Option<Text<'a>>,
    /// The provider's id of the request.
    pub request_id: Option<Text<'a>>,
    /// The model, as the answer names it.
    pub model: Option<Text<'a>>,
    /// Vectors, if the answer is some.
    pub embeddings: Option<Embeddings>,
    /// Whether it asks the caller for a tool in a dialect whose stop reason may not say so.
    pub(crate) asks: bool,
}

/// What one side said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `system`, `user`, `assistant`, `tool`, or whatever the body says.
    pub role: Text<'a>,
    /// What was said, in order.
    pub parts: Vec<Part<'a>>,
}

/// One thing that was said. Nothing in it is escaped for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text.
    Text(Text<'a>),
    /// What the model thought before it answered; empty where it came encrypted.
    Reasoning(Text<'a>),
    /// The model asks for a tool.
    ToolCall(ToolCall<'a>),
    /// What a tool gave back.
    ToolResult(ToolResult<'a>),
    /// What is no text.
    Media(Media<'a>),
    /// JSON of a shape that is not known.
    Json(RawJson<'a>),
}

/// A call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall<'a> {
    /// The call's id, which its result repeats.
    pub id: Option<Text<'a>>,
    /// The tool's name.
    pub name: Text<'a>,
    /// The arguments.
    pub arguments: Arguments<'a>,
}

/// The arguments of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments<'a> {
    /// A JSON value.
    Json(RawJson<'a>),
    /// Text that holds JSON, as far as the model wrote it.
    Text(Text<'a>),
}

/// What a tool gave back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolResult<'a> {
    /// The id of the call.
    pub id: Option<Text<'a>>,
    /// Whether the tool failed.
    pub is_error: bool,
    /// What it gave.
    pub parts: Vec<Part<'a>>,
}

/// An image, a document, a video or audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// Which.
    pub kind: MediaKind,
    /// Its media type (`image/png`), or its format (`png`) where only that is known.
    pub media_type: Option<Text<'a>>,
    /// Its name, if it has one.
    pub name: Option<Text<'a>>,
    /// Its size in bytes, where it is in the body.
    pub bytes: Option<u64>,
    /// Where it is, where it is not in the body: an S3 URI, a URL, or a provider's id of a file.
    pub uri: Option<Text<'a>>,
}

/// Kinds of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// An image.
    Image,
    /// A document.
    Document,
    /// A video.
    Video,
    /// Audio.
    Audio,
}

/// A tool that the model may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tool<'a> {
    /// Its name; for a provider's own tool its type.
    pub name: Text<'a>,
    /// What it is for.
    pub description: Option<Text<'a>>,
    /// The JSON Schema of its arguments.
    pub schema: Option<RawJson<'a>>,
}

/// How the model was to answer. Numbers stand as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// Tokens of the answer at most.
    pub max_tokens: Option<i64>,
    /// Temperature.
    pub temperature: Option<&'a str>,
    /// Nucleus sampling.
    pub top_p: Option<&'a str>,
    /// The number of candidates.
    pub top_k: Option<i64>,
    /// What ends the answer.
    pub stop_sequences: Vec<Text<'a>>,
    /// Whether the answer was to be streamed, where the body or the operation says so.
    pub stream: Option<bool>,
}

/// Vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Embeddings {
    /// How many.
    pub count: usize,
    /// How long each is; 0 where that is not known.
    pub dimensions: usize,
}

impl<'a> View<'a> {
    /// The view of an invocation's bodies. Nothing is read yet.
    pub fn of(invocation: &Invocation<'a>) -> Self {
        let body = |raw: Option<RawJson<'a>>| raw.map(Value::new).filter(|body| body.kind() != Kind::Null);
        Self {
            input: body(invocation.input.as_ref().and_then(|input| input.input_body_json)),
            output: body(invocation.output.as_ref().and_then(|output| output.output_body_json)),
            record: usage::Counts::of(invocation),
            failed: invocation.error_code.is_some_and(|code| !code.0.is_empty()),
            request: OnceCell::new(),
            answer: OnceCell::new(),
            usage: OnceCell::new(),
            guardrail: OnceCell::new(),
        }
    }

    /// This view with the figures, reasons and verdicts of another, for bodies that were taken out since: tokens, times,
    /// stop reason, parameters and what a guardrail did, and nothing that anybody said.
    pub(crate) fn with_figures_of<'o: 'a>(self, original: &View<'o>) -> Self {
        let parameters = Parameters { stop_sequences: Vec::new(), ..original.request().parameters.clone() };
        let guardrail = original.guardrail().cloned().map(|mut guardrail| {
            guardrail.assessments.iter_mut().for_each(|assessment| assessment.matched = None);
            guardrail
        });
        Self {
            request: OnceCell::from(Request { parameters, ..Request::default() }),
            answer: OnceCell::from(Answer { messages: Vec::new(), ..original.answer().clone() }),
            usage: OnceCell::from(*original.usage()),
            guardrail: OnceCell::from(guardrail),
            ..self
        }
    }

    /// What the caller sent.
    pub fn request(&self) -> &Request<'a> {
        self.request.get_or_init(|| self.input.map(request::read).unwrap_or_default())
    }

    /// What the model answered.
    pub fn answer(&self) -> &Answer<'a> {
        self.answer.get_or_init(|| self.output.map(answer::read).unwrap_or_default())
    }

    /// The tokens: the record's own counts first, then what the answer's body says.
    pub fn usage(&self) -> &Usage {
        self.usage.get_or_init(|| self.record.over(&self.answer().usage))
    }

    /// The tokens that are charged for: those of [`Self::usage`] without the counts that only a body has. An answer is
    /// looked into only where it may say otherwise than the record.
    pub fn charged(&self) -> Usage {
        let whole = self.record.whole().filter(|_| self.usage.get().is_none());
        match whole.filter(|_| !self.output.is_some_and(|output| usage::may_count_cached(output.text()))) {
            Some(counts) => counts,
            None => *self.usage(),
        }
    }

    /// What a guardrail found and did; none where no guardrail is known of.
    pub fn guardrail(&self) -> Option<&Guardrail<'a>> {
        self.guardrail.get_or_init(|| guardrail::read(self.input, self.output)).as_ref()
    }

    /// Why the model stopped, in one set of words; none where neither the record nor the answer says.
    pub fn stop_reason(&self) -> Option<StopReason> {
        if self.failed {
            return Some(StopReason::Error);
        }
        self.answer().why_stopped()
    }

    /// All that the caller wrote, system prompt and messages, one text a line.
    pub fn prompt_text(&self) -> Text<'a> {
        let request = self.request();
        joined(request.system.iter().chain(request.messages.iter().flat_map(|message| &message.parts)), is_text)
    }

    /// All that the model answered, without its reasoning, one text a line.
    pub fn answer_text(&self) -> Text<'a> {
        joined(self.answer().messages.iter().flat_map(|message| &message.parts), is_text)
    }

    /// The tools that the model called, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall<'a>> {
        self.answer().messages.iter().flat_map(|message| &message.parts).filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// The request's body and the answer's, as they came.
    pub fn bodies(&self) -> (Option<RawJson<'a>>, Option<RawJson<'a>>) {
        (self.input.map(Value::raw), self.output.map(Value::raw))
    }

    /// The size in bytes of the request's body and of the answer's, as they stand in the record.
    pub fn body_bytes(&self) -> (Option<usize>, Option<usize>) {
        (self.input.map(|body| body.text().len()), self.output.map(|body| body.text().len()))
    }
}

fn is_text(part: &Part<'_>) -> bool {
    matches!(part, Part::Text(_))
}

/// The texts and the reasoning among the wanted parts, a line break between two.
pub(crate) fn joined<'t, 'a: 't>(
    parts: impl Iterator<Item = &'t Part<'a>>,
    wanted: impl Fn(&Part<'_>) -> bool,
) -> Text<'a> {
    let mut all = Text::default();
    for part in parts.filter(|part| wanted(part)) {
        let (Part::Text(text) | Part::Reasoning(text)) = part else { continue };
        if !all.is_empty() {
            all.push(&Text::of_json("\\n"));
        }
        all.push(text);
    }
    all
}

impl<'a> Message<'a> {
    /// A message of a role that needs no escaping.
    pub(crate) fn new(role: &'static str, parts: Vec<Part<'a>>) -> Self {
        Self { role: Text::of_json(role), parts }
    }
}

impl Default for Arguments<'_> {
    fn default() -> Self {
        Self::Text(Text::default())
    }
}

impl MediaKind {
    /// The name in the view.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Document => "document",
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

/// The path in S3 of a body that Bedrock moved there, from the record's own pointer.
pub fn moved_to<'a>(invocation: &Invocation<'a>, section: Section) -> Option<Text<'a>> {
    let name = match section {
        Section::Input => "inputBodyS3Path",
        Section::Output => "outputBodyS3Path",
        _ => return None,
    };
    let field = invocation.unknown.iter().find(|field| field.section == section && field.key.0 == name)?;
    Value::new(field.value).as_text().filter(|path| !path.is_empty())
}
