//! A gzip member that is inflated as it is read, by a decoder that is half as fast again as the general one. It reads a few
//! bytes ahead and does not say how many: the member's end is where its checksum and size stand.

use std::io::{self, BufRead as _, ErrorKind, Read};

use fdeflate::Decompressor;
use libdeflater::Crc;

use super::member::Input;

/// How far deflate looks back (RFC 1951).
const HISTORY_BYTES: usize = 32 << 10;

/// What is inflated at a time: it and its history stay in a core's cache.
const WINDOW_BYTES: usize = HISTORY_BYTES + (96 << 10);

/// The fixed part of a member's header (RFC 1952).
const HEADER_BYTES: usize = 10;

/// The flag of a header that has a file's name.
const NAME_FLAG: u8 = 8;

/// The longest name that is passed over here.
const MAX_NAME_BYTES: usize = 1024;

/// The checksum and the size behind a member.
const TRAILER_BYTES: usize = 8;

/// The decoder is one of zlib's format, which has four bytes of another checksum at the end: it takes those of this one.
const CHECKSUM_BYTES: usize = 4;

/// Whole bytes that the decoder may have read ahead of what it used: its buffer has 64 bits.
const MAX_AHEAD_BYTES: usize = 7;

/// The bytes that the decoder has and that are kept, to look for the trailer among them.
const KEPT_BYTES: usize = CHECKSUM_BYTES + MAX_AHEAD_BYTES;

/// A member behind its header.
pub(super) struct Inflate {
    input: Input,
    decoder: Decompressor,
    /// The bytes at the start of the input that the decoder has.
    given: usize,
    window: Vec<u8>,
    /// The inflated bytes up to here were handed on, and are there up to `filled`.
    handed_on: usize,
    filled: usize,
    crc: Crc,
    size: u32,
    is_over: bool,
}

impl Inflate {
    /// Begins with the member at hand. Gives the input back, untouched, where its header has parts that are rare.
    ///
    /// # Errors
    /// What reading answers, with no way back to the input.
    pub(super) fn begin(mut input: Input) -> io::Result<Result<Self, Input>> {
        let head = input.peek(HEADER_BYTES)?;
        let length = match head.get(3) {
            Some(0) => Some(HEADER_BYTES),
            Some(&NAME_FLAG) => {
                let head = input.peek(HEADER_BYTES + MAX_NAME_BYTES)?;
                let name = head.get(HEADER_BYTES..).unwrap_or_default();
                memchr::memchr(0, &name[..name.len().min(MAX_NAME_BYTES)]).map(|end| HEADER_BYTES + end + 1)
            }
            _ => None,
        };
        let Some(length) = length.filter(|length| input.ready().len() >= *length) else { return Ok(Err(input)) };
        let mut decoder = Decompressor::new();
        decoder.ignore_adler32();
        // A header of zlib, with which it begins: method, window, and a check of both.
        if !matches!(decoder.read(&[0x78, 0x01], &mut [], 0, false), Ok((2, 0))) {
            return Ok(Err(input));
        }
        input.consume(length);
        let window = vec![0; WINDOW_BYTES];
        let (crc, size) = (Crc::new(), 0);
        Ok(Ok(Self { input, decoder, given: 0, window, handed_on: 0, filled: 0, crc, size, is_over: false }))
    }

    pub(super) fn into_input(self) -> Input {
        self.input
    }

    /// Inflates some more; nothing more is there where it makes nothing.
    fn step(&mut self) -> io::Result<()> {
        if self.filled == self.window.len() {
            self.window.copy_within(self.filled - HISTORY_BYTES.., 0);
            self.filled = HISTORY_BYTES;
        }
        let before = self.filled;
        while self.filled == before && !self.decoder.is_done() {
            let fresh = &self.input.peek(self.given + 1)?[self.given..];
            let (is_end, length) = (fresh.is_empty(), fresh.len());
            // It is never told that this is the end: then it would keep to itself what it makes of its last bits.
            let read = self.decoder.read(fresh, &mut self.window, self.filled, false);
            let (used, made) = read.map_err(|_| damaged())?;
            if used == 0 && made == 0 && !self.decoder.is_done() {
                // It waits for what never comes.
                return Err(if is_end { ErrorKind::UnexpectedEof.into() } else { damaged() });
            }
            debug_assert!(used <= length, "the decoder takes what there is");
            self.filled += made;
            self.given += used;
            let done = self.given.saturating_sub(KEPT_BYTES);
            self.input.consume(done);
            self.given -= done;
        }
        self.handed_on = before;
        let new = &self.window[before..self.filled];
        self.crc.update(new);
        self.size = self.size.wrapping_add(new.len() as u32);
        Ok(())
    }

    /// Finds the trailer, which is the member's end, and passes it.
    fn end(&mut self) -> io::Result<()> {
        let mut trailer = [0; TRAILER_BYTES];
        trailer[..4].copy_from_slice(&self.crc.sum().to_le_bytes());
        trailer[4..].copy_from_slice(&self.size.to_le_bytes());
        let latest = self.given.saturating_sub(CHECKSUM_BYTES);
        let first = latest.saturating_sub(MAX_AHEAD_BYTES);
        // The first that it may be needs the fewest bytes. Only a member that holds nothing, whose trailer is all zeros, can
        // seem to end a byte too early, and then that zero is what is passed over between members.
        for at in first..=latest {
            let bytes = self.input.peek(at + TRAILER_BYTES)?;
            if bytes.get(at..at + TRAILER_BYTES) == Some(&trailer) {
                self.input.consume(at + TRAILER_BYTES);
                self.given = 0;
                return Ok(());
            }
        }
        let is_cut = self.input.ready().len() < latest + TRAILER_BYTES;
        self.input.consume(first);
        self.given -= first;
        Err(if is_cut { ErrorKind::UnexpectedEof.into() } else { damaged() })
    }
}

