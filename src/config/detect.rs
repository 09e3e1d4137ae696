//! The detect section: which rules are on, and how much of what they see is remembered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{KeyPath, Problem};
use super::rule::{RuleFile, managed_rules};
use super::units::{ByteSize, DurationText, duration, shortened};
use super::{Config, ConfigError, FileSource, MAX_FILE_BYTES, validate};
use crate::detect::Rule;
use crate::detect::choice::{Choice, ChoiceError};
use crate::detect::state::Limits;
use crate::source::file::inputs::{self, Input};

/// Which rules are on, and what they remember.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Detect {
    /// Which of the program's rules are on: ids with `*` (`tap.*`), `tag:NAME`, `severity:LEVEL` (that bad, or worse) and
    /// `all`; a leading `!` takes away. `bedrock-tap rules list` shows them. Default: none. Where no rule is on, nothing
    /// is looked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Files of rules of your own, directories of them (every `.toml` file in them that is not hidden, at any depth) and
    /// globs, relative to the working directory. Each is on by being there; `!` in `rules` takes away from them too.
    /// Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Whether an event says what was found in it, in all formats but `raw`. Default: `true`, so that whoever searches
    /// the events finds them.
    pub findings: bool,
    /// How much later than a younger event of its rule and group an event may come and still count in its window, `0s`
    /// to `1d`. Default: `15m`, about twice what Bedrock and a subscription need on a bad day.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "0s", "x-maximum" = "1d"))]
    pub lateness: Duration,
    /// How many groups are remembered, over all rules together, 1000 to 10000000; beyond it, those that were seen least
    /// recently are forgotten and counted. Default: `1000000`, which is more than any account has callers.
    #[schemars(range(min = 1000, max = 10_000_000))]
    pub max_keys: u64,
    /// The memory for what is remembered, beside `memory_budget`, `1 MiB` to `64 GiB`; what does not fit is forgotten as
    /// with `max_keys`. Default: `256 MiB`, of which most rules need a few.
    #[schemars(extend("x-minimum" = "1 MiB", "x-maximum" = "64 GiB"))]
    pub max_memory: ByteSize,
    /// The least time between two updates of one alert, `1s` to `1d`; the first is sent at once. Default: `5m`, so that
    /// an alert that grows by the second is no flood.
    #[serde(with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "1d"))]
    pub update_every: Duration,
    /// Whether what is remembered outlives the process: windows, baselines, and alerts that were not sent yet are stored
    /// beside the positions, before them, so that a crash loses none and counts nothing twice. With
    /// `[coordination.dynamodb]` they are in the table `<table>-detection`, which is made as the lease table is; a worker
    /// that goes is followed by another, which takes up what it remembered. That costs: each third of `failover_time`, a
    /// write unit for each group that changed, and one more for each KB of it beyond the first. Default: `true`; `false`
    /// stores nothing, and a restart begins anew.
    pub keep_state: bool,
}

impl Default for Detect {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            files: Vec::new(),
            findings: true,
            lateness: Duration::from_secs(900),
            max_keys: 1_000_000,
            max_memory: ByteSize::mib(256),
            update_every: Duration::from_secs(300),
            keep_state: true,
        }
    }
}

/// The rules that are on, and where each of the user's own is from.
#[derive(Clone, Debug, Default)]
pub struct ActiveRules {
    /// The program's that are on, then the user's.
    pub rules: Vec<Arc<Rule>>,
    /// How many of them are the user's.
    pub own: usize,
}

impl Detect {
    /// Whether any rule may be on.
    pub fn is_on(&self) -> bool {
        !self.rules.is_empty() || !self.files.is_empty()
    }

