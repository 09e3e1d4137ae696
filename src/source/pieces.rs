//! The pieces of content that is read as a whole, such as a file, a pipe or an object: whole where the content is small, else cut between documents and
//! inflated on the way (gzip and zstd), in bounded memory. What the pieces are is for the decoder to tell.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, ErrorKind, Read};

use self::cut::{BEGINNING_BYTES, Cut, Cutter};
use self::member::{Compression, Input, Member};
use crate::decode::FRAME;
use bytes::Bytes;

mod cut;
mod inflate;
mod member;
mod nesting;

/// A text up to this size is one piece, whatever it is: an answer of GetRecords has at most 10 MiB, and most files have
/// less than this.
const WHOLE_TEXT_BYTES: usize = 8 << 20;

/// A gzip file up to this size is one piece: it would have to shrink to a sixtieth to exceed the usual limit of an
/// inflated record, which logs do not.
const WHOLE_GZIP_BYTES: usize = 1 << 20;

/// The same of zstd, which looks back further than gzip and so makes more of texts that are alike: it would have to
/// shrink to a part in 256.
const WHOLE_ZSTD_BYTES: usize = 256 << 10;

/// The size of the pieces that larger texts are cut into. They stay in a core's cache on their way, and the allocator has
/// their memory at hand: larger ones come as fresh pages each time. See also `run`, which sets where that begins.
const PIECE_BYTES: usize = 192 << 10;

/// What is read at a time.
const BLOCK_BYTES: usize = 64 << 10;

/// What is inflated at a time.
const INFLATED_BLOCK_BYTES: usize = 96 << 10;

/// The first bytes of content that tell how it is read; see [`is_inflated_in_parts`].
pub const HEAD_BYTES: usize = FRAME.len();

/// A part of the content. The bytes from `offset` to `end` are in it or were passed over after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The bytes.
    pub data: Bytes,
    /// Where it starts, in bytes of the content; inflated bytes where the content is inflated in parts.
    pub offset: u64,
    /// Where reading goes on.
    pub end: u64,
}

/// Takes pieces off a reader.
pub struct Pieces {
    state: State,
    cutter: Cutter,
    ready: VecDeque<Cut>,
    /// A piece that waits for the end of the document that it is the head of, which is passed over.
    head: Option<Piece>,
    offset: u64,
    live: bool,
    sizes: Sizes,
}

/// The sizes up to which content is one piece.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    whole_text_bytes: usize,
    whole_gzip_bytes: usize,
    whole_zstd_bytes: usize,
    piece_bytes: usize,
}

enum State {
    Start(Box<dyn Read + Send>),
    Text(Box<dyn Read + Send>),
    Member(Member),
    BetweenMembers(Input),
    Done,
}

impl Pieces {
    /// Pieces of `reader`, none larger than `max_bytes` and one. `live`: the reader may wait for more at any time, so
    /// each line is handed on as it arrives.
    pub fn new(reader: impl Read + Send + 'static, max_bytes: usize, live: bool) -> Self {
        let sizes = Sizes {
            whole_text_bytes: WHOLE_TEXT_BYTES,
            whole_gzip_bytes: WHOLE_GZIP_BYTES,
            whole_zstd_bytes: WHOLE_ZSTD_BYTES,
            piece_bytes: PIECE_BYTES,
        };
        Self::with_sizes(Box::new(reader), max_bytes, live, sizes)
    }

    fn with_sizes(reader: Box<dyn Read + Send>, max_bytes: usize, live: bool, mut sizes: Sizes) -> Self {
        sizes.whole_text_bytes = sizes.whole_text_bytes.min(max_bytes);
        let cutter = Cutter::new(sizes.piece_bytes.min(max_bytes), max_bytes);
        Self { state: State::Start(reader), cutter, ready: VecDeque::new(), head: None, offset: 0, live, sizes }
    }

