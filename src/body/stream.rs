//! A stream: an answer in pieces, which are put together by the places that the dialect gives them, in whatever order
//! they come. A merged answer is a stream of one event, so that both are read by the same code.

use std::collections::BTreeMap;

use super::text::Text;
use super::value::{Kind, Value};
use super::{Arguments, Media, MediaKind, Message, Part, ToolCall, ToolResult, block};

mod places;

use places::Places;

/// The pieces of an answer, put together as far as they came.
#[derive(Debug, Default)]
pub(super) struct Pieces<'a> {
    drafts: Places<i64, Draft<'a>>,
    /// Numbers for the items of Responses that have an id and no index.
    ids: BTreeMap<&'a str, i64>,
    /// All items, where an event repeats what the ones before it said.
    whole: Vec<Draft<'a>>,
}

impl<'a> Pieces<'a> {
    /// The message with that index among the alternatives or items.
    pub(super) fn draft(&mut self, index: i64) -> &mut Draft<'a> {
        self.drafts.get_or_push(index, Draft::default)
    }

    /// The message of an item of Responses, by its index or else its id.
    pub(super) fn item(&mut self, index: Option<i64>, id: Option<&'a str>) -> &mut Draft<'a> {
        let index = index.unwrap_or_else(|| {
            let next = i64::try_from(self.ids.len()).unwrap_or(i64::MAX);
            id.map_or(0, |id| *self.ids.entry(id).or_insert(next))
        });
        self.draft(index)
    }

    /// Whether nothing was said yet.
    pub(super) fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }

    /// Takes the list of a response's items, which says all that was said before.
    pub(super) fn repeat(&mut self, items: Value<'a>) {
        let items: Vec<_> = items.elements().filter(|item| item.kind() == Kind::Object).map(item).collect();
        if !items.is_empty() {
            self.whole = items;
        }
    }

    /// The messages that have something in them, and whether they ask the caller for a tool.
    pub(super) fn finish(self) -> (Vec<Message<'a>>, bool) {
        let mut asks = false;
        let mut messages = Vec::new();
        let mut take = |draft: Draft<'a>| {
            asks |= draft.asks;
            messages.push(draft.finish());
        };
        if self.whole.is_empty() {
            self.drafts.into_sorted().for_each(&mut take);
        } else {
            self.whole.into_iter().for_each(&mut take);
        }
        messages.retain(|message| !message.parts.is_empty());
        (messages, asks)
    }
}

/// An item of Responses that is complete.
fn item(item: Value<'_>) -> Draft<'_> {
    let mut draft = Draft::default();
    match item.get_string("type").as_deref() {
        Some("message") => {
            let mut said = Said::default();
            item.members().for_each(|(key, value)| _ = said.take(&key, value));
            draft.say(said, false);
        }
        Some("function_call" | "custom_tool_call") => draft.begin(item),
        // What the provider runs itself asks the caller for nothing.
        _ => {
            let message = block::item(item);
            draft.role(Some(message.role));
            message.parts.into_iter().for_each(|part| draft.part(Place::Block(0), part));
        }
    }
    draft
}

/// A call of a tool whose argument is text of any kind.
fn custom_call(item: Value<'_>) -> ToolCall<'_> {
    ToolCall {
        id: item.get_text("call_id").or_else(|| item.get_text("id")),
        name: item.get_text("name").unwrap_or_default(),
        arguments: Arguments::Text(item.get_text("input").unwrap_or_default()),
    }
}

/// Where a part stands in its message. Dialects that number their blocks have only those; the others are put in the
/// order in which their merged answers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Reasoning that stands beside the content.
    Reasoning(i64),
    /// A block of the content.
    Block(i64),
    /// A refusal that stands beside the content.
    Refusal,
    /// What is spoken, beside the content.
    Audio,
    /// Its words.
    Transcript,
    /// OpenAI's old function call.
    Function,
    /// A tool call that stands beside the content.
    Call(i64),
}

/// What the members of a message say, in whatever order they stand.
#[derive(Debug, Default)]
pub(super) struct Said<'a> {
    role: Option<Text<'a>>,
    reasoning: Option<Text<'a>>,
    content: Option<Value<'a>>,
    refusal: Option<Text<'a>>,
    audio: Option<Value<'a>>,
    function: Option<Value<'a>>,
    calls: Option<Value<'a>>,
}

