//! Units: sizes and durations as the file writes them, a number with its unit, such as `"64 MiB"` and `"30s"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a size looks like, for messages.
const SIZE_SHAPE: &str = "a size with its unit, such as \"64 MiB\" (B, kB, MB, GB, KiB, MiB, GiB)";
/// What a duration looks like, for messages.
const DURATION_SHAPE: &str = "a duration with its unit, such as \"500ms\", \"30s\" or \"1h30m\" (ms, s, m, h, d)";

const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

const DURATION_UNITS_MILLIS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many MiB.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a size in memory; the largest possible one where it does not fit.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A text that is no number with a unit. The message says what is expected and what is wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}; {found}")]
pub struct UnitError {
    expected: &'static str,
    found: String,
}

/// The most characters of a value that a message repeats.
const MAX_REPEATED_CHARS: usize = 40;

/// The value as a message repeats it: quoted, escaped, and not too long.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_REPEATED_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Takes one number and its unit off the front of `text`.
fn take<'t>(text: &'t str, units: &[(&str, u64)]) -> Result<(u64, &'t str), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("{} does not begin with a whole number", shortened(text)));
    }
    let rest = rest.trim_start_matches(' ');
    let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    let factor = units.iter().find(|(name, _)| *name == unit);
    let Some((_, factor)) = factor else {
        return Err(if unit.is_empty() {
            "the unit is missing".into()
        } else {
            format!("{} is none of its units", shortened(unit))
        });
    };
    let number: u64 = number.parse().map_err(|_| format!("{} is too large", shortened(number)))?;
    let value = number.checked_mul(*factor).ok_or_else(|| format!("{number} {unit} is too large"))?;
    Ok((value, rest))
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = |found| UnitError { expected: SIZE_SHAPE, found };
        let (bytes, rest) = take(text.trim(), &SIZE_UNITS).map_err(error)?;
        if rest.is_empty() { Ok(Self(bytes)) } else { Err(error(format!("{} follows the unit", shortened(rest)))) }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SIZE_UNITS.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.copied().unwrap_or(("B", 1));
        write!(f, "{} {unit}", self.0 / factor)
    }
}

/// Reads a duration, such as `500ms` or `1h30m`.
///
/// # Errors
/// A text that is no sequence of whole numbers with units.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = |found| UnitError { expected: DURATION_SHAPE, found };
    let mut rest = text.trim();
    let mut total = 0_u64;
    loop {
        let (millis, after) = take(rest, &DURATION_UNITS_MILLIS).map_err(error)?;
        total = total.checked_add(millis).ok_or_else(|| error(format!("{} is too long", shortened(text))))?;
        rest = after.trim_start_matches(' ');
        if rest.is_empty() {
            return Ok(Duration::from_millis(total));
        }
    }
}

/// Writes a duration as [`parse_duration`] reads it, exact to the millisecond.
pub fn format_duration(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (unit, factor) in DURATION_UNITS_MILLIS {
        let count = millis / factor;
        millis %= factor;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

/// Reads any value that is written as a string.
struct Text<T> {
    shape: &'static str,
    parse: fn(&str) -> Result<T, UnitError>,
}

impl<T> de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shape)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text { shape: SIZE_SHAPE, parse: Self::from_str })
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A whole number of bytes with its unit: B, kB, MB, GB, KiB, MiB or GiB.",
            "pattern": "^ *[0-9]+ *(B|kB|MB|GB|KiB|MiB|GiB) *$",
            "examples": ["64 MiB"]
        })
    }
}

/// Durations in the file, for `#[serde(with)]`.
pub mod duration {
    use super::{DURATION_SHAPE, Deserializer, Duration, Serializer, Text, format_duration, parse_duration};

    pub(in crate::config) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*value))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_str(Text { shape: DURATION_SHAPE, parse: parse_duration })
    }
}

/// The JSON Schema of a duration.
pub(in crate::config) struct DurationText;

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Whole numbers with their units: ms, s, m, h or d.",
            "pattern": "^ *([0-9]+ *(ms|s|m|h|d) *)+$",
            "examples": ["500ms", "30s", "1h30m"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        let check = |text: &str, bytes: u64, written: &str| {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, written), "{text:?}");
            assert_eq!(written.parse::<ByteSize>().unwrap(), size);
        };
        check("64 MiB", 64 << 20, "64 MiB");
        check("64MiB", 64 << 20, "64 MiB");
        check("1024 KiB", 1 << 20, "1 MiB");
        check("5 MB", 5_000_000, "5 MB");
        check("0 B", 0, "0 B");
        check("1025 B", 1025, "1025 B");
    }

    #[test]
    fn durations_are_read_and_written() {
        let check = |text: &str, millis: u64, written: &str| {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text:?}");
            assert_eq!(format_duration(duration), written);
        };
        check("500ms", 500, "500ms");
        check("25s", 25_000, "25s");
        check("90 s", 90_000, "1m30s");
        check("1h 30m", 5_400_000, "1h30m");
        check("1d", 86_400_000, "1d");
        check("0s", 0, "0s");
    }

    #[test]
    fn what_has_no_unit_or_another_is_refused() {
        let check = |error: UnitError, found: &str| assert!(error.to_string().ends_with(found), "{error}");
        let size = |text: &str| text.parse::<ByteSize>().unwrap_err();
        let duration = |text: &str| parse_duration(text).unwrap_err();
        check(size("64"), "the unit is missing");
        check(size("64 Mb"), "\"Mb\" is none of its units");
        check(size("-1 B"), "\"-1 B\" does not begin with a whole number");
        check(size("1.5 MiB"), "the unit is missing");
        check(size("1 MiB 2"), "\" 2\" follows the unit");
        check(size("99999999999 GiB"), "99999999999 GiB is too large");
        check(size("99999999999999999999999 B"), "\"99999999999999999999999\" is too large");
        check(size(""), "\"\" does not begin with a whole number");
        check(duration("5"), "the unit is missing");
        check(duration("5 sec"), "\"sec\" is none of its units");
        check(duration("1h-1m"), "\"-1m\" does not begin with a whole number");
        check(duration("213503982334d 213503982334d"), "is too long");
    }
}
