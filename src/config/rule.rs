//! A detection rule's file: its shape, and the rule that it makes.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

mod check;
mod files;
mod managed;
mod parts;

pub use files::{RuleFilesError, own_rules, rule_files};
use parts::{AggregateFile, Binding, FirstSeen, Mitre, SeverityWhen};
pub use parts::{Baseline, RuleTest};

use super::conform::Findings;
use super::document::{self, Document, KeyPath, MAX_FAULTS, Problem, Target};
use super::error::ConfigError;
use super::shape::Shape;
use super::units;
use crate::detect::rule::{Aggregate, Counting, History, Matching};
use crate::detect::template::Template;
use crate::detect::{LogType, Rule, Severity};
use crate::expression::{Demand, Dialect, Expression, Flaw};

/// A detection rule. Expressions are in CEL, over `event` (the record with its own names; a name that differs only in the
/// case of its letters is found as well) and, for invocations, over `view` (the same names for every model).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// Its id: a prefix, a dot and a name, such as `acme.night-shift`. `panther.` and `tap.` are the program's own.
    #[schemars(length(min = 1, max = 128))]
    pub id: String,
    /// Its name, for people.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// What it looks for, and why that matters.
    #[schemars(length(min = 1, max = 10000))]
    pub description: String,
    /// What it does not see. Default: nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blind_spots: Option<String>,
    /// The kind of records that it is about. Default: `AWS.BedrockModelInvocation`.
    #[serde(default = "default_log_type")]
    pub log_type: LogType,
    /// How bad a finding is.
    pub severity: Severity,
    /// How bad a finding is when something else holds: the first that does decides. Default: `severity` always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub severities: Vec<SeverityWhen>,
    /// Words to choose it by. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// MITRE's names for it. Default: none.
    #[serde(default)]
    pub mitre: Mitre,
    /// Where to read more. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// What to do about a finding. Default: nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Values that the expressions behind may use by their names, in this order. Default: none.
    #[serde(default, rename = "let", skip_serializing_if = "Vec::is_empty")]
    pub bindings: Vec<Binding>,
    /// Whether an event is a finding.
    #[serde(rename = "match")]
    #[schemars(length(min = 1, max = 4096))]
    pub matches: String,
    /// What a finding is called: a text with expressions in braces. What is not known is `unknown`.
    #[schemars(length(min = 1, max = 4096))]
    pub title: String,
    /// What findings are counted and told under, as a text with expressions in braces. Default: the values of `group_by`,
    /// or the title where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup: Option<String>,
    /// Expressions that tell those apart who are counted on their own. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<String>,
    /// What stands in findings and alerts beside the title: names and expressions. Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<Binding>,
    /// Findings within `window` that open an alert, 1 to 10000. Default: `1`.
    #[serde(default = "default_threshold")]
    #[schemars(range(min = 1, max = 10000))]
    pub threshold: u32,
    /// The window of the threshold and the aggregates, by the times of the events, `1s` to `30d`. Default: `1h`.
    #[serde(default = "default_hour", with = "units::duration")]
    #[schemars(with = "units::DurationText", extend("x-minimum" = "1s", "x-maximum" = "30d"))]
    pub window: Duration,
    /// How long an alert takes further findings in before there is another, `1m` to `30d`. Default: `1h`.
    #[serde(default = "default_hour", with = "units::duration")]
    #[schemars(with = "units::DurationText", extend("x-minimum" = "1m", "x-maximum" = "30d"))]
    pub dedup_period: Duration,
    /// What must hold of all findings in the window together, beside the threshold. Default: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aggregates: Vec<AggregateFile>,
    /// An event is a finding only if a measure of it is far above what is usual in its group. Default: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// An event is a finding only if its group did not have this before. Default: not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<FirstSeen>,
    /// Events with what the rule must say of them. Run by `bedrock-tap rules test`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<RuleTest>,
    /// The file as it is written.
    #[serde(skip)]
    #[schemars(skip)]
    text: String,
}

fn default_log_type() -> LogType {
    LogType::Invocation
}

fn default_threshold() -> u32 {
    1
}

fn default_hour() -> Duration {
    Duration::from_secs(3600)
}

/// The rules that come with the program, in the order of their ids, each with its file.
///
/// # Errors
/// A rule that is not valid; the tests of the program refuse it before.
pub fn managed_rules() -> Result<Vec<(RuleFile, Arc<Rule>)>, ConfigError> {
    managed::FILES.iter().map(|(name, text)| RuleFile::parse(text, name)).collect()
}

impl RuleFile {
    /// Reads and compiles a rule; `name` is what errors call its file.
    ///
    /// # Errors
    /// A file that is not valid: each fault with its place and the way out.
    pub fn parse(text: &str, name: &str) -> Result<(Self, Arc<Rule>), ConfigError> {
        Self::parse_of(text, name, true)
    }

