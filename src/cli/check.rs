//! `bedrock-tap check`: validates a configuration without touching the network, and says what it would run.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use terminal_size::{Height, Width, terminal_size_of};

use super::UsageError;
use crate::aws::region;
use crate::config::{
    self, ActiveRules, AlertSink, AssumeRole, Config, ConfigError, Coordination, DynamodbCoordination, Environment,
    KinesisSource, Look, Mode, Redact, RedactedBodies, Select, Source, Taken, fold, units::format_duration,
};
use crate::detect::Severity;

/// The flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// A configuration that is not valid, as [`UsageError`]; standard output that cannot be written.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let config = Config::load_where(&args.config, &region::is_known).map_err(shown)?;
    let active =
        config.detect.load().and_then(|active| config.check_alerts(&active).map(|()| active)).map_err(shown)?;
    let stdout = io::stdout();
    let width = if stdout.is_terminal() { columns(terminal_size_of(&stdout)) } else { usize::MAX };
    let text = summary(&config, &active, &Environment::of_process(), width);
    match stdout.lock().write_all(text.as_bytes()) {
        // Whoever closed the pipe has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Reads a configuration file; an error is shown as the terminal can show it.
///
/// # Errors
/// A file that cannot be read or is not valid.
pub(crate) fn load(path: &Path) -> Result<Config, UsageError> {
    Config::load(path).map_err(shown)
}

/// An error as the terminal can show it.
fn shown(error: ConfigError) -> UsageError {
    UsageError(error.render(terminal()))
}

/// The same for an error that may be one of a rule's file.
pub(super) fn usage(error: anyhow::Error) -> anyhow::Error {
    error.downcast::<ConfigError>().map_or_else(|error| error, |error| shown(error).into())
}

/// The columns that errors are folded to on a wide terminal: longer lines are hard to read.
const MAX_WIDTH: u16 = 100;

/// How errors look on standard error: coloured on a terminal, unless `NO_COLOR` is set and not empty.
pub(crate) fn terminal() -> Look {
    let stderr = io::stderr();
    if !stderr.is_terminal() {
        return Look::PLAIN;
    }
    look_of(&stderr)
}

/// How text looks on a terminal: folded to its width, coloured unless `NO_COLOR` is set and not empty.
pub(super) fn look_of(terminal: &impl std::os::fd::AsFd) -> Look {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    Look { width: columns(terminal_size_of(terminal)), colours: !unwanted && !dumb }
}

/// The columns that text on a terminal is folded to.
fn columns(size: Option<(Width, Height)>) -> usize {
    usize::from(size.map_or(MAX_WIDTH, |(width, _)| width.0.min(MAX_WIDTH)))
}

/// The column at which what is said of a part begins.
const INDENT: usize = 13;

/// One line a part of what would run, folded to `width`.
fn summary(config: &Config, active: &ActiveRules, environment: &Environment, width: usize) -> String {
    let mut lines: Vec<_> = sources(&config.source).into_iter().map(|text| ("source", text)).collect();
    lines.extend(bodies(config).map(|text| ("bodies", text)));
    lines.extend(selection(&config.select).map(|text| ("select", text)));
    lines.extend(detection(config, active).map(|text| ("detect", text)));
    lines.extend(config.redact.iter().map(|(name, policy)| ("redact", format!("{name}: {}", redaction(policy)))));
    for (name, sink) in &config.sinks {
        lines.push(("sink", format!("{name}: {}{}", sink.describe(), taken(sink.events()))));
    }
    lines.extend(
        config.alerts.iter().map(|(name, sink)| ("alerts", format!("{name}: {}{}", sink.describe(), heard(sink)))),
    );
    let default = if config.dead_letter.is_none() { " (the default)" } else { "" };
    lines.push(("dead letter", format!("{}{default}", config.dead_letter().describe())));
    let letters = config.dead_letters.iter().map(|(name, letter)| format!("{name}: {}", letter.describe()));
    lines.extend(letters.map(|text| ("dead letter", text)));
    lines.push(("positions", positions(config)));
    lines.extend(config.http.as_ref().map(|http| ("metrics", format!("for whoever asks at {}", http.listen))));
    lines.extend(config.metrics.otlp.as_ref().map(|otlp| ("metrics", otlp.describe())));
    lines.extend(config.metrics.emf.as_ref().map(|emf| ("metrics", emf.describe())));
    lines.extend(prices(&config.cost).map(|text| ("prices", text)));
    lines.extend(hint(&config.source).map(|hint| ("hint", hint.to_owned())));
    lines.extend(narrow_letters(config).map(|hint| ("hint", hint)));
    if !active.rules.is_empty() && config.alerts.is_empty() {
        let found = if config.detect.findings { "findings mark their events" } else { "nobody hears of what is found" };
        lines.push(("hint", format!("no [alerts]: {found}, and no alert is sent")));
    }
    let used = |name: &str| config.sinks.values().any(|sink| sink.redact() == Some(name));
    let unused = config.redact.keys().filter(|name| !used(name));
    lines.extend(unused.map(|name| ("hint", format!("no sink uses [redact.{name}]"))));
    let idle = config.redact.iter().filter(|(_, policy)| policy.key.is_some() && policy.bodies != RedactedBodies::Hash);
    lines.extend(
        idle.map(|(name, _)| ("hint", format!("the key of [redact.{name}] is of use with bodies = \"hash\" only"))),
    );
    lines.extend(environment.names().map(|name| ("override", name.to_owned())));
    let mut page = String::new();
    for (part, text) in lines {
        page.push_str(&format!("{part:<INDENT$}"));
        fold(&mut page, &plain(&text), width, INDENT, INDENT);
        page.push('\n');
    }
    page
}

/// A dead letter with less room for an item than this may be too small for a reject: its bytes are those of a record
/// that could not be read, 10 MiB at most, in base64.
const WIDE_ITEM_BYTES: usize = 16 << 20;

/// What stops the program when a reject is too large for it.
fn narrow_letters(config: &Config) -> impl Iterator<Item = String> {
    let named = config.dead_letters.iter().map(|(name, letter)| (format!("dead_letters.{name}"), letter));
    let letters = config.dead_letter.iter().map(|letter| ("dead_letter".to_owned(), letter)).chain(named);
    letters.filter_map(|(name, letter)| {
        let most = letter.plan().batch.max_item_bytes;
        let (kind, size) = (letter.kind(), config::ByteSize::new((most - most % 1024) as u64));
        let advice = "a larger one ends the run; `file` and `s3` take any";
        (most < WIDE_ITEM_BYTES).then(|| format!("[{name}.{kind}] takes rejects of up to {size}, in base64; {advice}"))
    })
}

/// One line a stream, or one for the files.
fn sources(source: &Source) -> Vec<String> {
    let source = match source {
        Source::File(source) => return vec![format!("files {}", source.paths.join(", "))],
        Source::S3(source) => return source.describe(),
        Source::Cloudwatch(source) => return source.describe(),
        Source::Firehose(source) => return source.describe(),
        Source::Kinesis(source) => source,
    };
    let register = if source.register_consumer { ", registered if it is missing" } else { "" };
    let consumer = format!("as the consumer {}{register}", source.consumer);
    let mode = match source.mode {
        Mode::Polling => "by polling".to_owned(),
        Mode::FanOut => format!("by fan-out {consumer}"),
        Mode::Auto => format!("by fan-out {consumer}, else by polling"),
    };
    let stream = |stream: &str| {
        let account = KinesisSource::account_of(stream).map(|account| format!(" of {account}")).unwrap_or_default();
        let region = region(source.region_of(stream));
        let access = access(source.role_of(stream), source.endpoint_url.as_deref());
        let (name, start) = (KinesisSource::name_of(stream), source.start);
        format!("Kinesis stream {name}{account}{region}{access}, {mode}; new shards from {start}")
    };
    source.streams().into_iter().map(stream).collect()
}

/// What is set beside the program's own prices.
fn prices(cost: &config::Cost) -> Option<String> {
    let count = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let (models, profiles) = (count(cost.models.len(), "model"), count(cost.profiles.len(), "inference profile"));
    (*cost != config::Cost::default()).then(|| format!("of {models} as set, {profiles} mapped; else the program's own"))
}

/// How many rules are on, and what becomes of what they find.
fn detection(config: &Config, active: &ActiveRules) -> Option<String> {
    let detect = Some(&config.detect).filter(|detect| detect.is_on())?;
    let count = active.rules.len();
    let rules = format!("{count} {} on", if count == 1 { "rule" } else { "rules" });
    let own = if active.own > 0 { format!(", {} of your own", active.own) } else { String::new() };
    let findings = if detect.findings { ", findings mark their events" } else { "" };
    let names: Vec<_> = config.alerts.keys().map(String::as_str).collect();
    let alerts = if names.is_empty() { String::new() } else { format!(", alerts go to {}", names.join(", ")) };
    let kept = if detect.keep_state { "" } else { "; what they remember ends with the process" };
    Some(format!("{rules}{own}{findings}{alerts}{kept}"))
}

/// What a sink of alerts hears of, where that is not everything.
fn heard(sink: &AlertSink) -> String {
    let told = sink.told();
    let rules = if told.rules.is_empty() { String::new() } else { format!(", of {}", told.rules.join(", ")) };
    let severity = match told.severity {
        Severity::Info => String::new(),
        severity => format!(", from {} on", severity.as_str()),
    };
    rules + &severity
}

/// Where large bodies are fetched from, if they are.
fn bodies(config: &Config) -> Option<String> {
    let section = Some(&config.bodies).filter(|section| section.fetch)?;
    let region = region(section.region_beside(&config.source));
    let access = access(section.assume_role.as_ref(), section.endpoint_url.as_deref());
    let (buckets, wait) = (section.buckets.join(", "), format_duration(section.wait));
    let (max_body, memory) = (section.max_body, section.memory);
    Some(format!("from {buckets}{region}{access}, up to {max_body} each, {memory} at a time; may land {wait} late"))
}

/// Where positions are kept, or who keeps what is not delivered where there are none.
fn positions(config: &Config) -> String {
    match (&config.coordination, &config.source) {
        (Coordination::Dynamodb(dynamodb), source) => table(dynamodb, source),
        (_, Source::S3(source)) if source.list.is_none() => "none: the queue keeps what is not delivered".to_owned(),
        (_, Source::Firehose(_)) => "none: Firehose sends again what is not delivered".to_owned(),
        (Coordination::Local(local), _) => format!("in the directory {}", local.directory.display()),
    }
}

/// What is set and does nothing, or more than may be meant.
fn hint(source: &Source) -> Option<&'static str> {
    let source = match source {
        Source::Kinesis(source) => source,
        Source::S3(source) if source.list.is_none() && source.buckets.is_empty() => {
            return Some(
                "without `buckets`, whoever can send to the queue can have any object read that this service may read",
            );
        }
        _ => return None,
    };
    let set = source.register_consumer || source.consumer != config::DEFAULT_CONSUMER;
    (set && source.mode == Mode::Polling)
        .then_some("`consumer` and `register_consumer` are of no use with mode = \"polling\"")
}

