//! The members of compressed content: of gzip, or the frames of zstd. Each is inflated as it is read; the bytes of a damaged
//! one are kept up to where the next seems to begin.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use memchr::memchr;

use super::cut::Cut;
use super::inflate::Inflate;
use super::{BLOCK_BYTES, HEAD_BYTES, read_some};
use crate::decode::{FRAME, Frame, is_zstd};

/// The bytes of a damaged member that are kept for its reject.
const DAMAGED_BYTES: usize = 1 << 20;

/// The first bytes of a gzip member: magic and method (RFC 1952).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

/// How content is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// How content that begins so is compressed.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let gzip = head.starts_with(&GZIP).then_some(Self::Gzip);
        gzip.or_else(|| is_zstd(head).then_some(Self::Zstd))
    }

    /// The first byte of a member that holds something.
    fn first_byte(self) -> u8 {
        match self {
            Self::Gzip => GZIP[0],
            Self::Zstd => FRAME[0],
        }
    }

    /// Whether a member seems to begin with `head`: for gzip the magic, the method, and no reserved flag.
    fn begins(self, head: &[u8]) -> bool {
        match self {
            Self::Gzip => head.starts_with(&GZIP) && head.get(3).is_none_or(|flags| flags & 0xe0 == 0),
            Self::Zstd => is_zstd(head),
        }
    }
}

/// A member of gzip or a frame of zstd, which is being inflated.
pub(super) enum Member {
    Gzip(Box<Inflate>),
    /// One whose header has rare parts, or that comes through a pipe: it gives each byte that can be told by what came.
    AnyGzip(Box<GzDecoder<Input>>),
    Zstd(Box<Frame<Input>>),
}

impl Member {
    /// Begins with the member at hand; `live` where it comes through a pipe.
    pub(super) fn begin(input: Input, live: bool) -> io::Result<Self> {
        Ok(match input.compression {
            Compression::Zstd => Self::Zstd(Box::new(Frame::new(input))),
            Compression::Gzip if live => Self::AnyGzip(Box::new(GzDecoder::new(input))),
            Compression::Gzip => match Inflate::begin(input)? {
                Ok(member) => Self::Gzip(Box::new(member)),
                Err(input) => Self::AnyGzip(Box::new(GzDecoder::new(input))),
            },
        })
    }

    pub(super) fn into_input(self) -> Input {
        match self {
            Self::Gzip(member) => member.into_input(),
            Self::AnyGzip(decoder) => decoder.into_inner(),
            Self::Zstd(frame) => frame.into_inner(),
        }
    }
}

impl Read for Member {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(member) => member.read(out),
            Self::AnyGzip(decoder) => decoder.read(out),
            Self::Zstd(frame) => frame.read(out),
        }
    }
}

/// The raw bytes of compressed content; keeps the first of the member at hand, for its reject should it be damaged.
pub(super) struct Input {
    reader: Box<dyn Read + Send>,
    compression: Compression,
    /// The bytes from `start` to `end` were read and not consumed; the rest is room.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    kept: Vec<u8>,
    consumed: u64,
}

impl Input {
    /// `head` was read of `reader` before.
    pub(super) fn new(reader: Box<dyn Read + Send>, compression: Compression, head: Vec<u8>) -> Self {
        let end = head.len();
        Self { reader, compression, buffer: head, start: 0, end, kept: Vec::new(), consumed: 0 }
    }

    /// A member begins here, or what is to be passed over.
    pub(super) fn begin(&mut self) {
        self.kept.clear();
        self.consumed = 0;
    }

    /// The next bytes, at least `count` unless the end comes before.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            // What was read to tell whether the content is small is much larger, and its memory goes back.
            if self.buffer.len() != BLOCK_BYTES {
                self.buffer.truncate(self.end);
                self.buffer.shrink_to(BLOCK_BYTES);
                self.buffer.resize(BLOCK_BYTES, 0);
            }
            while self.end < count {
                let read = read_some(&mut self.reader, &mut self.buffer[self.end..])?;
                if read == 0 {
                    break;
                }
                self.end += read;
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// What is there without reading.
    pub(super) fn ready(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn is_at_member(&mut self) -> io::Result<bool> {
        let compression = self.compression;
        Ok(compression.begins(self.peek(HEAD_BYTES)?))
    }

    /// Goes on to where the next member seems to start. Returns the bytes of the damaged one up to there.
    pub(super) fn damaged(&mut self) -> io::Result<Cut> {
        let first = self.compression.first_byte();
        if self.consumed == 0 {
            self.consume(1);
        }
        while !self.peek(HEAD_BYTES)?.is_empty() && !self.is_at_member()? {
            let ahead = self.peek(1)?;
            let next = memchr(first, &ahead[1..]).map_or(ahead.len(), |at| at + 1);
            self.consume(next);
        }
        let data = std::mem::take(&mut self.kept);
        let passed = usize::try_from(self.consumed).unwrap_or(usize::MAX) - data.len();
        Ok(Cut { data, passed })
    }
}

impl Read for Input {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.peek(1)?;
        let count = bytes.len().min(out.len());
        out[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)
    }

    fn consume(&mut self, count: usize) {
        let bytes = &self.buffer[self.start..self.end][..count];
        let room = DAMAGED_BYTES - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.start += count;
        self.consumed += count as u64;
    }
}
