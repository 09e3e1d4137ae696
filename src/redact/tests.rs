use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::body::StopReason;
use crate::json::push_string;

fn policy(bodies: Bodies, detect: &[Detector], patterns: &[(&str, &str)]) -> Redactor {
    Redactor::new(bodies, detect, patterns.iter().copied()).unwrap()
}

/// Everything that there is, with bodies kept. Its regexes are compiled once.
fn masking() -> &'static Redactor {
    static MASKING: LazyLock<Redactor> = LazyLock::new(|| policy(Bodies::Keep, &Detector::ALL, &[]));
    &MASKING
}

const HEAD: &str = r#"{"timestamp":"2026-11-22T07:39:00Z","accountId":"123456789012","modelId":"m","requestId":"r""#;

fn record(input: &str, output: &str) -> String {
    format!(r#"{HEAD},"input":{{"inputBodyJson":{input}}},"output":{{"outputBodyJson":{output}}}}}"#)
}

fn invocation(message: &str) -> Invocation<'_> {
    match parse::message(LogEvent { message, id: Some("e"), ..LogEvent::default() }, MAX_DEPTH) {
        Parsed::Invocation(invocation) => *invocation,
        other => panic!("{message}: {other:?}"),
    }
}

/// The message as redaction leaves it, and what redaction says that it did.
fn redact(redactor: &Redactor, invocation: &Invocation<'_>) -> (String, Redacted) {
    let event = Event::new(invocation);
    let mut found = None;
    redactor.redact(&event, |redacted| {
        assert_eq!(redacted.row_id(), event.row_id());
        assert_eq!(redacted.invocation.event.id, Some("e"));
        let message = redacted.invocation.event.message.to_owned();
        found = Some((message, redacted.marks.redacted.clone().unwrap_or_default()));
    });
    found.unwrap()
}

fn masked(redactor: &Redactor, message: &str) -> (String, String) {
    let (text, done) = redact(redactor, &invocation(message));
    assert_eq!(redact(redactor, &invocation(&text)).0, text, "once more changes nothing");
    let counts: Vec<_> = done.masked.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    (text, counts.join(", "))
}

/// The text as the content of a JSON string.
fn escaped(text: &str) -> String {
    let mut quoted = Vec::new();
    push_string(&mut quoted, text);
    String::from_utf8(quoted[1..quoted.len() - 1].to_vec()).unwrap()
}

const AWS_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const PEM: &str = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAx\n9vQ==\n-----END RSA PRIVATE KEY-----";

