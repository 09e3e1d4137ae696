//! A record of CloudTrail, as far as detection needs it. Source: "CloudTrail record contents", AWS CloudTrail user guide.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::finding::Source;
use crate::extract::optional_text;
use crate::json::{Cursor, JsonError, MAX_DEPTH, key_text, push_hex};
use crate::parse::parse_timestamp;

/// The fields that tell a record, in the order in which they are taken apart.
const NAMES: [&str; 5] = ["eventSource", "eventName", "eventTime", "eventID", "requestID"];

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
        let mut found = [const { None }; NAMES.len()];
        let mut is_exact = [false; NAMES.len()];
        let read = cursor.object(|cursor, key| {
            let key = key_text(cursor.span(key));
            let Some(place) = NAMES.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(&key)) else {
                return cursor.value(MAX_DEPTH).map(drop);
            };
            // The exact name wins over one that differs in case, wherever they stand, as in the rules' names.
            let exact = NAMES[place].as_bytes() == key.as_ref();
            if is_exact[place] && !exact {
                return cursor.value(MAX_DEPTH).map(drop);
            }
            is_exact[place] = exact;
            found[place] = optional_text(cursor, MAX_DEPTH)?;
            Ok::<(), JsonError>(())
        });
        let [source, name, time, id, request] = found;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(record: &str, expected: Option<(&str, Option<&str>)>) {
        let trail = Trail::read(record);
        let found = trail.as_ref().map(|trail| (trail.id.as_str(), trail.request_id.as_deref()));
        assert_eq!(found, expected, "{record}");
    }

    #[test]
    fn names_count_in_any_case_and_the_exact_one_first() {
        let time = "2026-10-01T10:00:00Z";
        check(
            &format!(r#"{{"eventSource":"a","eventName":"b","eventTime":"{time}","eventID":"1","requestID":"r"}}"#),
            Some(("1", Some("r"))),
        );
        check(
            &format!(r#"{{"eventsource":"a","EventName":"b","eventtime":"{time}","eventid":"1","requestId":"r"}}"#),
            Some(("1", Some("r"))),
        );
        check(
            &format!(r#"{{"eventSource":"a","eventName":"b","eventTime":"{time}","eventID":"1","eventid":"2"}}"#),
            Some(("1", None)),
        );
        check(
            &format!(r#"{{"eventSource":"a","eventName":"b","eventTime":"{time}","eventid":"2","eventID":"1"}}"#),
            Some(("1", None)),
        );
        check(&format!(r#"{{"eventSource":"aws:s3","eventName":"b","eventTime":"{time}"}}"#), None);
        check(&format!(r#"{{"source":"a","eventName":"b","eventTime":"{time}"}}"#), None);
    }
}
