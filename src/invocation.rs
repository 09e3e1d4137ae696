//! An invocation: a log event that was read as `AWS.BedrockModelInvocation`. It borrows from the log event's message;
//! bodies and unknown fields stay raw JSON.

use std::borrow::Cow;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::extract::LogEvent;

/// The content of a JSON string, still escaped as it came, without its quotes. A number or a boolean in a string's
/// place stands here as its literal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonStr<'a>(pub &'a str);

/// A JSON number, as it came where it came as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonNumber<'a>(pub Cow<'a, str>);

/// Any JSON value, validated, byte for byte as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawJson<'a>(pub &'a str);

impl<'a> JsonStr<'a> {
    /// The text with its escapes resolved; a lone surrogate becomes U+FFFD.
    pub fn decode(self) -> Cow<'a, str> {
        crate::json::unescape(self.0)
    }
}

/// The object that a field stood in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// The record itself.
    Top,
    /// `identity`
    Identity,
    /// `input`
    Input,
    /// `output`
    Output,
    /// `performanceConfig`
    PerformanceConfig,
}

impl Section {
    /// The field's name; empty for the record itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Identity => "identity",
            Self::Input => "input",
            Self::Output => "output",
            Self::PerformanceConfig => "performanceConfig",
        }
    }
}

/// A field that the schema does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// The object that it stood in.
    pub section: Section,
    /// Its key, still escaped.
    pub key: JsonStr<'a>,
    /// Its value.
    pub value: RawJson<'a>,
}

/// `identity`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Who called: an ARN.
    pub arn: Option<JsonStr<'a>>,
}

/// `input`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input<'a> {
    /// Tokens read from the prompt cache.
    pub cache_read_input_token_count: Option<i64>,
    /// Tokens written to the prompt cache.
    pub cache_write_input_token_count: Option<i64>,
    /// The request's body.
    pub input_body_json: Option<RawJson<'a>>,
    /// The body's media type.
    pub input_content_type: Option<JsonStr<'a>>,
    /// Tokens of the prompt, without cached ones.
    pub input_token_count: Option<i64>,
}

/// `output`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output<'a> {
    /// The answer's body, or the list of its stream's events.
    pub output_body_json: Option<RawJson<'a>>,
    /// Seconds of video.
    pub output_video_duration_seconds: Option<JsonNumber<'a>>,
    /// Frames per second of video.
    pub output_video_frames_per_second: Option<i64>,
    /// Pixels.
    pub output_video_height: Option<i64>,
    /// Where the video was put.
    pub output_video_s3_path: Option<JsonStr<'a>>,
    /// Pixels.
    pub output_video_width: Option<i64>,
    /// The body's media type.
    pub output_content_type: Option<JsonStr<'a>>,
    /// Tokens of the answer.
    pub output_token_count: Option<i64>,
}

/// `performanceConfig`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerformanceConfig<'a> {
    /// `standard` or `optimized`.
    pub latency: Option<JsonStr<'a>>,
}

/// One model invocation. Field by field the schema `AWS.BedrockModelInvocation`; a missing or null field is `None`.
#[derive(Clone, Debug)]
pub struct Invocation<'a> {
    /// The calling account.
    pub account_id: JsonStr<'a>,
    /// The exception's name if the call failed.
    pub error_code: Option<JsonStr<'a>>,
    /// Who called.
    pub identity: Option<Identity<'a>>,
    /// The Region that served a cross-Region call.
    pub inference_region: Option<JsonStr<'a>>,
    /// The request.
    pub input: Option<Input<'a>>,
    /// The model id, inference profile id or ARN.
    pub model_id: JsonStr<'a>,
    /// The API operation, an open set.
    pub operation: Option<JsonStr<'a>>,
    /// The answer.
    pub output: Option<Output<'a>>,
    /// Latency class.
    pub performance_config: Option<PerformanceConfig<'a>>,
    /// The called Region.
    pub region: Option<JsonStr<'a>>,
    /// The call's id.
    pub request_id: Option<JsonStr<'a>>,
    /// `ModelInvocationLog`
    pub schema_type: Option<JsonStr<'a>>,
    /// `1.0`
    pub schema_version: Option<JsonStr<'a>>,
    /// In Panther's schema; no public sample is known.
    pub status: Option<JsonStr<'a>>,
    /// When, as it came.
    pub timestamp: JsonStr<'a>,
    /// When, read.
    pub event_time: Timestamp,
    /// Whether there may be line breaks between the message's tokens.
    pub line_breaks: bool,
    /// Fields that the schema does not know, in the order in which they came.
    pub unknown: Vec<Unknown<'a>>,
    /// The log event that this was read from.
    pub event: LogEvent<'a>,
}

impl Invocation<'_> {
    /// The event's identity, the same for every redelivery and for every way that the event can come: 16 bytes of
    /// SHA-256 over what identifies the call. CloudWatch's event id is not among it where there is a request id, since
    /// the same record read from S3 has none. A record without a request id is told by its event id, and one without
    /// either by its bytes.
    pub fn row_id(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        let mut part = |part: &[u8]| {
            // Lengths keep the parts apart.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        part(self.account_id.decode().as_bytes());
        part(self.region.map(JsonStr::decode).unwrap_or_default().as_bytes());
        match (
            self.request_id.map(JsonStr::decode).filter(|id| !id.is_empty()),
            self.event.id.filter(|id| !id.is_empty()),
        ) {
            (Some(id), _) => {
                part(b"request");
                part(id.as_bytes());
                part(&self.event_time.as_nanosecond().to_le_bytes());
                part(self.operation.map(JsonStr::decode).unwrap_or_default().as_bytes());
                part(self.model_id.decode().as_bytes());
            }
            (None, Some(id)) => {
                part(b"event");
                part(id.as_bytes());
            }
            (None, None) => {
                part(b"message");
                part(self.event.message.as_bytes());
            }
        }
        let digest: [u8; 32] = hash.finalize().into();
        *digest.first_chunk().unwrap_or(&[0; 16])
    }
}
