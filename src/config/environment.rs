//! Overrides from the environment: `BEDROCK_TAP__SECTION__KEY=value`, with two underscores between levels, in any case
//! after the prefix. A value is read as TOML; where the key takes a string, or the value is no TOML, it is the string.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::{Document, KeyPath};
use super::error::{Fault, Place};
use super::shape::{Node, Shape};

/// What the names of all overrides begin with.
const PREFIX: &str = "BEDROCK_TAP__";

/// The variables that override keys of the configuration; all others are left out.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

/// Shows the names alone: a value given by mistake may be a secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// The overrides among the variables of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The names of the overrides, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// Puts the overrides into the document.
    pub(super) fn apply<'d>(&'d self, document: &mut Document<'d>, shape: &Shape) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut keys: BTreeMap<String, &str> = BTreeMap::new();
        for (name, value) in &self.variables {
            document.variables.push(name.clone());
            let span = Document::variable_span(document.text, document.variables.len() - 1);
            let key = name[PREFIX.len()..].to_ascii_lowercase();
            let result = match (keys.insert(key.clone(), name), value.to_str()) {
                (Some(other), _) => Err(format!("sets the same key as {other}")),
                (None, None) => Err("its value is not UTF-8".to_owned()),
                (None, Some(text)) => {
                    let steps: Vec<&str> = key.split("__").collect();
                    let target = Target { text, span: &span, path: KeyPath::default() };
                    set(document.tree.get_mut(), &steps, Some(shape.root()), target)
                }
            };
            if let Err(message) = result {
                let place = Place::Variable(name.clone());
                faults.push(Fault { place, key: String::new(), message, hint: None, allowed: None });
            }
        }
        faults
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let overrides = variables.into_iter().filter_map(|(name, value)| {
            // A name that is not UTF-8 may still be meant as an override: it is shown, and refused as unknown.
            let name = name.into().to_string_lossy().into_owned();
            name.starts_with(PREFIX).then(|| (name, value.into()))
        });
        Self { variables: overrides.collect() }
    }
}

/// What is set: a variable's text, its span, and the table that has been reached.
struct Target<'d, 's> {
    text: &'d str,
    span: &'s Range<usize>,
    path: KeyPath,
}

/// Sets the entry at `steps`, and makes the tables above it.
fn set<'d>(
    table: &mut DeTable<'d>,
    steps: &[&str],
    node: Option<Node<'_>>,
    target: Target<'d, '_>,
) -> Result<(), String> {
    let Target { text, span, path } = target;
    let Some((step, rest)) = steps.split_first() else { return Ok(()) };
    // Names in the file may have hyphens, which names of variables cannot have.
    let fold = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let existing = table.keys().find(|key| fold(key.get_ref()) == fold(step)).map(|key| key.get_ref().to_string());
    let key = existing.unwrap_or_else(|| (*step).to_owned());
    let node = node.and_then(|node| node.child(&key));
    let path = path.key(&key);
    if rest.is_empty() {
        table.remove(key.as_str());
        table.insert(Spanned::new(span.clone(), key.into()), Spanned::new(span.clone(), value(text, node, span)));
        return Ok(());
    }
    if !table.contains_key(key.as_str()) {
        let empty = DeValue::Table(DeTable::new());
        table.insert(Spanned::new(span.clone(), key.clone().into()), Spanned::new(span.clone(), empty));
    }
    match table.get_mut(key.as_str()).map(Spanned::get_mut) {
        Some(DeValue::Table(below)) => set(below, rest, node, Target { text, span, path }),
        _ => Err(format!("`{path}` is no table, so nothing can be set in it")),
    }
}

/// The value of a variable.
fn value<'d>(text: &'d str, node: Option<Node<'_>>, span: &Range<usize>) -> DeValue<'d> {
    match DeValue::parse(text.trim()).map(Spanned::into_inner) {
        Ok(string @ DeValue::String(_)) => string,
        Ok(value) if !node.is_some_and(Node::is_text) => moved(value, span),
        _ => DeValue::String(text.into()),
    }
}

/// The value with `span` in the place of all spans in it.
fn moved<'d>(value: DeValue<'d>, span: &Range<usize>) -> DeValue<'d> {
    match value {
        DeValue::Array(items) => DeValue::Array(
            items.into_iter().map(|item| Spanned::new(span.clone(), moved(item.into_inner(), span))).collect(),
        ),
        DeValue::Table(table) => DeValue::Table(
            table
                .into_iter()
                .map(|(key, value)| {
                    let key = Spanned::new(span.clone(), key.into_inner());
                    (key, Spanned::new(span.clone(), moved(value.into_inner(), span)))
                })
                .collect(),
        ),
        other => other,
    }
}
