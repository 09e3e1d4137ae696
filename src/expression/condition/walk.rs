//! The walk over an expression's syntax that finds its condition. What it does not know it takes for possible.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr, operators};
use regex::Regex;

use super::loops::{Loop, parts};
use super::operand::{Body, Source, number, path};
use super::{Condition, Fact, Number, Order, Side, Test};
use crate::expression::Expression;
use crate::expression::literal::{self, Literal, Literals, Needed};

/// Steps of a walk; values that are made of values may be looked at very often. What is left is taken for possible.
const MAX_STEPS: usize = 20_000;

/// Values in values are followed so far: more than an expression can be nested, and its named values with it.
const MAX_DEPTH: usize = 100;

/// Finds the condition of an expression.
pub(crate) struct Walk<'a> {
    literals: &'a mut Literals,
    /// Values that the expression may use, in their order.
    named: &'a [(String, Expression)],
    expression: &'a Expression,
    /// Names of loops.
    bound: Vec<(String, Source)>,
    has_view: bool,
    steps: usize,
    depth: usize,
}

impl<'a> Walk<'a> {
    /// What must be so for `expression` to be true; `named` are the values that it may use.
    pub(crate) fn of(
        expression: &'a Expression,
        named: &'a [(String, Expression)],
        has_view: bool,
        literals: &'a mut Literals,
    ) -> Condition {
        let mut walk = Self { literals, named, expression, bound: Vec::new(), has_view, steps: 0, depth: 0 };
        walk.condition(&expression.root, true)
    }

    /// Follows an expression, unless that was done too often.
    pub(super) fn follow<T>(&mut self, otherwise: T, next: impl FnOnce(&mut Self) -> T) -> T {
        self.steps += 1;
        if self.steps > MAX_STEPS || self.depth > MAX_DEPTH {
            return otherwise;
        }
        self.depth += 1;
        let found = next(self);
        self.depth -= 1;
        found
    }