    /// The JSON Schema (2020-12) of a rule's file, for editors.
    pub fn json_schema() -> serde_json::Value {
        Self::shape().into_schema()
    }

    /// The file as it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn shape() -> Shape {
        Shape::of::<Self>("bedrock-tap detection rule")
    }

    /// Reads and compiles a rule; `is_managed` says whether its id may be one of the program's own.
    fn parse_of(text: &str, name: &str, is_managed: bool) -> Result<(Self, Arc<Rule>), ConfigError> {
        let mut document = Document::parse(text).map_err(|faults| ConfigError::new(name, faults))?;
        document.may_hold_secrets = false;
        let Findings { mut problems, unusable } = Self::shape().check(document.tree.get_ref());
        let file: Option<Self> = document::read(&document, unusable, &mut problems);
        if let Some(file) = &file {
            file.check(is_managed, &mut problems);
        }
        let rule = file.as_ref().and_then(|file| file.compile(&mut problems));
        match (file, rule) {
            (Some(file), Some(rule)) if problems.is_empty() => {
                Ok((Self { text: text.to_owned(), ..file }, Arc::new(rule)))
            }
            _ => {
                problems.sort_by_key(|problem| document.start_of(problem));
                let more = problems.len().saturating_sub(MAX_FAULTS);
                let faults = problems.into_iter().take(MAX_FAULTS).map(|problem| document.locate(problem)).collect();
                Err(ConfigError::new(name, faults).and_more(more))
            }
        }
    }

    /// The rule, unless there is something wrong with an expression.
    fn compile(&self, problems: &mut Vec<Problem>) -> Option<Rule> {
        let before = problems.len();
        let mut maker = Maker { problems, names: Vec::new(), has_view: self.log_type == LogType::Invocation };
        let bindings = self.bindings.iter().enumerate().filter_map(|(index, binding)| {
            let at = KeyPath::of(&["let"]).index(index);
            let value = maker.value(at.key("value"), &binding.value);
            maker.names.push(binding.name.clone());
            Some((binding.name.clone(), value?))
        });
        let bindings: Vec<_> = bindings.collect();
        let matches = maker.question(KeyPath::of(&["match"]), &self.matches);
        let severities = self.severities.iter().enumerate().filter_map(|(index, when)| {
            let at = KeyPath::of(&["severities"]).index(index).key("when");
            Some((maker.question(at, &when.when)?, when.severity))
        });
        let severities = severities.collect();
        let title = maker.template("title", &self.title);
        let dedup = self.dedup.as_ref().and_then(|dedup| maker.template("dedup", dedup));
        let group = self.group_by.iter().enumerate().filter_map(|(index, value)| {
            let at = KeyPath::of(&["group_by"]).index(index);
            Some((group_name(value), maker.value(at, value)?))
        });
        let group = group.collect();
        let context = self.context.iter().enumerate().filter_map(|(index, value)| {
            let at = KeyPath::of(&["context"]).index(index).key("value");
            Some((value.name.clone(), maker.value(at, &value.value)?))
        });
        let context = context.collect();
        let aggregates = self.aggregates.iter().enumerate().filter_map(|(index, aggregate)| {
            maker.value(KeyPath::of(&["aggregates"]).index(index).key("of"), &aggregate.of)
        });
        let mut measured: Vec<_> = aggregates.collect();
        let history = [
            self.baseline.as_ref().map(|b| ("baseline", &b.of)),
            self.first_seen.as_ref().map(|f| ("first_seen", &f.of)),
        ];
        for (key, of) in history.into_iter().flatten() {
            measured.extend(maker.value(KeyPath::of(&[key, "of"]), of));
        }
        if self.baseline.is_some() && self.first_seen.is_some() {
            let hint = "make two rules of it";
            problems.push(Problem::key(KeyPath::of(&["first_seen"]), "stands beside `baseline`").hint(hint));
        }
        let (matches, title) = (matches?, title?);
        let matching = Matching { bindings, matches, severities, title, dedup, group, context, measured };
        (problems.len() == before).then(|| Rule {
            id: self.id.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            blind_spots: self.blind_spots.clone(),
            severity: self.severity,
            log_type: self.log_type,
            tags: self.tags.clone(),
            attack: self.mitre.attack.clone(),
            atlas: self.mitre.atlas.clone(),
            references: self.references.clone(),
            runbook: self.runbook.clone(),
            counting: self.counting(),
            fingerprint: self.fingerprint(),
            demand: demand(&matching),
            matching,
        })
    }

    fn counting(&self) -> Counting {
        let aggregate = |file: &AggregateFile| Aggregate { function: file.function, at_least: file.at_least };
        let baseline = self.baseline.as_ref().map(|baseline| History::Baseline {
            deviations: baseline.deviations,
            at_least: baseline.at_least,
            at_least_medians: baseline.at_least_medians,
            min_samples: baseline.min_samples,
            window: baseline.window,
        });
        let first = self
            .first_seen
            .as_ref()
            .map(|first| History::FirstSeen { min_samples: first.min_samples, window: first.window });
        Counting {
            threshold: self.threshold,
            window: self.window,
            dedup_period: self.dedup_period,
            aggregates: self.aggregates.iter().map(aggregate).collect(),
            history: baseline.or(first),
        }
    }

    /// A hash of what stored counts depend on.
    fn fingerprint(&self) -> u64 {
        let measured: Vec<_> = self.aggregates.iter().map(|aggregate| (aggregate.function, &aggregate.of)).collect();
        let history = (self.baseline.as_ref().map(|b| &b.of), self.first_seen.as_ref().map(|f| &f.of));
        let parts = format!(
            "{:?}",
            (&self.bindings, &self.matches, &self.group_by, &self.dedup, &self.title, measured, history)
        );
        Sha256::digest(parts.as_bytes()).first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// Makes expressions, and notes what is wrong with them.
struct Maker<'p> {
    problems: &'p mut Vec<Problem>,
    names: Vec<String>,
    has_view: bool,
}

