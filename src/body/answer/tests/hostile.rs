//! What is no answer, and what pretends to be one.

use std::fmt::Write;

use super::super::super::text::Text;
use super::*;

#[test]
fn what_is_no_answer_says_nothing() {
    for body in [
        "{}",
        "[]",
        "null",
        "3",
        "\"text\"",
        "[[{\"stop_reason\":\"x\"}]]",
        "[null,1,\"[DONE]\",true]",
        r#"{"status":"ok"}"#,
        r#"{"usage":[1]}"#,
        r#"[{"chunk":{"bytes":"eyJjb21wbGV0aW9uIjoieCJ9"}}]"#,
        r#"{"generation":{"text":"x"},"text":{"format":{}},"completion":null,"outputText":[1]}"#,
    ] {
        check(body, body, &[""]);
    }
}

#[test]
fn numbers_that_count_nothing_are_left_out() {
    check(
        "counts",
        r#"{"usage":{"inputTokens":-1,"outputTokens":-0.5,"totalTokens":1e300,"cacheReadInputTokens":"7","cacheWriteInputTokens":9007199254740993},
          "metrics":{"latencyMs":-4}}"#,
        &[""],
    );
    check("a total without its parts", r#"{"usage":{"inputTokens":1,"totalTokens":9}}"#, &["in=1 total=9"]);
    check(
        "the largest",
        r#"{"usage":{"input_tokens":9007199254740992,"output_tokens":9007199254740992,"total_tokens":5}}"#,
        &["in=9007199254740992 out=9007199254740992 total=5 off"],
    );
    check(
        "more cached than there was",
        r#"{"usage":{"prompt_tokens":1,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9007199254740992,
          "cache_write_tokens":9007199254740992}}}"#,
        &["in=0 out=1 read=9007199254740992 write=9007199254740992"],
    );
}

/// Every known name with a value of every kind, merged and in a stream: nothing panics, and nothing is made up.
#[test]
fn wrong_kinds_say_nothing() {
    const NAMES: &str = "type index delta content_block contentBlockStart contentBlockDelta choices outputs generations results completions \
        generation text completion outputText message role content tool_calls output response item output_index item_id content_index \
        object status incomplete_details finish_reason is_finished error messageStart messageStop metadata images artifacts embedding embeddings \
        data embeddingsByType usage meta metrics amazon-bedrock-invocationMetrics id model trace prompt_token_count finish_reasons \
        xException request_id function_call reasoning refusal contentBlockIndex start toolUse reasoningContent partial_json signature thinking";
    let kinds =
        ["null", "true", "-1", "1e18", "1000000000000000000", "\"\"", "[]", "[[]]", "{}", "[{}]", "[null]", "[1]"];
    let inner: Vec<String> = NAMES
        .split_whitespace()
        .flat_map(|name| kinds.iter().map(move |kind| format!("{{\"{name}\":{kind}}}")))
        .collect();
    for object in &inner {
        let read = |body: &str| read(Value::new(RawJson(body))).messages.len();
        read(object);
        read(&format!("[{object},{object}]"));
        for name in NAMES.split_whitespace() {
            read(&format!("{{\"{name}\":{object}}}"));
            read(&format!("{{\"{name}\":[{object}]}}"));
        }
    }
    let all = |kind: &str| {
        let members: Vec<_> = NAMES.split_whitespace().map(|name| format!("\"{name}\":{kind}")).collect();
        format!("{{{}}}", members.join(","))
    };
    for kind in ["null", "true", "-1", "[]", "\"\""] {
        let body = all(kind);
        let answer = read(Value::new(RawJson(&body)));
        assert!(answer.messages.is_empty() && answer.usage == Usage::default(), "{kind}: {answer:?}");
    }
}

