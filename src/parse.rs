//! Parsing: from a log event's message to an invocation of the schema `AWS.BedrockModelInvocation`.
//!
//! The value rules are Panther's: numbers may come as text, text may come as numbers, null is absent, and a value of
//! the wrong kind fails its event. Bodies and unknown fields are validated and kept as they came.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::decode::is_notice;
use crate::extract::LogEvent;
use crate::invocation::{
    Identity, Input, Invocation, JsonNumber, JsonStr, Output, PerformanceConfig, RawJson, Section, Unknown,
};
use crate::json::{Cursor, JsonError, Kind, key_text, unescape};
use crate::reject::{Fault, Reason, Skip, Stage};

mod number;
mod timestamp;

use number::{finite_number, whole_number};
pub use timestamp::parse_timestamp;

/// What a message is.
#[derive(Debug)]
pub enum Parsed<'a> {
    /// An invocation.
    Invocation(Box<Invocation<'a>>),
    /// No invocation, and nothing to worry about.
    Skip(Skip),
    /// An invocation, as far as can be told, that does not fit its schema.
    Fault(Fault),
}

/// Reads the message of `event`. `depth` is how deep its JSON may be nested.
pub fn message(event: LogEvent<'_>, depth: usize) -> Parsed<'_> {
    let mut cursor = Cursor::new(event.message.as_bytes(), 0);
    if cursor.peek() != Some(b'{') {
        let notice = is_notice(event.message.as_bytes());
        return Parsed::Skip(if notice { Skip::Notice } else { Skip::NotInvocation });
    }
    let mut draft = Draft::new(event.message, depth);
    if let Err(error) = draft.read(&mut cursor) {
        return Parsed::Fault(Fault { stage: Stage::Parse, ..error.into() });
    }
    if cursor.peek().is_some() {
        let error = JsonError::new(cursor.pos(), "expected the end after the object");
        return Parsed::Fault(Fault { stage: Stage::Parse, ..error.into() });
    }
    if !draft.is_invocation() {
        return Parsed::Skip(Skip::NotInvocation);
    }
    match draft.finish(event, cursor.line_breaks()) {
        Ok(invocation) => Parsed::Invocation(Box::new(invocation)),
        Err(fault) => Parsed::Fault(fault),
    }
}

/// A record as far as it was read. The first value of the wrong kind is kept until it is known whether the record is
/// an invocation at all: other logs may use the same names for other things.
struct Draft<'a> {
    text: &'a str,
    depth: usize,
    fault: Option<Fault>,
    account_id: Option<JsonStr<'a>>,
    error_code: Option<JsonStr<'a>>,
    identity: Option<Identity<'a>>,
    inference_region: Option<JsonStr<'a>>,
    input: Option<Input<'a>>,
    model_id: Option<JsonStr<'a>>,
    operation: Option<JsonStr<'a>>,
    output: Option<Output<'a>>,
    performance_config: Option<PerformanceConfig<'a>>,
    region: Option<JsonStr<'a>>,
    request_id: Option<JsonStr<'a>>,
    schema_type: Option<JsonStr<'a>>,
    schema_version: Option<JsonStr<'a>>,
    status: Option<JsonStr<'a>>,
    timestamp: Option<JsonStr<'a>>,
    /// Fields that tell an invocation where `schemaType` is missing, seen with any value.
    saw_model: bool,
    saw_bodies: u8,
    unknown: Vec<Unknown<'a>>,
}

impl<'a> Draft<'a> {
    fn new(text: &'a str, depth: usize) -> Self {
        Self {
            text,
            depth,
            fault: None,
            account_id: None,
            error_code: None,
            identity: None,
            inference_region: None,
            input: None,
            model_id: None,
            operation: None,
            output: None,
            performance_config: None,
            region: None,
            request_id: None,
            schema_type: None,
            schema_version: None,
            status: None,
            timestamp: None,
            saw_model: false,
            saw_bodies: 0,
            unknown: Vec::new(),
        }
    }

