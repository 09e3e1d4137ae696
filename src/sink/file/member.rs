//! A gzip member that says how long it is: the compressed size stands in the header's extra field, so that a crash's
//! torn last member is found by hopping from header to header instead of inflating the whole file.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write as _};

use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::DeflateEncoder;

/// The header: magic, deflate, extra field, no time, no level, unknown system; then the extra field's length (8).
const HEADER: [u8; 12] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0];

/// The extra field's tag and length (RFC 1952, 2.3.1.1); the member's size follows in four bytes.
const FIELD: [u8; 4] = [b'B', b'T', 4, 0];

/// The bytes before the deflate stream.
const HEAD_BYTES: usize = HEADER.len() + FIELD.len() + 4;

/// The bytes after the deflate stream: a checksum and the inflated size.
const TAIL_BYTES: usize = 8;

/// Compresses chunks into one complete member.
pub(super) fn compress<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(64 * 1024);
    out.extend_from_slice(&HEADER);
    out.extend_from_slice(&FIELD);
    out.extend_from_slice(&[0; 4]);
    let mut checksum = flate2::Crc::new();
    let mut encoder = DeflateEncoder::new(out, Compression::default());
    for chunk in chunks {
        checksum.update(chunk);
        encoder.write_all(chunk)?;
    }
    let mut out = encoder.finish()?;
    out.extend_from_slice(&checksum.sum().to_le_bytes());
    out.extend_from_slice(&checksum.amount().to_le_bytes());
    // A member of more than 4 GiB cannot say its length; it is found by inflating, as a foreign one is.
    let total = u32::try_from(out.len()).unwrap_or(0);
    out[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&total.to_le_bytes());
    Ok(out)
}

/// How much of a file is whole members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// The bytes up to the end of the last whole member.
    pub(super) bytes: u64,
    /// The bytes that they inflate to.
    pub(super) content_bytes: u64,
    /// Whether what follows is damaged or no gzip at all, and not just a member that ends too early.
    pub(super) damaged: bool,
}

/// Finds the end of the last whole member. Only the last member is inflated, the only one that a crash can have torn,
/// and those that do not say their length.
///
/// # Errors
/// Anything that reading answers.
pub(super) fn whole<F: Read + Seek>(file: &mut F) -> io::Result<Whole> {
    let length = file.seek(SeekFrom::End(0))?;
    let (mut start, mut previous) = (0, 0);
    let (mut content_bytes, mut last_content_bytes) = (0, 0);
    while let Some(size) = said_size(file, start)? {
        if start + size > length {
            break;
        }
        previous = start;
        start += size;
        content_bytes += last_content_bytes;
        last_content_bytes = inflated_size(file, start)?;
    }
    // The last member that says its length may still have a hole in it: its bytes are checked. What follows, if
    // anything, is foreign or torn.
    file.seek(SeekFrom::Start(previous))?;
    let mut reader = BufReader::new(file);
    let mut bytes = previous;
    loop {
        let head = reader.fill_buf()?;
        if head.is_empty() {
            return Ok(Whole { bytes, content_bytes, damaged: false });
        }
        if !HEADER.starts_with(&head[..head.len().min(3)]) {
            return Ok(Whole { bytes, content_bytes, damaged: true });
        }
        let mut counted = Counted { inner: &mut reader, bytes: 0 };
        match io::copy(&mut GzDecoder::new(&mut counted), &mut io::sink()).map_err(|error| error.kind()) {
            Ok(inflated) => {
                bytes += counted.bytes;
                content_bytes += inflated;
            }
            Err(ErrorKind::UnexpectedEof) => return Ok(Whole { bytes, content_bytes, damaged: false }),
            Err(ErrorKind::InvalidInput | ErrorKind::InvalidData) => {
                return Ok(Whole { bytes, content_bytes, damaged: true });
            }
            Err(kind) => return Err(kind.into()),
        }
    }
}

/// The size that the member at `start` says it has, if there is one that does.
fn said_size<F: Read + Seek>(file: &mut F, start: u64) -> io::Result<Option<u64>> {
    file.seek(SeekFrom::Start(start))?;
    let mut head = Vec::with_capacity(HEAD_BYTES);
    file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let Some((said, size)) = head.split_last_chunk::<4>() else { return Ok(None) };
    let ours = said.len() == HEAD_BYTES - 4 && said.starts_with(&HEADER) && said.ends_with(&FIELD);
    let size = u64::from(u32::from_le_bytes(*size));
    Ok((ours && size >= (HEAD_BYTES + TAIL_BYTES) as u64).then_some(size))
}

/// The inflated size that the member which ends here says, in its last four bytes.
fn inflated_size<F: Read + Seek>(file: &mut F, end: u64) -> io::Result<u64> {
    let mut size = [0; 4];
    file.seek(SeekFrom::Start(end.saturating_sub(4)))?;
    file.read_exact(&mut size)?;
    Ok(u64::from(u32::from_le_bytes(size)))
}

struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.bytes += count as u64;
        self.inner.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;
    use flate2::write::GzEncoder;
    use std::io::Cursor;

    fn foreign(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn any_gzip_reader_reads_a_member() {
        let file = [
            compress([&b"one\n"[..], b"two\n"].into_iter()).unwrap(),
            compress([&b"three\n"[..]].into_iter()).unwrap(),
        ];
        let mut text = String::new();
        MultiGzDecoder::new(file.concat().as_slice()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\nthree\n");
    }

    #[test]
    fn a_file_cut_anywhere_keeps_its_whole_members() {
        let contents = ["zero\n", "one\n", "two\n", "three\n", "four\n"].map(str::len);
        let members = [
            foreign(b"zero\n"),
            compress([&b"one\n"[..]].into_iter()).unwrap(),
            compress([&b"two\n"[..]].into_iter()).unwrap(),
            foreign(b"three\n"),
            compress([&b"four\n"[..]].into_iter()).unwrap(),
        ];
        for skipped in 0..members.len() {
            let members = &members[skipped..];
            let file = members.concat();
            for cut in 0..=file.len() {
                let (mut expected, mut content) = (0, 0);
                for (member, length) in members.iter().zip(&contents[skipped..]) {
                    if expected + member.len() > cut {
                        break;
                    }
                    expected += member.len();
                    content += length;
                }
                let found = whole(&mut Cursor::new(&file[..cut])).unwrap();
                let expected = Whole { bytes: expected as u64, content_bytes: content as u64, damaged: false };
                assert_eq!(found, expected, "cut at {cut} of {}, without the first {skipped}", file.len());
            }
        }
    }

    #[test]
    fn a_hole_in_the_last_member_is_found() {
        let members = [compress([&b"one\n"[..]].into_iter()).unwrap(), compress([&b"two\n"[..]].into_iter()).unwrap()];
        let mut file = members.concat();
        let start = members[0].len();
        file[start + HEAD_BYTES..].fill(0);
        let expected = Whole { bytes: start as u64, content_bytes: 4, damaged: true };
        assert_eq!(whole(&mut Cursor::new(&file)).unwrap(), expected);
    }

    #[test]
    fn what_is_no_gzip_is_left_alone() {
        let found = whole(&mut Cursor::new(b"{\"plain\":1}\n")).unwrap();
        assert_eq!(found, Whole { bytes: 0, content_bytes: 0, damaged: true });
    }
}
