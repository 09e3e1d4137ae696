use std::sync::LazyLock;

use proptest::prelude::*;

use crate::config::managed_rules;
use crate::detect::{LogType, Rule};
use crate::enrich::with_event;
use crate::expression::{Bindings, Demand, Dialect, Expression, Names, Variables, Views};

const TAIL: &str = r#""timestamp":"2026-11-22T07:39:00Z","accountId":"123456789012","modelId":"anthropic.claude-v2"}"#;

/// Records that an expression may stumble over.
static EVENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let records = [
        "",
        r#""errorCode":null,"errorcode":"AccessDeniedException","operation":"Converse","#,
        r#""errorCode":"Access\u0044enied\ud83d\ude00Exception","region":"","requestId":"a\\b\"c","#,
        r#""region":"us-east-1","inferenceRegion":"us-west-2","input":{"inputTokenCount":5000,"inputtokencount":7},"#,
        r#""REGION":"eu-west-1","Identity":{"ARN":"arn:aws:iam::1:user/x"},"operation":"InvokeModel","#,
        r#""identity":{"arn":"arn:aws:iam::123456789012:user/eve","Extra":{"a":[1]}},"output":{"outputTokenCount":9000},"#,
        r#""identity":null,"input":null,"output":null,"#,
        r#""output":{"OUTPUTBODYJSON":{"Usage":{"TOTALTOKENS":5000}}},"operation":"Converse","#,
        r#""output":{"outputBodyJson":{"Usage":{"TOTALTOKENS":1},"usage":{"totalTokens":2,"totalTokens":3,"TotalTokens":4}}},"#,
        r#""output":{"outputBodyJson":{"uSage":{"totaltokens":1.0},"USAGE":{"totalTokens":2e3}}},"operation":"Converse","#,
        r#""output":{"outputBodyJson":{"usage":null,"stopReason":{"a":1}}},"#,
        r#""output":{"outputBodyJson":{"usage":[1,2],"stopReason":["x"]}},"operation":"Converse","#,
        r#""output":{"outputBodyJson":{"usage":"many","stopReason":true}},"operation":"Converse","#,
        r#""output":{"outputBodyJson":{"usage":{"totalTokens":"5000","outputTokens":null},"stopReason":"a\nb"}},"#,
        r#""output":{"outputBodyJson":{"u\u0073age":{"totalT\u006fkens":99999999999999999999}}},"operation":"Converse","#,
        r#""output":{"outputBodyJson":[{"amazon-bedrock-guardrailAction":"INTERVENED"}]},"#,
        r#""output":{"outputBodyJson":{"stopReason":"guardrail_intervened","usage":{"totalTokens":9000,"outputTokens":0,"inputTokens":12}}},"operation":"Converse","#,
        r#""input":{"inputBodyJson":{"messages":[{"role":"user","content":[{"text":"a\nb \u00fc"},{"text":"c"}]}],"inferenceConfig":{"maxTokens":9}}},"operation":"Converse","#,
        r#""output":{"outputBodyJson":{"content":[{"type":"text","text":"I'm sorry"}],"stop_reason":"refusal","usage":{"input_tokens":7000,"output_tokens":3,"cache_read_input_tokens":2}}},"#,
        r#""output":{"outputBodyJson":{"metrics":{"latencyMs":61000},"usage":{"inputTokens":20000,"outputTokens":70000,"totalTokens":1}}},"operation":"ConverseStream","#,
        r#""output":{"outputBodyJson":[{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"AKIA"}},{"metadata":{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"metrics":{"latencyMs":5}}}]},"#,
        r#""input":"text","output":{"outputBodyJson":"text"},"#,
        r#""performanceConfig":{"latency":"optimized"},"schemaType":"ModelInvocationLog","status":"x","#,
    ];
    records.iter().map(|record| format!("{{{record}{TAIL}")).collect()
});

/// What all expressions of a rule give, as text: with or without the interpreter alone.
fn told<'v>(rule: &'v Rule, variables: &Variables<'v>) -> Vec<String> {
    let matching = &rule.matching;
    let mut bindings = Bindings::default();
    for (name, value) in &matching.bindings {
        value.bind(name, variables, &mut bindings);
    }
    let bindings = &bindings;
    let mut told = vec![format!("{:?}", matching.matches.evaluate_with(variables, bindings))];
    told.extend(matching.severities.iter().map(|(when, _)| format!("{:?}", when.evaluate_with(variables, bindings))));
    let values = matching.bindings.iter().chain(&matching.group).chain(&matching.context).map(|(_, value)| value);
    let values = values.chain(&matching.measured);
    told.extend(values.map(|value| format!("{:?}", value.answer(variables, bindings))));
    told.push(matching.title.fill(variables, bindings));
    told.extend(matching.dedup.iter().map(|dedup| dedup.fill(variables, bindings)));
    told
}

