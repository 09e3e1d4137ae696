//! Destinations against each other: no two parts write to one file, and none writes into what it reads.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;

use super::coordination::POSITIONS_FILE;
use super::document::{KeyPath, Problem};
use super::{Compression, Config, DeadLetter, FileSource, Sink, Source};

/// A place that lines are written to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Stdout,
    File(PathBuf),
}

/// Finds destinations that are not usable, by themselves or together.
pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    let mut taken: BTreeMap<Place, String> = BTreeMap::new();
    let mut names: BTreeMap<String, &str> = BTreeMap::new();
    for (name, sink) in &config.sinks {
        let at = KeyPath::of(&["sinks", name]);
        check_name(name, &at, &mut names, problems);
        let (at, path) = match sink {
            Sink::Stdout(_) => (at.key("stdout"), None),
            Sink::File(sink) => (at.key("file").key("path"), Some(written(&sink.path, sink.compression))),
        };
        check_place(at, path.as_deref(), config, &mut taken, problems);
    }
    let at = KeyPath::of(&["dead_letter"]);
    match &config.dead_letter {
        Some(DeadLetter::Stdout(_)) => check_place(at.key("stdout"), None, config, &mut taken, problems),
        Some(DeadLetter::File(file)) => {
            let path = written(&file.path, file.compression);
            check_place(at.key("file").key("path"), Some(&path), config, &mut taken, problems);
        }
        None => check_default_dead_letter(config, &taken, problems),
    }
}

/// Checks a sink's name, which becomes part of metrics and of the names of environment variables.
fn check_name<'c>(name: &'c str, at: &KeyPath, names: &mut BTreeMap<String, &'c str>, problems: &mut Vec<Problem>) {
    let parts = name
        .split(['-', '_'])
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    if !parts || name.len() > 64 || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        let allowed = "1 to 64 lower-case letters and digits, with single `-` and `_` between them, a letter first";
        problems.push(Problem::key(at.clone(), "the sink's name is not valid").allowed(allowed));
    } else if let Some(other) = names.insert(name.replace('-', "_"), name) {
        let message =
            format!("differs from `{other}` by `-` and `_` alone, so an environment variable could mean either");
        problems.push(Problem::key(at.clone(), message));
    }
}

fn check_place(
    at: KeyPath,
    path: Option<&Path>,
    config: &Config,
    taken: &mut BTreeMap<Place, String>,
    problems: &mut Vec<Problem>,
) {
    let problem = |message: String| match path {
        Some(_) => Problem::value(at.clone(), message),
        None => Problem::key(at.clone(), message),
    };
    if let Some(path) = path {
        let text = path.to_string_lossy();
        if text == "-" {
            problems.push(problem("names no file".into()).hint("standard output is a kind of its own: `stdout`"));
            return;
        }
        if text.is_empty() || text.ends_with('/') || path.file_name().is_none() {
            problems.push(problem("names no file".into()).allowed("a path that ends in a file's name"));
            return;
        }
        let directory = config.coordination.directory();
        if directory.is_some_and(|directory| normal(path) == normal(directory)) {
            problems.push(problem("is the directory of the positions".into()).allowed("a file, which may be in it"));
        } else if directory.is_some_and(|directory| normal(path) == normal(&directory.join(POSITIONS_FILE))) {
            problems.push(problem("is the file of the positions".into()).allowed("another file"));
        }
        if let Source::File(source) = &config.source
            && let Some(read) = source.paths.iter().find(|pattern| reads(pattern, path))
        {
            let message = format!("is read by the source too, through {read:?}, so it would be fed to itself");
            problems.push(problem(message));
        }
    }
    let place = path.map_or(Place::Stdout, |path| Place::File(normal(path)));
    match taken.get(&place) {
        Some(other) if path.is_some() => problems.push(problem(format!("`{other}` writes to this file already"))),
        Some(other) => {
            let message = format!("`{other}` writes to standard output already, and their lines would be mixed");
            problems.push(problem(message));
        }
        None => drop(taken.insert(place, at.to_string())),
    }
}

fn check_default_dead_letter(config: &Config, taken: &BTreeMap<Place, String>, problems: &mut Vec<Problem>) {
    let at = KeyPath::of(&["dead_letter"]);
    // A file that cannot be read was taken out, and has its own fault.
    if problems.iter().any(|problem| problem.path.is_below(&at)) {
        return;
    }
    if config.coordination.directory().is_none() {
        let message = "missing: [coordination.dynamodb] has no directory that a default file could be in";
        let hint = "a file on a disk that outlives the worker, and no other worker's: the disk of most containers goes \
            with them";
        let allowed = "exactly one of [dead_letter.file], [dead_letter.stdout]";
        problems.push(Problem::key(at, message).hint(hint).allowed(allowed));
        return;
    }
    let DeadLetter::File(file) = config.dead_letter() else { return };
    if let Some(other) = taken.get(&Place::File(normal(&file.path))) {
        let message = format!("rejects go to {} by default, and `{other}` writes to it", file.path.display());
        problems.push(Problem::key(at, message).hint("set [dead_letter.file] path"));
    }
}

/// Whether the source's path or pattern takes `path`, as far as names tell.
fn reads(pattern: &str, path: &Path) -> bool {
    if FileSource::is_glob(pattern) {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        return glob.is_ok_and(|glob| glob.compile_matcher().is_match(normal(path)));
    }
    // A relative path and an absolute one cannot be compared without asking the file system.
    let comparable = Path::new(pattern).is_absolute() == path.is_absolute();
    pattern != "-" && comparable && normal(path).starts_with(normal(Path::new(pattern)))
}

/// The file that is written for a path: a compressed one has its ending.
fn written(path: &Path, compression: Compression) -> PathBuf {
    // What names no file is refused as it stands.
    let no_file = path.file_name().is_none() || path == Path::new("-") || path.to_string_lossy().ends_with('/');
    let named = path.extension().is_some_and(|extension| extension == "gz");
    if compression == Compression::None || named || no_file {
        return path.to_owned();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

/// The path without `.`, and without `..` where a name stands before it; links are not followed, which would touch the
/// outside.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if normal.file_name().is_some() => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}
