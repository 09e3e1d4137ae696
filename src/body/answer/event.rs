//! An event: what one object of a stream says, or the one object that a merged answer is. It is told by the names of
//! its members, in whatever order they stand; names that mean different things in different dialects have different
//! members beside them.

use std::borrow::Cow;
use std::mem;

use super::super::stream::{Draft, Place, Said};
use super::super::text::Text;
use super::super::value::{Kind, Value};
use super::super::{Embeddings, MediaKind, Part};
use super::{ERROR, Reader, media};

/// The members of an event whose meaning depends on others beside them.
#[derive(Default)]
struct Event<'a> {
    kind: Cow<'a, str>,
    is_response: bool,
    /// Whether `index` counts alternatives, as in Cohere's Command; elsewhere it counts blocks or pieces.
    is_alternative: bool,
    /// Whether its text is one that the pieces before it said.
    is_repeat: bool,
    index: Option<i64>,
    output_index: Option<i64>,
    item_id: Option<&'a str>,
    /// The index of a text in its item.
    part_index: i64,
    stop: Option<Text<'a>>,
    error: Option<Value<'a>>,
    status: Option<Text<'a>>,
    incomplete: Option<Value<'a>>,
    said: Said<'a>,
    text: Option<Text<'a>>,
    message: Option<Value<'a>>,
    delta: Option<Value<'a>>,
    block: Option<Value<'a>>,
    item: Option<Value<'a>>,
    embeddings: Option<Embeddings>,
}

impl<'a> Reader<'a> {
    /// Reads a merged answer, or one event of a stream.
    pub(super) fn event(&mut self, object: Value<'a>) {
        let mut event = Event::default();
        for (key, value) in object.members() {
            match &*key {
                "type" => event.kind = value.string().unwrap_or_default(),
                "index" => event.index = value.integer(),
                "delta" => event.delta = Some(value),
                "content_block" => event.block = Some(value),
                "contentBlockStart" | "contentBlockDelta" => self.converse_block(value),
                "choices" | "outputs" | "generations" | "results" | "completions" => {
                    for (position, one) in (0..).zip(value.elements()) {
                        self.alternative(position, one);
                    }
                }
                // Llama; Cohere; Anthropic's old text dialect; Titan.
                "generation" | "text" | "completion" | "outputText" => event.text = value.as_text().or(event.text),
                "message" => event.message = Some(value),
                // Anthropic: the body is the message. Cohere's Command R: its calls stand in the body.
                "role" | "content" | "tool_calls" => _ = event.said.take(&key, value),
                "output" => self.output(value),
                "response" => self.response(value),
                "item" => event.item = Some(value),
                "output_index" => event.output_index = value.integer(),
                "item_id" => event.item_id = Some(value.text()),
                "content_index" | "summary_index" => event.part_index = value.integer().unwrap_or(0),
                "object" => event.is_response = value.text() == "\"response\"",
                "status" => event.status = value.as_text(),
                "incomplete_details" => event.incomplete = Some(value),
                "finish_reason" => event.stop = value.as_text(),
                "is_finished" => event.is_alternative = true,
                // Cohere's Command R: the plan, which came in chunks before.
                "event_type" => event.is_repeat = value.text() == "\"tool-calls-generation\"",
                "error" => event.error = Some(value).filter(|error| error.kind() != Kind::Null),
                "messageStart" | "messageStop" => self.message(value),
                // Converse and Nova. OpenAI's is the caller's, and must not be taken for facts.
                "metadata" => {
                    for (key, value) in value.members() {
                        if matches!(&*key, "usage" | "metrics" | "trace") {
                            self.fact(&key, value);
                        }
                    }
                }
                "images" | "artifacts" => self.images(value),
                "embedding" => event.embeddings = media::embeddings(value).or(event.embeddings),
                "embeddings" | "data" | "embeddingsByType" => {
                    event.embeddings = event.embeddings.or_else(|| media::embeddings(value));
                }
                _ => self.fact(&key, value),
            }
        }
        self.conclude(&mut event);
    }

    /// Takes what an event says, now that all its members are known.
    fn conclude(&mut self, event: &mut Event<'a>) {
        let alternative = event.index.filter(|_| event.is_alternative).unwrap_or(0);
        self.stop(alternative, event.stop.take());
        match event.error {
            // A response says by its status that it failed.
            Some(error) if !event.is_response => self.error(error),
            _ if event.kind == "error" => self.stop(ERROR, Some(Text::of_json("error"))),
            _ => {}
        }
        if event.kind == "error" {
            return;
        }
        if event.is_response {
            self.status(event.status.take(), event.incomplete);
        }
        if let Some(new) = event.embeddings {
            let known = self.answer.embeddings.get_or_insert_default();
            known.count = known.count.saturating_add(new.count);
            known.dimensions = known.dimensions.max(new.dimensions);
        }
        self.say(event, alternative);
    }

