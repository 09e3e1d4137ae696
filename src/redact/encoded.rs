//! A text document in base64, as bodies carry files: the whole of a string, or of a `data:` URL in one.

use base64::Engine as _;
use base64::alphabet::{self, Alphabet};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A text that a string holds in base64.
pub(super) struct Document<'t> {
    /// What stands before the base64.
    lead: &'t str,
    pub(super) text: String,
    is_url_safe: bool,
    is_padded: bool,
}

/// Characters of base64 below which nothing is worth decoding.
const MIN: usize = 8;

/// Characters of base64 from which on a string can be nothing else, and is not looked through as it stands.
const LARGE: usize = 1024;

/// Characters that show whether the rest is worth decoding: images and archives are no text from the start.
const PROBE: usize = 64;

const fn engine(alphabet: &Alphabet) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(alphabet, config)
}

const STANDARD: GeneralPurpose = engine(&alphabet::STANDARD);
const URL_SAFE: GeneralPurpose = engine(&alphabet::URL_SAFE);

/// The base64 in a string, without its padding, and where it begins.
fn payload(text: &str) -> Option<(usize, &str)> {
    let mut start = 0;
    if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        let comma = text.bytes().take(256).position(|byte| byte == b',')?;
        text.get(..comma)?.to_ascii_lowercase().ends_with(";base64").then_some(())?;
        start = comma + 1;
    }
    let payload = text.get(start..)?.trim_end_matches('=');
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    (payload.len() >= MIN && payload.bytes().all(is_base64)).then_some((start, payload))
}

/// Whether a string is so much base64 that it can be nothing else.
pub(super) fn is_large(text: &str) -> bool {
    text.len() >= LARGE && payload(text).is_some()
}

/// The characters of a line, if a text of several is base64 in lines of one length, as MIME and PEM have it. Only in the
/// last one there may be fewer.
pub(super) fn line_length(text: &str) -> Option<usize> {
    let length = text.find('\n')?;
    let width = text[..length].trim_end_matches('\r').len();
    let mut lines = text.trim_end().split('\n').map(|line| line.trim_end_matches('\r')).peekable();
    while let Some(line) = lines.next() {
        let fits = if lines.peek().is_some() { line.len() == width } else { line.len() <= width };
        if !fits || line.contains(char::is_whitespace) {
            return None;
        }
    }
    (width >= MIN).then_some(width)
}

/// The text in lines of `width` characters, with a break behind each one.
pub(super) fn in_lines(text: &str, width: usize) -> String {
    let mut lines = String::with_capacity(text.len() + text.len() / width + 1);
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at.is_multiple_of(width) {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines.push('\n');
    lines
}

impl<'t> Document<'t> {
    /// The document that `text` holds, if it holds one.
    pub(super) fn of(text: &'t str) -> Option<Self> {
        let (start, payload) = payload(text)?;
        let is_url_safe = memchr::memchr2(b'-', b'_', payload.as_bytes()).is_some();
        let decode = |text: &str| if is_url_safe { URL_SAFE.decode(text) } else { STANDARD.decode(text) };
        let probe = decode(payload.get(..PROBE).unwrap_or(payload)).ok()?;
        if std::str::from_utf8(&probe).is_err_and(|error| error.error_len().is_some()) {
            return None;
        }
        let decoded = String::from_utf8(decode(payload).ok()?).ok()?;
        let is_padded = text.ends_with('=') || payload.len().is_multiple_of(4);
        Some(Self { lead: &text[..start], text: decoded, is_url_safe, is_padded })
    }

    /// The string with another text in the document's place.
    pub(super) fn with_text(&self, text: &str) -> String {
        let mut string = self.lead.to_owned();
        let engine = if self.is_url_safe { URL_SAFE } else { STANDARD };
        engine.encode_string(text, &mut string);
        if !self.is_padded {
            string.truncate(string.trim_end_matches('=').len());
        }
        string
    }
}
