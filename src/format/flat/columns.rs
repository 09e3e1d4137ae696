//! The columns of the flat format: said once, for the JSON Schema, for SQL and for Parquet.

use serde_json::{Map, Value, json};

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The name.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// Whether every row has it.
    pub required: bool,
    /// What it says, with its unit.
    pub meaning: &'static str,
}

/// Types of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A floating-point number of 64 bits.
    Float,
    /// True or false.
    Boolean,
    /// A point in time, UTC, as RFC 3339 with milliseconds.
    Timestamp,
    /// A day, UTC, `YYYY-MM-DD`.
    Date,
    /// A text that holds a JSON array or object.
    Json,
}

const fn column(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name, kind, required: false, meaning }
}

const fn required(name: &'static str, kind: Kind, meaning: &'static str) -> Column {
    Column { name, kind, required: true, meaning }
}

/// The columns, group by group. None ever changes its type.
pub const COLUMNS: &[Column] = &[
    // The call.
    required("event_id", Kind::Text, "The event's id, derived from its content: a redelivered event has the same one."),
    required("event_time", Kind::Timestamp, "When the call was made."),
    required("event_date", Kind::Date, "The day of event_time, to partition by."),
    required("account_id", Kind::Text, "The calling account."),
    column("region", Kind::Text, "The called Region."),
    column("inference_region", Kind::Text, "The Region that served the call."),
    column("request_id", Kind::Text, "The call's id."),
    column("operation", Kind::Text, "The API operation; an open set."),
    column("streamed", Kind::Boolean, "Whether the answer was streamed."),
    required("model_id", Kind::Text, "The model as the caller named it: an id or an ARN."),
    required("model", Kind::Text, "The model's name, without provider, date and version."),
    column("model_version", Kind::Text, "Its date and version."),
    column("provider", Kind::Text, "The model's provider, such as anthropic."),
    // The caller.
    column("identity_arn", Kind::Text, "The caller's ARN."),
    column("identity_type", Kind::Text, "assumed_role, user, root, federated_user, role or other."),
    column("identity_name", Kind::Text, "The role's or user's name, without its path."),
    column("session_name", Kind::Text, "The name of the role's session."),
    // Tokens.
    column("input_tokens", Kind::Integer, "Tokens of the prompt, without cached ones."),
    column("output_tokens", Kind::Integer, "Tokens of the answer, its reasoning included."),
    column("total_tokens", Kind::Integer, "The sum, as the answer says it; never computed."),
    column("cache_read_tokens", Kind::Integer, "Tokens read from the prompt cache."),
    column("cache_write_tokens", Kind::Integer, "Tokens written to the prompt cache."),
    column("reasoning_tokens", Kind::Integer, "Tokens of the answer that are reasoning."),
    column("total_is_off", Kind::Boolean, "True where the answer's counts do not add up to its sum."),
    // Cost.
    column("cost_usd", Kind::Float, "An estimate of what the call cost, in USD; none where no price is known."),
    column("cost_input_usd", Kind::Float, "Of it, the prompt that was not cached."),
    column("cost_output_usd", Kind::Float, "Of it, the answer."),
    column("cost_cache_read_usd", Kind::Float, "Of it, reading the prompt cache."),
    column("cost_cache_write_usd", Kind::Float, "Of it, writing the prompt cache."),
    column("cost_guardrail_usd", Kind::Float, "Of it, guardrails."),
    column("price_key", Kind::Text, "The key under which the price was found."),
    column("price_date", Kind::Date, "The price's date."),
    column("price_basis", Kind::Text, "How the price was found: override, exact, region, profile or base."),
    // The end.
    column("error_code", Kind::Text, "The exception's name if the call failed."),
    column("latency_ms", Kind::Integer, "Milliseconds to the end of the answer."),
    column("stop_reason", Kind::Text, "Why the model stopped, in the words of the Converse API, error or other."),
    column("stop_word", Kind::Text, "Why the model stopped, in its own word."),
    column("first_byte_ms", Kind::Integer, "Milliseconds to the first byte of the answer."),
    // Guardrails.
    column("guardrail_intervened", Kind::Boolean, "Whether a guardrail intervened; none where none is known of."),
    column("guardrail_action", Kind::Text, "The guardrail's action, as it came."),
    column("guardrail_id", Kind::Text, "The guardrail's id or ARN."),
    column("guardrail_version", Kind::Text, "The guardrail's version."),
    column("guardrail_policies", Kind::Json, "The policies that found something: an array of their names."),
    column("guardrail_findings", Kind::Json, "Each finding: side, policy, name, type, confidence and action."),
    // What was said.
    column("system_prompt", Kind::Text, "The system prompt."),
    column("prompt_text", Kind::Text, "All text that the caller sent, system prompt included."),
    column("answer_text", Kind::Text, "All text that the model answered, without its reasoning."),
    column("reasoning_text", Kind::Text, "The model's reasoning, as far as it is legible."),
    column("tools_offered", Kind::Json, "The tools that the model might call: an array of their names."),
    column("tools_called", Kind::Json, "The tools that the model called: an array of their names, in order."),
    column("message_count", Kind::Integer, "Messages in the request, without the system prompt."),
    column("image_count", Kind::Integer, "Images in the request."),
    column("document_count", Kind::Integer, "Documents in the request."),
    column("answer_image_count", Kind::Integer, "Images in the answer."),
    column("embedding_count", Kind::Integer, "Vectors in the answer."),
    column("embedding_dimensions", Kind::Integer, "The length of each vector."),
    column("response_id", Kind::Text, "The provider's id of the answer."),
    // The bodies.
    column("input_bytes", Kind::Integer, "Bytes of the request's body."),
    column("output_bytes", Kind::Integer, "Bytes of the answer's body."),
    column("input_content_type", Kind::Text, "The media type of the request's body."),
    column("output_content_type", Kind::Text, "The media type of the answer's body."),
    column("input_body_s3_path", Kind::Text, "Where Bedrock put the request's body, if it was too large."),
    column("output_body_s3_path", Kind::Text, "Where Bedrock put the answer's body, if it was too large."),
    column("output_video_s3_path", Kind::Text, "Where the video was put."),
    column("output_video_seconds", Kind::Float, "The video's length in seconds."),
    column("request_metadata", Kind::Json, "What the caller attached to the call: an object."),
    column("latency_class", Kind::Text, "How fast the answer was asked to be: standard or optimized."),
    // How the model was to answer.
    column("max_tokens", Kind::Integer, "Tokens of the answer at most."),
    column("temperature", Kind::Float, "Temperature."),
    column("top_p", Kind::Float, "Nucleus sampling."),
    column("top_k", Kind::Integer, "The number of candidates."),
    // What was done to it on its way, and where it came from.
    column("input_body_state", Kind::Text, "What became of the request's body in S3: fetched, or why it is missing."),
    column("output_body_state", Kind::Text, "What became of the answer's body in S3."),
    column("redacted", Kind::Json, "What was masked, by kind and count, and what stands in the place of the bodies."),
    column("findings", Kind::Json, "What detection found: an array of objects with rule and severity."),
    column("log_group", Kind::Text, "The log group."),
    column("log_stream", Kind::Text, "The log stream."),
    required("source", Kind::Text, "Where the record was read: stream, shard and sequence number, or a file."),
    required("parse_time", Kind::Timestamp, "When the record was parsed."),
];

