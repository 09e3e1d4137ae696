//! An expression of CEL, checked and ready to be evaluated, in bounded time, on any thread.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use cel::common::types::{CelBool, CelList, CelString, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Env, ExecutionError, IdedExpr, Value};
use regex::Regex;

mod answer;
mod asking;
mod check;
pub(crate) mod condition;
mod function;
pub(crate) mod literal;
mod native;
mod needs;
mod pattern;
mod value;
mod variables;

pub use answer::{Answer, Bindings};
pub(crate) use asking::Gate;
use check::Checked;
use condition::Condition;
use literal::Literals;
use native::{Node, Stop};
#[cfg(test)]
pub(crate) use needs::Needs;
use pattern::{PATTERN_NAME, PATTERN_TYPE, Pattern};
use variables::Built;
pub(crate) use variables::{Demand, Names, Variables, Views, view_json};

/// The longest expression. Real ones have a few hundred characters; what is generated has its place elsewhere.
pub const MAX_CHARACTERS: usize = 4096;

/// The most characters of a message.
const MAX_MESSAGE: usize = 200;

/// The stack of the thread that reads an expression: the parser calls itself for every operand of a chain, and the
/// longest expression takes a third of it in a debug build.
const STACK_BYTES: usize = 64 << 20;

/// What one evaluation may look at, in bytes: about a quarter of a second.
const BUDGET: u64 = 256 << 20;

/// What one step of `all`, `exists`, `filter` or `map` counts: some steps take a microsecond or two. At most 100,000 fit.
const STEP: u64 = 2_560;

/// The name that a step asks for whether there is something left. No expression can spell it.
const STEP_NAME: &str = "@step";

/// What an expression may use, and what it is to give.
#[derive(Clone, Copy, Debug)]
pub struct Dialect<'d> {
    /// Names beside the variables, each of a value in the [`Bindings`].
    pub names: &'d [String],
    /// Whether it is to be true or false.
    pub is_question: bool,
    /// Whether there is a view; records of other services have none.
    pub has_view: bool,
}

impl Dialect<'_> {
    /// Questions about an invocation.
    pub const QUESTION: Self = Self { names: &[], is_question: true, has_view: true };
}

/// An expression that was checked.
pub struct Expression {
    root: IdedExpr,
    patterns: Vec<Pattern>,
    demand: Demand,
    /// Names of values that stand in it.
    names: Vec<String>,
    /// Its native form, if it has one.
    native: Option<Box<Node>>,
    environment: Arc<Env>,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What is wrong, and where.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// What is allowed.
    pub allowed: Option<String>,
    /// Where it is in the expression: its line and its column in characters, from 1.
    pub place: Option<(usize, usize)>,
}

impl Flaw {
    /// A flaw; what it quotes of the expression is cut short, and shown without control characters.
    pub(crate) fn new(message: impl AsRef<str>) -> Self {
        let plain = |c: char| if c.is_control() { c.escape_default().collect() } else { vec![c] };
        let mut message: String = message.as_ref().chars().flat_map(plain).take(MAX_MESSAGE + 1).collect();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.replace_range(end.., "…");
        }
        Self { message, hint: None, allowed: None, place: None }
    }

    /// The same flaw with the place where it is.
    fn at(self, line: usize, column: usize) -> Self {
        let message = format!("{}{}", before_message(line, column), self.message);
        Self { message, place: Some((line, column)), ..self }
    }

    /// The same flaw of an expression that stands in a text behind `before`.
    pub(crate) fn behind(self, before: &str) -> Self {
        let Some((line, column)) = self.place else { return self };
        let last = before.rsplit('\n').next().unwrap_or_default();
        let moved =
            (line + before.matches('\n').count(), if line == 1 { column + last.chars().count() } else { column });
        Self { place: Some(moved), ..self }
    }

    /// What is wrong, without where: for those who show the place.
    pub(crate) fn message_alone(&self) -> &str {
        match self.message.strip_prefix("in ").and_then(|rest| rest.split_once(" of the expression: ")) {
            Some((_, alone)) if self.place.is_some() => alone,
            _ => &self.message,
        }
    }
}

/// What stands before the message of a flaw with a place.
fn before_message(line: usize, column: usize) -> String {
    let place = if line == 1 { format!("column {column}") } else { format!("line {line}, column {column}") };
    format!("in {place} of the expression: ")
}

