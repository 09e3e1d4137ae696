//! HMAC-SHA-256 (RFC 2104): what stands for a body that was taken out. Equal bodies have equal hashes, and only who has
//! the key can try what a hash was made of.

use std::fmt;

use sha2::{Digest, Sha256};

/// The bytes that SHA-256 takes at a time.
const BLOCK: usize = 64;

/// A key, ready for use. It is never shown.
#[derive(Clone)]
pub struct Key {
    inner: Sha256,
    outer: Sha256,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The key of these bytes, of any length.
    pub fn new(bytes: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if bytes.len() > BLOCK {
            block[..32].copy_from_slice(&Sha256::digest(bytes));
        } else {
            block[..bytes.len()].copy_from_slice(bytes);
        }
        let padded = |pad: u8| Sha256::new().chain_update(block.map(|byte| byte ^ pad));
        Self { inner: padded(0x36), outer: padded(0x5c) }
    }

    /// The hash of `bytes`.
    pub(crate) fn hash(&self, bytes: &[u8]) -> [u8; 32] {
        let inner = self.inner.clone().chain_update(bytes).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::push_hex;

    /// Source: RFC 4231, test cases 1, 2 and 6.
    #[test]
    fn the_published_vectors() {
        let check = |key: &[u8], text: &[u8], expected: &str| {
            let mut hex = Vec::new();
            push_hex(&mut hex, &Key::new(key).hash(text));
            assert_eq!(String::from_utf8(hex).unwrap(), expected);
        };
        check(&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        check(
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        check(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        );
    }

    #[test]
    fn a_key_is_never_shown() {
        assert_eq!(format!("{:?}", Key::new(b"secret")), "Key");
    }
}