/// Kind, text around the secret with `{}` in its place, secret.
fn planted() -> Vec<(&'static str, &'static str, String)> {
    let long = |lead: &str, length: usize| format!("{lead}{}", "aB3dE5gH7jK9".repeat(20)[..length].to_owned());
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P";
    let mut planted = vec![
        ("aws_access_key", "my id is {} ok", "AKIAIOSFODNN7EXAMPLE".to_owned()),
        ("aws_access_key", "({})", "ASIAJEXAMPLEXEG2JICE".to_owned()),
        ("aws_secret_key", "aws_secret_access_key = {}", AWS_SECRET.to_owned()),
        ("aws_secret_key", "the secret access key is {}\nregion", AWS_SECRET.to_owned()),
        ("bedrock_api_key", "AWS_BEARER {} ok", long("ABSKQmVkcm9ja0FQSUtleS", 100) + "="),
        ("private_key", "key:\n{}\nthanks", PEM.to_owned()),
        ("private_key", "{}", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE".to_owned()),
        ("private_key", "{} x", PEM.replace('\n', "\\n")),
        (
            "private_key",
            "{}",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQ\n-----END PGP PRIVATE KEY BLOCK-----".to_owned(),
        ),
        ("token", "Authorization: Bearer {}", "s3cr3t-opaque.value~x".to_owned()),
        ("token", "curl -H 'authorization: Basic {}'", "dXNlcjpwYXNz".to_owned()),
        ("token", "postgres://user:{}@db.internal:5432/x", "p%40ssw0rd".to_owned()),
        ("token", "password: {}", "hunter2!x".to_owned()),
        ("token", "DB_PASSWORD='{}'", "correct horse".to_owned()),
        ("token", r#"{"password":"{}","b":1}"#, "sword fish".to_owned()),
        ("token", "mysql --password {} -u x", "hunter2xyz".to_owned()),
        ("token", "client_secret={}&x=1", "a8f5f167f44f4964e6c998dee827110c".to_owned()),
        ("token", "api_key: \"{}\"", "zX81-spectrum-48k".to_owned()),
        ("token", "jwt {} end", jwt.to_owned()),
        ("email", "write to {}, please", "jane.doe+test@mail.example.co.uk".to_owned()),
        ("email", "<{}>", "jürgen@exämple.de".to_owned()),
        ("phone", "ring {} now", "+49 151 23456789".to_owned()),
        ("phone", "ring {}.", "+14155550132".to_owned()),
        ("phone", "ring {} or", "(415) 555-0132".to_owned()),
        ("phone", "ring {} or", "415-555-0132".to_owned()),
        ("phone", "ring {} or", "020 7946 0958".to_owned()),
        ("phone", "ring {} or", "01 23 45 67 89".to_owned()),
        ("phone", "my phone is {}", "4155550132".to_owned()),
        ("card", "card {} please", "4111 1111 1111 1111".to_owned()),
        ("card", "card {},", "4111-1111-1111-1111".to_owned()),
        ("card", "amex {} 12/28", "378282246310005".to_owned()),
        ("iban", "to {} today", "DE89 3704 0044 0532 0130 00".to_owned()),
        ("iban", "to {}.", "GB82WEST12345698765432".to_owned()),
        ("ssn", "ssn {}", "536-90-4399".to_owned()),
        ("ssn", "my SSN: {}", "536904399".to_owned()),
        ("ip", "host {}:443", "203.0.113.9".to_owned()),
        ("ip", "host {} up", "2001:db8::8a2e:370:7334".to_owned()),
    ];
    for token in [
        long("ghp_", 36),
        long("gho_", 36),
        long("ghu_", 36),
        long("ghs_", 36),
        long("ghr_", 76),
        long("github_pat_", 82),
        long("glpat-", 20),
        "xoxb-123456789012-abcdefGHIJ".to_owned(),
        long("sk_live_", 24),
        long("rk_live_", 24),
        long("sk-", 48),
        long("sk-proj-", 100),
        long("sk-ant-api03-", 95),
        long("AIza", 35),
        long("npm_", 36),
        long("pypi-AgEIcHlwaS5vcmc", 100),
        long("hf_", 34),
        format!("SG.{}.{}", &AWS_SECRET.replace('/', "_")[..22], long("", 43)),
        format!("SK{}", "0a1b2c3d".repeat(4)),
    ] {
        planted.push(("token", "use {} for it", token));
    }
    planted
}

#[test]
fn planted_secrets_are_masked_and_nothing_else_changes() {
    let redactor = masking();
    for (kind, around, secret) in planted() {
        let said = around.replacen("{}", &secret, 1);
        let expected = around.replacen("{}", &format!("[{kind}]"), 1);
        let check = |write: &dyn Fn(&str) -> String| {
            let message = write(&said);
            let (found, counts) = masked(redactor, &message);
            assert_eq!(found, write(&expected), "{kind} in {said:?}");
            assert_eq!(counts, format!("{kind} 1"), "{said:?}");
        };
        let body = |text: &str| record(text, "null");
        check(&|text| body(&format!(r#"{{ "messages":[{{"content":[{{"text":"h\u00e9\/ {}"}}]}}]}}"#, escaped(text))));
        check(&|text| body(&json!({"system": [{"text": text}]}).to_string()));
        check(&|text| body(&json!({"prompt": format!("a\n{text}")}).to_string()));
        check(&|text| body(&json!({"toolUse": {"input": {"command": text}}}).to_string()));
        check(&|text| body(&json!({"toolResult": {"content": [{"json": {"a": [text, 1]}}]}}).to_string()));
        check(&|text| body(&json!({ text: 1 }).to_string()));
        // JSON in a string, once and twice.
        check(&|text| body(&json!({"arguments": json!({"x": format!("a\n{text}")}).to_string()}).to_string()));
        check(&|text| body(&json!(json!({"x": json!({"y": text}).to_string()}).to_string()).to_string()));
        // Documents.
        check(&|text| body(&json!({"document": {"source": {"bytes": STANDARD.encode(text)}}}).to_string()));
        check(&|text| {
            body(&json!({"file_data": format!("data:text/plain;base64,{}", STANDARD.encode(text))}).to_string())
        });
        // Elsewhere.
        check(&|text| record("{}", &json!([{"completion": text}]).to_string()));
        check(&|text| format!("{HEAD},\"requestMetadata\":{}}}", json!({"note": text})));
        check(&|text| format!("{HEAD},\"input\":{{\"new\":{},\"input\":null}}}}", json!([text])));
        // Of a field that comes twice the first one is in the record all the same.
        check(&|text| format!("{HEAD},\"new\":{},\"new\":1}}", json!(text)));
    }
}

#[test]
fn a_value_is_known_by_its_key() {
    let check = |body: Value, expected: Value| {
        let (found, _) = masked(masking(), &record(&body.to_string(), "null"));
        assert_eq!(found, record(&expected.to_string(), "null"));
    };
    check(json!({"password": "swordfish", "user": "x"}), json!({"password": "[token]", "user": "x"}));
    check(json!({"SecretAccessKey": AWS_SECRET}), json!({"SecretAccessKey": "[aws_secret_key]"}));
    check(
        json!({"headers": {"Authorization": "Bearer abc123"}}),
        json!({"headers": {"Authorization": "Bearer [token]"}}),
    );
    check(json!({"api_key": ["ab12cd34"], "phone": "4155550132"}), json!({"api_key": ["[token]"], "phone": "[phone]"}));
    let schema = json!({"properties": {"password": {"type": "string"}}, "required": ["password"], "max_tokens": 4096});
    check(schema.clone(), schema);
}

#[test]
fn a_secret_key_is_known_by_the_id_near_by() {
    let (found, _) =
        masked(masking(), &record(&json!({"a": format!("AKIAIOSFODNN7EXAMPLE,{AWS_SECRET},x")}).to_string(), "1"));
    assert_eq!(found, record(r#"{"a":"[aws_access_key],[aws_secret_key],x"}"#, "1"));
}

#[test]
fn a_mask_is_no_context() {
    let text = |first: &str| {
        record(
            &json!({"a": format!("{first}, order 12345678"), "b": format!("[token]: ab12cd34 {first}")}).to_string(),
            "1",
        )
    };
    assert_eq!(masked(masking(), &text("+49 151 23456789")).0, text("[phone]"));
}

#[test]
fn unicode_escapes_are_resolved_first() {
    let (found, _) =
        masked(masking(), &record(r#"{"a":"x \u0041KIAIOSFODNN7EXAMPL\u0045\u0021\ud83d\ude00","\u0061":1}"#, "1"));
    assert_eq!(found, record(r#"{"a":"x [aws_access_key]\u0021\ud83d\ude00","\u0061":1}"#, "1"));
}

#[test]
fn numbers_that_are_cards_become_strings() {
    let check = |body: &str, expected: &str| {
        assert_eq!(masked(masking(), &record(body, "1")).0, record(expected, "1"));
    };
    check(r#"{"card":4111111111111111}"#, r#"{"card":"[card]"}"#);
    check(
        "[4111111111111112,1790801259000,4.111111111111111e15]",
        "[4111111111111112,1790801259000,4.111111111111111e15]",
    );
    check(r#"{"a":"{\"n\": 4111111111111111}"}"#, r#"{"a":"{\"n\": \"[card]\"}"}"#);
}

#[test]
fn what_is_no_secret_survives() {
    for text in [
        "b0168751-0000-4000-8000-000000000000",
        "12345678-1234-5678-1234-567812345678",
        "toolu_bdrk_01ABcdEFghIJklMNopQRstUV",
        "tooluse_jGr1jZkJT6NF010LvPs2ZR",
        "call_cee16a2c0447526b810260c5bad53c78",
        "chatcmpl-7ldwi6gzxfejktnihf5ajuqx2vc4wbczhy5dmvqow666nfw5xm5q",
        "resp_dzc4cxktjoawwj2zr5gkttm44afc2lwjomt2klpmpglkklpgi7lq",
        "msg_bdrk_01XFDUDYJgAACzvnptvVoYEL",
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "arn:aws:bedrock:us-east-2:123456789012:inference-profile/us.deepseek.r1-v1:0",
        "arn:aws:iam::123456789012:user/test-user",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod-db1-AbCdEf",
        "s3://example-bucket/AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-2/2026/10/07/07/data/x_input.json.gz",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12 Author",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:9f86d081884c7d659a2feaa0c55ad015",
        "2026-10-07T07:51:59Z",
        "2026-10-07 06:31:41.123456",
        "1790801259",
        "1790801259000",
        "1790801259123456789",
        "01-02-2026",
        "01.02.2026 12:30",
        "06/11/2026 1234",
        "version 1.2.3",
        "1.2.3.4.5",
        "Chrome/120.0.0.0 Safari/537.36",
        "127.0.0.1:8080 0.0.0.0",
        "255.255.255.0",
        "std::vec::Vec a::b dead::beef",
        "12:34:56 10:20:30",
        "00:1B:44:11:3A:B7",
        "lodash@4.17.21",
        "@app.route",
        "icon@2x.png",
        "git@github.com:a/b.git",
        "-0.041111111111111111 0.4111111111111111 1e-10",
        "[0.0123456789012345, -0.98765432109876]",
        "The password must be long. Your token is invalid. Secret: the sauce recipe",
        "max_tokens: 4096, stop_token: \"<|end|>\"",
        "password = get_password(user)",
        "token = os.environ['TOKEN']",
        "basic understanding of responsibilities, bearer of good news",
        "sk-loading-indicator-wrapper-element",
        "xSK0a1b2c3d0a1b2c3d0a1b2c3d0a1b2c3d",
        "account 123456789012",
        "order 4111111111111112",
        "000-12-3456",
        "978-3-16-148410-0",
        "cacheReadInputTokenCount 24316 of 1234567",
        "page 12 of 345, lines 100-200",
        "pi 3.14159265358979 e 2.718281828459045",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "next_token: eyJrIjoxfQabc123",
        "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
        "PROCEEDINGS OF ASIAPACIFIC",
        "[email] and [card]",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ] {
        for body in [
            json!({"id": text}),
            json!({"text": format!("see {text}, then go")}),
            json!([{"delta": format!("{text} ")}, {"delta": text}]),
        ] {
            let message = record("null", &body.to_string());
            let (found, counts) = masked(masking(), &message);
            assert_eq!((found.as_str(), counts.as_str()), (message.as_str(), ""), "{text}");
        }
    }
    // What each event of a stream repeats is joined too.
    for id in [
        "b0168751-0000-4000-8000-000000000000",
        "chatcmpl-7ldwi6gzxfejktnihf5ajuqx2vc4wbczhy5",
        "1790801259",
        "us.meta.llama3-3-70b-instruct-v1:0",
    ] {
        let message =
            record("null", &Value::from(vec![json!({"id": id, "type": "content_block_delta"}); 5]).to_string());
        assert_eq!(masked(masking(), &message).0, message);
    }
    // As whole tokens of a list of results.
    let tokens: Vec<_> = ["Hello", " world", "2026", "containing", "\n"].map(|token| json!({"token": token})).into();
    let message = record("null", &json!({"logprobs": {"content": tokens}}).to_string());
    assert_eq!(masked(masking(), &message).0, message);
}

/// Bodies of streams by dialect, with the answer in pieces.
fn streams(pieces: &[&str]) -> Vec<Value> {
    let events = |event: &dyn Fn(usize, &str) -> Value| -> Value {
        pieces.iter().enumerate().map(|(index, piece)| event(index, piece)).collect::<Vec<_>>().into()
    };
    let mut streams = vec![
        events(
            &|_, piece| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}),
        ),
        events(&|_, piece| json!({"index": 1, "delta": {"type": "input_json_delta", "partial_json": escaped(piece)}})),
        events(
            &|_, piece| json!({"contentBlockDelta": {"delta": {"text": piece}, "contentBlockIndex": 0}, "p": "abcdefgh"}),
        ),
        events(
            &|_, piece| json!({"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}, "contentBlockIndex": 2}}),
        ),
        events(
            &|_, piece| json!({"choices": [{"index": 0, "delta": {"content": piece}}], "id": "chatcmpl-1", "created": 1790801259}),
        ),
        events(
            &|_, piece| json!({"choices": [{"index": 0, "message": {"content": null, "reasoning_content": piece}}]}),
        ),
        events(
            &|_, piece| json!({"choices": [{"delta": {"tool_calls": [{"index": 1, "function": {"arguments": piece}}]}}]}),
        ),
        events(
            &|index, piece| json!({"delta": piece, "item_id": "fc_d8b8311f84ac", "obfuscation": "abcd", "output_index": 0, "sequence_number": index}),
        ),
        events(
            &|index, piece| json!({"generation": piece, "prompt_token_count": null, "generation_token_count": index}),
        ),
        events(&|_, piece| json!({"outputs": [{"text": piece, "stop_reason": null}]})),
        events(&|_, piece| json!({"completion": piece, "stop": null})),
        events(&|_, piece| json!({"outputText": piece, "index": 0})),
        events(
            &|_, piece| json!({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": piece}}}}),
        ),
        // Each event is counted.
        events(&|index, piece| json!({"index": index, "token": {"id": 7, "text": piece}})),
        events(&|_, piece| json!(piece)),
    ];
    // Two blocks at once, and a list of choices of which not each event has all.
    let both = |index: usize, text: &str| json!({"index": index, "delta": {"text": text}});
    streams.push(pieces.iter().flat_map(|piece| [both(0, piece), both(1, "other ")]).collect::<Vec<_>>().into());
    let choice = |index: usize, text: &str| json!({"text": text, "index": index});
    streams.push(
        pieces
            .iter()
            .enumerate()
            .map(|(place, piece)| match place % 2 {
                0 => json!({"generations": [choice(0, "other "), choice(1, piece)]}),
                _ => json!({"generations": [choice(1, piece)]}),
            })
            .collect::<Vec<_>>()
            .into(),
    );
    streams
}

fn check_stream(redactor: &Redactor, pieces: &[&str], expected: &[&str], kind: &str) {
    for (stream, expected) in streams(pieces).iter().zip(streams(expected)) {
        let (found, counts) = masked(redactor, &record("null", &stream.to_string()));
        assert_eq!(found, record("null", &expected.to_string()), "{pieces:?}");
        assert_eq!(counts, format!("{kind} 1"), "{pieces:?} in {stream}");
    }
}

#[test]
fn a_secret_that_a_stream_splits_is_masked() {
    let redactor = masking();
    for (kind, around, secret) in planted() {
        let (before, after) = around.split_once("{}").unwrap();
        // Every place for the short ones, some for the long ones.
        let step = 1 + secret.len() / 24;
        for at in (1..secret.len()).step_by(step).filter(|at| secret.is_char_boundary(*at)) {
            let (one, two) = secret.split_at(at);
            let pieces = [format!("{before}{one}"), format!("{two}{after}")];
            let expected = format!("{before}[{kind}]");
            check_stream(redactor, &[&pieces[0], &pieces[1]], &[&expected, after], kind);
        }
    }
}

#[test]
fn a_secret_in_three_pieces_is_masked() {
    let redactor = masking();
    for (kind, secret) in
        [("aws_access_key", "AKIAIOSFODNN7EXAMPLE"), ("email", "bob@example.com"), ("card", "4111111111111111")]
    {
        for one in 1..secret.len() - 1 {
            for two in one + 1..secret.len() {
                let pieces = ["see ", &secret[..one], &secret[one..two], &secret[two..], ", ok"];
                check_stream(redactor, &pieces, &["see ", &format!("[{kind}]"), "", "", ", ok"], kind);
            }
        }
    }
}

#[test]
fn a_mask_is_in_the_piece_where_the_secret_begins() {
    let check = |pieces: &[&str], expected: &[&str]| {
        let of = |pieces: &[&str]| {
            record("1", &Value::from(pieces.iter().map(|text| json!({"t": text})).collect::<Vec<_>>()).to_string())
        };
        assert_eq!(masked(masking(), &of(pieces)).0, of(expected), "{pieces:?}");
    };
    check(&["a AKIAIOSF", "ODNN7", "EXAMPLE b"], &["a [aws_access_key]", "", " b"]);
    check(&["a ", "AKIAIOSFODNN7EXAMPLE", " b"], &["a ", "[aws_access_key]", " b"]);
    check(&["é\nbob@ex", "ample.com, 4111 1111 ", "1111 1111\n"], &["é\n[email]", ", [card]", "\n"]);
    check(&["-----BEGIN PRIVATE KEY-----\nMII", "Eow", "IBAA"], &["[private_key]", "", ""]);
    // By itself each of these is something; the next piece makes another word of it.
    check(&["AKIAIOSFODNN7EXAMPLE", "abc"], &["[aws_access_key]", "abc"]);
}

#[test]
fn patterns_of_the_user() {
    let check = |patterns: &[(&str, &str)], text: &str, expected: &str, counts: &str| {
        let redactor = &policy(Bodies::Keep, &[], patterns);
        let of = |text: &str| record(&json!({"": text}).to_string(), "null");
        let (found, counted) = masked(redactor, &of(text));
        assert_eq!((found.as_str(), counted.as_str()), (of(expected).as_str(), counts), "{patterns:?}");
    };
    check(&[("ticket", "TCK-[0-9]+")], "see TCK-12 and TCK-7", "see [ticket] and [ticket]", "ticket 2");
    check(&[("employee", "emp=(?<secret>[0-9]+)")], "emp=12, emp=x", "emp=[employee], emp=x", "employee 1");
    check(&[("a", "bcd"), ("b", "abc")], "xabcdx", "x[b]x", "b 1");
    check(&[("none", "x*")], "abc", "abc", "");
    check(&[("all", ".+")], "one\ntwo", "[all]\n[all]", "all 2");
    check(&[("w", r"\w+")], "[w] one", "[w] [w]", "w 1");
    check(&[("first", "^.")], "abc", "[first]bc", "first 1");
    check(&[("email", "")], "a@b.example", "a@b.example", "");
}

#[test]
fn bodies_are_dropped_or_hashed() {
    let message = record(r#"{"a": "jane@example.com"}"#, "[1]")
        .replace(r#""m""#, r#""m","note":"jane@example.com","input":{"inputBodyJson":1}"#);
    let (found, done) = redact(&policy(Bodies::Drop, &Detector::ALL, &[]), &invocation(&message));
    let expected = record("null", "null").replace(r#""m""#, r#""m","note":"[email]","input":{"inputBodyJson":null}"#);
    assert_eq!((found, done.bodies, done.masked["email"]), (expected, Some("dropped"), 1));

    let key = || Box::new(Key::new(b"0123456789abcdef"));
    let (found, done) = redact(&policy(Bodies::Hash(key()), &[], &[]), &invocation(&record(r#"{"a":1}"#, "null")));
    let expected = record(
        r#"{"bytes":7,"hmac_sha256":"1c76fbb930d3aa8b1633728fae212c68ca68a6752bb319b98be6fe17e86cf5b8"}"#,
        "null",
    );
    assert_eq!((found, done.bodies), (expected, Some("hashed")));
    // Nothing to take out is nothing done.
    let (found, done) = redact(&policy(Bodies::Drop, &[], &[]), &invocation(&record("null", "null")));
    assert_eq!((found, done), (record("null", "null"), Redacted::default()));
}

#[test]
fn what_is_no_content_outlives_the_bodies() {
    let input = r#"{"messages":[{"role":"user","content":[{"text":"mine"}]}],"inferenceConfig":{"maxTokens":9,"stopSequences":["mine"]}}"#;
    let output = r#"{"output":{"message":{"role":"assistant","content":[{"text":"mine"}]}},"stopReason":"guardrail_intervened",
        "metrics":{"latencyMs":7},"usage":{"inputTokens":3,"outputTokens":5},"trace":{"guardrail":{"inputAssessment":{"g":
        {"wordPolicy":{"customWords":[{"match":"mine","action":"BLOCKED"}]}}}}}}"#;
    let message = record(input, output);
    for bodies in [Bodies::Drop, Bodies::Hash(Box::new(Key::new(b"0123456789abcdef")))] {
        let parsed = invocation(&message);
        policy(bodies, &[], &[]).redact(&Event::new(&parsed), |event| {
            let view = &event.view;
            assert_eq!(
                (view.usage().input, view.usage().output, view.answer().latency_ms),
                (Some(3), Some(5), Some(7))
            );
            assert_eq!(view.stop_reason(), Some(StopReason::GuardrailIntervened));
            assert_eq!(view.request().parameters.max_tokens, Some(9));
            let guardrail = view.guardrail().unwrap();
            assert!(guardrail.intervened && guardrail.assessments.len() == 1);
            let shown = format!("{view:?} {:?}", event.invocation);
            assert!(!shown.contains("mine"), "{shown}");
        });
    }
}

#[test]
fn fetched_bodies_are_redacted_where_they_are() {
    let message = format!(r#"{HEAD},"input":{{"inputBodyS3Path":"s3://b/jane@example.com"}}}}"#);
    let mut fetched = invocation(&message);
    let body = "{\n\"a\":\"jane@example.com\"}";
    fetched.input.as_mut().unwrap().input_body_json = Some(RawJson(body));
    fetched.line_breaks = true;
    let check = |redactor: &Redactor, expected: Option<&str>| {
        redactor.redact(&Event::new(&fetched), |event| {
            assert_eq!(event.invocation.event.message, message);
            assert!(event.invocation.line_breaks);
            assert!(event.marks.redacted.is_some());
            let body = event.invocation.input.as_ref().unwrap().input_body_json;
            assert_eq!(body.map(|body| body.0), expected);
        });
    };
    check(masking(), Some("{\n\"a\":\"[email]\"}"));
    check(&policy(Bodies::Drop, &[], &[]), None);
}

#[test]
fn what_cannot_be_read_again_is_never_shown() {
    let message = record(r#"{"a":"jane@example.com"}"#, "1");
    let mut broken = invocation(&message);
    broken.event.message = "{\"a\":";
    masking().redact(&Event::new(&broken), |event| {
        let shown = invocation(event.invocation.event.message);
        assert_eq!((shown.model_id.0, shown.input.is_none()), ("m", true));
        assert_eq!(event.invocation.input.as_ref().unwrap().input_body_json, None);
        assert_eq!(event.marks.redacted.as_ref().unwrap().bodies, Some("dropped"));
    });
}

#[test]
fn what_was_found_stays_marked() {
    let message = record(r#"{"a":"jane@example.com"}"#, "1");
    let invocation = invocation(&message);
    let mut event = Event::new(&invocation);
    event.marks.findings = crate::enrich::found();
    for redactor in [masking(), &policy(Bodies::Drop, &[], &[])] {
        redactor.redact(&event, |redacted| {
            assert!(redacted.marks.redacted.is_some());
            assert_eq!(redacted.marks.findings, crate::enrich::found());
        });
    }
}

#[test]
fn nothing_is_said_where_nothing_was_done() {
    let message = record(r#"{"a":"b"}"#, "1");
    let invocation = invocation(&message);
    masking().redact(&Event::new(&invocation), |event| {
        assert_eq!(event.marks, Marks::default());
        assert!(std::ptr::eq(event.invocation, &invocation));
    });
}

fn any_json() -> impl Strategy<Value = Value> {
    let piece = prop_oneof![
        prop::sample::select(planted()).prop_map(|(_, around, secret)| around.replace("{}", &secret)),
        prop::sample::select(planted()).prop_map(|(_, _, secret)| secret),
        prop::sample::select(vec![
            "\\",
            "\"",
            "\\n",
            "[email]",
            "@",
            "password=",
            "token: ",
            "é",
            "{",
            ":",
            "-",
            " ",
            "\n",
            "sk-",
            "task-",
            "eyJ"
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,12}",
    ];
    let text = prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat());
    let leaf = prop_oneof![
        text.clone().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        Just(json!(4111111111111111_u64)),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 6, move |inner| {
        let key = prop_oneof![
            text.clone(),
            prop::sample::select(vec!["index", "text", "password", "token"]).prop_map(str::to_owned)
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_json_stays_json_and_is_done_after_once(input in any_json(), output in any_json()) {
        let redactor = masking();
        let message = record(&input.to_string(), &output.to_string());
        let (once, _) = redact(redactor, &invocation(&message));
        let value: Value = serde_json::from_str(&once).unwrap();
        prop_assert!(value["input"].is_object());
        let (twice, done) = redact(redactor, &invocation(&once));
        prop_assert_eq!(&twice, &once);
        prop_assert_eq!(done, Redacted::default());
    }
}

/// Each of these was made to have a detector go over the same text again and again, or to lead it beyond the end. Where
/// one does, this takes minutes.
#[test]
fn made_up_texts_take_no_longer_than_others() {
    for part in [
        "a",
        "@",
        "a@",
        "a.",
        "@a.",
        "1",
        "1 ",
        "1234 ",
        "4111 ",
        "1-",
        "1.",
        "1.1.1.",
        ":",
        "a:",
        "::1",
        "\\",
        "\\n",
        "\"",
        "password:",
        "password:\"",
        "token='token=\"",
        "token:`",
        "--token ",
        "secret is ",
        "eyJabcdef",
        "eyJabcdefgh.",
        "sk-",
        "task-",
        "SKa",
        "AKIA",
        "A3TA",
        "ABSK",
        "://",
        "://a:",
        "://a:b@",
        "[email]",
        "[email",
        "-----BEGIN PRIVATE KEY-----",
        "PRIVATE KEY",
        "END PRIVATE KEY ",
        "PuTTY-User-Key-File-",
        "AGE-SECRET-KEY-",
        "+1 ",
        "+1(",
        "(0",
        "01 ",
        "DE89 ",
        "DE89",
        "bearer ",
        "authorization: ",
        "data:;base64,",
        "wJalrXUtnF",
        "secret/",
        "a@b.cc.1",
        "é",
        "a@b.example ",
        "AKIAIOSFODNN7EXAMPLE ",
    ] {
        let text = part.repeat(10_000 / part.len());
        let pieces: Vec<_> = text.as_bytes().chunks(1000).filter_map(|piece| std::str::from_utf8(piece).ok()).collect();
        masked(masking(), &record(&json!({ "a": text }).to_string(), &json!(pieces).to_string()));
    }
}
mod planted;
