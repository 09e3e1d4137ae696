//! Inflating gzip and zstd: whole records in one call where that is safe, member by member otherwise (a frame of zstd
//! counts as one), never past the limit.

use std::io::{self, Read};

use super::frame::{FRAME, Frame, is_zstd};
use crate::reject::{Fault, Reason, Stage};

const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How a member begins: the magic number and the only method there is, deflate (RFC 1952).
const MEMBER: [u8; 3] = [MAGIC[0], MAGIC[1], 8];

/// A byte of deflate makes at most this many (RFC 1951: a match of 258 bytes for two bits, and their like). A size in
/// the trailer that promises more is a lie, and no reason to reserve memory.
const MAX_RATIO: usize = 1032;

/// Whether `bytes` begin as a gzip member does.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Whether `bytes` begin as what can be inflated does.
pub(crate) fn is_compressed(bytes: &[u8]) -> bool {
    is_gzip(bytes) || is_zstd(bytes)
}

/// How members are compressed. One after the other, they are all of one kind.
#[derive(Clone, Copy)]
enum Kind {
    Gzip,
    Zstd,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn begins(self, bytes: &[u8]) -> bool {
        match self {
            Self::Gzip => is_gzip(bytes),
            Self::Zstd => is_zstd(bytes),
        }
    }

    /// What to look for behind damage.
    fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &MEMBER,
            Self::Zstd => &FRAME,
        }
    }

    fn damaged(self) -> Fault {
        let detail = match self {
            Self::Gzip => "the gzip stream is damaged",
            Self::Zstd => "the zstd frame is damaged",
        };
        Fault::new(Stage::Decode, Reason::Corrupt, detail)
    }
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

/// What inflating came to.
#[derive(Debug, Default)]
pub struct Inflated {
    /// The bytes at the start of the buffer that the whole members hold, one after the other.
    pub length: usize,
    /// Where members but the first begin: a document may go on over such a place, and a new one may begin there.
    pub seams: Vec<usize>,
    /// The bytes that were made, those of damaged members included.
    pub made: usize,
    /// What is wrong, if anything; the whole members around the damage are inflated all the same.
    pub fault: Option<Fault>,
}

impl Inflater {
    /// Inflates all members of `data` to the start of `out`, whose length is of no meaning before or after.
    pub fn inflate(&mut self, data: &[u8], limit: usize, out: &mut Vec<u8>) -> Inflated {
        if is_zstd(data) {
            return inflate_members(data, Kind::Zstd, limit, out);
        }
        match self.inflate_whole(data, limit, out) {
            Some(length) => Inflated { length, made: length, ..Inflated::default() },
            None => inflate_members(data, Kind::Gzip, limit, out),
        }
    }

