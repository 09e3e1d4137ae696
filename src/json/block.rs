//! A block: 64 bytes of a document and one bit a byte for what they are. Comparing 64 bytes at once is what makes
//! passing over a body cheap; `wide` does it without unsafe code and without asking for a newer processor.

use wide::u8x16;

/// Bytes in a block: one bit each in a 64-bit mask.
pub(super) const WIDTH: usize = 64;

/// What each byte of a block is, a bit each, the first byte lowest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masks {
    /// `"`
    pub quote: u64,
    /// `\`
    pub backslash: u64,
    /// Bytes below 0x20, which no string may hold.
    pub control: u64,
    /// `{ } [ ] : ,`
    pub structural: u64,
    /// Space, line feed, carriage return, tab.
    pub white: u64,
}

/// The block that begins at `at`; past the end of `bytes` it is filled with spaces.
#[inline(always)]
pub(super) fn load(bytes: &[u8], at: usize) -> [u8; WIDTH] {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<WIDTH>()) {
        Some(block) => *block,
        None => load_tail(bytes, at),
    }
}

#[cold]
fn load_tail(bytes: &[u8], at: usize) -> [u8; WIDTH] {
    let mut block = [b' '; WIDTH];
    let rest = bytes.get(at..).unwrap_or_default();
    block[..rest.len()].copy_from_slice(rest);
    block
}

#[inline(always)]
fn lanes(block: &[u8; WIDTH]) -> [u8x16; 4] {
    let lane = |i: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&block[i * 16..i * 16 + 16]);
        u8x16::new(bytes)
    };
    [lane(0), lane(1), lane(2), lane(3)]
}

#[inline(always)]
fn mask(lanes: &[u8x16; 4], test: impl Fn(u8x16) -> u8x16) -> u64 {
    let bits = |i: usize| u64::from(test(lanes[i]).to_bitmask()) << (16 * i);
    bits(0) | bits(1) | bits(2) | bits(3)
}

#[inline(always)]
fn equal(lane: u8x16, byte: u8) -> u8x16 {
    lane.simd_eq(u8x16::splat(byte))
}

#[inline(always)]
fn control(lane: u8x16) -> u8x16 {
    lane.min(u8x16::splat(0x1f)).simd_eq(lane)
}

/// The masks that a string needs: quotes, backslashes and control characters, in one.
#[inline(always)]
pub(super) fn string_masks(block: &[u8; WIDTH]) -> (u64, u64) {
    let lanes = lanes(block);
    let backslash = mask(&lanes, |lane| equal(lane, b'\\'));
    let special = mask(&lanes, |lane| equal(lane, b'"') | equal(lane, b'\\') | control(lane));
    (special, backslash)
}

/// All masks.
#[inline(always)]
pub(super) fn masks(block: &[u8; WIDTH]) -> Masks {
    let lanes = lanes(block);
    // With bit 5 set, `{` and `[` are one byte, and so are `}` and `]`. `,` and `:` have that bit already; the control
    // characters that it makes look like them are refused by `control` wherever they stand.
    let folded = [0, 1, 2, 3].map(|i| lanes[i] | u8x16::splat(0x20));
    let control = mask(&lanes, control);
    let structural =
        mask(&folded, |lane| equal(lane, b'{') | equal(lane, b'}') | equal(lane, b',') | equal(lane, b':')) & !control;
    let white = mask(&lanes, |lane| equal(lane, b' ') | equal(lane, b'\n') | equal(lane, b'\r') | equal(lane, b'\t'));
    Masks {
        quote: mask(&lanes, |lane| equal(lane, b'"')),
        backslash: mask(&lanes, |lane| equal(lane, b'\\')),
        control,
        structural,
        white,
    }
}

/// For every bit, whether an odd number of bits at or below it is set: with quotes, the bytes from an opening quote up
/// to before its closing one.
#[inline(always)]
pub(super) fn parity(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}
