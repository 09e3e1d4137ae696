//! Redaction: secrets are masked, or bodies taken out, before a sink sees an event.
//!
//! What Bedrock says of a call stays: ids, times, models, counts, the caller's ARN, and where bodies are in S3. Looked
//! through are the bodies, the request's metadata, and every field that the schema does not know, keys and values. The
//! record's text is changed where something is found and nowhere else, and then read again, so that every format sees
//! the same.
//!
//! Not seen is what is disguised: letters with zero-width characters or terminal sequences between them, texts in
//! URL encoding, base64 within other text, archives and images, and the bytes of tokens in lists of probabilities.

use std::ops::Range;

use crate::enrich::{Event, Marks, Redacted};
use crate::extract::LogEvent;
use crate::format::object::Object;
use crate::invocation::{Invocation, RawJson};
use crate::json::{Cursor, JsonError, MAX_DEPTH, key_text, push_hex};
use crate::parse::{self, Parsed};
use crate::schema::{FIELDS, Field, Kind};

mod detect;
mod document;
mod encoded;
mod escape;
mod hmac;
mod mask;

pub use detect::Detector;
pub(crate) use detect::own_regex;
pub use hmac::Key;

use detect::Scanner;
use document::{Edit, Sweep};

/// What becomes of bodies.
#[derive(Clone, Debug)]
pub enum Bodies {
    /// They stay, with what is found in them masked.
    Keep,
    /// They are taken out.
    Drop,
    /// In their place stand their length and a hash with this key.
    Hash(Box<Key>),
}

/// One policy of redaction.
pub struct Redactor {
    bodies: Bodies,
    scanner: Scanner,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("bodies", &self.bodies).field("kinds", &self.scanner.kinds()).finish()
    }
}

/// An event's texts after redaction; none where one is as it was.
#[derive(Default)]
struct Texts {
    message: Option<String>,
    /// A body that stands outside of the message; `null` where it was taken out.
    input: Option<String>,
    output: Option<String>,
}

impl Redactor {
    /// A policy: what becomes of bodies, which built-in detectors look through what is left, and the user's regexes by
    /// the names of their kinds.
    ///
    /// # Errors
    /// A regex that is none, or one that is too large.
    pub fn new<'p>(
        bodies: Bodies,
        detect: &[Detector],
        patterns: impl Iterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, regex::Error> {
        Ok(Self { bodies, scanner: Scanner::new(detect, patterns)? })
    }

