//! Destinations against each other: no two parts write to one file, and none writes into what it reads.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;

use super::conform::nearest;
use super::coordination::POSITIONS_FILE;
use super::document::{KeyPath, Problem};
use super::sinks::Destination as _;
use super::{AlertSink, Compression, Config, DeadLetter, FileSource, Kinesis, S3, Sink, Source, Stdout};
use crate::metrics::emf::Target;

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
        let at = at.key(sink.kind());
        sink.check(&at, problems);
        if let Sink::Kinesis(sink) = sink {
            check_stream(&sink.to, &at, config, problems);
        }
        if let Sink::S3(sink) = sink {
            check_bucket(&sink.to, &at, config, problems);
        }
        check_place(at, sink.kind(), sink.path(), config, &mut taken, problems);
        check_reference(name, sink, config, problems);
        if let Sink::S3(s3) = sink {
            check_objects(name, &s3.to, config, problems);
        }
    }
    for (name, letter) in &config.dead_letters {
        let at = KeyPath::of(&["dead_letters", name]);
        check_name(name, &at, &mut names, problems);
        if name == DEFAULT {
            let hint = "choose another; all sinks go there unless they name one";
            problems.push(Problem::key(at.clone(), "is the name of [dead_letter]").hint(hint));
        }
        check_dead_letter(&at, letter, config, &mut taken, problems);
    }
    for (name, sink) in &config.alerts {
        check_alerts(name, sink, &mut names, config, &mut taken, problems);
    }
    match &config.dead_letter {
        Some(letter) => check_dead_letter(&KeyPath::of(&["dead_letter"]), letter, config, &mut taken, problems),
        None => check_default_dead_letter(config, &taken, problems),
    }
    check_metrics(config, &taken, problems);
}

/// Checks that lines of metrics do not go among a sink's.
fn check_metrics(config: &Config, taken: &BTreeMap<Place, String>, problems: &mut Vec<Problem>) {
    let is_here = config.metrics.emf.as_ref().is_some_and(|emf| emf.target() == Some(Target::Stdout));
    if let Some(other) = taken.get(&Place::Stdout).filter(|_| is_here) {
        let message = format!("`{other}` writes to standard output, and whoever reads its lines would read these too");
        let at = KeyPath::of(&["metrics", "emf", "target"]);
        problems.push(Problem::value(at, message).hint("set `target = \"stderr\"`; log drivers take both"));
    }
}

/// Finds what asks AWS in a Region that nothing names: neither the configuration, nor the AWS configuration that
/// `has_region` knows of, by the profile.
pub(super) fn check_regions(config: &Config, has_region: &dyn Fn(Option<&str>) -> bool, problems: &mut Vec<Problem>) {
    let sinks = config.sinks.iter().map(|(name, sink)| {
        let at = KeyPath::of(&["sinks", name]).key(sink.kind());
        (at, sink.without_region())
    });
    let alerts = config.alerts.iter().map(|(name, sink)| {
        let at = KeyPath::of(&["alerts", name]).key(sink.kind());
        (at, sink.without_region())
    });
    let letters = config.dead_letters.iter().map(|(name, letter)| (KeyPath::of(&["dead_letters", name]), letter));
    let letters = config.dead_letter.iter().map(|letter| (KeyPath::of(&["dead_letter"]), letter)).chain(letters);
    let letters = letters.map(|(at, letter)| (at.key(letter.kind()), letter.without_region()));
    for (at, without) in sinks.chain(alerts).chain(letters) {
        let Some(without) = without.filter(|without| !has_region(without.profile)) else { continue };
        let at = without.below.iter().fold(at, |at, key| at.key(key)).key("region");
        // One that cannot be read was taken out, and has its own fault.
        if problems.iter().any(|problem| problem.path.is_below(&at)) {
            continue;
        }
        let named =
            without.profile.map_or_else(|| "the AWS profile".to_owned(), |name| format!("the profile {name:?}"));
        let message = format!("missing: neither `AWS_REGION` nor {named} names one here");
        let hint = "write it here, or set AWS_REGION where this runs and where it is checked";
        problems.push(Problem::key(at, message).hint(hint).allowed("such as \"eu-central-1\""));
    }
}

/// The name of the default dead letter among the sinks.
pub(super) const DEFAULT: &str = "dead_letter";

/// Checks that no sink before this one writes objects of the same names, which hold what was read and not who wrote it.
fn check_objects(name: &str, s3: &S3, config: &Config, problems: &mut Vec<Problem>) {
    let is_same = |other: &Sink| matches!(other, Sink::S3(other) if other.to.place() == s3.place());
    let mut before = config.sinks.iter().take_while(|(other, _)| *other != name);
    if let Some((other, _)) = before.find(|(_, other)| is_same(other)) {
        let at = KeyPath::of(&["sinks", name, "s3", "prefix"]);
        let message = format!("`sinks.{other}.s3` writes objects with this prefix, and would overwrite them");
        problems.push(Problem::value(at, message).hint("give each a prefix of its own"));
    }
}

fn check_dead_letter(
    at: &KeyPath,
    letter: &DeadLetter,
    config: &Config,
    taken: &mut BTreeMap<Place, String>,
    problems: &mut Vec<Problem>,
) {
    let at = at.key(letter.kind());
    letter.check(&at, problems);
    if let DeadLetter::Kinesis(stream) = letter {
        check_stream(stream, &at, config, problems);
    }
    if let DeadLetter::S3(letter) = letter {
        check_bucket(letter, &at, config, problems);
        let is_same = |sink: &Sink| matches!(sink, Sink::S3(sink) if sink.to.place() == letter.place());
        if let Some((name, _)) = config.sinks.iter().find(|(_, sink)| is_same(sink)) {
            let message =
                format!("`sinks.{name}.s3` writes objects with this prefix, and rejects would stand among them");
            problems.push(
                Problem::value(at.key("prefix"), message).hint("give it a prefix of its own, such as \"rejects/\""),
            );
        }
    }
    check_place(at, letter.kind(), letter.path(), config, taken, problems);
}