/// Both ways to evaluate, for a record of the rule's log type; none if it is no record of it.
fn both<T>(log_type: LogType, demand: &Demand, record: &str, tell: impl Fn(&Variables<'_>) -> T) -> Option<(T, T)> {
    if log_type == LogType::CloudTrail {
        let variables = || Variables::of_json(record, demand, Names::Folded).unwrap();
        return Some((tell(&variables()), tell(&variables().interpreted())));
    }
    let event = crate::extract::LogEvent { message: record, ..Default::default() };
    matches!(crate::parse::message(event, 128), crate::parse::Parsed::Invocation(_)).then(|| {
        with_event(record, |event, context| {
            let views = Views::new(event, context);
            let variables = || Variables::of_event(event, &views, demand, Names::Folded).unwrap();
            (tell(&variables()), tell(&variables().interpreted()))
        })
    })
}

/// The records in the tests of a rule, with what a record must have.
fn records(text: &str) -> Vec<String> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let values = values.filter_map(Result::ok).flat_map(|value| match value {
        serde_json::Value::Array(list) => list,
        value => vec![value],
    });
    let complete = |value| {
        let serde_json::Value::Object(mut record) = value else { return String::new() };
        let tail: serde_json::Value = serde_json::from_str(&format!("{{{TAIL}")).unwrap();
        tail.as_object().unwrap().iter().for_each(|(name, value)| {
            record.entry(name.clone()).or_insert(value.clone());
        });
        serde_json::Value::Object(record).to_string()
    };
    values.map(complete).collect()
}

#[test]
fn managed_rules_say_what_the_interpreter_says() {
    let mut compared = 0;
    for (file, rule) in managed_rules().unwrap() {
        // Expressions live as long as any variables.
        let rule: &'static Rule = Box::leak(Box::new(rule));
        let own = file.tests.iter().flat_map(|test| records(&test.events));
        for record in own.chain(EVENTS.iter().cloned()) {
            let told = |variables: &Variables<'_>| told(rule, variables);
            let Some((native, interpreted)) = both(rule.log_type, &rule.demand, &record, told) else { continue };
            assert_eq!(native, interpreted, "{}: {record}", rule.id);
            compared += 1;
        }
    }
    assert!(compared > 1000, "{compared}");
}

#[test]
fn managed_rules_match_without_the_interpreter() {
    let is_native = |expression: &Expression| expression.native.is_some();
    let rest: Vec<_> = managed_rules()
        .unwrap()
        .into_iter()
        .filter(|(_, rule)| !is_native(&rule.matching.matches))
        .map(|(file, _)| file.id)
        .collect();
    assert!(rest.len() < 16, "{rest:?}");
}

