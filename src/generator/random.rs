//! The generator's chance: SplitMix64, small, fast, and the same on every platform for the same seed.

use std::fmt::Write as _;

/// A pseudo-random sequence. Good enough to vary records; never for secrets.
/// Source of the constants: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

/// Points of a distribution: the per mille of values that are at most as large, rising to 1,000, each with its value.
pub type Quantiles = &'static [(u32, u32)];

impl Random {
    /// The sequence of this seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to but not including `bound`; 0 where `bound` is 0. The bias is below 2⁻³².
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let high = (u128::from(self.bits()) * bound as u128) >> 64;
        usize::try_from(high).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `per_mille` of 1,000 cases.
    pub(super) fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }

    /// One of `items`, which must not be empty.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    /// The index of one of `weights`, as likely as its weight.
    pub(super) fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u32 = weights.iter().sum();
        let mut point = self.below(total as usize);
        for (index, weight) in weights.iter().enumerate() {
            if point < *weight as usize {
                return index;
            }
            point -= *weight as usize;
        }
        0
    }

    /// A value of the distribution through `points`, straight lines between them.
    pub(super) fn quantile(&mut self, points: Quantiles) -> usize {
        let at = u32::try_from(self.below(1_000_000)).unwrap_or(0);
        let mut before = (0u32, points.first().map_or(0, |point| point.1));
        for &(per_mille, value) in points {
            let (low, high) = (before.0 * 1000, per_mille * 1000);
            if at < high {
                let rise = u64::from(value.saturating_sub(before.1)) * u64::from(at - low) / u64::from(high - low);
                return before.1 as usize + usize::try_from(rise).unwrap_or(0);
            }
            before = (per_mille, value);
        }
        before.1 as usize
    }

    /// Appends `count` hexadecimal digits.
    pub(super) fn hex(&mut self, count: usize, out: &mut String) {
        self.symbols(b"0123456789abcdef", count, out);
    }

    /// Appends `count` letters and digits.
    pub(super) fn alphanumeric(&mut self, count: usize, out: &mut String) {
        self.symbols(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", count, out);
    }

    /// Appends `count` decimal digits.
    pub(super) fn digits(&mut self, count: usize, out: &mut String) {
        self.symbols(b"0123456789", count, out);
    }

    /// Appends `count` of `symbols`, which are ASCII and at most 256.
    pub(super) fn symbols(&mut self, symbols: &[u8], count: usize, out: &mut String) {
        let mut bits = 0;
        for index in 0..count {
            // Each draw of 64 bits serves four symbols.
            if index.is_multiple_of(4) {
                bits = self.bits();
            }
            let at = ((bits & 0xffff) as usize * symbols.len()) >> 16;
            bits >>= 16;
            out.push(char::from(symbols[at]));
        }
    }

    /// A random identifier in the form of a UUID, version 4.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.bits(), self.bits());
        let mut out = String::with_capacity(36);
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48) & 0x3fff,
            low & 0xffff_ffff_ffff,
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // The first outputs of the reference implementation for seed 1234567.
        let mut random = Random::new(1_234_567);
        assert_eq!(
            [random.bits(), random.bits(), random.bits()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn quantiles_are_met() {
        const POINTS: Quantiles = &[(0, 10), (500, 100), (950, 1000), (1000, 5000)];
        let mut random = Random::new(1);
        let mut values: Vec<usize> = (0..20_000).map(|_| random.quantile(POINTS)).collect();
        values.sort_unstable();
        assert!(values.first().is_some_and(|least| *least >= 10) && values.last().is_some_and(|most| *most <= 5000));
        assert!((90..=110).contains(&values[10_000]), "median {}", values[10_000]);
        assert!((900..=1200).contains(&values[19_000]), "p95 {}", values[19_000]);
    }
}
