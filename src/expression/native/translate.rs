//! Translation: the tree of a checked expression as a native one, if all of it can be one.

use std::borrow::Cow;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::{Conversion, Node, Operator, Order, Path, TYPES, Test, Value, Variable};
use crate::expression::pattern::PATTERN_NAME;

impl Node {
    /// The native form of an expression in which these names stand for values; none if it has none.
    pub(in crate::expression) fn of(expr: &IdedExpr, names: &[String]) -> Option<Self> {
        Translator { names }.node(expr)
    }
}

struct Translator<'n> {
    names: &'n [String],
}

impl Translator<'_> {
    fn boxed(&self, expr: &IdedExpr) -> Option<Box<Node>> {
        self.node(expr).map(Box::new)
    }

    fn node(&self, expr: &IdedExpr) -> Option<Node> {
        match &expr.expr {
            Expr::Literal(literal) => constant(literal).map(Node::Literal),
            Expr::Ident(name) => self.name(name),
            Expr::Select(SelectExpr { test, .. }) => {
                let path = path(expr).filter(Path::is_plain)?;
                Some(if *test { Node::Has(path) } else { Node::Path(path) })
            }
            Expr::Call(call) => match (&call.target, call.args.as_slice()) {
                (None, args) => self.operator(expr, &call.func_name, args),
                (Some(target), args) => self.member(call, target, args),
            },
            _ => None,
        }
    }

    fn name(&self, name: &str) -> Option<Node> {
        if self.names.iter().any(|known| known == name) {
            return Some(Node::Name(name.to_owned()));
        }
        let name = TYPES.iter().find(|known| **known == name)?;
        Some(Node::Literal(Value::Type(name)))
    }

    fn operator(&self, expr: &IdedExpr, name: &str, args: &[IdedExpr]) -> Option<Node> {
        if name == operators::INDEX {
            return path(expr).filter(Path::is_plain).map(Node::Path);
        }
        match args {
            [a] => self.of_one(name, a),
            [a, b] => self.of_two(name, a, b),
            [a, b, c] if name == operators::CONDITIONAL => {
                Some(Node::If(self.boxed(a)?, self.boxed(b)?, self.boxed(c)?))
            }
            _ => None,
        }
    }

    fn of_one(&self, name: &str, a: &IdedExpr) -> Option<Node> {
        let conversion = match name {
            operators::LOGICAL_NOT => return Some(Node::Not(self.boxed(a)?)),
            operators::NEGATE => return Some(Node::Negate(self.boxed(a)?)),
            "int" => Conversion::Int,
            "double" => Conversion::Double,
            "string" => Conversion::String,
            "size" if is_calls(a) => return Some(Node::Calls),
            "size" => Conversion::Size,
            "type" => Conversion::Type,
            _ => return None,
        };
        Some(Node::Convert(conversion, self.boxed(a)?))
    }

    fn of_two(&self, name: &str, a: &IdedExpr, b: &IdedExpr) -> Option<Node> {
        if name == "matches" {
            return Some(Node::Matches(self.boxed(a)?, pattern(b)?));
        }
        if let (operators::EQUALS | operators::NOT_EQUALS, Some(path)) = (name, emptied(a, b).or_else(|| emptied(b, a)))
        {
            let empty = Node::Empty(path);
            return Some(if name == operators::EQUALS { empty } else { Node::Not(Box::new(empty)) });
        }
        let first = self.boxed(a)?;
        if name == operators::IN {
            let Expr::List(list) = &b.expr else { return None };
            let elements: Option<Vec<_>> = list.elements.iter().map(|element| self.node(element)).collect();
            return Some(Node::In(first, elements.filter(|_| list.optional_indices.is_empty())?));
        }
        let second = self.boxed(b)?;
        let compared = |order| move |a, b| Node::Compare(order, a, b);
        let combined = |operator| move |a, b| Node::Arithmetic(operator, a, b);
        Some(match name {
            operators::LOGICAL_AND => Node::Logical(false, first, second),
            operators::LOGICAL_OR => Node::Logical(true, first, second),
            operators::EQUALS => Node::Equal(true, first, second),
            operators::NOT_EQUALS => Node::Equal(false, first, second),
            operators::LESS => compared(Order::Less)(first, second),
            operators::LESS_EQUALS => compared(Order::LessOrEqual)(first, second),
            operators::GREATER => compared(Order::Greater)(first, second),
            operators::GREATER_EQUALS => compared(Order::GreaterOrEqual)(first, second),
            operators::ADD => combined(Operator::Add)(first, second),
            operators::SUBSTRACT => combined(Operator::Subtract)(first, second),
            operators::MULTIPLY => combined(Operator::Multiply)(first, second),
            operators::DIVIDE => combined(Operator::Divide)(first, second),
            operators::MODULO => combined(Operator::Modulo)(first, second),
            _ => return None,
        })
    }

    fn member(&self, call: &CallExpr, target: &IdedExpr, args: &[IdedExpr]) -> Option<Node> {
        let optional = || path(target).filter(|path| !path.is_plain());
        let test = match (call.func_name.as_str(), args) {
            ("orValue", [other]) => return Some(Node::OrValue(optional()?, self.boxed(other)?)),
            ("hasValue", []) => return optional().map(Node::HasValue),
            ("size", []) if is_calls(target) => return Some(Node::Calls),
            ("size", []) => return Some(Node::Convert(Conversion::Size, self.boxed(target)?)),
            ("matches", [regex]) => return Some(Node::Matches(self.boxed(target)?, pattern(regex)?)),
            ("contains", [_]) => Test::Contains,
            ("startsWith", [_]) => Test::Starts,
            ("endsWith", [_]) => Test::Ends,
            _ => return None,
        };
        Some(Node::Test(test, self.boxed(target)?, self.boxed(args.first()?)?))
    }
}