    fn read(&mut self, cursor: &mut Cursor<'a>) -> Result<(), JsonError> {
        cursor.object(|cursor, key| {
            let name = key_text(cursor.span(key.clone()));
            match name.as_ref() {
                b"accountId" => self.account_id = self.string(cursor, "accountId")?,
                b"errorCode" => self.error_code = self.string(cursor, "errorCode")?,
                b"identity" => self.identity = self.identity(cursor)?,
                b"inferenceRegion" => self.inference_region = self.string(cursor, "inferenceRegion")?,
                b"input" => {
                    self.saw_bodies |= 1;
                    self.input = self.input(cursor)?;
                }
                b"modelId" => {
                    self.saw_model = true;
                    self.model_id = self.string(cursor, "modelId")?;
                }
                b"operation" => self.operation = self.string(cursor, "operation")?,
                b"output" => {
                    self.saw_bodies |= 2;
                    self.output = self.output(cursor)?;
                }
                b"performanceConfig" => self.performance_config = self.performance_config(cursor)?,
                b"region" => self.region = self.string(cursor, "region")?,
                b"requestId" => self.request_id = self.string(cursor, "requestId")?,
                b"schemaType" => self.schema_type = self.string(cursor, "schemaType")?,
                b"schemaVersion" => self.schema_version = self.string(cursor, "schemaVersion")?,
                b"status" => self.status = self.string(cursor, "status")?,
                b"timestamp" => self.timestamp = self.timestamp(cursor)?,
                _ => self.unknown(cursor, Section::Top, key)?,
            }
            Ok(())
        })
    }

