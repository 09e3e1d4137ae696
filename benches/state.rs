//! The benchmark of detection's memory: a million live keys, what they cost in resident memory, and the time to observe a
//! finding.
//!
//! ```text
//! cargo bench --bench state                  # the tables
//! cargo bench --bench state -- --keys 100000
//! ```
//!
//! Each key is an identity and a model, named as AWS names them. Memory is what the system says of this process, less
//! what it was before; beside it stands what the state itself counts, which is what its bound holds. Times are of the
//! processor.

use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::config::RuleFile;
use bedrock_tap::detect::finding::Measure;
use bedrock_tap::detect::state::Limits;
use bedrock_tap::detect::{Finding, Rule, Severity, State};
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// What is remembered of a key, and the rule that makes it so.
const KINDS: [(&str, u64, &str); 5] = [
    ("1 finding of 5", 1, "threshold = 5"),
    ("4 findings of 5", 4, "threshold = 5"),
    ("4 findings of 5, a sum", 4, "threshold = 5\n[[aggregates]]\nfunction = 'sum'\nof = '1'\nat_least = 1.0"),
    ("a baseline of 20 events", 20, "[baseline]\nof = '1'\ndeviations = 6.0\nmin_samples = 20"),
    ("an open alert, told", 1, "threshold = 1"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let keys = match arguments.as_slice() {
        [] => 1_000_000,
        ["--keys", keys] => keys.parse().expect("--keys takes a number"),
        ["--kind", kind, keys] => return measure(kind.parse().expect("a number"), keys.parse().expect("a number")),
        _ => panic!("usage: cargo bench --bench state [-- --keys N]"),
    };
    println!(
        "{:<26} {:>9} {:>9} {:>14} {:>14} {:>12}",
        "each key", "keys", "evicted", "resident MiB", "counted MiB", "observe ns"
    );
    for kind in 0..KINDS.len() {
        // A process of its own: what one leaves behind does not count for the next.
        let mut child = std::process::Command::new(std::env::current_exe().expect("this program"));
        child.args(["--kind", &kind.to_string(), &keys.to_string()]);
        assert!(child.status().is_ok_and(|status| status.success()), "the benchmark failed");
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn measure(kind: usize, keys: u64) {
    let (name, events, more) = KINDS[kind];
    let text = format!(
        "id = 'bench.rule'\nname = 'Bench'\ndescription = 'Bench.'\nseverity = 'low'\nmatch = 'true'\ntitle = 'Bench'\n{more}\n"
    );
    let (_, rule) = RuleFile::parse(&text, "bench.toml").expect("a rule");
    let before = resident();
    let mut state = State::new(Limits::default());
    let mut finding = finding(&rule);
    let now: Timestamp = "2026-01-15T10:00:00Z".parse().expect("a time");
    let mut spent = Duration::ZERO;
    for event in 0..events {
        for key in 0..keys {
            fill(&mut finding, key, event, now);
            let start = processor();
            state.observe(&finding, now);
            spent += processor() - start;
            if key % 1_000 == 999 {
                state.take_due(now).iter().for_each(|alert| state.told(&alert.id, alert.revision));
            }
        }
    }
    let clock = processor();
    let asked = 100_000_u32;
    (0..asked).for_each(|_| drop(std::hint::black_box(processor())));
    let clock = (processor() - clock) / asked;
    let each = spent.as_nanos() as f64 / (events * keys) as f64 - clock.as_nanos() as f64;
    let counts = state.counts();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{name:<26} {:>9} {:>9} {:>14.1} {:>14.1} {each:>12.0}",
        counts.keys,
        counts.evicted,
        mib(resident().saturating_sub(before)),
        mib(counts.bytes)
    );
}

fn finding(rule: &Arc<Rule>) -> Finding {
    Finding {
        rule: Arc::clone(rule),
        severity: Severity::Low,
        title: String::new(),
        dedup: String::new(),
        group: vec![("identity.arn".to_owned(), String::new()), ("model".to_owned(), String::new())],
        context: vec![("region".to_owned(), "us-east-1".to_owned())],
        time: Timestamp::UNIX_EPOCH,
        event_id: String::new(),
        request_id: None,
        measures: vec![None],
    }
}

/// The finding of a key's event.
fn fill(finding: &mut Finding, key: u64, event: u64, now: Timestamp) {
    let arn = format!("arn:aws:sts::123456789012:assumed-role/application-role-{:06}/session-{key:012}", key % 1_000);
    let model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0".to_owned();
    finding.title = format!("Repeated refusals of {model} for {arn}");
    finding.dedup = format!("{arn} | {model}");
    finding.group[0].1 = arn;
    finding.group[1].1 = model;
    finding.time = now - Duration::from_secs(600 - event);
    finding.event_id = format!("{key:016x}{event:016x}");
    #[expect(clippy::cast_precision_loss, reason = "any number will do")]
    let number = (key % 100) as f64;
    finding.measures[0] = Some(Measure::Number(number));
}

/// Resident memory of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a system with /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
