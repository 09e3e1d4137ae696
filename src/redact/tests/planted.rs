//! Secrets as people and models write them, and what only looks like one.

use super::*;

/// `{}` stands where `secret` is found as a `kind`.
#[test]
fn secrets_are_found_however_they_are_written() {
    let check = |kind: &str, around: &str, secret: &str| {
        let write = |secret: &str| record(&json!({"prompt": around.replacen("{}", secret, 1)}).to_string(), "null");
        let (found, counts) = masked(masking(), &write(secret));
        assert_eq!(found, write(&format!("[{kind}]")), "{around}: {secret}");
        assert_eq!(counts, format!("{kind} 1"), "{around}: {secret}");
    };
    // Emphasis.
    check("card", "it is _{}_, thanks", "4111 1111 1111 1111");
    check("phone", "call _{}_", "415-555-2671");
    check("ip", "_{}_", "203.0.113.9");
    check("token", "_bearer {}, he said_", "abcdef0123456789abcd");
    // Spaces and dashes that do not break, and other separators.
    check("phone", "call {} now", "+49\u{a0}30\u{202f}901820");
    check("phone", "call {} now", "415\u{2011}555\u{2011}2671");
    check("phone", "call {} now", "089 / 123 45 67");
    check("phone", "call {} now", "00 33 6 12 34 56 78");
    check("card", "no. {} please", "4111\u{a0}1111\u{a0}1111\u{a0}1111");
    check("card", "no. {}.", "4111.1111.1111.1111");
    check("iban", "to {} please", "DE89\u{202f}3704\u{202f}0044\u{202f}0532\u{202f}0130\u{202f}00");
    check("ssn", "SSN {}", "536.90.4399");
    // URLs.
    check("email", "https://a.example/u/{}?b=1", "bob%40corp.example");
    check("token", "https://b.s3.amazonaws.com/k?X-Amz-Expires=9&X-Amz-Signature={}&b=1", &"0a1b2c3d".repeat(8));
    check("token", "https://x.blob.core.windows.net/c?sv=2022-11-02&sig={}", "aB3dE5gH7jK9aB3dE5gH7jK9%3D");
    check("token", "gitlab {} ok", "GR1348941aB3dE5gH7jK9aB3dE5gH");
    // Passwords in sentences, tables and other languages.
    check("token", "The password for the admin account is {}!", "Winter2026");
    check("token", "use the password \"{}\" to log in", "M0nkey!77");
    check("token", "Passwort: {}", "Passwort123!");
    check("token", "Mein Passwort lautet {}", "Gh7#kLm2!q");
    check("token", "mot de passe : {}", "Xy9$kk21aa");
    check("token", "contraseña: {}", "Xy9$kk21ab");
    check("token", "| password | {} |", "Qm4ZxLp9");
    check("token", "**Password:** {}", "Qm4ZxLp9");
    check("token", "password - {}", "Sup3rS3cret");
    check("token", "password → {}", "zebra-lamp-42");
    check("token", "DB_PASS={}", "abcDEF123");
    check("token", "SECRET_KEY_BASE={}", &"0a1b2c3d".repeat(4));
    check("token", "here is the access token {}", &"0aB1c2D3".repeat(4));
}

#[test]
fn a_text_document_may_be_in_lines() {
    let text = |secret: &str| format!("title\n{}mail {secret} ok\n", "words of a text\n".repeat(20));
    let check = |width: usize, newline: &str| {
        let lines = |text: &str| {
            let encoded = STANDARD.encode(text);
            let lines: Vec<_> =
                encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            record(&json!({"bytes": lines.join(newline) + newline}).to_string(), "null")
        };
        let (found, counts) = masked(masking(), &lines(&text("jane.doe@example.com")));
        assert_eq!(counts, "email 1");
        // What was changed is in lines as well, which end as most do.
        let expected = lines(&text("[email]")).replace("\\r\\n", "\\n");
        assert_eq!(found, expected, "{width}");
    };
    check(76, "\n");
    check(64, "\r\n");
}

#[test]
fn what_looks_like_a_secret_survives() {
    for text in [
        "The password for your account is wrong. Reset the password to continue in 2026.",
        "| username | password | role |",
        "Your token limit is 4096 tokens; secret santa 2026; access token expired",
        "the password policy requires 12 characters - password rotation every 90 days",
        "bypass: abc123, compass=north12, pass 2 of 3",
        "x_203.0.113.9_y snake_4155552671_case",
        "https://a.example/?signature=short&design=abcdefabcdefabcdefabcdef",
        "1.5 2.5 3.5 4111.1111 1790801259.123456 2026.10.07",
        "2026.11.22.16.30 and 123.45.6789",
        "5\u{a0}000\u{a0}000\u{a0}EUR, 20\u{2011}fold © € “quoted” – dash",
        "00 12 34 56 78, token gpt-4o-mini-2024-07-18-preview",
        "100%40 of it, a%40b",
    ] {
        let message = record(&json!({"text": text}).to_string(), "null");
        let (found, counts) = masked(masking(), &message);
        assert_eq!((found.as_str(), counts.as_str()), (message.as_str(), ""), "{text}");
    }
}

#[test]
fn a_mask_is_no_password() {
    let text = json!(["password=", 4_111_111_111_111_111_u64, "use it"]).to_string();
    let (found, counts) = masked(masking(), &record("null", &text));
    assert_eq!(found, record("null", &json!(["password=", "[card]", "use it"]).to_string()));
    assert_eq!(counts, "card 1");
}
