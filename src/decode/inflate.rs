//! Inflating gzip: whole records in one call where that is safe, member by member otherwise, never past the limit.

use std::io::{self, Read};

use crate::reject::{Fault, Reason, Stage};

const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A byte of deflate makes at most this many (RFC 1951: a match of 258 bytes for two bits, and their like). A size in
/// the trailer that promises more is a lie, and no reason to reserve memory.
const MAX_RATIO: usize = 1032;

/// Whether `bytes` begin as a gzip member does.
pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Inflates with reused state.
pub struct Inflater {
    whole: libdeflater::Decompressor,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { whole: libdeflater::Decompressor::new() }
    }
}

impl Inflater {
    /// Inflates all members of `data` to the start of `out`, whose length is of no meaning before or after, and gives
    /// the number of bytes. With a fault, these bytes are what the members before it hold.
    pub fn inflate(&mut self, data: &[u8], limit: usize, out: &mut Vec<u8>) -> (usize, Option<Fault>) {
        if let Some(length) = self.inflate_whole(data, limit, out) {
            return (length, None);
        }
        inflate_members(data, limit, out)
    }

    /// The fast way, for one member whose trailer is at the end of `data`; `None` where that is not so.
    ///
    /// libdeflate stops at the end of the first member and does not say where that was, so this takes only what
    /// cannot hold a second one: no further magic number anywhere, and a trailer that is the output's own.
    fn inflate_whole(&mut self, data: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<usize> {
        let body = data.get(MAGIC.len()..data.len().checked_sub(8)?)?;
        let trailer = data.last_chunk::<8>()?;
        let [c0, c1, c2, c3, s0, s1, s2, s3] = *trailer;
        let size = usize::try_from(u32::from_le_bytes([s0, s1, s2, s3])).ok()?;
        if size > limit || size / MAX_RATIO > data.len() {
            return None;
        }
        // The method is always 8, deflate, so a member begins with three known bytes.
        if memchr::memmem::find(body, &[MAGIC[0], MAGIC[1], 8]).is_some() {
            return None;
        }
        // One byte more than promised: a longer output is then seen as such.
        if out.len() < size + 1 {
            out.resize(size + 1, 0);
        }
        let length = self.whole.gzip_decompress(data, &mut out[..=size]).ok()?;
        let whole = length == size && libdeflater::crc32(&out[..length]) == u32::from_le_bytes([c0, c1, c2, c3]);
        whole.then_some(length)
    }
}

/// The general way: any number of members, padding behind the last, a limit that holds while inflating.
fn inflate_members(data: &[u8], limit: usize, out: &mut Vec<u8>) -> (usize, Option<Fault>) {
    let mut rest = data;
    let mut length = 0;
    while !rest.is_empty() {
        if length > 0 && !is_gzip(rest) {
            // Zeros are padding, as gzip(1) takes them; anything else was meant to be something.
            let padding = rest.iter().all(|&byte| byte == 0);
            let fault = Fault::new(Stage::Decode, Reason::Corrupt, "bytes that are no gzip behind the last member");
            return (length, (!padding).then_some(fault));
        }
        let mut member = flate2::bufread::GzDecoder::new(rest);
        match read_member(&mut member, limit, length, out) {
            Ok(end) => length = end,
            Err(fault) => return (length, Some(fault)),
        }
        rest = member.into_inner();
    }
    (length, None)
}

/// Reads one member to `out` from `start` on and gives the end of its bytes.
fn read_member(member: &mut impl Read, limit: usize, start: usize, out: &mut Vec<u8>) -> Result<usize, Fault> {
    const STEP: usize = 64 * 1024;
    let mut end = start;
    loop {
        if out.len() < end + STEP {
            // Grow by half, so that a long member is not copied at every step; the limit bounds it.
            let grown = (end + end / 2).min(limit) + STEP;
            out.resize(grown.max(end + STEP), 0);
        }
        match member.read(&mut out[end..end + STEP]) {
            Ok(0) => return Ok(end),
            Ok(read) => end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(damage(&error)),
        }
        if end > limit {
            let detail = format!("more than {limit} bytes after inflating");
            return Err(Fault::new(Stage::Decode, Reason::TooLarge, detail));
        }
    }
}

fn damage(error: &io::Error) -> Fault {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Fault::new(Stage::Decode, Reason::Truncated, "the gzip stream ends too early")
    } else {
        Fault::new(Stage::Decode, Reason::Corrupt, "the gzip stream is damaged")
    }
}