impl Read for Inflate {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.handed_on == self.filled && !self.is_over {
            if self.decoder.is_done() {
                self.end()?;
                self.is_over = true;
            } else {
                self.step()?;
            }
        }
        let ready = &self.window[self.handed_on..self.filled];
        let count = ready.len().min(out.len());
        out[..count].copy_from_slice(&ready[..count]);
        self.handed_on += count;
        Ok(count)
    }
}

fn damaged() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the gzip stream is damaged")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::bufread::GzDecoder;
    use flate2::{Compression, GzBuilder};
    use proptest::prelude::*;

    use super::*;
    use crate::source::pieces::member;

    /// Hands out few bytes at a time.
    struct Dribble(io::Cursor<Vec<u8>>, usize);

    impl Read for Dribble {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = out.len().min(self.1);
            self.0.read(&mut out[..count])
        }
    }

    fn input(bytes: &[u8], step: usize) -> Input {
        let reader = Dribble(io::Cursor::new(bytes.to_vec()), step);
        Input::new(Box::new(reader), member::Compression::Gzip, Vec::new())
    }

    fn gzip(text: &[u8], level: u32, name: Option<&str>) -> Vec<u8> {
        let builder = name.map_or_else(GzBuilder::new, |name| GzBuilder::new().filename(name));
        let mut encoder = builder.write(Vec::new(), Compression::new(level));
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// What a member gives, how it ends, and what is behind it.
    fn ours(bytes: &[u8], step: usize) -> (Vec<u8>, Result<Vec<u8>, ErrorKind>) {
        let mut member = Inflate::begin(input(bytes, step)).unwrap().ok().expect("a plain header");
        let mut text = Vec::new();
        let result = member.read_to_end(&mut text).map_err(|error| error.kind());
        let mut rest = Vec::new();
        member.into_input().read_to_end(&mut rest).unwrap();
        (text, result.map(|_| rest))
    }

    fn reference(bytes: &[u8]) -> (Vec<u8>, Result<Vec<u8>, ErrorKind>) {
        let mut decoder = GzDecoder::new(bytes);
        let mut text = Vec::new();
        let result = decoder.read_to_end(&mut text).map_err(|error| error.kind());
        (text, result.map(|_| decoder.into_inner().to_vec()))
    }

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 1..300),
            ("[a-c]{1,20}", 1..20_000usize).prop_map(|(text, times)| text.repeat(times).into_bytes()),
            (prop::collection::vec(any::<u8>(), 1..5_000), 1..60usize).prop_map(|(bytes, times)| bytes.repeat(times)),
        ]
    }

    proptest! {
        #[test]
        fn a_member_ends_where_it_ends_whatever_is_behind_it(
            text in texts(),
            level in 0..10u32,
            is_named in any::<bool>(),
            behind in prop::collection::vec(any::<u8>(), 0..40),
            step in 1..5_000usize,
        ) {
            let bytes = [gzip(&text, level, is_named.then_some("a name.json")), behind.clone()].concat();
            prop_assert_eq!(ours(&bytes, step), (text, Ok(behind)));
        }

        #[test]
        fn what_is_cut_gives_what_can_be_told_and_is_cut(text in texts(), level in 0..10u32, part in 0.0..1.0) {
            let whole = gzip(&text, level, None);
            let cut = HEADER_BYTES + ((whole.len() - HEADER_BYTES) as f64 * part) as usize;
            let (found, end) = ours(&whole[..cut], 1000);
            prop_assert_eq!(end, Err(ErrorKind::UnexpectedEof));
            // The last symbol before a cut may be told only by what is behind it.
            let (expected, _) = reference(&whole[..cut]);
            prop_assert!(text.starts_with(&found) && found.len() + 600 >= expected.len(), "{} {}", found.len(), expected.len());
        }

        #[test]
        fn damage_is_found(text in texts(), level in 1..10u32, at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let mut bytes = gzip(&text, level, None);
            let at = HEADER_BYTES + at.index(bytes.len() - HEADER_BYTES);
            bytes[at] ^= 1 << bit;
            let (ours, reference) = (ours(&bytes, 1000), reference(&bytes));
            prop_assert_eq!(ours.1.is_ok(), reference.1.is_ok());
            prop_assert!(ours.1.is_err() || ours == reference);
        }
    }

    #[test]
    fn rare_headers_are_left_to_others() {
        let mut encoder = GzBuilder::new().extra(vec![1, 2, 3]).comment("a").write(Vec::new(), Compression::fast());
        encoder.write_all(b"text").unwrap();
        let bytes = encoder.finish().unwrap();
        let mut input = Inflate::begin(input(&bytes, 3)).unwrap().err().expect("it has rare parts");
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, bytes);
        let cut = gzip(b"text", 6, Some("a name"));
        assert!(Inflate::begin(self::input(&cut[..12], 3)).unwrap().is_err(), "the name does not end");
    }
}