impl<'a> Said<'a> {
    /// Takes a member, if it is one of a message's.
    pub(super) fn take(&mut self, key: &str, value: Value<'a>) -> bool {
        match key {
            "role" => self.role = value.as_text(),
            // Some servers say the same under two names. Cohere's plan is what it thinks before it calls a tool.
            "reasoning_content" | "reasoning" | "tool_plan" => {
                let known = self.reasoning.take().filter(|known| !known.is_empty());
                self.reasoning = known.or_else(|| value.as_text());
            }
            "content" => self.content = Some(value),
            "refusal" => self.refusal = value.as_text(),
            "audio" => self.audio = Some(value).filter(|audio| audio.kind() == Kind::Object),
            "function_call" => self.function = Some(value).filter(|call| call.kind() == Kind::Object),
            "tool_calls" => self.calls = Some(value),
            _ => return false,
        }
        true
    }

    /// Whether no member was taken.
    pub(super) fn is_empty(&self) -> bool {
        let Self { role, reasoning, content, refusal, audio, function, calls } = self;
        role.is_none()
            && reasoning.is_none()
            && content.is_none()
            && refusal.is_none()
            && audio.is_none()
            && function.is_none()
            && calls.is_none()
    }
}

/// A message, as far as it was said.
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    role: Option<Text<'a>>,
    parts: Places<Place, Part<'a>>,
    /// The block that pieces without an index belong to.
    block: i64,
    /// Whether it asks the caller for a tool beside its content.
    asks: bool,
    /// Whether pieces of it came that say that they are some.
    pieced: bool,
}

impl<'a> Draft<'a> {
    /// Sets who says it.
    pub(super) fn role(&mut self, role: Option<Text<'a>>) {
        self.role = role.filter(|role| !role.is_empty()).or(self.role.take());
    }

    /// Whether it asks the caller for a tool beside its content.
    pub(super) fn asks(&self) -> bool {
        self.asks
    }

    /// Whether pieces of it came that say that they are some.
    pub(super) fn is_pieced(&self) -> bool {
        self.pieced
    }

    /// The place of a block; without an index that of the last one.
    pub(super) fn block(&mut self, index: Option<i64>) -> Place {
        self.block = index.unwrap_or(self.block);
        Place::Block(self.block)
    }

    /// Takes what a message, or a piece of one, says. Of a piece, texts in a list go on with the text before them.
    pub(super) fn say(&mut self, said: Said<'a>, is_piece: bool) {
        self.pieced |= is_piece;
        self.role(said.role);
        self.reasoning(Place::Reasoning(0), said.reasoning);
        match said.content {
            Some(content) if content.kind() == Kind::String => self.text(Place::Block(0), content.as_text()),
            Some(content) if !matches!(content.kind(), Kind::Array | Kind::Object) => {}
            Some(content) => block::parts(content).into_iter().for_each(|part| match part {
                Part::Text(text) if is_piece => self.text(Place::Block(0), Some(text)),
                Part::Reasoning(text) if is_piece => self.reasoning(Place::Block(0), Some(text)),
                part => self.parts.push(Place::Block(0), part),
            }),
            None => {}
        }
        self.text(Place::Refusal, said.refusal);
        if let Some(audio) = said.audio {
            self.medium(Place::Audio, MediaKind::Audio, audio);
            self.text(Place::Transcript, audio.get_text("transcript"));
        }
        said.function.into_iter().for_each(|call| self.call(Place::Function, call));
        for (position, call) in (0..).zip(said.calls.into_iter().flat_map(Value::elements)) {
            let index = call.get("index").and_then(Value::integer);
            self.call(Place::Call(index.unwrap_or(position)), call);
        }
    }

    /// More of a text.
    pub(super) fn text(&mut self, place: Place, more: Option<Text<'a>>) {
        let Some(more) = more.filter(|more| !more.is_empty()) else { return };
        match self.parts.get(place) {
            Some(Part::Text(text)) => text.push(&more),
            _ => self.parts.push(place, Part::Text(more)),
        }
    }

    /// More of what the model thought.
    pub(super) fn reasoning(&mut self, place: Place, more: Option<Text<'a>>) {
        let Some(more) = more.filter(|more| !more.is_empty()) else { return };
        match self.parts.get(place) {
            Some(Part::Reasoning(text)) => text.push(&more),
            _ => self.parts.push(place, Part::Reasoning(more)),
        }
    }

    /// The model thought, but what is not said: only its signature is known, or it comes encrypted.
    pub(super) fn thinks(&mut self, place: Place) {
        if !matches!(self.parts.get(place), Some(Part::Reasoning(_))) {
            self.parts.push(place, Part::Reasoning(Text::default()));
        }
    }

