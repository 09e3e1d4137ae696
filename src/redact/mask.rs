//! A mask: `[kind]`, which stands for a secret. Here it is decided what of a text is masked; of a text that came in
//! pieces, as in a stream, it is decided over all of them, since a secret may begin in one and end in another.

use std::borrow::Cow;
use std::ops::Range;

use super::detect::{HIDDEN, Hit, Scanner};
use super::escape::{Escaped, locate, resolve};

/// How often a masked text is looked through again: what was masked may have hidden something else. Almost always the
/// second look finds nothing.
const MAX_LOOKS: usize = 8;

/// What is masked of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Where, in the text.
    pub(super) range: Range<usize>,
    /// What it is: the place of its name among the scanner's kinds.
    pub(super) kind: usize,
    /// Whether the mask needs quotes, because the text is JSON and a number is cut out of it.
    pub(super) quoted: bool,
}

impl Cut {
    /// What stands in the place of what was cut out.
    pub(super) fn push_mask(&self, kinds: &[String], out: &mut String) {
        let quote = if self.quoted { "\"" } else { "" };
        let kind = kinds.get(self.kind).map_or("secret", String::as_str);
        for part in [quote, "[", kind, "]", quote] {
            out.push_str(part);
        }
    }
}

/// What is to be masked of a text in pieces, in order: ranges of all the pieces in a row. `name` is the key that the
/// text stands under. Looking through the masked text once more finds nothing.
pub(super) fn cuts(scanner: &Scanner, pieces: &[&str], name: &str) -> Vec<Cut> {
    let whole = match pieces {
        [piece] => Cow::Borrowed(*piece),
        _ => Cow::Owned(pieces.concat()),
    };
    let mut cuts: Vec<Cut> = Vec::new();
    for look in 0..=MAX_LOOKS {
        let mut shown = Shown::of(&whole, pieces, &cuts, scanner.kinds());
        shown.hide_masks(scanner);
        let mut hits = shown.hits(scanner, name);
        if hits.is_empty() {
            break;
        }
        if look == MAX_LOOKS {
            // A text that goes on hiding something was made for it.
            let kind = hits.first().map_or(0, |hit| hit.kind);
            hits = vec![Hit { range: 0..shown.text.len(), kind }];
        }
        let found = cuts.len();
        for hit in without_masks(&shown.hidden, settle(hits)) {
            let range = shown.origin(hit.range.start)..shown.origin(hit.range.end);
            let quoted = is_json_number(&whole, &range);
            cuts.push(Cut { range, kind: hit.kind, quoted });
        }
        if cuts.len() == found {
            break;
        }
        cuts.sort_by_key(|cut| cut.range.start);
    }
    cuts
}

/// A text with its masks in place.
struct Shown<'t> {
    text: Cow<'t, str>,
    /// Where each piece begins, and the end.
    pieces: Vec<usize>,
    /// The masks, in the text.
    masks: Vec<Range<usize>>,
    /// For each mask, what stands in its place in the original.
    cut: Vec<Range<usize>>,
    /// These masks, and those that the original had.
    hidden: Vec<Range<usize>>,
}

impl<'t> Shown<'t> {
    fn of(whole: &'t str, pieces: &[&str], cuts: &[Cut], kinds: &[String]) -> Self {
        let mut starts = Vec::with_capacity(pieces.len() + 1);
        let mut start = 0;
        for piece in pieces {
            starts.push(start);
            start += piece.len();
        }
        starts.push(start);
        if cuts.is_empty() {
            let text = Cow::Borrowed(whole);
            return Self { text, pieces: starts, masks: Vec::new(), cut: Vec::new(), hidden: Vec::new() };
        }
        let mut text = String::with_capacity(whole.len());
        let mut masks = Vec::with_capacity(cuts.len());
        let (mut from, mut next) = (0, 0);
        for cut in cuts {
            // A mask is in the piece in which what it stands for begins.
            while let Some(start) = starts.get_mut(next).filter(|start| **start <= cut.range.start) {
                *start = text.len() + (*start - from);
                next += 1;
            }
            text.push_str(&whole[from..cut.range.start]);
            let mask = text.len();
            cut.push_mask(kinds, &mut text);
            masks.push(mask..text.len());
            from = cut.range.end;
            while let Some(start) = starts.get_mut(next).filter(|start| **start < from) {
                *start = text.len();
                next += 1;
            }
        }
        for start in starts.iter_mut().skip(next) {
            *start = text.len() + (*start - from);
        }
        text.push_str(&whole[from..]);
        let cut = cuts.iter().map(|cut| cut.range.clone()).collect();
        Self { text: Cow::Owned(text), pieces: starts, masks, cut, hidden: Vec::new() }
    }

