//! An item: an entry as the attributes of one, compressed; one that is too large for an item is cut into pieces, which
//! count from the moment at which the entry's own item names them.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

pub(super) type Item = HashMap<String, AttributeValue>;

/// The names of the attributes.
pub(super) mod attribute {
    pub(in crate::checkpoint::dynamodb) const BOOK: &str = "book";
    pub(in crate::checkpoint::dynamodb) const PART: &str = "part";
    pub(in crate::checkpoint::dynamodb) const HOLDER: &str = "holder";
    pub(in crate::checkpoint::dynamodb) const WORKER: &str = "worker";
    pub(in crate::checkpoint::dynamodb) const RENEWED: &str = "renewed";
    pub(in crate::checkpoint::dynamodb) const RELEASED: &str = "released";
    pub(super) const ZSTD: &str = "zstd";
    pub(super) const PLAIN: &str = "plain";
    pub(super) const EDITION: &str = "edition";
    pub(super) const PIECES: &str = "pieces";
}

/// The most of a value in an item: an item has 400 KB at most, with the names and the key.
pub(super) const MAX_BYTES: usize = 350_000;

/// An entry is never so large: what says so is damaged.
const MAX_ENTRY_BYTES: u64 = 64 << 20;

/// Little is gained beyond this level, and much time lost.
const LEVEL: i32 = 1;

/// What stands before the key of an entry's own item, and before those of its pieces.
const ENTRY: char = 'e';
const PIECE: char = 'p';

/// Where an entry's own item is.
pub(super) fn place(key: &[u8]) -> String {
    let mut text = vec![ENTRY as u8];
    crate::json::push_hex(&mut text, key);
    String::from_utf8(text).unwrap_or_default()
}

fn piece_place(key: &[u8], edition: u64, piece: usize) -> String {
    place(key).replacen(ENTRY, &PIECE.to_string(), 1) + &format!("-{edition:016x}-{piece:04}")
}

fn item(book: &str, part: String) -> Item {
    let text = |(name, value): (&str, String)| (name.to_owned(), AttributeValue::S(value));
    [(attribute::BOOK, book.to_owned()), (attribute::PART, part)].map(text).into()
}

/// The key of an item.
pub(super) fn key_of(book: &str, part: &str) -> Item {
    item(book, part.to_owned())
}

/// An entry's own item, and its pieces where it has some.
pub(super) struct Written {
    pub(super) own: Item,
    pub(super) pieces: Vec<Item>,
}

/// An entry as items. `edition` is one that the entry never had in this book.
pub(super) fn written(book: &str, key: &[u8], value: &[u8], edition: u64) -> Written {
    // What cannot be compressed is as it was.
    let packed = zstd::bulk::compress(value, LEVEL).ok().filter(|packed| packed.len() < value.len());
    let name = if packed.is_some() { attribute::ZSTD } else { attribute::PLAIN };
    let bytes = packed.as_deref().unwrap_or(value);
    let mut own = item(book, place(key));
    if bytes.len() <= MAX_BYTES {
        own.insert(name.to_owned(), AttributeValue::B(Blob::new(bytes)));
        return Written { own, pieces: Vec::new() };
    }
    let pieces: Vec<_> = bytes
        .chunks(MAX_BYTES)
        .enumerate()
        .map(|(number, bytes)| {
            let mut piece = item(book, piece_place(key, edition, number));
            piece.insert(name.to_owned(), AttributeValue::B(Blob::new(bytes)));
            piece
        })
        .collect();
    own.insert(attribute::EDITION.to_owned(), AttributeValue::N(edition.to_string()));
    own.insert(attribute::PIECES.to_owned(), AttributeValue::N(pieces.len().to_string()));
    Written { own, pieces }
}

/// The keys of the items of an edition's pieces.
pub(super) fn piece_keys(book: &str, key: &[u8], edition: u64, pieces: usize) -> impl Iterator<Item = Item> {
    (0..pieces).map(move |piece| item(book, piece_place(key, edition, piece)))
}

/// Roughly what an item counts for.
pub(super) fn size(item: &Item) -> usize {
    let size = |value: &AttributeValue| match value {
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        _ => 1,
    };
    item.iter().map(|(name, value)| name.len() + size(value)).sum()
}