    /// Calls `use_it` with the event as the policy leaves it.
    pub fn redact(&self, event: &Event<'_>, use_it: impl FnOnce(&Event<'_>)) {
        let mut done = Redacted::default();
        let texts = self.texts(event.invocation, &mut done);
        if matches!(&texts, Ok(Texts { message: None, input: None, output: None })) {
            return use_it(event);
        }
        let texts = texts.unwrap_or_else(|_| Texts { message: Some(String::new()), ..Texts::default() });
        let marks = |done: Redacted| Marks { redacted: Some(done), ..event.marks.clone() };
        let message = texts.message.as_deref().unwrap_or(event.invocation.event.message);
        let log_event = LogEvent { message, ..event.invocation.event };
        if let Parsed::Invocation(mut invocation) = parse::message(log_event, MAX_DEPTH)
            && self.put_outside(event.invocation, &texts, &mut invocation)
        {
            return match done.bodies {
                None => use_it(&event.with_invocation(&invocation, marks(done))),
                Some(_) => use_it(&event.without_bodies(&invocation, marks(done))),
            };
        }
        // Redacted text that cannot be read again is not trusted; the original is not shown in its place.
        done.bodies = Some("dropped");
        let message = bare_record(event.invocation);
        let bare = without_content(event.invocation, &message);
        use_it(&event.without_bodies(&bare, marks(done)));
    }

    /// What redaction makes of the texts of an invocation.
    ///
    /// # Errors
    /// The message is no JSON object, which an invocation's never is not.
    fn texts(&self, invocation: &Invocation<'_>, done: &mut Redacted) -> Result<Texts, JsonError> {
        let message = invocation.event.message;
        let mut sweep = Sweep::new(&self.scanner, message);
        self.fields(&mut sweep, &mut Cursor::new(message.as_bytes(), 0), FIELDS, done)?;
        let message = self.finish(sweep, done);
        let mut outside = |body: Option<RawJson<'_>>| {
            let Some(body) = body else { return Ok(None) };
            let mut sweep = Sweep::new(&self.scanner, body.0);
            self.body(&mut sweep, &mut Cursor::new(body.0.as_bytes(), 0), 0..0, done)?;
            Ok::<_, JsonError>(self.finish(sweep, done))
        };
        let [input, output] = outside_bodies(invocation);
        Ok(Texts { message, input: outside(input)?, output: outside(output)? })
    }

    /// The changed text, if anything was to be changed, and the counts of what was found.
    fn finish(&self, sweep: Sweep<'_, '_>, done: &mut Redacted) -> Option<String> {
        if sweep.edits.is_empty() {
            return None;
        }
        for (kind, count) in self.scanner.kinds().iter().zip(&sweep.counts).filter(|(_, count)| **count > 0) {
            *done.masked.entry(kind.clone()).or_default() += count;
        }
        Some(sweep.finish())
    }

    /// Walks a record, or an object of it, whose known fields are `fields`. A key that comes twice is looked through
    /// twice, since the record as it came shows both.
    fn fields<'t>(
        &self,
        sweep: &mut Sweep<'_, 't>,
        cursor: &mut Cursor<'t>,
        fields: &[Field],
        done: &mut Redacted,
    ) -> Result<(), JsonError> {
        cursor.object(|cursor, key| {
            let name = key_text(cursor.span(key.clone()));
            let field = fields.iter().find(|field| field.name.as_bytes() == name.as_ref());
            match field.map(|field| field.kind) {
                Some(Kind::Object(fields)) if cursor.peek() == Some(b'{') => self.fields(sweep, cursor, fields, done),
                Some(Kind::Json) => self.body(sweep, cursor, key, done),
                Some(_) => cursor.value(MAX_DEPTH).map(drop),
                None if matches!(name.as_ref(), b"inputBodyS3Path" | b"outputBodyS3Path") => {
                    cursor.value(MAX_DEPTH).map(drop)
                }
                None => {
                    sweep.key(key.clone());
                    sweep.document(cursor, key, false)
                }
            }
        })
    }

    /// Does with the body at the cursor what the policy says.
    fn body<'t>(
        &self,
        sweep: &mut Sweep<'_, 't>,
        cursor: &mut Cursor<'t>,
        key: Range<usize>,
        done: &mut Redacted,
    ) -> Result<(), JsonError> {
        if matches!(self.bodies, Bodies::Keep) {
            return sweep.document(cursor, key, true);
        }
        let range = cursor.value(MAX_DEPTH)?;
        let body = cursor.span(range.clone());
        if body == b"null" {
            return Ok(());
        }
        let (state, text) = match &self.bodies {
            Bodies::Hash(key) => ("hashed", digest(key, body)),
            // As Bedrock writes a body that it moved elsewhere.
            Bodies::Keep | Bodies::Drop => ("dropped", "null".to_owned()),
        };
        done.bodies = Some(state);
        sweep.edits.push(Edit { range, text });
        Ok(())
    }

    /// Puts the bodies that stood outside of the original's message into the invocation that was read again. Says
    /// whether they are JSON.
    fn put_outside<'b>(&self, original: &Invocation<'b>, texts: &'b Texts, invocation: &mut Invocation<'b>) -> bool {
        let [input, output] = outside_bodies(original);
        // A body of its own may have line breaks of its own.
        invocation.line_breaks |= original.line_breaks;
        let body = |original: RawJson<'b>, text: &'b Option<String>| match text.as_deref() {
            None => Ok(Some(original)),
            Some("null") => Ok(None),
            Some(text) => Cursor::new(text.as_bytes(), 0).value(MAX_DEPTH).map(|_| Some(RawJson(text))),
        };
        if let Some(input) = input {
            let Ok(body) = body(input, &texts.input) else { return false };
            invocation.input.get_or_insert_default().input_body_json = body;
        }
        if let Some(output) = output {
            let Ok(body) = body(output, &texts.output) else { return false };
            invocation.output.get_or_insert_default().output_body_json = body;
        }
        true
    }
}

/// The bodies that are no part of the message: those that were fetched.
fn outside_bodies<'b>(invocation: &Invocation<'b>) -> [Option<RawJson<'b>>; 2] {
    let message = invocation.event.message.as_bytes().as_ptr_range();
    let input = invocation.input.as_ref().and_then(|input| input.input_body_json);
    let output = invocation.output.as_ref().and_then(|output| output.output_body_json);
    [input, output].map(|body| body.filter(|body| !message.contains(&body.0.as_ptr())))
}

/// What stands in the place of a body that is hashed.
fn digest(key: &Key, body: &[u8]) -> String {
    let mut text = format!("{{\"bytes\":{},\"hmac_sha256\":\"", body.len()).into_bytes();
    push_hex(&mut text, &key.hash(body));
    text.extend_from_slice(b"\"}");
    String::from_utf8_lossy(&text).into_owned()
}

/// The invocation without bodies and without what the schema does not know.
fn without_content<'b>(original: &Invocation<'b>, message: &'b str) -> Invocation<'b> {
    let mut bare = Invocation { unknown: Vec::new(), ..original.clone() };
    bare.event.message = message;
    if let Some(input) = &mut bare.input {
        input.input_body_json = None;
    }
    if let Some(output) = &mut bare.output {
        output.output_body_json = None;
    }
    bare
}

/// A record that says which call it was, and nothing else.
fn bare_record(invocation: &Invocation<'_>) -> String {
    let mut record = Vec::new();
    let mut object = Object::begin(&mut record, false);
    object.string("timestamp", Some(invocation.timestamp));
    object.string("accountId", Some(invocation.account_id));
    object.string("region", invocation.region);
    object.string("requestId", invocation.request_id);
    object.string("operation", invocation.operation);
    object.string("modelId", Some(invocation.model_id));
    object.string("errorCode", invocation.error_code);
    object.string("schemaType", invocation.schema_type);
    object.string("schemaVersion", invocation.schema_version);
    object.end();
    String::from_utf8_lossy(&record).into_owned()
}

#[cfg(test)]
mod tests;
