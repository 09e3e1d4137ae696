use super::*;
use crate::enrich::with_event;

/// A call with an answer of each kind.
const CALL: &str = r#"{"timestamp":"2026-11-22T07:39:00Z","accountId":"123456789012","region":"us-east-1","requestId":"r-1",
    "operation":"Converse","modelId":"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-micro-v1:0",
    "identity":{"arn":"arn:aws:iam::123456789012:user/ops","kind":"user"},"requestMetadata":{"team":"search","caf\u00e9":"x"},
    "input":{"inputTokenCount":1200,"inputBodyJson":{"messages":[{"role":"user","content":[{"text":"What is \"6\" \u00d7 7?"}]},
        {"role":"user","content":[{"text":"Again"}]}],"inferenceConfig":{"temperature":0.5,"big":18446744073709551616}}},
    "output":{"outputTokenCount":7,"outputBodyJson":{"output":{"message":{"role":"assistant","content":[{"text":"42"},
        {"toolUse":{"toolUseId":"t","name":"search","input":{"q":[1,2.5,null,true]}}}]}},"stopReason":"tool_use"}}}"#;

/// A call that failed, and says no more than it must.
const FAILED: &str = r#"{"timestamp":"2026-11-22T07:39:00Z","accountId":"123456789012","requestId":"r-2","modelId":"m",
    "errorCode":"ThrottlingException"}"#;

fn compile(text: &str) -> Expression {
    Expression::compile(text).unwrap_or_else(|flaw| panic!("{text}: {flaw:?}"))
}

fn keeping(text: &str) -> Selection {
    Selection::new(None, Some(compile(text)), None)
}

/// What an expression says of a record; none where it cannot be evaluated.
#[track_caller]
fn check(text: &str, message: &str, expected: Option<bool>) {
    let verdict = with_event(message, |event, context| keeping(text).verdict(event, context));
    let skip = (expected == Some(false)).then_some(Skip::Filtered);
    assert_eq!(verdict, Verdict { skip, failures: u64::from(expected.is_none()) }, "{text}");
}

#[test]
fn expressions_see_the_record_and_the_view() {
    for text in [
        // The record.
        "event.input.inputTokenCount > 1000",
        "event.input.inputTokenCount == 1200.0 && event.input.inputTokenCount < 1200.5",
        "event['input']['inputTokenCount'] + event.output.outputTokenCount == 1207",
        "event.identity.arn.endsWith(':user/ops') && event.identity.kind == 'user'",
        "event.requestMetadata.team in ['search', 'ads']",
        "event.requestMetadata['café'] == 'x'",
        "!has(event.errorCode) && !has(event.input.inputBodyS3Path) && has(event.output)",
        "event.input.inputBodyJson.messages[1].content[0].text == 'Again'",
        "event.input.inputBodyJson.messages[0].content[0].text.startsWith('What is \"6\" ×')",
        "event.input.inputBodyJson.inferenceConfig.temperature == 0.5",
        "event.input.inputBodyJson.inferenceConfig.big == 18446744073709551616.0",
        "size(event.input.inputBodyJson) == 2 && type(event.input.inputBodyJson.messages) == list",
        // The view.
        "view.model == 'us.amazon.nova-micro-v1:0' && view.model_id.startsWith('arn:aws:bedrock')",
        "view.account == '123456789012' && view.region == 'us-east-1' && view.request_id == 'r-1'",
        "view.stop_reason == 'tool_use' && !has(view.error) && !has(view.guardrail)",
        "view.usage.input == 1200 && view.usage.output == 7 && !has(view.usage.reasoning)",
        "view.prompt_text.contains('Again') && view.answer_text == '42'",
        "view.prompt_text.matches('(?i)WHAT IS .6. × \\\\d[?]') && matches(view.answer_text, '^4')",
        "view.messages.exists(m, m.role == 'user' && m.content.exists(p, p.type == 'text' && p.text == 'Again'))",
        "view.messages.all(m, m.role == 'user') && size(view.messages) == 2",
        "view.messages.map(m, m.content[0].text)[1] == 'Again'",
        "view.messages.filter(m, m.content.exists(p, p.text == 'Again')).size() == 1",
        "view.messages.exists_one(m, m.content[0].text == 'Again')",
        "view.tool_calls.exists(t, t.name == 'search' && t.arguments.q[1] > 2)",
        "view.tool_calls[0].arguments.q == [1, 2.5, null, true]",
        "view.metadata.team == 'search' && view.time < '2027'",
        "view.?error.orValue('') == '' && view.?error.hasValue() == false && view.?usage.?input.orValue(0) > 5",
        "view.id.size() == 32 && 'id' in view && !('error' in view)",
        "view[view.stop_reason == 'x' ? 'id' : 'model'].startsWith('us.')",
        "!view.streamed && view.bytes.input > 100",
        "'a:b:c'.split(':') == ['a', 'b', 'c'] && 'a'.split(':')[0] == 'a' && ''.split(':') == [''] && 'ab'.split('') == ['ab']",
        "event.identity.arn.split('/')[1] == 'ops' && event.identity.arn.split(':').size() == 6",
        "true",
    ] {
        check(text, CALL, Some(true));
        check(&format!("!({text})"), CALL, Some(false));
    }
    check("view.error == 'ThrottlingException' && view.stop_reason == 'error'", FAILED, Some(true));
    check("size(view.messages) == 0 && view.prompt_text == '' && view.tool_calls.all(t, false)", FAILED, Some(true));
    check("has(view.usage.input) || has(view.parameters.max_tokens)", FAILED, Some(false));
}

