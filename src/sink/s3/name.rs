//! Names of objects: made of what was read, so that whoever writes the same again writes it under the same name.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use crate::json::push_hex;
use crate::sink::Range;

/// The longest part of a name, in bytes: a sequence number has 56 digits, a stream's name up to 128 characters.
const MAX_PART_BYTES: usize = 80;

/// The bytes of the hash that tells names apart whose readable parts are the same.
const HASH_BYTES: usize = 8;

/// The name for what a range holds: `<stream>-<shard>-<from>-<to>-<hash>`. The hash is of all four as they are, since the
/// others are cut and made safe.
pub(super) fn of_range(range: &Range) -> String {
    let stream: &str = &range.partition.stream;
    let shard = range.partition.shard.to_string();
    let mut hasher = Sha256::new();
    let mut name = String::new();
    for part in [stream, &shard, &range.from, &range.to] {
        // The length before each: no two ranges are the same bytes.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
        let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
        name.extend(part.strip_prefix("after:").unwrap_or(part).chars().take(MAX_PART_BYTES).map(safe));
        name.push('-');
    }
    name.push_str(&hex(hasher.finalize().get(..HASH_BYTES).unwrap_or_default()));
    // No name is taken for a hidden file.
    if name.starts_with('.') { format!("_{name}") } else { name }
}

/// The name for an object's bytes, of which the first item is of this time.
pub(super) fn of_content(time: Timestamp, body: &[u8]) -> String {
    let time = TimeZone::UTC.to_datetime(time).strftime("%Y%m%dT%H%M%SZ").to_string();
    let digest = Sha256::digest(body);
    format!("{time}-{}", hex(digest.get(..2 * HASH_BYTES).unwrap_or_default()))
}

/// A text up to its last `/`.
pub(super) fn folder(text: &str) -> &str {
    text.rfind('/').map_or("", |at| &text[..=at])
}

fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Partition, ShardId};

    fn name(stream: &str, shard: &str, from: &str, to: &str) -> String {
        let partition = Partition { stream: stream.into(), shard: ShardId::new(shard) };
        of_range(&Range { partition, from: from.to_owned(), to: to.to_owned() })
    }

    #[test]
    fn a_range_has_one_name() {
        let number = "49590338271490256608559692538361571095921575989136588898";
        let found = name("bedrock", "shardId-000000000000", "start", &format!("after:{number}"));
        assert!(found.starts_with(&format!("bedrock-shardId-000000000000-start-{number}-")), "{found}");
        assert_eq!(found.len(), "bedrock-shardId-000000000000-start-".len() + 56 + 1 + 16);
        assert_eq!(found, name("bedrock", "shardId-000000000000", "start", &format!("after:{number}")));
    }

    #[test]
    fn no_two_ranges_share_a_name_and_none_is_unsafe() {
        let long = "a".repeat(5000);
        let parts = [
            ["a", "b-c", "1", "2"],
            ["a-b", "c", "1", "2"],
            ["a", "b/c", "1", "2"],
            ["a", "b_c", "1", "2"],
            ["a", "b-c", "after:1", "2"],
            ["a", "b-c", "1", "3"],
            ["../..", "ü\0\n?*", "", "after:1/7"],
            [".", ".", ".", "."],
            [&long, &long, &long, &long],
            [&long, &long, &long, &format!("{long}b")],
        ];
        let names: Vec<String> = parts.iter().map(|[a, b, c, d]| name(a, b, c, d)).collect();
        for (index, name) in names.iter().enumerate() {
            assert!(!names[..index].contains(name), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{name}");
            assert!(!name.starts_with('.') && name.len() <= 1024 - 600 - ".jsonl.zst".len(), "{name}");
        }
    }

    #[test]
    fn content_has_one_name() {
        let time: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let found = of_content(time, b"a");
        assert_eq!(found, "20260102T030405Z-ca978112ca1bbdcafac231b39a23dc4d");
        assert_ne!(found, of_content(time, b"b"));
    }

    #[test]
    fn a_folder_ends_with_its_slash() {
        assert_eq!((folder("a/b="), folder("a/"), folder("a"), folder("")), ("a/", "a/", "", ""));
    }
}
