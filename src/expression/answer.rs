//! An answer: what an expression that is no question gives, as a value that outlives its event.

use std::cell::OnceCell;

use cel::Value;
use cel::common::value::Val;

use super::native::{self, Stop};
use super::{Expression, Variables};

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

/// Values that are computed from an event, each when it is first asked for, under names that further expressions may use.
#[derive(Debug, Default)]
pub struct Bindings<'b>(Vec<Binding<'b>>);

/// A value under a name: what computes it, and what that gave.
#[derive(Debug)]
struct Binding<'b> {
    name: &'b str,
    expression: &'b Expression,
    native: OnceCell<Result<native::Value<'b>, Stop>>,
    built: OnceCell<Option<Box<dyn Val>>>,
}

impl<'b> Bindings<'b> {
    pub(super) fn push(&mut self, name: &'b str, expression: &'b Expression) {
        self.0.push(Binding { name, expression, native: OnceCell::new(), built: OnceCell::new() });
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value of a name among the first `among`, for native expressions.
    pub(super) fn native(
        &self,
        name: &str,
        among: usize,
        variables: &Variables<'b>,
    ) -> Result<&native::Value<'b>, Stop> {
        let (at, binding) = self.find(name, among).ok_or(Stop::Failed)?;
        let known = binding.native.get_or_init(|| match binding.expression.native(variables, self, at) {
            Err(Stop::Unsure) => {
                let built = binding.expression.interpret(variables, self, at);
                let known =
                    built.as_ref().map_or(Err(Stop::Failed), |value| native::Value::of_cel(value).ok_or(Stop::Unsure));
                // A value that cannot be kept is not there, as one that could not be computed.
                let _ = binding.built.set(built.and_then(|value| Box::<dyn Val>::try_from(value).ok()));
                known
            }
            known => known,
        });
        known.as_ref().map_err(|stop| *stop)
    }

    /// The value of a name among the first `among`, for the interpreter.
    pub(super) fn built(&self, name: &str, among: usize, variables: &Variables<'b>) -> Option<&dyn Val> {
        let native = self.native(name, among, variables).ok();
        let (_, binding) = self.find(name, among)?;
        binding.built.get_or_init(|| native?.to_cel()).as_deref()
    }

    fn find(&self, name: &str, among: usize) -> Option<(usize, &Binding<'b>)> {
        self.0.iter().enumerate().take(among).find(|(_, binding)| binding.name == name)
    }
}
