//! Cost: an estimate of what a call cost, in USD, from a table of prices.

use crate::body::View;
use crate::invocation::Invocation;

/// An amount of money in picodollars (10⁻¹² USD): prices by the token are whole numbers of it, so sums are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd(pub i64);

/// What a call cost, as an estimate: the record tells neither batch discounts nor service tiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Tokens of the prompt that were not cached.
    pub input: Usd,
    /// Tokens of the answer.
    pub output: Usd,
    /// Tokens read from the prompt cache.
    pub cache_read: Usd,
    /// Tokens written to the prompt cache.
    pub cache_write: Usd,
    /// Units of guardrails.
    pub guardrail: Usd,
    /// All together.
    pub total: Usd,
    /// The key of the table under which the price stood.
    pub price_key: String,
    /// The date of the price, `YYYY-MM-DD`.
    pub price_date: String,
}

/// Prices by model.
#[derive(Debug, Default)]
pub struct Prices {}

impl Usd {
    /// In USD, for formats that know nothing better than a floating-point number.
    pub fn as_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "15 digits are enough for an estimate")]
        let picodollars = self.0 as f64;
        picodollars / 1e12
    }
}

impl Prices {
    /// What the call cost; none where no price is known.
    pub fn cost_of(&self, invocation: &Invocation<'_>, view: &View<'_>) -> Option<Cost> {
        let _ = (invocation, view);
        None
    }
}

impl std::fmt::Display for Usd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:012}", self.0 / 1_000_000_000_000, self.0 % 1_000_000_000_000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}