fn constant(literal: &LiteralValue) -> Option<Value<'static>> {
    Some(match literal {
        LiteralValue::Boolean(value) => Value::Bool(*value.inner()),
        LiteralValue::Int(value) => Value::Int(*value.inner()),
        LiteralValue::Double(value) => Value::Double(*value.inner()),
        LiteralValue::String(text) => Value::Text(Cow::Owned(text.inner().to_owned())),
        LiteralValue::Null => Value::Null,
        LiteralValue::Bytes(_) | LiteralValue::UInt(_) => return None,
    })
}

/// The joined text of the view that is compared with the empty text.
fn emptied(text: &IdedExpr, empty: &IdedExpr) -> Option<Path> {
    let is_empty = matches!(&empty.expr, Expr::Literal(LiteralValue::String(text)) if text.inner().is_empty());
    path(text).filter(|path| is_empty && path.is_plain() && path.joined_text().is_some())
}

/// Whether that is the list of the tools that were called, which is always there.
fn is_calls(expr: &IdedExpr) -> bool {
    let Expr::Select(SelectExpr { operand, field, test: false }) = &expr.expr else { return false };
    field == "tool_calls" && matches!(&operand.expr, Expr::Ident(name) if name == Variable::View.as_str())
}

/// The number of the regex that stands there.
fn pattern(expr: &IdedExpr) -> Option<usize> {
    let Expr::Ident(name) = &expr.expr else { return None };
    name.strip_prefix(PATTERN_NAME)?.parse().ok()
}

/// The path that an expression spells with dots and with texts in brackets, if it is a native one.
fn path(expr: &IdedExpr) -> Option<Path> {
    let (mut steps, mut optional, mut next) = (Vec::new(), Vec::new(), expr);
    let variable = loop {
        next = match &next.expr {
            Expr::Ident(name) => break Variable::ALL.into_iter().find(|variable| variable.as_str() == name)?,
            Expr::Select(select) if !select.test || steps.is_empty() => {
                steps.push(select.field.clone());
                optional.push(false);
                &select.operand
            }
            Expr::Call(CallExpr { func_name, target: None, args })
                if [operators::INDEX, operators::OPT_INDEX, operators::OPT_SELECT].contains(&func_name.as_str()) =>
            {
                let [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] = args.as_slice()
                else {
                    return None;
                };
                steps.push(name.inner().to_owned());
                optional.push(func_name != operators::INDEX);
                operand
            }
            _ => return None,
        };
    };
    steps.reverse();
    optional.reverse();
    let plain = optional.iter().take_while(|optional| !**optional).count();
    // What a plain step makes of an optional one depends on what is there.
    if optional.iter().skip(plain).any(|optional| !optional) { None } else { Path::new(variable, steps, plain) }
}
