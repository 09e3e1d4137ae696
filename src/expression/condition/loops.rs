//! A loop: `exists`, `all`, `filter` or `map` over a list, found again in what the parser has written it out to.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, operators};

use crate::expression::STEP_NAME;

/// A loop over a list, as the parser has written it out.
pub(super) enum Loop<'e> {
    /// `exists`, or one time out of several.
    Exists(&'e IdedExpr),
    All(&'e IdedExpr),
    Filter(&'e IdedExpr),
    Map(&'e IdedExpr),
}

/// What a loop asks or makes of each element, without the guard around it.
pub(super) fn parts(comprehension: &ComprehensionExpr) -> Option<Loop<'_>> {
    let is_result = matches!(&comprehension.result.expr, Expr::Ident(name) if *name == comprehension.accu_var);
    let Expr::Call(CallExpr { func_name, args, .. }) = &comprehension.loop_step.expr else { return None };
    let added = |expr: &'_ IdedExpr| match &expr.expr {
        Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::ADD => match args.last() {
            Some(IdedExpr { expr: Expr::List(list), .. }) => list.elements.first().cloned(),
            _ => None,
        },
        _ => None,
    };
    match (func_name.as_str(), args.as_slice()) {
        (operators::LOGICAL_OR, [_, part]) if is_result => Some(Loop::Exists(unguarded(part))),
        (operators::LOGICAL_AND, [_, part]) if is_result => Some(Loop::All(unguarded(part))),
        (operators::CONDITIONAL, [part, step, _]) => {
            let is_element =
                |added: IdedExpr| matches!(added.expr, Expr::Ident(name) if name == comprehension.iter_var);
            match added(step) {
                Some(element) => is_element(element).then_some(Loop::Filter(unguarded(part))),
                // `exists_one`
                None => (!is_result).then_some(Loop::Exists(unguarded(part))),
            }
        }
        (operators::ADD, [_, IdedExpr { expr: Expr::List(list), .. }]) => {
            list.elements.first().map(|part| Loop::Map(unguarded(part)))
        }
        _ => None,
    }
}

/// The part of a loop's step that the user wrote.
fn unguarded(part: &IdedExpr) -> &IdedExpr {
    match &part.expr {
        Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::CONDITIONAL => match args.as_slice() {
            [IdedExpr { expr: Expr::Ident(name), .. }, part, _] if name == STEP_NAME => part,
            _ => part,
        },
        _ => part,
    }
}
