//! Assignments: what is said to be a password, a secret, a token or a key, in a line of a program, a configuration, an
//! environment, JSON, a command or a sentence.

use std::ops::Range;

use super::key::whole;
use super::token::is_mixed;
use super::{Detector, Find, HIDDEN, Looked, Rule};

/// Words that say that something is secret. A key alone may be any key.
macro_rules! words {
    () => {
        "(?:pass(?:w(?:or)?d|wort|phrase)?|kennwort|mot de passe|contrase(?:ñ|n)a|senha|pwd|secret|token|credential|(?:api|access|auth|private|secret|signing|encryption|\
         account|client|shared|master)[_ -]?key)"
    };
}

/// A name with such a word in it.
macro_rules! name {
    () => {
        concat!("(?i)(?<name>[a-z0-9_.-]*", words!(), "[a-z0-9_-]*)")
    };
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        detector: Detector::Token,
        trigger: concat!("(?i-u)", words!()),
        find: Find::Regex(
            concat!(name!(), "[\"'`\\]]{0,2}(?<joint>\\s*(?::=|=>|==?|:|>|\\s(?:is|are)(?-u:\\b):?)\\s*)"),
            assigned,
        ),
    },
    // In a sentence or a table: "the password for the test account is", "password - ", "| password |".
    Rule {
        detector: Detector::Token,
        trigger: concat!("(?i-u)", words!()),
        find: Find::Regex(
            concat!(
                name!(),
                "[\"'`\\]*]{0,3}(?:(?:\\s(?:for|of|to|für)(?:\\s[^\\s:=]+){1,4}?)?\\s+(?:is|are|ist|lautet|est|es)[\\s:]+",
                "|\\s*[|→–-]\\s*|[\\s:*]+)"
            ),
            told,
        ),
    },
    Rule {
        detector: Detector::Token,
        trigger: "--[A-Za-z]",
        find: Find::Regex(concat!("(?i)--(?<name>[a-z0-9-]*", words!(), "[a-z0-9-]*)(?<joint>[ =]+)"), assigned),
    },
];

/// How much a name says of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// The value is a password, whatever it looks like.
    Password,
    /// The value is secret if it looks random.
    Secret,
    /// The same; but many a token is a word, or the place in a list.
    Token,
}

/// What may follow the word in a name.
const SUFFIXES: [&str; 13] = [
    "",
    "key",
    "keybase",
    "value",
    "val",
    "hash",
    "text",
    "string",
    "base64",
    "b64",
    "plaintext",
    "access",
    "accesskey",
];

/// What shows that a token is none to sign in with: marks of a text's parts, and places in a list of results.
const OTHER_TOKENS: [&str; 22] = [
    "next",
    "page",
    "pagination",
    "continuation",
    "cursor",
    "idempotency",
    "clientrequest",
    "stop",
    "eos",
    "bos",
    "pad",
    "unk",
    "mask",
    "cls",
    "sep",
    "start",
    "end",
    "max",
    "min",
    "num",
    "special",
    "sync",
];

/// The value of a member called `name`, if the name says that it is secret.
pub(in crate::redact) fn named(name: &str, value: &str) -> Option<Range<usize>> {
    // No name of that length is one, and a sentence is no name.
    if name.len() > 64 || name.contains(' ') {
        return None;
    }
    if name.to_ascii_lowercase().ends_with("authorization") {
        let scheme = value.find(' ').map_or(0, |space| space + 1);
        return (value.len() - scheme >= 6 && !value.starts_with('[')).then_some(scheme..value.len());
    }
    let class = class_of(name)?;
    (value.len() <= MAX_VALUE && is_secret(class, value, true)).then_some(0..value.len())
}

/// No password is longer; what is longer is a text about one.
const MAX_VALUE: usize = 1024;

fn class_of(name: &str) -> Option<Class> {
    // In `DB_PASS`; other words end so too.
    let short = name.get(name.len().saturating_sub(4)..).is_some_and(|end| end.eq_ignore_ascii_case("pass"));
    if short && name[..name.len() - 4].chars().next_back().is_none_or(|before| !before.is_alphanumeric()) {
        return Some(Class::Secret);
    }
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect();
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let keys =
        ["apikey", "accesskey", "authkey", "privatekey", "secretkey", "signingkey", "encryptionkey", "accountkey"];
    let keys = keys.into_iter().chain(["clientkey", "sharedkey", "masterkey"]).map(|word| (word, Class::Secret));
    let words = [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "passwort",
        "kennwort",
        "motdepasse",
        "contrasea",
        "contrasena",
        "senha",
    ];
    let words = words.map(|word| (word, Class::Password)).into_iter();
    let others = [("secret", Class::Secret), ("credential", Class::Secret), ("token", Class::Token)];
    let found = words.chain(others).chain(keys).filter_map(|(word, class)| {
        let at = last(name, word)?;
        let suffix = &name[at + word.len()..];
        SUFFIXES.contains(&suffix).then_some((at, class))
    });
    let (at, class) = found.min_by_key(|(at, _)| *at)?;
    let other = class == Class::Token && OTHER_TOKENS.iter().any(|word| name[..at].ends_with(word));
    (!other).then_some(class)
}

