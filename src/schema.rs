//! The schema `AWS.BedrockModelInvocation` as data, and its renderings: Panther's YAML, and the JSON Schema of a line of
//! the `panther` format.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::detect::Severity;

/// The schema's name: `p_log_type`.
pub const NAME: &str = "AWS.BedrockModelInvocation";
const DESCRIPTION: &str = "Amazon Bedrock Model Invocation Logs";
const REFERENCE_URL: &str = "https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html";

/// A field of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The key, as Bedrock writes it.
    pub name: &'static str,
    /// The values that it takes.
    pub kind: Kind,
    /// Whether an event without it is refused.
    pub required: bool,
    /// What its value indicates, beside what it says.
    pub indicator: Option<&'static str>,
    /// What it says.
    pub meaning: &'static str,
}

/// The values that a field takes, by Panther's names.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A text.
    String,
    /// A whole number of 64 bits.
    BigInt,
    /// A number.
    Float,
    /// Any JSON value, byte for byte as it came.
    Json,
    /// A point in time, as RFC 3339.
    Timestamp,
    /// An object of fields.
    Object(&'static [Field]),
}

const fn field(name: &'static str, kind: Kind, meaning: &'static str) -> Field {
    Field { name, kind, required: false, indicator: None, meaning }
}

const fn indicator(name: &'static str, indicator: &'static str, meaning: &'static str) -> Field {
    Field { indicator: Some(indicator), ..field(name, Kind::String, meaning) }
}

const fn required(field: Field) -> Field {
    Field { required: true, ..field }
}

/// The fields of an event, in the schema's order.
pub const FIELDS: &[Field] = &[
    required(indicator("accountId", "aws_account_id", "The calling account.")),
    field("errorCode", Kind::String, "The exception's name if the call failed."),
    field("identity", Kind::Object(&[indicator("arn", "aws_arn", "The caller's ARN.")]), "Who called."),
    field("inferenceRegion", Kind::String, "The Region that served a cross-Region call."),
    field(
        "input",
        Kind::Object(&[
            field("cacheReadInputTokenCount", Kind::BigInt, "Tokens read from the prompt cache."),
            field("cacheWriteInputTokenCount", Kind::BigInt, "Tokens written to the prompt cache."),
            field("inputBodyJson", Kind::Json, "The request's body, as it came."),
            field("inputContentType", Kind::String, "The body's media type."),
            field("inputTokenCount", Kind::BigInt, "Tokens of the prompt, without cached ones."),
        ]),
        "The request.",
    ),
    required(field("modelId", Kind::String, "The model's id or ARN, or the inference profile's.")),
    field("operation", Kind::String, "The API operation; an open set."),
    field(
        "output",
        Kind::Object(&[
            field("outputBodyJson", Kind::Json, "The answer's body, or the list of its stream's events, as it came."),
            field("outputVideoDurationSeconds", Kind::Float, "The video's length in seconds."),
            field("outputVideoFramesPerSecond", Kind::BigInt, "The video's frames per second."),
            field("outputVideoHeight", Kind::BigInt, "The video's height in pixels."),
            field("outputVideoS3Path", Kind::String, "Where the video was put."),
            field("outputVideoWidth", Kind::BigInt, "The video's width in pixels."),
            field("outputContentType", Kind::String, "The body's media type."),
            field("outputTokenCount", Kind::BigInt, "Tokens of the answer."),
        ]),
        "The answer.",
    ),
    field(
        "performanceConfig",
        Kind::Object(&[field("latency", Kind::String, "The latency class: `standard` or `optimized`.")]),
        "How fast the answer was asked to be.",
    ),
    field("region", Kind::String, "The called Region."),
    field("requestId", Kind::String, "The call's id."),
    field("schemaType", Kind::String, "`ModelInvocationLog`"),
    field("schemaVersion", Kind::String, "`1.0`"),
    field("status", Kind::String, "The status."),
    required(field("timestamp", Kind::Timestamp, "When the call was made, as it came.")),
];

/// The schema as Panther writes it.
pub fn panther_yaml() -> String {
    let mut yaml = format!("schema: {NAME}\ndescription: {DESCRIPTION}\nreferenceURL: {REFERENCE_URL}\nfields:\n");
    for field in FIELDS {
        write_field(field, 4, &mut yaml);
    }
    yaml
}

fn write_field(field: &Field, indent: usize, yaml: &mut String) {
    let pad = " ".repeat(indent + 2);
    // Writing to a string cannot fail.
    let _ = writeln!(yaml, "{:indent$}- name: {}", "", field.name);
    if field.required {
        let _ = writeln!(yaml, "{pad}required: true");
    }
    let _ = writeln!(yaml, "{pad}type: {}", field.kind.panther_name());
    if let Some(indicator) = field.indicator {
        let _ = writeln!(yaml, "{pad}indicators:\n{pad}  - {indicator}");
    }
    match field.kind {
        Kind::Object(fields) => {
            let _ = writeln!(yaml, "{pad}fields:");
            for field in fields {
                write_field(field, indent + 4, yaml);
            }
        }
        Kind::Timestamp => {
            let _ = writeln!(yaml, "{pad}timeFormats:\n{pad}  - rfc3339\n{pad}isEventTime: true");
        }
        _ => {}
    }
}

