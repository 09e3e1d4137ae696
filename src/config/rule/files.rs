//! Rules of the user's own: files, and all files of directories.

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::RuleFile;
use crate::config::error::{ConfigError, Look};
use crate::detect::Rule;
use crate::source::file::inputs::{self, Input};

/// The largest file of a rule. Its tests are the most of it, and those of a hundred events have a tenth of this.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Files of rules that are not valid: all of them.
#[derive(Debug)]
pub struct RuleFilesError(Vec<ConfigError>);

impl std::error::Error for RuleFilesError {}

impl fmt::Display for RuleFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Look::PLAIN))
    }
}

impl RuleFilesError {
    /// The error as text of several lines, without a newline at its end.
    pub fn render(&self, look: Look) -> String {
        self.0.iter().map(|error| error.render(look)).collect::<Vec<_>>().join("\n\n")
    }
}

/// A rule with its file.
type Read = (RuleFile, Arc<Rule>);

/// The rules of the user's own in these files, in directories (every `*.toml` in them, however deep) and in the files that globs match; in
/// the order of their ids, each with its file.
///
/// # Errors
/// Every file that cannot be read or is not valid, every id that comes twice, and every id of the program's own.
pub fn own_rules(paths: &[String]) -> Result<Vec<Read>, RuleFilesError> {
    read_all(paths, false)
}

/// As [`own_rules`], and takes the ids of the program's own: to test them, not to use them.
///
/// # Errors
/// As [`own_rules`].
pub fn rule_files(paths: &[String]) -> Result<Vec<Read>, RuleFilesError> {
    read_all(paths, true)
}

fn read_all(paths: &[String], may_be_managed: bool) -> Result<Vec<Read>, RuleFilesError> {
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    let mut names: HashMap<String, String> = HashMap::new();
    for name in paths.iter().flat_map(|path| files(path, &mut errors)).collect::<Vec<_>>() {
        match read(&name).and_then(|text| RuleFile::parse_of(&text, &name, may_be_managed)) {
            Ok((file, rule)) => match names.get(&file.id.to_ascii_lowercase()) {
                // A file that is named twice, by itself and by its directory, is still one.
                Some(first) if is_same(first, &name) => {}
                Some(first) => errors.push(twice(&file.id, first, &name)),
                None => {
                    names.insert(file.id.to_ascii_lowercase(), name);
                    rules.push((file, rule));
                }
            },
            Err(error) => errors.push(error),
        }
    }
    rules.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    if errors.is_empty() { Ok(rules) } else { Err(RuleFilesError(errors)) }
}

fn twice(id: &str, first: &str, second: &str) -> ConfigError {
    ConfigError::whole(
        second,
        format!("`id`: {id} is the id of the rule in {first}, too; ids are told apart without case"),
    )
}

fn is_same(one: &str, other: &str) -> bool {
    let whole = |path: &str| Path::new(path).canonicalize().ok();
    whole(one).is_some_and(|one| whole(other) == Some(one))
}

/// The names of the files that a path stands for.
fn files(path: &str, errors: &mut Vec<ConfigError>) -> Vec<String> {
    let is_directory = Path::new(path).is_dir();
    let found = match inputs::expand(std::slice::from_ref(&path.to_owned())) {
        Ok(found) => found,
        Err(error) => {
            let message = format!("{:#}", anyhow::Error::new(error));
            errors.push(ConfigError::whole(path, format!("no rules: {message}")));
            return Vec::new();
        }
    };
    let names = found.into_iter().filter_map(|input| match input {
        Input::Path(file) => {
            let is_rule = !is_directory || file.extension().is_some_and(|extension| extension == "toml");
            is_rule.then(|| file.display().to_string())
        }
        Input::Stdin => Some("/dev/stdin".to_owned()),
    });
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        errors.push(ConfigError::whole(path, "no rules: there is no *.toml in this directory".to_owned()));
    }
    names
}

fn read(name: &str) -> Result<String, ConfigError> {
    let mut bytes = Vec::new();
    std::fs::File::open(name)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| ConfigError::whole(name, format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ConfigError::whole(name, format!("is no rule: over {MAX_FILE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| ConfigError::whole(name, "is not UTF-8".to_owned()))
}
