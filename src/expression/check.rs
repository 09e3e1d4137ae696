//! The check of an expression: every name in it is known, nothing in it is nested too deep, its regexes are compiled,
//! its loops ask for their share of the budget, and what it needs of the variables is found.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr, SourceInfo, operators,
};
use cel::common::types::CelBool;
use cel::parser::ParseErrors;

use super::function::{FUNCTIONS, MACROS, TYPES};
use super::needs::Asked;
use super::pattern::Pattern;
use super::variables::{Demand, Variable};
use super::{Dialect, Flaw, STEP_NAME};
use crate::format::view;

/// Nesting of an expression, operators included. In a debug build the interpreter takes 40 KiB of stack for each level: half
/// of a thread's 2 MiB. Chains of `&&` and `||` count as the logarithm of their length, paths as one level.
const MAX_DEPTH: usize = 24;

/// Loops in loops: a third one takes longer than anybody waits.
const MAX_LOOPS: usize = 2;

/// An expression that was checked.
pub(super) struct Checked {
    pub(super) root: IdedExpr,
    pub(super) patterns: Vec<Pattern>,
    pub(super) demand: Demand,
    /// The dialect's names that stand in it.
    pub(super) names: Vec<String>,
}

/// Checks an expression, and makes it ready.
pub(super) fn check(
    mut root: IdedExpr,
    source: &SourceInfo,
    text: &str,
    dialect: Dialect<'_>,
) -> Result<Checked, Flaw> {
    let bound = dialect.names.to_vec();
    let mut walk = Walk {
        source,
        text,
        dialect,
        patterns: Vec::new(),
        demand: Demand::default(),
        names: Vec::new(),
        bound,
        loops: 0,
    };
    walk.expression(&mut root, 0)?;
    if dialect.is_question && !may_be_boolean(&root.expr) {
        return Err(Flaw::new("the expression gives neither true nor false"));
    }
    Ok(Checked { root, patterns: walk.patterns, demand: walk.demand, names: walk.names })
}

/// The first error of the parser, in fewer words: it lists every token that it would take.
pub(super) fn syntax(errors: &ParseErrors) -> Flaw {
    let Some(error) = errors.errors.first() else { return Flaw::new("the expression cannot be read") };
    if error.msg.contains("Recursion limit") {
        return Flaw::new("the expression is nested too deep");
    }
    let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
    let message = message.split_once(" expecting ").map_or(message, |(found, _)| found).replace("'<EOF>'", "end");
    let unexpected =
        ["mismatched input ", "extraneous input ", "no viable alternative at input ", "token recognition error at: "]
            .iter()
            .find_map(|prefix| message.strip_prefix(prefix));
    let hint = match unexpected.unwrap_or_default().trim_matches(['\'', ' ']) {
        "and" | "AND" | "&" => Some("and is written `&&`"),
        "or" | "OR" | "|" => Some("or is written `||`"),
        "not" | "NOT" => Some("not is written `!`"),
        "=" => Some("is equal to is written `==`"),
        _ => None,
    };
    let message = unexpected.map_or(message.clone(), |found| format!("unexpected {found}"));
    let flaw = Flaw { hint: hint.map(str::to_owned), ..Flaw::new(message) };
    match (usize::try_from(error.pos.0), usize::try_from(error.pos.1)) {
        (Ok(line @ 1..), Ok(column)) => flaw.at(line, column),
        _ => flaw,
    }
}

/// Whether a value of this kind can be true or false, as far as its outermost operator tells.
fn may_be_boolean(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(literal) => matches!(literal, LiteralValue::Boolean(_)),
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => false,
        Expr::Call(call) => !matches!(
            call.func_name.as_str(),
            operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO
                | operators::NEGATE
                | "size"
                | "split"
                | "int"
                | "uint"
                | "double"
                | "string"
                | "bytes"
                | "type"
        ),
        _ => true,
    }
}

/// The name that was most likely meant.
fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > 64 {
        return None;
    }
    let folded = name.to_ascii_lowercase();
    let distance = |candidate: &&str| strsim::damerau_levenshtein(&folded, &candidate.to_ascii_lowercase());
    let nearest = candidates.min_by_key(distance)?;
    (nearest.len() > 1 && distance(&nearest) <= (nearest.len() / 3).max(1)).then_some(nearest)
}

struct Walk<'s> {
    source: &'s SourceInfo,
    text: &'s str,
    dialect: Dialect<'s>,
    patterns: Vec<Pattern>,
    demand: Demand,
    names: Vec<String>,
    /// Variables of the loops around.
    bound: Vec<String>,
    loops: usize,
}