    /// Counts offsets from here: the reader was moved there before.
    #[must_use]
    pub fn starting_at(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// The bytes that were handed on or passed over, and those before the start.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// What reading answers. Damage in the content is no error: the readable part comes as pieces, and then the damaged
    /// bytes as they are.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        loop {
            let rest_is_passed = match self.ready.front() {
                Some(next) => !next.data.is_empty(),
                None => !self.cutter.is_passing(),
            };
            if self.head.is_some() && rest_is_passed {
                return Ok(self.head.take());
            }
            if let Some(cut) = self.ready.pop_front() {
                match self.piece(cut) {
                    Some(piece) if self.cutter.is_passing() => self.head = Some(piece),
                    Some(piece) => return Ok(Some(piece)),
                    None => {}
                }
                continue;
            }
            self.state = match std::mem::replace(&mut self.state, State::Done) {
                State::Start(reader) => self.start(reader)?,
                State::Text(reader) => self.text(reader)?,
                State::Member(decoder) => self.member(decoder)?,
                State::BetweenMembers(input) => self.between_members(input)?,
                State::Done => return Ok(None),
            };
        }
    }

    fn piece(&mut self, Cut { mut data, passed }: Cut) -> Option<Piece> {
        // The budget counts the bytes that are used: those that a growing buffer has to spare go back.
        data.shrink_to_fit();
        let offset = self.offset;
        self.offset += (data.len() + passed) as u64;
        match &mut self.head {
            Some(head) if data.is_empty() => {
                head.end = self.offset;
                None
            }
            _ => (!data.is_empty()).then(|| Piece { data: data.into(), offset, end: self.offset }),
        }
    }

    /// Reads the head, which tells how the rest is read.
    fn start(&mut self, mut reader: Box<dyn Read + Send>) -> io::Result<State> {
        let mut head = Vec::new();
        fill(&mut reader, &mut head, 1)?;
        // A pipe may wait for long behind a short line, which is not to wait for it.
        if !matches!(head.first(), Some(b'{' | b'[')) {
            fill(&mut reader, &mut head, HEAD_BYTES)?;
        }
        let compression = Compression::of(&head);
        let whole_bytes = match compression {
            None => self.sizes.whole_text_bytes,
            Some(Compression::Gzip) => self.sizes.whole_gzip_bytes,
            Some(Compression::Zstd) => self.sizes.whole_zstd_bytes,
        };
        // Nobody knows when the end of a pipe comes.
        if !self.live && !fill(&mut reader, &mut head, whole_bytes.saturating_add(1))? {
            self.ready.push_back(Cut { data: head, passed: 0 });
            return Ok(State::Done);
        }
        if let Some(compression) = compression {
            return Ok(State::BetweenMembers(Input::new(reader, compression, head)));
        }
        self.cutter.push(&head);
        // A pipe may give no more than its head for long.
        self.arrived();
        Ok(State::Text(reader))
    }

    fn text(&mut self, mut reader: Box<dyn Read + Send>) -> io::Result<State> {
        if let Some(cut) = self.cutter.take() {
            self.ready.push_back(cut);
            return Ok(State::Text(reader));
        }
        if self.cutter.read(&mut reader, BLOCK_BYTES)? == 0 {
            self.ready.extend(self.cutter.finish());
            return Ok(State::Done);
        }
        self.arrived();
        Ok(State::Text(reader))
    }

    fn member(&mut self, mut member: Member) -> io::Result<State> {
        if let Some(cut) = self.cutter.take() {
            self.ready.push_back(cut);
            return Ok(State::Member(member));
        }
        match self.cutter.read(&mut member, INFLATED_BLOCK_BYTES) {
            Ok(0) => {
                // The text may go on in the next member, but nobody knows when that comes through a pipe.
                if self.live {
                    self.ready.extend(self.cutter.take_arrived(true));
                }
                Ok(State::BetweenMembers(member.into_input()))
            }
            Ok(_) => {
                self.arrived();
                Ok(State::Member(member))
            }
            Err(error) => self.break_off(member, error),
        }
    }

    /// Reads the first bytes of a member, which tell whether the text goes on in it.
    fn begin_member(&mut self, input: Input) -> io::Result<State> {
        let mut member = Member::begin(input, self.live)?;
        let mut head = Vec::new();
        let result = fill(&mut member, &mut head, BEGINNING_BYTES);
        self.ready.extend(self.cutter.begin_member(&head));
        self.cutter.push(&head);
        match result {
            Ok(_) => Ok(State::Member(member)),
            Err(error) => self.break_off(member, error),
        }
    }

    /// Hands on what was readable of a damaged member, and its bytes. Other errors are not its fault.
    fn break_off(&mut self, member: Member, error: io::Error) -> io::Result<State> {
        if !is_damage(&error) {
            return Err(error);
        }
        self.ready.extend(self.cutter.break_off());
        let mut input = member.into_input();
        self.ready.push_back(input.damaged()?);
        Ok(State::BetweenMembers(input))
    }

    fn between_members(&mut self, mut input: Input) -> io::Result<State> {
        // Tools pad gzip files with zeros.
        while input.peek(1)?.first() == Some(&0) {
            input.consume(1);
        }
        input.begin();
        if input.peek(1)?.is_empty() {
            self.ready.extend(self.cutter.finish());
            return Ok(State::Done);
        }
        if input.is_at_member()? {
            return self.begin_member(input);
        }
        let damaged = input.damaged()?;
        // All that is there is of whole members.
        self.ready.extend(self.cutter.finish());
        self.ready.push_back(damaged);
        Ok(State::BetweenMembers(input))
    }

    fn arrived(&mut self) {
        if self.live {
            self.ready.extend(self.cutter.take_arrived(false));
        }
    }
}

