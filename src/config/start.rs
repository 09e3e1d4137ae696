//! The start: where a shard is read from that has no stored position.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::units::shortened;
use crate::record::Position;

/// Where a shard without a stored position is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// From the oldest record that the stream still holds.
    #[default]
    TrimHorizon,
    /// From the records that come after the start.
    Latest,
    /// From the first record that arrived at or after this time.
    At(Timestamp),
}

impl Start {
    /// The position that reading starts at.
    pub fn position(self) -> Position {
        match self {
            Self::TrimHorizon => Position::TrimHorizon,
            Self::Latest => Position::Latest,
            Self::At(time) => Position::AtTimestamp(time),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TrimHorizon => f.write_str("trim_horizon"),
            Self::Latest => f.write_str("latest"),
            Self::At(time) => write!(f, "{time}"),
        }
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StartVisitor)
    }
}

/// What a start looks like, for messages.
const START: &str = "\"trim_horizon\", \"latest\" or an RFC 3339 time such as \"2026-07-01T12:00:00Z\"";

struct StartVisitor;

impl<'de> de::Visitor<'de> for StartVisitor {
    type Value = Start;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(START)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Start, E> {
        match text {
            "trim_horizon" => Ok(Start::TrimHorizon),
            "latest" => Ok(Start::Latest),
            _ => match text.parse() {
                Ok(time) => Ok(Start::At(time)),
                Err(_) => Err(E::custom(format!("expected {START}, found {}", shortened(text)))),
            },
        }
    }

    /// A time of TOML's own, without quotes.
    fn visit_map<M: de::MapAccess<'de>>(self, map: M) -> Result<Start, M::Error> {
        let time = toml::value::Datetime::deserialize(de::value::MapAccessDeserializer::new(map))?;
        self.visit_str(&time.to_string())
    }
}

impl JsonSchema for Start {
    fn schema_name() -> Cow<'static, str> {
        "Start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`trim_horizon`, `latest` or an RFC 3339 time.",
            "anyOf": [
                { "type": "string", "enum": ["trim_horizon", "latest"] },
                { "type": "string", "format": "date-time", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].+$" }
            ],
            "examples": ["trim_horizon", "latest", "2026-07-01T12:00:00Z"]
        })
    }
}