impl Walk<'_> {
    /// The flaw with the place of the node `id`.
    fn at(&self, id: u64, flaw: Flaw) -> Flaw {
        let Some((start, _)) = self.source.offset_for(id) else { return flaw };
        let before = self.text.get(..start as usize).unwrap_or(self.text);
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        flaw.at(before.matches('\n').count() + 1, column)
    }

    /// The flaw of an unknown name, with the nearest one and all that there are.
    fn unknown<'n>(&self, id: u64, message: String, name: &str, names: impl Iterator<Item = &'n str> + Clone) -> Flaw {
        let hint = nearest(name, names.clone()).map(|near| format!("did you mean `{near}`?"));
        let allowed = Some(names.collect::<Vec<_>>().join(", "));
        self.at(id, Flaw { hint, allowed, ..Flaw::new(message) })
    }

    fn expression(&mut self, expr: &mut IdedExpr, depth: usize) -> Result<(), Flaw> {
        if depth > MAX_DEPTH {
            return Err(self.at(expr.id, Flaw::new(format!("nested deeper than {MAX_DEPTH}"))));
        }
        if let Some(path) = path(expr) {
            return self.path(expr.id, path);
        }
        let (id, depth) = (expr.id, depth + 1);
        match &mut expr.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(id, name),
            Expr::Select(select) => self.expression(&mut select.operand, depth),
            Expr::Call(call) => self.call(id, call, depth),
            Expr::Comprehension(comprehension) => self.comprehension(id, comprehension, depth),
            Expr::List(list) => list.elements.iter_mut().try_for_each(|element| self.expression(element, depth)),
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&mut entry.key, depth)?;
                    self.expression(&mut entry.value, depth)
                }
                EntryExpr::StructField(_) => Err(Flaw::new("a message cannot be made here")),
            }),
            Expr::Struct(_) | Expr::Unspecified => Err(self.at(id, Flaw::new("a message cannot be made here"))),
        }
    }

    fn name(&mut self, id: u64, name: &str) -> Result<(), Flaw> {
        if self.dialect.names.iter().any(|known| known == name) && !self.names.iter().any(|known| known == name) {
            self.names.push(name.to_owned());
        }
        if name.starts_with('@') || TYPES.contains(&name) || self.bound.iter().any(|bound| bound == name) {
            return Ok(());
        }
        let names = Variable::ALL.iter().map(|variable| variable.as_str()).chain(self.bound.iter().map(String::as_str));
        Err(self.unknown(id, format!("no variable `{name}`"), name, names))
    }

    /// Notes that a member of a variable is needed.
    fn path(&mut self, id: u64, Path { variable, members, asked }: Path) -> Result<(), Flaw> {
        if variable == Variable::View && !self.dialect.has_view {
            return Err(self.at(id, Flaw::new("there is no `view` of these records, only `event`")));
        }
        if variable == Variable::View
            && let Some(first) = members.first()
        {
            let names = view::MEMBERS.iter().map(|member| member.name);
            let Some(member) = view::MEMBERS.iter().find(|member| member.name == first) else {
                return Err(self.unknown(id, format!("`view` has no member `{first}`"), first, names));
            };
            if let Some(second) = members.get(1)
                && !member.inside.is_empty()
                && !member.inside.contains(&second.as_str())
            {
                let message = format!("`view.{first}` has no member `{second}`");
                return Err(self.unknown(id, message, second, member.inside.iter().copied()));
            }
        }
        self.demand.add(variable, &members, asked);
        Ok(())
    }

    fn call(&mut self, id: u64, call: &mut CallExpr, depth: usize) -> Result<(), Flaw> {
        // Operators have names that are no words.
        if call.func_name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.function(id, call)?;
        }
        if call.func_name == "matches" {
            self.pattern(call)?;
        }
        for part in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
            self.expression(part, depth)?;
        }
        Ok(())
    }

    fn function(&self, id: u64, call: &CallExpr) -> Result<(), Flaw> {
        let name = call.func_name.as_str();
        let usages = || FUNCTIONS.iter().map(|f| (f.name, f.usage)).chain(MACROS.iter().copied());
        let known = FUNCTIONS.iter().find(|function| function.name == name);
        let fits = known.is_some_and(|function| {
            let arguments = if call.target.is_some() { function.member } else { function.global };
            arguments == Some(call.args.len())
        });
        if fits {
            return Ok(());
        }
        if let Some((_, usage)) = usages().find(|(known, _)| *known == name) {
            let flaw = Flaw::new(format!("`{name}` is not called like this"));
            return Err(self.at(id, Flaw { allowed: Some(usage.to_owned()), ..flaw }));
        }
        let names = usages().map(|(name, _)| name);
        let mut flaw = self.unknown(id, format!("no function `{name}`"), name, names);
        flaw.allowed = Some(usages().map(|(_, usage)| usage).collect::<Vec<_>>().join(", "));
        Err(flaw)
    }

    /// Puts a compiled regex in the place of its text.
    fn pattern(&mut self, call: &mut CallExpr) -> Result<(), Flaw> {
        let Some(argument) = call.args.last_mut() else { return Ok(()) };
        let Expr::Literal(LiteralValue::String(text)) = &argument.expr else {
            let flaw = Flaw::new("the regex of `matches` is not a text in quotes, so it cannot be checked");
            return Err(self.at(argument.id, flaw));
        };
        let pattern = Pattern::compile(text.inner()).map_err(|error| {
            let text = error.to_string();
            let reason = match error {
                regex::Error::CompiledTooBig(limit) => format!("it takes more than {limit} bytes"),
                _ => text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
            };
            self.at(argument.id, Flaw::new(format!("the regex is not valid: {reason}")))
        })?;
        argument.expr = Expr::Ident(Pattern::name(self.patterns.len()));
        self.patterns.push(pattern);
        Ok(())
    }

    fn comprehension(&mut self, id: u64, comprehension: &mut ComprehensionExpr, depth: usize) -> Result<(), Flaw> {
        self.expression(&mut comprehension.iter_range, depth)?;
        self.expression(&mut comprehension.accu_init, depth)?;
        let names = [Some(&comprehension.iter_var), comprehension.iter_var2.as_ref(), Some(&comprehension.accu_var)];
        let names: Vec<_> = names.into_iter().flatten().cloned().collect();
        if let Some(taken) = names.iter().find(|name| Variable::ALL.iter().any(|variable| variable.as_str() == *name)) {
            return Err(self.at(id, Flaw::new(format!("the name `{taken}` is taken"))));
        }
        self.loops += 1;
        if self.loops > MAX_LOOPS {
            return Err(self.at(id, Flaw::new(format!("more than {MAX_LOOPS} loops in each other"))));
        }
        let outer = self.bound.len();
        self.bound.extend(names);
        for part in [&mut comprehension.loop_cond, &mut comprehension.loop_step, &mut comprehension.result] {
            self.expression(part, depth)?;
        }
        self.bound.truncate(outer);
        self.loops -= 1;
        guard(&mut comprehension.loop_step);
        Ok(())
    }
}

