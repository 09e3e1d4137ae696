//! A condition: what must be so, as far as is cheaply known, for an expression to give true. It is found in the syntax of
//! the expression, and asked before anything is built for the interpreter: where it does not hold, the expression is not
//! true; where it holds, the expression may be.

use std::collections::HashSet;

use regex::Regex;

use super::literal::{Literals, Needed};

mod fact;
mod loops;
mod numbers;
mod operand;
mod walk;

pub(crate) use fact::{Fact, Field};
pub(crate) use walk::Walk;

/// What must be so.
#[derive(Debug)]
pub(crate) enum Condition {
    /// Nothing is known: it may be.
    Always,
    /// It cannot be.
    Never,
    /// All of these.
    All(Vec<Condition>),
    /// One of these.
    Any(Vec<Condition>),
    /// A text of the event is like this.
    Test(Fact, Option<String>, Test, bool),
    /// A fact is known, or is not.
    Known(Fact, bool),
    /// Two facts are the same, or are not.
    Same(Fact, Fact, bool),
    /// Two numbers compare so.
    Compare(Order, Number, Number),
    /// The piece with this number stands in one of the bodies.
    Literal(Side, usize),
}

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// In what the caller sent; of a record that is no invocation, anywhere in it.
    Prompt,
    /// In what the model answered.
    Answer,
}

/// What is asked of a text.
#[derive(Debug)]
pub(crate) enum Test {
    /// It is one of these.
    Is(Vec<String>),
    /// This stands in it.
    Contains(String),
    /// It begins with this.
    Starts(String),
    /// It ends with this.
    Ends(String),
    /// The regex matches.
    Matches(Regex),
}

impl Test {
    /// Whether it holds of a text.
    pub(crate) fn holds(&self, text: &str) -> bool {
        match self {
            Self::Is(texts) => texts.iter().any(|known| known == text),
            Self::Contains(part) => text.contains(part.as_str()),
            Self::Starts(start) => text.starts_with(start.as_str()),
            Self::Ends(end) => text.ends_with(end.as_str()),
            Self::Matches(regex) => regex.is_match(text),
        }
    }
}

/// How two numbers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

impl Order {
    /// Whether some number of one range can compare so with some number of the other.
    pub(crate) fn may_hold(self, (low, high): (f64, f64), (other_low, other_high): (f64, f64)) -> bool {
        match self {
            Self::Less => low < other_high,
            Self::LessOrEqual => low <= other_high,
            Self::Greater => high > other_low,
            Self::GreaterOrEqual => high >= other_low,
            Self::Equal => low <= other_high && other_low <= high,
        }
    }

    /// How they compare where they do not compare so; not equal is anything.
    fn negated(self) -> Option<Self> {
        match self {
            Self::Less => Some(Self::GreaterOrEqual),
            Self::LessOrEqual => Some(Self::Greater),
            Self::Greater => Some(Self::LessOrEqual),
            Self::GreaterOrEqual => Some(Self::Less),
            Self::Equal => None,
        }
    }
}

/// A number of an event, as far as it is cheaply known.
#[derive(Debug)]
pub(crate) enum Number {
    /// Any number.
    Any,
    /// This.
    Is(f64),
    /// A fact; where it is not known the other, if there is one.
    Of(Fact, Option<f64>),
    /// Any number where the condition holds; else the other, if there is one.
    If(Box<Condition>, Option<f64>),
    /// The sum.
    Sum(Box<Number>, Box<Number>),
    /// The first, or the second.
    Either(Box<Number>, Box<Number>),
}

impl Condition {
    /// All of them.
    fn all(conditions: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Vec::new();
        for condition in conditions {
            match condition {
                Self::Always => {}
                Self::Never => return Self::Never,
                Self::All(more) => all.extend(more),
                one => all.push(one),
            }
        }
        // What is cheap to know comes first.
        all.sort_by_key(Self::price);
        match all.len() {
            0 => Self::Always,
            1 => all.remove(0),
            _ => Self::All(all),
        }
    }

    /// One of them.
    fn any(conditions: impl IntoIterator<Item = Self>) -> Self {
        let mut any = Vec::new();
        for condition in conditions {
            match condition {
                Self::Never => {}
                Self::Always => return Self::Always,
                Self::Any(more) => any.extend(more),
                one => any.push(one),
            }
        }
        any.sort_by_key(Self::price);
        match any.len() {
            0 => Self::Never,
            1 => any.remove(0),
            _ => Self::Any(any),
        }
    }

    /// The pieces that a regex needs, in a body.
    fn needed(side: Side, needed: &Needed, literals: &mut Literals) -> Self {
        match needed {
            Needed::One(literal) => Self::Literal(side, literals.number(literal.clone())),
            Needed::All(all) => Self::all(all.iter().map(|one| Self::needed(side, one, literals)).collect::<Vec<_>>()),
            Needed::Any(any) => Self::any(any.iter().map(|one| Self::needed(side, one, literals)).collect::<Vec<_>>()),
        }
    }

    /// What must be so for what a regex needs to stand in a joined text of the view.
    pub(super) fn of_look(text: &str, needed: Needed, literals: &mut Literals) -> Self {
        match operand::Source::of_view(&[text.to_owned()]) {
            operand::Source::Body(body) if body.is_verbatim => {
                let needed = if body.has_names { needed.apart() } else { needed };
                Self::needed(body.side, &needed, literals)
            }
            _ => Self::Always,
        }
    }

    /// Adds the numbers of the pieces that it asks for on a side.
    pub(crate) fn add_literals(&self, wanted_side: Side, numbers: &mut HashSet<usize>) {
        match self {
            Self::Literal(side, number) => {
                if *side == wanted_side {
                    numbers.insert(*number);
                }
            }
            Self::All(all) | Self::Any(all) => {
                all.iter().for_each(|condition| condition.add_literals(wanted_side, numbers));
            }
            Self::Compare(_, one, other) => {
                one.add_literals(wanted_side, numbers);
                other.add_literals(wanted_side, numbers);
            }
            Self::Always | Self::Never | Self::Test(..) | Self::Known(..) | Self::Same(..) => {}
        }
    }

    /// What it costs to ask: a look at the record, at the answer, or at all of the text.
    fn price(&self) -> u8 {
        match self {
            Self::Always | Self::Never => 0,
            Self::Test(fact, ..) | Self::Known(fact, _) => fact.price(),
            Self::Same(one, other, _) => one.price().max(other.price()),
            Self::Compare(_, one, other) => one.price().max(other.price()),
            Self::Literal(..) => 2,
            Self::All(all) | Self::Any(all) => all.iter().map(Self::price).max().unwrap_or(0),
        }
    }
}

impl Number {
    fn add_literals(&self, side: Side, numbers: &mut HashSet<usize>) {
        match self {
            Self::Any | Self::Is(_) | Self::Of(..) => {}
            Self::If(condition, _) => condition.add_literals(side, numbers),
            Self::Sum(one, other) | Self::Either(one, other) => {
                one.add_literals(side, numbers);
                other.add_literals(side, numbers);
            }
        }
    }

    fn price(&self) -> u8 {
        match self {
            Self::Any | Self::Is(_) => 0,
            Self::Of(fact, _) => fact.price(),
            Self::If(condition, _) => condition.price(),
            Self::Sum(one, other) | Self::Either(one, other) => one.price().max(other.price()),
        }
    }
}
