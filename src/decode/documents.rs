//! JSON documents: one or many, on lines or behind one another, each told by its members.

use super::{Scratch, Walk, base64_content, is_envelope, is_known_framing, leaf_fault, letter, payload, text};
use crate::extract::{self, LogEvent};
use crate::json::{Cursor, Kind, Text, key_text};
use crate::reject::{Fault, Reason, Skip, Stage};

pub(super) mod carried;

/// The line that Bedrock writes to the log stream when logging is switched on. Source: six public projects read it.
const NOTICE: &[u8] = b"Permissions are correctly set for Amazon Bedrock";

/// How Bedrock begins an invocation in its own files: as it did first, and as it does since 2025. Others may begin so, too.
const INVOCATIONS: [&[u8]; 2] = [br#"{"schemaType":"ModelInvocationLog","#, br#"{"timestamp":""#];

/// Whether a message is the notice that Bedrock writes when logging is switched on.
pub(crate) fn is_notice(message: &[u8]) -> bool {
    text::trim(message).starts_with(NOTICE)
}

/// What became of one document.
pub(super) enum Outcome {
    /// It was read, as a document of its own.
    Read,
    /// It was a wrapper around payloads, which were counted on their own.
    Wrapper,
}

/// Rejects of one payload that are kept apart. Text with more faults than that is no list of documents any more; the
/// rest of it is one reject, so that a byte of input cannot become a hundred bytes of rejects.
const MAX_FAULTS: usize = 10_000;

/// Reads all documents in `bytes`, which came as `original`. At `seams` a document may begin, whatever comes before.
pub(super) fn all(
    bytes: &[u8],
    seams: &[usize],
    original: &[u8],
    walk: &mut Walk<'_>,
    scratch: &mut Scratch,
    level: usize,
) {
    let mut cursor = Cursor::new(bytes, 0);
    let (mut only_wrappers, mut faults, mut next_line_start) = (true, 0, 0);
    while let Some(first) = cursor.peek() {
        let start = cursor.pos();
        if start >= next_line_start && INVOCATIONS.iter().any(|begin| bytes[start..].starts_with(begin)) {
            // A line that is looked at in vain, as one with many documents, is not looked at again for each of them.
            let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |length| start + length);
            next_line_start = end;
            if is_read_as_line(&bytes[start..end], walk) {
                cursor = Cursor::new(bytes, end);
                only_wrappers = false;
                continue;
            }
        }
        let outcome = match first {
            b'{' | b'[' | b'"' => document(&mut cursor, walk, scratch, level),
            _ => Err(Fault::new(Stage::Decode, Reason::UnknownFraming, "a line that is no JSON document")),
        };
        match outcome {
            Ok(Outcome::Wrapper) => {}
            Ok(Outcome::Read) => only_wrappers = false,
            Err(fault) => {
                only_wrappers = false;
                faults += 1;
                let end =
                    if faults < MAX_FAULTS { end_of_damage(bytes, seams, start, &cursor, walk) } else { bytes.len() };
                cursor = Cursor::new(bytes, end);
                let whole = start == 0 && end == bytes.len();
                refuse(fault, if whole { original } else { text::trim(&bytes[start..end]) }, walk);
            }
        }
    }
    walk.tally.payloads += u64::from(!only_wrappers);
}

/// Reads a line if it is one invocation, as in Bedrock's own files. It tells where its document ends, so that nothing needs
/// to be looked at twice. Gives `false`, having done nothing, if it is anything else.
fn is_read_as_line(line: &[u8], walk: &mut Walk<'_>) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.ends_with(b"}") && walk.invocation_alone(line)
}

