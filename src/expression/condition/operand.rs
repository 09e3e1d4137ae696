//! An operand: where the value of an expression comes from.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::{Fact, Side};

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// It is a fact.
    Fact(Fact),
    /// It is one of these texts, or a list of them.
    Texts(Vec<String>),
    /// It stands in a body.
    Body(Body),
    /// It is the list of tool calls.
    Calls,
    /// It is one of the tool calls.
    Call,
    /// It is in what a guardrail did.
    Guardrail,
    /// It is a number of the expression itself.
    Number(f64),
    /// It may be anything.
    Anything,
}

/// What stands in a body.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) side: Side,
    /// Members of the record's own that must be there for it to be there.
    pub(super) members: Vec<String>,
    /// Whether its text is the body's, and not a word of the view's own.
    pub(super) is_verbatim: bool,
    /// Whether it is a list, or whatever the body has there, so that its elements are the body's too.
    pub(super) has_elements: bool,
    /// Whether it is the record's own JSON, and not the view of it.
    pub(super) is_raw: bool,
    /// Whether its text has names before values, with a colon and a space that the body has not got.
    pub(super) has_names: bool,
}

impl Body {
    /// A value of the view.
    fn of_view(side: Side, path: &[String]) -> Self {
        let last = path.last().map_or("", String::as_str);
        // A member of what the body itself has there, whatever its name.
        let is_raw = path.iter().any(|name| matches!(name.as_str(), "arguments" | "schema" | "json"));
        let is_verbatim = is_raw || !matches!(last, "role" | "type" | "stop_word" | "kind");
        let has_elements = is_raw
            || matches!(
                last,
                "system" | "messages" | "answer" | "tools" | "content" | "stop_sequences" | "assessments"
            );
        let has_names = matches!(last, "tool_result_text" | "tool_call_text");
        Self { side, members: Vec::new(), is_verbatim, has_elements, is_raw: false, has_names }
    }
}

impl Source {
    /// What stands at a path of the view.
    pub(super) fn of_view(path: &[String]) -> Self {
        if let Some(fact) = Fact::of_view(path) {
            return Self::Fact(fact);
        }
        match path.first().map_or("", String::as_str) {
            "tool_calls" => Self::Calls.member(&path[1..]),
            "guardrail" => Self::Guardrail,
            "tools" | "system" | "messages" | "prompt_text" | "user_text" | "tool_result_text" => {
                Self::Body(Body::of_view(Side::Prompt, path))
            }
            "answer" | "answer_text" | "tool_call_text" | "response_id" | "response_model" => {
                Self::Body(Body::of_view(Side::Answer, path))
            }
            _ => Self::Anything,
        }
    }

    /// What stands at a path of the record.
    pub(super) fn of_event(path: &[String]) -> Self {
        if let Some(fact) = Fact::of_event(path) {
            return Self::Fact(fact);
        }
        let (Some(section), Some(name)) = (path.first(), path.get(1)) else { return Self::Anything };
        let is = |a: &str, b: &str| section.eq_ignore_ascii_case(a) && name.eq_ignore_ascii_case(b);
        let side = if is("input", "inputBodyJson") {
            Side::Prompt
        } else if is("output", "outputBodyJson") {
            Side::Answer
        } else {
            return Self::Anything;
        };
        Self::of_raw(side, &path[2..])
    }

    /// What stands at a path of raw JSON.
    pub(super) fn of_raw(side: Side, path: &[String]) -> Self {
        let members = path.to_vec();
        Self::Body(Body { side, members, is_verbatim: true, has_elements: true, is_raw: true, has_names: false })
    }

    /// A member of it, however deep.
    pub(super) fn member(self, path: &[String]) -> Self {
        let Some(first) = path.first() else { return self };
        match self {
            Self::Call if first == "name" => Self::Fact(Fact::CallNames),
            Self::Call | Self::Calls => Self::Body(Body::of_view(Side::Answer, path)),
            Self::Guardrail => Self::Guardrail,
            Self::Body(body) if body.is_raw => {
                let mut members = body.members.clone();
                members.extend(path.iter().cloned());
                Self::Body(Body { members, ..body })
            }
            Self::Body(body) => Self::Body(Body::of_view(body.side, path)),
            _ => Self::Anything,
        }
    }

    /// An element of it.
    pub(super) fn element(self) -> Self {
        match self {
            Self::Texts(texts) => Self::Texts(texts),
            Self::Calls => Self::Call,
            Self::Guardrail => Self::Guardrail,
            Self::Fact(Fact::CallNames) => self,
            Self::Body(body) if body.has_elements => Self::Body(body),
            _ => Self::Anything,
        }
    }
}

/// What an expression spells with dots and brackets: what it begins with, and the members below it.
pub(super) fn path(expr: &IdedExpr) -> (&IdedExpr, Vec<String>, bool) {
    let mut members = Vec::new();
    let mut is_optional = false;
    let mut next = expr;
    loop {
        next = match &next.expr {
            Expr::Select(select) if !select.test || std::ptr::eq(next, expr) => {
                members.push(select.field.clone());
                &select.operand
            }
            Expr::Call(CallExpr { func_name, target: None, args })
                if [operators::INDEX, operators::OPT_INDEX, operators::OPT_SELECT].contains(&func_name.as_str()) =>
            {
                let [operand, key] = args.as_slice() else { break };
                match &key.expr {
                    Expr::Literal(LiteralValue::String(name)) => members.push(name.inner().to_owned()),
                    // An element of a list is where the list is.
                    Expr::Literal(LiteralValue::Int(_)) => {}
                    _ => break,
                }
                is_optional |= func_name != operators::INDEX;
                operand
            }
            _ => break,
        };
    }
    members.reverse();
    (next, members, is_optional)
}

/// The number that a literal is.
pub(super) fn number(literal: &LiteralValue) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "what is compared is never near 2^53")]
    match literal {
        LiteralValue::Int(value) => Some(*value.inner() as f64),
        LiteralValue::UInt(value) => Some(*value.inner() as f64),
        LiteralValue::Double(value) => Some(*value.inner()),
        _ => None,
    }
}
