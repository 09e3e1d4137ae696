//! The panther format: one JSON object a line, with the fields of `AWS.BedrockModelInvocation`, Panther's standard
//! fields (`p_*`), and what the schema does not know under `unmapped`. Bodies are copied, never rebuilt.

use jiff::Timestamp;
use jiff::tz::Offset;

use super::indicators::Indicators;
use super::object::Object;
use crate::enrich::Event;
use crate::invocation::{JsonStr, RawJson, Section, Unknown};
use crate::pipeline::Context;

/// `p_log_type`
pub const LOG_TYPE: &str = "AWS.BedrockModelInvocation";

/// `p_schema_version`: the revision of the schema that these lines follow.
pub const SCHEMA_VERSION: u32 = 1;

/// Appends the invocation as one JSON object, without a newline.
pub fn encode(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let invocation = event.invocation;
    let mut object = Object::begin(out, invocation.line_breaks);
    schema_fields(&mut object, invocation);
    if context.unmapped && !invocation.unknown.is_empty() {
        unmapped(&mut object, &invocation.unknown);
    }
    standard_fields(&mut object, event, context);
    event.marks.write(&mut object);
    object.end();
}

fn schema_fields(object: &mut Object<'_>, invocation: &crate::invocation::Invocation<'_>) {
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

fn standard_fields(object: &mut Object<'_>, event: &Event<'_>, context: &Context<'_>) {
    let invocation = event.invocation;
    let account_id = invocation.account_id.decode();
    let arn = invocation.identity.as_ref().and_then(|identity| identity.arn).map(JsonStr::decode);
    let indicators = Indicators::of(&account_id, arn.as_deref());
    object.list("p_any_aws_account_ids", indicators.account_ids.as_slice());
    object.list("p_any_aws_arns", indicators.arns.as_slice());
    object.list("p_any_aws_instance_ids", indicators.instance_ids.as_slice());
    object.list("p_any_emails", indicators.emails.as_slice());
    object.quoted("p_event_time", |out| push_time(out, invocation.event_time));
    object.text("p_log_type", LOG_TYPE);
    object.quoted("p_parse_time", |out| push_time(out, context.parse_time));
    object.hex("p_row_id", &event.row_id());
    object.integer("p_schema_version", Some(i64::from(SCHEMA_VERSION)));
    let source = context.origin.name();
    object.text("p_source_id", context.source_id.unwrap_or(source));
    object.text("p_source_label", context.source_label.unwrap_or(source));
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
