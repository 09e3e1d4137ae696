//! A log event: one message of a subscription envelope, or a message that came without one. `extract` takes the
//! events out of an envelope in CloudWatch Logs' shape, one at a time, so that no envelope is held twice.

use std::borrow::Cow;

use crate::decode::{Scratch, Walk};
use crate::json::{Cursor, Flaw, JsonError, Kind, key_text, unescape};
use crate::reject::{Fault, Reason, Skip, Stage};

/// One log event.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogEvent<'a> {
    /// The message: for Bedrock, one JSON object.
    pub message: &'a str,
    /// CloudWatch Logs' id of the event, if it came in an envelope.
    pub id: Option<&'a str>,
    /// CloudWatch Logs' timestamp in milliseconds, if it came in an envelope.
    pub timestamp_millis: Option<i64>,
    /// The log group, if known.
    pub log_group: Option<&'a str>,
    /// The log stream, if known.
    pub log_stream: Option<&'a str>,
    /// The account that owns the log group, if known.
    pub owner: Option<&'a str>,
}

/// What an envelope says of all its events.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header<'a> {
    message_type: Option<Cow<'a, str>>,
    owner: Option<Cow<'a, str>>,
    log_group: Option<Cow<'a, str>>,
    log_stream: Option<Cow<'a, str>>,
    has_events: bool,
}

/// Whether a document whose first key is this one is a subscription envelope. CloudWatch Logs writes it first; envelopes
/// that begin otherwise are told by all their keys.
pub(crate) fn begins_envelope(key: &[u8]) -> bool {
    key == b"messageType"
}

/// Walks the envelope at the cursor and hands on its events. What is not in CloudWatch's shape is a fault; the events
/// before it were handed on.
pub(crate) fn envelope(cursor: &mut Cursor<'_>, walk: &mut Walk<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
    let depth = walk.limits().depth;
    let mut header = read_header(cursor.clone(), depth, true)?;
    if header.message_type.is_none() || header.log_group.is_none() {
        // The members before the events do not say enough; those behind them may.
        header = read_header(cursor.clone(), depth, false)?;
    }
    let control = header.message_type.as_deref() == Some("CONTROL_MESSAGE");
    walk.envelope(control);
    let skip = if control {
        Some(Skip::Control)
    } else {
        header.log_group.as_deref().filter(|group| !walk.takes(group)).map(|_| Skip::OtherLogGroup)
    };
    if !header.has_events {
        return Err(envelope_fault("logEvents: expected an array, found nothing"));
    }
    cursor.object(|cursor, key| {
        if key_text(cursor.span(key)).as_ref() != b"logEvents" {
            return cursor.value(depth).map(drop).map_err(Fault::from);
        }
        if cursor.peek() != Some(b'[') {
            return Err(envelope_fault(format!("logEvents: expected an array, found {}", found(cursor))));
        }
        let mut count = 0;
        cursor.array(|cursor| {
            count += 1;
            if count > walk.limits().events {
                let detail = format!("more than {} log events in one envelope", walk.limits().events);
                return Err(Fault::new(Stage::Extract, Reason::TooManyEvents, detail));
            }
            if let Some(skip) = skip {
                cursor.value(depth)?;
                walk.skip(skip, 1);
                return Ok(());
            }
            event(cursor, walk, scratch, &header)
        })
    })
}

fn found(cursor: &mut Cursor<'_>) -> &'static str {
    cursor.peek().map_or("nothing", |byte| Kind::of(byte).described())
}

fn envelope_fault(detail: impl Into<Cow<'static, str>>) -> Fault {
    Fault::new(Stage::Extract, Reason::InvalidEnvelope, detail)
}

/// Reads the members that stand beside the events; up to the events if `stop_at_events`.
fn read_header<'a>(mut cursor: Cursor<'a>, depth: usize, stop_at_events: bool) -> Result<Header<'a>, Fault> {
    /// Ends the walk early, or tells why it failed.
    struct Stop(Option<JsonError>);
    impl From<JsonError> for Stop {
        fn from(error: JsonError) -> Self {
            Self(Some(error))
        }
    }
    let mut header = Header::default();
    let walked = cursor.object(|cursor, key| {
        let key = key_text(cursor.span(key));
        let slot = match key.as_ref() {
            b"messageType" => &mut header.message_type,
            b"owner" => &mut header.owner,
            b"logGroup" => &mut header.log_group,
            b"logStream" => &mut header.log_stream,
            b"logEvents" => {
                header.has_events = true;
                if stop_at_events {
                    return Err(Stop(None));
                }
                return cursor.value(depth).map(drop).map_err(Stop::from);
            }
            _ => return cursor.value(depth).map(drop).map_err(Stop::from),
        };
        *slot = optional_text(cursor, depth)?;
        Ok(())
    });
    match walked {
        // With the events in hand, damage behind them is found, and said, once they are read.
        Err(Stop(Some(_))) if header.has_events => Ok(header),
        Err(Stop(Some(error))) => Err(error.into()),
        Ok(()) | Err(Stop(None)) => Ok(header),
    }
}

