//! An answer: what an expression that is no question gives, as a value that outlives its event.

use cel::Value;
use cel::common::value::Val;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Nothing is known.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Answer>),
    /// A map, or what has no name here.
    Other,
}

impl Answer {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::UInt(value) => i64::try_from(*value).map_or(Self::Other, Self::Int),
            Value::Float(value) => Self::Double(*value),
            Value::String(text) => Self::Text(text.as_str().to_owned()),
            Value::List(values) => Self::List(values.iter().map(Self::of).collect()),
            _ => Self::Other,
        }
    }

    /// As a number; none for what is none.
    pub fn number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
            Self::Int(value) => Some(*value as f64),
            Self::Double(value) => Some(*value).filter(|value| value.is_finite()),
            _ => None,
        }
    }

    /// As text for people; none where nothing is known. The items of a list stand behind one another, each once.
    pub fn text(&self) -> Option<String> {
        Some(match self {
            Self::Null | Self::Other => return None,
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Double(value) => value.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(items) => {
                let mut texts: Vec<String> = Vec::new();
                for text in items.iter().filter_map(Self::text) {
                    if !texts.contains(&text) {
                        texts.push(text);
                    }
                }
                texts.join(", ")
            }
        })
    }
}

/// Values that were computed from an event, under names that further expressions may use.
#[derive(Debug, Default)]
pub struct Bindings(Vec<(String, Box<dyn Val>)>);

impl Bindings {
    pub(super) fn push(&mut self, name: &str, value: Value) {
        // A value that cannot be kept is not there, as one that could not be computed.
        if let Ok(value) = Box::<dyn Val>::try_from(value) {
            self.0.push((name.to_owned(), value));
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&dyn Val> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }
}