    /// Takes what an event says of the answer itself.
    fn say(&mut self, event: &mut Event<'a>, alternative: i64) {
        match event.message.map(|message| (message, message.kind())) {
            Some((message, Kind::Object)) => self.message(message),
            // Pegasus; beside vectors it says what went wrong.
            Some((message, Kind::String)) if event.embeddings.is_none() && event.error.is_none() => {
                self.said.draft(0).text(Place::Block(0), message.as_text());
            }
            _ => {}
        }
        // The last event of a text in Responses has all of it again.
        let is_repeat = event.kind.starts_with("response.") || event.is_repeat && !self.said.is_empty();
        if event.text.is_some() && !is_repeat {
            self.said.draft(alternative).text(Place::Block(0), event.text.take());
        }
        if !event.said.is_empty() {
            self.said.draft(0).say(mem::take(&mut event.said), false);
        }
        if let Some(block) = event.block.filter(|block| block.kind() == Kind::Object) {
            self.block(event.index, |draft, place| draft.start(place, block));
        }
        match event.delta.map(|delta| (delta, delta.kind())) {
            Some((delta, Kind::Object)) => self.delta(event.index, delta),
            Some((delta, Kind::String)) => self.typed_delta(event, delta),
            _ => {}
        }
        if let Some(item) = event.item.filter(|item| item.kind() == Kind::Object) {
            let id = event.item_id.or_else(|| item.get("id").map(Value::text));
            match &*event.kind {
                "response.output_item.added" => self.said.item(event.output_index, id).begin(item),
                "response.output_item.done" => self.said.item(event.output_index, id).complete(item),
                _ => {}
            }
        }
    }