    /// How much is remembered.
    pub fn limits(&self) -> Limits {
        Limits {
            keys: usize::try_from(self.max_keys).unwrap_or(usize::MAX),
            bytes: self.max_memory.as_usize(),
            lateness: self.lateness,
            update_every: self.update_every,
        }
    }

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let at = KeyPath::of(&["detect", "rules"]);
        match (Choice::parse(&self.rules), self.files.is_empty()) {
            (Err(error), _) => problems.push(problem(&at, error)),
            // Whether a pattern fits a rule of a file is known once the files are read.
            (Ok(_), false) => {}
            (Ok(choice), true) if !self.rules.is_empty() => {
                // The program's own tests say that its rules are valid.
                let managed: Vec<_> = managed_rules().unwrap_or_default().into_iter().map(|(_, rule)| rule).collect();
                problems.extend(choice.faults(&managed).into_iter().map(|error| problem(&at, error)));
            }
            (Ok(_), true) => {}
        }
        for (index, file) in self.files.iter().enumerate() {
            let at = KeyPath::of(&["detect", "files"]).index(index);
            if file.is_empty() || file == "-" {
                problems.push(Problem::value(at, "names no file").allowed("a file, a directory or a glob"));
            } else if self.files[..index].contains(file) {
                problems.push(Problem::value(at, format!("{} stands here twice", shortened(file))));
            } else if FileSource::is_glob(file)
                && let Err(message) = validate::glob(file)
            {
                problems.push(Problem::value(at, message));
            }
        }
    }

    /// Reads the files, and chooses the rules that are on.
    ///
    /// # Errors
    /// A file that cannot be read or is no rule, with its faults; two rules of one id; a pattern that fits no rule.
    pub fn load(&self) -> Result<ActiveRules, ConfigError> {
        if !self.is_on() {
            return Ok(ActiveRules::default());
        }
        let managed = managed_rules()?;
        let mut places: BTreeMap<String, String> =
            managed.iter().map(|(file, _)| (file.id.clone(), "the program itself".to_owned())).collect();
        let managed: Vec<_> = managed.into_iter().map(|(_, rule)| rule).collect();
        let mut own = Vec::new();
        for path in self.paths()? {
            let rule = read(&path)?;
            if let Some(other) = places.insert(rule.id.clone(), path.clone()) {
                let message = format!("the id `{}` is that of a rule of {other} too", rule.id);
                return Err(ConfigError::whole(&path, message));
            }
            own.push(rule);
        }
        let refused = |error: ChoiceError| refused("`detect.rules`", &self.rules, error);
        let choice = Choice::parse(&self.rules).map_err(refused)?;
        let all: Vec<_> = managed.iter().chain(&own).cloned().collect();
        if let Some(error) = choice.faults(&all).into_iter().next() {
            return Err(refused(error));
        }
        // A rule of one's own is on unless a pattern takes it away.
        let patterns: Vec<_> = std::iter::once("all".to_owned()).chain(self.rules.iter().cloned()).collect();
        let own = Choice::parse(&patterns).map_err(refused)?.choose(&own);
        let mut rules = choice.choose(&managed);
        let count = own.len();
        rules.extend(own);
        Ok(ActiveRules { rules, own: count })
    }

    /// The paths of the user's own rules.
    fn paths(&self) -> Result<Vec<String>, ConfigError> {
        let mut paths = Vec::new();
        for name in &self.files {
            let whole = |message: String| ConfigError::whole("`detect.files`", message);
            let found = inputs::expand(std::slice::from_ref(name)).map_err(|error| match &error {
                inputs::InputError::Unreadable { source, .. } => whole(format!("{error}: {source}")),
                _ => whole(error.to_string()),
            })?;
            let is_directory = Path::new(name).is_dir();
            if Path::new(name).exists() && !is_directory && !Path::new(name).is_file() {
                return Err(whole(format!("{name} is neither a file nor a directory")));
            }
            let is_rule = |path: &Path| !is_directory || is_rule_in(path, name);
            let found = found.into_iter().filter_map(|input| match input {
                Input::Path(path) if is_rule(&path) => Some(path.display().to_string()),
                _ => None,
            });
            let before = paths.len();
            for path in found {
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
            if let Some(link) = is_directory.then(|| dangling(Path::new(name))).flatten() {
                return Err(whole(format!("{} is a link to nothing", link.display())));
            }
            if is_directory && paths.len() == before {
                return Err(whole(format!("there is no `.toml` file in {name} that is not named before")));
            }
        }
        Ok(paths)
    }
}

/// Whether a file in a directory is a rule. What is hidden is not: editors and volumes keep copies there.
fn is_rule_in(path: &Path, directory: &str) -> bool {
    let below = path.strip_prefix(directory).unwrap_or(path);
    let is_hidden = below.iter().any(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden && path.extension().is_some_and(|extension| extension == "toml")
}

/// A link in a directory that should be a rule, and leads nowhere: without it, the rule would be off and nobody knew.
fn dangling(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?;
    let paths = entries.filter_map(|entry| Some(directory.join(entry.ok()?.file_name())));
    paths.into_iter().find(|path| is_rule_in(path, &directory.to_string_lossy()) && !path.exists())
}

impl Config {
    /// Finds patterns of sinks of alerts that fit none of the rules that are on.
    ///
    /// # Errors
    /// The first of them.
    pub fn check_alerts(&self, active: &ActiveRules) -> Result<(), ConfigError> {
        for (name, sink) in &self.alerts {
            let key = format!("`alerts.{name}.{}.rules`", sink.kind());
            let patterns = &sink.told().rules;
            let refused = |error: ChoiceError| refused(&key, patterns, error);
            let Some(choice) = sink.told().choice().map_err(refused)? else { continue };
            if let Some(error) = choice.faults(&active.rules).into_iter().next() {
                let message = format!("{}, of those that are on", error.message);
                return Err(refused(ChoiceError { message, ..error }));
            }
        }
        Ok(())
    }
}

fn problem(at: &KeyPath, error: ChoiceError) -> Problem {
    Problem { hint: error.hint, ..Problem::value(at.index(error.index), error.message) }
}

/// A pattern that is not valid, where its place is not at hand.
fn refused(key: &str, patterns: &[String], error: ChoiceError) -> ConfigError {
    let pattern = patterns.get(error.index).map(|pattern| shortened(pattern)).unwrap_or_default();
    ConfigError::whole(key, format!("{pattern}: {error}"))
}

fn read(path: &str) -> Result<Arc<Rule>, ConfigError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| ConfigError::whole(path, format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ConfigError::whole(path, format!("is no rule: over {MAX_FILE_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| ConfigError::whole(path, "is not UTF-8".to_owned()))?;
    RuleFile::parse(&text, path).map(|(_, rule)| rule)
}