#[test]
fn what_cannot_be_evaluated_keeps_the_event_and_is_counted() {
    for text in [
        "view.error.startsWith('x')",
        "view.usage.reasoning > 3",
        "has(view.error) || view.error == 'x'",
        "event.input.inputTokenCount.deeper == 1",
        "view.stop_reason > 3",
        "view.usage.input / 0 == 1",
        "view.usage.input + 9223372036854775807 > 0",
        "view.messages[2].role == 'user'",
        "view.model.split(':')[9] == ''",
        "view.usage.input.split(':') == []",
        "view.messages[-1].role == 'user'",
        "view.messages.exists(m, m.nothing)",
        "int(view.stop_reason) == 1",
        "view.stop_reason",
        "view.usage",
        "view.?error",
        "view.?error.value() == ''",
        "view.stop_reason && true",
        "view.metadata.team ? true : false",
    ] {
        check(text, CALL, None);
        let dropping = Selection::new(Some(compile(text)), None, None);
        let verdict = with_event(CALL, |event, context| dropping.verdict(event, context));
        assert_eq!(verdict, Verdict { skip: None, failures: 1 }, "{text}");
    }
    // As CEL says: what decides the answer, decides it beside an error.
    check("view.usage.reasoning > 3 || view.account == '123456789012'", CALL, Some(true));
    check("view.usage.reasoning > 3 && view.account == '1'", CALL, Some(false));
    // What is not there is null, which is like nothing else.
    for text in ["view.error == 'x'", "event.errorCode == 'x'", "view.guardrail.intervened", "event.a.b.c == 1"] {
        let text = if text.contains("==") { text.to_owned() } else { format!("{text} == true") };
        check(&text, CALL, Some(false));
    }
    check("view.error == null && event.errorCode != 'x' && view.guardrail.intervened != true", CALL, Some(true));
}