fn table(dynamodb: &DynamodbCoordination, source: &Source) -> String {
    let region = match source {
        Source::Kinesis(source) => region(dynamodb.region_beside(source)),
        _ => String::new(),
    };
    let access = access(dynamodb.assume_role.as_ref(), dynamodb.endpoint_url.as_deref());
    let create = if dynamodb.create_table { ", made if it is missing" } else { "" };
    let (table, failover) = (&dynamodb.table, format_duration(dynamodb.failover_time));
    format!("in the DynamoDB table {table}{region}{access}{create}; leases are lost after {failover}")
}

/// What is left out, in the order in which it is asked; nothing if all is delivered.
fn selection(select: &Select) -> Option<String> {
    let Select { keep, drop, sample } = select;
    let mut parts = Vec::new();
    parts.extend(drop.as_ref().map(|drop| format!("without {drop}")));
    parts.extend(keep.as_ref().map(|keep| format!("only {keep}")));
    parts.extend(sample.as_ref().map(|sample| match &sample.when {
        Some(when) => format!("a share of {} of {when}", sample.ratio),
        None => format!("a share of {}", sample.ratio),
    }));
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What a sink takes, where that is not everything.
fn taken(events: &Taken) -> String {
    let mut text = String::new();
    let mut part = |before: &str, part: Option<&str>| {
        if let Some(part) = part {
            text.push_str(before);
            text.push_str(part);
        }
    };
    part(", redacted as ", events.redact.as_deref());
    part(", without ", events.drop.as_deref());
    part(", only ", events.keep.as_deref());
    part(", what it refuses to ", events.dead_letter.as_deref());
    part("", (!events.required).then_some(", not required"));
    part("", events.probe.then_some(", asked at the start"));
    text
}

fn region(region: Option<&str>) -> String {
    region.map(|region| format!(" in {region}")).unwrap_or_default()
}

fn access(role: Option<&AssumeRole>, endpoint: Option<&str>) -> String {
    let role = role.map(|role| format!(", as {}", role.role_arn)).unwrap_or_default();
    let endpoint = endpoint.map(|url| format!(", at {url}")).unwrap_or_default();
    role + &endpoint
}

fn redaction(policy: &Redact) -> String {
    let kinds: Vec<&str> = policy
        .detect
        .iter()
        .map(|detector| detector.as_str())
        .chain(policy.patterns.keys().map(String::as_str))
        .collect();
    let masked = if kinds.is_empty() { "nothing masked".to_owned() } else { format!("masked: {}", kinds.join(", ")) };
    let key = policy.key.as_ref().map(|key| format!(" with the key in {key}")).unwrap_or_default();
    format!("bodies {}{key}, {masked}", policy.bodies.as_str())
}

/// The text with control characters escaped: paths come from a file that anyone may have written.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_every_part() {
        let check = |text: &str, variables: &[(&str, &str)], expected: &str| {
            let environment = variables.iter().copied().collect();
            let config = Config::parse(text, "test.toml", &environment).unwrap();
            assert_eq!(summary(&config, &ActiveRules::default(), &environment, usize::MAX), expected);
        };
        check(
            "source.kinesis.stream = 'arn:aws:kinesis:eu-central-1:123456789012:stream/bedrock'\n\
             sinks.events.file.path = \"out/\\u001b[31mevents\"\nsinks.console.stdout.format = 'text'",
            &[("BEDROCK_TAP__SOURCE__KINESIS__START", "latest"), ("BEDROCK_TAP_LOG", "debug")],
            "source       Kinesis stream bedrock of 123456789012 in eu-central-1, by polling; new shards from latest\n\
             sink         console: standard output, text\n\
             sink         events: file out/\\u{1b}[31mevents, panther, a new one after 256 MiB or 1h\n\
             dead letter  file /var/lib/bedrock-tap/dead-letter.jsonl, JSON lines, a new one after 256 MiB or 1d \
             (the default)\n\
             positions    in the directory /var/lib/bedrock-tap\n\
             override     BEDROCK_TAP__SOURCE__KINESIS__START\n",
        );
        check(
            "source.kinesis = { stream = 'a', region = 'eu-west-1' }\nsinks.console.stdout = {}\n\
             dead_letter.file.path = 'rejects'\n[bodies]\nfetch = true\nbuckets = ['calls', 'more']\nwait = '1m'\n\
             assume_role.role_arn = 'arn:aws:iam::123456789012:role/b'",
            &[],
            "source       Kinesis stream a in eu-west-1, by polling; new shards from trim_horizon\n\
             bodies       from calls, more in eu-west-1, as arn:aws:iam::123456789012:role/b, up to 25 MiB each, 128 MiB \
             at a time; may land 1m late\n\
             sink         console: standard output, panther\n\
             dead letter  file rejects, JSON lines, a new one after 256 MiB or 1d\n\
             positions    in the directory /var/lib/bedrock-tap\n",
        );
        check(
            "coordination.local.directory = 'state'\nsource.file.paths = ['logs', '-']\n\
             sinks.events.file = { path = 'events', compression = 'gzip', format = 'raw' }\n[dead_letter.stdout]\n\
             [select]\ndrop = 'has(view.error)'\nkeep = \"\"\"view.region == 'a'\n|| true\"\"\"\n\
             sample = { ratio = 0.1, when = 'view.streamed' }",
            &[],
            "source       files logs, -\n\
             select       without has(view.error); only view.region == 'a'\\n|| true; a share of 0.1 of view.streamed\n\
             sink         events: file events, raw, gzip, a new one after 256 MiB or 1h\n\
             dead letter  standard output, JSON lines\n\
             positions    in the directory state\n",
        );
        check(
            "source.kinesis = { streams = ['a', 'arn:aws:kinesis:eu-west-1:123456789012:stream/b'], mode = 'auto', \
             register_consumer = true, endpoint_url = 'http://h', \
             account_roles.123456789012.role_arn = 'arn:aws:iam::123456789012:role/r' }\n\
             coordination.dynamodb = { table = 'taps', region = 'eu-west-1', create_table = true, \
             assume_role.role_arn = 'arn:aws:iam::210987654321:role/t' }\n\
             sinks.console.stdout = { redact = 'chat' }\ndead_letter.file.path = 'rejects'\n\
             [redact.chat]\nbodies = 'hash'\nkey.env = 'KEY'\ndetect = ['email', 'card']\npatterns.ticket = 'T-[0-9]+'\n\
             [redact.other]\nbodies = 'drop'\ndetect = []\nkey.file = 'key'",
            &[],
            "source       Kinesis stream a, at http://h, by fan-out as the consumer bedrock-tap, registered if it is \
             missing, else by polling; new shards from trim_horizon\n\
             source       Kinesis stream b of 123456789012 in eu-west-1, as arn:aws:iam::123456789012:role/r, at \
             http://h, by fan-out as the consumer bedrock-tap, registered if it is missing, else by polling; new \
             shards from trim_horizon\n\
             redact       chat: bodies hash with the key in the environment variable KEY, masked: email, card, ticket\n\
             redact       other: bodies drop with the key in the file key, nothing masked\n\
             sink         console: standard output, panther, redacted as chat\n\
             dead letter  file rejects, JSON lines, a new one after 256 MiB or 1d\n\
             positions    in the DynamoDB table taps in eu-west-1, as arn:aws:iam::210987654321:role/t, made if it is \
             missing; leases are lost after 30s\n\
             hint         no sink uses [redact.other]\n\
             hint         the key of [redact.other] is of use with bodies = \"hash\" only\n",
        );
        check(
            "source.file.paths = ['logs']\ncoordination.local.directory = 'state'\n\
             sinks.nowhere.null = { keep = 'has(view.error)', required = false, probe = true, dead_letter = 'mine' }\n\
             dead_letter.s3 = { bucket = 'rejects', prefix = 'r/' }\ndead_letters.mine.file.path = 'mine'\n\
             metrics.otlp = { url = 'http://h', protocol = 'grpc', interval = '10s' }\n\
             metrics.emf = { target = 'tcp://h:25888', log_group = '/tap' }\n[http]\nlisten = '127.0.0.1:9464'",
            &[],
            "source       files logs\n\
             sink         nowhere: nothing: what comes as panther is dropped, only has(view.error), what it refuses to \
             mine, not required, asked at the start\n\
             dead letter  s3 rejects/r/, JSON lines, zstd, a new object after 64 MiB or 1m\n\
             dead letter  mine: file mine, JSON lines, a new one after 256 MiB or 1d\n\
             positions    in the directory state\n\
             metrics      for whoever asks at 127.0.0.1:9464\n\
             metrics      all to otlp http://h by grpc, every 10s\n\
             metrics      some to CloudWatch as BedrockTap, by tcp://h:25888 for the log group /tap, every 1m\n",
        );
        check(
            "source.kinesis = { stream = 'a', region = 'eu-west-1', consumer = 'mine' }\n\
             coordination.dynamodb = { table = 'taps', failover_time = '10s' }\n\
             cost.models.a = { input = 1, output = '2.50' }\ncost.profiles = { b = 'a', c = 'a' }\n\
             sinks.events.file.path = 'events'\n[dead_letter.stdout]",
            &[],
            "source       Kinesis stream a in eu-west-1, by polling; new shards from trim_horizon\n\
             sink         events: file events, panther, a new one after 256 MiB or 1h\n\
             dead letter  standard output, JSON lines\n\
             positions    in the DynamoDB table taps in eu-west-1; leases are lost after 10s\n\
             prices       of 1 model as set, 2 inference profiles mapped; else the program's own\n\
             hint         `consumer` and `register_consumer` are of no use with mode = \"polling\"\n",
        );
    }

    #[test]
    fn sources_without_positions_say_so() {
        let check = |source: &str, expected: &str| {
            let text = format!("{source}\ncoordination.local.directory = 'state'\nsinks.console.stdout = {{}}");
            let config = Config::parse(&text, "test.toml", &Environment::default()).unwrap();
            let page = summary(&config, &ActiveRules::default(), &Environment::default(), usize::MAX);
            let found: Vec<&str> =
                page.lines().filter(|line| line.starts_with("positions") || line.starts_with("hint")).collect();
            assert_eq!(found.join("\n"), expected);
        };
        let queue = "queue_url = 'https://sqs.eu-west-1.amazonaws.com/123456789012/a'";
        let none = "positions    none: the queue keeps what is not delivered";
        check(&format!("source.s3 = {{ {queue}, buckets = ['logs'] }}"), none);
        let hint = "hint         without `buckets`, whoever can send to the queue can have any object read that this \
                    service may read";
        check(&format!("source.s3 = {{ {queue} }}"), &format!("{none}\n{hint}"));
        let kept = "positions    in the directory state";
        check("source.s3 = { region = 'eu-west-1', list.url = 's3://logs' }", kept);
        check("source.cloudwatch = { log_groups = ['a'], region = 'eu-west-1' }", kept);
        check(
            "source.firehose = { listen = '127.0.0.1:8080', access_keys = [{ env = 'KEY' }] }",
            "positions    none: Firehose sends again what is not delivered",
        );
    }

    #[test]
    fn the_summary_fits_a_terminal_and_warns_of_narrow_dead_letters() {
        let text = "source.file.paths = ['logs']\nsinks.nowhere.null.probe = true\n\
            dead_letter.firehose = { stream = 'rejects', region = 'eu-west-1' }\n\
            dead_letters.wide.s3 = { bucket = 'rejects', region = 'eu-west-1' }";
        let environment = Environment::default();
        let config = Config::parse(text, "test.toml", &environment).unwrap();
        let folded = summary(&config, &ActiveRules::default(), &environment, 60);
        assert!(folded.lines().all(|line| line.chars().count() <= 60), "{folded}");
        let whole = summary(&config, &ActiveRules::default(), &environment, usize::MAX);
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&folded), words(&whole));
        let hints: Vec<&str> = whole.lines().filter(|line| line.starts_with("hint")).collect();
        assert_eq!(
            hints,
            [
                "hint         [dead_letter.firehose] takes rejects of up to 1000 KiB, in base64; a larger one ends the run; \
              `file` and `s3` take any"
            ]
        );
        assert!(
            folded.contains("\nhint         [dead_letter.firehose] takes rejects of up to\n             1000 KiB"),
            "{folded}"
        );
    }
}