    /// A piece of an item of Responses; the event's type says of what.
    fn typed_delta(&mut self, event: &Event<'a>, delta: Value<'a>) {
        let draft = self.said.item(event.output_index, event.item_id);
        let (block, more) = (Place::Block(event.part_index), delta.as_text());
        match &*event.kind {
            "response.output_text.delta" | "response.refusal.delta" => draft.text(block, more),
            "response.reasoning_text.delta" => draft.reasoning(block, more),
            "response.reasoning_summary_text.delta" => draft.reasoning(Place::Reasoning(event.part_index), more),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                draft.arguments(Place::Call(0), Some(delta));
            }
            _ => {}
        }
    }

    /// A block of Converse or Nova begins or goes on.
    fn converse_block(&mut self, block: Value<'a>) {
        let (mut index, mut start, mut delta) = (None, None, None);
        for (key, value) in block.members() {
            match &*key {
                "contentBlockIndex" => index = value.integer(),
                "start" => start = Some(value).filter(|start| start.kind() == Kind::Object),
                "delta" => delta = Some(value),
                _ => {}
            }
        }
        if let Some(start) = start {
            self.block(index, |draft, place| draft.start(place, start));
        }
        if let Some(delta) = delta {
            self.delta(index, delta);
        }
    }

    /// A piece of a block: of Anthropic, Cohere, Converse or Nova. Anthropic and Cohere put facts beside it.
    fn delta(&mut self, index: Option<i64>, delta: Value<'a>) {
        for (key, value) in delta.members().filter(|(_, value)| value.kind() != Kind::Null) {
            match &*key {
                "text" => self.block(index, |draft, place| draft.text(place, value.as_text())),
                "thinking" => self.block(index, |draft, place| draft.reasoning(place, value.as_text())),
                "signature" => self.block(index, |draft, place| draft.thinks(place)),
                "reasoningContent" => self.block(index, |draft, place| {
                    draft.thinks(place);
                    draft.reasoning(place, value.get_text("text"));
                }),
                "partial_json" => self.block(index, |draft, place| draft.arguments(place, Some(value))),
                "toolUse" => self.block(index, |draft, place| draft.arguments(place, value.get("input"))),
                "toolResult" => self.block(index, |draft, place| draft.result(place, value)),
                "image" => self.block(index, |draft, place| draft.medium(place, MediaKind::Image, value)),
                "message" => self.cohere_piece(index.unwrap_or(0), value),
                _ => self.fact(&key, value),
            }
        }
    }

    fn block(&mut self, index: Option<i64>, take: impl FnOnce(&mut Draft<'a>, Place)) {
        let draft = self.said.draft(0);
        let place = draft.block(index);
        take(draft, place);
    }

    /// A piece of Cohere's newer chat: a message whose content, or whose call, is one object and no list.
    fn cohere_piece(&mut self, index: i64, message: Value<'a>) {
        let draft = self.said.draft(0);
        let mut said = Said::default();
        for (key, value) in message.members() {
            match &*key {
                "content" if value.kind() == Kind::Object => {
                    draft.text(Place::Block(index), value.get_text("text"));
                    draft.reasoning(Place::Block(index), value.get_text("thinking"));
                }
                "tool_calls" if value.kind() == Kind::Object => draft.call(Place::Call(index), value),
                _ => _ = said.take(&key, value),
            }
        }
        draft.say(said, true);
    }

    /// A message with facts beside what it says: of Anthropic, Converse, Nova or Cohere's newer chat.
    fn message(&mut self, message: Value<'a>) {
        let mut said = Said::default();
        for (key, value) in message.members() {
            if !said.take(&key, value) {
                self.fact(&key, value);
            }
        }
        self.said.draft(0).say(said, false);
    }

    /// One of several answers, or a piece of it: OpenAI Chat and who speaks like it; Mistral; Titan; Cohere; AI21.
    fn alternative(&mut self, position: i64, one: Value<'a>) {
        let (mut index, mut text, mut message, mut is_piece) = (position, one.as_text(), None, false);
        let (mut finish, mut stop) = (None, None);
        for (key, value) in one.members().filter(|(_, value)| value.kind() != Kind::Null) {
            match &*key {
                "index" => index = value.integer().unwrap_or(position),
                "delta" if value.kind() == Kind::Object => {
                    message = Some(value);
                    is_piece = true;
                }
                "message" if value.kind() == Kind::Object && !is_piece => message = Some(value),
                "text" | "outputText" => text = value.as_text(),
                // AI21 Jurassic: objects with the text and the reason in them.
                "data" => text = value.get_text("text"),
                "finishReason" if value.kind() == Kind::Object => finish = value.get_text("reason"),
                "finish_reason" | "finishReason" | "completionReason" => finish = value.as_text(),
                // Beside a reason of its finish, it is the sequence that was met.
                "stop_reason" => stop = value.as_text(),
                "tokenCount" => self.tally.more_output(value),
                "usage" => self.tally.read(value),
                _ => {}
            }
        }
        self.stop(index, finish.or(stop));
        if text.is_some() {
            self.said.draft(index).text(Place::Block(0), text);
        }
        if let Some(message) = message {
            let mut said = Said::default();
            message.members().for_each(|(key, value)| _ = said.take(&key, value));
            let draft = self.said.draft(index);
            // A message behind deltas repeats them; without deltas it is one itself.
            if is_piece || !draft.is_pieced() {
                draft.say(said, is_piece);
            }
        }
    }

    /// Converse and Nova: an object with the message; Responses: the list of items.
    fn output(&mut self, output: Value<'a>) {
        match output.kind() {
            Kind::Array => self.said.repeat(output),
            _ => output.get("message").into_iter().for_each(|message| self.message(message)),
        }
    }

    /// The answer so far, within an event: of Responses, or at the end of a stream of Cohere's Command R.
    fn response(&mut self, response: Value<'a>) {
        let (mut status, mut incomplete, mut text, mut said) = (None, None, None, Said::default());
        for (key, value) in response.members() {
            match &*key {
                "output" if value.kind() == Kind::Array => self.said.repeat(value),
                "status" => status = value.as_text(),
                "incomplete_details" => incomplete = Some(value),
                "text" => text = value.as_text(),
                "tool_calls" => _ = said.take(&key, value),
                // The status says it.
                "error" => {}
                _ => self.fact(&key, value),
            }
        }
        self.status(status, incomplete);
        // Command R repeats what its pieces said.
        if text.is_some() && self.said.is_empty() {
            self.said.draft(0).text(Place::Block(0), text);
        }
        if !said.is_empty() && !self.said.draft(0).asks() {
            self.said.draft(0).say(said, false);
        }
    }

    fn images(&mut self, images: Value<'a>) {
        for (position, image) in (0..).zip(images.elements()) {
            let data = match image.kind() {
                Kind::Object => {
                    self.stop(position, image.get_text("finishReason"));
                    image.get_text("base64")
                }
                _ => image.as_text(),
            };
            if let Some(data) = data.filter(|data| !data.is_empty()) {
                self.said.draft(0).part(Place::Block(0), Part::Media(media::image(&data)));
            }
        }
    }
}