impl Kind {
    /// The type in the SQL of Athena and Trino.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Text | Self::Json => "VARCHAR",
            Self::Integer => "BIGINT",
            Self::Float => "DOUBLE",
            Self::Boolean => "BOOLEAN",
            Self::Timestamp => "TIMESTAMP",
            Self::Date => "DATE",
        }
    }

    /// The physical and logical type in Parquet.
    pub fn parquet(self) -> &'static str {
        match self {
            Self::Text | Self::Json => "BYTE_ARRAY (STRING)",
            Self::Integer => "INT64",
            Self::Float => "DOUBLE",
            Self::Boolean => "BOOLEAN",
            Self::Timestamp => "INT64 (TIMESTAMP(MILLIS, UTC))",
            Self::Date => "INT32 (DATE)",
        }
    }

    fn json_schema(self) -> Value {
        match self {
            Self::Text => json!({ "type": "string" }),
            Self::Integer => json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX }),
            Self::Float => json!({ "type": "number" }),
            Self::Boolean => json!({ "type": "boolean" }),
            Self::Timestamp => json!({ "type": "string", "format": "date-time" }),
            Self::Date => json!({ "type": "string", "format": "date" }),
            Self::Json => json!({ "type": "string", "contentMediaType": "application/json" }),
        }
    }
}

/// The JSON Schema (2020-12) of a row; `x-sql` and `x-parquet` give each column's type there.
pub fn json_schema() -> Value {
    let properties: Map<String, Value> = COLUMNS
        .iter()
        .map(|column| {
            let mut schema = column.kind.json_schema();
            schema["description"] = json!(column.meaning);
            schema["x-sql"] = json!(column.kind.sql());
            schema["x-parquet"] = json!(column.kind.parquet());
            (column.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<_> = COLUMNS.iter().filter(|column| column.required).map(|column| column.name).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "bedrock-tap flat",
        "description": "One Amazon Bedrock model invocation as a flat row.",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false
    })
}