impl Expression {
    /// Reads and checks an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(text: &str) -> Result<Self, Flaw> {
        Self::compile_in(text, Dialect::QUESTION)
    }

    /// Reads and checks an expression of a dialect.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile_in(text: &str, dialect: Dialect<'_>) -> Result<Self, Flaw> {
        let characters = text.chars().count();
        if characters > MAX_CHARACTERS {
            let allowed = Some(format!("1 to {MAX_CHARACTERS} characters"));
            return Err(Flaw { allowed, ..Flaw::new(format!("the expression has {characters} characters")) });
        }
        std::thread::scope(|scope| {
            let reader = std::thread::Builder::new().stack_size(STACK_BYTES);
            let reader = reader.spawn_scoped(scope, || Self::read(text, dialect));
            match reader.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(expression)) => expression,
                // A parser of somebody else that panics has met what it cannot read.
                Ok(Err(_)) => Err(Flaw::new("the expression cannot be read")),
                Err(error) => Err(Flaw::new(format!("the expression cannot be read: {error}"))),
            }
        })
    }

    fn read(text: &str, dialect: Dialect<'_>) -> Result<Self, Flaw> {
        let environment = match ENVIRONMENT.get() {
            Some(environment) => Arc::clone(environment),
            None => {
                let made = environment().map_err(|error| Flaw::new(error.to_string()))?;
                Arc::clone(ENVIRONMENT.get_or_init(|| Arc::new(made)))
            }
        };
        let (root, source) =
            environment.parser().parse_with_source_info(text).map_err(|errors| check::syntax(&errors))?;
        let Checked { root, patterns, demand, names } = check::check(root, &source, text, dialect)?;
        let native = Node::of(&root, &names).map(Box::new);
        Ok(Self { root, patterns, demand, names, native, environment })
    }

    /// What it needs of the variables.
    pub(crate) fn demand(&self) -> &Demand {
        &self.demand
    }

    /// What must be so for each regex that is looked for in a joined text of the view to match, by the pattern's id.
    pub(crate) fn gates(&self, literals: &mut Literals) -> Vec<(usize, Condition)> {
        let looks = self.native.as_deref().map(Node::looks).unwrap_or_default();
        let gate = |(number, text): (usize, &str)| {
            let pattern: &Pattern = self.patterns.get(number)?;
            Some((pattern.id(), Condition::of_look(text, pattern.needed(), literals)))
        };
        looks.into_iter().filter_map(gate).collect()
    }

    /// The regex of that name.
    fn pattern(&self, name: &str) -> Option<&Regex> {
        let number: usize = name.strip_prefix(PATTERN_NAME)?.parse().ok()?;
        self.patterns.get(number).map(Pattern::regex)
    }

    /// What it says of an event; none where it cannot be evaluated, gives no boolean, or takes too long.
    pub(crate) fn evaluate(&self, variables: &Variables<'_>) -> Option<bool> {
        self.evaluate_with(variables, &Bindings::default())
    }

    /// What it says of an event with further values; none as for [`Self::evaluate`].
    pub(crate) fn evaluate_with<'b>(&self, variables: &Variables<'b>, bindings: &Bindings<'b>) -> Option<bool> {
        match self.native(variables, bindings, bindings.len()) {
            Ok(native::Value::Bool(answer)) => Some(answer),
            Ok(_) | Err(Stop::Failed) => None,
            Err(Stop::Unsure) => {
                let boolean = |value: &dyn Val| Some(*value.downcast_ref::<CelBool>()?.inner());
                self.resolve(variables, bindings, bindings.len(), boolean)
            }
        }
    }

    /// What it gives for an event with further values; none where it cannot be evaluated, or takes too long.
    pub(crate) fn answer<'b>(&self, variables: &Variables<'b>, bindings: &Bindings<'b>) -> Option<Answer> {
        match self.native(variables, bindings, bindings.len()) {
            Ok(value) => Some(value.into_answer()),
            Err(Stop::Failed) => None,
            Err(Stop::Unsure) => self.interpret(variables, bindings, bindings.len()).map(|value| Answer::of(&value)),
        }
    }

    /// Adds what it gives for an event to the values that further expressions may use. It is computed when one does.
    pub(crate) fn bind<'b>(&'b self, name: &'b str, _: &Variables<'b>, bindings: &mut Bindings<'b>) {
        bindings.push(name, self);
    }

    /// What it gives without the interpreter, with the first `among` of the values.
    fn native<'r, 'b: 'r>(
        &'r self,
        variables: &Variables<'b>,
        bindings: &Bindings<'b>,
        among: usize,
    ) -> Result<native::Value<'r>, Stop> {
        let node = self.native.as_deref().ok_or(Stop::Unsure)?;
        let asked = native::Asked::new(variables, bindings, among, &self.patterns).ok_or(Stop::Unsure)?;
        match asked.answer(node)? {
            native::Value::Type(_) => Err(Stop::Unsure),
            value => Ok(value),
        }
    }

    /// What the interpreter gives, with the first `among` of the values.
    fn interpret<'b>(&self, variables: &Variables<'b>, bindings: &Bindings<'b>, among: usize) -> Option<Value> {
        self.resolve(variables, bindings, among, |value| Value::try_from(value).ok())
    }

    fn resolve<'b, T>(
        &self,
        variables: &Variables<'b>,
        bindings: &Bindings<'b>,
        among: usize,
        take: impl FnOnce(&dyn Val) -> Option<T>,
    ) -> Option<T> {
        let is_built = self.demand != Demand::default();
        let variables_built = if is_built { Some(variables.built()?) } else { None };
        let named = self.names.iter().filter_map(|name| Some((name.as_str(), bindings.built(name, among, variables)?)));
        let scope = Scope {
            expression: self,
            variables: variables_built,
            named: named.collect(),
            left: AtomicU64::new(BUDGET),
        };
        let mut context = cel::Context::with_env(Arc::clone(&self.environment));
        context.set_variable_resolver(&scope);
        let value = Value::resolve_val(&self.root, &context).ok()?;
        let taken = take(value.as_ref())?;
        scope.spend(0).then_some(taken)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression").field("demand", &self.demand).finish_non_exhaustive()
    }
}

