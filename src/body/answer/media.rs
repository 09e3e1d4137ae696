//! What an answer is where it is no text: vectors and images, of which the view keeps only how many and how large.

use super::super::text::Text;
use super::super::value::{Kind, Value};
use super::super::{Embeddings, Media, MediaKind};

/// The vectors in one vector, in a list of them (bare, in Base64, or each in an object), or in lists by type of number;
/// none where there are none.
pub(super) fn embeddings(value: Value<'_>) -> Option<Embeddings> {
    let (bits, list) = match value.kind() {
        Kind::Object => by_type(value)?,
        _ => (1, value),
    };
    let mut elements = list.elements();
    let first = elements.next()?;
    let dimensions = match first.kind() {
        Kind::Number => return Some(Embeddings { count: 1, dimensions: length(list) }),
        Kind::Array => length(first).saturating_mul(bits),
        Kind::Object => length(first.get("embedding")?),
        // Base64, of numbers of a size that only the request knows.
        Kind::String => 0,
        _ => return None,
    };
    Some(Embeddings { count: 1 + elements.count(), dimensions })
}

/// One of the lists by type of number, and how many of a vector's numbers one of its own stands for: Cohere packs eight
/// bits into one. Titan's one vector of bits is not packed.
fn by_type(lists: Value<'_>) -> Option<(usize, Value<'_>)> {
    let rank = |name: &str| match name {
        "float" => 0,
        "int8" | "uint8" => 1,
        _ => 2,
    };
    let lists = lists.members().filter(|(_, list)| list.kind() == Kind::Array);
    let (name, list) = lists.min_by_key(|(name, _)| rank(name))?;
    Some((if matches!(&*name, "binary" | "ubinary") { 8 } else { 1 }, list))
}

/// The number of elements. Numbers have no commas in them, so that the commas tell, many at a time.
fn length(vector: Value<'_>) -> usize {
    let text = vector.text().as_bytes();
    let is_flat = !text.iter().skip(1).any(|byte| matches!(byte, b'[' | b'{' | b'"'));
    let is_empty = vector.elements().next().is_none();
    match (is_empty, is_flat) {
        (true, _) => 0,
        (_, true) => 1 + text.iter().filter(|byte| **byte == b',').count(),
        _ => vector.elements().count(),
    }
}

/// An image in Base64.
pub(super) fn image(data: &Text<'_>) -> Media<'static> {
    let data = data.decode();
    let digits = data.trim_end_matches('=').len() as u64;
    Media { kind: MediaKind::Image, media_type: None, name: None, bytes: Some(digits * 3 / 4), uri: None }
}
