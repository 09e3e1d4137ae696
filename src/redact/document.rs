//! A document: JSON whose strings, keys and numbers are looked through where they stand. What is masked becomes an edit;
//! everything else stays byte for byte as it came.
//!
//! A document that is an array is taken for a stream: the strings at one path of its elements are looked through
//! together, since a secret may be spread over them.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher as _};
use std::ops::Range;

use super::detect::{Detector, Scanner, is_card};
use super::encoded;
use super::escape::{Escaped, locate, resolve};
use super::mask::{Cut, cuts};
use crate::json::{Cursor, JsonError, Kind, MAX_DEPTH, push_string};

/// Something that stands in the place of a range.
#[derive(Debug)]
pub(super) struct Edit {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// What is to be changed in a text, and what was found in it.
pub(super) struct Sweep<'s, 't> {
    scanner: &'s Scanner,
    text: &'t str,
    pub(super) edits: Vec<Edit>,
    /// How much of each kind was found.
    pub(super) counts: Vec<u64>,
    stream: Option<Stream>,
}

/// The strings of a stream's elements.
#[derive(Default)]
struct Stream {
    /// The containers of one element, each behind the one that it is in.
    nodes: Vec<Node>,
    pieces: Vec<Piece>,
    /// Pieces before this one know their paths.
    settled: usize,
}

/// A container of a stream's element.
struct Node {
    parent: usize,
    /// Its key or its place.
    step: u64,
    is_place: bool,
    /// The members that say which block the container belongs to.
    block: u64,
    /// The path with and without the blocks.
    paths: [u64; 2],
}

/// A string of a stream.
struct Piece {
    span: Range<usize>,
    name: Range<usize>,
    node: usize,
    step: u64,
    paths: [u64; 2],
}

/// Where a value is.
#[derive(Clone)]
struct Place {
    /// The key that it stands under, directly or as an item of a list.
    name: Range<usize>,
    /// Its container in a stream's element.
    node: usize,
    /// The hash of its key there, or its place in an array.
    step: u64,
    is_place: bool,
}

impl<'s, 't> Sweep<'s, 't> {
    pub(super) fn new(scanner: &'s Scanner, text: &'t str) -> Self {
        Self { scanner, text, edits: Vec::new(), counts: vec![0; scanner.kinds().len()], stream: None }
    }

    /// The text with the edits done.
    pub(super) fn finish(mut self) -> String {
        self.edits.sort_by_key(|edit| edit.range.start);
        let mut text = String::with_capacity(self.text.len());
        let mut from = 0;
        for edit in &self.edits {
            text.push_str(self.text.get(from..edit.range.start).unwrap_or_default());
            text.push_str(&edit.text);
            from = edit.range.end;
        }
        text.push_str(self.text.get(from..).unwrap_or_default());
        text
    }

    /// Looks through the value at the cursor, which stands under the key `name`, and may be a stream.
    ///
    /// # Errors
    /// What comes next is no JSON value.
    pub(super) fn document(
        &mut self,
        cursor: &mut Cursor<'t>,
        name: Range<usize>,
        may_stream: bool,
    ) -> Result<(), JsonError> {
        let place = Place { name, node: 0, step: 0, is_place: false };
        if !may_stream || cursor.peek() != Some(b'[') {
            return self.value(cursor, &place, MAX_DEPTH);
        }
        self.stream = Some(Stream::default());
        cursor.array(|cursor| {
            self.value(cursor, &place, MAX_DEPTH)?;
            if let Some(stream) = &mut self.stream {
                stream.settle();
            }
            Ok::<_, JsonError>(())
        })?;
        if let Some(stream) = self.stream.take() {
            self.stream(stream);
        }
        Ok(())
    }

    fn value(&mut self, cursor: &mut Cursor<'t>, place: &Place, depth: usize) -> Result<(), JsonError> {
        let Some(kind) = cursor.peek().map(Kind::of) else { return cursor.value(0).map(drop) };
        match kind {
            Kind::Object if depth > 0 => self.object(cursor, place, depth - 1),
            Kind::Array if depth > 0 => self.array(cursor, place, depth - 1),
            Kind::String => {
                let span = cursor.string()?;
                match &mut self.stream {
                    Some(stream) => stream.push(span, place),
                    None => self.string(span, &place.name),
                }
                Ok(())
            }
            Kind::Number => {
                let span = cursor.value(0)?;
                self.number(span);
                Ok(())
            }
            _ => cursor.value(depth).map(drop),
        }
    }

