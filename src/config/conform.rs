//! Whether a document has the shape of the file: every misplaced key and wrong value, all at once, with what is allowed and
//! what was likely meant.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::MAX_FAULTS;
use super::document::{KeyPath, Problem, Target};
use super::shape::{Node, Shape};
use super::sinks;
use super::units::{ByteSize, UnitError, parse_duration, shortened};

/// What was found, and what has to be taken out of the document to read the rest of it.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) unusable: Vec<KeyPath>,
}

impl Findings {
    fn unusable(&mut self, problem: Problem) {
        self.unusable.push(problem.path.clone());
        self.problems.push(problem);
    }
}

impl Shape {
    /// Finds everything in `table` that does not have this shape.
    pub(super) fn check(&self, table: &DeTable<'_>) -> Findings {
        let mut findings = Findings::default();
        self.root().check_table(table, &KeyPath::default(), &mut findings);
        findings
    }
}

impl Node<'_> {
    fn check_table(self, table: &DeTable<'_>, path: &KeyPath, findings: &mut Findings) {
        if self.kinds().is_some() {
            return self.check_kinds(table, path, findings);
        }
        for (key, value) in table {
            let below = path.key(key.get_ref());
            match self.child(key.get_ref()) {
                Some(child) => child.check_value(value, &below, findings),
                None => {
                    let problem = self.unknown(key.get_ref(), below, path, findings);
                    findings.unusable(problem);
                }
            }
        }
        let required = self.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for key in required.filter(|key| !table.contains_key(*key)) {
            findings.unusable(self.missing(key, path));
        }
        if table.is_empty() && self.get("minProperties").is_some() {
            findings.problems.push(Problem::key(path.clone(), "is empty").allowed("at least one table below it"));
        }
    }

    /// A table that holds one of several kinds, such as `[source.kinesis]`.
    fn check_kinds(self, table: &DeTable<'_>, path: &KeyPath, findings: &mut Findings) {
        let mut known = Vec::new();
        let mut strangers = Vec::new();
        for (key, value) in table {
            let below = path.key(key.get_ref());
            match self.kind(key.get_ref()) {
                Some(kind) => {
                    known.push((key.span().start, below.clone()));
                    kind.check_value(value, &below, findings);
                }
                None => {
                    strangers.push(below.clone());
                    let problem = self.unknown(key.get_ref(), below, path, findings);
                    findings.problems.push(problem);
                }
            }
        }
        let one = format!("exactly one of {}", self.tables_below(path));
        known.sort_by_key(|(start, _)| *start);
        match known.as_slice() {
            // What is not known stands beside a kind that is: the rest can be read without it.
            [_] => return findings.unusable.append(&mut strangers),
            [(_, first), .., (_, last)] => {
                let message = format!("a second kind of `{path}`, which has `{first}` already");
                findings.problems.push(Problem::key(last.clone(), message).allowed(one));
            }
            [] if strangers.is_empty() => {
                findings.problems.push(Problem::key(path.clone(), "has no kind").allowed(one))
            }
            [] => {}
        }
        findings.unusable.push(path.clone());
    }

    fn missing(self, key: &str, path: &KeyPath) -> Problem {
        let missing = path.key(key);
        let problem = Problem::key(missing.clone(), "missing");
        let Some(child) = self.child(key) else { return problem };
        if child.kinds().is_some() {
            return problem.allowed(format!("exactly one of {}", child.tables_below(&missing)));
        }
        match child.get("additionalProperties").filter(|value| value.is_object()) {
            Some(any) => {
                problem.allowed(format!("at least one of {}", self.at(any).tables_below(&missing.key("NAME"))))
            }
            None => problem.hint(child.purpose()),
        }
    }

    fn unknown(self, key: &str, below: KeyPath, path: &KeyPath, findings: &Findings) -> Problem {
        // What is not shown need not be looked into.
        let detailed = findings.problems.len() < MAX_FAULTS;
        let keys = if detailed { self.keys() } else { Vec::new() };
        let elsewhere = || {
            // What a sink has, a dead letter and a sink of alerts of its kind have as well.
            let mut places = self.places_of(key);
            places.retain(|place| !["dead_letter", "sinks.", "alerts."].iter().any(|part| place.starts_with(part)));
            let sinks = self.places_of(key).iter().any(|place| place.starts_with("sinks."));
            places.extend(sinks.then(|| format!("sinks.NAME.KIND.{key}")));
            places
        };
        let known_by = || sinks::kind_for(key).filter(|kind| self.kind(kind).is_some());
        let hint = match nearest(key, keys.iter().map(String::as_str)).or_else(known_by) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if !detailed => None,
            None => match elsewhere().as_slice() {
                [] => None,
                places => Some(format!("it belongs elsewhere: `{}`", places.join("`, `"))),
            },
        };
        let noun = if self.kinds().is_some() { "kind" } else { "key" };
        let message = if path.is_root() { format!("no {noun} of this name") } else { format!("no {noun} of `{path}`") };
        let allowed = if keys.is_empty() { "none; this table has no keys".to_owned() } else { keys.join(", ") };
        Problem { target: Target::UnknownKey, hint, ..Problem::key(below, message).allowed(allowed) }
    }

    fn check_value(self, value: &Spanned<DeValue<'_>>, path: &KeyPath, findings: &mut Findings) {
        // Values that may be written in several ways are told by their type when the document is read.
        if self.get("type").is_none() && self.kinds().is_none() && self.choices().is_none() {
            return;
        }
        let problem = match value.get_ref() {
            DeValue::Table(table) if self.is_table() => return self.check_table(table, path, findings),
            DeValue::Array(items) if self.is("array") => {
                if let Some(item) = self.get("items") {
                    for (index, value) in items.iter().enumerate() {
                        self.at(item).check_value(value, &path.index(index), findings);
                    }
                }
                (items.is_empty() && self.get("minItems").is_some())
                    .then(|| Problem::value(path.clone(), "is empty").allowed("at least one item"))
            }
            DeValue::String(text) if self.is_text() => self.check_text(text, path),
            DeValue::Boolean(_) if self.is("boolean") => None,
            DeValue::Integer(integer) if self.is("integer") => {
                let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                self.check_integer(number, path)
            }
            DeValue::Integer(number) if self.is("number") => self.check_number(number.as_str(), path),
            DeValue::Float(number) if self.is("number") => self.check_number(number.as_str(), path),
            other => Some(self.wrong_type(other, path)),
        };
        if let Some(problem) = problem {
            findings.unusable(problem);
        }
    }

    fn wrong_type(self, value: &DeValue<'_>, path: &KeyPath) -> Problem {
        let expected = match () {
            () if self.is_table() => "a table".to_owned(),
            () if self.choices().is_some() => "a string".to_owned(),
            () => format!("{} {}", if self.is("array") || self.is("integer") { "an" } else { "a" }, self.type_name()),
        };
        let found = match value {
            DeValue::Table(_) => "a table",
            DeValue::Array(_) => "an array",
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a time",
        };
        let example = self.get("examples").and_then(|examples| examples.get(0));
        let example = example.map(|example| format!(" such as {example}")).unwrap_or_default();
        let problem = Problem::value(path.clone(), format!("expected {expected}{example}, found {found}"));
        if self.kinds().is_some_and(|kinds| kinds.contains_key("env")) {
            let hint = "a secret is never written here: `{ env = \"NAME\" }` or `{ file = \"path\" }`";
            return problem.secret().hint(hint);
        }
        match self.choices().map(|choices| quoted(&choices)).or_else(|| self.bounds()) {
            Some(allowed) => problem.allowed(allowed),
            None => problem,
        }
    }

    fn check_text(self, text: &str, path: &KeyPath) -> Option<Problem> {
        if let Some(choices) = self.choices() {
            if choices.contains(&text) {
                return None;
            }
            let problem = Problem::value(path.clone(), format!("{} is not allowed", shortened(text)));
            let near = nearest(text, choices.iter().copied());
            let problem = match near {
                Some(near) => problem.hint(format!("did you mean {near:?}?")),
                None => problem,
            };
            return Some(problem.allowed(quoted(&choices)));
        }
        let limit = |keyword: &str| self.get(keyword).and_then(Value::as_str);
        if let (Some(min), Some(max)) = (limit("x-minimum"), limit("x-maximum")) {
            let problem = |message: String| Problem::value(path.clone(), message);
            return match outside(text, min, max) {
                Ok(false) => None,
                Ok(true) => {
                    let message = format!("{} is out of range", shortened(text));
                    Some(problem(message).allowed(format!("{min} to {max}")))
                }
                Err(error) => Some(problem(error.to_string())),
            };
        }
        let length = |keyword: &str| self.get(keyword).and_then(Value::as_u64);
        let (min, max) = (length("minLength").unwrap_or(0), length("maxLength").unwrap_or(u64::MAX));
        let count = text.chars().count() as u64;
        (count < min || count > max).then(|| {
            Problem::value(path.clone(), format!("has {count} characters"))
                .allowed(format!("{min} to {max} characters"))
        })
    }

    fn check_number(self, text: &str, path: &KeyPath) -> Option<Problem> {
        let limit = |keyword: &str| self.get(keyword).and_then(Value::as_f64);
        let (min, max) = (limit("minimum").unwrap_or(f64::MIN), limit("maximum").unwrap_or(f64::MAX));
        let inside = text.parse().is_ok_and(|number: f64| (min..=max).contains(&number));
        let problem = || Problem::value(path.clone(), format!("{text} is out of range"));
        (!inside).then(|| problem().allowed(self.bounds().unwrap_or_default()))
    }

    fn check_integer(self, number: Option<i64>, path: &KeyPath) -> Option<Problem> {
        let limit = |keyword: &str| self.get(keyword).and_then(Value::as_i64);
        let (min, max) = (limit("minimum").unwrap_or(i64::MIN), limit("maximum").unwrap_or(i64::MAX));
        match number {
            Some(number) if (min..=max).contains(&number) => None,
            Some(number) => Some(Problem::value(path.clone(), format!("{number} is out of range"))),
            None => Some(Problem::value(path.clone(), "the number is out of range")),
        }
        .map(|problem| problem.allowed(self.bounds().unwrap_or_default()))
    }
}

/// Whether a size or duration is outside of its bounds, which are written as it is.
///
/// # Errors
/// A text that is none.
fn outside(text: &str, min: &str, max: &str) -> Result<bool, UnitError> {
    if let (Ok(min), Ok(max)) = (min.parse::<ByteSize>(), max.parse::<ByteSize>()) {
        let size: ByteSize = text.parse()?;
        return Ok(size < min || size > max);
    }
    let duration = parse_duration(text)?;
    Ok(duration < parse_duration(min)? || duration > parse_duration(max)?)
}

fn quoted(choices: &[&str]) -> String {
    choices.iter().map(|choice| format!("{choice:?}")).collect::<Vec<_>>().join(", ")
}

/// The name that was most likely meant: at most a third of its letters differ, swapped ones counted once.
pub(super) fn nearest<'n>(name: &str, candidates: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // A very long name is near to none, and its distance is costly.
    if name.len() > 64 {
        return None;
    }
    let folded = name.to_ascii_lowercase().replace('-', "_");
    let distances = candidates.map(|candidate| (strsim::damerau_levenshtein(&folded, candidate), candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= (candidate.chars().count() / 3).max(1)).then_some(candidate)
}