/// Finds what is wrong with a sink of alerts, by itself or beside the others. Its name is one of a sink: logs and metrics
/// have both.
fn check_alerts<'c>(
    name: &'c str,
    sink: &AlertSink,
    names: &mut BTreeMap<String, &'c str>,
    config: &Config,
    taken: &mut BTreeMap<Place, String>,
    problems: &mut Vec<Problem>,
) {
    let at = KeyPath::of(&["alerts", name]);
    if config.sinks.contains_key(name) || config.dead_letters.contains_key(name) || name == DEFAULT {
        let message = "is the name of another sink, and the log would not tell which is meant";
        problems.push(Problem::key(at.clone(), message).hint(format!("choose another, such as `{name}-alerts`")));
    } else {
        check_name(name, &at, names, problems);
    }
    if !config.detect.is_on() {
        let hint = "say which rules are on: `[detect]` with `rules = [\"tap.*\"]`, or `files`";
        problems.push(Problem::key(at.clone(), "no rule is on, so there is no alert to send").hint(hint));
    }
    let at = at.key(sink.kind());
    sink.check(&at, problems);
    match sink {
        AlertSink::Kinesis(stream) => check_stream(&stream.to, &at, config, problems),
        AlertSink::S3(objects) => {
            check_bucket(&objects.to, &at, config, problems);
            check_alert_objects(&at, name, &objects.to, config, problems);
        }
        _ => {}
    }
    check_place(at, sink.kind(), sink.path(), config, taken, problems);
}

/// Checks that alerts do not stand among the objects of somebody else.
fn check_alert_objects(at: &KeyPath, name: &str, s3: &S3, config: &Config, problems: &mut Vec<Problem>) {
    let sinks = config.sinks.iter().filter_map(|(name, sink)| match sink {
        Sink::S3(sink) => Some((format!("sinks.{name}.s3"), &sink.to)),
        _ => None,
    });
    let alerts = config.alerts.iter().take_while(|(other, _)| *other != name).filter_map(|(name, sink)| match sink {
        AlertSink::S3(sink) => Some((format!("alerts.{name}.s3"), &sink.to)),
        _ => None,
    });
    if let Some((other, _)) = sinks.chain(alerts).find(|(_, other)| other.place() == s3.place()) {
        let message = format!("`{other}` writes objects with this prefix, and alerts would stand among them");
        let hint = "give it a prefix of its own, such as \"alerts/\"";
        problems.push(Problem::value(at.key("prefix"), message).hint(hint));
    }
}

/// Checks that the dead letter that a sink names exists.
fn check_reference(name: &str, sink: &Sink, config: &Config, problems: &mut Vec<Problem>) {
    let Some(letter) = sink.events().dead_letter.as_ref().filter(|letter| !config.dead_letters.contains_key(*letter))
    else {
        return;
    };
    // One that cannot be read was taken out, and has its own fault.
    if problems.iter().any(|problem| problem.path.is_below(&KeyPath::of(&["dead_letters", letter]))) {
        return;
    }
    let at = KeyPath::of(&["sinks", name, sink.kind(), "dead_letter"]);
    let mut problem = Problem::value(at, format!("there is no [dead_letters.{letter}]"));
    if let Some(near) = nearest(letter, config.dead_letters.keys().map(String::as_str)) {
        problem = problem.hint(format!("did you mean {near:?}?"));
    }
    let names: Vec<String> = config.dead_letters.keys().map(|name| format!("[dead_letters.{name}]")).collect();
    let none = "none; leave it out for [dead_letter]".to_owned();
    problems.push(problem.allowed(if names.is_empty() { none } else { names.join(", ") }));
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

/// Checks that nothing is written into a stream that is read.
fn check_stream(stream: &Kinesis, at: &KeyPath, config: &Config, problems: &mut Vec<Problem>) {
    if let Source::Kinesis(source) = &config.source
        && stream.is_read_by(source)
    {
        let message = "is read by the source too, as far as their names tell, so it would be fed to itself";
        let hint = "if it is another, give both as ARNs, or each its own `region` or `endpoint_url`";
        problems.push(Problem::value(at.key("stream"), message).hint(hint));
    }
}

/// Checks that nothing is written where objects are read from.
fn check_bucket(objects: &S3, at: &KeyPath, config: &Config, problems: &mut Vec<Problem>) {
    if let Source::S3(source) = &config.source
        && source.reads(objects)
    {
        let message = "is read by the source too, as far as names tell, so it would be fed to itself";
        let hint = "leave it out by `source.s3.exclude`, or name the buckets that are read in `source.s3.buckets`";
        problems.push(Problem::value(at.key("prefix"), message).hint(hint));
    }
}

fn check_place(
    at: KeyPath,
    kind: &str,
    file: Option<(&Path, Compression)>,
    config: &Config,
    taken: &mut BTreeMap<Place, String>,
    problems: &mut Vec<Problem>,
) {
    let at = if file.is_some() { at.key("path") } else { at };
    let path = file.map(|(path, compression)| written(path, compression));
    let path = path.as_deref();
    if path.is_none() && kind != Stdout::KIND {
        return;
    }
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
        let hint = "a bucket, a queue or a stream; or a file on a disk that outlives the worker, and no other worker's: \
            the disk of most containers goes with them";
        let allowed = "exactly one of [dead_letter.file], [dead_letter.s3] and the like: any kind of a sink but `null`";
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
