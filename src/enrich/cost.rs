//! Cost: an estimate of what a call cost, in USD, from a table of prices.

use std::collections::HashMap;
use std::fmt;

use crate::body::{Guardrail, MediaKind, Message, Part, Usage, View};
use crate::invocation::{Invocation, JsonStr};

mod lookup;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::Rates;
use table::{Price, Table};

/// An amount of money in picodollars (10⁻¹² USD): prices by the token are whole numbers of it, so sums are exact. Written
/// as a decimal number of USD with all its digits, which is a JSON number too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usd(pub i64);

/// What a call cost, as an estimate: list prices, while the record tells neither batch discounts nor service tiers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Tokens of the prompt that were not cached; images of the prompt, and the query, where a model charges them so. A
    /// reranker's call is taken for one query, which holds up to a hundred documents.
    pub input: Usd,
    /// Tokens of the answer, or its images.
    pub output: Usd,
    /// Tokens read from the prompt cache. Where a model has no price for them they cost what other tokens of the prompt
    /// cost: that is what is charged where no discount is published, and leaving them out would show long prompts as
    /// nearly free.
    pub cache_read: Usd,
    /// Tokens written to the prompt cache, with the ones that are kept for an hour at their own price; where there is
    /// none, as those that are not, and where there is none for these either, as other tokens of the prompt.
    pub cache_write: Usd,
    /// Units of guardrails. A unit that the table has no price for is left out.
    pub guardrail: Usd,
    /// All together.
    pub total: Usd,
    /// The key under which the price stood, in the table or in the configuration.
    pub price_key: String,
    /// The date of the price, `YYYY-MM-DD`; a price of the configuration may have none.
    pub price_date: Option<String>,
    /// How the price was found.
    pub basis: Basis,
}

/// How a price was found, from the surest way to the least sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// In the configuration.
    Override,
    /// Under the model's id.
    Exact,
    /// Under the model's id in the Region of the call.
    Region,
    /// Under the id of the inference profile that an ARN names, or that the configuration has for it.
    Profile,
    /// Under the id of the model without the profile's Regions or the version, or of another endpoint: the price may
    /// differ by some percent.
    Base,
}

/// What can be said of a call's cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// It is known.
    Cost(Cost),
    /// The model has no price, or is charged by what no record tells.
    Unpriced,
    /// Nothing that is charged is known of the call: neither the record nor a body counts anything, as with most calls
    /// that failed.
    Uncounted,
}

/// Prices by model: those of the configuration, before those of the table that ships with the program.
#[derive(Debug, Default)]
pub struct Prices {
    models: HashMap<String, Own>,
    profiles: HashMap<String, String>,
}

/// A price of the configuration.
#[derive(Debug)]
struct Own {
    price: Price,
    date: String,
}

impl Usd {
    /// In USD, for formats that know nothing better than a floating-point number.
    pub fn as_f64(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "15 digits are enough for an estimate")]
        let picodollars = self.0 as f64;
        picodollars / 1e12
    }

    /// The price of so many; counts below zero are none, and what is too much is the largest amount.
    fn times(self, count: i64) -> Self {
        Self(self.0.saturating_mul(count.max(0)))
    }

    /// The sum of two.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ONE: u64 = 1_000_000_000_000;
        let (sign, amount) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, fraction) = (amount / ONE, amount % ONE);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{}", format!("{fraction:012}").trim_end_matches('0'))
    }
}

impl Basis {
    /// The name in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::Exact => "exact",
            Self::Region => "region",
            Self::Profile => "profile",
            Self::Base => "base",
        }
    }
}

impl Prices {
    /// Uses a price of the user's for a model id, as it is logged or as the last part of a logged ARN.
    pub(crate) fn set(&mut self, model: String, rates: Rates, date: String) {
        self.models.insert(model, Own { price: Price::flat(rates), date });
    }

    /// Says which model or inference profile an application inference profile was made of, by its ARN or its id.
    pub(crate) fn set_profile(&mut self, profile: String, model: String) {
        self.profiles.insert(profile, model);
    }