#[test]
fn drop_comes_first_then_keep_then_the_sample() {
    let check = |drop: Option<&str>, keep: Option<&str>, sample: Option<(f64, Option<&str>)>, expected, failures| {
        let sample = sample.map(|(ratio, when)| Sample { ratio, when: when.map(compile) });
        let selection = Selection::new(drop.map(compile), keep.map(compile), sample);
        let verdict = with_event(CALL, |event, context| selection.verdict(event, context));
        assert_eq!(verdict, Verdict { skip: expected, failures }, "{drop:?} {keep:?}");
    };
    let (yes, no, fails) = (Some("view.region == 'us-east-1'"), Some("has(view.error)"), Some("view.error < ''"));
    check(None, None, None, None, 0);
    check(yes, yes, Some((0.0, None)), Some(Skip::Filtered), 0);
    check(no, no, Some((0.0, None)), Some(Skip::Filtered), 0);
    check(no, yes, Some((0.0, None)), Some(Skip::Sampled), 0);
    check(no, yes, Some((1.0, None)), None, 0);
    check(no, yes, Some((0.0, no)), None, 0);
    check(no, yes, Some((0.0, yes)), Some(Skip::Sampled), 0);
    check(fails, fails, Some((0.0, fails)), None, 3);
    check(fails, no, None, Some(Skip::Filtered), 1);
    check(yes, fails, None, Some(Skip::Filtered), 0);
}