    /// A part that is complete.
    pub(super) fn part(&mut self, place: Place, part: Part<'a>) {
        self.parts.push(place, part);
    }

    /// A block begins. The input of a tool is `{}` until its pieces come.
    pub(super) fn start(&mut self, place: Place, block: Value<'a>) {
        block::parts(block).into_iter().for_each(|part| self.parts.push(place, part));
    }

    /// More of a medium, whose payload may come in pieces.
    pub(super) fn medium(&mut self, place: Place, kind: MediaKind, more: Value<'a>) {
        let mut parts = Vec::new();
        block::attach(&mut parts, kind, more);
        for part in parts {
            match (self.parts.get(place), part) {
                (Some(Part::Media(known)), Part::Media(Media { media_type, bytes, uri, .. })) => {
                    known.media_type = media_type.or(known.media_type.take());
                    known.bytes = bytes.map(|more| known.bytes.unwrap_or(0).saturating_add(more)).or(known.bytes);
                    known.uri = uri.or(known.uri.take());
                }
                (_, part) => self.parts.push(place, part),
            }
        }
    }

    /// More of what a tool of the provider's gave; its texts go on with the text before them.
    pub(super) fn result(&mut self, place: Place, more: Value<'a>) {
        if !matches!(self.parts.get(place), Some(Part::ToolResult(_))) {
            self.parts.push(place, Part::ToolResult(ToolResult::default()));
        }
        let Some(Part::ToolResult(ToolResult { parts, .. })) = self.parts.get(place) else { return };
        for part in block::parts(more) {
            match (parts.last_mut(), part) {
                (Some(Part::Text(text)), Part::Text(more)) => text.push(&more),
                (_, part) => parts.push(part),
            }
        }
    }

    /// An item of Responses begins.
    pub(super) fn begin(&mut self, item: Value<'a>) {
        match item.get_string("type").as_deref() {
            Some("function_call") => self.call(Place::Call(0), item),
            Some("custom_tool_call") => {
                self.parts.push(Place::Call(0), Part::ToolCall(custom_call(item)));
                self.asks = true;
            }
            Some("message") => self.role(item.get_text("role")),
            _ => {}
        }
    }

    /// An item of Responses is complete, and says all that its pieces said.
    pub(super) fn complete(&mut self, done: Value<'a>) {
        let draft = item(done);
        if !draft.parts.is_empty() {
            *self = draft;
        }
    }

    /// A tool call, or more of the one at that place.
    pub(super) fn call(&mut self, place: Place, call: Value<'a>) {
        if call.kind() != Kind::Object {
            return;
        }
        let Part::ToolCall(mut call) = block::function_call(call) else { return };
        self.asks = true;
        call.id = call.id.filter(|id| !id.is_empty());
        let known = match self.parts.get(place) {
            Some(Part::ToolCall(known)) => known,
            _ => return self.parts.push(place, Part::ToolCall(call)),
        };
        let goes_on = match call.id {
            Some(_) => call.id == known.id,
            None => call.name.is_empty() || known.name.is_empty(),
        };
        if !goes_on {
            return self.parts.push(place, Part::ToolCall(call));
        }
        if known.name.is_empty() {
            known.name = call.name;
        }
        append(&mut known.arguments, call.arguments);
    }

    /// More of a tool's arguments. A call whose beginning is missing has no name.
    pub(super) fn arguments(&mut self, place: Place, more: Option<Value<'a>>) {
        let Some(more) = more.filter(|more| more.kind() != Kind::Null) else { return };
        let more = more.as_text().map_or(Arguments::Json(more.raw()), Arguments::Text);
        match self.parts.get(place) {
            Some(Part::ToolCall(call)) => append(&mut call.arguments, more),
            _ => self.parts.push(place, Part::ToolCall(ToolCall { arguments: more, ..ToolCall::default() })),
        }
    }

    fn finish(self) -> Message<'a> {
        let parts = self.parts.into_sorted().filter(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Message { role: self.role.unwrap_or_else(|| Text::of_json("assistant")), parts: parts.collect() }
    }
}

fn append<'a>(known: &mut Arguments<'a>, more: Arguments<'a>) {
    match (&mut *known, more) {
        (Arguments::Text(known), Arguments::Text(more)) => known.push(&more),
        // The `{}` that a tool's input begins as gives way to the first piece that says something.
        (Arguments::Json(_), Arguments::Text(more)) if more.is_empty() => {}
        (_, more) => *known = more,
    }
}