/// Where a word stands last in a name. Names are short: looking at each place costs less than preparing a search.
fn last(name: &str, word: &str) -> Option<usize> {
    let (name, word) = (name.as_bytes(), word.as_bytes());
    name.windows(word.len()).rposition(|window| window.first() == word.first() && window == word)
}

fn assigned(looked: &Looked<'_>, captures: &regex::Captures<'_>) -> Result<Range<usize>, usize> {
    let (Some(name), Some(joint)) = (captures.name("name"), captures.name("joint")) else {
        return Err(captures.get(0).map_or(0, |whole| whole.end()));
    };
    let (value, quoted) = value_at(looked.text, joint.end());
    // A rejected value is looked through by itself: it may hold an assignment.
    let rejected = Err(value.start);
    // In `arn:aws:secretsmanager:…:secret:name` nothing is assigned.
    let part = looked.byte_before(name.start()) == Some(b':') && joint.as_str() == ":";
    let Some(class) = class_of(name.as_str()).filter(|_| !part && value.len() <= MAX_VALUE) else { return rejected };
    let text = &looked.text[value.clone()];
    if quoted {
        return if is_secret(class, text, true) { Ok(value) } else { rejected };
    }
    let rest = &looked.text[value.end..];
    // What ends a sentence is no part of a word; of a password it may be.
    let ends: &[char] = if class == Class::Password { &['.', ':'] } else { &['.', ':', '!', '?'] };
    let text = text.trim_end_matches(ends);
    // A call, or an index, is a place that the secret comes from.
    if rest.starts_with(['(', '[']) || text.is_empty() {
        return rejected;
    }
    let joint = joint.as_str().trim();
    let word = text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') && !is_mixed(text);
    let said = ["is", "are"].iter().any(|verb| joint.trim_end_matches(':').eq_ignore_ascii_case(verb));
    // "The password: it must be long" goes on; "password: swordfish" does not.
    let goes_on = joint.contains(':') && rest.trim_start_matches([' ', '\t']).starts_with(char::is_alphanumeric);
    if word && (said || goes_on) {
        return rejected;
    }
    if is_secret(class, text, false) { Ok(value.start..value.start + text.len()) } else { rejected }
}

/// The value that begins at `at`, and whether it is quoted. Beyond what any value has it is not read.
fn value_at(text: &str, at: usize) -> (Range<usize>, bool) {
    let rest = &text[at..];
    let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\'' | '`'));
    let start = at + usize::from(quote.is_some());
    let mut end = start;
    let mut is_escaped = false;
    for c in text[start..].chars() {
        let stop = match quote {
            Some(quote) => !is_escaped && c == quote || c == '\n',
            None => c.is_whitespace() || "\"'`,;&<>(){}[]|\\".contains(c),
        };
        if stop || c == HIDDEN || end - start > MAX_VALUE {
            break;
        }
        is_escaped = quote.is_some() && c == '\\' && !is_escaped;
        end += c.len_utf8();
    }
    (start..end, quote.is_some())
}

/// What follows a word for a secret without being assigned is one if it has letters and digits, and but for passwords the
/// length of a token.
fn told(looked: &Looked<'_>, captures: &regex::Captures<'_>) -> Result<Range<usize>, usize> {
    let end = whole(captures).end;
    let Some(name) = captures.name("name") else { return Err(end) };
    let (value, _) = value_at(looked.text, end);
    let text = looked.text[value.clone()].trim_end_matches(['.', ':', '!', '?']);
    let has = |is: fn(&u8) -> bool| text.as_bytes().iter().any(is);
    let Some(class) = class_of(name.as_str()) else { return Err(end) };
    let least = if class == Class::Password { 6 } else { 20 };
    let random = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && !is_place(text) && !text.contains(' ');
    // Names of things have dashes.
    let named = class != Class::Password && text.contains('-');
    let secret = (least..=MAX_VALUE).contains(&text.len()) && random && !named && is_secret(class, text, false);
    if secret { Ok(value.start..value.start + text.len()) } else { Err(end) }
}

/// Words that stand where a secret would.
const PLACEHOLDERS: [&str; 16] = [
    "null",
    "none",
    "true",
    "false",
    "string",
    "undefined",
    "required",
    "optional",
    "redacted",
    "empty",
    "text",
    "number",
    "boolean",
    "object",
    "bearer",
    "basic",
];

fn is_secret(class: Class, value: &str, quoted: bool) -> bool {
    let lower = value.to_ascii_lowercase();
    let first = value.bytes().next().unwrap_or_default();
    let placeholder = PLACEHOLDERS.contains(&lower.as_str())
        // The last one covers a mask.
        || matches!(first, b'[' | b'<' | b'$' | b'{' | b'%' | 0x1a)
        || value.bytes().all(|byte| byte == first);
    if placeholder {
        return false;
    }
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    match class {
        Class::Password => value.len() >= if quoted { 1 } else { 4 },
        _ if value.contains(char::is_whitespace) || digits || is_place(value) => false,
        Class::Secret => value.len() >= 6 && (is_mixed(value) || value.len() >= 24),
        Class::Token => value.len() >= 8 && (is_mixed(value) || value.len() >= 24) && !is_uuid(value),
    }
}

/// Whether a value says where something is.
fn is_place(value: &str) -> bool {
    value.starts_with('/') || value.starts_with("./") || value.starts_with("arn:") || value.contains("://")
}

fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value
            .bytes()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}