/// Where reading goes on behind a document at `start` that could not be read further than `reached`: at its end if it is
/// JSON and only its members are wrong, and otherwise where the next one may begin.
fn end_of_damage(bytes: &[u8], seams: &[usize], start: usize, reached: &Cursor<'_>, walk: &Walk<'_>) -> usize {
    let mut whole = Cursor::new(bytes, start);
    if whole.value(walk.limits.depth).is_ok() {
        return whole.pos();
    }
    let from = reached.pos().max(start);
    let begins = |seam: &usize| matches!(bytes.get(*seam), Some(b'{' | b'['));
    let mut behind = seams.iter().copied().filter(|&seam| seam > start).filter(begins);
    // What ends too early runs on into the next member until something there does not fit.
    if let Some(passed) = behind.clone().take_while(|&seam| seam <= from).last() {
        return passed;
    }
    behind.next().into_iter().chain(next_line(bytes, from)).min().unwrap_or(bytes.len())
}

/// Rejects what stands where a document was due, unless it is the notice.
fn refuse(fault: Fault, original: &[u8], walk: &mut Walk<'_>) {
    if fault.reason == Reason::UnknownFraming && is_notice(original) {
        walk.skip(Skip::Notice, 1);
    } else {
        walk.reject(fault, original, None);
    }
}

/// Where the next document can begin after a damaged one: at a line that begins as one does.
pub(super) fn next_line(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    memchr::memchr_iter(b'\n', rest).map(|at| from + at + 1).find(|&at| matches!(bytes.get(at), Some(b'{' | b'[')))
}

/// Reads the document at the cursor: a wrapper, an envelope, a log event, or a list of these.
fn document(
    cursor: &mut Cursor<'_>,
    walk: &mut Walk<'_>,
    scratch: &mut Scratch,
    level: usize,
) -> Result<Outcome, Fault> {
    if level > super::MAX_WRAPPERS {
        return Err(Fault::new(Stage::Decode, Reason::TooDeep, "documents in documents, too many"));
    }
    match cursor.peek() {
        Some(b'{') if is_envelope(cursor.clone()) => {
            extract::envelope(cursor, walk, scratch)?;
            Ok(Outcome::Read)
        }
        Some(b'{') => object(cursor, walk, scratch, level),
        Some(b'[') => {
            let mut only_wrappers = true;
            cursor.array(|cursor| {
                let mut element = cursor.clone();
                match document(cursor, walk, scratch, level + 1) {
                    Ok(outcome) => only_wrappers &= matches!(outcome, Outcome::Wrapper),
                    Err(fault) => {
                        // What is JSON has an end, and costs no more than itself.
                        let Ok(span) = element.value(walk.limits.depth) else { return Err(fault) };
                        *cursor = element;
                        let original = cursor.span(span);
                        if original.starts_with(b"\"") {
                            leaf_fault(fault, original, walk);
                        } else {
                            only_wrappers = false;
                            walk.reject(fault, original, None);
                        }
                    }
                }
                Ok::<(), Fault>(())
            })?;
            Ok(if only_wrappers { Outcome::Wrapper } else { Outcome::Read })
        }
        Some(b'"') => base64_string(cursor, walk, scratch, level),
        other => {
            let kind = other.map_or("nothing", |byte| Kind::of(byte).described());
            let detail = format!("expected an object, found {kind}");
            Err(Fault::new(Stage::Decode, Reason::UnknownFraming, detail))
        }
    }
}

/// A string that holds base64, as `get-records --query` prints it.
fn base64_string(
    cursor: &mut Cursor<'_>,
    walk: &mut Walk<'_>,
    scratch: &mut Scratch,
    level: usize,
) -> Result<Outcome, Fault> {
    let mut encoded = Text::default();
    let flaw = cursor.string_into(&mut encoded)?;
    let found = flaw.is_none() && base64_content(encoded.bytes(), walk, scratch, level);
    if found {
        return Ok(Outcome::Wrapper);
    }
    Err(Fault::new(Stage::Decode, Reason::InvalidBase64, "a string that is no base64"))
}

