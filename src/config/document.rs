//! A document: the text of a configuration as a tree that remembers where each key and value stands, so that a fault
//! found anywhere can be shown at its place.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::error::{Excerpt, Fault, Place};

mod literal;

/// The most faults that are shown and looked into. Whoever has more has given another file, or will run the check again.
pub(super) const MAX_FAULTS: usize = 25;

/// A key's full path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl KeyPath {
    /// A path of keys, such as `["log", "level"]`.
    pub(super) fn of(keys: &[&str]) -> Self {
        Self(keys.iter().map(|key| Step::Key((*key).to_owned())).collect())
    }

    /// The path of a key below this one.
    pub(super) fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// The path of an item of this array.
    pub(super) fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// Whether this is `other`'s path, or one below it.
    pub(super) fn is_below(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// Whether this is the document itself.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(item) => write!(f, "[{item}]")?,
                Step::Key(key) => {
                    let dot = if index > 0 { "." } else { "" };
                    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
                    if bare { write!(f, "{dot}{key}")? } else { write!(f, "{dot}{key:?}")? }
                }
            }
        }
        Ok(())
    }
}

/// Something that is wrong, by its key's path; [`Document::locate`] finds its place.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) path: KeyPath,
    pub(super) target: Target,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) allowed: Option<String>,
}

/// What of an entry is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A key that is not known. What stands after it may be a secret and is not shown.
    UnknownKey,
    /// The key, or the header of the table.
    Key,
    /// The value.
    Value,
    /// The value, which may hold a secret and is not shown.
    SecretValue,
    /// A place in the text that the value is: its line and its column in characters, from 1.
    Inside(usize, usize),
}

impl Problem {
    /// A value that is not allowed.
    pub(super) fn value(path: KeyPath, message: impl Into<String>) -> Self {
        Self { path, target: Target::Value, message: message.into(), hint: None, allowed: None }
    }

    /// An entry that should not be there, or lacks something.
    pub(super) fn key(path: KeyPath, message: impl Into<String>) -> Self {
        Self { target: Target::Key, ..Self::value(path, message) }
    }

    /// Keeps the value out of sight.
    pub(super) fn secret(self) -> Self {
        Self { target: Target::SecretValue, ..self }
    }

    /// Adds what to write instead.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds what is allowed.
    pub(super) fn allowed(self, allowed: impl Into<String>) -> Self {
        Self { allowed: Some(allowed.into()), ..self }
    }
}

/// The text of a configuration and its tree.
///
/// Entries that come from the environment have spans behind the end of the text: the n-th variable's is one byte at
/// `text.len() + 1 + n`.
pub(super) struct Document<'d> {
    pub(super) text: &'d str,
    pub(super) tree: Spanned<DeTable<'d>>,
    /// The names of the variables that entries come from.
    pub(super) variables: Vec<String>,
    /// Whether what stands in it may be secret.
    pub(super) may_hold_secrets: bool,
}

impl<'d> Document<'d> {
    /// Reads TOML.
    ///
    /// # Errors
    /// Every place where the text is no TOML.
    pub(super) fn parse(text: &'d str) -> Result<Self, Vec<Fault>> {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let document = Self { text, tree, variables: Vec::new(), may_hold_secrets: true };
        if errors.is_empty() {
            return Ok(document);
        }
        let fault = |error: &toml::de::Error| Fault {
            place: error.span().map_or(Place::File, |span| document.place(&span, Target::Value)),
            key: String::new(),
            message: error.message().replace('\n', ", "),
            hint: None,
            allowed: None,
        };
        // A parser that goes on after an error finds more that are none: the first few are worth showing.
        let mut first: Vec<_> = errors.iter().take(3).collect();
        first.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        Err(first.into_iter().map(fault).collect())
    }

    /// The span that marks an entry as the given variable's.
    pub(super) fn variable_span(text: &str, index: usize) -> Range<usize> {
        let start = text.len() + 1 + index;
        start..start + 1
    }

    /// The smallest entry that holds `span`.
    pub(super) fn path_at(&self, span: &Range<usize>) -> KeyPath {
        let mut best = (usize::MAX, KeyPath::default());
        find(self.tree.get_ref(), &KeyPath::default(), span, &mut best);
        best.1
    }

    /// Where the problem is, for sorting.
    pub(super) fn start_of(&self, problem: &Problem) -> usize {
        self.span_of(&problem.path, problem.target).map_or(0, |span| span.start)
    }

    /// The fault as it is shown.
    pub(super) fn locate(&self, problem: Problem) -> Fault {
        let span = self.span_of(&problem.path, problem.target);
        let place = span.as_ref().map_or(Place::File, |span| self.place(span, problem.target));
        let Problem { path, message, hint, allowed, .. } = problem;
        Fault { place, key: path.to_string(), message, hint, allowed }
    }