    /// The fast way, for one member whose trailer is at the end of `data`; `None` where that is not so.
    ///
    /// libdeflate stops at the end of the first member and does not say where that was, so this takes only what
    /// cannot hold a second one: no further magic number anywhere, and a trailer that is the output's own.
    fn inflate_whole(&mut self, data: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<usize> {
        let (header, rest) = data.split_first_chunk::<10>()?;
        let (deflated, trailer) = rest.split_last_chunk::<8>()?;
        let [c0, c1, c2, c3, s0, s1, s2, s3] = *trailer;
        let size = usize::try_from(u32::from_le_bytes([s0, s1, s2, s3])).ok()?;
        // A header with names or other extras is rare, and a size that cannot be is a lie.
        if !header.starts_with(&MEMBER) || header[3] != 0 || size > limit || size / MAX_RATIO > data.len() {
            return None;
        }
        if memchr::memmem::find(deflated, &MEMBER).is_some() {
            return None;
        }
        // One byte more than promised: a longer output is then seen as such.
        if out.len() < size + 1 {
            out.resize(size + 1, 0);
        }
        let length = self.whole.deflate_decompress(deflated, &mut out[..=size]).ok()?;
        let whole = length == size && libdeflater::crc32(&out[..length]) == u32::from_le_bytes([c0, c1, c2, c3]);
        whole.then_some(length)
    }
}

/// The general way: any number of members, white space and padding between and behind them, damage in some of them,
/// and a limit that holds while inflating.
fn inflate_members(data: &[u8], kind: Kind, limit: usize, out: &mut Vec<u8>) -> Inflated {
    let mut rest = data;
    let mut inflated = Inflated::default();
    loop {
        // Zeros are padding, as gzip(1) takes them; line feeds are what Firehose puts between records if asked to.
        let blank = rest.iter().take_while(|byte| **byte == 0 || byte.is_ascii_whitespace()).count();
        rest = &rest[blank..];
        if rest.is_empty() {
            return inflated;
        }
        if inflated.length > 0 {
            inflated.seams.push(inflated.length);
        }
        let fault = if kind.begins(rest) {
            let (end, behind) = inflate_member(rest, kind, limit, &inflated, out);
            inflated.made += end - inflated.length;
            match behind {
                Ok(behind) => {
                    inflated.length = end;
                    rest = behind;
                    continue;
                }
                Err(fault) => fault,
            }
        } else {
            let detail = format!("bytes that are no {} between or behind members", kind.name());
            Fault::new(Stage::Decode, Reason::Corrupt, detail)
        };
        let next = memchr::memmem::find(&rest[1..], kind.magic());
        // A stream that ends too early is a damaged one if another follows.
        let cut_off = fault.reason == Reason::Truncated && next.is_some();
        inflated.fault = inflated.fault.or(Some(if cut_off { kind.damaged() } else { fault }));
        match next {
            Some(next) if inflated.made <= limit => rest = &rest[1 + next..],
            _ => return inflated,
        }
    }
}

/// Inflates the member that `bytes` begin with to `out`, behind what is there; gives the end of its bytes, and what is
/// behind it or what is wrong with it.
fn inflate_member<'a>(
    bytes: &'a [u8],
    kind: Kind,
    limit: usize,
    inflated: &Inflated,
    out: &mut Vec<u8>,
) -> (usize, Result<&'a [u8], Fault>) {
    match kind {
        Kind::Gzip => {
            let mut member = flate2::bufread::GzDecoder::new(bytes);
            let (end, read) = read_member(&mut member, kind, limit, inflated, out);
            (end, read.map(|()| member.into_inner()))
        }
        Kind::Zstd => {
            let mut frame = Frame::new(bytes);
            let (end, read) = read_member(&mut frame, kind, limit, inflated, out);
            (end, read.map(|()| frame.into_inner()))
        }
    }
}

/// Reads one member to `out`, behind what is there; gives the end of its bytes, and what is wrong with it.
fn read_member(
    member: &mut impl Read,
    kind: Kind,
    limit: usize,
    inflated: &Inflated,
    out: &mut Vec<u8>,
) -> (usize, Result<(), Fault>) {
    const STEP: usize = 64 * 1024;
    let mut end = inflated.length;
    loop {
        if out.len() < end + STEP {
            // Grow by half, so that a long member is not copied at every step; the limit bounds it.
            let grown = (end + end / 2).min(limit) + STEP;
            out.resize(grown.max(end + STEP), 0);
        }
        match member.read(&mut out[end..end + STEP]) {
            Ok(0) => return (end, Ok(())),
            Ok(read) => end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (end, Err(fault(kind, &error))),
        }
        if inflated.made + (end - inflated.length) > limit {
            let detail = format!("more than {limit} bytes after inflating");
            return (end, Err(Fault::new(Stage::Decode, Reason::TooLarge, detail)));
        }
    }
}

/// What is wrong with a member.
fn fault(kind: Kind, error: &io::Error) -> Fault {
    match (kind, error.kind()) {
        (Kind::Gzip, io::ErrorKind::UnexpectedEof) => {
            Fault::new(Stage::Decode, Reason::Truncated, "the gzip stream ends too early")
        }
        (Kind::Zstd, io::ErrorKind::UnexpectedEof) => {
            Fault::new(Stage::Decode, Reason::Truncated, "the zstd frame ends too early")
        }
        // The detail of the one library is in its own words, of the other in those of the frame's reader.
        (Kind::Gzip, _) => kind.damaged(),
        (Kind::Zstd, io::ErrorKind::InvalidInput) => Fault::new(Stage::Decode, Reason::TooLarge, error.to_string()),
        (Kind::Zstd, _) => Fault::new(Stage::Decode, Reason::Corrupt, error.to_string()),
    }
}
