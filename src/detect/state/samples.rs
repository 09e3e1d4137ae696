//! Samples: what is kept of each event of a key, sorted by time: when it was, its id and what was measured of it. One
//! flat list of words, because there are many keys with few samples each.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::bound::heap;
use super::key::{EventId, Form};
use crate::detect::finding::Measure;
use crate::detect::rule::Severity;

/// What a measure is that is not known: a pattern that no number and no hash is stored as.
pub(super) const NOTHING: u64 = u64::MAX;

/// Words before the measures: the time with the marks, and the id.
const HEAD: usize = 3;

/// Bits of the first word that are marks: two for the form of the id, one that says that an alert has it, and three for
/// the severity. The time is above them, in microseconds.
const MARKS: u32 = 6;
const COUNTED: u64 = 4;
const SEVERITY: u32 = 3;

/// Times are taken to be at most so far from 1970, in microseconds: 2,283 years, so that they have their place.
pub(super) const FARTHEST: i64 = 1 << 56;

/// Samples, the oldest first. Of the same time, the one with the smaller id is first, so that the order in which they
/// came is nowhere in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Samples {
    words: Vec<u64>,
    /// Ids whose bytes do not have the text. Most events have none such.
    texts: Vec<(EventId, Box<str>)>,
}

/// One sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample<'a> {
    /// In microseconds.
    pub(super) time: i64,
    pub(super) id: EventId,
    /// Whether an alert has taken it in.
    pub(super) is_counted: bool,
    pub(super) severity: Severity,
    pub(super) measures: &'a [u64],
}

/// What a sample is made of, beside its measures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) time: i64,
    pub(super) id: EventId,
    /// The text of the id.
    pub(super) text: &'a str,
    pub(super) severity: Severity,
}

impl Head<'_> {
    fn words(&self) -> [u64; HEAD] {
        let marks = self.id.form as u64 | u64::from(number_of(self.severity)) << SEVERITY;
        let [high, low] = self.id.words();
        [(self.time << MARKS).cast_unsigned() | marks, high, low]
    }
}

fn read(words: &[u64]) -> Sample<'_> {
    let first = words[0];
    Sample {
        time: first.cast_signed() >> MARKS,
        id: EventId::from_words([words[1], words[2]], Form::of(first & 3)),
        is_counted: first & COUNTED != 0,
        severity: severity_of(u32::try_from(first >> SEVERITY & 7).unwrap_or_default()),
        measures: &words[HEAD..],
    }
}

impl Samples {
    /// The samples of `words`, unless they are damaged.
    pub(super) fn restored(words: Vec<u64>, texts: Vec<(EventId, Box<str>)>, measures: usize) -> Option<Self> {
        let stride = HEAD + measures;
        let samples = Self { words, texts };
        let is_sorted = || {
            let pairs = (1..samples.len(measures)).map(|at| (samples.at(at - 1, measures), samples.at(at, measures)));
            pairs.into_iter().all(|(one, next)| (one.time, one.id) < (next.time, next.id))
        };
        (samples.words.len().is_multiple_of(stride) && is_sorted()).then_some(samples)
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn texts(&self) -> &[(EventId, Box<str>)] {
        &self.texts
    }

    pub(super) fn len(&self, measures: usize) -> usize {
        self.words.len() / (HEAD + measures)
    }

    pub(super) fn at(&self, at: usize, measures: usize) -> Sample<'_> {
        let stride = HEAD + measures;
        read(&self.words[at * stride..(at + 1) * stride])
    }