    fn object(&mut self, cursor: &mut Cursor<'t>, place: &Place, depth: usize) -> Result<(), JsonError> {
        let node = self.stream.as_mut().map_or(0, |stream| stream.enter(place));
        cursor.object(|cursor, key| {
            self.key(key.clone());
            let name = self.content(&key);
            if let Some(stream) = &mut self.stream {
                let kind = cursor.peek().map(Kind::of);
                if is_block(name) && matches!(kind, Some(Kind::Number | Kind::String)) {
                    let value = cursor.clone().value(0)?;
                    stream.block(node, hash((name, self.text.get(value))));
                }
            }
            self.value(cursor, &Place { name: key, node, step: hash(name), is_place: false }, depth)
        })
    }

    fn array(&mut self, cursor: &mut Cursor<'t>, place: &Place, depth: usize) -> Result<(), JsonError> {
        let node = self.stream.as_mut().map_or(0, |stream| stream.enter(place));
        let mut index = 0_u64;
        cursor.array(|cursor| {
            index += 1;
            self.value(cursor, &Place { name: place.name.clone(), node, step: index, is_place: true }, depth)
        })
    }

    /// A number is masked if it is a card's: what follows is then a string.
    fn number(&mut self, span: Range<usize>) {
        let text = self.content(&span);
        if self.scanner.finds(Detector::Card) && text.bytes().all(|byte| byte.is_ascii_digit()) && is_card(text) {
            let cut = Cut { range: 0..text.len(), kind: Detector::Card as usize, quoted: true };
            let mut mask = String::new();
            cut.push_mask(self.scanner.kinds(), &mut mask);
            self.counts[cut.kind] += 1;
            self.edits.push(Edit { range: span, text: mask });
        }
    }

    /// Looks through a key.
    pub(super) fn key(&mut self, span: Range<usize>) {
        self.pieces(&[span], "");
    }

    /// Looks through a string by itself.
    fn string(&mut self, span: Range<usize>, name: &Range<usize>) {
        if !self.encoded(&span) {
            self.pieces(&[span], self.name(name));
        }
    }

    /// Looks through a document that a string holds in base64. Says whether that is all there is to do.
    fn encoded(&mut self, span: &Range<usize>) -> bool {
        let written = resolve(self.content(span), Escaped::Once);
        let width = encoded::line_length(&written);
        let content = if width.is_some() { Cow::Owned(written.replace(['\r', '\n'], "")) } else { written };
        let is_large = encoded::is_large(&content);
        let Some(document) = encoded::Document::of(&content) else { return is_large };
        let found = cuts(self.scanner, &[&document.text], "");
        if found.is_empty() {
            return is_large;
        }
        let masked = self.masked(&document.text, &found);
        let text = document.with_text(&masked);
        let text = escaped(&width.map_or(text.clone(), |width| encoded::in_lines(&text, width)));
        self.edits.push(Edit { range: span.clone(), text });
        true
    }

    /// The text with what was found in it masked.
    fn masked(&mut self, text: &str, found: &[Cut]) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut from = 0;
        for cut in found {
            masked.push_str(&text[from..cut.range.start]);
            cut.push_mask(self.scanner.kinds(), &mut masked);
            self.counts[cut.kind] += 1;
            from = cut.range.end;
        }
        masked.push_str(&text[from..]);
        masked
    }

    /// Looks through strings together.
    fn pieces(&mut self, spans: &[Range<usize>], name: &str) {
        let resolved: Vec<_> = spans.iter().map(|span| resolve(self.content(span), Escaped::Once)).collect();
        let texts: Vec<&str> = resolved.iter().map(AsRef::as_ref).collect();
        let cuts = cuts(self.scanner, &texts, name);
        if cuts.is_empty() {
            return;
        }
        let mut cuts = cuts.into_iter().peekable();
        let (mut begin, mut is_begun) = (0, false);
        for (span, text) in spans.iter().zip(&texts) {
            let end = begin + text.len();
            // What is cut out of this piece: ranges of it, with the cut if it begins here.
            let mut parts: Vec<(Range<usize>, Option<Cut>)> = Vec::new();
            while let Some(cut) = cuts.peek().filter(|cut| cut.range.start < end) {
                let range = cut.range.start.max(begin) - begin..cut.range.end.min(end) - begin;
                parts.push((range, (!is_begun).then(|| cut.clone())));
                is_begun = cut.range.end > end;
                if is_begun {
                    break;
                }
                cuts.next();
            }
            self.cut_out(span, parts);
            begin = end;
        }
    }

