//! The panther format: one JSON object a line, with the fields of `AWS.BedrockModelInvocation`, Panther's standard
//! fields (`p_*`), and what the schema does not know under `unmapped`. Bodies are copied, never rebuilt.

use jiff::Timestamp;
use jiff::tz::Offset;

use super::indicators::{Indicators, Values};
use crate::invocation::{Invocation, JsonStr, RawJson, Section, Unknown};
use crate::json::{push_hex, push_string};
use crate::pipeline::Context;
use crate::record::Origin;

/// `p_log_type`
pub const LOG_TYPE: &str = "AWS.BedrockModelInvocation";

/// `p_schema_version`: the revision of the schema that these lines follow.
pub const SCHEMA_VERSION: u32 = 1;

/// Appends the invocation as one JSON object, without a newline.
pub fn encode(invocation: &Invocation<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out, invocation.line_breaks);
    schema_fields(&mut object, invocation);
    if context.unmapped && !invocation.unknown.is_empty() {
        unmapped(&mut object, &invocation.unknown);
    }
    standard_fields(&mut object, invocation, context);
    object.end();
}

fn schema_fields(object: &mut Object<'_>, invocation: &Invocation<'_>) {
    object.string("accountId", Some(invocation.account_id));
    object.string("errorCode", invocation.error_code);
    if let Some(identity) = &invocation.identity {
        object.object("identity", |object| object.string("arn", identity.arn));
    }
    object.string("inferenceRegion", invocation.inference_region);
    if let Some(input) = &invocation.input {
        object.object("input", |object| {
            object.integer("cacheReadInputTokenCount", input.cache_read_input_token_count);
            object.integer("cacheWriteInputTokenCount", input.cache_write_input_token_count);
            object.json("inputBodyJson", input.input_body_json);
            object.string("inputContentType", input.input_content_type);
            object.integer("inputTokenCount", input.input_token_count);
        });
    }
    object.string("modelId", Some(invocation.model_id));
    object.string("operation", invocation.operation);
    if let Some(output) = &invocation.output {
        object.object("output", |object| {
            object.json("outputBodyJson", output.output_body_json);
            object.json(
                "outputVideoDurationSeconds",
                output.output_video_duration_seconds.as_ref().map(|n| RawJson(&n.0)),
            );
            object.integer("outputVideoFramesPerSecond", output.output_video_frames_per_second);
            object.integer("outputVideoHeight", output.output_video_height);
            object.string("outputVideoS3Path", output.output_video_s3_path);
            object.integer("outputVideoWidth", output.output_video_width);
            object.string("outputContentType", output.output_content_type);
            object.integer("outputTokenCount", output.output_token_count);
        });
    }
    if let Some(config) = &invocation.performance_config {
        object.object("performanceConfig", |object| object.string("latency", config.latency));
    }
    object.string("region", invocation.region);
    object.string("requestId", invocation.request_id);
    object.string("schemaType", invocation.schema_type);
    object.string("schemaVersion", invocation.schema_version);
    object.string("status", invocation.status);
    object.string("timestamp", Some(invocation.timestamp));
}

/// Writes the unknown fields where they stood: those of the record itself by their keys, those of a section in an
/// object by the section's name. No unknown key can be a section's name, so the two cannot meet.
fn unmapped(object: &mut Object<'_>, unknown: &[Unknown<'_>]) {
    const SECTIONS: [Section; 4] = [Section::Identity, Section::Input, Section::Output, Section::PerformanceConfig];
    let fields = |object: &mut Object<'_>, section: Section| {
        for field in unknown.iter().filter(|field| field.section == section) {
            object.raw_key(field.key.0);
            object.raw(field.value.0);
        }
    };
    object.object("unmapped", |object| {
        fields(object, Section::Top);
        for section in SECTIONS {
            if unknown.iter().any(|field| field.section == section) {
                object.object(section.name(), |object| fields(object, section));
            }
        }
    });
}