    /// The span of the entry, or of the nearest one above it.
    fn span_of(&self, path: &KeyPath, target: Target) -> Option<Range<usize>> {
        let mut table = Some(self.tree.get_ref());
        let mut array = None;
        let mut found = None;
        for step in &path.0 {
            let (key, value) = match step {
                Step::Key(name) => {
                    let entry = table.and_then(|table| table.get_key_value(name.as_str()));
                    let Some((key, value)) = entry else { break };
                    (key.span(), value)
                }
                Step::Index(index) => {
                    let Some(value) = array.and_then(|array: &toml::de::DeArray<'_>| array.get(*index)) else { break };
                    (value.span(), value)
                }
            };
            let is_value = matches!(target, Target::Value | Target::SecretValue | Target::Inside(..));
            let whole = is_value && !value.get_ref().is_table();
            found = Some(if whole { value.span() } else { key });
            table = value.get_ref().as_table();
            array = value.get_ref().as_array();
        }
        match (found, target) {
            (Some(span), Target::Inside(line, column)) => Some(inside(self.text, span, line, column)),
            (found, _) => found,
        }
    }

    fn place(&self, span: &Range<usize>, target: Target) -> Place {
        if span.start > self.text.len() {
            let name = self.variables.get(span.start - self.text.len() - 1);
            return name.map_or(Place::File, |name| Place::Variable(name.clone()));
        }
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = self.text[line_start..].lines().next().unwrap_or_default();
        let column = before[line_start..].chars().count() + 1;
        let line = before.matches('\n').count() + 1;
        let marked = self.text.get(span.clone()).unwrap_or_default();
        let excerpt = excerpt(line_text, column - 1, marked.lines().next().unwrap_or_default(), target)
            .filter(|_| target == Target::UnknownKey || !self.may_hold_secrets || !is_suspicious(line_text));
        Place::Line { line, column, excerpt }
    }
}

/// Words in whose neighbourhood people keep secrets. A line with one is never repeated in an error, which may end in a log.
const SECRET_WORDS: [&str; 6] = ["secret", "password", "passwd", "token", "credential", "private"];

/// Whether the line has a word of those.
fn is_suspicious(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| lower.contains(word))
}

/// The place in the text of the value at `span`, as far as it can be told; else the value.
fn inside(text: &str, span: Range<usize>, line: usize, column: usize) -> Range<usize> {
    let raw = text.get(span.clone()).unwrap_or_default();
    let Some(at) = literal::offset(raw, line, column) else { return span };
    let rest = raw[at..].trim_end_matches(['\'', '"']);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    let first = rest.chars().next().map_or(0, char::len_utf8);
    span.start + at..span.start + at + length.max(first)
}

fn excerpt(line: &str, before: usize, marked: &str, target: Target) -> Option<Excerpt> {
    let length = marked.chars().count();
    if target == Target::UnknownKey {
        if line.trim_start().starts_with('[') {
            let header = line.split_inclusive(']').next().unwrap_or_default();
            return Some(Excerpt { text: plain(header), before, marked: length });
        }
        let (lead, before) = if line.trim_start().starts_with(marked) { ("", 0) } else { ("… ", 2) };
        return Some(Excerpt { text: plain(&format!("{lead}{marked} = …")), before, marked: length });
    }
    if target == Target::SecretValue {
        return None;
    }
    Some(Excerpt { text: plain(line), before, marked: length })
}

/// The text with each control character as a space or a sign, so that columns stay and terminals are not steered.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

fn find(table: &DeTable<'_>, at: &KeyPath, span: &Range<usize>, best: &mut (usize, KeyPath)) {
    for (key, value) in table {
        let path = at.key(key.get_ref());
        consider(&path, &key.span(), span, best);
        find_value(value, &path, span, best);
    }
}

fn find_value(value: &Spanned<DeValue<'_>>, path: &KeyPath, span: &Range<usize>, best: &mut (usize, KeyPath)) {
    consider(path, &value.span(), span, best);
    match value.get_ref() {
        DeValue::Table(table) => find(table, path, span, best),
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                find_value(item, &path.index(index), span, best);
            }
        }
        _ => {}
    }
}

fn consider(path: &KeyPath, holder: &Range<usize>, span: &Range<usize>, best: &mut (usize, KeyPath)) {
    let holds = holder.start <= span.start && span.end <= holder.end;
    if holds && holder.len() < best.0 {
        *best = (holder.len(), path.clone());
    }
}

/// Takes an entry out of the tree, so that the rest can be read without it.
pub(super) fn remove(tree: &mut DeTable<'_>, path: &KeyPath) -> bool {
    let Some((Step::Key(first), rest)) = path.0.split_first() else { return false };
    // An item of an array is removed with its array, so that the indices of the others stay.
    let last = rest.is_empty() || matches!(rest[0], Step::Index(_));
    if last {
        return tree.remove(first.as_str()).is_some();
    }
    match tree.get_mut(first.as_str()).map(Spanned::get_mut) {
        Some(DeValue::Table(table)) => remove(table, &KeyPath(rest.to_vec())),
        _ => false,
    }
}
/// Reads the document without what is unusable in it, and goes on after a value that cannot be read, so that one run
/// shows all faults.
pub(super) fn read<'d, T: Deserialize<'d>>(
    document: &Document<'d>,
    mut unusable: Vec<KeyPath>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let mut tree = document.tree.clone();
    for path in &unusable {
        remove(tree.get_mut(), path);
    }
    loop {
        let root = Spanned::new(tree.span(), DeValue::Table(tree.get_ref().clone()));
        let error = match T::deserialize(ValueDeserializer::from(root)) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let path = error.span().map(|span| document.path_at(&span)).unwrap_or_default();
        // A table that lacks what was taken out of it is no fault of its own, and all that the file itself lacks is
        // found by its shape.
        let consequence = error.message().starts_with("missing field") && !problems.is_empty();
        if !consequence && !unusable.iter().any(|taken| taken.is_below(&path)) {
            problems.push(Problem::value(path.clone(), error.message()));
        }
        // Each round takes something out, so that this ends; the bound is for files with thousands of faults.
        if problems.len() > MAX_FAULTS || !remove(tree.get_mut(), &path) {
            return None;
        }
        unusable.push(path);
    }
}
