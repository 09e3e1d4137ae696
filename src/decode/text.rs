//! Text that is no JSON document: base64, in one piece or many, or lines of which some are documents.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Scratch, Walk, base64_content, documents, is_known_framing, leaf_fault};
use crate::reject::{Fault, Reason, Stage};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How base64 of gzip, of zstd and of a KPL aggregate begins.
const PREFIXES: [&[u8]; 3] = [b"H4sI", b"KLUv", b"84ma"];

/// Without white space, zeros and a byte order mark around it.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    while let Some((first, rest)) = bytes.split_first()
        && blank(first)
    {
        bytes = rest;
    }
    while let Some((last, rest)) = bytes.split_last()
        && blank(last)
    {
        bytes = rest;
    }
    bytes
}

/// Decodes base64, with or without padding, white space left out. Gives `false` if `text` is none.
pub(super) fn decode_base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    if BASE64.decode_vec(text, out).is_ok() {
        return true;
    }
    out.clear();
    let joined: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    joined.len() < text.len() && BASE64.decode_vec(joined, out).is_ok()
}

/// Takes apart text that does not begin as JSON does. `bytes` are trimmed and not empty.
pub(super) fn content(bytes: &[u8], original: &[u8], walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) {
    let begins_known = |word: &[u8]| PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    // The common case, records one a line, is told without a look at every byte.
    if words(bytes).all(begins_known) {
        return words(bytes).for_each(|word| base64_record(word, walk, scratch, level));
    }
    let like_base64 =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=') || byte.is_ascii_whitespace();
    if bytes.iter().all(like_base64) {
        let pieces = pieces(bytes);
        if begins_known(bytes) || pieces.iter().all(|piece| holds_known_framing(piece)) {
            return pieces.into_iter().for_each(|piece| base64_record(piece, walk, scratch, level));
        }
    }
    if documents::next_line(bytes, 0).is_some() || documents::is_notice(bytes) {
        return documents::all(bytes, &[], original, walk, scratch, level);
    }
    if documents::carried::lines(bytes, walk) {
        return;
    }
    let detail = "neither gzip, zstd, base64, a KPL aggregate nor JSON";
    leaf_fault(Fault::new(Stage::Decode, Reason::UnknownFraming, detail), original, walk);
}

/// Takes apart one piece of base64.
fn base64_record(piece: &[u8], walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) {
    if !base64_content(piece, walk, scratch, level) {
        let fault = Fault::new(Stage::Decode, Reason::InvalidBase64, "base64 that does not decode");
        leaf_fault(fault, piece, walk);
    }
}

/// What stands between white space.
fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr3_iter(b'\n', b'\t', b' ', bytes)
        .chain([bytes.len()])
        .map(move |end| trim(&bytes[std::mem::replace(&mut start, end)..end]))
        .filter(|word| !word.is_empty())
}

/// Cuts text into pieces of base64: one a word, if each word begins like something known. A piece may also be broken
/// over lines, as mail is, and several may follow one another, as a list of records is printed: a new one then begins
/// where a word begins as the first one does.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    if words(bytes).all(holds_known_framing) {
        return words(bytes).collect();
    }
    let Some(prefix) = bytes.get(..4) else { return vec![bytes] };
    let mut pieces = Vec::new();
    let mut start = 0;
    for at in memchr::memmem::find_iter(bytes, prefix) {
        if at > start && bytes[at - 1].is_ascii_whitespace() {
            pieces.push(&bytes[start..at]);
            start = at;
        }
    }
    pieces.push(&bytes[start..]);
    pieces
}

/// Whether the first bytes of a piece of base64 begin like something known: text is not decoded on a guess.
fn holds_known_framing(piece: &[u8]) -> bool {
    /// Enough to see a KPL aggregate's minimal length behind its magic number; a multiple of four.
    const HEAD: usize = 64;
    let head: Vec<u8> = piece.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).take(HEAD).collect();
    BASE64.decode(&head).is_ok_and(|decoded| is_known_framing(&decoded))
}
