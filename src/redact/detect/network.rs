//! Addresses of hosts. Those that mean no host, the own one or everybody, and masks of networks, tell nothing and stay.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::key::whole;
use super::{Detector, Find, Looked, Rule};

pub(super) const RULES: &[Rule] = &[
    Rule {
        detector: Detector::Ip,
        trigger: r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
        find: Find::Regex(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", v4),
    },
    Rule {
        detector: Detector::Ip,
        trigger: ":[0-9A-Fa-f]{0,4}:",
        find: Find::Regex(r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.[0-9]{1,3}){0,3}", v6),
    },
];

fn v4(looked: &Looked<'_>, captures: &regex::Captures<'_>) -> Result<Range<usize>, usize> {
    let range = whole(captures);
    let again = Err(range.start + 1);
    let Ok(address) = looked.text[range.clone()].parse::<Ipv4Addr>() else { return again };
    let [first, ..] = address.octets();
    let tells_nothing = first == 0 || first == 255 || address.is_loopback();
    // A version of four parts looks the same: `Chrome/120.0.0.1`, `version 1.2.3.4`.
    let product = looked.text[..range.start]
        .strip_suffix('/')
        .is_some_and(|before| before.ends_with(|c: char| c.is_alphabetic()));
    let version = product || looked.is_after(&["version", "release", " ver", "firmware"], range.start, 12);
    let alone = looked.stands_alone(&range, &['-', '.']);
    if tells_nothing || version || !alone { again } else { Ok(range) }
}

fn v6(looked: &Looked<'_>, captures: &regex::Captures<'_>) -> Result<Range<usize>, usize> {
    let found = whole(captures);
    let text = &looked.text[found.clone()];
    // A colon at the end belongs to the sentence.
    let text = if text.ends_with("::") { text } else { text.trim_end_matches(':') };
    let range = found.start..found.start + text.len();
    let Ok(address) = text.parse::<Ipv6Addr>() else { return Err(found.start + 1) };
    let first = address.segments()[0];
    // `a::b` is a path in many languages. All addresses in use begin with a large number, but for translated ones.
    let digits = text.bytes().any(|byte| byte.is_ascii_digit());
    let used = digits && (first >= 0x2000 || first == 0x64 || address.to_ipv4_mapped().is_some());
    if used && looked.stands_alone(&range, &[':']) { Ok(range) } else { Err(found.start + 1) }
}