    /// What the call cost.
    pub fn estimate(&self, invocation: &Invocation<'_>, view: &View<'_>) -> Estimate {
        let failed = invocation.error_code.is_some_and(|code| !code.0.is_empty());
        let region = invocation.region.map(JsonStr::decode).unwrap_or_default();
        let Some(found) = self.find(&invocation.model_id.decode(), &region) else {
            let counted = !failed || has_tokens(&view.charged());
            return if counted { Estimate::Unpriced } else { Estimate::Uncounted };
        };
        let Some(mut bill) = Bill::of_model(found.price, failed, view) else { return Estimate::Unpriced };
        bill.add_guardrail(view.guardrail());
        let Bill { input, output, cache_read, cache_write, guardrail, is_any } = bill;
        if !is_any {
            return Estimate::Uncounted;
        }
        Estimate::Cost(Cost {
            input,
            output,
            cache_read,
            cache_write,
            guardrail,
            total: [output, cache_read, cache_write, guardrail].into_iter().fold(input, Usd::plus),
            price_key: found.key.to_owned(),
            price_date: Some(found.date.to_owned()).filter(|date| !date.is_empty()),
            basis: found.basis,
        })
    }
}

/// A cost being added up.
#[derive(Default)]
struct Bill {
    input: Usd,
    output: Usd,
    cache_read: Usd,
    cache_write: Usd,
    guardrail: Usd,
    /// Whether anything was counted, if only for nothing.
    is_any: bool,
}

impl Bill {
    /// What the model charges for a call; none where it charges for what cannot be known.
    fn of_model(price: &Price, failed: bool, view: &View<'_>) -> Option<Self> {
        let mut bill = Self::default();
        if price.is_by_token() {
            bill.add_tokens(price, &view.charged());
        }
        // A call that failed is charged for tokens that it counts alone.
        if failed {
            return Some(bill);
        }
        // The bodies are looked at only for models that charge for something in them.
        if price.timed && may_be_timed(view) {
            return None;
        }
        let images = price.image_in.map_or(0, |_| count(&view.request().messages, &[MediaKind::Image]));
        bill.add(|bill| &mut bill.input, price.image_in, images);
        // A picture is no query.
        bill.add(|bill| &mut bill.input, price.query, i64::from(images == 0));
        let images = price.image_out.map_or(0, |_| count(&view.answer().messages, &[MediaKind::Image]));
        bill.add(|bill| &mut bill.output, price.image_out, images);
        Some(bill)
    }

    /// Adds what so many cost to a part, if there is a price and any.
    fn add(&mut self, part: impl Fn(&mut Self) -> &mut Usd, each: Option<Usd>, count: i64) {
        if let Some(each) = each.filter(|_| count > 0) {
            let part = part(self);
            *part = part.plus(each.times(count));
            self.is_any = true;
        }
    }

    fn add_tokens(&mut self, price: &Price, usage: &Usage) {
        self.is_any |= has_tokens(usage);
        let count = |tokens: Option<i64>| tokens.unwrap_or(0).max(0);
        let (read, hour) = (count(usage.cache_read), count(usage.cache_write_1h));
        let written = usage.cache_write.map_or(hour, |written| written.max(0));
        let hour = hour.min(written);
        let prompt = count(usage.input).saturating_add(read).saturating_add(written);
        let rates = price.rates(prompt);
        let write = rates.cache_write.unwrap_or(rates.input);
        self.input = rates.input.times(count(usage.input));
        self.output = rates.output.times(count(usage.output));
        self.cache_read = rates.cache_read.unwrap_or(rates.input).times(read);
        self.cache_write = write.times(written - hour).plus(rates.cache_write_1h.unwrap_or(write).times(hour));
    }

    fn add_guardrail(&mut self, guardrail: Option<&Guardrail<'_>>) {
        for (name, count) in guardrail.iter().flat_map(|guardrail| &guardrail.units) {
            self.add(|bill| &mut bill.guardrail, Table::shipped().unit(&name.decode()), *count);
        }
    }
}

/// Whether any token is counted, if only none of them.
fn has_tokens(usage: &Usage) -> bool {
    [usage.input, usage.output, usage.cache_read, usage.cache_write].iter().any(Option::is_some)
}

/// Whether the prompt has something that is charged by the second, or is not there to tell.
fn may_be_timed(view: &View<'_>) -> bool {
    let (request, _) = view.bodies();
    request.is_none() || count(&view.request().messages, &[MediaKind::Video, MediaKind::Audio]) > 0
}

/// How many media of some kinds there are in messages.
fn count(messages: &[Message<'_>], kinds: &[MediaKind]) -> i64 {
    let parts = messages.iter().flat_map(|message| &message.parts);
    let media = parts.filter(|part| matches!(part, Part::Media(media) if kinds.contains(&media.kind)));
    i64::try_from(media.count()).unwrap_or(i64::MAX)
}
