//! Keys: those of AWS, and private ones of any kind.

use std::ops::Range;

use super::{Detector, Find, Looked, Rule};

pub(super) const RULES: &[Rule] = &[
    // Source: the IAM User Guide, "IAM identifiers": the prefixes of what can be used to sign in.
    Rule {
        detector: Detector::AwsAccessKey,
        trigger: "(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]",
        find: Find::Regex("(?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9])[A-Z0-9]{16}", |looked, captures| {
            let range = whole(captures);
            let capital =
                |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            let longer =
                capital(looked.byte_before(range.start)) || capital(looked.text.as_bytes().get(range.end).copied());
            if longer { Err(range.end) } else { Ok(range) }
        }),
    },
    Rule { detector: Detector::AwsSecretKey, trigger: "[A-Za-z0-9/+]{40}", find: Find::Code(aws_secret_keys) },
    // Long-term keys, and short-term ones, which are a signed URL in base64.
    Rule {
        detector: Detector::BedrockApiKey,
        trigger: "ABSK|bedrock-api-key-",
        find: Find::Regex("(?:ABSK|bedrock-api-key-)[A-Za-z0-9+/_-]{20,}={0,2}", |looked, captures| {
            let range = whole(captures);
            let longer = looked.byte_before(range.start).is_some_and(|byte| byte.is_ascii_alphanumeric());
            if longer { Err(range.end) } else { Ok(range) }
        }),
    },
    Rule {
        detector: Detector::PrivateKey,
        trigger: "PRIVATE KEY|PuTTY-User-Key-File-|AGE-SECRET-KEY-",
        find: Find::Code(private_keys),
    },
];

pub(super) fn whole(captures: &regex::Captures<'_>) -> Range<usize> {
    captures.get(0).map_or(0..0, |found| found.range())
}

/// Characters of a secret access key.
const SECRET_KEY_LENGTH: usize = 40;

/// Bytes around an access key's id in which its secret key may stand: a few lines.
const NEAR_ID: usize = 300;

/// Runs of 40 characters of base64 that a name, or an access key's id near by, shows to be a secret access key.
fn aws_secret_keys(looked: &Looked<'_>, found: &mut Vec<Range<usize>>) {
    let bytes = looked.text.as_bytes();
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+');
    let ids: Vec<usize> = ["AKIA", "ASIA"]
        .iter()
        .flat_map(|id| memchr::memmem::find_iter(bytes, id.as_bytes()))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut at = 0;
    while let Some(start) = bytes.get(at..).and_then(|rest| rest.iter().position(is_part)).map(|skip| at + skip) {
        let length = bytes[start..].iter().take_while(|byte| is_part(byte)).count();
        at = start + length;
        let key = &bytes[start..at];
        if length != SECRET_KEY_LENGTH || is_hex(key) {
            continue;
        }
        let cased = key.iter().any(u8::is_ascii_lowercase) && key.iter().any(u8::is_ascii_uppercase);
        let mixed = key.iter().any(|byte| !byte.is_ascii_alphabetic());
        let near_id = || {
            let first = ids.partition_point(|&id| id + NEAR_ID < start);
            ids.get(first).is_some_and(|&id| id <= at + NEAR_ID)
        };
        let named = looked.is_after(
            &["secret", "aws_", "awskey", "aws key", "access_key", "access key", "accesskey"],
            start,
            60,
        );
        let named_after = bytes
            .get(at..(at + 40).min(bytes.len()))
            .is_some_and(|after| memchr::memmem::find(&after.to_ascii_lowercase(), b"secret").is_some());
        if cased && (named || (mixed && (named_after || near_id()))) {
            found.push(start..at);
        }
    }
}

fn is_hex(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_hexdigit)
}

/// Blocks from their first line to their last one, or to the text's end where that is missing.
fn private_keys(looked: &Looked<'_>, found: &mut Vec<Range<usize>>) {
    let text = looked.text;
    let mut at = 0;
    while let Some(label) = text[at..].find("PRIVATE KEY").map(|skip| at + skip) {
        at = label + "PRIVATE KEY".len();
        // `-----BEGIN RSA PRIVATE KEY-----`, `---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----`, `…PRIVATE KEY BLOCK-----`.
        let line = &text.as_bytes()[label.saturating_sub(48)..label];
        let Some(begin) = memchr::memmem::rfind(line, b"BEGIN") else { continue };
        let between =
            line[begin + 5..].iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b' ');
        let lead = line[..begin].strip_suffix(b" ").unwrap_or(&line[..begin]);
        let dashes = lead.iter().rev().take_while(|&&byte| byte == b'-').count();
        if !between || dashes < 4 {
            continue;
        }
        let start = label - line.len() + lead.len() - dashes;
        let end = end_of_block(text, at);
        found.push(start..end);
        at = end;
    }
    // PuTTY's files end in a line with a checksum; an age key is one word.
    for (name, last) in [("PuTTY-User-Key-File-", "Private-MAC: "), ("AGE-SECRET-KEY-", "")] {
        let mut at = 0;
        while let Some(start) = text[at..].find(name).map(|skip| at + skip) {
            at = text[start..].find(last).map_or(text.len(), |skip| {
                let word = start + skip + last.len();
                let length = text[word..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
                word + length
            });
            found.push(start..at);
        }
    }
}

/// Where the block ends whose first label ends at `at`.
fn end_of_block(text: &str, start: usize) -> usize {
    let mut at = start;
    while let Some(label) = text[at..].find("PRIVATE KEY").map(|skip| at + skip) {
        let line = &text.as_bytes()[at.max(label.saturating_sub(48))..label];
        at = label + "PRIVATE KEY".len();
        let between = memchr::memmem::rfind(line, b"END").map(|end| &line[end + 3..]);
        if between
            .is_some_and(|between| between.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' '))
        {
            let rest = text[at..].strip_prefix(" BLOCK").unwrap_or(&text[at..]);
            let dashes = rest.trim_start_matches(' ').trim_start_matches('-');
            let has_dashes = rest.trim_start_matches(' ').starts_with('-');
            return text.len() - if has_dashes { dashes.len() } else { rest.len() };
        }
    }
    // A quote ends the string that the text holds the key in.
    let end = text[start..].find(['"', '<', '`']).map_or(text.len(), |skip| start + skip);
    start + text[start..end].trim_end_matches('\\').len()
}
