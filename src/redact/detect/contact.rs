//! Contacts: e-mail addresses and telephone numbers.

use std::ops::Range;

use super::key::whole;
use super::{Detector, Find, Looked, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule { detector: Detector::Email, trigger: "@|%40", find: Find::Code(emails) },
    Rule { detector: Detector::Phone, trigger: DIGITS, find: Find::Regex(WRITTEN, written) },
    Rule { detector: Detector::Phone, trigger: DIGITS, find: Find::Regex(SPOKEN, spoken) },
];

/// Seven digits with what may stand between them.
const DIGITS: &str = r"(?:[0-9][ ().\-/]{0,2}){6}[0-9]";

/// Characters of a mailbox and of a domain at most. Source: RFC 5321, section 4.5.3.1.
const MAX_MAILBOX: usize = 64;
const MAX_DOMAIN: usize = 255;

/// Endings of files that are called like `icon@2x.png`.
const FILES: [&str; 7] = ["png", "jpg", "jpeg", "gif", "webp", "svg", "pdf"];

fn emails(looked: &Looked<'_>, found: &mut Vec<Range<usize>>) {
    let text = looked.text;
    // In a URL's query the sign is `%40`.
    let plain = memchr::memchr_iter(b'@', text.as_bytes()).map(|at| (at, 1));
    let encoded = memchr::memmem::find_iter(text.as_bytes(), b"%40").map(|at| (at, 3));
    let mut signs: Vec<(usize, usize)> = plain.chain(encoded).collect();
    signs.sort_unstable();
    for (at, length) in signs {
        let floor = found.last().map_or(0, |last| last.end).min(at);
        let mailbox = text[floor..at].chars().rev().take(MAX_MAILBOX);
        let mailbox = mailbox.take_while(|c| c.is_alphanumeric() || "._%+-'=~".contains(*c));
        let mut start = at - mailbox.map(char::len_utf8).sum::<usize>();
        // Neither a quote nor what separates belongs to the name.
        start += text[start..at].len() - text[start..at].trim_start_matches(['.', '\'', '=', '-', '%', '+', '~']).len();
        let domain = text[at + length..].chars().take(MAX_DOMAIN);
        let domain = domain.take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '-'));
        let end = at + length + domain.map(char::len_utf8).sum::<usize>();
        let Some(domain) = domain_of(&text[at + length..end]) else { continue };
        let end = at + length + domain.len();
        // `git@host:path` names a repository, `user:password@host` is a part of a URL.
        let repository = &text[start..at] == "git" && text[end..].starts_with([':', '/']);
        let password = text.as_bytes()[..start].ends_with(b":") && {
            let before = &text.as_bytes()[start.saturating_sub(MAX_DOMAIN)..start];
            let word = before.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
            memchr::memmem::find(word, b"://").is_some()
        };
        if start < at && !repository && !password {
            found.push(start..end);
        }
    }
}

/// The domain that the text begins with.
fn domain_of(text: &str) -> Option<&str> {
    let mut domain = text.trim_end_matches(['.', '-']);
    // Behind the top-level domain a sentence may go on without a space.
    while let Some((rest, last)) = domain.rsplit_once('.') {
        let top = last.chars().count() >= 2 && last.chars().all(char::is_alphabetic) || last.starts_with("xn--");
        if top && !rest.is_empty() && !rest.split('.').any(str::is_empty) {
            return (!FILES.contains(&last.to_ascii_lowercase().as_str())).then_some(domain);
        }
        domain = rest;
    }
    None
}

/// Numbers that their form shows: international ones, those of North America, those that begin with the 0 of a trunk
/// line, and those with an area in brackets.
const WRITTEN: &str = r"(?x)
    \+[1-9][0-9]{0,14}(?:[\ .\-/]{0,2}\(?[0-9]{1,12}\)?){0,6}
  | 00\ ?[1-9][0-9]{0,3}(?:[\ .\-/]\(?[0-9]{1,8}\)?){1,5}
  | (?:1[\ .\-])?(?:\([2-9][0-9]{2}\)[\ .\-]?|[2-9][0-9]{2}[\ .\-/])[0-9]{3}[\ .\-][0-9]{4}
  | \(?0[1-9][0-9]{0,4}\)?(?:(?:[\ .\-/]|\ /\ )[0-9]{2,8}){1,4}
  | \([0-9]{2,5}\)\ ?[0-9]{3,5}[\ \-][0-9]{3,5}";

/// Digits of a number at most. Source: ITU-T E.164.
const MAX_DIGITS: usize = 15;

fn written(looked: &Looked<'_>, captures: &regex::Captures<'_>) -> Result<Range<usize>, usize> {
    let mut range = whole(captures);
    let number = &looked.text[range.clone()];
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
    let first = number.as_bytes()[0];
    let (least, most) = match first {
        b'+' => (8, MAX_DIGITS),
        b'0' if number.starts_with("00 ") => (12, MAX_DIGITS + 2),
        b'0' if number.starts_with("00") => (10, MAX_DIGITS + 2),
        b'0' => (9, 12),
        _ => (8, 12),
    };
    // What follows after a space may be another number.
    let mut text = number;
    while digits(text) > most {
        let Some((shorter, _)) = text.rsplit_once([' ', '.', '-', '/']) else { return Err(range.start + 1) };
        text = shorter;
    }
    range.end = range.start + text.trim_end_matches([' ', '.', '-', '/', '(']).len();
    let groups: Vec<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
    let is_year = |group: &str| group.len() == 4 && (group.starts_with("19") || group.starts_with("20"));
    let date = matches!(groups[..], [day, month, year, ..] if day.len() == 2 && month.len() == 2 && is_year(year));
    let cited = first == b'(' && groups.first().is_some_and(|group| is_year(group));
    if digits(text) < least || date || cited || !looked.stands_alone(&range, &['-', '.', '/']) {
        return Err(range.start + 1);
    }
    Ok(range)
}

/// Any number, behind a word that says what it is.
const SPOKEN: &str = r"[0-9](?:[ ().\-/]{0,2}[0-9]){6,14}";

const WORDS: [&str; 12] =
    ["phone", "tel:", "tel.", "tel ", "telefon", "téléphone", "mobile", "mobil", "handy", "whatsapp", "sms", "fax"];

const CALLS: [&str; 6] = ["call me", "call us", "reach me", "cell:", "cell ", "telefono"];

fn spoken(looked: &Looked<'_>, captures: &regex::Captures<'_>) -> Result<Range<usize>, usize> {
    let range = whole(captures);
    let named = looked.name.eq_ignore_ascii_case("tel") || looked.name.eq_ignore_ascii_case("cell");
    let said = named || looked.is_after(&WORDS, range.start, 24) || looked.is_after(&CALLS, range.start, 24);
    let alone = looked.stands_alone(&range, &['-', '.', '/']);
    if said && alone { Ok(range) } else { Err(range.end) }
}
