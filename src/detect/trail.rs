//! A record of CloudTrail, as far as detection needs it. Source: "CloudTrail record contents", AWS CloudTrail user guide.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::finding::Source;
use crate::extract::optional_text;
use crate::json::{Cursor, JsonError, MAX_DEPTH, key_text, push_hex};
use crate::parse::parse_timestamp;

/// A record of CloudTrail.
#[derive(Clone, Debug)]
pub struct Trail<'a> {
    /// The record as it came: a JSON object.
    pub record: &'a str,
    /// When the call was.
    pub time: Timestamp,
    /// CloudTrail's id of the record; a hash of the record where it has none.
    pub id: String,
    /// The call's id.
    pub request_id: Option<String>,
}

impl<'a> Trail<'a> {
    /// Reads a message as a record of CloudTrail; none if it is none: it has a source, a name and a time of an event.
    /// A notification of S3 has them, too, with a source that no service has.
    pub fn read(message: &'a str) -> Option<Self> {
        let mut cursor = Cursor::new(message.as_bytes(), 0);
        if cursor.peek() != Some(b'{') {
            return None;
        }
        let (mut source, mut name, mut time, mut id, mut request) = (None, None, None, None, None);
        let read = cursor.object(|cursor, key| {
            let key = key_text(cursor.span(key));
            let slot = match key.as_ref() {
                b"eventSource" => &mut source,
                b"eventName" => &mut name,
                b"eventTime" => &mut time,
                b"eventID" => &mut id,
                b"requestID" => &mut request,
                _ => return cursor.value(MAX_DEPTH).map(drop),
            };
            *slot = optional_text(cursor, MAX_DEPTH)?;
            Ok::<(), JsonError>(())
        });
        if read.is_err() || name.is_none() || source.is_none_or(|source| source.starts_with("aws:")) {
            return None;
        }
        let time = parse_timestamp(&time?)?;
        let id = id.filter(|id| !id.is_empty()).map_or_else(|| hash(message), std::borrow::Cow::into_owned);
        let request_id = request.filter(|id| !id.is_empty()).map(std::borrow::Cow::into_owned);
        Some(Self { record: message, time, id, request_id })
    }

    pub(super) fn source(&self) -> Source {
        Source { time: self.time, event_id: self.id.clone(), request_id: self.request_id.clone() }
    }
}

/// A name for a record without one: half of its SHA-256, in hexadecimal.
fn hash(message: &str) -> String {
    let digest = Sha256::digest(message.as_bytes());
    let mut text = Vec::with_capacity(32);
    push_hex(&mut text, digest.first_chunk::<16>().unwrap_or(&[0; 16]));
    String::from_utf8(text).unwrap_or_default()
}
