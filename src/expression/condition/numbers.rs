//! Numbers: what is known of those that an expression compares.

use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};

use super::operand::{Source, number};
use super::walk::{Otherwise, Walk};
use super::{Condition, Fact, Number, Order};

impl Walk<'_> {
    /// How two numbers compare.
    pub(super) fn order(&mut self, order: Order, one: &IdedExpr, other: &IdedExpr, want: bool) -> Condition {
        let order = if want { Some(order) } else { order.negated() };
        let least = match (order, self.number(other)) {
            (Some(Order::Greater), Number::Is(number)) => number >= 0.0,
            (Some(Order::GreaterOrEqual), Number::Is(number)) => number > 0.0,
            _ => false,
        };
        if let (true, Some(list)) = (least, sized(one)) {
            let filled = self.filled(list);
            return Condition::all([filled, self.compared(order, one, other)]);
        }
        self.compared(order, one, other)
    }

    fn compared(&mut self, order: Option<Order>, one: &IdedExpr, other: &IdedExpr) -> Condition {
        let Some(order) = order else { return Condition::Always };
        match (self.number(one), self.number(other)) {
            (Number::Any, Number::Any | Number::Is(_)) | (Number::Is(_), Number::Any) => Condition::Always,
            (one, other) => Condition::Compare(order, one, other),
        }
    }

    /// The number that an expression gives.
    pub(super) fn number(&mut self, expr: &IdedExpr) -> Number {
        self.follow(Number::Any, |walk| match &expr.expr {
            Expr::Literal(literal) => number(literal).map_or(Number::Any, Number::Is),
            Expr::Ident(name) => walk.named(name, Self::number).unwrap_or(Number::Any),
            Expr::Call(CallExpr { func_name, target, args }) => {
                match (func_name.as_str(), target.as_deref(), args.as_slice()) {
                    (operators::ADD, None, [one, other]) => {
                        Number::Sum(Box::new(walk.number(one)), Box::new(walk.number(other)))
                    }
                    (operators::CONDITIONAL, None, [_, yes, no]) => {
                        Number::Either(Box::new(walk.number(yes)), Box::new(walk.number(no)))
                    }
                    ("double", None, [one]) => walk.number(one),
                    _ if sized(expr).is_some() => sized(expr).map_or(Number::Any, |list| walk.count(list)),
                    _ => walk.number_at(expr),
                }
            }
            _ => walk.number_at(expr),
        })
    }

    fn number_at(&mut self, expr: &IdedExpr) -> Number {
        let (source, otherwise) = self.source(expr);
        let otherwise = match otherwise {
            None => None,
            Some(Otherwise::Number(number)) => Some(number),
            Some(_) => return Number::Any,
        };
        match source {
            Source::Number(number) => Number::Is(number),
            Source::Fact(fact) if fact.is_number() => Number::Of(fact, otherwise),
            source @ (Source::Guardrail | Source::Body(_)) => match self.is_known(source) {
                Condition::Always => Number::Any,
                condition => Number::If(Box::new(condition), otherwise),
            },
            _ => Number::Any,
        }
    }

    /// How many things there are in a list.
    fn count(&mut self, list: &IdedExpr) -> Number {
        match self.source(list) {
            (Source::Calls, None) => Number::Of(Fact::Calls, None),
            _ => Number::Any,
        }
    }
}

/// The list whose size an expression is.
fn sized(expr: &IdedExpr) -> Option<&IdedExpr> {
    match &expr.expr {
        Expr::Call(CallExpr { func_name, target, args }) if func_name == "size" => target.as_deref().or(args.first()),
        _ => None,
    }
}
