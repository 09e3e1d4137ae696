//! Native evaluation: most expressions are asked of the event itself, without an interpreter and without building
//! anything. What CEL would say is said to the letter; where that is not certain, the interpreter is asked.

use super::function::TYPES;
use super::variables::Variable;

mod evaluate;
mod field;
mod path;
mod record;
mod translate;
mod value;

pub(super) use evaluate::Asked;
pub(super) use field::{Read, Seen, Texts, is_empty};
use path::Path;
pub(super) use value::{Stop, Value};

/// An expression, or a part of one.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value<'static>),
    /// A value that was computed before.
    Name(String),
    /// `a.b`
    Path(Path),
    /// `size(view.tool_calls)`
    Calls,
    /// Whether a joined text of the view is empty.
    Empty(Path),
    /// `has(a.b)`
    Has(Path),
    /// `a.?b.hasValue()`
    HasValue(Path),
    /// `a.?b.orValue(x)`
    OrValue(Path, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    /// `a && b`, where the first is false; `a || b`, where it is true.
    Logical(bool, Box<Node>, Box<Node>),
    Equal(bool, Box<Node>, Box<Node>),
    Compare(Order, Box<Node>, Box<Node>),
    In(Box<Node>, Vec<Node>),
    Arithmetic(Operator, Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    Convert(Conversion, Box<Node>),
    /// Whether a text has another one in it.
    Test(Test, Box<Node>, Box<Node>),
    /// The regex with this number.
    Matches(Box<Node>, usize),
}

impl Node {
    /// The regexes that are looked for in the view's joined texts: the number of each, and the text's name.
    pub(super) fn looks(&self) -> Vec<(usize, &str)> {
        let own = match self {
            Self::Matches(text, number) => match text.as_ref() {
                Self::Path(path) => path.joined_text().map(|name| (*number, name)),
                _ => None,
            },
            _ => None,
        };
        own.into_iter().chain(self.parts().into_iter().flat_map(Self::looks)).collect()
    }

    /// What it is made of.
    fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Literal(_)
            | Self::Name(_)
            | Self::Path(_)
            | Self::Calls
            | Self::Empty(_)
            | Self::Has(_)
            | Self::HasValue(_) => Vec::new(),
            Self::OrValue(_, a) | Self::Not(a) | Self::Negate(a) | Self::Convert(_, a) | Self::Matches(a, _) => {
                vec![a]
            }
            Self::Logical(_, a, b)
            | Self::Equal(_, a, b)
            | Self::Compare(_, a, b)
            | Self::Arithmetic(_, a, b)
            | Self::Test(_, a, b) => vec![a, b],
            Self::If(a, b, c) => vec![a, b, c],
            Self::In(a, elements) => std::iter::once(a.as_ref()).chain(elements).collect(),
        }
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is made of two values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

/// What is made of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Conversion {
    Int,
    Double,
    String,
    Size,
    Type,
}

/// Where a text stands in another one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Contains,
    Starts,
    Ends,
}

#[cfg(test)]
mod tests;