/// Expressions that mostly fit together: of numbers, texts and booleans, `depth` deep.
fn expression(kind: usize, depth: u32) -> BoxedStrategy<String> {
    const LEAVES: [&[&str]; 3] = [
        &[
            "0",
            "3",
            "-7",
            "2.5",
            "5000",
            "9223372036854775807",
            "view.latency_ms",
            "view.usage.input",
            "view.?usage.?total.orValue(0)",
            "view.?cost.?total.orValue(0.0)",
            "view.parameters.max_tokens",
            "view.?bytes.?output.orValue(0)",
            "event.input.inputTokenCount",
            "event.?input.?inputTokenCount.orValue(null)",
            "event.?output.?outputBodyJson.?usage.?totalTokens.orValue(0)",
            "event.output.outputBodyJson.usage.totalTokens",
            "event.Output.outputBodyJSON.USAGE.outputTokens",
            "number",
        ],
        &[
            "''",
            "'x'",
            "'Converse'",
            "null",
            "view.operation",
            "view.model",
            "view.error",
            "view.prompt_text",
            "view.answer_text",
            "view.guardrail.id",
            "view.?stop_reason.orValue('none')",
            "view.?guardrail.?action.orValue(view.account)",
            "event.operation",
            "event.Region",
            "event.errorCode",
            "event.?identity.?arn.orValue('')",
            "event.?output.?outputBodyJson[?'stopReason'].orValue('')",
            "event.output.outputBodyJson.stopReason",
            "event.status.deeper",
            "text",
        ],
        &[
            "true",
            "false",
            "has(view.cost)",
            "has(view.usage.input)",
            "has(view.guardrail.id)",
            "has(event.identity.arn)",
            "has(event.output.outputBodyJson.usage)",
            "has(event.output.outputBodyJson.usage.totalTokens)",
            "view.?guardrail.?intervened.orValue(false)",
            "view.streamed",
            "view.?latency_ms.hasValue()",
            "event.?output.?outputBodyJson.?usage.hasValue()",
        ],
    ];
    let leaf = prop::sample::select(LEAVES[kind]).prop_map(str::to_owned).boxed();
    let Some(depth) = depth.checked_sub(1) else { return leaf };
    let (number, text, boolean) = (expression(0, depth), expression(1, depth), expression(2, depth));
    // Now and then something of another kind.
    let odd = (0..3_usize).prop_flat_map(move |kind| expression(kind, depth.min(1)));
    let any = prop_oneof![4 => expression(kind, depth), 1 => odd].boxed();
    let branch = (boolean.clone(), any.clone(), any.clone()).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})"));
    let made = match kind {
        0 => {
            let operators = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
            let combined = (any.clone(), operators, number.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})"));
            let functions = prop::sample::select(vec!["int", "double", "size", "-"]);
            let called = (functions, prop_oneof![number, text]).prop_map(|(f, a)| format!("{f}({a})"));
            prop_oneof![combined, called, branch].boxed()
        }
        1 => {
            let combined = (any.clone(), text.clone()).prop_map(|(a, b)| format!("({a} + {b})"));
            let called = prop_oneof![number, text, boolean].prop_map(|a| format!("string({a})"));
            prop_oneof![combined, called, branch].boxed()
        }
        _ => {
            let orders = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
            let compared = (number.clone(), orders(), number.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})"));
            let alike = (text.clone(), orders(), text.clone()).prop_map(|(a, o, b)| format!("({a} {o} {b})"));
            let joined = (any.clone(), prop::sample::select(vec!["&&", "||"]), boolean.clone())
                .prop_map(|(a, o, b)| format!("({a} {o} {b})"));
            let tests = prop::sample::select(vec!["contains", "startsWith", "endsWith"]);
            let tested = (text.clone(), tests, text.clone()).prop_map(|(a, f, b)| format!("{a}.{f}({b})"));
            let matched = text.clone().prop_map(|a| format!("{a}.matches('(?i)[a-c]n')"));
            let listed = (any, number.clone(), text.clone())
                .prop_map(|(a, b, c)| format!("({a} in [{b}, {c}, null, 'Converse'])"));
            let typed = prop_oneof![number, text].prop_map(|a| format!("type({a}) in [int, double, string]"));
            let not = boolean.prop_map(|a| format!("!{a}"));
            prop_oneof![compared, alike, joined, tested, matched, listed, typed, not, branch].boxed()
        }
    };
    prop_oneof![1 => leaf, 4 => made].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn expressions_say_what_the_interpreter_says(
        number in expression(0, 2),
        text in expression(1, 2),
        asked in expression(2, 3),
        beside in expression(2, 1),
    ) {
        let names = ["number".to_owned(), "text".to_owned()];
        let compile = |text: &str, known: usize| {
            Expression::compile_in(text, Dialect { names: &names[..known], is_question: false, has_view: true })
        };
        let compiled = (compile(&number, 0), compile(&text, 1), compile(&asked, 2), compile(&beside, 2));
        let (Ok(number), Ok(text), Ok(question), Ok(beside)) = compiled else { return Ok(()) };
        // Expressions live as long as any variables.
        let (number, text): (&'static _, &'static _) = (Box::leak(Box::new(number)), Box::leak(Box::new(text)));
        let mut demand = Demand::default();
        [number, text, &question, &beside].iter().for_each(|expression| demand.merge(expression.demand()));
        for record in EVENTS.iter() {
            let tell = |variables: &Variables<'_>| {
                let mut bindings = Bindings::default();
                number.bind("number", variables, &mut bindings);
                text.bind("text", variables, &mut bindings);
                let answers = [&question, number, text, &beside].map(|e| format!("{:?}", e.answer(variables, &bindings)));
                (answers, question.evaluate_with(variables, &bindings))
            };
            if let Some((native, interpreted)) = both(LogType::Invocation, &demand, record, tell) {
                prop_assert_eq!(native, interpreted, "{}: {}", asked, record);
            }
        }
    }
}