/// The members that tell what an object is.
#[derive(Default)]
struct Shape {
    /// It says itself that it is a log event, whatever its other members are called.
    invocation: bool,
    envelope: bool,
    awslogs: bool,
    records: bool,
    events: bool,
    data: bool,
    /// A record of CloudTrail's: a source and a name of an event, and not those of an S3 notification.
    event_source: bool,
    event_name: bool,
    /// Members in which others put a record: a text or an object, or a list of these.
    carrier: bool,
    /// Members that stand beside the `message` of a log event.
    log_event: bool,
    /// The text of the record, beside members that were made of it.
    raw: bool,
    /// Members that stand beside `data` in a record of a stream.
    transport: bool,
    /// Members that a dead letter has beside `data`, a bit each.
    letter: u8,
}

impl Shape {
    /// Whether it is a dead letter, which has all of its members.
    fn is_letter(&self) -> bool {
        self.data && self.letter == 0b1111
    }

    /// Whether it is a record of CloudTrail.
    fn is_trail(&self) -> bool {
        self.event_source && self.event_name
    }
}

/// Reads an object by its members.
fn object(cursor: &mut Cursor<'_>, walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) -> Result<Outcome, Fault> {
    let start = cursor.clone();
    let mut shape = Shape::default();
    let walked = look(cursor, &mut shape, walk.limits().depth);
    let mut again = start.clone();
    let span = cursor.span(start.pos()..cursor.pos());
    if shape.raw && walked.is_ok() && carried::object(span, &shape, walk, scratch, level) {
        return Ok(Outcome::Read);
    }
    if shape.invocation {
        walked?;
        walk.message(span, LogEvent::default());
        return Ok(Outcome::Read);
    }
    if shape.envelope {
        *cursor = start;
        extract::envelope(cursor, walk, scratch)?;
        return Ok(Outcome::Read);
    }
    if shape.awslogs || shape.records {
        // Records before a damaged one are read, so this comes before the damage is told.
        wrapper(&mut again, walk, scratch, level)?;
        return walked.map(|()| Outcome::Wrapper);
    }
    if shape.events {
        extract::event_list(&mut again, walk, scratch)?;
        return walked.map(|()| Outcome::Read);
    }
    walked?;
    if shape.is_letter() {
        return letter::open(&mut again, walk, scratch, level);
    }
    if shape.data && data_member(&mut again, walk, scratch, level, shape.transport)? {
        return Ok(Outcome::Wrapper);
    }
    if shape.carrier && !shape.raw && !shape.is_trail() && carried::object(span, &shape, walk, scratch, level) {
        return Ok(Outcome::Read);
    }
    walk.message(span, LogEvent::default());
    Ok(Outcome::Read)
}

/// Whether `bytes` are an object that holds log events: an envelope, or a list of events.
pub(super) fn is_event_holder(bytes: &[u8], depth: usize) -> bool {
    let mut shape = Shape::default();
    let mut cursor = Cursor::new(bytes, 0);
    is_envelope(cursor.clone()) || look(&mut cursor, &mut shape, depth).is_ok() && (shape.envelope || shape.events)
}

/// Passes the object and notes what tells its kind; what was noted holds also where it is damaged further on.
fn look(cursor: &mut Cursor<'_>, shape: &mut Shape, depth: usize) -> Result<(), Fault> {
    cursor.object(|cursor, key| {
        let first = cursor.peek();
        let key = key_text(cursor.span(key));
        shape.carrier |= carried::is_carrier(&key, first);
        shape.log_event |= carried::is_beside_messages(&key);
        match key.as_ref() {
            b"eventSource" if first == Some(b'"') => shape.event_source = !carried::is_of_s3(cursor.clone()),
            b"eventName" => shape.event_name = first == Some(b'"'),
            b"_raw" => shape.raw = first == Some(b'"'),
            b"schemaType" | b"modelId" => shape.invocation = true,
            b"logEvents" => shape.envelope = true,
            b"awslogs" => shape.awslogs = first == Some(b'{'),
            b"records" | b"Records" => shape.records = first == Some(b'['),
            b"events" => shape.events = first == Some(b'['),
            b"data" | b"Data" => shape.data = first == Some(b'"'),
            b"partitionKey" | b"PartitionKey" | b"sequenceNumber" | b"SequenceNumber" | b"recordId" => {
                shape.transport = true;
            }
            b"stage" if first == Some(b'"') => shape.letter |= 1,
            b"reason" if first == Some(b'"') => shape.letter |= 2,
            b"detail" if first == Some(b'"') => shape.letter |= 4,
            b"origin" if first == Some(b'{') => shape.letter |= 8,
            _ => {}
        }
        cursor.value(depth).map(drop).map_err(Fault::from)
    })
}