fn standard_fields(object: &mut Object<'_>, invocation: &Invocation<'_>, context: &Context<'_>) {
    let account_id = invocation.account_id.decode();
    let arn = invocation.identity.as_ref().and_then(|identity| identity.arn).map(JsonStr::decode);
    let indicators = Indicators::of(&account_id, arn.as_deref());
    object.list("p_any_aws_account_ids", &indicators.account_ids);
    object.list("p_any_aws_arns", &indicators.arns);
    object.list("p_any_aws_instance_ids", &indicators.instance_ids);
    object.list("p_any_emails", &indicators.emails);
    object.time("p_event_time", invocation.event_time);
    object.text("p_log_type", LOG_TYPE);
    object.time("p_parse_time", context.parse_time);
    object.key("p_row_id");
    object.out.push(b'"');
    push_hex(object.out, &invocation.row_id());
    object.out.push(b'"');
    object.integer("p_schema_version", Some(i64::from(SCHEMA_VERSION)));
    let source = match context.origin {
        Origin::Kinesis { stream, .. } => stream,
        Origin::File { path, .. } => path,
    };
    object.text("p_source_id", context.source_id.unwrap_or(source));
    object.text("p_source_label", context.source_label.unwrap_or(source));
}

/// A JSON object being appended to a buffer.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    /// Whether raw values may have line breaks between their tokens.
    line_breaks: bool,
    empty: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>, line_breaks: bool) -> Self {
        out.push(b'{');
        Self { out, line_breaks, empty: true }
    }

    fn end(self) {
        self.out.push(b'}');
    }

    /// A key that needs no escaping, or is escaped already.
    fn raw_key(&mut self, key: &str) {
        self.out.extend_from_slice(if std::mem::take(&mut self.empty) { b"\"" } else { b",\"" });
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn key(&mut self, key: &'static str) {
        self.raw_key(key);
    }

    fn string(&mut self, key: &'static str, value: Option<JsonStr<'_>>) {
        let Some(value) = value else { return };
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(value.0.as_bytes());
        self.out.push(b'"');
    }

    fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        push_string(self.out, value);
    }

    fn integer(&mut self, key: &'static str, value: Option<i64>) {
        let Some(value) = value else { return };
        self.key(key);
        push_integer(self.out, value);
    }

    fn json(&mut self, key: &'static str, value: Option<RawJson<'_>>) {
        let Some(value) = value else { return };
        self.key(key);
        self.raw(value.0);
    }

    fn raw(&mut self, value: &str) {
        push_on_one_line(self.out, value.as_bytes(), self.line_breaks);
    }

    fn object(&mut self, key: &'static str, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        let mut object = Object::begin(self.out, self.line_breaks);
        fill(&mut object);
        object.end();
    }

    fn list(&mut self, key: &'static str, values: &Values<'_>) {
        let values = values.as_slice();
        if values.is_empty() {
            return;
        }
        self.key(key);
        for (i, value) in values.iter().enumerate() {
            self.out.push(if i == 0 { b'[' } else { b',' });
            push_string(self.out, value);
        }
        self.out.push(b']');
    }

    fn time(&mut self, key: &'static str, value: Timestamp) {
        self.key(key);
        self.out.push(b'"');
        push_time(self.out, value);
        self.out.push(b'"');
    }
}

/// Appends JSON byte for byte, but for `line_breaks` between its tokens, which become spaces: a line is one event.
/// Within strings JSON has no raw line breaks.
pub(super) fn push_on_one_line(out: &mut Vec<u8>, json: &[u8], line_breaks: bool) {
    let mut from = out.len();
    out.extend_from_slice(json);
    if !line_breaks {
        return;
    }
    while let Some(at) = memchr::memchr2(b'\n', b'\r', &out[from..]) {
        out[from + at] = b' ';
        from += at + 1;
    }
}

fn push_integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a time as Panther writes it: `YYYY-MM-DD HH:MM:SS.nnnnnnnnn`, UTC.
pub(super) fn push_time(out: &mut Vec<u8>, time: Timestamp) {
    let time = Offset::UTC.to_datetime(time);
    let mut digits = |value: i32, width: u32, before: &[u8]| {
        out.extend_from_slice(before);
        for place in (0..width).rev() {
            out.push(b'0' + (value / 10_i32.pow(place) % 10) as u8);
        }
    };
    digits(i32::from(time.year()), 4, b"");
    digits(i32::from(time.month()), 2, b"-");
    digits(i32::from(time.day()), 2, b"-");
    digits(i32::from(time.hour()), 2, b" ");
    digits(i32::from(time.minute()), 2, b":");
    digits(i32::from(time.second()), 2, b":");
    digits(time.subsec_nanosecond(), 9, b".");
}

#[cfg(test)]
mod tests;
