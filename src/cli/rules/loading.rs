//! Loading: the rules that come with the program and those of the user's own files, and which of them are chosen.

use std::sync::Arc;

use crate::cli::UsageError;
use crate::cli::check::terminal;
use crate::config::{RuleFile, managed_rules, own_rules};
use crate::detect::{Choice, Rule};

/// All rules: the program's own, and those in `paths`, in the order of their ids.
///
/// # Errors
/// Files that cannot be read or are not valid.
pub(crate) fn all(paths: &[String]) -> Result<Vec<(RuleFile, Arc<Rule>)>, UsageError> {
    let mut rules = managed_rules().map_err(|error| UsageError(error.render(terminal())))?;
    rules.extend(own_rules(paths).map_err(|error| UsageError(error.render(terminal())))?);
    rules.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    Ok(rules)
}

/// The rules that lists of patterns choose, of all there are.
///
/// # Errors
/// Files that are not valid, and a pattern that is not valid, fits no rule, or takes away all.
pub(crate) fn chosen(lists: &[String], paths: &[String]) -> Result<Vec<Arc<Rule>>, UsageError> {
    let rules: Vec<_> = all(paths)?.into_iter().map(|(_, rule)| rule).collect();
    choose(&lists.iter().flat_map(|list| Choice::split(list)).collect::<Vec<_>>(), &rules)
}

/// The rules that patterns choose.
///
/// # Errors
/// A pattern that is not valid, fits no rule, or takes away all.
pub(crate) fn choose(patterns: &[String], rules: &[Arc<Rule>]) -> Result<Vec<Arc<Rule>>, UsageError> {
    let choice = Choice::parse(patterns).map_err(|error| UsageError(error.to_string()))?;
    if let Some(fault) = choice.faults(rules).first() {
        return Err(UsageError(fault.to_string()));
    }
    let chosen = choice.choose(rules);
    if chosen.is_empty() {
        return Err(UsageError(format!("no rule is left of `{}`", patterns.join(","))));
    }
    Ok(chosen)
}
