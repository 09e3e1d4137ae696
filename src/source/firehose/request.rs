//! A request: what its headers say, and what is in its body. Source: the Firehose developer guide, "Request format".

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::answer::Refusal;
use super::dedupe::Key;
use super::limits::{MAX_NAME_CHARS, MAX_RECORDS};
use crate::record::{Origin, Record};

/// The access key.
pub(super) const ACCESS_KEY: HeaderName = HeaderName::from_static("x-amz-firehose-access-key");
const PROTOCOL: HeaderName = HeaderName::from_static("x-amz-firehose-protocol-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-firehose-request-id");
const SOURCE_ARN: HeaderName = HeaderName::from_static("x-amz-firehose-source-arn");

/// Brackets and braces that a body may have: each record has one, and base64 has none. This bounds what reading one costs
/// beside its own bytes.
const MAX_BRACKETS: usize = 10 * MAX_RECORDS;

/// Characters of base64 that are decoded at a time.
const CHUNK_CHARS: usize = 4096;

const NOT_THE_PROTOCOL: Refusal = Refusal::malformed("the body is not JSON of Firehose's protocol");
const TOO_MANY: Refusal = Refusal::malformed("the request has more than 10000 records");

/// What the headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The request's id.
    pub(super) id: Arc<str>,
    /// The ARN of the delivery stream.
    pub(super) source: Arc<str>,
    /// Whether the body is compressed.
    pub(super) gzip: bool,
    /// The body's bytes as they come, if that is said.
    pub(super) length: Option<u64>,
}

impl Head {
    /// Reads the headers.
    ///
    /// # Errors
    /// One is missing or says what is not known here.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        if headers.get(PROTOCOL).is_none_or(|version| version != "1.0") {
            return Err(Refusal::malformed("X-Amz-Firehose-Protocol-Version is not 1.0"));
        }
        let id =
            name(headers, &REQUEST_ID).ok_or(Refusal::malformed("X-Amz-Firehose-Request-Id is missing or no id"))?;
        let source = name(headers, &SOURCE_ARN);
        let source = source.ok_or(Refusal::malformed("X-Amz-Firehose-Source-Arn is missing or no ARN"))?;
        let gzip = match headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
            None => false,
            Some(encoding) if encoding.eq_ignore_ascii_case(b"identity") => false,
            Some(encoding) if encoding.eq_ignore_ascii_case(b"gzip") => true,
            Some(_) => return Err(Refusal::malformed("the body's Content-Encoding is not gzip")),
        };
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Ok(Self { id: id.into(), source: source.into(), gzip, length })
    }
}

/// The request's id as far as it can be told, for the answer.
pub(super) fn id_of(headers: &HeaderMap) -> &str {
    name(headers, &REQUEST_ID).unwrap_or_default()
}

/// A header that names something, if it is one that can be shown in a log.
fn name<'h>(headers: &'h HeaderMap, header: &HeaderName) -> Option<&'h str> {
    let text = headers.get(header)?.to_str().ok()?;
    let is_name = (1..=MAX_NAME_CHARS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    is_name.then_some(text)
}

/// The body. What it may hold beside this is passed over. Each field may be there once only.
#[derive(Deserialize)]
struct Envelope<'b> {
    #[serde(rename = "requestId", borrow)]
    id: Cow<'b, str>,
    #[serde(borrow)]
    records: Vec<Item<'b>>,
}

#[derive(Deserialize)]
struct Item<'b> {
    #[serde(borrow)]
    data: Cow<'b, str>,
}

/// Where the text of a record is.
enum Text {
    /// In the body, from and to.
    Body(usize, usize),
    /// By itself: it had escapes.
    Own(Vec<u8>),
}

/// Whether a text of the body may have escapes, for which reading it takes more memory.
pub(super) fn has_escapes(body: &[u8]) -> bool {
    memchr::memchr(b'\\', body).is_some()
}

/// Takes a body apart. The records are parts of the body's own memory, and what is no base64 stays as it came, for the dead
/// letter.
///
/// # Errors
/// The body is not of the protocol, or of another request.
pub(super) fn read(mut body: Vec<u8>, head: &Head) -> Result<(Vec<Record>, Key), Refusal> {
    let mut texts = texts(&body, head)?;
    for text in &mut texts {
        match text {
            Text::Body(from, to) => *to = *from + decode_in_place(&mut body[*from..*to]),
            Text::Own(text) => {
                let length = decode_in_place(text);
                text.truncate(length);
            }
        }
    }
    let body = Bytes::from(body);
    let data = |text| match text {
        Text::Body(from, to) => body.slice(from..to),
        Text::Own(text) => Bytes::from(text),
    };
    let data: Vec<Bytes> = texts.into_iter().map(data).collect();
    let key = Key::new(&head.source, &head.id, data.iter().map(|data| data.as_ref()));
    let origin = |index| Origin::Firehose { source: Arc::clone(&head.source), request: Arc::clone(&head.id), index };
    let records = data.into_iter().zip(0..).map(|(data, index)| Record::new(data, origin(index))).collect();
    Ok((records, key))
}

/// Finds the texts of the records.
fn texts(body: &[u8], head: &Head) -> Result<Vec<Text>, Refusal> {
    let brackets = memchr::memchr2_iter(b'{', b'[', body).take(MAX_BRACKETS + 1).count();
    if brackets > MAX_BRACKETS {
        return Err(TOO_MANY);
    }
    let Envelope { id, records } = serde_json::from_slice(body).map_err(|_| NOT_THE_PROTOCOL)?;
    if *id != *head.id {
        return Err(Refusal::malformed("requestId is not the one of X-Amz-Firehose-Request-Id"));
    }
    if records.len() > MAX_RECORDS {
        return Err(TOO_MANY);
    }
    let start = body.as_ptr().addr();
    let text = |Item { data }| match data {
        Cow::Borrowed(text) => {
            let from = text.as_ptr().addr() - start;
            Text::Body(from, from + text.len())
        }
        Cow::Owned(text) => Text::Own(text.into_bytes()),
    };
    Ok(records.into_iter().map(text).collect())
}

/// Decodes base64 to where it is, and gives the length of what is there then; what is no base64 stays.
fn decode_in_place(text: &mut [u8]) -> usize {
    let mut decoded = [0; CHUNK_CHARS / 4 * 3];
    // Padding in the middle would end a chunk well.
    let content = text.len().saturating_sub(2);
    let is_base64 = memchr::memchr(b'=', &text[..content]).is_none()
        && text.chunks(CHUNK_CHARS).all(|chunk| STANDARD.decode_slice(chunk, &mut decoded).is_ok());
    if !is_base64 {
        return text.len();
    }
    let mut end = 0;
    for from in (0..text.len()).step_by(CHUNK_CHARS) {
        let to = (from + CHUNK_CHARS).min(text.len());
        let length = STANDARD.decode_slice(&text[from..to], &mut decoded).unwrap_or(0);
        text[end..end + length].copy_from_slice(&decoded[..length]);
        end += length;
    }
    end
}
