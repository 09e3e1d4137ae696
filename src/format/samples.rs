//! Samples: records and the lines that formats make of them, for the formats' tests.

use serde_json::Value;

use super::Format;
use crate::enrich::Event;
use crate::enrich::cost::{Basis, Cost, Prices, Usd};
use crate::extract::LogEvent;
use crate::generator::{Generator, Profile};
use crate::parse::{self, Parsed};
use crate::pipeline::Context;
use crate::record::Origin;

/// A record, and the line that each format makes of it.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) record: &'static str,
    pub(super) ocsf: &'static str,
    pub(super) otel: &'static str,
    pub(super) flat: &'static str,
}

macro_rules! sample {
    ($name:literal) => {
        Sample {
            name: $name,
            record: include_str!(concat!("samples/", $name, "/record.json")),
            ocsf: include_str!(concat!("samples/", $name, "/ocsf.json")),
            otel: include_str!(concat!("samples/", $name, "/otel.json")),
            flat: include_str!(concat!("samples/", $name, "/flat.json")),
        }
    };
}

pub(super) const SAMPLES: [Sample; 5] =
    [sample!("conversation"), sample!("stream"), sample!("refused"), sample!("embedding"), sample!("offloaded")];

/// The head of a record whose bodies a test makes up.
macro_rules! record {
    ($rest:literal) => {
        concat!(r#"{"timestamp":"2026-11-20T10:00:00Z","accountId":"111122223333","#, $rest, "}")
    };
}

/// Records that are odd, broken or hostile.
const ODD: &[&str] = &[
    record!(r#""modelId":"""#),
    record!(
        r#""modelId":"m","operation":"","region":"","requestId":"","identity":{"arn":""},"errorCode":"","status":"x""#
    ),
    r#"{"timestamp":"0000-01-01T00:00:00Z","accountId":"","modelId":"arn:aws:bedrock:::"}"#,
    r#"{"timestamp":"9999-12-30T00:00:00Z","accountId":"1","modelId":"a.b-20241022-v1:0","identity":{"arn":"arn:aws:sts::2:assumed-role/a/"}}"#,
    record!(
        r#""modelId":"m","region":"a/b?c","operation":"Converse","identity":{"arn":"\"\u0000\ud83d\ude00\n"},"requestMetadata":[1]"#
    ),
    record!(
        r#""modelId":"m","input":{"inputBodyJson":"text","inputTokenCount":9000000000},"output":{"outputBodyJson":[1,"[DONE]",null]}"#
    ),
    record!(
        r#""modelId":"m","input":{"inputBodyJson":{"messages":{"a":1},"system":7,"prompt":null}},"output":{"outputBodyJson":{"choices":"x"}}"#
    ),
    record!(
        r#""modelId":"m","requestMetadata":{"a":"b","a":"c\n"},"output":{"outputBodyJson":{"content":[{"type":"tool_use","id":null,
        "name":"f","input":{"deep":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["a"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],"n":[1e999,-0,1.50,99999999999999999999]}},
        {"type":"unheard-of","x":"\ud83d\ude00"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}],"stop_reason":"why"}}"#
    ),
    record!(
        r#""modelId":"amazon.nova-canvas-v1:0","operation":"InvokeModel","input":{"inputBodyJson":{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"a cat"}}},"output":{"outputBodyJson":{"images":["AAAA","BBBB"]}}"#
    ),
    record!(
        r#""modelId":"amazon.nova-reel-v1:1","operation":"StartAsyncInvoke","output":{"outputVideoS3Path":"s3://v","outputVideoDurationSeconds":6.0}"#
    ),
    record!(
        r#""modelId":"m","operation":"Converse","output":{"outputBodyJson":{"stopReason":"guardrail_intervened","trace":{"guardrail":{"actionReason":"Guardrail blocked."}}}}"#
    ),
    record!(
        r#""modelId":"m","output":{"outputBodyJson":{"output":[{"type":"function_call","name":"f","arguments":"{\"a\": [1,"}],"object":"response","status":"failed"}}"#
    ),
];

/// Calls `check` with the line that a format makes of every sample, of every odd record, and of records of all families.
pub(crate) fn each_line(format: Format, mut check: impl FnMut(&Value)) {
    let mut generator = Generator::new(11, Profile::bench());
    let generated: Vec<_> = (0..300).map(|_| generator.invocation()).collect();
    let samples = SAMPLES.iter().map(|sample| sample.record).chain(ODD.iter().copied());
    for record in samples.chain(generated.iter().map(String::as_str)) {
        check(&line(format, record));
    }
}

/// The line that a format makes of a record.
pub(super) fn line(format: Format, record: &str) -> Value {
    with_event(record, |event, context| {
        let mut out = Vec::new();
        format.encode(event, context, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains(['\n', '\r']), "an event is one line: {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    })
}

/// Calls `use_it` with the event of a record, as it comes from a file.
pub(super) fn with_event<T>(record: &str, use_it: impl FnOnce(&mut Event<'_>, &Context<'_>) -> T) -> T {
    let origin = Origin::File { path: "logs.json".into(), offset: 0 };
    let context = Context {
        origin: &origin,
        parse_time: "2026-11-22T08:00:00.001Z".parse().unwrap(),
        source_id: None,
        source_label: None,
        unmapped: true,
        prices: &Prices::default(),
    };
    let event = LogEvent {
        message: record,
        id: Some("38000000000000000000000000000000000000000000000000000001"),
        timestamp_millis: Some(1_795_000_000_000),
        log_group: Some("/bedrock/invocations"),
        log_stream: Some("aws/bedrock/modelinvocations"),
        owner: None,
    };
    let Parsed::Invocation(invocation) = parse::message(event, 128) else { panic!("no invocation: {record}") };
    use_it(&mut Event::new(&invocation), &context)
}

/// A price that was found.
pub(super) fn cost() -> Cost {
    Cost {
        input: Usd(1_000_000),
        output: Usd(2_000_000),
        cache_read: Usd(0),
        cache_write: Usd(500_000_000),
        guardrail: Usd(1_500_000_000_000),
        total: Usd(1_500_503_000_000),
        price_key: "anthropic.claude-3-haiku-20240307-v1:0".to_owned(),
        price_date: Some("2026-11-01".to_owned()),
        basis: Basis::Exact,
    }
}

/// Takes out what follows from the table of prices, which changes; the costs have tests of their own.
pub(super) fn without_prices(line: &mut serde_json::Map<String, serde_json::Value>) {
    line.retain(|key, _| {
        let key = key.strip_prefix("bedrock_tap.cost.").map_or(key.as_str(), |_| "cost_");
        !key.starts_with("cost_") && !key.starts_with("price_")
    });
}