impl Kind {
    fn panther_name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::BigInt => "bigint",
            Self::Float => "float",
            Self::Json => "json",
            Self::Timestamp => "timestamp",
            Self::Object(_) => "object",
        }
    }

    /// The JSON Schema of the values that we write.
    fn json_schema(self) -> Value {
        match self {
            Self::String | Self::Timestamp => json!({ "type": "string" }),
            Self::BigInt => json!({ "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX }),
            Self::Float => json!({ "type": "number" }),
            Self::Json => json!({}),
            Self::Object(fields) => object(fields),
        }
    }
}

fn object(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut schema = field.kind.json_schema();
        schema["description"] = json!(field.meaning);
        properties.insert(field.name.into(), schema);
    }
    let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The JSON Schema (2020-12) of a line of the `panther` format: the schema's fields without nulls, Panther's standard
/// fields, the fields that the schema does not know, and what was done to the event.
pub fn json_schema() -> Value {
    let mut schema = object(FIELDS);
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.extend(standard_fields());
        properties.insert("unmapped".into(), unmapped());
        properties.insert("bedrock_tap".into(), marks());
    }
    if let Some(required) = schema["required"].as_array_mut() {
        required.extend(STANDARD_REQUIRED.map(Value::from));
    }
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(NAME);
    schema["description"] = json!(DESCRIPTION);
    schema
}

/// The standard fields that every line has.
const STANDARD_REQUIRED: [&str; 5] = ["p_log_type", "p_event_time", "p_parse_time", "p_row_id", "p_schema_version"];

fn standard_fields() -> Map<String, Value> {
    let time = |meaning: &str| {
        json!({
            "type": "string",
            "pattern": r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{9}$",
            "description": format!("{meaning} UTC, `YYYY-MM-DD HH:MM:SS.nnnnnnnnn`.")
        })
    };
    let text = |meaning: &str| json!({ "type": "string", "minLength": 1, "description": meaning });
    let set = |items: Value, meaning: &str| {
        let description = format!("{meaning} Sorted, without duplicates; omitted where there is none.");
        json!({ "type": "array", "items": items, "minItems": 1, "uniqueItems": true, "description": description })
    };
    let account = json!({ "type": "string", "pattern": r"^\d{12}$" });
    let arn = json!({ "type": "string", "pattern": "^arn:" });
    let instance = json!({ "type": "string", "pattern": "^i-" });
    let email = json!({ "type": "string", "pattern": "@" });
    let fields = [
        ("p_log_type", json!({ "const": NAME, "description": "The schema's name." })),
        ("p_event_time", time("When the call was made.")),
        ("p_parse_time", time("When the record was parsed.")),
        ("p_row_id", text("The event's id, derived from its content: a redelivered event has the same one.")),
        ("p_schema_version", json!({ "type": "integer", "minimum": 0, "description": "The schema's version." })),
        ("p_source_id", text("The log source's id, as configured.")),
        ("p_source_label", text("The log source's name, as configured.")),
        ("p_any_aws_account_ids", set(account, "AWS accounts that the event names.")),
        ("p_any_aws_arns", set(arn, "ARNs that the event names.")),
        ("p_any_aws_instance_ids", set(instance, "EC2 instances that the event names.")),
        ("p_any_emails", set(email, "E-mail addresses that the event names.")),
    ];
    fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// The fields that the schema does not know: those of the record by their key, those of its objects one level down.
fn unmapped() -> Value {
    let objects = FIELDS.iter().filter(|field| matches!(field.kind, Kind::Object(_)));
    let properties: Map<String, Value> = objects
        .map(|field| {
            let description = format!("Fields of `{}` that the schema does not know.", field.name);
            (field.name.to_owned(), json!({ "type": "object", "minProperties": 1, "description": description }))
        })
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": true,
        "minProperties": 1,
        "description": "Fields that the schema does not know, as they came; omitted where there is none."
    })
}

