//! A value of a native expression: numbers stand in it, texts are borrowed from the event wherever they can be.

use std::borrow::Cow;
use std::cmp::Ordering;

use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString};
use cel::common::value::Val;

use super::{Conversion, Operator};
use crate::expression::Answer;

/// A value. Whatever is made of others is left to the interpreter.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::expression) enum Value<'x> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'x, str>),
    /// The name of a type.
    Type(&'static str),
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::expression) enum Stop {
    /// It cannot be evaluated.
    Failed,
    /// The interpreter knows.
    Unsure,
}

impl<'x> Value<'x> {
    /// The text or number of a JSON value; none of an array or object.
    pub(super) fn of_json(json: crate::body::Value<'x>) -> Option<Self> {
        use crate::body::Kind;
        Some(match json.kind() {
            Kind::Null => Self::Null,
            Kind::Bool => Self::Bool(json.text() == "true"),
            Kind::String => Self::Text(json.string()?),
            Kind::Number => match json.text().parse() {
                Ok(integer) => Self::Int(integer),
                Err(_) => Self::Double(json.text().parse().unwrap_or(f64::NAN)),
            },
            Kind::Array | Kind::Object => return None,
        })
    }

    /// What the interpreter computed, if it is plain.
    pub(in crate::expression) fn of_cel(value: &cel::Value) -> Option<Self> {
        Some(match value {
            cel::Value::Null => Self::Null,
            cel::Value::Bool(value) => Self::Bool(*value),
            cel::Value::Int(value) => Self::Int(*value),
            cel::Value::Float(value) => Self::Double(*value),
            cel::Value::String(text) => Self::Text(Cow::Owned(text.as_str().to_owned())),
            _ => return None,
        })
    }

    /// As the interpreter takes it; none of a type, which it keeps to itself.
    pub(in crate::expression) fn to_cel(&self) -> Option<Box<dyn Val>> {
        Some(match self {
            Self::Null => Box::new(CelNull),
            Self::Bool(value) => Box::new(CelBool::from(*value)),
            Self::Int(value) => Box::new(CelInt::from(*value)),
            Self::Double(value) => Box::new(CelDouble::from(*value)),
            Self::Text(text) => Box::new(CelString::from(text.clone().into_owned())),
            Self::Type(_) => return None,
        })
    }

    /// As a value that outlives the event.
    pub(in crate::expression) fn into_answer(self) -> Answer {
        match self {
            Self::Null => Answer::Null,
            Self::Bool(value) => Answer::Bool(value),
            Self::Int(value) => Answer::Int(value),
            Self::Double(value) => Answer::Double(value),
            Self::Text(text) => Answer::Text(text.into_owned()),
            Self::Type(_) => Answer::Other,
        }
    }

    /// As true or false; nothing else is either.
    pub(super) fn boolean(&self) -> Result<bool, Stop> {
        if let Self::Bool(value) = self { Ok(*value) } else { Err(Stop::Failed) }
    }

    /// Values of different kinds differ, but numbers.
    pub(super) fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Type(a), Value::Type(b)) => a == b,
            _ => self.compare(other) == Ok(Ordering::Equal),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "as CEL does")]
    pub(super) fn compare(&self, other: &Value<'_>) -> Result<Ordering, Stop> {
        match (self, other) {
            (Self::Bool(a), Value::Bool(b)) => Ok(a.cmp(b)),
            (Self::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
            (Self::Text(a), Value::Text(b)) => Ok(a.as_ref().cmp(b.as_ref())),
            (Self::Int(a), Value::Double(b)) => (*a as f64).partial_cmp(b).ok_or(Stop::Failed),
            (Self::Double(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)).ok_or(Stop::Failed),
            (Self::Double(a), Value::Double(b)) => a.partial_cmp(b).ok_or(Stop::Failed),
            _ => Err(Stop::Failed),
        }
    }

    pub(super) fn negate(&self) -> Result<Self, Stop> {
        match self {
            Self::Int(value) => value.checked_neg().map(Self::Int).ok_or(Stop::Failed),
            Self::Double(value) => Ok(Self::Double(-value)),
            _ => Err(Stop::Failed),
        }
    }

    /// What an operator makes of two values. Whole numbers never overflow: there is no result then.
    pub(super) fn combine(self, operator: Operator, other: Value<'_>) -> Result<Self, Stop> {
        match (self, other) {
            (Self::Int(a), Value::Int(b)) => match operator {
                Operator::Add => a.checked_add(b),
                Operator::Subtract => a.checked_sub(b),
                Operator::Multiply => a.checked_mul(b),
                Operator::Divide => a.checked_div(b),
                Operator::Modulo => a.checked_rem(b),
            }
            .map(Self::Int)
            .ok_or(Stop::Failed),
            (Self::Double(a), Value::Double(b)) => match operator {
                Operator::Add => Ok(Self::Double(a + b)),
                Operator::Subtract => Ok(Self::Double(a - b)),
                Operator::Multiply => Ok(Self::Double(a * b)),
                Operator::Divide => Ok(Self::Double(a / b)),
                Operator::Modulo => Err(Stop::Failed),
            },
            (Self::Text(a), Value::Text(b)) => match operator {
                Operator::Add => Ok(Self::Text(Cow::Owned(a.into_owned() + &b))),
                _ => Err(Stop::Failed),
            },
            _ => Err(Stop::Failed),
        }
    }

    /// What a function makes of a value. Of what it does not take the interpreter speaks.
    pub(super) fn convert(self, conversion: Conversion) -> Result<Self, Stop> {
        match (conversion, self) {
            (Conversion::Type, value) => Ok(Self::Type(value.type_name())),
            (Conversion::Int, value @ Self::Int(_))
            | (Conversion::Double, value @ Self::Double(_))
            | (Conversion::String, value @ Self::Text(_)) => Ok(value),
            (Conversion::Int, Self::Double(value)) => whole(value),
            (Conversion::Int, Self::Text(text)) => text.parse().map(Self::Int).map_err(|_| Stop::Failed),
            #[expect(clippy::cast_precision_loss, reason = "as CEL does")]
            (Conversion::Double, Self::Int(value)) => Ok(Self::Double(value as f64)),
            (Conversion::Double, Self::Text(text)) => text.parse().map(Self::Double).map_err(|_| Stop::Failed),
            (Conversion::String, Self::Bool(value)) => Ok(Self::Text(value.to_string().into())),
            (Conversion::String, Self::Int(value)) => Ok(Self::Text(value.to_string().into())),
            (Conversion::String, Self::Double(value)) => Ok(Self::Text(value.to_string().into())),
            (Conversion::Size, Self::Text(text)) => {
                i64::try_from(text.chars().count()).map(Self::Int).map_err(|_| Stop::Failed)
            }
            _ => Err(Stop::Unsure),
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Type(_) => "type",
        }
    }
}

/// A number without its fraction; what fits no whole number has none.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "as CEL does")]
fn whole(value: f64) -> Result<Value<'static>, Stop> {
    let fits = value > i64::MIN as f64 && value < i64::MAX as f64;
    if fits { Ok(Value::Int(value as i64)) } else { Err(Stop::Failed) }
}
