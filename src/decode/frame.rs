//! A frame of zstd (RFC 8878), inflated while it is read: from bytes that are all there as well as from content of any
//! length, in the memory of one window.

use std::io::{self, BufRead, ErrorKind, Read};

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge as WINDOW_TOO_LARGE;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, get_error_name, is_error_kind};

/// How a frame begins.
pub(crate) const FRAME: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How a frame begins that holds nothing of the content, behind a first byte of 0x50 to 0x5f.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// The largest window, as a power of two: 8 MiB, which every decoder should take (RFC 8878, section 3.1.1.1.2) and which
/// all levels of compression stay within unless more is asked for (`--long`, `--ultra`). Each frame that is read holds its window.
const MAX_WINDOW_LOG: u32 = 23;

/// Whether `bytes` begin as a frame does, also one to be passed over.
pub(crate) fn is_zstd(bytes: &[u8]) -> bool {
    bytes.starts_with(&FRAME) || matches!(bytes, [0x50..=0x5f, rest @ ..] if rest.starts_with(&SKIPPABLE))
}

/// What tells of the next block, beside it (RFC 8878, section 3.1.1.2).
const BLOCK_HEADER_BYTES: usize = 3;

/// Reads what one frame holds, and nothing behind the frame.
pub(crate) struct Frame<R> {
    input: R,
    context: DCtx<'static>,
    /// The bytes of input that the next step takes. The library forgets what it made where the same call finds damage, so
    /// each call is given one block or one header, and none before all is fetched that it made.
    step: usize,
    may_hold_more: bool,
    is_over: bool,
}

impl<R: BufRead> Frame<R> {
    /// The frame that `input` begins with.
    pub(crate) fn new(input: R) -> Self {
        let mut context = DCtx::create();
        // It refuses no limit within its own, which are wider.
        let _ = context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG));
        Self { input, context, step: FRAME.len(), may_hold_more: false, is_over: false }
    }

    /// The input, behind what was read of it.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }
}

/// Errors: `InvalidData` for damage, `InvalidInput` for a window that is too large, `UnexpectedEof` where the frame is cut
/// off, and what the input answers.
impl<R: BufRead> Read for Frame<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.is_over && !out.is_empty() {
            let bytes = if self.may_hold_more { &[] } else { self.input.fill_buf()? };
            let is_end = bytes.is_empty() && !self.may_hold_more;
            let (mut from, mut to) =
                (InBuffer::around(&bytes[..bytes.len().min(self.step)]), OutBuffer::around(&mut *out));
            let left = self.context.decompress_stream(&mut to, &mut from).map_err(damage)?;
            let (read, made) = (from.pos(), to.pos());
            self.input.consume(read);
            self.may_hold_more = made == out.len();
            self.is_over = left == 0;
            // It asks for a block and the header behind it.
            self.step = left.checked_sub(BLOCK_HEADER_BYTES).filter(|step| *step > 0).unwrap_or(left);
            if made > 0 {
                return Ok(made);
            }
            if is_end && !self.is_over {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(0)
    }
}

fn damage(code: usize) -> io::Error {
    if is_error_kind(code, WINDOW_TOO_LARGE) {
        let mebibytes = 1 << (MAX_WINDOW_LOG - 20);
        return io::Error::new(ErrorKind::InvalidInput, format!("the zstd frame has a window of over {mebibytes} MiB"));
    }
    let detail = format!("the zstd frame is damaged: {}", get_error_name(code).to_ascii_lowercase());
    io::Error::new(ErrorKind::InvalidData, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Reads a frame that comes `at_a_time`: the kind of the error, what was made, what is left of the input.
    fn read(bytes: &[u8], at_a_time: usize) -> (Option<ErrorKind>, Vec<u8>, usize) {
        let mut frame = Frame::new(io::BufReader::with_capacity(at_a_time, bytes));
        let mut made = Vec::new();
        let error = frame.read_to_end(&mut made).err().map(|error| error.kind());
        let input = frame.into_inner();
        (error, made, input.buffer().len() + input.get_ref().len())
    }

    #[track_caller]
    fn check(bytes: &[u8], error: Option<ErrorKind>, made: &[u8], left: usize) {
        for at_a_time in [1, 3, 1 << 20] {
            let (found, text, behind) = read(bytes, at_a_time);
            assert_eq!((found, text.as_slice()), (error, made), "{at_a_time} bytes at a time");
            assert!(error.is_some() || behind == left, "{at_a_time} bytes at a time: {behind} bytes behind the frame");
        }
    }

    fn frame_of_window(log: u32, text: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn one_frame_is_read_and_nothing_behind_it() {
        let frame = zstd::encode_all(&b"{1}"[..], 3).unwrap();
        check(&frame, None, b"{1}", 0);
        check(&[frame.as_slice(), &frame].concat(), None, b"{1}", frame.len());
        let skipped = [&[0x5f][..], &SKIPPABLE, &[3, 0, 0, 0], b"any"].concat();
        assert!(is_zstd(&skipped) && is_zstd(&frame) && !is_zstd(b"(") && !is_zstd(b"P*M"));
        check(&[skipped.as_slice(), &frame].concat(), None, b"", frame.len());
        check(&skipped[..9], Some(ErrorKind::UnexpectedEof), b"", 0);
    }

    #[test]
    fn damage_is_told_from_a_frame_that_is_cut_off() {
        let frame = frame_of_window(20, b"{1}");
        for end in 0..frame.len() {
            let (error, ..) = read(&frame[..end], 1 << 20);
            assert_eq!(error, Some(ErrorKind::UnexpectedEof), "{end} bytes");
        }
        let mut damaged = zstd::Encoder::new(Vec::new(), 1).unwrap();
        damaged.include_checksum(true).unwrap();
        damaged.write_all(b"{1}").unwrap();
        let mut damaged = damaged.finish().unwrap();
        *damaged.last_mut().unwrap() ^= 1;
        check(&damaged, Some(ErrorKind::InvalidData), b"{1}", 0);
    }

    #[test]
    fn what_is_before_damage_is_read() {
        let text: String =
            (0..50_000_u64).map(|n| format!("{{\"a\":{}}}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        let frame = frame_of_window(20, text.as_bytes());
        let mut damaged = frame.clone();
        let at = frame.len() / 2;
        damaged[at..at + 100].fill(0xff);
        for out_bytes in [1000, 1 << 17, 1 << 20] {
            let (mut whole, mut read) = (Frame::new(&frame[..]), Frame::new(&damaged[..]));
            let (mut out, mut made, mut before) = (vec![0; out_bytes], 0, 0);
            while whole.input.len() > frame.len() - at {
                before += whole.read(&mut out).unwrap();
            }
            while let Ok(count @ 1..) = read.read(&mut out) {
                made += count;
            }
            // The block that was begun is lost, and one more may be found to be damaged.
            assert!(made > text.len() / 4 && made + (2 << 17) >= before, "{made} of {before}");
        }
    }

    #[test]
    fn a_large_window_is_a_fault_and_no_memory() {
        let text = vec![b' '; 100];
        check(&frame_of_window(23, &text), None, &text, 0);
        check(&frame_of_window(24, &text), Some(ErrorKind::InvalidInput), b"", 0);
        check(&frame_of_window(30, &text), Some(ErrorKind::InvalidInput), b"", 0);
    }
}
