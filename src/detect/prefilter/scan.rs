//! A scan: which of many short texts stand in a long one, in one pass. Every few bytes it looks whether those that stand
//! there begin any of the pieces' parts; the parts are laid out so that none can slip through between two looks.

use std::collections::HashSet;

use memchr::memmem;

use crate::expression::literal::{Literal, is_plain};

/// What is looked for, by length: long pieces with a look every four bytes, shorter ones with a look every two, and the
/// few of three bytes with a look at each.
#[derive(Debug)]
pub(super) struct Scanner {
    literals: Vec<Literal>,
    long: Table<4, 4>,
    short: Table<3, 2>,
    words: Table<3, 1>,
}

/// The numbers of the pieces that were found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    bits: Vec<u64>,
    /// Everything may be there: letters are written in a way that hides them.
    all: bool,
}

impl Found {
    fn new(count: usize) -> Self {
        Self { bits: vec![0; count.div_ceil(64)], all: false }
    }

    /// Whether the piece may be there.
    pub(super) fn has(&self, number: usize) -> bool {
        self.all || self.has_bit(number)
    }

    fn has_bit(&self, number: usize) -> bool {
        self.bits.get(number / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }

    fn set(&mut self, number: usize) {
        if let Some(bits) = self.bits.get_mut(number / 64) {
            *bits |= 1 << (number % 64);
        }
    }
}

impl Scanner {
    /// A scanner for the pieces of these numbers.
    pub(super) fn new(literals: &[Literal], wanted: &HashSet<usize>) -> Self {
        let (mut long, mut short, mut words) = (Table::default(), Table::default(), Table::default());
        for (number, literal) in literals.iter().enumerate().filter(|(number, _)| wanted.contains(number)) {
            if literal.text.len() >= Table::<4, 4>::MIN_BYTES {
                long.add(number, &literal.text);
            } else if literal.text.len() >= Table::<3, 2>::MIN_BYTES {
                short.add(number, &literal.text);
            } else {
                words.add(number, &literal.text);
            }
        }
        long.finish();
        short.finish();
        words.finish();
        Self { literals: literals.to_vec(), long, short, words }
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_idle(&self) -> bool {
        self.long.parts.is_empty() && self.short.parts.is_empty() && self.words.parts.is_empty()
    }

    /// Nothing was found yet.
    pub(super) fn nothing(&self) -> Found {
        Found::new(self.literals.len())
    }

    /// Notes what stands in a text, the inside of a JSON value as it came.
    pub(super) fn scan(&self, text: &str, found: &mut Found) {
        if found.all || self.is_idle() {
            return;
        }
        if is_hidden(text) {
            found.all = true;
            return;
        }
        self.long.scan(text.as_bytes(), &self.literals, found);
        self.short.scan(text.as_bytes(), &self.literals, found);
        self.words.scan(text.as_bytes(), &self.literals, found);
    }
}

/// Whether letters of the alphabet are written as escapes, or with signs that a regex takes for them.
fn is_hidden(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !text.is_ascii()
        && [b"\xc5\xbf".as_slice(), b"\xe2\x84\xaa"].into_iter().any(|sign| memmem::find(bytes, sign).is_some())
    {
        return true;
    }
    memmem::find_iter(bytes, b"\\u").any(|at| {
        let code = text.get(at + 2..at + 6).and_then(|digits| u16::from_str_radix(digits, 16).ok());
        match code {
            None | Some(0x17f | 0x212a) => true,
            Some(code) => u8::try_from(code).is_ok_and(|byte| is_plain(byte) || byte == b'\\'),
        }
    })
}

/// Parts of `N` bytes of pieces that have at least `N + STEP - 1`, by a hash of them.
#[derive(Debug)]
struct Table<const N: usize, const STEP: usize> {
    /// One bit for each hash that some part has.
    bits: Vec<u64>,
    /// Where the parts of each hash begin.
    starts: Vec<u32>,
    parts: Vec<Part>,
}

/// Part of a piece.
#[derive(Clone, Copy, Debug)]
struct Part {
    hash: usize,
    /// The number of the piece.
    literal: usize,
    /// Where in the piece the part begins.
    offset: usize,
}

/// Bits of a hash: 4 KiB of bits for a thousand parts, so that few looks meet one by chance and the table stays near.
const HASH_BITS: u32 = 15;

impl<const N: usize, const STEP: usize> Default for Table<N, STEP> {
    fn default() -> Self {
        Self { bits: vec![0; 1 << (HASH_BITS - 6)], starts: Vec::new(), parts: Vec::new() }
    }
}

impl<const N: usize, const STEP: usize> Table<N, STEP> {
    /// Bytes that a piece must have for a look to fall into it wherever it stands.
    const MIN_BYTES: usize = N + STEP - 1;

    fn add(&mut self, literal: usize, text: &str) {
        // Of a long piece the last parts are taken: beginnings are more often those of other words.
        let first = text.len().saturating_sub(Self::MIN_BYTES);
        for offset in first..first + STEP {
            if let Some(bytes) = text.as_bytes().get(offset..offset + N) {
                let hash = hash::<N>(bytes);
                self.bits[hash / 64] |= 1 << (hash % 64);
                self.parts.push(Part { hash, literal, offset });
            }
        }
    }

    fn finish(&mut self) {
        self.parts.sort_by_key(|part| part.hash);
        let mut starts = vec![0; (1 << HASH_BITS) + 1];
        for part in &self.parts {
            starts[part.hash + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        self.starts = starts;
    }

    fn scan(&self, text: &[u8], literals: &[Literal], found: &mut Found) {
        if self.parts.is_empty() {
            return;
        }
        for (at, bytes) in text.windows(N).enumerate().step_by(STEP) {
            let hash = hash::<N>(bytes);
            if self.bits[hash / 64] >> (hash % 64) & 1 == 1 {
                self.meet(text, at, hash, literals, found);
            }
        }
    }

    /// Some parts have the hash of what stands here.
    #[cold]
    fn meet(&self, text: &[u8], at: usize, hash: usize, literals: &[Literal], found: &mut Found) {
        let range = self.starts[hash] as usize..self.starts[hash + 1] as usize;
        for part in &self.parts[range] {
            if !found.has_bit(part.literal)
                && at >= part.offset
                && stands_at(text, at - part.offset, &literals[part.literal])
            {
                found.set(part.literal);
            }
        }
    }
}

/// The hash of a part; letters that differ in case have the same.
fn hash<const N: usize>(bytes: &[u8]) -> usize {
    let mut word = [0; 4];
    word[..N].copy_from_slice(&bytes[..N]);
    let word = u32::from_le_bytes(word) | 0x2020_2020;
    (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

fn stands_at(text: &[u8], at: usize, literal: &Literal) -> bool {
    let end = at + literal.text.len();
    let Some(here) = text.get(at..end) else { return false };
    let is_same = match literal.folded {
        true => here.eq_ignore_ascii_case(literal.text.as_bytes()),
        false => here == literal.text.as_bytes(),
    };
    is_same && (!literal.ends || ends_at(text, end)) && (!literal.starts || starts_at(text, at))
}

fn ends_at(text: &[u8], end: usize) -> bool {
    !text.get(end).is_some_and(u8::is_ascii_alphanumeric)
}

/// Whether no letter or digit stands before a place; one that is the end of an escape is none.
fn starts_at(text: &[u8], at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    match before {
        [.., b'\\', _] => true,
        [.., b'\\', b'u', _, _, _, _] => true,
        [.., last] => !last.is_ascii_alphanumeric(),
        [] => true,
    }
}