    /// Looks at a named value where the name stands for one.
    pub(super) fn named<T>(&mut self, name: &str, look: impl FnOnce(&mut Self, &'a IdedExpr) -> T) -> Option<T> {
        if self.bound.iter().any(|(bound, _)| bound == name) {
            return None;
        }
        let named = self.named;
        let index = named.iter().rposition(|(known, _)| known == name)?;
        let (before, expression) = (self.expression, &named[index].1);
        let bound = std::mem::take(&mut self.bound);
        (self.named, self.expression) = (&named[..index], expression);
        let found = look(self, &expression.root);
        (self.named, self.expression, self.bound) = (named, before, bound);
        Some(found)
    }

    /// What must be so for an expression to be true, or to be false.
    fn condition(&mut self, expr: &IdedExpr, want: bool) -> Condition {
        self.follow(Condition::Always, |walk| match &expr.expr {
            Expr::Literal(LiteralValue::Boolean(value)) => match *value.inner() == want {
                true => Condition::Always,
                false => Condition::Never,
            },
            Expr::Ident(name) => {
                walk.named(name, |walk, value| walk.condition(value, want)).unwrap_or(Condition::Always)
            }
            Expr::Select(SelectExpr { test: true, .. }) => walk.known(expr, want),
            Expr::Call(call) => walk.call(expr, call, want),
            Expr::Comprehension(comprehension) => walk.quantified(comprehension, want),
            Expr::Select(_) => walk.holds(expr, None, want),
            _ => Condition::Always,
        })
    }

    fn both(&mut self, args: &[IdedExpr], want: bool) -> Vec<Condition> {
        args.iter().map(|arg| self.condition(arg, want)).collect()
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr, want: bool) -> Condition {
        let CallExpr { func_name, target, args } = call;
        match (func_name.as_str(), target.as_deref(), args.as_slice()) {
            (operators::LOGICAL_NOT, None, [arg]) => self.condition(arg, !want),
            (operators::LOGICAL_AND, None, args) if want => Condition::all(self.both(args, true)),
            (operators::LOGICAL_AND, None, args) => Condition::any(self.both(args, false)),
            (operators::LOGICAL_OR, None, args) if want => Condition::any(self.both(args, true)),
            (operators::LOGICAL_OR, None, args) => Condition::all(self.both(args, false)),
            (operators::CONDITIONAL, None, [when, yes, no]) => {
                let yes = [self.condition(when, true), self.condition(yes, want)];
                let no = [self.condition(when, false), self.condition(no, want)];
                Condition::any([Condition::all(yes), Condition::all(no)])
            }
            (operators::EQUALS, None, [one, other]) => self.equal(one, other, want),
            (operators::NOT_EQUALS, None, [one, other]) => self.equal(one, other, !want),
            (operators::IN, None, [one, list]) => self.is_in(one, list, want),
            (operators::LESS, None, [one, other]) => self.order(Order::Less, one, other, want),
            (operators::LESS_EQUALS, None, [one, other]) => self.order(Order::LessOrEqual, one, other, want),
            (operators::GREATER, None, [one, other]) => self.order(Order::Greater, one, other, want),
            (operators::GREATER_EQUALS, None, [one, other]) => self.order(Order::GreaterOrEqual, one, other, want),
            ("contains", Some(text), [part]) => self.part(text, part, want, Test::Contains),
            ("startsWith", Some(text), [part]) => self.part(text, part, want, Test::Starts),
            ("endsWith", Some(text), [part]) => self.part(text, part, want, Test::Ends),
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => self.regex(text, pattern, want),
            ("hasValue", Some(path), []) => self.known(path, want),
            ("orValue", Some(path), [IdedExpr { expr: Expr::Literal(LiteralValue::Boolean(otherwise)), .. }]) => {
                self.holds(path, Some(*otherwise.inner()), want)
            }
            (operators::INDEX, None, _) => self.holds(expr, None, want),
            _ => Condition::Always,
        }
    }

    /// What a loop over a list gives.
    fn quantified(&mut self, comprehension: &ComprehensionExpr, want: bool) -> Condition {
        match parts(comprehension) {
            Some(Loop::Exists(part)) if want => {
                let range = self.filled(&comprehension.iter_range);
                Condition::all([range, self.within(comprehension, |walk| walk.condition(part, true))])
            }
            Some(Loop::All(part)) if !want => {
                let range = self.filled(&comprehension.iter_range);
                Condition::all([range, self.within(comprehension, |walk| walk.condition(part, false))])
            }
            _ => Condition::Always,
        }
    }

    /// Looks at something within a loop.
    fn within<T>(&mut self, comprehension: &ComprehensionExpr, look: impl FnOnce(&mut Self) -> T) -> T {
        let element = match comprehension.iter_var2 {
            None => self.source(&comprehension.iter_range).0.element(),
            Some(_) => Source::Anything,
        };
        let outer = self.bound.len();
        self.bound.push((comprehension.iter_var.clone(), element));
        self.bound.extend(comprehension.iter_var2.iter().map(|name| (name.clone(), Source::Anything)));
        self.bound.push((comprehension.accu_var.clone(), Source::Anything));
        let found = look(self);
        self.bound.truncate(outer);
        found
    }

    /// What must be so for a list, or a text, to have something in it.
    pub(super) fn filled(&mut self, expr: &IdedExpr) -> Condition {
        self.follow(Condition::Always, |walk| match &expr.expr {
            Expr::List(list) if list.elements.is_empty() => Condition::Never,
            Expr::Ident(name) => walk.named(name, Self::filled).unwrap_or_else(|| walk.known_source(expr)),
            Expr::Comprehension(comprehension) => {
                let range = walk.filled(&comprehension.iter_range);
                match parts(comprehension) {
                    Some(Loop::Filter(part)) => {
                        Condition::all([range, walk.within(comprehension, |walk| walk.condition(part, true))])
                    }
                    Some(Loop::Map(_)) => range,
                    _ => Condition::Always,
                }
            }
            _ => walk.known_source(expr),
        })
    }

    fn known_source(&mut self, expr: &IdedExpr) -> Condition {
        match self.source(expr) {
            (Source::Calls, None) => Condition::Compare(Order::Greater, Number::Of(Fact::Calls, None), Number::Is(0.0)),
            (source, None) => self.is_known(source),
            _ => Condition::Always,
        }
    }

    /// `has(a.b)` and `a.?b.hasValue()`.
    fn known(&mut self, expr: &IdedExpr, want: bool) -> Condition {
        match self.source(expr) {
            // Lists are always there, empty or not.
            (Source::Fact(fact), None)
                if !matches!(fact, Fact::Calls | Fact::CallNames | Fact::Cost) || fact == Fact::Cost && want =>
            {
                Condition::Known(fact, want)
            }
            (source @ (Source::Guardrail | Source::Body(_)), None) if want => self.is_known(source),
            _ => Condition::Always,
        }
    }

    /// What must be so for there to be something.
    pub(super) fn is_known(&mut self, source: Source) -> Condition {
        match source {
            Source::Guardrail => Condition::Known(Fact::Guardrail, true),
            Source::Body(Body { side, members, .. }) => {
                let members = members.iter().flat_map(|name| Literal::of_text(name, true));
                let members: Vec<_> =
                    members.map(|literal| Condition::Literal(side, self.literals.number(literal))).collect();
                Condition::all(members)
            }
            _ => Condition::Always,
        }
    }

    /// A value that is true or false itself.
    fn holds(&mut self, expr: &IdedExpr, otherwise: Option<bool>, want: bool) -> Condition {
        if otherwise == Some(want) {
            return Condition::Always;
        }
        match self.source(expr) {
            (Source::Fact(Fact::Intervened), None) => {
                Condition::Test(Fact::Intervened, None, Test::Is(vec!["true".to_owned()]), want)
            }
            (source @ (Source::Guardrail | Source::Body(_)), None) => self.is_known(source),
            _ => Condition::Always,
        }
    }

    /// `one == other`.
    fn equal(&mut self, one: &IdedExpr, other: &IdedExpr, want: bool) -> Condition {
        for (value, literal) in [(one, other), (other, one)] {
            match &literal.expr {
                Expr::Literal(LiteralValue::Boolean(literal)) if want => {
                    return self.condition(value, *literal.inner());
                }
                Expr::Literal(LiteralValue::String(text)) => {
                    return self.tested(value, Test::Is(vec![text.inner().to_owned()]), want);
                }
                _ => {}
            }
        }
        if let (Source::Fact(one), None, Source::Fact(other), None) = {
            let ((one, no), (other, nor)) = (self.source(one), self.source(other));
            (one, no, other, nor)
        } && one.is_text()
            && other.is_text()
            && ![&one, &other].contains(&&Fact::CallNames)
        {
            return Condition::Same(one, other, want);
        }
        let is_number = |walk: &mut Self, expr| matches!(walk.number(expr), Number::Is(_));
        if want && (is_number(self, one) || is_number(self, other)) {
            return Condition::Compare(Order::Equal, self.number(one), self.number(other));
        }
        Condition::Always
    }

    /// `one in list`.
    fn is_in(&mut self, one: &IdedExpr, list: &IdedExpr, want: bool) -> Condition {
        if let (Source::Texts(texts), None) = self.source(list) {
            return self.tested(one, Test::Is(texts), want);
        }
        if let (Expr::Literal(LiteralValue::String(text)), true) = (&one.expr, want) {
            let text = text.inner().to_owned();
            let (source, _) = self.source(list);
            return self.tested_source(source.element(), None, Test::Is(vec![text]), true);
        }
        Condition::Always
    }

    /// `text.contains(part)` and its like.
    fn part(&mut self, text: &IdedExpr, part: &IdedExpr, want: bool, test: fn(String) -> Test) -> Condition {
        match self.source(part) {
            (Source::Texts(parts), None) if want => {
                Condition::any(parts.into_iter().map(|part| self.tested(text, test(part), true)).collect::<Vec<_>>())
            }
            (Source::Texts(parts), None) if parts.len() == 1 => {
                parts.into_iter().next().map_or(Condition::Always, |part| self.tested(text, test(part), want))
            }
            _ => Condition::Always,
        }
    }

    fn regex(&mut self, text: &IdedExpr, pattern: &IdedExpr, want: bool) -> Condition {
        let regex = match &pattern.expr {
            Expr::Ident(name) => self.expression.pattern(name).cloned(),
            Expr::Literal(LiteralValue::String(text)) => Regex::new(text.inner()).ok(),
            _ => None,
        };
        regex.map_or(Condition::Always, |regex| self.tested(text, Test::Matches(regex), want))
    }

    /// A text that passes a test, or fails it.
    fn tested(&mut self, text: &IdedExpr, test: Test, want: bool) -> Condition {
        let (source, otherwise) = self.source(text);
        self.tested_source(source, otherwise, test, want)
    }

    fn tested_source(&mut self, source: Source, otherwise: Option<Otherwise>, test: Test, want: bool) -> Condition {
        let otherwise = match otherwise {
            None => None,
            Some(Otherwise::Text(text)) => Some(text),
            Some(_) => return Condition::Always,
        };
        match source {
            Source::Fact(fact) if fact.is_text() => Condition::Test(fact, otherwise, test, want),
            Source::Texts(texts) if texts.iter().all(|text| test.holds(text) != want) => Condition::Never,
            Source::Guardrail | Source::Body(_)
                if want && otherwise.as_deref().is_none_or(|text| !test.holds(text)) =>
            {
                let text = match &source {
                    Source::Body(body) if body.is_verbatim => self.needed(body, &test),
                    _ => Condition::Always,
                };
                Condition::all([self.is_known(source), text])
            }
            _ => Condition::Always,
        }
    }

    /// The pieces that must stand in a body for a text in it to pass a test.
    fn needed(&mut self, body: &Body, test: &Test) -> Condition {
        let all = |text: &String| Needed::All(Literal::of_text(text, false).into_iter().map(Needed::One).collect());
        let needed = match test {
            Test::Is(texts) => Needed::Any(texts.iter().map(all).collect()),
            Test::Contains(text) | Test::Starts(text) | Test::Ends(text) => all(text),
            Test::Matches(regex) => literal::of_regex(regex.as_str()),
        };
        let needed = if body.has_names { needed.apart() } else { needed };
        Condition::needed(body.side, &needed, self.literals)
    }

    /// Where a value comes from, and what stands in its place where it is not there.
    pub(super) fn source(&mut self, expr: &IdedExpr) -> (Source, Option<Otherwise>) {
        self.follow((Source::Anything, None), |walk| match &expr.expr {
            Expr::Literal(LiteralValue::String(text)) => (Source::Texts(vec![text.inner().to_owned()]), None),
            Expr::Literal(literal) => (number(literal).map_or(Source::Anything, Source::Number), None),
            Expr::List(list) => (texts(list).map_or(Source::Anything, Source::Texts), None),
            Expr::Call(CallExpr { func_name, target: Some(target), args }) if func_name == "orValue" => {
                let (source, inner) = walk.source(target);
                let [IdedExpr { expr: otherwise, .. }] = args.as_slice() else { return (Source::Anything, None) };
                (source, Some(if inner.is_some() { Otherwise::Anything } else { Otherwise::of(otherwise) }))
            }
            Expr::Comprehension(comprehension) => match parts(comprehension) {
                Some(Loop::Filter(_)) => walk.source(&comprehension.iter_range),
                Some(Loop::Map(part)) => match walk.within(comprehension, |walk| walk.source(part)) {
                    (Source::Fact(Fact::CallNames), None) => (Source::Fact(Fact::CallNames), None),
                    (Source::Body(body), None) => (Source::Body(Body { has_elements: true, ..body }), None),
                    _ => (Source::Anything, None),
                },
                _ => (Source::Anything, None),
            },
            _ => walk.at_path(expr),
        })
    }

    fn at_path(&mut self, expr: &IdedExpr) -> (Source, Option<Otherwise>) {
        let (base, members, _) = path(expr);
        let Expr::Ident(name) = &base.expr else { return (Source::Anything, None) };
        if let Some((_, source)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return (source.clone().member(&members), None);
        }
        if let Some((source, otherwise)) = self.named(name, Self::source) {
            let source = source.member(&members);
            return (source, if members.is_empty() { otherwise } else { otherwise.map(|_| Otherwise::Anything) });
        }
        let source = match name.as_str() {
            "view" => Source::of_view(&members),
            "event" if self.has_view => Source::of_event(&members),
            "event" => Source::of_raw(Side::Prompt, &members),
            _ => Source::Anything,
        };
        (source, None)
    }
}

/// What stands in the place of a value that is not there.
pub(super) enum Otherwise {
    Text(String),
    Number(f64),
    Anything,
}

impl Otherwise {
    fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Literal(LiteralValue::String(text)) => Self::Text(text.inner().to_owned()),
            Expr::Literal(literal) => number(literal).map_or(Self::Anything, Self::Number),
            _ => Self::Anything,
        }
    }
}

/// The texts of a list that has only texts.
fn texts(list: &ListExpr) -> Option<Vec<String>> {
    let text = |element: &IdedExpr| match &element.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    };
    list.elements.iter().map(text).collect()
}