/// The text of a string, or nothing for a value of another kind.
pub(crate) fn optional_text<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Result<Option<Cow<'a, str>>, JsonError> {
    if cursor.peek() != Some(b'"') {
        return cursor.value(depth).map(|_| None);
    }
    let span = cursor.string()?;
    Ok(std::str::from_utf8(cursor.span(span)).ok().map(unescape))
}

/// Reads one element of `logEvents` and hands it on. `scratch` holds its message.
fn event(
    cursor: &mut Cursor<'_>,
    walk: &mut Walk<'_>,
    scratch: &mut Scratch,
    header: &Header<'_>,
) -> Result<(), Fault> {
    let depth = walk.limits().depth;
    if cursor.peek() != Some(b'{') {
        let kind = found(cursor);
        let span = cursor.value(depth)?;
        let fault = envelope_fault(format!("logEvents: expected objects, found {kind}"));
        walk.reject(fault, cursor.span(span), None);
        return Ok(());
    }
    let start = cursor.pos();
    let fields = read_event(cursor, scratch, depth)?;
    let event = LogEvent {
        message: "",
        id: fields.id.as_deref(),
        timestamp_millis: fields.timestamp_millis,
        log_group: header.log_group.as_deref(),
        log_stream: header.log_stream.as_deref(),
        owner: header.owner.as_deref(),
    };
    if !fields.has_message {
        let fault = envelope_fault("message: expected a string, found nothing");
        walk.reject(fault, cursor.span(start..cursor.pos()), Some(&event));
    } else if let Some(flaw) = fields.flaw {
        let fault = Fault::new(Stage::Extract, Reason::InvalidJson, flaw.described());
        walk.reject(fault, cursor.span(start..cursor.pos()), Some(&event));
    } else {
        walk.message(scratch.message.bytes(), event);
    }
    Ok(())
}

/// Reads an element of `logEvents` that stands alone and hands it on; `known` says what is known of its log group.
pub(crate) fn lone_event(
    cursor: &mut Cursor<'_>,
    walk: &mut Walk<'_>,
    scratch: &mut Scratch,
    known: &LogEvent<'_>,
) -> Result<(), Fault> {
    let header = Header {
        log_group: known.log_group.map(Cow::Borrowed),
        log_stream: known.log_stream.map(Cow::Borrowed),
        ..Header::default()
    };
    event(cursor, walk, scratch, &header)?;
    if cursor.peek().is_some() {
        return Err(JsonError::new(cursor.pos(), "expected the end after the object").into());
    }
    Ok(())
}

#[derive(Default)]
struct EventFields<'a> {
    id: Option<Cow<'a, str>>,
    timestamp_millis: Option<i64>,
    has_message: bool,
    flaw: Option<Flaw>,
}

fn read_event<'a>(cursor: &mut Cursor<'a>, scratch: &mut Scratch, depth: usize) -> Result<EventFields<'a>, Fault> {
    let mut fields = EventFields::default();
    scratch.message.clear();
    cursor.object(|cursor, key| {
        let key = key_text(cursor.span(key));
        match key.as_ref() {
            // `eventId` is how FilterLogEvents spells it.
            b"id" | b"eventId" => fields.id = scalar_text(cursor, depth)?,
            b"timestamp" => {
                fields.timestamp_millis = scalar_text(cursor, depth)?.and_then(|text| text.parse().ok());
            }
            b"message" => {
                fields.flaw = None;
                match cursor.peek() {
                    Some(b'"') => {
                        fields.flaw = cursor.string_into(&mut scratch.message)?;
                        fields.has_message = true;
                    }
                    // A relay may have parsed the message; what it holds is the same record.
                    Some(b'{') => {
                        let span = cursor.value(depth)?;
                        scratch.message.copy(cursor.span(span));
                        fields.has_message = true;
                    }
                    _ => {
                        cursor.value(depth)?;
                        fields.has_message = false;
                    }
                }
            }
            _ => {
                cursor.value(depth)?;
            }
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(fields)
}

/// The text of a string or the literal of a number; nothing for other kinds.
pub(crate) fn scalar_text<'a>(cursor: &mut Cursor<'a>, depth: usize) -> Result<Option<Cow<'a, str>>, JsonError> {
    match cursor.peek() {
        Some(b'-' | b'0'..=b'9') => {
            let span = cursor.value(depth)?;
            Ok(std::str::from_utf8(cursor.span(span)).ok().map(Cow::Borrowed))
        }
        _ => optional_text(cursor, depth),
    }
}

/// Walks an answer of FilterLogEvents or GetLogEvents at the cursor: events with their own ids and no log group.
pub(crate) fn event_list(cursor: &mut Cursor<'_>, walk: &mut Walk<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
    let depth = walk.limits().depth;
    cursor.object(|cursor, key| {
        if key_text(cursor.span(key)).as_ref() != b"events" || cursor.peek() != Some(b'[') {
            return cursor.value(depth).map(drop).map_err(Fault::from);
        }
        cursor.array(|cursor| event(cursor, walk, scratch, &Header::default()))
    })
}