#[test]
fn a_sample_is_stable_and_near_its_ratio() {
    let kept = |id: &str, ratio: f64| {
        let message = CALL.replace("\"r-1\"", id);
        let selection = Selection::new(None, None, Some(Sample { ratio, when: None }));
        with_event(&message, |event, context| selection.verdict(event, context)).skip.is_none()
    };
    // SHA-256 of `r-1` begins with a5fa777a3dc67268, which is 0.6483 of 2⁶⁴ (`printf r-1 | sha256sum`).
    assert!(kept(r#""r-1""#, 0.6484) && !kept(r#""r-1""#, 0.6483), "the rule is what the documentation says");
    assert!(kept(r#""\u0072-1""#, 0.6484) && !kept(r#""\u0072-1""#, 0.6483), "escapes are resolved");
    let message = CALL.replace("\"r-1\"", "\"\"");
    with_event(&message, |event, _| {
        let share = |from: &str| {
            let digest = Sha256::digest(from.as_bytes());
            u64::from_be_bytes(*digest.first_chunk().unwrap()) as f64 / 2_f64.powi(64)
        };
        let hex: String = event.row_id().iter().map(|byte| format!("{byte:02x}")).collect();
        let share = share(&hex);
        assert!(is_in_sample(event, share + 1e-9) && !is_in_sample(event, share - 1e-9), "the row id stands in");
    });
    for ratio in [0.0, 0.01, 0.25, 0.5, 1.0] {
        let mut count = 0;
        for number in 0..10_000 {
            let message = format!(
                r#"{{"timestamp":"2026-11-22T07:39:00Z","accountId":"1","modelId":"m","requestId":"id-{number}"}}"#
            );
            with_event(&message, |event, _| {
                let kept = is_in_sample(event, ratio);
                assert!(!kept || is_in_sample(event, ratio + 0.1), "a larger ratio keeps it too");
                count += u32::from(kept);
            });
        }
        let (found, expected) = (f64::from(count), 10_000.0 * ratio);
        // Four standard deviations of the binomial distribution.
        assert!((found - expected).abs() <= 4.0 * (expected * (1.0 - ratio)).sqrt(), "{ratio}: {found}");
    }
}

#[test]
fn only_what_is_asked_for_is_built() {
    let check = |text: &str, event: &[&str], view: &[&str]| {
        let demand = compile(text).demand().clone();
        let paths = |needs: Option<crate::expression::Needs>| needs.map(|needs| needs.paths()).unwrap_or_default();
        assert_eq!((paths(demand.event), paths(demand.view)), (owned(event), owned(view)), "{text}");
    };
    fn owned(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }
    check("true", &[], &[]);
    check("view.stop_reason == 'end_turn'", &[], &["stop_reason.*"]);
    check("has(view.error) || has(event.input.inputBodyJson)", &["input.inputBodyJson.?"], &["error.?"]);
    check("has(view.error) && view.error != ''", &[], &["error.*"]);
    check("event.input.inputTokenCount > 1 || event['region'] == ''", &["input.inputTokenCount.*", "region.*"], &[]);
    check(
        "view.?usage.?input.orValue(0) > 1 && view.usage[?'output'].hasValue()",
        &[],
        &["usage.input.*", "usage.output.*"],
    );
    check("view.messages.exists(m, m.role == view.model)", &[], &["messages.*", "model.*"]);
    check("view.messages[0].role == ''", &[], &["messages.*"]);
    check("event.input == event.output", &["input.*", "output.*"], &[]);
    check("view['a' + 'b'] == '' || view.id == ''", &[], &["*"]);
    check("'error' in view", &[], &["*"]);
    // What one expression needs in part and another as a whole is built as a whole, and once.
    let both = Selection::new(Some(compile("has(view.usage.input)")), Some(compile("view.usage == {}")), None);
    assert_eq!(both.demand.view.as_ref().map(crate::expression::Needs::paths), Some(vec!["usage.*".to_owned()]));
    // What is not asked for is not in what the interpreter is given.
    with_event(CALL, |event, context| {
        let json = |text: &str| view_json(event, context, compile(text).demand());
        assert_eq!(json("view.stop_reason == ''"), r#"{"stop_reason":"tool_use"}"#);
        let expression = compile("has(event.input.inputBodyJson) && event.accountId == ''");
        let built = Variables::build(event.invocation, "", expression.demand(), Names::Exact).unwrap();
        assert_eq!(built.bytes(), "123456789012".len());
    });
}

#[track_caller]
fn check_flaw(text: &str, message: &str, hint: Option<&str>, allowed: Option<&str>) {
    let flaw = Expression::compile(text).expect_err(text);
    assert_eq!(flaw.message, message, "{text}");
    assert_eq!(flaw.hint.as_deref(), hint, "{text}");
    if let Some(allowed) = allowed {
        assert!(flaw.allowed.as_deref().unwrap_or_default().contains(allowed), "{text}: {flaw:?}");
    }
}

#[test]
fn flaws_are_shown_with_their_place() {
    let check = |text: &str, place: &str, what: &str, hint: Option<&str>, allowed: Option<&str>| {
        check_flaw(text, &format!("in {place} of the expression: {what}"), hint, allowed);
    };
    let meant = |name: &str| format!("did you mean `{name}`?");
    // Names.
    check("true && evnt.a == 1", "column 9", "no variable `evnt`", Some(&meant("event")), Some("event, view"));
    check("view.messages.all(m, n.role == '')", "column 22", "no variable `n`", None, Some("event, view, m"));
    check(
        "'××' == view.stop_reson",
        "column 13",
        "`view` has no member `stop_reson`",
        Some(&meant("stop_reason")),
        None,
    );
    check(
        "true ||\n  view.usage.inputs > 1",
        "line 2, column 13",
        "`view.usage` has no member `inputs`",
        Some(&meant("input")),
        Some("input, output, cache_read"),
    );
    check("has(view.Error)", "column 4", "`view` has no member `Error`", Some(&meant("error")), None);
    check("view.messages.all(view, true)", "column 18", "the name `view` is taken", None, None);
    // Functions.
    check(
        "sizes(view.id) > 1",
        "column 6",
        "no function `sizes`",
        Some(&meant("size")),
        Some("size(x), text.contains"),
    );
    check("view.id.lowerAscii() == ''", "column 19", "no function `lowerAscii`", None, Some("list.all(x, …)"));
    check("view.id.contains()", "column 17", "`contains` is not called like this", None, Some("text.contains(part)"));
    check("contains(view.id, 'a')", "column 9", "`contains` is not called like this", None, None);
    check("view.tools.all(m)", "column 15", "`all` is not called like this", None, Some("list.all(x, …)"));
    check("Foo{a: 1} == 1", "column 4", "a message cannot be made here", None, None);
    // Regexes.
    check("view.id.matches('(a')", "column 17", "the regex is not valid: unclosed group", None, None);
    let large = "the regex is not valid: it takes more than 1048576 bytes";
    check("'×' != '' && view.id.matches('a{1000}{1000}')", "column 30", large, None, None);
    let unchecked = "the regex of `matches` is not a text in quotes, so it cannot be checked";
    check("view.id.matches(view.model)", "column 21", unchecked, None, None);
    // Syntax.
    check("", "column 1", "unexpected end", None, None);
    check("1 +", "column 4", "unexpected end", None, None);
    check("(view.id", "column 9", "missing ')' at end", None, None);
    check("view.id = 'a'", "column 9", "unexpected '= '", Some("is equal to is written `==`"), None);
    check("view.streamed and true", "column 15", "unexpected 'and'", Some("and is written `&&`"), None);
    check("'××' = 1", "column 6", "unexpected '= '", Some("is equal to is written `==`"), None);
    check("view.id == 'abc", "column 12", "unexpected ''abc'", None, None);
    check("has(view)", "column 5", "invalid argument to has() macro", None, None);
    // Bounds.
    let loops = "view.messages.all(a, a.b.all(b, b.c.all(c, true)))";
    check(loops, "column 40", "more than 2 loops in each other", None, None);
    for text in ["1 + 1", "'a'", "size(view.id)", "[true]", "{}", "-1", "b''", "null"] {
        check_flaw(text, "the expression gives neither true nor false", None, None);
    }
    let long = "true".to_owned() + &" ".repeat(4093);
    check_flaw(&long, "the expression has 4097 characters", None, Some("1 to 4096 characters"));
}

#[test]
fn hostile_expressions_are_refused_or_evaluated() {
    let chain = |separator: &str, count: usize, of: &str| vec![of; count].join(separator);
    let deep = |open: &str, count: usize, inner: &str, close: &str| open.repeat(count) + inner + &close.repeat(count);
    for refused in [
        deep("(", 2040, "true", ")"),
        deep("[", 2040, "", "]") + " == []",
        deep("{1:", 1000, "1", "}") + " == {}",
        deep("int(", 800, "1", ")") + " == 1",
        deep("[1].all(x,", 370, "true", ")"),
        deep("true ? true : ", 290, "true", ""),
        chain("+", 2040, "1") + " == 1",
        chain("<", 2040, "1"),
        chain(".", 2040, "view"),
        "view".to_owned() + &"[1]".repeat(1300),
        "'a'".to_owned() + &".size()".repeat(580),
        "view.id.".repeat(500),
        "'".repeat(4096),
        "\\".repeat(4096),
        "[".repeat(4096),
        "?:".repeat(2048),
        "\u{0}\u{1b}\u{feff}😀".repeat(1000),
    ] {
        let flaw = Expression::compile(&refused).expect_err(&refused[..20]);
        assert!(flaw.message.chars().count() < 400 && !flaw.message.contains(char::is_control), "{}", flaw.message);
    }
    for (text, expected) in [
        ("!".repeat(4000) + "true", Some(true)),
        (format!("1 == {}1", "-".repeat(4000)), Some(true)),
        (chain("||", 580, "false"), Some(false)),
        (chain("&&", 250, "view.id != ''"), Some(true)),
        (chain("+", 20, "1") + " == 20", Some(true)),
        (deep("!(", 10, "true", ")"), Some(true)),
        (deep("[", 20, "", "]") + " == []", Some(false)),
        (format!("view.id in [{}]", chain(",", 1000, "''")), Some(false)),
    ] {
        check(&text, CALL, expected);
    }
}

#[test]
fn loops_end() {
    let numbers = |count: usize| {
        let list = vec!["1"; count].join(",");
        CALL.replace("\"big\":", &format!("\"list\":[{list}],\"big\":"))
    };
    let list = "event.input.inputBodyJson.inferenceConfig.list";
    // A loop over what is large is no fault, a loop in a loop over it is.
    for (text, expected) in [
        (format!("{list}.all(x, x == 1)"), Some(true)),
        (format!("size({list}.map(x, x + 1).filter(x, x == 2)) == 2000"), Some(true)),
        (format!("{list}.all(x, {list}.all(y, x == y))"), None),
        (format!("{list}.exists(x, {list}.exists(y, x != y))"), None),
        (format!("size({list}.map(x, {list}.map(y, x))) == 2000"), None),
        (format!("size({list}.filter(x, size({list}.filter(y, y == x)) > 0)) > 1"), None),
        (format!("{list}.exists_one(x, {list}.exists_one(y, true))"), None),
        (format!("{list}.all(x, {list}.all(y, x == y)) || true"), None),
    ] {
        check(&text, &numbers(2_000), expected);
    }
    check(&format!("{list}.all(x, {list}.all(y, x == y))"), &numbers(200), Some(true));
    // Each step that looks at a large text again is counted with all of it.
    let text = "x".repeat(200_000);
    let message = numbers(2_000).replace("What is", &text);
    check(&format!("{list}.all(x, view.prompt_text.contains('x'))"), &message, None);
    check("view.prompt_text.contains('x')", &message, Some(true));
    // More values than are built.
    check(&format!("size({list}) > 1"), &numbers(300_000), None);
    check("view.account != ''", &numbers(300_000), Some(true));
}

#[test]
fn hostile_records_are_read_as_they_are() {
    let body = |json: &str| {
        format!(
            r#"{{"timestamp":"2026-11-22T07:39:00Z","accountId":"1","modelId":"m","input":{{"inputBodyJson":{json}}}}}"#
        )
    };
    let deep = |count: usize| "[".repeat(count) + &"]".repeat(count);
    for (json, text, expected) in [
        (r#"{"a":1,"a":2}"#, "event.input.inputBodyJson.a == 2", Some(true)),
        (r#"{"\u0061":3}"#, "event.input.inputBodyJson.a == 3", Some(true)),
        (r#"{"a":"\ud800"}"#, "event.input.inputBodyJson.a == '\\ufffd'", Some(true)),
        (r#"{"a":1e999}"#, "event.input.inputBodyJson.a > 1", Some(true)),
        (r#"{"a":-0}"#, "event.input.inputBodyJson.a == 0", Some(true)),
        (r#"{"a":null}"#, "has(event.input.inputBodyJson.a) && event.input.inputBodyJson.a == null", Some(true)),
        (r#"[{"a":1}]"#, "event.input.inputBodyJson.a == 1", None),
        (r#""text""#, "has(event.input.inputBodyJson.a)", None),
        ("7", "event.input.inputBodyJson.a == 1", None),
        ("null", "has(event.input.inputBodyJson)", Some(false)),
        (&deep(120), "size(event.input.inputBodyJson) == 1", Some(true)),
        (&deep(120), "event.input.inputBodyJson == event.input.inputBodyJson", Some(true)),
        (
            &format!(r#"{{"messages":[{{"role":"user","content":["x",{}]}}]}}"#, deep(120)),
            "size(view.messages) == 1",
            Some(true),
        ),
    ] {
        check(text, &body(json), expected);
    }
}

#[test]
fn a_selection_is_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Selection>();
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    /// Whatever is written, it is refused or gives a verdict.
    #[test]
    fn any_expression_is_refused_or_evaluated(words in proptest::collection::vec(proptest::sample::select(vec![
        "view", "event", ".id", ".?error", ".usage.input", ".messages", ".metadata", "[0]", "['team']", "(", ")", "[", "]",
        "{", "}", ":", ",", "?", "0", "-1", "1u", "1.5", "9223372036854775807", "1e308", "'a'", "b'a'", "null", "true", "+",
        "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "!", " in ", ".all(x, ", ".map(x, ", ".filter(x, ", "x",
        "size(", "int(", "string(", "type(", ".matches('a')", ".contains('a')", ".orValue(1)", ".value()", "has(", "×",
    ]), 1..14)) {
        if let Ok(expression) = Expression::compile(&words.concat()) {
            let selection = Selection::new(None, Some(expression), None);
            let verdict = with_event(CALL, |event, context| selection.verdict(event, context));
            proptest::prop_assert!(verdict.failures == 0 || verdict.skip.is_none());
        }
    }
}
