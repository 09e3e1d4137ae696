//! Evaluation: what a native expression gives for an event.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;

use super::{Node, Order, Stop, Test, Value};
use crate::expression::BUDGET;
use crate::expression::answer::Bindings;
use crate::expression::asking::Asking;
use crate::expression::pattern::Pattern;
use crate::expression::variables::Variables;

/// An expression, asked of one event.
pub(in crate::expression) struct Asked<'x, 'b> {
    variables: &'x Variables<'b>,
    asking: Asking<'b>,
    bindings: &'x Bindings<'b>,
    /// Names of values that may be used: those before this one.
    names: usize,
    patterns: &'x [Pattern],
    /// Bytes of text that may still be looked at.
    left: Cell<u64>,
}

impl<'x, 'b> Asked<'x, 'b> {
    /// Asks for an event, if it can be asked directly.
    pub(in crate::expression) fn new(
        variables: &'x Variables<'b>,
        bindings: &'x Bindings<'b>,
        names: usize,
        patterns: &'x [Pattern],
    ) -> Option<Self> {
        let asking = variables.asking()?;
        Some(Self { variables, asking, bindings, names, patterns, left: Cell::new(BUDGET) })
    }

    /// What an expression gives.
    pub(in crate::expression) fn answer<'r>(&self, node: &'r Node) -> Result<Value<'r>, Stop>
    where
        'b: 'r,
    {
        match node {
            Node::Literal(value) => Ok(borrowed(value)),
            Node::Name(name) => self.bindings.native(name, self.names, self.variables).cloned(),
            Node::Path(path) => path.value(&self.asking),
            Node::Calls => self.asking.calls().map(Value::Int),
            Node::Empty(path) => self.asking.is_empty(path.joined_text().unwrap_or_default()).map(Value::Bool),
            Node::Has(path) => path.has(&self.asking).map(Value::Bool),
            Node::HasValue(path) => Ok(Value::Bool(path.optional(&self.asking)?.is_some())),
            Node::OrValue(path, other) => {
                // The other value is computed even where it is not used.
                let other = self.answer(other)?;
                path.optional(&self.asking)?.unwrap_or(Ok(other))
            }
            Node::Not(a) => Ok(Value::Bool(!self.answer(a)?.boolean()?)),
            Node::Negate(a) => self.answer(a)?.negate(),
            Node::Logical(decides, a, b) => self.logical(*decides, a, b),
            Node::Equal(wanted, a, b) => Ok(Value::Bool(self.answer(a)?.equals(&self.answer(b)?) == *wanted)),
            Node::Compare(order, a, b) => self.compare(*order, a, b),
            Node::In(a, elements) => self.is_in(a, elements),
            Node::Arithmetic(operator, a, b) => self.answer(a)?.combine(*operator, self.answer(b)?),
            Node::If(condition, a, b) => self.answer(if self.answer(condition)?.boolean()? { a } else { b }),
            Node::Convert(conversion, a) => {
                let value = self.answer(a)?;
                if let Value::Text(text) = &value {
                    self.spend(text.len())?;
                }
                value.convert(*conversion)
            }
            Node::Test(test, a, b) => self.test(*test, a, b),
            Node::Matches(a, number) => {
                let pattern = self.patterns.get(*number).ok_or(Stop::Unsure)?;
                let may_match = self.asking.may_match(pattern.id());
                if !may_match && !pattern.has_rest() {
                    return Ok(Value::Bool(false));
                }
                let text = self.text(a)?;
                Ok(Value::Bool(if may_match { pattern.is_match(&text) } else { pattern.is_match_beside(&text) }))
            }
        }
    }

    /// The operand that decides does so whatever becomes of the other one.
    fn logical<'r>(&self, decides: bool, a: &'r Node, b: &'r Node) -> Result<Value<'r>, Stop>
    where
        'b: 'r,
    {
        let first = self.answer(a).and_then(|value| value.boolean());
        if first == Err(Stop::Unsure) {
            return Err(Stop::Unsure);
        }
        if first == Ok(decides) {
            return Ok(Value::Bool(decides));
        }
        let second = self.answer(b)?.boolean()?;
        if second == decides || first.is_ok() { Ok(Value::Bool(second)) } else { Err(Stop::Failed) }
    }

    fn compare<'r>(&self, order: Order, a: &'r Node, b: &'r Node) -> Result<Value<'r>, Stop>
    where
        'b: 'r,
    {
        let ordering = self.answer(a)?.compare(&self.answer(b)?)?;
        Ok(Value::Bool(match order {
            Order::Less => ordering == Ordering::Less,
            Order::LessOrEqual => ordering != Ordering::Greater,
            Order::Greater => ordering == Ordering::Greater,
            Order::GreaterOrEqual => ordering != Ordering::Less,
        }))
    }

    fn is_in<'r>(&self, a: &'r Node, elements: &'r [Node]) -> Result<Value<'r>, Stop>
    where
        'b: 'r,
    {
        let wanted = self.answer(a)?;
        let mut is_in = false;
        // All are computed: one that cannot be makes the list none.
        for element in elements {
            is_in |= self.answer(element)?.equals(&wanted);
        }
        Ok(Value::Bool(is_in))
    }

    fn test<'r>(&self, test: Test, a: &'r Node, b: &'r Node) -> Result<Value<'r>, Stop>
    where
        'b: 'r,
    {
        let (text, part) = (self.text(a)?, self.text(b)?);
        Ok(Value::Bool(match test {
            Test::Contains => text.contains(part.as_ref()),
            Test::Starts => text.starts_with(part.as_ref()),
            Test::Ends => text.ends_with(part.as_ref()),
        }))
    }

    /// A text to look at.
    fn text<'r>(&self, node: &'r Node) -> Result<Cow<'r, str>, Stop>
    where
        'b: 'r,
    {
        let Value::Text(text) = self.answer(node)? else { return Err(Stop::Unsure) };
        self.spend(text.len())?;
        Ok(text)
    }

    fn spend(&self, bytes: usize) -> Result<(), Stop> {
        let left = self.left.get().saturating_sub(bytes as u64);
        self.left.set(left);
        if left > 0 { Ok(()) } else { Err(Stop::Failed) }
    }
}

fn borrowed<'x>(value: &'x Value<'_>) -> Value<'x> {
    match value {
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        Value::Null => Value::Null,
        Value::Bool(value) => Value::Bool(*value),
        Value::Int(value) => Value::Int(*value),
        Value::Double(value) => Value::Double(*value),
        Value::Type(name) => Value::Type(name),
    }
}