    /// Covers masks: what they say is no context for what stands beside them.
    fn hide_masks(&mut self, scanner: &Scanner) {
        self.hidden = scanner.masks(&self.text).chain(self.masks.iter().cloned()).collect();
        if self.hidden.is_empty() {
            return;
        }
        self.hidden.sort_unstable_by_key(|mask| (mask.start, mask.end));
        let mut text = String::with_capacity(self.text.len());
        for mask in &self.hidden {
            // A mask in quotes holds one without.
            if mask.start >= text.len() {
                text.push_str(&self.text[text.len()..mask.start]);
            }
            text.extend(std::iter::repeat_n(HIDDEN, mask.end.saturating_sub(text.len())));
        }
        text.push_str(&self.text[text.len()..]);
        self.text = Cow::Owned(text);
    }

    /// Everything that is found in it: in the pieces together, and in each of them.
    fn hits(&self, scanner: &Scanner, name: &str) -> Vec<Hit> {
        let mut hits = Vec::new();
        if let [_, _, _, ..] = self.pieces[..] {
            find(scanner, &self.text, "", 0, &mut hits);
            hits = settle(hits);
        }
        let joined = hits.len();
        let (mut next, mut alone) = (0, Vec::new());
        for piece in self.pieces.windows(2) {
            let (start, end) = (piece[0], piece[1]);
            // Behind the rest of something that began in an earlier piece the piece alone would be misread.
            while next < joined && hits[next].range.end <= start {
                next += 1;
            }
            let rest =
                hits[..joined].get(next).filter(|hit| hit.range.start < start).map_or(start, |hit| hit.range.end);
            find(scanner, &self.text[start..end], name, start, &mut alone);
            hits.extend(alone.drain(..).filter(|hit| hit.range.start >= rest));
        }
        hits
    }

    /// Where a place of this text, outside of its masks, is in the original.
    fn origin(&self, place: usize) -> usize {
        match self.masks.partition_point(|mask| mask.end <= place) {
            0 => place,
            before => self.cut[before - 1].end + (place - self.masks[before - 1].end),
        }
    }
}

/// Everything that is found in a text, as it is and with the escapes in it resolved.
fn find(scanner: &Scanner, text: &str, name: &str, base: usize, hits: &mut Vec<Hit>) {
    let first = hits.len();
    scanner.scan(text, name, hits);
    if let Cow::Owned(resolved) = resolve(text, Escaped::Within) {
        let mut found = Vec::new();
        scanner.scan(&resolved, name, &mut found);
        let mut places: Vec<usize> = found.iter().flat_map(|hit| [hit.range.start, hit.range.end]).collect();
        let mut order: Vec<&mut usize> = places.iter_mut().collect();
        order.sort_unstable();
        locate(text, Escaped::Within, order.into_iter());
        hits.extend(places.chunks_exact(2).zip(found).map(|(place, hit)| Hit { range: place[0]..place[1], ..hit }));
    }
    for hit in &mut hits[first..] {
        hit.range.start += base;
        hit.range.end += base;
    }
}

/// Puts hits in order and joins those that overlap: the first one, of two at one place the longer one, says what it is.
fn settle(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_unstable_by_key(|hit| (hit.range.start, std::cmp::Reverse(hit.range.end), hit.kind));
    let mut settled: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits {
        match settled.last_mut() {
            Some(last) if hit.range.start < last.range.end => last.range.end = last.range.end.max(hit.range.end),
            _ => settled.push(hit),
        }
    }
    settled
}

/// The hits without what is a mask already, from this run or an earlier one.
fn without_masks(masks: &[Range<usize>], hits: Vec<Hit>) -> Vec<Hit> {
    let mut rest = Vec::with_capacity(hits.len());
    let mut next = 0;
    for hit in hits {
        let mut start = hit.range.start;
        while masks.get(next).is_some_and(|mask| mask.end <= start) {
            next += 1;
        }
        for mask in masks.iter().skip(next).take_while(|mask| mask.start < hit.range.end) {
            if start < mask.start {
                rest.push(Hit { range: start..mask.start, kind: hit.kind });
            }
            start = start.max(mask.end);
        }
        if start < hit.range.end {
            rest.push(Hit { range: start..hit.range.end, kind: hit.kind });
        }
    }
    rest
}

/// Whether a number of a text that holds JSON is cut out.
fn is_json_number(text: &str, range: &Range<usize>) -> bool {
    let number = text[range.clone()].bytes().all(|byte| byte.is_ascii_digit());
    number
        && text.trim_start().starts_with(['{', '['])
        && text[..range.start].trim_end().ends_with([':', '[', ','])
        && text[range.end..].trim_start().starts_with([',', '}', ']'])
}
