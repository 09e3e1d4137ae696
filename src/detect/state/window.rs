//! Windows: whether the findings of a key within one stretch of time are enough for an alert.

use std::collections::HashMap;
use std::ops::Range;

use super::samples::{NOTHING, Sample, Samples};
use crate::detect::rule::{Aggregate, Counting, Function};

/// The window that is enough, if there is one: places in `samples` from the first to behind the last. Asked of are the
/// windows that end with a sample and hold the new one: those that would have been asked of, had all come in order.
pub(super) fn enough(samples: &Samples, new: usize, counting: &Counting) -> Option<Range<usize>> {
    let measures = counting.aggregates.len();
    let window = super::micros(counting.window);
    let time = samples.at(new, measures).time;
    let mut first = samples.since(time.saturating_sub(window).saturating_add(1), measures);
    let mut held = Held::new(&counting.aggregates);
    for sample in samples.range(first..new, measures) {
        held.add(&sample);
    }
    for at in new..samples.len(measures) {
        let last = samples.at(at, measures);
        if last.time.saturating_sub(time) >= window {
            break;
        }
        while last.time.saturating_sub(samples.at(first, measures).time) >= window {
            held.take(&samples.at(first, measures));
            first += 1;
        }
        held.add(&last);
        if held.count >= u64::from(counting.threshold) && !last.is_counted && held.holds() {
            return Some(first..at + 1);
        }
    }
    None
}

/// What is in a window, as it slides: everything is added and taken in one step.
struct Held<'a> {
    aggregates: &'a [Aggregate],
    count: u64,
    sums: Vec<Sum>,
}

#[derive(Clone, Debug, Default)]
struct Sum {
    /// Measures that are known.
    known: u64,
    /// Those of them that are at least the limit.
    above: u64,
    total: f64,
    different: HashMap<u64, u64>,
}

impl<'a> Held<'a> {
    fn new(aggregates: &'a [Aggregate]) -> Self {
        Self { aggregates, count: 0, sums: vec![Sum::default(); aggregates.len()] }
    }

    fn add(&mut self, sample: &Sample<'_>) {
        if sample.is_counted {
            return;
        }
        self.count += 1;
        for (aggregate, sum, word) in self.measured(sample) {
            sum.known += 1;
            match aggregate.function {
                Function::Distinct => *sum.different.entry(word).or_default() += 1,
                _ => {
                    let number = f64::from_bits(word);
                    sum.total += number;
                    sum.above += u64::from(number >= aggregate.at_least);
                }
            }
        }
    }

    fn take(&mut self, sample: &Sample<'_>) {
        if sample.is_counted {
            return;
        }
        self.count -= 1;
        for (aggregate, sum, word) in self.measured(sample) {
            sum.known -= 1;
            match aggregate.function {
                Function::Distinct => {
                    if let Some(count) = sum.different.get_mut(&word) {
                        *count -= 1;
                        if *count == 0 {
                            sum.different.remove(&word);
                        }
                    }
                }
                _ => {
                    let number = f64::from_bits(word);
                    sum.total -= number;
                    sum.above -= u64::from(number >= aggregate.at_least);
                }
            }
        }
    }

    fn measured<'s>(&'s mut self, sample: &Sample<'s>) -> impl Iterator<Item = (&'s Aggregate, &'s mut Sum, u64)> {
        let each = self.aggregates.iter().zip(&mut self.sums).zip(sample.measures);
        each.map(|((aggregate, sum), word)| (aggregate, sum, *word)).filter(|(_, _, word)| *word != NOTHING)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn holds(&self) -> bool {
        self.aggregates.iter().zip(&self.sums).all(|(aggregate, sum)| match aggregate.function {
            Function::Sum => sum.total >= aggregate.at_least,
            Function::Mean => sum.known > 0 && sum.total >= aggregate.at_least * sum.known as f64,
            // One at the limit is enough for the largest; for the smallest, all must be.
            Function::Max => sum.above > 0,
            Function::Min => sum.known > 0 && sum.above == sum.known,
            Function::Distinct => sum.different.len() as f64 >= aggregate.at_least,
        })
    }
}