/// Whether a file that starts so, with [`HEAD_BYTES`], and has this length is inflated in parts, so that its offsets
/// count inflated bytes.
pub fn is_inflated_in_parts(head: &[u8], length: u64) -> bool {
    match Compression::of(head) {
        None => false,
        Some(Compression::Gzip) => length > WHOLE_GZIP_BYTES as u64,
        Some(Compression::Zstd) => length > WHOLE_ZSTD_BYTES as u64,
    }
}

/// Whether the content is at fault and not the reading of it.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
}

fn read_some(reader: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(block) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads until `head` has `count` bytes; false if the end comes before.
fn fill(reader: &mut impl Read, head: &mut Vec<u8>, count: usize) -> io::Result<bool> {
    let missing = count.saturating_sub(head.len());
    reader.take(missing as u64).read_to_end(head)?;
    Ok(head.len() >= count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// A frame of zstd with a checksum.
    fn zstd(text: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// A reader that hands out few bytes at a time, as a pipe may.
    struct Dribble(io::Cursor<Vec<u8>>, usize);

    impl Read for Dribble {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = out.len().min(self.1);
            self.0.read(&mut out[..count])
        }
    }

    const SMALL: Sizes = Sizes { whole_text_bytes: 10, whole_gzip_bytes: 10, whole_zstd_bytes: 10, piece_bytes: 8 };

    fn pieces(content: &[u8], at_a_time: usize, live: bool, sizes: Sizes) -> Vec<Piece> {
        let reader = Dribble(io::Cursor::new(content.to_vec()), at_a_time);
        let mut pieces = Pieces::with_sizes(Box::new(reader), 64, live, sizes);
        let mut found = Vec::new();
        while let Some(piece) = pieces.next_piece().unwrap() {
            assert_eq!(piece.offset, found.last().map_or(0, |last: &Piece| last.end), "a gap between pieces");
            found.push(piece);
        }
        found
    }

    fn check(content: &[u8], expected: &[&[u8]]) {
        for at_a_time in [1, 3, 1 << 20] {
            let found = pieces(content, at_a_time, false, SMALL);
            let found: Vec<&[u8]> = found.iter().map(|piece| piece.data.as_ref()).collect();
            assert_eq!(found, expected, "{at_a_time} bytes at a time");
        }
    }

    #[test]
    fn small_content_is_one_piece_as_it_is() {
        check(b"", &[]);
        check(b"{1}\n{2}\n", &[b"{1}\n{2}\n"]);
        let sizes = Sizes { whole_gzip_bytes: 100, ..SMALL };
        let content = gzip(b"{1}\n{2}\n{3}\n");
        assert_eq!(pieces(&content, 7, false, sizes)[0].data, content);
    }

    #[test]
    fn large_text_is_cut_between_documents() {
        let found = pieces(b"{1}\n{2}\n{3}\n{4}\n{5}\n", 1, false, SMALL);
        let found: Vec<&[u8]> = found.iter().map(|piece| piece.data.as_ref()).collect();
        assert_eq!(found.concat(), b"{1}\n{2}\n{3}\n{4}\n{5}\n");
        assert!(found.len() > 1 && found.iter().all(|piece| piece.starts_with(b"{")), "{found:?}");
    }

    #[test]
    fn members_that_are_documents_are_cut_between_them() {
        let content = [gzip(b"{1}"), gzip(b""), gzip(b"{2}\n{3}"), vec![0; 5], gzip(b"{4}")].concat();
        check(&content, &[b"{1}{2}\n", b"{3}{4}"]);
        let content = gzip(b"{\"a\":1}").repeat(100);
        let found = pieces(&content, 1 << 20, false, SMALL);
        assert!(found.iter().all(|piece| piece.data.len() <= 64), "the members are not cut");
        check_documents(&found, 100);
    }

    #[test]
    fn frames_of_zstd_are_read_as_members_are() {
        let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0any".as_slice();
        let content = [&zstd(b"{1}"), skippable, &zstd(b""), &zstd(b"{2}\n{3}"), &zstd(b"{4}")].concat();
        check(&content, &[b"{1}{2}\n", b"{3}{4}"]);
        check(&[skippable, &content].concat(), &[b"{1}{2}\n", b"{3}{4}"]);
        let sizes = Sizes { whole_zstd_bytes: 1000, ..SMALL };
        assert_eq!(pieces(&content, 7, false, sizes)[0].data, content);
        let line = "{\"a\":\"}{\\\"\", \"b\":[\n{},\n{}\n]}\n";
        let text = line.repeat(50);
        for frame_bytes in (1..40).step_by(4) {
            let frames: Vec<u8> = text.as_bytes().chunks(frame_bytes).flat_map(zstd).collect();
            let found = pieces(&frames, 1 << 20, false, SMALL);
            let whole: Vec<u8> = found.iter().flat_map(|piece| piece.data.to_vec()).collect();
            assert_eq!(whole, text.as_bytes(), "{frame_bytes} a frame");
            check_documents(&found, 50);
        }
        let content = [zstd(b"{1}"), zstd(b"{2"), zstd(b"}"), zstd(b"{3}\n")].concat();
        let found = pieces(&content, 4, true, SMALL);
        let found: Vec<&[u8]> = found.iter().map(|piece| piece.data.as_ref()).collect();
        assert_eq!(found, [b"{1}".as_slice(), b"{2}", b"{3}\n"]);
    }

    /// A pipe that has no more: whoever asks it all the same would wait for ever.
    struct Silent(io::Cursor<&'static [u8]>);

    impl Read for Silent {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            match self.0.read(out)? {
                0 => Err(io::Error::other("it waits")),
                count => Ok(count),
            }
        }
    }

    #[test]
    fn a_line_of_a_pipe_waits_for_nothing_behind_it() {
        for line in ["{1}\n", "one\n", "three\n", "[1]\n"] {
            let silent = Silent(io::Cursor::new(line.as_bytes()));
            let mut pieces = Pieces::with_sizes(Box::new(silent), 1 << 20, true, SMALL);
            let piece = pieces.next_piece().unwrap().unwrap();
            assert_eq!(piece.data.as_ref(), line.as_bytes());
        }
    }

    #[test]
    fn a_damaged_frame_is_handed_on_and_its_neighbours_are_read() {
        // The checksum is wrong, behind what was readable.
        let mut damaged = zstd(b"{2}\n{2");
        *damaged.last_mut().unwrap() ^= 0xff;
        let content = [zstd(b"{1}"), damaged.clone(), zstd(b"{3}")].concat();
        check(&content, &[b"{1}{2}\n", &damaged, b"{3}"]);
        let content = [zstd(b"{1}"), b"(garbage".to_vec(), zstd(b"{3}")].concat();
        check(&content, &[b"{1}", b"(garbage", b"{3}"]);
        // A window of 1 GiB.
        let mut wide = zstd(b"{2}");
        wide[5] = 20 << 3;
        check(&[zstd(b"{1}"), wide.clone(), zstd(b"{3}")].concat(), &[b"{1}", &wide, b"{3}"]);
        // Cut off anywhere.
        let (first, second) = (zstd(b"{\"first\":1}"), zstd(b"{\"second\":2}"));
        let content = [first.clone(), second].concat();
        for cut in first.len() + 1..content.len() {
            check(&content[..cut], &[b"{\"first\":1}", &content[first.len()..cut]]);
        }
    }

    #[test]
    fn damage_costs_no_block_of_a_frame_before_it() {
        let line = |number: u64| format!("{{\"a\":{}}}\n", number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text: String = (0..50_000).map(line).collect();
        let mut frame = zstd(text.as_bytes());
        let at = frame.len() / 2;
        frame[at..at + 100].fill(0xff);
        let sizes = Sizes { piece_bytes: 1 << 16, ..SMALL };
        let mut pieces = Pieces::with_sizes(Box::new(io::Cursor::new(frame)), 1 << 20, false, sizes);
        let mut read = 0;
        while let Some(piece) = pieces.next_piece().unwrap() {
            if text.as_bytes()[read..].starts_with(&piece.data) {
                read += piece.data.len();
            }
        }
        // A block has 128 KiB at most.
        assert!(read + (2 << 17) > text.len() / 2 && read < text.len(), "{read} of {}", text.len());
    }

    #[test]
    fn a_bomb_of_zstd_is_passed_over() {
        let bomb = zstd(&[b"{1}\n{2}\n{".as_slice(), &vec![b' '; 1 << 20], b"}\n{3}\n"].concat());
        let found = pieces(&[bomb, zstd(b"{4}")].concat(), 1 << 20, false, SMALL);
        assert!(found.iter().all(|piece| piece.data.len() <= 65), "a piece is too large");
        assert_eq!(found.last().unwrap().data.as_ref(), b"{3}\n{4}");
        assert_eq!(found.iter().filter(|piece| piece.data.len() == 65).count(), 1, "the decoder is not told");
    }

    #[test]
    fn offsets_count_inflated_bytes_where_content_is_inflated_in_parts() {
        assert!(is_inflated_in_parts(&zstd(b"")[..HEAD_BYTES], WHOLE_ZSTD_BYTES as u64 + 1));
        assert!(!is_inflated_in_parts(&zstd(b"")[..HEAD_BYTES], WHOLE_ZSTD_BYTES as u64));
        assert!(is_inflated_in_parts(&gzip(b"")[..HEAD_BYTES], WHOLE_GZIP_BYTES as u64 + 1));
        assert!(!is_inflated_in_parts(&gzip(b"")[..HEAD_BYTES], WHOLE_GZIP_BYTES as u64));
        assert!(!is_inflated_in_parts(b"{1}\n", u64::MAX));
        let found = pieces(&zstd(b"{1}\n{2}\n{3}\n{4}\n"), 1 << 20, false, SMALL);
        let offsets: Vec<u64> = found.iter().map(|piece| piece.offset).collect();
        assert_eq!(offsets, [0, 4, 8, 12]);
    }

    #[test]
    fn members_that_are_no_documents_are_pieces_of_their_own() {
        let texts: [&[u8]; 9] = [
            b"{1}",
            b"Permissions are",
            b"{2}",
            b"H4sIab==",
            b"H4sIcd==",
            b"{3}\n",
            b"\xf3\x89\x9a\xc2\0",
            b"{\"a\":4}",
            b"84maab==",
        ];
        check(&texts.map(gzip).concat(), &texts);
        // A document that ends too early, in a string and outside of one, is not mixed up with the next.
        let texts: [&[u8]; 5] = [b"{\"a\":\"x", b"{\"b\":1}", b"{\"c\":1", b"{\"d\":[1,", b"{1}"];
        let found = pieces(&texts.map(gzip).concat(), 1 << 20, false, Sizes { piece_bytes: 64, ..SMALL });
        let found: Vec<&[u8]> = found.iter().map(|piece| piece.data.as_ref()).collect();
        assert_eq!(found, [texts[0], texts[1], texts[2], b"{\"d\":[1,{1}"]);
    }

    /// The pieces hold this many documents, none cut.
    fn check_documents(found: &[Piece], count: usize) {
        let documents = |piece: &Piece| {
            let values = serde_json::Deserializer::from_slice(&piece.data).into_iter::<serde_json::Value>();
            values.inspect(|value| assert!(value.is_ok(), "a document is cut")).count()
        };
        assert_eq!(found.iter().map(documents).sum::<usize>(), count);
    }

    #[test]
    fn a_text_goes_on_over_the_ends_of_members() {
        let line = "{\"a\":\"}{\\\"\", \"b\":[\n{},\n{}\n]}\n";
        let text = line.repeat(50);
        for member_bytes in 1..40 {
            let members: Vec<u8> = text.as_bytes().chunks(member_bytes).flat_map(gzip).collect();
            let found = pieces(&members, 1 << 20, false, SMALL);
            let whole: Vec<u8> = found.iter().flat_map(|piece| piece.data.to_vec()).collect();
            assert_eq!(whole, text.as_bytes(), "{member_bytes} a member");
            assert!(found.len() >= 20, "{member_bytes} a member");
            check_documents(&found, 50);
        }
        // Base64 lines too.
        let text = b"H4sIabcd\nefgh\n".repeat(5);
        let found = pieces(&text.chunks(7).flat_map(gzip).collect::<Vec<u8>>(), 1, false, SMALL);
        assert!(found.len() == 5 && found.iter().all(|piece| piece.data.as_ref() == &text[..14]), "{found:?}");
    }

    #[test]
    fn a_large_member_is_cut_and_a_bomb_is_passed_over() {
        let bomb = gzip(&[b"{1}\n{2}\n{".as_slice(), &vec![b' '; 1 << 20], b"}\n{3}\n"].concat());
        let content = [bomb, gzip(b"{4}")].concat();
        let found = pieces(&content, 1 << 20, false, SMALL);
        assert!(found.iter().all(|piece| piece.data.len() <= 64 + BLOCK_BYTES), "a piece is too large");
        assert_eq!(found.last().unwrap().data.as_ref(), b"{3}\n{4}");
        let too_large = found.iter().filter(|piece| piece.data.len() == 65).count();
        assert_eq!(too_large, 1, "the decoder is not told");
        // Without a line's end, whether the document ends or is broken off.
        for end in ["\"}", ""] {
            let bomb = gzip(format!("{{\"a\":\"{}{end}", " ".repeat(1 << 20)).as_bytes());
            let found = pieces(&[bomb, gzip(b"{\"b\":4}")].concat(), 1 << 20, false, SMALL);
            let found: Vec<&[u8]> = found.iter().map(|piece| piece.data.as_ref()).collect();
            assert!(found.len() == 2 && found[0].len() == 65 && found[1] == b"{\"b\":4}", "{found:?}");
        }
    }

    #[test]
    fn a_damaged_member_is_handed_on_and_its_neighbours_are_read() {
        let mut damaged = gzip(b"{2}\n{2");
        let middle = damaged.len() - 6;
        damaged[middle] ^= 0xff;
        let content = [gzip(b"{1}"), damaged.clone(), gzip(b"{3}")].concat();
        check(&content, &[b"{1}{2}\n", &damaged, b"{3}"]);
        let content = [gzip(b"{1}"), b"garbage".to_vec(), gzip(b"{3}")].concat();
        check(&content, &[b"{1}", b"garbage", b"{3}"]);
        // Where members end anywhere, no more is lost than what the damaged one holds a part of.
        let mut damaged = gzip(b"\":2}\n{\"c\"");
        let middle = damaged.len() - 6;
        damaged[middle] ^= 0xff;
        let content = [gzip(b"{\"a\":1}\n{\"b"), damaged.clone(), gzip(b":3}\n{\"d\":4}\n")].concat();
        check(&content, &[b"{\"a\":1}\n", b"{\"b\":2}\n", &damaged, b":3}\n", b"{\"d\":4}\n"]);
        // What a whole member began stays, though its end is lost.
        let mut damaged = gzip(b"b\":2}");
        damaged[10] = 0xff;
        let content = [gzip(b"{\"a\":1}\n{\""), damaged.clone(), gzip(b"\n{\"d\":4}\n")].concat();
        check(&content, &[b"{\"a\":1}\n", b"{\"", &damaged, b"\n{\"d\":4}\n"]);
    }

    #[test]
    fn a_file_cut_anywhere_gives_what_is_whole_and_the_rest_as_it_is() {
        let (first, second) = (gzip(b"{\"first\":1}"), gzip(b"{\"second\":2}"));
        let content = [first.clone(), second.clone()].concat();
        for cut in first.len() + 1..content.len() {
            let found = pieces(&content[..cut], 1 << 20, false, SMALL);
            assert_eq!(found[0].data.as_ref(), b"{\"first\":1}", "cut at {cut}");
            assert_eq!(found[1].data.as_ref(), &content[first.len()..cut], "cut at {cut}");
            assert_eq!(found.len(), 2, "cut at {cut}");
        }
    }

    #[test]
    fn a_pipe_hands_on_each_line_as_it_arrives() {
        let found = pieces(b"{1}\n{2}\n{\n3\n}\n", 4, true, SMALL);
        let found: Vec<&[u8]> = found.iter().map(|piece| piece.data.as_ref()).collect();
        assert_eq!(found, [b"{1}\n".as_slice(), b"{2}\n", b"{\n3\n}\n"]);
        let content = [gzip(b"{1}"), gzip(b"{2"), gzip(b"}"), gzip(b"{3}\n")].concat();
        let found = pieces(&content, 4, true, SMALL);
        let found: Vec<&[u8]> = found.iter().map(|piece| piece.data.as_ref()).collect();
        assert_eq!(found, [b"{1}".as_slice(), b"{2}", b"{3}\n"]);
    }
}