/// What was done to an event on its way: what became of bodies in S3, what redaction did, and what was found.
fn marks() -> Value {
    let text = |meaning: &str| json!({ "type": "string", "description": meaning });
    let masked = json!({
        "type": "object",
        "additionalProperties": { "type": "integer", "minimum": 1 },
        "minProperties": 1,
        "description": "Secrets that were masked, by kind."
    });
    let names = Severity::ALL.map(Severity::as_str);
    let findings = json!({
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "rule": text("The rule's id."),
                "severity": { "type": "string", "enum": names, "description": "How bad it is." }
            },
            "required": ["rule", "severity"],
            "additionalProperties": false
        },
        "minItems": 1,
        "description": "What detection found."
    });
    json!({
        "type": "object",
        "properties": {
            "input_body": text("What became of the request's body in S3: `fetched`, or why it is missing."),
            "output_body": text("What became of the answer's body in S3."),
            "redacted": {
                "type": "object",
                "properties": { "bodies": text("What was done to the bodies: `dropped` or `hashed`."), "masked": masked },
                "additionalProperties": false,
                "description": "What redaction did."
            },
            "findings": findings
        },
        "additionalProperties": false,
        "minProperties": 1,
        "description": "What bedrock-tap did to the event; omitted where it did nothing."
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The schema as Panther publishes it.
    const PUBLISHED: &str = "\
schema: AWS.BedrockModelInvocation
description: Amazon Bedrock Model Invocation Logs
referenceURL: https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html
fields:
    - name: accountId
      required: true
      type: string
      indicators:
        - aws_account_id
    - name: errorCode
      type: string
    - name: identity
      type: object
      fields:
        - name: arn
          type: string
          indicators:
            - aws_arn
    - name: inferenceRegion
      type: string
    - name: input
      type: object
      fields:
        - name: cacheReadInputTokenCount
          type: bigint
        - name: cacheWriteInputTokenCount
          type: bigint
        - name: inputBodyJson
          type: json
        - name: inputContentType
          type: string
        - name: inputTokenCount
          type: bigint
    - name: modelId
      required: true
      type: string
    - name: operation
      type: string
    - name: output
      type: object
      fields:
        - name: outputBodyJson
          type: json
        - name: outputVideoDurationSeconds
          type: float
        - name: outputVideoFramesPerSecond
          type: bigint
        - name: outputVideoHeight
          type: bigint
        - name: outputVideoS3Path
          type: string
        - name: outputVideoWidth
          type: bigint
        - name: outputContentType
          type: string
        - name: outputTokenCount
          type: bigint
    - name: performanceConfig
      type: object
      fields:
        - name: latency
          type: string
    - name: region
      type: string
    - name: requestId
      type: string
    - name: schemaType
      type: string
    - name: schemaVersion
      type: string
    - name: status
      type: string
    - name: timestamp
      required: true
      type: timestamp
      timeFormats:
        - rfc3339
      isEventTime: true
";

    #[test]
    fn the_yaml_is_the_published_one() {
        assert_eq!(panther_yaml(), PUBLISHED);
    }

    /// The keys of an object of the JSON Schema at `pointer`, each with its type.
    fn keys(pointer: &str) -> Vec<String> {
        let schema = json_schema();
        let object = schema.pointer(pointer).unwrap().as_object().unwrap();
        object.iter().map(|(key, value)| format!("{key}: {}", value["type"].as_str().unwrap_or("any"))).collect()
    }

    #[test]
    fn the_json_schema_has_the_fields_the_standard_fields_and_unmapped() {
        let expected = [
            "accountId: string",
            "bedrock_tap: object",
            "errorCode: string",
            "identity: object",
            "inferenceRegion: string",
            "input: object",
            "modelId: string",
            "operation: string",
            "output: object",
            "p_any_aws_account_ids: array",
            "p_any_aws_arns: array",
            "p_any_aws_instance_ids: array",
            "p_any_emails: array",
            "p_event_time: string",
            "p_log_type: any",
            "p_parse_time: string",
            "p_row_id: string",
            "p_schema_version: integer",
            "p_source_id: string",
            "p_source_label: string",
            "performanceConfig: object",
            "region: string",
            "requestId: string",
            "schemaType: string",
            "schemaVersion: string",
            "status: string",
            "timestamp: string",
            "unmapped: object",
        ];
        assert_eq!(keys("/properties"), expected);
        let input = [
            "cacheReadInputTokenCount: integer",
            "cacheWriteInputTokenCount: integer",
            "inputBodyJson: any",
            "inputContentType: string",
            "inputTokenCount: integer",
        ];
        assert_eq!(keys("/properties/input/properties"), input);
        let unmapped = ["identity: object", "input: object", "output: object", "performanceConfig: object"];
        assert_eq!(keys("/properties/unmapped/properties"), unmapped);
    }

    #[test]
    fn the_json_schema_requires_what_every_line_has() {
        let expected = json!([
            "accountId",
            "modelId",
            "timestamp",
            "p_log_type",
            "p_event_time",
            "p_parse_time",
            "p_row_id",
            "p_schema_version"
        ]);
        let schema = json_schema();
        assert_eq!(schema["required"], expected);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["properties"]["p_log_type"]["const"], NAME);
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["properties"]["unmapped"]["additionalProperties"], true);
    }
}
