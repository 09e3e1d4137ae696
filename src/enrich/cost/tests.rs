//! What calls cost: records and the estimate that is made of them.

use super::*;
use crate::body::Text;
use crate::enrich::{Event, Marks};
use crate::extract::LogEvent;
use crate::parse::{self, Parsed};

/// What a call leaves in its record: `model` and the fields behind it.
fn record(model: &str, fields: &str) -> String {
    let model = serde_json::to_string(model).unwrap();
    format!(r#"{{"timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","modelId":{model},{fields}}}"#)
}

fn with_event<R>(message: &str, look: impl FnOnce(&Event<'_>) -> R) -> R {
    let Parsed::Invocation(invocation) = parse::message(LogEvent { message, ..LogEvent::default() }, 128) else {
        panic!("no invocation: {message}")
    };
    look(&Event::new(&invocation))
}

fn estimate(prices: &Prices, model: &str, fields: &str) -> Estimate {
    with_event(&record(model, fields), |event| prices.estimate(event.invocation, &event.view))
}

/// A million tokens of the answer, and as many of the prompt as no model finds long.
const MILLION: &str = r#""input":{"inputTokenCount":100000},"output":{"outputTokenCount":1000000}"#;

/// Prices of the user's: one by a whole ARN, one by an id, and two profiles.
fn own() -> Prices {
    let mut prices = Prices::default();
    let rates = |input, output| Rates { input: Usd(input), output: Usd(output), ..Rates::default() };
    prices.set("anthropic.claude-v2".into(), rates(1, 2), "2026-02-03".into());
    prices.set("arn:aws:bedrock:eu-west-1:123456789012:provisioned-model/abc".into(), rates(3, 4), String::new());
    prices.set("mine".into(), rates(5, 6), String::new());
    prices.set_profile("abcdef123456".into(), "eu.anthropic.claude-haiku-4-5-20251001-v1:0".into());
    prices.set_profile(
        "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/zzz".into(),
        "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-v2".into(),
    );
    prices.set_profile("loop".into(), "loop2".into());
    prices.set_profile("loop2".into(), "loop".into());
    prices
}

#[test]
fn prices_are_found_in_order() {
    let own = own();
    let check = |model: &str, region: &str, expected: Option<(&str, &str)>| {
        let found = own.find(model, region).map(|found| (found.basis.as_str(), found.key));
        assert_eq!(found, expected, "{model} in {region}");
    };
    let arn = |resource: &str| format!("arn:aws:bedrock:eu-west-1:123456789012:{resource}");
    let haiku = "anthropic.claude-haiku-4-5-20251001-v1:0";
    let (eu_haiku, gov) = (format!("eu.{haiku}"), "us-gov-west-1");
    let gov_haiku = format!("bedrock/{gov}/{haiku}");
    // The configuration's own come first: by the whole id, by the last part of an ARN, and behind a profile.
    check("anthropic.claude-v2", "us-east-1", Some(("override", "anthropic.claude-v2")));
    let model = "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-v2";
    check(model, "eu-west-1", Some(("override", "anthropic.claude-v2")));
    check(&arn("provisioned-model/abc"), "", Some(("override", &arn("provisioned-model/abc"))));
    check(&arn("imported-model/mine"), "", Some(("override", "mine")));
    check(&arn("application-inference-profile/zzz"), "", Some(("override", "anthropic.claude-v2")));
    // The table.
    check(haiku, "us-east-1", Some(("exact", haiku)));
    check(haiku, gov, Some(("region", &gov_haiku)));
    check(&eu_haiku, "eu-west-1", Some(("exact", &eu_haiku)));
    // A profile's price is not the Region's.
    let sonnet = "anthropic.claude-sonnet-4-5-20250929-v1:0";
    check(&format!("us-gov.{sonnet}"), gov, Some(("exact", &format!("us-gov.{sonnet}"))));
    check(&arn(&format!("inference-profile/{eu_haiku}")), "eu-west-1", Some(("profile", &eu_haiku)));
    check(&arn(&format!("foundation-model/{haiku}")), "", Some(("exact", haiku)));
    check(&arn("application-inference-profile/abcdef123456"), "", Some(("profile", &eu_haiku)));
    check("abcdef123456", "eu-west-1", Some(("profile", &eu_haiku)));
    // What is left of an id that has no row.
    check(&format!("mars.{haiku}"), "mars-west-1", Some(("base", haiku)));
    check(&arn(&format!("inference-profile/mars.{haiku}")), "", Some(("base", haiku)));
    check(&format!("us-gov.{haiku}"), gov, Some(("base", &gov_haiku)));
    check("amazon.titan-embed-image-v1:0", "", Some(("base", "amazon.titan-embed-image-v1")));
    check("us.amazon.titan-embed-text-v1:2:8k", "", Some(("base", "amazon.titan-embed-text-v1")));
    check("cohere.embed-english-v3:0:512", "", Some(("base", "cohere.embed-english-v3")));
    check("openai.gpt-5.4", "us-east-1", Some(("base", "bedrock_mantle/openai.gpt-5.4")));
    check("openai.gpt-5.4", gov, Some(("base", "bedrock_mantle/us-gov-west-1/openai.gpt-5.4")));
    check("eu.openai.gpt-5.4", "eu-west-1", Some(("base", "bedrock_mantle/openai.gpt-5.4")));
    // What ids say of the context costs nothing.
    check("anthropic.claude-v2:1:200k", "", Some(("exact", "anthropic.claude-v2:1")));
    check("amazon.nova-lite-v1:0:24k", "", Some(("exact", "amazon.nova-lite-v1:0")));
    check("amazon.nova-premier-v1:0:mm", "", Some(("exact", "amazon.nova-premier-v1:0")));
    check(&format!("{eu_haiku}[1m]"), "", Some(("exact", &eu_haiku)));
    // What is no model of the table.
    for resource in [
        "application-inference-profile/other",
        "provisioned-model/other",
        "imported-model/other",
        "custom-model/amazon.nova-lite-v1:0:8k/other",
        "custom-model-deployment/other",
        "default-prompt-router/anthropic.claude:1",
        "prompt/ABC:1",
        "inference-profile/",
        "inference-profile",
        "",
    ] {
        check(&arn(resource), "eu-west-1", None);
    }
    for model in ["", "/", "loop", ".", "..", ":", "a:", ":1", "[", "arn:", "arn:::::x/", "1", "bedrock/guardrails"] {
        check(model, "", None);
    }
    check(&arn("endpoint/sagemaker"), "", None);
}

#[test]
fn parts_are_counted_at_their_prices() {
    let prices = own();
    let check = |model: &str, fields: &str, expected: [&str; 5]| {
        let Estimate::Cost(cost) = estimate(&prices, model, fields) else { panic!("no cost: {model} {fields}") };
        let Cost { input, output, cache_read, cache_write, guardrail, total, .. } = cost;
        let found = [input, output, cache_read, cache_write, total].map(|part| part.to_string());
        assert_eq!((found.each_ref().map(String::as_str), guardrail), (expected, Usd(0)), "{model} {fields}");
    };
    let eu = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";
    check(eu, MILLION, ["0.33", "16.5", "0", "0", "16.83"]);
    let cached = r#""input":{"inputTokenCount":10,"cacheReadInputTokenCount":100,"cacheWriteInputTokenCount":1000},
        "output":{"outputTokenCount":1}"#;
    check(eu, cached, ["0.000033", "0.0000165", "0.000033", "0.004125", "0.0042075"]);
    // Cached tokens make a prompt long.
    let long = r#""input":{"inputTokenCount":1,"cacheReadInputTokenCount":200000},"output":{"outputTokenCount":1}"#;
    check(eu, long, ["0.0000066", "0.00002475", "0.132", "0", "0.13203135"]);
    let short = r#""input":{"inputTokenCount":1,"cacheReadInputTokenCount":199999},"output":{"outputTokenCount":1}"#;
    check(eu, short, ["0.0000033", "0.0000165", "0.06599967", "0", "0.06601947"]);
    // Where the cache has no price, the prompt's holds.
    let nova = r#""input":{"cacheReadInputTokenCount":1000,"cacheWriteInputTokenCount":1000}"#;
    check("us.amazon.nova-lite-v1:0", nova, ["0", "0", "0.000015", "0.00006", "0.000075"]);
    check("mine", nova, ["0", "0", "0.000000005", "0.000000005", "0.00000001"]);
    // Counts that are none, and counts that are too many.
    check(eu, r#""input":{"inputTokenCount":-5},"output":{"outputTokenCount":0}"#, ["0", "0", "0", "0", "0"]);
    // The most that a count may be: more is none.
    let max = 1_i64 << 53;
    let most = "9223372.036854775807";
    let huge = format!(
        r#""input":{{"inputTokenCount":{max},"cacheReadInputTokenCount":{max},"cacheWriteInputTokenCount":{max}}},
        "output":{{"outputTokenCount":{max}}}"#
    );
    check(eu, &huge, [most; 5]);
    // Failed calls are charged for what they count.
    let broken = r#""errorCode":"ModelStreamErrorException","input":{"inputTokenCount":1000}"#;
    check(eu, broken, ["0.0033", "0", "0", "0", "0.0033"]);
}

#[test]
fn what_is_written_for_an_hour_has_its_own_price() {
    let (_, sonnet) = Table::shipped().get("eu.anthropic.claude-sonnet-4-5-20250929-v1:0").unwrap();
    let flat = Price::flat(Rates { input: Usd(1), cache_write: Some(Usd(10)), ..Rates::default() });
    let check = |price: &Price, written: Option<i64>, hour: Option<i64>, expected: i64| {
        let mut bill = Bill::default();
        bill.add_tokens(price, &Usage { cache_write: written, cache_write_1h: hour, ..Usage::default() });
        assert_eq!(bill.cache_write, Usd(expected), "{written:?}, of them {hour:?}");
    };
    check(sonnet, Some(1000), None, 1000 * 4_125_000);
    check(sonnet, Some(1000), Some(600), 400 * 4_125_000 + 600 * 6_600_000);
    check(sonnet, None, Some(600), 600 * 6_600_000);
    check(sonnet, Some(1000), Some(5000), 1000 * 6_600_000);
    check(sonnet, Some(1000), Some(-5), 1000 * 4_125_000);
    check(sonnet, Some(i64::MIN), Some(i64::MAX), 0);
    check(&flat, Some(1000), Some(600), 1000 * 10);
}

#[test]
fn other_things_than_tokens_are_charged() {
    let prices = Prices::default();
    let check = |model: &str, input: &str, output: &str, expected: Option<(&str, &str)>| {
        let fields = format!(r#""input":{{"inputBodyJson":{input}}},"output":{{"outputBodyJson":{output}}}"#);
        let found = match estimate(&prices, model, &fields) {
            Estimate::Cost(cost) => Some((cost.input.to_string(), cost.output.to_string())),
            _ => None,
        };
        let found = found.as_ref().map(|(input, output)| (input.as_str(), output.as_str()));
        assert_eq!(found, expected, "{model} {input} {output}");
    };
    // Images of the answer.
    check("amazon.nova-canvas-v1:0", "{}", r#"{"images":["aa","bb"]}"#, Some(("0", "0.12")));
    check("us.stability.stable-outpaint-v1:0", "{}", r#"{"images":["aa"]}"#, Some(("0", "0.06")));
    check("amazon.nova-canvas-v1:0", "{}", r#"{"images":[]}"#, None);
    check("amazon.nova-canvas-v1:0", "{}", r#"{"error":"filtered"}"#, None);
    // A model that is charged by the token makes no images.
    check("amazon.nova-lite-v1:0", "{}", r#"{"images":["aa"]}"#, None);
    // Queries.
    check("cohere.rerank-v3-5:0", r#"{"query":"q","documents":["d"]}"#, r#"{"results":[]}"#, Some(("0.002", "0")));
    check("twelvelabs.marengo-embed-2-7-v1:0", r#"{"inputText":"t"}"#, "{}", Some(("0.00007", "0")));
    // A prompt that is not there may be a film.
    check("twelvelabs.marengo-embed-2-7-v1:0", "null", "{}", None);
}

#[test]
fn media_of_the_prompt_are_charged_or_cannot_be() {
    let marengo = "twelvelabs.marengo-embed-3-0-v1:0";
    let check = |model: &str, content: &str, expected: Option<&str>| {
        let input = format!(r#"{{"messages":[{{"role":"user","content":[{content}]}}]}}"#);
        let fields = format!(r#""input":{{"inputTokenCount":10,"inputBodyJson":{input}}}"#);
        let found = match estimate(&Prices::default(), model, &fields) {
            Estimate::Cost(cost) => Some(cost.total.to_string()),
            Estimate::Unpriced => None,
            Estimate::Uncounted => panic!("uncounted: {model} {content}"),
        };
        assert_eq!(found.as_deref(), expected, "{model} {content}");
    };
    let image = r#"{"image":{"format":"png","source":{"bytes":"aa"}}}"#;
    let video = r#"{"video":{"format":"mp4","source":{"bytes":"aa"}}}"#;
    check(marengo, r#"{"text":"t"}"#, Some("0.00007"));
    check(marengo, image, Some("0.0001"));
    check(marengo, video, None);
    check("amazon.nova-2-multimodal-embeddings-v1:0", image, Some("0.00006135"));
    check("amazon.nova-2-multimodal-embeddings-v1:0", video, None);
    // A model that counts all of it as tokens.
    check("amazon.nova-lite-v1:0", video, Some("0.0000006"));
}

#[test]
fn no_price_is_told_from_no_count() {
    let check = |model: &str, fields: &str, expected: &str| {
        let found = match estimate(&own(), model, fields) {
            Estimate::Cost(_) => "cost",
            Estimate::Unpriced => "unpriced",
            Estimate::Uncounted => "uncounted",
        };
        assert_eq!(found, expected, "{model} {fields}");
    };
    let failed = r#""errorCode":"ThrottlingException","input":{},"output":{}"#;
    let (known, unknown) = ("amazon.nova-lite-v1:0", "acme.model-v1:0");
    check(known, MILLION, "cost");
    check(known, failed, "uncounted");
    check(known, r#""input":{}"#, "uncounted");
    check(unknown, MILLION, "unpriced");
    check(unknown, r#""input":{}"#, "unpriced");
    check(unknown, failed, "uncounted");
    check(unknown, r#""errorCode":"ModelErrorException","input":{"inputTokenCount":1}"#, "unpriced");
    check("cohere.rerank-v3-5:0", failed, "uncounted");
    check("amazon.nova-canvas-v1:0", failed, "uncounted");
    check("amazon.nova-sonic-v1:0", MILLION, "unpriced");
}

#[test]
fn guardrail_units_have_prices_of_their_own() {
    let check = |units: &[(&'static str, i64)], expected: &str, is_any: bool| {
        let units = units.iter().map(|(name, count)| (Text::of_json(name), *count)).collect();
        let mut bill = Bill::default();
        bill.add_guardrail(Some(&Guardrail { units, ..Guardrail::default() }));
        assert_eq!((bill.guardrail.to_string().as_str(), bill.is_any), (expected, is_any));
    };
    check(&[("contentPolicyUnits", 2), ("topicPolicyUnits", 1), ("contentPolicyUnits", 1)], "0.0006", true);
    check(&[("wordPolicyUnits", 9), ("sensitiveInformationPolicyFreeUnits", 9)], "0", true);
    check(&[("automatedReasoningPolicies", 9), ("contentPolicyUnits", 0), ("topicPolicyUnits", -1)], "0", false);
    check(&[("contentPolicyUnits", i64::MAX), ("topicPolicyUnits", i64::MAX)], "9223372.036854775807", true);
    check(&[], "0", false);
}

#[test]
fn a_cost_says_where_its_price_is_from() {
    let check = |model: &str, expected: [&str; 3]| {
        let Estimate::Cost(cost) = estimate(&own(), model, MILLION) else { panic!("no cost: {model}") };
        assert_eq!(
            [cost.price_key.as_str(), cost.price_date.as_deref().unwrap_or_default(), cost.basis.as_str()],
            expected
        );
    };
    let date = Table::shipped().date();
    check("amazon.nova-lite-v1:0", ["amazon.nova-lite-v1:0", date, "exact"]);
    check("anthropic.claude-v2", ["anthropic.claude-v2", "2026-02-03", "override"]);
    check("mine", ["mine", "", "override"]);
    check("mars.amazon.nova-lite-v1:0", ["amazon.nova-lite-v1:0", date, "base"]);
}

#[test]
fn money_is_written_with_all_its_digits() {
    let check = |picodollars: i64, expected: &str| {
        let text = Usd(picodollars).to_string();
        assert_eq!(text, expected);
        assert!(serde_json::from_str::<serde_json::Number>(&text).is_ok(), "{text}");
    };
    check(0, "0");
    check(1, "0.000000000001");
    check(123_000_000, "0.000123");
    check(1_000_000_000_000, "1");
    check(-10_500_000_000_000, "-10.5");
    check(i64::MAX, "9223372.036854775807");
    check(i64::MIN, "-9223372.036854775808");
    assert!((Usd(123_000_000).as_f64() - 0.000_123).abs() < f64::EPSILON);
}

#[test]
fn what_redaction_takes_out_of_an_event_it_costs_still() {
    let prices = Prices::default();
    let body = r#""output":{"outputBodyJson":{"usage":{"inputTokens":1000,"outputTokens":0,"totalTokens":1000}}}"#;
    let check = |model: &str, expected: Option<&str>| {
        with_event(&record(model, body), |event| {
            with_event(&record(model, r#""output":{}"#), |without| {
                let redacted = event.with_invocation(without.invocation, Marks::default());
                assert!(!event.is_unpriced(), "nobody has asked");
                let cost = redacted.cost(&prices).map(|cost| cost.total.to_string());
                assert_eq!(cost.as_deref(), expected);
                assert_eq!(event.is_unpriced(), expected.is_none());
            });
        });
    };
    check("amazon.nova-lite-v1:0", Some("0.00006"));
    check("acme.model", None);
}