    fn cut_out(&mut self, span: &Range<usize>, mut parts: Vec<(Range<usize>, Option<Cut>)>) {
        let places = parts.iter_mut().flat_map(|(range, _)| [&mut range.start, &mut range.end]);
        locate(self.content(span), Escaped::Once, places);
        for (range, cut) in parts {
            let mut mask = String::new();
            if let Some(cut) = cut {
                let mut plain = String::new();
                cut.push_mask(self.scanner.kinds(), &mut plain);
                self.counts[cut.kind] += 1;
                mask = escaped(&plain);
            }
            self.edits.push(Edit { range: span.start + range.start..span.start + range.end, text: mask });
        }
    }

    /// Looks through the strings of a stream, those of one path together.
    fn stream(&mut self, stream: Stream) {
        let mut pieces = stream.pieces;
        // A stable order: the pieces of a path stay in that of the stream.
        pieces.sort_by_key(|piece| piece.paths);
        for path in pieces.chunk_by(|one, other| one.paths[0] == other.paths[0]) {
            let blocks = path.chunk_by(|one, other| one.paths[1] == other.paths[1]);
            // Where each piece has a block of its own, the numbers of the blocks count the pieces.
            if blocks.clone().all(|block| block.len() == 1) {
                let mut path: Vec<&Piece> = path.iter().collect();
                path.sort_by_key(|piece| piece.span.start);
                self.joined(&path);
            } else {
                blocks.for_each(|block| self.joined(&block.iter().collect::<Vec<_>>()));
            }
        }
    }

    fn joined(&mut self, pieces: &[&Piece]) {
        if let [piece] = pieces {
            return self.string(piece.span.clone(), &piece.name);
        }
        let spans: Vec<_> = pieces.iter().map(|piece| piece.span.clone()).filter(|span| !self.encoded(span)).collect();
        self.pieces(&spans, pieces.first().map_or("", |piece| self.name(&piece.name)));
    }

    /// A key that can be a name. One with a mask in it is none, nor is a sentence.
    fn name(&self, span: &Range<usize>) -> &'t str {
        let name = self.content(span);
        let is_name =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' '));
        if is_name { name } else { "" }
    }

    fn content(&self, span: &Range<usize>) -> &'t str {
        self.text.get(span.clone()).unwrap_or_default()
    }
}

/// Whether a member says which block of a stream an event belongs to.
fn is_block(key: &str) -> bool {
    key == "index" || key.ends_with("_index") || key.ends_with("Index") || key == "item_id"
}

fn hash(value: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The text as the content of a JSON string.
fn escaped(text: &str) -> String {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    push_string(&mut quoted, text);
    String::from_utf8_lossy(&quoted[1..quoted.len() - 1]).into_owned()
}

impl Stream {
    /// Notes a container and gives its number; 0 is what the element itself stands in.
    fn enter(&mut self, place: &Place) -> usize {
        let Place { node: parent, step, is_place, .. } = *place;
        self.nodes.push(Node { parent, step, is_place, block: 0, paths: [0; 2] });
        self.nodes.len()
    }

    /// Notes a member that says which block a container belongs to.
    fn block(&mut self, node: usize, value: u64) {
        if let Some(node) = self.nodes.get_mut(node - 1) {
            // Members may come in any order.
            node.block = node.block.wrapping_add(value | 1);
        }
    }

    fn push(&mut self, span: Range<usize>, place: &Place) {
        if !span.is_empty() {
            let Place { name, node, step, .. } = place.clone();
            self.pieces.push(Piece { span, name, node, step, paths: [0; 2] });
        }
    }

    /// Gives the pieces of the element that was walked their paths.
    fn settle(&mut self) {
        for index in 0..self.nodes.len() {
            let Node { parent, step, is_place, block, .. } = self.nodes[index];
            let parent = parent.checked_sub(1).map_or([0; 2], |parent| self.nodes[parent].paths);
            // What says itself which block it is may stand anywhere in a list.
            let step = if is_place && block != 0 { 0 } else { step };
            self.nodes[index].paths = [hash((parent[0], step)), hash((parent[1], step, block))];
        }
        for piece in &mut self.pieces[self.settled..] {
            let node = piece.node.checked_sub(1).map_or([0; 2], |node| self.nodes[node].paths);
            piece.paths = node.map(|path| hash((path, piece.step)));
        }
        self.settled = self.pieces.len();
        self.nodes.clear();
    }
}
