//! Channels: what acknowledgements are counted by.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// A new channel: a random UUID (RFC 9562, version 4).
pub(super) fn new() -> String {
    // The hasher's keys are random: random numbers without a dependency.
    let random = || RandomState::new().build_hasher().finish();
    let bits = u128::from(random()) << 64 | u128::from(random());
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_random_uuids() {
        let channels: Vec<String> = (0..100).map(|_| new()).collect();
        for channel in &channels {
            let parts: Vec<usize> = channel.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{channel}");
            assert!(channel.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()), "{channel}");
            assert!(channel.as_bytes()[14] == b'4' && b"89ab".contains(&channel.as_bytes()[19]), "{channel}");
            assert_eq!(channels.iter().filter(|other| *other == channel).count(), 1);
        }
    }
}
