//! A record that others carry: in an event of EventBridge, in what a search of Splunk, Elasticsearch or CloudWatch Logs
//! Insights exports, in an answer of CloudTrail's `LookupEvents`. It is told by what it holds: only what is an invocation
//! or a record of CloudTrail is taken out.

use super::{Scratch, Shape, Walk, look};
use crate::extract::{self, LogEvent};
use crate::json::{Cursor, JsonError, Text, key_text};
use crate::reject::{Fault, Reason, Skip, Stage};

/// Members that hold a record, as an object or as its text.
const HOLDERS: [&[u8]; 9] = [
    // EventBridge.
    b"detail",
    // Splunk: an exported line and its text; the HTTP Event Collector.
    b"result",
    b"_raw",
    b"event",
    // Elasticsearch, and ECS below it.
    b"_source",
    b"original",
    // CloudWatch Logs, and Logs Insights.
    b"message",
    b"@message",
    // LookupEvents.
    b"CloudTrailEvent",
];

/// Members that hold a list of such: Splunk, Elasticsearch (whose list stands in an object of the same name), LookupEvents.
const LISTS: [&[u8]; 3] = [b"results", b"hits", b"Events"];

/// Holders in holders: Elasticsearch has four, each beside the next.
const MAX_HOLDERS: usize = 6;

/// What stands before the JSON of a line: a time and the name of a log stream, at most 512 characters.
const MAX_BEFORE: usize = 600;

/// Members that a log event has beside its `message`. A request to Cohere's models has a `message` too, and in it whatever a
/// caller writes: a record that nobody but AWS may have written.
const BESIDE_MESSAGES: [&[u8]; 10] = [
    b"timestamp",
    b"@timestamp",
    b"time",
    b"id",
    b"eventId",
    b"ingestionTime",
    b"logGroup",
    b"logStream",
    b"logStreamName",
    b"log_group",
];

/// Whether a member of this name says that the `message` beside it is that of a log event.
pub(super) fn is_beside_messages(key: &[u8]) -> bool {
    BESIDE_MESSAGES.contains(&key)
}

/// Whether a member of this name, whose value begins so, may hold a record.
pub(super) fn is_carrier(key: &[u8], first: Option<u8>) -> bool {
    match first {
        Some(b'{') => HOLDERS.contains(&key) || key == b"hits",
        Some(b'"') => HOLDERS.contains(&key),
        Some(b'[') => LISTS.contains(&key),
        _ => false,
    }
}

/// Whether the value at the cursor is the source of an S3 event notification, which has names of CloudTrail's.
pub(super) fn is_of_s3(mut cursor: Cursor<'_>) -> bool {
    cursor.string().is_ok_and(|span| cursor.span(span).starts_with(b"aws:"))
}

/// Whether the bytes are an object that is an invocation or a record of CloudTrail.
pub(super) fn is_record(bytes: &[u8], depth: usize) -> bool {
    shape(bytes, depth).is_some_and(|shape| shape.invocation || shape.is_trail())
}

/// Hands on the records of lines that have something before their JSON, as `aws logs tail` prints them. Gives `false`,
/// having done nothing, if the first line holds no record.
pub(in crate::decode) fn lines(bytes: &[u8], walk: &mut Walk<'_>) -> bool {
    let depth = walk.limits().depth;
    let record = |line: &[u8]| {
        let at = memchr::memchr(b'{', line).filter(|at| *at <= MAX_BEFORE)?;
        let json = line.get(at..)?.trim_ascii_end();
        is_record(json, depth).then(|| at..at + json.len())
    };
    let mut lines =
        bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).peekable();
    if lines.peek().is_none_or(|line| record(line).is_none()) {
        return false;
    }
    walk.tally.payloads += 1;
    for line in lines {
        match record(line) {
            Some(span) => walk.message(&line[span], LogEvent::default()),
            None if super::is_notice(line) => walk.skip(Skip::Notice, 1),
            None => {
                let fault = Fault::new(Stage::Decode, Reason::UnknownFraming, "a line that is no JSON document");
                walk.reject(fault, line, None);
            }
        }
    }
    true
}

fn shape(bytes: &[u8], depth: usize) -> Option<Shape> {
    let mut cursor = Cursor::new(bytes, 0);
    let mut shape = Shape::default();
    let is_object = cursor.peek() == Some(b'{') && look(&mut cursor, &mut shape, depth).is_ok();
    is_object.then_some(shape)
}

/// Hands on the records that an object carries. Gives `false`, having done nothing, if there is none.
pub(super) fn object(bytes: &[u8], shape: &Shape, walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) -> bool {
    let depth = walk.limits().depth;
    if level > MAX_HOLDERS {
        return false;
    }
    let mut is_taken = false;
    // What was handed on is handed on, whatever follows it.
    let _ = Cursor::new(bytes, 0).object(|cursor, key| {
        let key = key_text(cursor.span(key));
        let first = cursor.peek();
        let mut again = cursor.clone();
        let span = cursor.value(depth)?;
        let is_other = key.as_ref() == b"message" && !shape.log_event;
        if is_taken || is_other || !is_carrier(&key, first) {
            return Ok(());
        }
        is_taken = match first {
            Some(b'[') => list(cursor.span(span), walk, scratch, level + 1),
            Some(b'{') => value(cursor.span(span), walk, scratch, level + 1),
            _ => {
                let mut text = Text::default();
                let flaw = again.string_into(&mut text)?;
                if flaw.is_none() && key.as_ref() == b"message" && is_record(text.bytes(), depth) {
                    // Beside the message of a log event stand its id and its time.
                    extract::lone_event(&mut Cursor::new(bytes, 0), walk, scratch, &LogEvent::default()).is_ok()
                } else {
                    flaw.is_none() && value(text.bytes(), walk, scratch, level + 1)
                }
            }
        };
        Ok::<(), JsonError>(())
    });
    is_taken
}

/// Hands on the record that the bytes are, or those that they carry.
fn value(bytes: &[u8], walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) -> bool {
    let Some(shape) = shape(bytes, walk.limits().depth) else { return false };
    if shape.raw && object(bytes, &shape, walk, scratch, level) {
        return true;
    }
    if shape.invocation || shape.is_trail() {
        walk.message(bytes.trim_ascii(), LogEvent::default());
        return true;
    }
    // What was looked at in vain is not looked at again: at each level, that would be twice as long.
    !shape.raw && shape.carrier && object(bytes, &shape, walk, scratch, level)
}

/// Hands on the records in a list; what is none, between those that are, is skipped.
fn list(bytes: &[u8], walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) -> bool {
    let depth = walk.limits().depth;
    let (mut is_taken, mut others) = (false, 0);
    let _ = Cursor::new(bytes, 0).array(|cursor| {
        cursor.peek();
        let span = cursor.value(depth)?;
        if value(cursor.span(span), walk, scratch, level) {
            is_taken = true;
        } else {
            others += 1;
        }
        Ok::<(), JsonError>(())
    });
    if is_taken && others > 0 {
        walk.skip(Skip::NotInvocation, others);
    }
    is_taken
}
