//! A block: 64 bytes of a document and one bit a byte for what they are. Comparing 64 bytes at once is what makes
//! passing over a body cheap. The vector instructions are chosen at run time, without unsafe code of our own.

use fearless_simd::{Simd, prelude::*, u8x64};

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
    /// `n`, which a line feed is escaped as.
    pub letter_n: u64,
    /// `:`
    pub colon: u64,
    /// `{ } [ ] ,`
    pub structural: u64,
    /// Bytes up to 0x20: white space and control characters.
    pub blank: u64,
}

/// The block that begins at `at`, where it lies; past the end of `bytes` it is filled with spaces, in `tail`.
#[inline(always)]
pub(super) fn at<'a>(bytes: &'a [u8], at: usize, tail: &'a mut [u8; WIDTH]) -> &'a [u8; WIDTH] {
    match bytes.get(at..).and_then(|rest| rest.first_chunk::<WIDTH>()) {
        Some(block) => block,
        None => copy_tail(bytes, at, tail),
    }
}

#[cold]
fn copy_tail<'a>(bytes: &[u8], at: usize, tail: &'a mut [u8; WIDTH]) -> &'a [u8; WIDTH] {
    let rest = bytes.get(at..).unwrap_or_default();
    *tail = [b' '; WIDTH];
    tail[..rest.len()].copy_from_slice(rest);
    tail
}

#[inline(always)]
fn equal<S: Simd>(lanes: u8x64<S>, byte: u8) -> u64 {
    lanes.simd_eq(byte).to_bitmask()
}

/// The masks that a string needs: what ends or interrupts it (quotes, backslashes, control characters), and which of
/// these are backslashes.
#[inline(always)]
pub(super) fn string_masks<S: Simd>(simd: S, block: &[u8; WIDTH]) -> (u64, u64) {
    let lanes = u8x64::from_slice(simd, block);
    let backslash = equal(lanes, b'\\');
    (equal(lanes, b'"') | backslash | lanes.simd_lt(0x20).to_bitmask(), backslash)
}

/// Quotes and backslashes.
#[inline(always)]
pub(super) fn quote_masks<S: Simd>(simd: S, block: &[u8; WIDTH]) -> (u64, u64) {
    let lanes = u8x64::from_slice(simd, block);
    (equal(lanes, b'"'), equal(lanes, b'\\'))
}

/// What tells where a container ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brackets {
    /// `"`
    pub quote: u64,
    /// `\`
    pub backslash: u64,
    /// `{ [`
    pub open: u64,
    /// `} ]`
    pub close: u64,
}

/// The masks that the end of a container needs.
#[inline(always)]
pub(super) fn bracket_masks<S: Simd>(simd: S, block: &[u8; WIDTH]) -> Brackets {
    let lanes = u8x64::from_slice(simd, block);
    // With bit 5 set, `{` and `[` are one byte, and so are `}` and `]`; no other byte becomes either.
    let folded = lanes | 0x20;
    Brackets {
        quote: equal(lanes, b'"'),
        backslash: equal(lanes, b'\\'),
        open: folded.simd_eq(b'{').to_bitmask(),
        close: folded.simd_eq(b'}').to_bitmask(),
    }
}

/// All masks.
#[inline(always)]
pub(super) fn masks<S: Simd>(simd: S, block: &[u8; WIDTH]) -> Masks {
    let lanes = u8x64::from_slice(simd, block);
    // With bit 5 set, `{` and `[` are one byte, and so are `}` and `]`. `,` has that bit already; the control character
    // that it makes look like one is taken out again.
    let folded = lanes | 0x20;
    let structural = folded.simd_eq(b'{') | folded.simd_eq(b'}') | folded.simd_eq(b',');
    let blank = lanes.simd_le(0x20).to_bitmask();
    Masks {
        quote: equal(lanes, b'"'),
        backslash: equal(lanes, b'\\'),
        control: lanes.simd_lt(0x20).to_bitmask(),
        letter_n: equal(lanes, b'n'),
        colon: equal(lanes, b':'),
        structural: structural.to_bitmask() & !blank,
        blank,
    }
}

/// Which bytes are digits.
#[inline(always)]
pub(super) fn digits<S: Simd>(simd: S, block: &[u8; WIDTH]) -> u64 {
    let lanes = u8x64::from_slice(simd, block);
    (lanes.simd_ge(b'0') & lanes.simd_le(b'9')).to_bitmask()
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

/// Of a mask of backslashes, those that begin an escape: in each run of them the first, the third and so on. The byte
/// before the block must not begin one.
#[inline(always)]
pub(super) fn escape_starts(backslash: u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let run_starts = backslash & !(backslash << 1);
    // Adding its first bit to a run carries through it and clears it: what is cleared are the runs that begin at an
    // even bit, whose escapes begin at even bits too.
    let even_runs = backslash & !backslash.wrapping_add(run_starts & EVEN);
    (even_runs & EVEN) | (backslash & !even_runs & !EVEN)
}