impl Maker<'_> {
    fn dialect(&self, is_question: bool) -> Dialect<'_> {
        Dialect { names: &self.names, is_question, has_view: self.has_view }
    }

    fn note<T>(&mut self, at: KeyPath, made: Result<T, Flaw>) -> Option<T> {
        made.map_err(|flaw| {
            let target = flaw.place.map_or(Target::Value, |(line, column)| Target::Inside(line, column));
            let problem = Problem { target, ..Problem::value(at, flaw.message_alone()) };
            self.problems.push(Problem { hint: flaw.hint, allowed: flaw.allowed, ..problem });
        })
        .ok()
    }

    fn question(&mut self, at: KeyPath, text: &str) -> Option<Expression> {
        let made = Expression::compile_in(text, self.dialect(true));
        self.note(at, made)
    }

    fn value(&mut self, at: KeyPath, text: &str) -> Option<Expression> {
        let made = Expression::compile_in(text, self.dialect(false));
        self.note(at, made)
    }

    fn template(&mut self, key: &str, text: &str) -> Option<Template> {
        let made = Template::compile(text, self.dialect(false));
        self.note(KeyPath::of(&[key]), made)
    }
}

/// What people call a value of a group: the path of a member without what is asked if it is missing, or the expression.
fn group_name(expression: &str) -> String {
    let path = expression.trim();
    let path = path.strip_prefix("view.").or_else(|| path.strip_prefix("event.")).unwrap_or(path);
    let path = match path.rsplit_once(".orValue(") {
        Some((path, otherwise)) if otherwise.find(')') == Some(otherwise.len() - 1) => path,
        _ => path,
    };
    let is_path = |path: &str| path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'?'));
    if is_path(path) { path.replace('?', "") } else { expression.trim().to_owned() }
}

/// What all expressions of a rule need together.
fn demand(matching: &Matching) -> Demand {
    let mut demand = Demand::default();
    let named = matching.bindings.iter().chain(&matching.group).chain(&matching.context).map(|(_, value)| value);
    let severities = matching.severities.iter().map(|(when, _)| when);
    for expression in named.chain(severities).chain(&matching.measured).chain([&matching.matches]) {
        demand.merge(expression.demand());
    }
    matching.title.add_demand(&mut demand);
    if let Some(dedup) = &matching.dedup {
        dedup.add_demand(&mut demand);
    }
    demand
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::trial;

    #[test]
    fn groups_have_names_for_people() {
        let check = |expression: &str, expected: &str| assert_eq!(group_name(expression), expected);
        check("view.identity", "identity");
        check("event.identity.arn", "identity.arn");
        check("is_night", "is_night");
        check("view.?guardrail.?id.orValue('unknown')", "guardrail.id");
        check("event[?'a'].orValue('')", "event[?'a'].orValue('')");
        check("view.a.orValue('') + view.b.orValue('')", "view.a.orValue('') + view.b.orValue('')");
        check("view.model == 'a'", "view.model == 'a'");
    }

    #[test]
    fn managed_rules_pass_their_tests() {
        let mut failed = Vec::new();
        for (file, rule) in managed_rules().unwrap_or_else(|error| panic!("{error}")) {
            for test in &file.tests {
                let at = format!("{}: {}", file.id, test.name);
                let trial = trial::run(&rule, &test.events).unwrap_or_else(|error| panic!("{at}: {error}"));
                if trial.findings.len() as u64 != test.findings || !trial.unevaluated.is_empty() {
                    failed.push((at, trial.findings.len(), trial.unevaluated));
                }
            }
        }
        assert!(failed.is_empty(), "found, and not evaluated: {failed:#?}");
    }
}