#[test]
fn any_index_is_a_place() {
    let delta = |index: &str, text: &str| {
        format!(r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"text_delta","text":"{text}"}}}}"#)
    };
    let events =
        [("1000000000000000000", "d"), ("-5", "a"), ("0", "b"), ("1", "c"), ("-5", "A"), ("1000000000000000000", "D")];
    let events: Vec<_> = events.iter().map(|(index, text)| delta(index, text)).collect();
    check("blocks", &format!("[{}]", events.join(",")), &["assistant: aA|b|c|dD", ""]);
    check(
        "alternatives",
        r#"[{"choices":[{"index":9223372036854775807,"delta":{"content":"b"}},{"index":-7,"delta":{"content":"a"}}]},
          {"choices":[{"index":1e300,"delta":{"content":"x"}},{"index":"7","delta":{"content":"y"}}]}]"#,
        &["assistant: a", "assistant: x", "assistant: y", "assistant: b", ""],
    );
}

#[test]
fn depth_is_no_harm() {
    let nest = |open: &str, close: &str| format!("{}1{}", open.repeat(120), close.repeat(120));
    for (open, close) in [
        ("[", "]"),
        (r#"{"response":"#, "}"),
        (r#"{"message":"#, "}"),
        (r#"{"delta":"#, "}"),
        (r#"{"content":[{"type":"tool_result","content":["#, "]}]}"),
        (r#"{"usage":"#, "}"),
        (r#"{"error":"#, "}"),
    ] {
        let body = nest(open, close);
        read(Value::new(RawJson(&body)));
        read(Value::new(RawJson(&format!("[{body}]"))));
    }
}

/// So many events that what is joined in the time of a square would take minutes.
#[test]
fn long_streams_take_linear_time() {
    const EVENTS: usize = 20_000;
    let list_of = |events: usize, event: &dyn Fn(usize) -> String| {
        let mut body = String::from("[");
        for n in 0..events {
            let _ = write!(body, "{}{}", if n == 0 { "" } else { "," }, event(n));
        }
        body + "]"
    };
    let list = |event: &dyn Fn(usize) -> String| list_of(EVENTS, event);
    let length = |body: &str| {
        let answer = read(Value::new(RawJson(body)));
        let text = |part: &Part<'_>| match part {
            Part::Text(text) => text.escaped().len(),
            Part::ToolCall(call) => match &call.arguments {
                Arguments::Text(text) => text.escaped().len(),
                Arguments::Json(_) => 0,
            },
            _ => 0,
        };
        answer.messages.iter().flat_map(|message| &message.parts).map(text).sum::<usize>()
    };
    let block = |index: usize| {
        format!(r#"{{"type":"content_block_delta","index":{index},"delta":{{"type":"text_delta","text":"x"}}}}"#)
    };
    assert_eq!(length(&list_of(100_000, &|_| block(0))), 100_000, "one text");
    assert_eq!(length(&list(&block)), EVENTS, "as many blocks");
    assert_eq!(length(&list(&|n| block(n % 2))), EVENTS, "in turns");
    assert_eq!(length(&list(&|n| format!(r#"{{"choices":[{{"index":{n},"delta":{{"content":"x"}}}}]}}"#))), EVENTS);
    let call = |n: usize| {
        format!(
            r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":{},"id":"","function":{{"arguments":"x"}}}}]}}}}]}}"#,
            n % 7
        )
    };
    assert_eq!(length(&list(&call)), EVENTS, "calls without a beginning");
    let item = |n: usize| format!(r#"{{"type":"response.output_text.delta","item_id":"{n}","delta":"x"}}"#);
    assert_eq!(length(&list(&item)), EVENTS, "items by their ids");
    let whole = r#"{"response":{"output":[{"type":"message","content":"x"}]}}"#;
    assert_eq!(length(&list(&|_| whole.to_owned())), 1, "each repeats all");
}

#[test]
fn names_may_be_escaped() {
    check(
        "keys",
        r#"[{"\u0063ompletion":"a"},{"throttling\u0045xception":{}}]"#,
        &["assistant: a", "stop=throttlingException>error"],
    );
    let long = format!(r#"{{"stop_reason":"{}","completion":"x"}}"#, "a".repeat(1 << 20));
    assert_eq!(read(Value::new(RawJson(&long))).why_stopped(), Some(StopReason::Other));
    assert_eq!(Text::of("a"), Text::of_json("a"));
}
