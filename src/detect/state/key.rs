//! A key: who is counted, as 16 bytes; and an event's id, in as many. Texts are in neither, so that a million keys are small.

use sha2::{Digest as _, Sha256};

use crate::detect::hit::Hit;

/// The hash of a rule, a group and, where findings are counted, a dedup string. Half of a SHA-256: nobody who chooses
/// names can make two the same, and it is the same in every version of the program.
pub(super) type Key = [u8; 16];

/// Where a group's findings are counted.
pub(super) fn counted(finding: &Hit<'_>) -> Key {
    key(b"count", finding, Some(finding.dedup()))
}

/// Where a group's events before are remembered: it has one history, whatever its findings are told under.
pub(super) fn history(finding: &Hit<'_>) -> Key {
    key(b"history", finding, None)
}

fn key(kind: &[u8], finding: &Hit<'_>, dedup: Option<&str>) -> Key {
    let mut hash = Sha256::new_with_prefix(kind);
    let values = finding.group.iter().map(|(_, value)| value.as_str());
    for text in std::iter::once(finding.rule.id.as_str()).chain(dedup).chain(values) {
        // With its length, a text ends where it ends.
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    half(&hash.finalize())
}

/// The identity of the alert of a key that was opened by the event of this time.
pub(super) fn alert_id(key: &Key, opened: i64) -> [u8; 16] {
    half(&Sha256::new_with_prefix(key).chain_update(opened.to_le_bytes()).finalize())
}

pub(super) fn half(digest: &[u8]) -> [u8; 16] {
    digest.first_chunk().copied().unwrap_or_default()
}

/// An event's id in 16 bytes, with the form of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventId {
    pub(super) bytes: [u8; 16],
    pub(super) form: Form,
}

/// How the text of an id comes from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// 32 hexadecimal digits, as of a row id.
    Hex = 0,
    /// The same with hyphens, as CloudTrail's.
    Uuid = 1,
    /// It does not: the bytes are a hash, and the text is kept beside it.
    Text = 2,
}

impl Form {
    pub(super) fn of(number: u64) -> Self {
        match number {
            0 => Self::Hex,
            1 => Self::Uuid,
            _ => Self::Text,
        }
    }
}

/// Where a UUID has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl EventId {
    pub(super) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        if bytes.len() == 32
            && let Some(bytes) = packed(bytes.iter())
        {
            return Self { bytes, form: Form::Hex };
        }
        if bytes.len() == 36
            && HYPHENS.iter().all(|at| bytes[*at] == b'-')
            && let Some(bytes) =
                packed(bytes.iter().enumerate().filter(|(at, _)| !HYPHENS.contains(at)).map(|(_, b)| b))
        {
            return Self { bytes, form: Form::Uuid };
        }
        Self { bytes: half(&Sha256::digest(bytes)), form: Form::Text }
    }

    /// The text, if the bytes have it.
    pub(super) fn text(self) -> Option<String> {
        let hex = hex(&self.bytes);
        match self.form {
            Form::Hex => Some(hex),
            Form::Uuid => Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")),
            Form::Text => None,
        }
    }

    pub(super) fn words(self) -> [u64; 2] {
        let number = u128::from_be_bytes(self.bytes);
        [(number >> 64) as u64, (number & u128::from(u64::MAX)) as u64]
    }

    pub(super) fn from_words(words: [u64; 2], form: Form) -> Self {
        Self { bytes: (u128::from(words[0]) << 64 | u128::from(words[1])).to_be_bytes(), form }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    crate::json::push_hex(&mut text, bytes);
    String::from_utf8(text).unwrap_or_default()
}

/// 32 lower-case hexadecimal digits as bytes; an upper-case one would not come back as it was.
fn packed<'a>(digits: impl Iterator<Item = &'a u8>) -> Option<[u8; 16]> {
    let mut number = 0_u128;
    let mut count = 0;
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u128::from(value);
        count += 1;
    }
    (count == 32).then(|| number.to_be_bytes())
}

/// The 16 bytes behind an alert's id, if it is one.
pub(super) fn unhex(id: &str) -> Option<[u8; 16]> {
    packed(id.as_bytes().iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_it_was_or_is_kept_as_a_text() {
        let check = |text: &str, form: Form| {
            let id = EventId::of(text);
            assert_eq!(id.form, form, "{text}");
            assert_eq!(id.text(), (form != Form::Text).then(|| text.to_owned()), "{text}");
            assert_eq!(EventId::from_words(id.words(), form), id);
        };
        check("0123456789abcdef0123456789abcdef", Form::Hex);
        check("01234567-89ab-cdef-0123-456789abcdef", Form::Uuid);
        check("0123456789ABCDEF0123456789abcdef", Form::Text);
        check("01234567-89ab-cdef-0123-456789abcde-", Form::Text);
        check("0123456789abcdef0123456789abcde\u{e9}", Form::Text);
        check("event-1", Form::Text);
        check("", Form::Text);
    }
}
