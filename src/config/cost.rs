//! The cost section: prices of the user's, and what the inference profiles of the account are made of.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::document::{KeyPath, Problem};
use super::units::shortened;
use crate::enrich::cost::{Prices, Rates, Usd};

/// What calls cost, for the formats that write an estimate of it. The prices of the program's own table are AWS' list
/// prices; this is for what the table does not have, or what you pay less for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cost {
    /// The price of one model, by the model id as the records have it, or by what stands behind the last `/` of an ARN;
    /// it replaces all that the table has for that id. Default: none, the table's prices.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelPrice>,
    /// What application inference profiles are made of, each by its ARN or its id: the id or ARN of a model or of one of
    /// AWS' own inference profiles. Default: none; calls through such a profile are counted as without a price, because
    /// its id does not tell its model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, String>,
}

/// What one model costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelPrice {
    /// USD per million tokens of the prompt, as price pages tell it: a number, or the same as a string, with 6 digits
    /// behind the point at most.
    pub input: PerMillion,
    /// USD per million tokens of the answer; 0 for a model that answers with none.
    pub output: PerMillion,
    /// USD per million tokens read from the prompt cache. Default: as `input`, which is what they cost where there is no
    /// discount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<PerMillion>,
    /// USD per million tokens written to the prompt cache, for however long. Default: as `input`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<PerMillion>,
    /// The day from which the price holds, `YYYY-MM-DD`, as events show it. Default: none is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

/// A price in USD per million tokens, kept as what one token costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerMillion(Usd);

/// A text that is no price.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected USD per million tokens, such as 0.8, from 0 to 1000000 with 6 digits behind the point at most; {0}")]
pub struct PriceError(String);

/// Digits behind the point: with more, a token would cost a part of a picodollar.
const DIGITS: usize = 6;

/// The largest price, at which a token costs a dollar: whoever sets more has mistaken the unit.
const MAX: i64 = 1_000_000;

impl Cost {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let (models, profiles) = (KeyPath::of(&["cost", "models"]), KeyPath::of(&["cost", "profiles"]));
        for (model, price) in &self.models {
            let is_date = |date: &String| date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok();
            if let Some(date) = price.date.as_ref().filter(|date| !is_date(date)) {
                let message = format!("{} is no date", shortened(date));
                problems.push(Problem::value(models.key(model).key("date"), message).allowed("such as \"2026-01-31\""));
            }
        }
        for (profile, model) in &self.profiles {
            let message = if model.is_empty() {
                "is empty"
            } else if model.contains(":application-inference-profile/") {
                "is an application inference profile itself"
            } else {
                continue;
            };
            let allowed = "such as \"eu.anthropic.claude-haiku-4-5-20251001-v1:0\"";
            problems.push(Problem::value(profiles.key(profile), message).allowed(allowed));
        }
    }

    /// The prices: these, and the table's.
    pub fn prices(&self) -> Prices {
        let mut prices = Prices::default();
        for (model, price) in &self.models {
            let rates = Rates {
                input: price.input.0,
                output: price.output.0,
                cache_read: price.cache_read.map(|price| price.0),
                cache_write: price.cache_write.map(|price| price.0),
                cache_write_1h: None,
            };
            prices.set(model.clone(), rates, price.date.clone().unwrap_or_default());
        }
        for (profile, model) in &self.profiles {
            prices.set_profile(profile.clone(), model.clone());
        }
        prices
    }
}

impl FromStr for PerMillion {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        let error = |what: &str| PriceError(format!("{} {what}", shortened(text)));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return Err(error("is no such number"));
        }
        if fraction.len() > DIGITS {
            return Err(error("has more digits"));
        }
        // A millionth of a dollar for a million tokens is a picodollar for one.
        let picodollars = format!("{whole}{fraction:0<DIGITS$}").parse().ok();
        match picodollars.filter(|price| *price <= MAX * 1_000_000) {
            Some(price) => Ok(Self(Usd(price))),
            None => Err(error("is too much")),
        }
    }
}

impl fmt::Display for PerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Usd(self.0.0.saturating_mul(1_000_000)).fmt(f)
    }
}

impl Serialize for PerMillion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PerMillion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = PerMillion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("USD per million tokens, such as 0.8")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PerMillion, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<PerMillion, E> {
                self.visit_str(&number.to_string())
            }

            // The shortest text that is read as the same number is what the user wrote, up to 15 digits of it.
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<PerMillion, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for PerMillion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PerMillion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "number", "minimum": 0, "maximum": MAX },
                { "type": "string", "pattern": r"^[0-9]{1,7}(\.[0-9]{1,6})?$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_exactly() {
        let check = |text: &str, picodollars: i64, shown: &str| {
            let price: PerMillion = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((price.0.0, price.to_string().as_str()), (picodollars, shown), "{text}");
        };
        check("0", 0, "0");
        check("0.80", 800_000, "0.8");
        check("3", 3_000_000, "3");
        check("03.30", 3_300_000, "3.3");
        check("0.000001", 1, "0.000001");
        check("1000000.000000", 1_000_000_000_000, "1000000");
        let refuse = |text: &str, message: &str| {
            let error = text.parse::<PerMillion>().unwrap_err().to_string();
            assert!(error.ends_with(message), "{text}: {error}");
        };
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "NaN", "inf", "1,5", "$1", "1.5.0", " 1", "١"] {
            refuse(text, "is no such number");
        }
        refuse("0.0000001", "has more digits");
        refuse("1000000.000001", "is too much");
        refuse("99999999999999999999", "is too much");
    }
}