/// What the names in an expression stand for while it is evaluated for one event, and what is left of the budget.
struct Scope<'s, 'v> {
    expression: &'s Expression,
    variables: Option<&'s Built<'v>>,
    named: Vec<(&'s str, &'s dyn Val)>,
    left: AtomicU64,
}

impl Scope<'_, '_> {
    /// Takes something from the budget, and says whether it was there. Once it was not, nothing is left.
    fn spend(&self, amount: u64) -> bool {
        let left = self.left.load(Ordering::Relaxed).saturating_sub(amount);
        self.left.store(left, Ordering::Relaxed);
        left > 0
    }
}

impl VariableResolver for Scope<'_, '_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if name == STEP_NAME {
            return Some(CowVal::owned(CelBool::from(self.spend(STEP))));
        }
        if let Some(number) = name.strip_prefix(PATTERN_NAME) {
            let pattern = self.expression.patterns.get(number.parse::<usize>().ok()?)?;
            return Some(CowVal::Borrowed(pattern));
        }
        if let Some((_, value)) = self.named.iter().find(|(known, _)| *known == name) {
            return self.spend(STEP).then(|| CowVal::Borrowed(*value));
        }
        let variables = self.variables?;
        let value = variables.get(name)?;
        // Whoever asks for a variable may look at all of it, and in a loop again at each step.
        self.spend(variables.bytes as u64).then(|| CowVal::Borrowed(value.as_ref()))
    }
}

/// The environment of all expressions.
static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();

/// CEL's standard library, with `matches` for compiled regexes, and `split` of the library for strings.
fn environment() -> Result<Env, cel::DeclarationError> {
    let mut environment = Env::stdlib();
    environment.add_overload("matches", "matches_regex", vec![STRING_TYPE, PATTERN_TYPE.to_owned()], matches)?;
    environment.add_member_overload(
        "matches",
        "string_matches_regex",
        STRING_TYPE,
        vec![PATTERN_TYPE.to_owned()],
        matches,
    )?;
    environment.add_member_overload("split", "string_split", STRING_TYPE, vec![STRING_TYPE], split)?;
    Ok(environment)
}

/// The parts of a text between separators; the text itself where the separator is empty, which would take it apart.
fn split<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, separator] = arguments.as_slice() else { return Err(ExecutionError::missing_argument_or_target()) };
    match (text.downcast_ref::<CelString<'_>>(), separator.downcast_ref::<CelString<'_>>()) {
        (Some(text), Some(separator)) => {
            let parts: Vec<&str> = match separator.inner() {
                "" => vec![text.inner()],
                separator => text.inner().split(separator).collect(),
            };
            let part = |part: &str| Box::new(CelString::from(part.to_owned())) as Box<dyn Val>;
            Ok(CowVal::owned(CelList::from(parts.into_iter().map(part).collect::<Vec<_>>())))
        }
        _ => Err(ExecutionError::missing_argument_or_target()),
    }
}

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = arguments.as_slice() else { return Err(ExecutionError::missing_argument_or_target()) };
    match (text.downcast_ref::<CelString<'_>>(), pattern.downcast_ref::<Pattern>()) {
        (Some(text), Some(pattern)) => Ok(CowVal::owned(CelBool::from(pattern.is_match(text.inner())))),
        _ => Err(ExecutionError::missing_argument_or_target()),
    }
}