/// Entries from the items of a book, in the order of their keys: an entry's own comes before all pieces.
#[derive(Default)]
pub(super) struct Reading {
    /// By the key, as text, of an entry in pieces: its edition, and how many there are to come.
    cut: BTreeMap<String, (u64, usize)>,
    pieces: Vec<u8>,
}

impl Reading {
    /// The entry that is whole with this item. What is damaged, and pieces that nobody names, are none.
    pub(super) fn take(&mut self, item: &Item) -> Option<(Vec<u8>, Vec<u8>)> {
        let part = item.get(attribute::PART)?.as_s().ok()?;
        if let Some(key) = part.strip_prefix(ENTRY) {
            if let Some(pieces) = number(item, attribute::PIECES) {
                let edition = number(item, attribute::EDITION)?;
                self.cut.insert(key.to_owned(), (edition, usize::try_from(pieces).ok()?));
                return None;
            }
            let (name, bytes) = bytes_of(item)?;
            return Some((unhex(key)?, unpacked(name, bytes)?));
        }
        let mut words = part.strip_prefix(PIECE)?.split('-');
        let (key, edition, piece) = (words.next()?, words.next()?, words.next()?);
        let (named, count) = *self.cut.get(key)?;
        let (edition, piece) = (u64::from_str_radix(edition, 16).ok()?, piece.parse::<usize>().ok()?);
        if edition != named {
            return None;
        }
        if piece == 0 {
            self.pieces.clear();
        }
        let (name, bytes) = bytes_of(item)?;
        self.pieces.extend_from_slice(bytes);
        if piece + 1 < count {
            return None;
        }
        Some((unhex(key)?, unpacked(name, &std::mem::take(&mut self.pieces))?))
    }
}

pub(super) fn number(item: &Item, name: &str) -> Option<u64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn bytes_of(item: &Item) -> Option<(&'static str, &[u8])> {
    let value = |name| Some((name, item.get(name)?.as_b().ok()?.as_ref()));
    value(attribute::ZSTD).or_else(|| value(attribute::PLAIN))
}

fn unpacked(name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    if name == attribute::PLAIN {
        return Some(bytes.to_vec());
    }
    let mut value = Vec::new();
    zstd::Decoder::new(bytes).ok()?.take(MAX_ENTRY_BYTES).read_to_end(&mut value).ok()?;
    Some(value)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that do not compress.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn an_entry_comes_back_whole_however_large_it_is() {
        let check = |value: &[u8], pieces: usize| {
            let key = b"k123456789abcdef0";
            let new = written("book", key, value, 7);
            let old = written("book", key, &noise(value.len()), 3);
            assert_eq!(new.pieces.len(), pieces, "{} bytes", value.len());
            let items = std::iter::once(&new.own).chain(&old.pieces).chain(&new.pieces);
            assert!(items.clone().all(|item| size(item) < 400_000));
            let keys: Vec<_> = piece_keys("book", key, 7, pieces).map(|key| key[attribute::PART].clone()).collect();
            assert_eq!(keys, new.pieces.iter().map(|item| item[attribute::PART].clone()).collect::<Vec<_>>());
            let mut reading = Reading::default();
            let read: Vec<_> = items.filter_map(|item| reading.take(item)).collect();
            assert_eq!(read, [(key.to_vec(), value.to_vec())]);
        };
        check(b"", 0);
        check(&[7; 1_000_000], 0);
        check(&noise(300_000), 0);
        check(&noise(MAX_BYTES + 1), 2);
        check(&noise(4_000_000), 12);
    }

    #[test]
    fn what_is_damaged_is_no_entry() {
        let mut own = written("book", b"k1", &noise(10), 0).own;
        own.insert(attribute::PART.to_owned(), AttributeValue::S("exyz".into()));
        assert!(Reading::default().take(&own).is_none());
        own.insert(attribute::PART.to_owned(), AttributeValue::S("e6b31".into()));
        assert!(Reading::default().take(&own).is_some());
        own.clear();
        assert!(Reading::default().take(&own).is_none());
        let piece = written("book", b"k1", &noise(MAX_BYTES + 1), 5).pieces.remove(0);
        assert!(Reading::default().take(&piece).is_none(), "nobody names it");
    }
}