    fn identity(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<Identity<'a>>, JsonError> {
        let mut identity = Identity::default();
        let read = self.section(cursor, Section::Identity, |draft, cursor, name, _| {
            match name {
                b"arn" => identity.arn = draft.string(cursor, "identity.arn")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(read.then_some(identity))
    }

    fn input(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<Input<'a>>, JsonError> {
        let mut input = Input::default();
        let read = self.section(cursor, Section::Input, |draft, cursor, name, _| {
            match name {
                b"cacheReadInputTokenCount" => {
                    input.cache_read_input_token_count = draft.integer(cursor, "input.cacheReadInputTokenCount")?;
                }
                b"cacheWriteInputTokenCount" => {
                    input.cache_write_input_token_count = draft.integer(cursor, "input.cacheWriteInputTokenCount")?;
                }
                b"inputBodyJson" => input.input_body_json = draft.json(cursor)?,
                b"inputContentType" => input.input_content_type = draft.string(cursor, "input.inputContentType")?,
                b"inputTokenCount" => input.input_token_count = draft.integer(cursor, "input.inputTokenCount")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(read.then_some(input))
    }

    fn output(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<Output<'a>>, JsonError> {
        let mut output = Output::default();
        let read = self.section(cursor, Section::Output, |draft, cursor, name, _| {
            match name {
                b"outputBodyJson" => output.output_body_json = draft.json(cursor)?,
                b"outputVideoDurationSeconds" => {
                    output.output_video_duration_seconds = draft.float(cursor, "output.outputVideoDurationSeconds")?;
                }
                b"outputVideoFramesPerSecond" => {
                    output.output_video_frames_per_second =
                        draft.integer(cursor, "output.outputVideoFramesPerSecond")?;
                }
                b"outputVideoHeight" => {
                    output.output_video_height = draft.integer(cursor, "output.outputVideoHeight")?;
                }
                b"outputVideoS3Path" => {
                    output.output_video_s3_path = draft.string(cursor, "output.outputVideoS3Path")?;
                }
                b"outputVideoWidth" => output.output_video_width = draft.integer(cursor, "output.outputVideoWidth")?,
                b"outputContentType" => {
                    output.output_content_type = draft.string(cursor, "output.outputContentType")?;
                }
                b"outputTokenCount" => output.output_token_count = draft.integer(cursor, "output.outputTokenCount")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(read.then_some(output))
    }

    fn performance_config(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<PerformanceConfig<'a>>, JsonError> {
        let mut config = PerformanceConfig::default();
        let read = self.section(cursor, Section::PerformanceConfig, |draft, cursor, name, _| {
            match name {
                b"latency" => config.latency = draft.string(cursor, "performanceConfig.latency")?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(read.then_some(config))
    }

    /// Walks the object of a section. `field` reads what it knows and says whether it did; the rest is kept. Gives
    /// `false` for null and, with a fault noted, for what is no object.
    fn section(
        &mut self,
        cursor: &mut Cursor<'a>,
        section: Section,
        mut field: impl FnMut(&mut Self, &mut Cursor<'a>, &[u8], Section) -> Result<bool, JsonError>,
    ) -> Result<bool, JsonError> {
        // Of a key that comes twice the last one counts, with all that it holds.
        self.unknown.retain(|unknown| unknown.section != section);
        if cursor.peek() != Some(b'{') {
            let kind = self.kind(cursor);
            cursor.value(self.depth.saturating_sub(1))?;
            if kind != Kind::Null {
                self.wrong_type(section.name(), "an object", kind);
            }
            return Ok(false);
        }
        cursor.object(|cursor, key| {
            let name = key_text(cursor.span(key.clone()));
            if field(self, cursor, name.as_ref(), section)? {
                return Ok(());
            }
            self.unknown(cursor, section, key)
        })?;
        Ok(true)
    }

    fn kind(&self, cursor: &mut Cursor<'a>) -> Kind {
        cursor.peek().map_or(Kind::Null, Kind::of)
    }

    /// Passes a value and gives its text; the first byte tells its kind.
    fn value(&mut self, cursor: &mut Cursor<'a>) -> Result<&'a str, JsonError> {
        // The record is one level of nesting, and so may a section be.
        let span = cursor.value(self.depth.saturating_sub(2))?;
        Ok(self.text.get(span).unwrap_or_default())
    }

    fn unknown(
        &mut self,
        cursor: &mut Cursor<'a>,
        section: Section,
        key: std::ops::Range<usize>,
    ) -> Result<(), JsonError> {
        let value = RawJson(self.value(cursor)?);
        let key = JsonStr(self.text.get(key).unwrap_or_default());
        self.unknown.push(Unknown { section, key, value });
        Ok(())
    }

    /// A string, boolean or number, as text.
    fn string(&mut self, cursor: &mut Cursor<'a>, field: &'static str) -> Result<Option<JsonStr<'a>>, JsonError> {
        let kind = self.kind(cursor);
        let value = self.value(cursor)?;
        Ok(match kind {
            Kind::String => Some(JsonStr(content(value))),
            Kind::Bool | Kind::Number => Some(JsonStr(value)),
            Kind::Null => None,
            Kind::Array | Kind::Object => {
                self.wrong_type(field, "a string, a number or a boolean", kind);
                None
            }
        })
    }

    /// Any value but null.
    fn json(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<RawJson<'a>>, JsonError> {
        let value = self.value(cursor)?;
        Ok((value != "null").then_some(RawJson(value)))
    }

    /// A whole number, or text that is one; the empty text is absent.
    fn integer(&mut self, cursor: &mut Cursor<'a>, field: &'static str) -> Result<Option<i64>, JsonError> {
        const EXPECTED: &str = "a whole number or the text of one";
        let Some(text) = self.number_text(cursor, field, EXPECTED)? else { return Ok(None) };
        let number = whole_number(&text);
        if number.is_none() {
            let detail = format!("{field}: expected {EXPECTED} from -2^63 to 2^63-1, found another");
            self.note(Fault::new(Stage::Parse, Reason::InvalidNumber, detail));
        }
        Ok(number)
    }

    /// A number, or text that is one; the empty text is absent.
    fn float(&mut self, cursor: &mut Cursor<'a>, field: &'static str) -> Result<Option<JsonNumber<'a>>, JsonError> {
        const EXPECTED: &str = "a number or the text of one";
        let Some(text) = self.number_text(cursor, field, EXPECTED)? else { return Ok(None) };
        let number = finite_number(text);
        if number.is_none() {
            let detail = format!("{field}: expected {EXPECTED}, found another");
            self.note(Fault::new(Stage::Parse, Reason::InvalidNumber, detail));
        }
        Ok(number)
    }

    /// The text of a number or of a string that should hold one.
    fn number_text(
        &mut self,
        cursor: &mut Cursor<'a>,
        field: &'static str,
        expected: &'static str,
    ) -> Result<Option<Cow<'a, str>>, JsonError> {
        let kind = self.kind(cursor);
        let value = self.value(cursor)?;
        Ok(match kind {
            Kind::Number => Some(Cow::Borrowed(value)),
            Kind::String => Some(unescape(content(value))).filter(|text| !text.is_empty()),
            Kind::Null => None,
            _ => {
                self.wrong_type(field, expected, kind);
                None
            }
        })
    }

    fn timestamp(&mut self, cursor: &mut Cursor<'a>) -> Result<Option<JsonStr<'a>>, JsonError> {
        let kind = self.kind(cursor);
        let value = self.value(cursor)?;
        match kind {
            Kind::String => return Ok(Some(JsonStr(content(value))).filter(|text| !text.0.is_empty())),
            Kind::Null => {}
            _ => self.wrong_type("timestamp", "a string in RFC 3339", kind),
        }
        Ok(None)
    }

    fn wrong_type(&mut self, field: &str, expected: &str, found: Kind) {
        let detail = format!("{field}: expected {expected}, found {}", found.described());
        self.note(Fault::new(Stage::Parse, Reason::WrongType, detail));
    }

    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// Whether the record says that it is an invocation, or, where it says nothing, looks like one.
    fn is_invocation(&self) -> bool {
        match self.schema_type {
            Some(kind) => kind.decode() == "ModelInvocationLog",
            None => self.saw_model || (self.saw_bodies == 3 && self.request_id.is_some()),
        }
    }

    fn finish(mut self, event: LogEvent<'a>, line_breaks: bool) -> Result<Invocation<'a>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        settle(&mut self.unknown);
        let required = |value: Option<JsonStr<'a>>, field: &str| {
            let detail = || format!("{field}: required, found nothing");
            value.ok_or_else(|| Fault::new(Stage::Parse, Reason::MissingField, detail()))
        };
        let timestamp = required(self.timestamp, "timestamp")?;
        let event_time = parse_timestamp(&timestamp.decode()).ok_or_else(|| {
            let detail = "timestamp: expected RFC 3339, found other text";
            Fault::new(Stage::Parse, Reason::InvalidTimestamp, detail)
        })?;
        Ok(Invocation {
            account_id: required(self.account_id, "accountId")?,
            error_code: self.error_code,
            identity: self.identity,
            inference_region: self.inference_region,
            input: self.input,
            model_id: required(self.model_id, "modelId")?,
            operation: self.operation,
            output: self.output,
            performance_config: self.performance_config,
            region: self.region,
            request_id: self.request_id,
            schema_type: self.schema_type,
            schema_version: self.schema_version,
            status: self.status,
            timestamp,
            event_time,
            line_breaks,
            unknown: self.unknown,
            event,
        })
    }
}

/// The content of a string's text, without its quotes.
fn content(string: &str) -> &str {
    string.get(1..string.len().saturating_sub(1)).unwrap_or_default()
}

/// Leaves out nulls, and of a key that comes several times in one object all but the last.
fn settle(unknown: &mut Vec<Unknown<'_>>) {
    if unknown.len() > 1 {
        let mut seen = HashSet::with_capacity(unknown.len());
        unknown.reverse();
        unknown.retain(|field| seen.insert((field.section, key_text(field.key.0.as_bytes()))));
        unknown.reverse();
    }
    unknown.retain(|field| field.value.0 != "null");
}

#[cfg(test)]
mod tests;
