//! What is wrong with a rule's file although each value by itself has the right shape, its expressions aside.

use super::RuleFile;
use crate::config::document::{KeyPath, Problem};

/// How the ids of the program's own rules begin.
const MANAGED: [&str; 2] = ["tap.", "panther."];

/// Words of CEL, which cannot be names. Source: the CEL language definition, "Syntax".
const WORDS: &[&str] = &[
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Names that mean something else already: the variables and the types.
const TAKEN: &[&str] =
    &["event", "view", "bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

/// The longest name of a value.
const MAX_NAME: usize = 64;

impl RuleFile {
    /// Finds what is wrong; `is_managed` says whether the id may be one of the program's own.
    pub(super) fn check(&self, is_managed: bool, problems: &mut Vec<Problem>) {
        self.check_id(is_managed, problems);
        self.check_texts(problems);
        self.check_names(problems);
        let limits = [
            ("aggregates", self.aggregates.iter().map(|aggregate| aggregate.at_least).collect::<Vec<_>>()),
            ("baseline", self.baseline.iter().flat_map(|b| [b.at_least, b.at_least_medians]).collect()),
        ];
        for (key, numbers) in limits {
            if numbers.iter().any(|number| !number.is_finite()) {
                problems.push(Problem::value(KeyPath::of(&[key]), "has a number that nothing is compared with"));
            }
        }
        if self.tests.iter().any(|test| test.findings == 0 && expects_a_finding(test)) {
            let hint = "title, severity and dedup are those of the first finding";
            let problem =
                Problem::key(KeyPath::of(&["tests"]), "a test expects something of a finding, and no finding");
            problems.push(problem.hint(hint));
        }
    }

    fn check_id(&self, is_managed: bool, problems: &mut Vec<Problem>) {
        let at = || KeyPath::of(&["id"]);
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        let shape = "a prefix, a dot and a name, of letters, digits, `-`, `_` and dots, such as `acme.night-shift`";
        if self.id.is_empty() {
            // Its length was told.
        } else if !self.id.contains('.') || !self.id.split('.').all(is_part) {
            problems.push(Problem::value(at(), format!("{:?} is no id", self.id)).allowed(shape));
        } else if let Some(prefix) = MANAGED.iter().find(|prefix| !is_managed && starts_with(&self.id, prefix)) {
            let name = &self.id[prefix.len()..];
            let message = format!("`{prefix}` is for the rules that come with the program");
            let hint =
                format!("write a prefix of your own, such as `acme.{name}`; a managed rule is switched off by `!`");
            problems.push(Problem::value(at(), message).hint(hint));
        }
    }

    /// Texts in lists, which have no length in their shape.
    fn check_texts(&self, problems: &mut Vec<Problem>) {
        let Self { tags, references, group_by, mitre, .. } = self;
        let lists: [(&[&str], &[String]); 5] = [
            (&["tags"], tags),
            (&["references"], references),
            (&["group_by"], group_by),
            (&["mitre", "attack"], &mitre.attack),
            (&["mitre", "atlas"], &mitre.atlas),
        ];
        for (keys, texts) in lists {
            for (index, _) in texts.iter().enumerate().filter(|(_, text)| text.trim().is_empty()) {
                problems.push(Problem::value(KeyPath::of(keys).index(index), "is empty"));
            }
        }
        let attack = "a tactic and a technique, such as `TA0040:T1496.004`";
        let atlas = "a technique, such as `AML.T0051`";
        let names =
            mitre.attack.iter().enumerate().map(|(index, name)| ("attack", index, name, is_attack(name), attack));
        let atlas = mitre.atlas.iter().enumerate().map(|(index, name)| ("atlas", index, name, is_atlas(name), atlas));
        for (key, index, name, is_one, shape) in names.chain(atlas) {
            if !is_one && !name.trim().is_empty() {
                let at = KeyPath::of(&["mitre", key]).index(index);
                problems.push(Problem::value(at, format!("{name:?} is none of MITRE's names")).allowed(shape));
            }
        }
    }

    /// The names of values and of what stands in the context.
    fn check_names(&self, problems: &mut Vec<Problem>) {
        for (key, bindings) in [("let", &self.bindings), ("context", &self.context)] {
            for (index, binding) in bindings.iter().enumerate() {
                let name = binding.name.as_str();
                let is_twice = bindings[..index].iter().any(|before| before.name == name);
                let shape = format!("1 to {MAX_NAME} letters, digits and `_`, with no digit first");
                let fault = match () {
                    () if !is_name(name) => Some((format!("{name:?} is no name"), Some(shape))),
                    () if is_twice => Some((format!("the name `{name}` is there twice"), None)),
                    () if key == "context" => None,
                    () if WORDS.contains(&name) => Some((format!("`{name}` is a word of CEL"), None)),
                    () if TAKEN.contains(&name) => Some((format!("the name `{name}` is taken"), None)),
                    () => None,
                };
                if let Some((message, allowed)) = fault {
                    let at = KeyPath::of(&[key]).index(index).key("name");
                    problems.push(Problem { allowed, ..Problem::value(at, message) });
                }
            }
        }
    }
}

fn expects_a_finding(test: &super::RuleTest) -> bool {
    test.title.is_some() || test.severity.is_some() || test.dedup.is_some()
}

fn starts_with(id: &str, prefix: &str) -> bool {
    id.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_name(text: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().next().is_some_and(is_letter)
        && text.bytes().all(|b| is_letter(b) || b.is_ascii_digit())
}

/// `TA0040:T1496.004`, or one of the two.
fn is_attack(text: &str) -> bool {
    text.split(':').all(|part| {
        part.strip_prefix("TA").is_some_and(|number| is_number(number, 4))
            || part.strip_prefix('T').is_some_and(is_technique)
    })
}

/// `AML.T0051` or `AML.T0051.000`, with a tactic before it or without.
fn is_atlas(text: &str) -> bool {
    text.split(':').all(|part| {
        let part = part.strip_prefix("AML.").unwrap_or_default();
        part.strip_prefix("TA").is_some_and(|number| is_number(number, 4))
            || part.strip_prefix('T').is_some_and(is_technique)
    })
}

fn is_technique(text: &str) -> bool {
    match text.split_once('.') {
        Some((technique, part)) => is_number(technique, 4) && is_number(part, 3),
        None => is_number(text, 4),
    }
}

fn is_number(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())
}
