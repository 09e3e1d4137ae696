//! Encoding: the items of a group as the bytes of an object.

use std::io::{self, Write as _};

use libdeflater::{CompressionLvl, Compressor};

use super::Encoding;
use super::group::Group;
use super::parquet::{self, ParquetError};
use crate::sink::Batch;

/// Bytes of lines in a member of gzip. Large enough that members cost nothing, and small beside an object, so that it
/// needs no copy of itself to be compressed.
const MEMBER_BYTES: usize = 1 << 20;

/// Why a group has no bytes. Says nothing of an item.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    /// The compressor failed.
    #[error("an object cannot be compressed")]
    Compress(#[source] io::Error),
    /// The rows make no file.
    #[error("an object cannot be written as Parquet")]
    Parquet(#[from] ParquetError),
}

/// The bytes of a group's object. The same items become the same bytes.
pub(super) fn encode(batch: &Batch, group: &Group, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
    match encoding {
        Encoding::Plain => Ok(plain(batch, group)),
        Encoding::Gzip(level) => gzip(batch, group, level).map_err(EncodeError::Compress),
        Encoding::Zstd(level) => zstd(batch, group, level).map_err(EncodeError::Compress),
        Encoding::Parquet => Ok(parquet::encode(group.lines(batch))?),
    }
}

fn plain(batch: &Batch, group: &Group) -> Vec<u8> {
    let mut out = Vec::with_capacity(group.total_bytes());
    group.pieces(batch).for_each(|piece| out.extend_from_slice(piece));
    out
}

/// One frame: some readers know no more.
fn zstd(batch: &Batch, group: &Group, level: i32) -> io::Result<Vec<u8>> {
    let out = Vec::with_capacity(group.total_bytes() / 3);
    let mut encoder = zstd::Encoder::new(out, level)?;
    encoder.set_pledged_src_size(Some(group.total_bytes() as u64))?;
    encoder.include_checksum(true)?;
    for piece in group.pieces(batch) {
        encoder.write_all(piece)?;
    }
    encoder.finish()
}

/// As many members as it takes: readers of gzip know that there may be several. Source: RFC 1952, section 2.2.
fn gzip(batch: &Batch, group: &Group, level: i32) -> io::Result<Vec<u8>> {
    let invalid = |_| io::Error::other("there is no such level of gzip");
    let mut compressor = Compressor::new(CompressionLvl::new(level).map_err(invalid)?);
    let mut out = Vec::with_capacity(group.total_bytes() / 3);
    let mut member = Vec::with_capacity(MEMBER_BYTES.min(group.total_bytes()));
    for piece in group.pieces(batch) {
        let mut rest = piece;
        while !rest.is_empty() {
            let (some, after) = rest.split_at(rest.len().min(MEMBER_BYTES - member.len()));
            member.extend_from_slice(some);
            rest = after;
            if member.len() == MEMBER_BYTES {
                push_member(&mut compressor, &member, &mut out)?;
                member.clear();
            }
        }
    }
    if !member.is_empty() {
        push_member(&mut compressor, &member, &mut out)?;
    }
    Ok(out)
}

fn push_member(compressor: &mut Compressor, member: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    out.resize(start + compressor.gzip_compress_bound(member.len()), 0);
    let written = compressor.gzip_compress(member, &mut out[start..]).map_err(io::Error::other)?;
    out.truncate(start + written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::group::groups;
    use super::*;
    use crate::format::Lines;
    use std::io::Read as _;

    fn batch(items: &[Vec<u8>]) -> Batch {
        let part = |items: &[Vec<u8>]| {
            let mut lines = Lines::default();
            items.iter().for_each(|item| lines.push_with(|out| out.extend_from_slice(item)));
            lines
        };
        Batch { parts: items.chunks(3).map(part).collect(), range: None }
    }

    #[test]
    fn what_is_encoded_is_read_back() {
        let check = |items: &[Vec<u8>]| {
            let batch = batch(items);
            let [group] = &groups(&batch, "")[..] else { panic!("one group") };
            let plain = encode(&batch, group, Encoding::Plain).unwrap();
            assert_eq!(plain, items.iter().map(|item| [item, &b"\n"[..]].concat()).collect::<Vec<_>>().concat());
            for level in [-7, -1, 1, 3] {
                let encoded = encode(&batch, group, Encoding::Zstd(level)).unwrap();
                let mut decoder = zstd::stream::read::Decoder::new(&encoded[..]).unwrap().single_frame();
                let mut read = Vec::new();
                decoder.read_to_end(&mut read).unwrap();
                assert!(read == plain, "zstd {level}");
                assert_eq!(encoded, encode(&batch, group, Encoding::Zstd(level)).unwrap());
            }
            for level in [1, 12] {
                let encoded = encode(&batch, group, Encoding::Gzip(level)).unwrap();
                let mut read = Vec::new();
                flate2::read::MultiGzDecoder::new(&encoded[..]).read_to_end(&mut read).unwrap();
                assert!(read == plain, "gzip {level}");
            }
        };
        check(&[b"{}".to_vec()]);
        check(&(0..100).map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect::<Vec<_>>());
        // Members end within lines, and exactly with one.
        let noise = |n: usize, len: usize| (0..len).map(|at| b'a' + (at * at % (23 - n)) as u8).collect::<Vec<_>>();
        check(&[noise(1, 700_000), noise(2, 700_000), noise(3, 1), noise(4, 2_500_000)]);
        check(&[noise(1, MEMBER_BYTES - 1), noise(2, 10)]);
    }

    #[test]
    fn a_level_that_is_none_is_an_error() {
        let batch = batch(&[b"{}".to_vec()]);
        assert!(encode(&batch, &groups(&batch, "")[0], Encoding::Gzip(99)).is_err());
    }
}