/// A member of a variable, however deep.
struct Path {
    variable: Variable,
    members: Vec<String>,
    asked: Asked,
}

/// The path that an expression spells with dots and with texts in brackets, if it spells one.
fn path(expr: &IdedExpr) -> Option<Path> {
    let mut members = Vec::new();
    let is_test = matches!(&expr.expr, Expr::Select(SelectExpr { test: true, .. }));
    let mut asked = if is_test { Asked::Tested } else { Asked::Looked };
    let mut next = expr;
    loop {
        next = match &next.expr {
            Expr::Ident(name) => {
                let variable = Variable::ALL.into_iter().find(|variable| variable.as_str() == name)?;
                members.reverse();
                return Some(Path { variable, members, asked });
            }
            Expr::Select(select) if !select.test || members.is_empty() => {
                members.push(select.field.clone());
                &select.operand
            }
            Expr::Call(CallExpr { func_name, target: None, args })
                if [operators::INDEX, operators::OPT_INDEX, operators::OPT_SELECT].contains(&func_name.as_str()) =>
            {
                let [operand, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] = args.as_slice()
                else {
                    return None;
                };
                members.push(name.inner().to_owned());
                if func_name != operators::INDEX {
                    asked = Asked::Optional;
                }
                operand
            }
            _ => return None,
        };
        if members.len() > MAX_DEPTH {
            return None;
        }
    }
}

/// Makes the part of a loop's step that the user wrote ask for its share of the budget: `@step ? part : false`. The
/// shape of the step stays, by which the interpreter knows `all`, `exists`, `filter` and `map`.
fn guard(step: &mut IdedExpr) {
    let Expr::Call(call) = &mut step.expr else { return };
    let part = match (call.func_name.as_str(), call.args.as_mut_slice()) {
        (operators::LOGICAL_AND | operators::LOGICAL_OR, [_, part]) => part,
        (operators::CONDITIONAL, [part, ..]) => part,
        (operators::ADD, [_, IdedExpr { expr: Expr::List(ListExpr { elements, .. }), .. }]) => {
            match elements.first_mut() {
                Some(part) => part,
                None => return,
            }
        }
        _ => return,
    };
    let node = |expr| IdedExpr { id: part.id, expr };
    let (step, never) =
        (node(Expr::Ident(STEP_NAME.to_owned())), node(Expr::Literal(LiteralValue::Boolean(CelBool::from(false)))));
    let args = vec![step, std::mem::take(part), never];
    part.expr = Expr::Call(CallExpr { func_name: operators::CONDITIONAL.to_owned(), target: None, args });
}