/// Reads a batch: `{"Records":[…]}` of Kinesis or Lambda, `{"records":[…]}` of Firehose, `{"awslogs":{…}}` of Lambda.
fn wrapper(cursor: &mut Cursor<'_>, walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) -> Result<(), Fault> {
    let depth = walk.limits().depth;
    cursor.object(|cursor, key| {
        let key = key_text(cursor.span(key));
        match (key.as_ref(), cursor.peek()) {
            (b"records" | b"Records", Some(b'[')) => cursor.array(|cursor| record(cursor, walk, scratch, level)),
            (b"awslogs", Some(b'{')) => record(cursor, walk, scratch, level),
            _ => cursor.value(depth).map(drop).map_err(Fault::from),
        }
    })
}

/// Reads one record of a batch: its `data` or `Data`, or that of its member `kinesis`.
fn record(cursor: &mut Cursor<'_>, walk: &mut Walk<'_>, scratch: &mut Scratch, level: usize) -> Result<(), Fault> {
    let depth = walk.limits().depth;
    let mut again = cursor.clone();
    let span = cursor.value(depth)?;
    if again.peek() == Some(b'{') && data_member(&mut again, walk, scratch, level, true)? {
        return Ok(());
    }
    let span = cursor.span(span);
    if carried::is_record(span, depth) {
        walk.tally.payloads += 1;
        walk.message(span, LogEvent::default());
        return Ok(());
    }
    let fault = Fault::new(Stage::Decode, Reason::InvalidEnvelope, "a record of a batch without data");
    leaf_fault(fault, span, walk);
    Ok(())
}

/// Takes apart the base64 in an object's `data`. Gives `false`, having done nothing, if there is none that decodes
/// (and, unless it is `sure` that this is a record, holds something known).
fn data_member(
    cursor: &mut Cursor<'_>,
    walk: &mut Walk<'_>,
    scratch: &mut Scratch,
    level: usize,
    sure: bool,
) -> Result<bool, Fault> {
    let depth = walk.limits().depth;
    let mut found = false;
    cursor.object(|cursor, key| {
        let key = key_text(cursor.span(key));
        match (key.as_ref(), cursor.peek()) {
            (b"data" | b"Data", Some(b'"')) if !found => {
                found = data_string(cursor, walk, scratch, level, sure)?;
                Ok(())
            }
            (b"kinesis", Some(b'{')) if !found => {
                found = data_member(cursor, walk, scratch, level + 1, sure)?;
                Ok(())
            }
            _ => cursor.value(depth).map(drop).map_err(Fault::from),
        }
    })?;
    Ok(found)
}

fn data_string(
    cursor: &mut Cursor<'_>,
    walk: &mut Walk<'_>,
    scratch: &mut Scratch,
    level: usize,
    sure: bool,
) -> Result<bool, Fault> {
    let (mut encoded, mut decoded) = (Text::default(), scratch.take());
    let start = cursor.pos();
    let flaw = cursor.string_into(&mut encoded);
    let valid = matches!(flaw, Ok(None)) && text::decode_base64(encoded.bytes(), &mut decoded);
    drop(encoded);
    let take = valid && (sure || is_known_framing(&decoded));
    if take {
        payload(&decoded, walk, scratch, level + 1);
    } else if sure {
        let fault = Fault::new(Stage::Decode, Reason::InvalidBase64, "data: base64 that does not decode");
        leaf_fault(fault, cursor.span(start..cursor.pos()), walk);
    }
    scratch.give_back(decoded);
    flaw?;
    Ok(take || sure)
}