    /// Samples from one place to before another.
    pub(super) fn range(
        &self,
        range: std::ops::Range<usize>,
        measures: usize,
    ) -> impl DoubleEndedIterator<Item = Sample<'_>> + ExactSizeIterator {
        let stride = HEAD + measures;
        self.words[range.start * stride..range.end * stride].chunks_exact(stride).map(read)
    }

    /// The first place whose sample is not before this time.
    pub(super) fn since(&self, time: i64, measures: usize) -> usize {
        self.place(measures, |sample| sample.time < time)
    }

    fn place(&self, measures: usize, is_before: impl Fn(&Sample<'_>) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len(measures));
        // Most events come in order: the last one is looked at first.
        if high > 0 && is_before(&self.at(high - 1, measures)) {
            return high;
        }
        while low < high {
            let middle = low.midpoint(high);
            if is_before(&self.at(middle, measures)) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Adds a sample, and says where; none if it was there.
    pub(super) fn insert(&mut self, head: &Head<'_>, measures: &[u64]) -> Option<usize> {
        let at = self.place(measures.len(), |sample| (sample.time, sample.id) < (head.time, head.id));
        if at < self.len(measures.len()) {
            let there = self.at(at, measures.len());
            if (there.time, there.id) == (head.time, head.id) {
                return None;
            }
        }
        let stride = HEAD + measures.len();
        if self.words.capacity() < self.words.len() + stride {
            // A quarter more, and not twice as much: keys are many.
            self.words.reserve_exact(stride.max(self.words.len() / 4 / stride * stride));
        }
        let index = at * stride;
        self.words.splice(index..index, head.words().into_iter().chain(measures.iter().copied()));
        if head.id.form == Form::Text {
            self.texts.push((head.id, head.text.into()));
        }
        Some(at)
    }

    /// Takes in the samples of another; what an alert of either has taken in is taken in.
    pub(super) fn merge(&mut self, other: Self, measures: usize) {
        let stride = HEAD + measures;
        let mut words = Vec::with_capacity(self.words.len() + other.words.len());
        let (mut ours, mut others) =
            (self.words.chunks_exact(stride).peekable(), other.words.chunks_exact(stride).peekable());
        let place = |words: &[u64]| {
            let sample = read(words);
            (sample.time, sample.id)
        };
        while let (Some(one), Some(two)) = (ours.peek(), others.peek()) {
            match place(one).cmp(&place(two)) {
                Ordering::Less => words.extend(ours.next().into_iter().flatten()),
                Ordering::Greater => words.extend(others.next().into_iter().flatten()),
                Ordering::Equal => {
                    let is_counted = two[0] & COUNTED;
                    let at = words.len();
                    words.extend(ours.next().into_iter().flatten());
                    words[at] |= is_counted;
                    others.next();
                }
            }
        }
        words.extend(ours.chain(others).flatten());
        self.words = words;
        let known: HashSet<_> = self.texts.iter().map(|(id, _)| id.bytes).collect();
        self.texts.extend(other.texts.into_iter().filter(|(id, _)| !known.contains(&id.bytes)));
    }

    /// Marks samples as taken in by an alert.
    pub(super) fn count(&mut self, at: usize, measures: usize) {
        self.words[at * (HEAD + measures)] |= COUNTED;
    }

    /// Forgets the oldest for which `is_over` holds, once they are a good part of all: it costs a move of the others.
    pub(super) fn forget(&mut self, measures: usize, is_over: impl Fn(&Sample<'_>) -> bool) {
        let len = self.len(measures);
        let over = self.range(0..len, measures).take_while(is_over).count();
        if over > 0 && over * 4 >= len {
            self.remove(0..over, measures);
        }
    }

    /// Keeps at most so many, and says how many had to go: the oldest, but first those that are far in the future of
    /// the key, or a few events with a wrong clock would leave no place for others.
    pub(super) fn cut(&mut self, most: usize, future: i64, measures: usize) -> u64 {
        let len = self.len(measures);
        let excess = len.saturating_sub(most);
        for _ in 0..excess {
            let last = self.len(measures) - 1;
            if self.at(last, measures).time > future {
                self.remove(last..last + 1, measures);
            } else {
                self.remove(0..1, measures);
            }
        }
        excess as u64
    }

    fn remove(&mut self, range: std::ops::Range<usize>, measures: usize) {
        let stride = HEAD + measures;
        if !self.texts.is_empty() {
            let gone: Vec<_> = self.range(range.clone(), measures).map(|sample| sample.id).collect();
            self.texts.retain(|(id, _)| !gone.contains(id));
        }
        self.words.drain(range.start * stride..range.end * stride);
        if self.words.capacity() > 64 && self.words.capacity() > 2 * self.words.len() {
            self.words.shrink_to(self.words.len() + self.words.len() / 4);
        }
    }

    /// The text of an id that is or was kept.
    pub(super) fn text(&self, id: EventId) -> String {
        let kept = || self.texts.iter().find(|(known, _)| *known == id).map(|(_, text)| text.to_string());
        id.text().or_else(kept).unwrap_or_else(|| super::key::hex(&id.bytes))
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        let texts: usize = self.texts.iter().map(|(_, text)| heap(text.len())).sum();
        heap(self.words.capacity() * 8) + heap(self.texts.capacity() * size_of::<(EventId, Box<str>)>()) + texts
    }
}

/// A number as a word; one that is none counts for nothing.
pub(super) fn number(measure: Option<Measure>) -> u64 {
    match measure {
        // Zero has two signs, and is one value.
        Some(Measure::Number(number)) if number.is_finite() => (number + 0.0).to_bits(),
        _ => NOTHING,
    }
}

/// A measure of which only is asked whether it is the same as another, as a word.
pub(super) fn word(measure: Option<Measure>) -> u64 {
    match measure {
        Some(Measure::Hash(hash)) => hash.min(NOTHING - 1),
        other => number(other),
    }
}

/// A severity as a number, the least first: the form that is stored.
pub(super) fn number_of(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

pub(super) fn severity_of(number: u32) -> Severity {
    match number {
        0 => Severity::Info,
        1 => Severity::Low,
        2 => Severity::Medium,
        3 => Severity::High,
        _ => Severity::Critical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_oldest_go_but_first_those_far_in_the_future() {
        let check = |times: &[i64], expected: &[i64], cuts: u64| {
            let mut samples = Samples::default();
            for (place, time) in times.iter().enumerate() {
                let text = format!("event-{place}");
                let head = Head { time: *time, id: EventId::of(&text), text: &text, severity: Severity::High };
                assert!(samples.insert(&head, &[1]).is_some());
                assert!(samples.insert(&head, &[1]).is_none());
            }
            assert_eq!(samples.cut(3, 100, 1), cuts);
            let kept: Vec<_> = samples.range(0..samples.len(1), 1).collect();
            assert_eq!(kept.iter().map(|sample| sample.time).collect::<Vec<_>>(), expected);
            assert!(kept.iter().all(|sample| samples.text(sample.id).starts_with("event-")));
            assert!(kept.iter().all(|sample| sample.severity == Severity::High && !sample.is_counted));
            assert_eq!(samples.texts().len(), expected.len());
        };
        check(&[3, 1, 2], &[1, 2, 3], 0);
        check(&[5, 3, 1, 2, -4], &[2, 3, 5], 2);
        check(&[300, 1, 200, 2], &[1, 2, 200], 1);
        check(&[300, 1, 200, 2, 3, 4], &[2, 3, 4], 3);
    }
}
