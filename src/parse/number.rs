//! Numbers as records write them: as JSON numbers or as text.

use std::borrow::Cow;

use crate::invocation::JsonNumber;
use crate::json::number_length;

/// A finite number, with its digits as they came where JSON allows them; JSON has neither `+1` nor `.5`.
pub(super) fn finite_number(text: Cow<'_, str>) -> Option<JsonNumber<'_>> {
    // Rust reads names such as `inf` and `NaN` too.
    let number: f64 = text.parse().ok().filter(|_| !text.contains(['n', 'N', 'i', 'I']))?;
    if !number.is_finite() {
        return None;
    }
    let plain = number_length(text.as_bytes()) == Some(text.len());
    Some(JsonNumber(if plain { text } else { Cow::Owned(number.to_string()) }))
}

/// A whole number in decimal: plain, with an exponent or with a fraction of zeros.
pub(super) fn whole_number(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    if number_length(text.as_bytes()) != Some(text.len()) {
        return None;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // The zeros behind the significant digits; a number with fewer than none is not whole, and 2^63 has 19 digits.
    let exponent: i64 = exponent.parse().ok()?;
    let zeros = exponent.checked_add((digits.len() - significant.len()) as i64)?.checked_sub(fraction.len() as i64)?;
    let zeros = usize::try_from(zeros).ok().filter(|zeros| *zeros <= 19)?;
    format!("{sign}{significant}{}", "0".repeat(zeros)).parse().ok()
}
