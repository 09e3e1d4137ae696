//! Media in a body: an image, a document, a video or audio with its type, name, size and place, in any family's shape.
//! The payload itself is measured and never decoded.

use std::borrow::Cow;

use crate::body::text::Text;
use crate::body::value::{Kind, Value};
use crate::body::{Media, MediaKind};
use crate::invocation::JsonStr;

/// Wrappers around a payload that are entered. The deepest known are three: the medium, its source, the source's place
/// in S3.
const MAX_WRAPPERS: usize = 3;

/// The longest name of a scheme that a URL may begin with.
const MAX_SCHEME: usize = 16;

/// A medium, and the contents in it that can be read as text.
pub(super) struct Found<'a> {
    pub(super) media: Media<'a>,
    pub(super) texts: Vec<Value<'a>>,
}

/// Reads a medium: a string with its payload or its URL, or an object.
pub(super) fn read(kind: MediaKind, value: Value<'_>) -> Found<'_> {
    let media = Media { kind, media_type: None, name: None, bytes: None, uri: None };
    let mut found = Found { media, texts: Vec::new() };
    found.refer(value);
    found.enter(value, MAX_WRAPPERS);
    found
}

impl<'a> Found<'a> {
    /// Whether there is a payload, a place or a text, and not only settings of one that is to be made.
    pub(super) fn has_content(&self) -> bool {
        self.media.bytes.is_some() || self.media.uri.is_some() || !self.texts.is_empty()
    }

    fn enter(&mut self, object: Value<'a>, wrappers: usize) {
        if wrappers == 0 {
            return;
        }
        let (mut data, mut is_text) = (None, false);
        for (key, value) in object.members() {
            match &*key {
                "type" => is_text = value.content() == Some("text"),
                "data" => data = Some(value),
                "format" | "media_type" | "mime_type" => set(&mut self.media.media_type, value),
                "name" | "title" | "filename" | "document_name" => set(&mut self.media.name, value),
                "bytes" | "base64String" | "file_data" => self.embed(value),
                "uri" | "s3Uri" | "file_id" => self.link(value),
                "url" | "file_url" => self.refer(value),
                // The name of what a search found, which need not be a URL.
                "source" if value.kind() == Kind::String => self.link(value),
                "source" | "s3Location" | "mediaSource" | "image_url" | "video_url" | "audio_url" | "document_url"
                | "input_audio" | "file" | "image" | "video" | "audio" => {
                    self.refer(value);
                    self.enter(value, wrappers - 1);
                }
                "text" | "content" | "context" => self.texts.push(value),
                _ => {}
            }
        }
        match data {
            // Anthropic: a document that is plain text.
            Some(data) if is_text => self.texts.push(data),
            Some(data) => self.embed(data),
            None => {}
        }
    }

    /// A string that is a URL, a `data:` URL, or a payload.
    fn refer(&mut self, value: Value<'a>) {
        match value.content() {
            Some(content) if is_url(content) => self.link(value),
            Some(content) if !content.is_empty() => self.embed(value),
            _ => {}
        }
    }

    fn link(&mut self, value: Value<'a>) {
        match value.content() {
            Some(content) if data_url(content).is_some() => self.embed(value),
            Some(content) if !content.is_empty() => self.media.uri = Some(Text::of_json(content)),
            _ => {}
        }
    }

    /// A payload in Base64, or a `data:` URL with one in it.
    fn embed(&mut self, value: Value<'a>) {
        let Some(content) = value.content() else { return };
        let Some(rest) = data_url(content) else {
            self.media.bytes = Some(decoded_bytes(content));
            return;
        };
        let Some((head, payload)) = rest.split_once(',') else { return };
        let media_type = head.split(';').next().filter(|media_type| !media_type.is_empty());
        self.media.media_type = media_type.map(Text::of_json).or(self.media.media_type.take());
        if head.ends_with(";base64") {
            self.media.bytes = Some(decoded_bytes(payload));
        }
    }
}

fn set<'a>(text: &mut Option<Text<'a>>, value: Value<'a>) {
    if let Some(new) = value.as_text().filter(|new| !new.is_empty()) {
        *text = Some(new);
    }
}

/// What follows the scheme of a `data:` URL.
fn data_url(content: &str) -> Option<&str> {
    let (scheme, rest) = content.split_at_checked("data:".len())?;
    scheme.eq_ignore_ascii_case("data:").then_some(rest)
}

fn is_url(content: &str) -> bool {
    let colon = content.bytes().take(MAX_SCHEME).position(|byte| byte == b':');
    // Some libraries escape each slash.
    let rest = colon.and_then(|colon| content.get(colon + 1..));
    rest.is_some_and(|rest| rest.starts_with("//") || rest.starts_with(r"\/\/"))
}

/// How many bytes a Base64 payload stands for, padded or not. Some libraries escape its slashes and equals signs, and
/// some break it into lines; only then is it unescaped.
fn decoded_bytes(content: &str) -> u64 {
    let text = JsonStr(content).decode();
    let payload = text.trim_ascii_end();
    let payload = payload.trim_end_matches('=');
    let characters = match text {
        Cow::Borrowed(_) => payload.len(),
        Cow::Owned(_) => payload.bytes().filter(|byte| !byte.is_ascii_whitespace()).count(),
    };
    let characters = characters as u64;
    // Four characters stand for three bytes, two for one and three for two.
    characters / 4 * 3 + characters % 4 * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invocation::RawJson;

    #[test]
    fn a_payload_is_measured_as_what_it_decodes_to() {
        for (payload, bytes) in [
            ("", 0),
            ("TQ==", 1),
            ("TWE=", 2),
            ("TWFu", 3),
            ("TWFuTQ", 4),
            ("TWFuTWE", 5),
            (r"TWFuTWE\u003d", 5),
            (r"\/\/\/\/", 3),
            (r"TWFu\r\nTWFu\r\n", 6),
            (r"TWFuTQ==\n", 4),
            ("====", 0),
        ] {
            assert_eq!(decoded_bytes(payload), bytes, "{payload}");
        }
    }

    #[test]
    fn a_string_is_a_payload_or_a_place() {
        for (text, media_type, bytes, uri) in [
            (r#""data:image/png;base64,TWE=""#, Some("image/png"), Some(2), None),
            (r#""DATA:image\/png;x=y;base64,TWE=""#, Some("image/png"), Some(2), None),
            (r#""data:;base64,TWE=""#, None, Some(2), None),
            (r#""data:text/plain,hello""#, Some("text/plain"), None, None),
            (r#""data:image/png""#, None, None, None),
            (r#""https://example.com/a.png""#, None, None, Some("https://example.com/a.png")),
            (r#""s3:\/\/bucket\/key""#, None, None, Some("s3://bucket/key")),
            (r#""TWFu""#, None, Some(3), None),
            (r#""""#, None, None, None),
            ("5", None, None, None),
            ("[\"TWFu\"]", None, None, None),
        ] {
            let media = read(MediaKind::Image, Value::new(RawJson(text))).media;
            let decoded = |text: Option<Text<'_>>| text.map(|text| text.decode().into_owned());
            assert_eq!(decoded(media.media_type).as_deref(), media_type, "{text}");
            assert_eq!((media.bytes, decoded(media.uri).as_deref()), (bytes, uri), "{text}");
        }
    }
}
