//! The inputs that a list of paths, globs and directories stands for.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// The name of standard input.
const STDIN: &str = "-";

/// Directories nested deeper than this are a loop or a mistake.
const MAX_DEPTH: usize = 64;

/// Something to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file, a pipe or a device, as the user named it.
    Path(PathBuf),
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// An input that is not there or cannot be read; said before anything starts.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// There is no such file.
    #[error("cannot read {path}")]
    Unreadable {
        /// The path as the user named it.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No file matches.
    #[error("no file matches {pattern}")]
    NoMatch {
        /// The pattern as the user wrote it.
        pattern: String,
    },
    /// A directory without a file.
    #[error("there is no file in {path}")]
    Empty {
        /// The directory as the user named it.
        path: String,
    },
    /// The pattern is no glob.
    #[error("{pattern} is neither a file nor a pattern")]
    Pattern {
        /// The pattern as the user wrote it.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: globset::Error,
    },
    /// Nothing was named.
    #[error("no input is named; name files, directories, patterns, or - for standard input")]
    Nothing,
}

/// The inputs that `names` stand for: `-`, files, directories (with all below, links to directories left out) and globs
/// (`*`, `?`, `[a-z]`, `{a,b}`, `**` over directories). In the order of the names, each name's in the order of their
/// paths, each once.
///
/// # Errors
/// [`InputError`]: the first name that stands for nothing that can be read.
pub fn expand(names: &[String]) -> Result<Vec<Input>, InputError> {
    let (mut inputs, mut seen) = (Vec::new(), BTreeSet::new());
    for name in names {
        if name == STDIN {
            if seen.insert(PathBuf::from(STDIN)) {
                inputs.push(Input::Stdin);
            }
            continue;
        }
        for path in paths(name)? {
            let absolute = std::path::absolute(&path).map_err(|source| unreadable(&path, source))?;
            if seen.insert(absolute) {
                inputs.push(Input::Path(path));
            }
        }
    }
    if inputs.is_empty() { Err(InputError::Nothing) } else { Ok(inputs) }
}

fn paths(name: &str) -> Result<Vec<PathBuf>, InputError> {
    let path = Path::new(name);
    let mut found = Vec::new();
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            walk(path, None, MAX_DEPTH, &mut found)?;
            if found.is_empty() {
                return Err(InputError::Empty { path: name.to_owned() });
            }
        }
        Ok(metadata) => {
            // A pipe is opened once only: its writer would see it closed.
            if metadata.is_file() {
                std::fs::File::open(path).map_err(|source| unreadable(path, source))?;
            }
            found.push(path.to_path_buf());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && name.contains(['*', '?', '[', '{']) => {
            let glob = GlobBuilder::new(name).literal_separator(true).build();
            let glob = glob.map_err(|source| InputError::Pattern { pattern: name.to_owned(), source })?;
            walk(&literal_start(path), Some(&glob.compile_matcher()), MAX_DEPTH, &mut found)?;
            if found.is_empty() {
                return Err(InputError::NoMatch { pattern: name.to_owned() });
            }
        }
        Err(source) => return Err(unreadable(path, source)),
    }
    found.sort();
    Ok(found)
}

/// The directories of a pattern before its first wildcard.
fn literal_start(pattern: &Path) -> PathBuf {
    let is_literal =
        |component: &Component<'_>| !component.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[{".contains(byte));
    pattern.components().take_while(is_literal).collect()
}

/// Adds the files below a directory, or those whose path matches. A directory that matches is taken with all below.
fn walk(
    directory: &Path,
    glob: Option<&GlobMatcher>,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), InputError> {
    let Some(depth) = depth.checked_sub(1) else {
        let source = io::Error::other("directories are nested too deep");
        return Err(unreadable(directory, source));
    };
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = match std::fs::read_dir(here) {
        // The directories before the wildcards may be missing: then nothing matches.
        Err(error) if glob.is_some() && error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| unreadable(here, source))?,
    };
    for entry in entries {
        let entry = entry.map_err(|source| unreadable(here, source))?;
        let path = directory.join(entry.file_name());
        let kind = entry.file_type().map_err(|source| unreadable(&path, source))?;
        let matches = glob.is_none_or(|glob| glob.is_match(&path));
        if kind.is_dir() {
            walk(&path, glob.filter(|_| !matches), depth, found)?;
        } else if matches && (kind.is_file() || kind.is_symlink() && path.is_file()) {
            found.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, source: io::Error) -> InputError {
    InputError::Unreadable { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_files_in_order_each_once() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["b/2.gz", "b/1.gz", "b/c/3.gz", "b/c/4.json", "a[1].json", "z"] {
            let path = directory.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::create_dir(directory.path().join("empty")).unwrap();
        let root = directory.path().display().to_string();
        let check = |names: &[&str], expected: Result<&[&str], &str>| {
            let names: Vec<String> = names.iter().map(|name| name.replace('~', &root)).collect();
            let found = expand(&names).map_err(|error| error.to_string().replace(&root, "~"));
            let found = found.map(|inputs| {
                let name = |input| match input {
                    Input::Stdin => "-".to_owned(),
                    Input::Path(path) => path.display().to_string().replace(&root, "~"),
                };
                inputs.into_iter().map(name).collect::<Vec<_>>()
            });
            assert_eq!(found, expected.map(|all| all.iter().map(|s| (*s).to_owned()).collect()).map_err(str::to_owned));
        };
        check(&["~/b"], Ok(&["~/b/1.gz", "~/b/2.gz", "~/b/c/3.gz", "~/b/c/4.json"]));
        check(&["~/z", "-", "~/b/*.gz", "~/b/1.gz", "-"], Ok(&["~/z", "-", "~/b/1.gz", "~/b/2.gz"]));
        check(&["~/**/*.gz"], Ok(&["~/b/1.gz", "~/b/2.gz", "~/b/c/3.gz"]));
        check(&["~/{b/c,x}/*"], Ok(&["~/b/c/3.gz", "~/b/c/4.json"]));
        check(&["~/b/?"], Ok(&["~/b/c/3.gz", "~/b/c/4.json"]));
        check(&["~/a[1].json"], Ok(&["~/a[1].json"]));
        check(&["~/missing"], Err("cannot read ~/missing"));
        check(&["~/missing/*.gz"], Err("no file matches ~/missing/*.gz"));
        check(&["~/empty"], Err("there is no file in ~/empty"));
        check(&["~/[z-a]"], Err("~/[z-a] is neither a file nor a pattern"));
        check(&[], Err("no input is named; name files, directories, patterns, or - for standard input"));
    }
}
