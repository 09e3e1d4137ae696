//! The table of prices that ships with the program: read once, when the first call is priced.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Usd;

/// The table as `scripts/refresh-prices` wrote it: its source, version, licence and date are in its header.
const TEXT: &str = include_str!("prices.tsv");

/// What the keys of guardrail units begin with.
const UNITS: &str = "bedrock/guardrails/";

/// A table of prices.
#[derive(Debug, Default)]
pub(super) struct Table {
    models: HashMap<&'static str, Price>,
    units: HashMap<&'static str, Usd>,
    date: &'static str,
}

/// What a model costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Price {
    /// Prices of tokens, each with the size of the prompt above which it holds, smallest first.
    tiers: Vec<(i64, Rates)>,
    /// An image of the prompt.
    pub(super) image_in: Option<Usd>,
    /// An image of the answer.
    pub(super) image_out: Option<Usd>,
    /// A call, for models that are charged by the query.
    pub(super) query: Option<Usd>,
    /// Whether video and audio of the prompt are charged by the second, which nobody counts.
    pub(super) timed: bool,
}

/// What tokens cost, each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// Of the prompt.
    pub(crate) input: Usd,
    /// Of the answer.
    pub(crate) output: Usd,
    /// Read from the prompt cache.
    pub(crate) cache_read: Option<Usd>,
    /// Written to the prompt cache.
    pub(crate) cache_write: Option<Usd>,
    /// Written to the prompt cache to be kept for an hour.
    pub(crate) cache_write_1h: Option<Usd>,
}

impl Table {
    /// The table that ships with the program.
    pub(super) fn shipped() -> &'static Self {
        static TABLE: LazyLock<Table> = LazyLock::new(|| Table::read(TEXT));
        &TABLE
    }

    /// What a key of the table costs, and the key as the table has it.
    pub(super) fn get(&self, key: &str) -> Option<(&'static str, &Price)> {
        self.models.get_key_value(key).map(|(key, price)| (*key, price))
    }

    /// What a unit of a guardrail costs, by its name in the trace.
    pub(super) fn unit(&self, name: &str) -> Option<Usd> {
        self.units.get(name).copied()
    }

    /// The date of the prices, `YYYY-MM-DD`.
    pub(super) fn date(&self) -> &'static str {
        self.date
    }

    /// Reads a table. A row that is none is passed over; a test reads each row of the one that ships.
    fn read(text: &'static str) -> Self {
        let mut table = Self::default();
        for line in text.lines() {
            match line.strip_prefix("# ") {
                Some(comment) => table.date = comment.strip_prefix("date: ").unwrap_or(table.date),
                None => table.row(line).unwrap_or_default(),
            }
        }
        table
    }

    fn row(&mut self, line: &'static str) -> Option<()> {
        let mut columns = line.split('\t');
        let key = columns.next()?;
        let mut next = || match columns.next()? {
            "-" => Some(None),
            number => number.parse().ok().map(Some),
        };
        if let Some(unit) = key.strip_prefix(UNITS) {
            self.units.insert(unit, Usd(next()??));
            return Some(());
        }
        let above = next()??;
        let mut price = || Some(next()?.map(Usd));
        let rates = Rates {
            input: price()?.unwrap_or_default(),
            output: price()?.unwrap_or_default(),
            cache_read: price()?,
            cache_write: price()?,
            cache_write_1h: price()?,
        };
        let (image_in, image_out, query) = (price()?, price()?, price()?);
        let timed = next()?.is_some();
        let entry = self.models.entry(key).or_default();
        // Rows of a key stand in the order of their sizes.
        entry.tiers.push((above, rates));
        *entry = Price { tiers: std::mem::take(&mut entry.tiers), image_in, image_out, query, timed };
        Some(())
    }
}

impl Price {
    /// The same prices for prompts of any size.
    pub(super) fn flat(rates: Rates) -> Self {
        Self { tiers: vec![(0, rates)], ..Self::default() }
    }

    /// What tokens cost in a call with a prompt of so many, cached ones included.
    pub(super) fn rates(&self, prompt: i64) -> Rates {
        let tier = self.tiers.iter().rev().find(|(above, _)| prompt > *above).or(self.tiers.first());
        tier.map(|(_, rates)| *rates).unwrap_or_default()
    }

    /// Whether tokens cost anything.
    pub(super) fn is_by_token(&self) -> bool {
        self.tiers.iter().any(|(_, rates)| rates.input.max(rates.output) > Usd::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_that_ships_is_read() {
        let table = Table::shipped();
        let rows: Vec<&str> = TEXT.lines().filter(|line| !line.starts_with('#')).collect();
        let tiers: usize = table.models.values().map(|price| price.tiers.len()).sum();
        assert_eq!(tiers + table.units.len(), rows.len());
        assert!(tiers > 500 && table.units.len() >= 8, "{tiers} rows, {} units", table.units.len());
        assert!(table.date.parse::<jiff::civil::Date>().is_ok(), "{:?}", table.date);
        for line in rows {
            let columns: Vec<&str> = line.split('\t').collect();
            if let Some(unit) = columns[0].strip_prefix(UNITS) {
                assert_eq!(table.units[unit].0.to_string(), columns[1], "{line}");
                continue;
            }
            let price = &table.models[columns[0]];
            let (_, rates) = price.tiers.iter().find(|(above, _)| above.to_string() == columns[1]).unwrap();
            let shown = |price: Option<Usd>| price.map_or("-".to_owned(), |price| price.0.to_string());
            let column = |at: usize| if at < 4 { columns[at].replace('-', "0") } else { columns[at].to_owned() };
            let timed = price.timed.then_some(Usd(1));
            let found = [
                Some(rates.input),
                Some(rates.output),
                rates.cache_read,
                rates.cache_write,
                rates.cache_write_1h,
                price.image_in,
                price.image_out,
                price.query,
                timed,
            ];
            assert_eq!(found.map(shown).to_vec(), (2..columns.len()).map(column).collect::<Vec<_>>(), "{line}");
            assert!(price.tiers.is_sorted_by_key(|(above, _)| *above) && price.tiers[0].0 == 0, "{line}");
        }
    }

    #[test]
    fn rows_that_are_none_are_passed_over() {
        let table = Table::read("# date: 2026-01-02\n\na.b\na.b\t0\nx\t0\ty\na.c\t0\t1\t2\t-\t-\t-\t-\t-\t-\t-\n");
        assert_eq!((table.models.len(), table.date), (1, "2026-01-02"));
        let rates = Rates { input: Usd(1), output: Usd(2), ..Rates::default() };
        assert_eq!(table.get("a.c"), Some(("a.c", &Price::flat(rates))));
    }

    #[test]
    fn long_prompts_cost_what_their_tier_says() {
        let (_, price) = Table::shipped().get("anthropic.claude-sonnet-4-5-20250929-v1:0").unwrap();
        let input = |prompt| price.rates(prompt).input.0;
        assert_eq!([0, 200_000, 200_001, i64::MAX].map(input), [3_000_000, 3_000_000, 6_000_000, 6_000_000]);
    }
}
