//! Numbers that prove themselves: payment cards and IBANs by their check digits, social security numbers by their form.

use std::ops::Range;

use super::key::whole;
use super::{Detector, Find, Looked, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule { detector: Detector::Card, trigger: "(?:[0-9][ .-]?){13}", find: Find::Code(cards) },
    Rule {
        detector: Detector::Iban,
        trigger: "[A-Za-z]{2}[0-9]{2}[ -]?[A-Za-z0-9]{4}",
        find: Find::Regex("[A-Za-z]{2}[0-9]{2}", iban),
    },
    Rule {
        detector: Detector::Ssn,
        trigger: "[0-9]{3}[ .-]?[0-9]{2}[ .-]?[0-9]{4}",
        find: Find::Regex("[0-9]{3}(?<first>[ .-]?)[0-9]{2}(?<second>[ .-]?)[0-9]{4}", ssn),
    },
];

/// Digits of a card's number.
const CARD: std::ops::RangeInclusive<usize> = 13..=19;

/// Runs of digits, in groups of three and more between single spaces, dashes or dots; or the part of a run that is a card's.
fn cards(looked: &Looked<'_>, found: &mut Vec<Range<usize>>) {
    let bytes = looked.text.as_bytes();
    let mut at = 0;
    while let Some(start) =
        bytes.get(at..).and_then(|rest| rest.iter().position(u8::is_ascii_digit)).map(|skip| at + skip)
    {
        let mut groups: Vec<Range<usize>> = Vec::new();
        at = start;
        loop {
            let length = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            groups.push(at..at + length);
            at += length;
            let joined =
                matches!(bytes.get(at), Some(b' ' | b'-' | b'.')) && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
            if !joined {
                break;
            }
            at += 1;
        }
        in_groups(looked, &groups, found);
    }
}

fn in_groups(looked: &Looked<'_>, groups: &[Range<usize>], found: &mut Vec<Range<usize>>) {
    let mut first = 0;
    while first < groups.len() {
        let mut length = 0;
        let mut next = first + 1;
        for (last, group) in groups.iter().enumerate().skip(first) {
            length += group.len();
            if length > *CARD.end() || group.len() < 3 {
                break;
            }
            let range = groups[first].start..group.end;
            // A dot once or twice is a number's or a date's.
            let dots = looked.text[range.clone()].bytes().filter(|byte| *byte == b'.').count();
            if CARD.contains(&length)
                && (dots == 0 || dots == 3)
                && is_card(&looked.text[range.clone()])
                && looked.stands_alone(&range, &['-', '.'])
            {
                found.push(range);
                next = last + 1;
                break;
            }
        }
        first = next;
    }
}

/// Whether digits, with whatever stands between them, are a card's number: by what it begins with, its length and its
/// check digit. Source: ISO/IEC 7812-1 and the networks' ranges of numbers.
pub(in crate::redact) fn is_card(text: &str) -> bool {
    let mut digits = [0; 19];
    let mut length = 0;
    for digit in text.bytes().filter(u8::is_ascii_digit) {
        let Some(slot) = digits.get_mut(length) else { return false };
        *slot = digit - b'0';
        length += 1;
    }
    let digits = &digits[..length];
    if !CARD.contains(&length) {
        return false;
    }
    let prefix = digits[..4].iter().fold(0, |sum, digit| sum * 10 + u32::from(*digit));
    let issued = match prefix {
        // Visa.
        4000..=4999 => matches!(length, 13 | 16 | 19),
        // Mastercard, Verve and Maestro.
        2221..=2720 | 5100..=5599 => length == 16,
        5000..=5099 | 5600..=5899 | 6304 | 6759..=6763 | 6300..=6399 => true,
        // American Express.
        3400..=3499 | 3700..=3799 => length == 15,
        // Diners Club.
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => length >= 14,
        // JCB.
        3528..=3589 => length >= 16,
        // Mir, Discover, RuPay, UnionPay and Troy.
        2200..=2204 | 6011 | 6440..=6599 | 6200..=6299 | 8100..=8199 | 9792 => length >= 16,
        _ => false,
    };
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| {
            let digit = u32::from(digit) << (place % 2);
            digit / 10 + digit % 10
        })
        .sum();
    issued && sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != digits[0])
}

/// Lengths of IBANs by country. Source: the IBAN registry (SWIFT), release 99.
const IBANS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 \
    EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 \
    LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 \
    RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30";

fn iban(looked: &Looked<'_>, captures: &regex::Captures<'_>) -> Result<Range<usize>, usize> {
    let start = whole(captures).start;
    let again = Err(start + 1);
    let country = looked.text[start..start + 2].to_ascii_uppercase();
    let Some(length) =
        IBANS.split_ascii_whitespace().find_map(|entry| entry.strip_prefix(&country)?.parse::<usize>().ok())
    else {
        return again;
    };
    let bytes = looked.text.as_bytes();
    let (mut end, mut count) = (start, 0);
    // The remainder of the number that the characters are, the first four of them last.
    let (mut head, mut rest) = (0_u32, 0_u32);
    let mut head_shift = 1_u32;
    while count < length {
        let value = match bytes.get(end) {
            Some(byte @ b'0'..=b'9') => u32::from(byte - b'0'),
            Some(byte) if byte.is_ascii_alphabetic() => u32::from(byte.to_ascii_uppercase() - b'A') + 10,
            Some(b' ' | b'-') if count > 0 && bytes.get(end - 1).is_some_and(u8::is_ascii_alphanumeric) => {
                end += 1;
                continue;
            }
            _ => return again,
        };
        let scale = if value > 9 { 100 } else { 10 };
        if count < 4 {
            head = (head * scale + value) % 97;
            head_shift = head_shift * scale % 97;
        } else {
            rest = (rest * scale + value) % 97;
        }
        (end, count) = (end + 1, count + 1);
    }
    let range = start..end;
    // Small letters and digits alone are what ids and hashes are made of.
    let small = looked.text[range.clone()].bytes().any(|byte| byte.is_ascii_lowercase());
    let said = !small || looked.is_after(&["iban", "account", "konto"], start, 24);
    let valid = (rest * head_shift + head) % 97 == 1 && said && looked.stands_alone(&range, &['-']);
    if valid { Ok(range) } else { again }
}

/// Source: Social Security Administration, "Social Security Number Randomization": what is never given out.
fn ssn(looked: &Looked<'_>, captures: &regex::Captures<'_>) -> Result<Range<usize>, usize> {
    let range = whole(captures);
    let separators = ["first", "second"].map(|name| captures.name(name).map_or("", |separator| separator.as_str()));
    if separators[0].is_empty() && looked.text.as_bytes().get(range.end).is_some_and(u8::is_ascii_digit) {
        let more = looked.text.as_bytes()[range.end..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        return Err(range.end + more);
    }
    let digits: String = looked.text[range.clone()].chars().filter(char::is_ascii_digit).collect();
    let (area, group, serial) = (&digits[..3], &digits[3..5], &digits[5..]);
    let given = area != "000" && area != "666" && !area.starts_with('9') && group != "00" && serial != "0000";
    let said = matches!(separators[0], " " | "-") || looked.is_after(&["ssn", "social security"], range.start, 40);
    let valid = given && said && separators[0] == separators[1] && looked.stands_alone(&range, &['-', '.']);
    if valid { Ok(range) } else { Err(range.start + 1) }
}
