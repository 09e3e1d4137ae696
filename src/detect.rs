//! Detection: rules over events, what they find, and the alerts that findings add up to.
//!
//! ```text
//! event ▶ rule: match, title, group ▶ finding ▶ state: windows, thresholds, baselines ▶ alert
//!         └─ no memory, any thread ─┘           └─ one for the process, behind a lock ─┘
//! ```
//!
//! A rule is data: expressions over one event and a description of what adds up to an alert. [`Detector`] asks all rules
//! about an event; what a rule finds goes through the [`State`], which remembers what it must of events before.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::enrich::Event;
use crate::expression::{Names, Variables, Views};
use crate::pipeline::Context;

pub mod alert;
pub mod choice;
pub mod finding;
mod prefilter;
pub mod replay;
pub mod rule;
pub mod state;
pub mod template;
pub mod trail;
pub mod trial;

pub use alert::Alert;
pub use choice::{Choice, ChoiceError};
pub use finding::{Finding, Source};
use prefilter::Prefilter;
pub use replay::Replay;
pub use rule::{LogType, Rule, Severity};
pub use state::State;
pub use trail::Trail;

/// The rules that are on, and what they remember. One for the process; all lines share it.
pub struct Detector {
    /// Rules about invocations.
    invocations: Group,
    /// Rules about CloudTrail's records.
    trails: Group,
    state: Mutex<State>,
}

/// Rules of one log type.
struct Group {
    rules: Vec<Watched>,
    prefilter: Prefilter,
}

/// A rule, and how often it could not be evaluated.
struct Watched {
    rule: Arc<Rule>,
    failures: AtomicU64,
    /// The minute in which the log last said so.
    told: AtomicI64,
}

impl Group {
    fn of(rules: &[Arc<Rule>], log_type: LogType) -> Self {
        let rules = rules.iter().filter(|rule| rule.log_type == log_type);
        let prefilter = Prefilter::of(rules.clone().map(AsRef::as_ref));
        let watched = |rule: &Arc<Rule>| Watched {
            rule: Arc::clone(rule),
            failures: AtomicU64::new(0),
            told: AtomicI64::new(-1),
        };
        Self { rules: rules.map(watched).collect(), prefilter }
    }

    /// What those rules find that may match. Each rule has variables of its own: what one asks for never changes what
    /// another sees.
    fn find<'v>(
        &'v self,
        may_match: impl Iterator<Item = usize>,
        variables: impl Fn(&'v Rule) -> Option<Variables<'v>>,
        source: &Source<'_>,
        now: Timestamp,
    ) -> Vec<Finding> {
        let candidates = may_match.filter_map(|number| self.rules.get(number));
        let found = candidates.filter_map(|watched| {
            let found = variables(&watched.rule).map(|variables| watched.rule.find(&variables, source));
            found.and_then(Result::ok).unwrap_or_else(|| {
                watched.failed(now);
                None
            })
        });
        found.collect()
    }
}

impl Watched {
    /// Counts an event that the rule could not be evaluated for, and says so once a minute.
    fn failed(&self, now: Timestamp) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let minute = now.as_second() / 60;
        if self.told.swap(minute, Ordering::Relaxed) != minute {
            tracing::warn!(rule = %self.rule.id, "a rule could not be evaluated for an event");
        }
    }
}

impl Detector {
    /// A detector of these rules, which remembers as much as `limits` say.
    pub fn new(rules: &[Arc<Rule>], limits: state::Limits) -> Self {
        Self {
            invocations: Group::of(rules, LogType::Invocation),
            trails: Group::of(rules, LogType::CloudTrail),
            state: Mutex::new(State::new(limits)),
        }
    }

    /// What the rules find in an invocation. Rules that look at a baseline have it here.
    pub fn observe(&self, event: &Event<'_>, context: &Context<'_>) -> Vec<Finding> {
        self.remember(self.matches(event, context), context.parse_time)
    }

    /// What the rules find in a record of CloudTrail.
    pub fn observe_trail(&self, trail: &Trail<'_>, now: Timestamp) -> Vec<Finding> {
        self.remember(self.matches_trail(trail, now), now)
    }

    /// What the rules find in an invocation, with no look at what was before.
    pub fn matches(&self, event: &Event<'_>, context: &Context<'_>) -> Vec<Finding> {
        if self.invocations.rules.is_empty() {
            return Vec::new();
        }
        let views = Views::new(event, context);
        let may_match = self.invocations.prefilter.of_event(event, context);
        self.invocations.find(
            may_match,
            |rule| Variables::of_event(event, &views, &rule.demand, Names::Folded).ok(),
            &Source::of_event(event),
            context.parse_time,
        )
    }

    /// What the rules find in a record of CloudTrail, with no look at what was before.
    pub fn matches_trail(&self, trail: &Trail<'_>, now: Timestamp) -> Vec<Finding> {
        let may_match = self.trails.prefilter.of_record(trail.record);
        self.trails.find(
            may_match,
            |rule| Variables::of_json(trail.record, &rule.demand, Names::Folded).ok(),
            &trail.source(),
            now,
        )
    }

    fn remember(&self, mut findings: Vec<Finding>, now: Timestamp) -> Vec<Finding> {
        if !findings.is_empty() {
            let mut state = self.state();
            findings.retain(|finding| state.observe(finding, now));
        }
        findings
    }

    /// What is remembered. Whoever holds this stops all lines, so it is not held for long.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a rule could not be evaluated for an event, so far.
    pub fn unevaluated(&self) -> u64 {
        self.watched().map(|watched| watched.failures.load(Ordering::Relaxed)).sum()
    }

    /// The rules that could not be evaluated for some event, with how often, so far.
    pub fn failures(&self) -> Vec<(String, u64)> {
        let counts = self.watched().map(|watched| (watched.rule.id.clone(), watched.failures.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    fn watched(&self) -> impl Iterator<Item = &Watched> {
        self.invocations.rules.iter().chain(&self.trails.rules)
    }

    /// Whether any rule looks at CloudTrail's records.
    pub fn looks_at_trails(&self) -> bool {
        !self.trails.rules.is_empty()
    }
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rules = self.invocations.rules.len() + self.trails.rules.len();
        f.debug_struct("Detector").field("rules", &rules).finish_non_exhaustive()
    }
}
