//! Detection: rules over events, what they find, and the alerts that findings add up to.
//!
//! ```text
//! event ▶ rule: match, title, group ▶ finding ▶ state: windows, thresholds, baselines ▶ alert
//!         └─ no memory, any thread ─┘           └─ one for the process, behind a lock ─┘
//! ```
//!
//! A rule is data: expressions over one event and a description of what adds up to an alert. [`Detector`] asks all rules
//! about an event; what a rule finds goes through the [`State`], which remembers what it must of events before.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::enrich::{Event, Found};
use crate::expression::{Names, Variables, Views};
use crate::metrics;
use crate::pipeline::Context;

pub mod alert;
pub mod choice;
pub mod finding;
mod hit;
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
use hit::Hit;
use prefilter::Prefilter;
pub use replay::Replay;
pub use rule::{LogType, Rule, Severity};
pub use state::State;
pub use trail::Trail;

/// The rules that are on, and what they remember; all lines share it. A detector of other rules may follow it while the
/// process runs: it goes on with what was remembered.
pub struct Detector {
    /// Rules about invocations.
    invocations: Group,
    /// Rules about CloudTrail's records.
    trails: Group,
    /// All of them.
    rules: Vec<Arc<Rule>>,
    shared: Arc<Shared>,
}

/// What a detector shares with those that follow it: one for the process.
struct Shared {
    state: Mutex<State>,
    /// The rules that are on now.
    rules: Mutex<Vec<Arc<Rule>>>,
    /// By the ids of all rules that ever were on.
    failures: Mutex<Vec<(String, Arc<Failures>)>>,
}

/// Rules of one log type.
struct Group {
    rules: Vec<Watched>,
    prefilter: Prefilter,
}

/// A rule, and how often it could not be evaluated.
struct Watched {
    rule: Arc<Rule>,
    failures: Arc<Failures>,
}

/// How often a rule could not be evaluated.
struct Failures {
    count: AtomicU64,
    /// The minute in which the log last said so.
    told: AtomicI64,
}

impl Group {
    fn of(rules: &[Arc<Rule>], log_type: LogType, shared: &Shared) -> Self {
        let rules = rules.iter().filter(|rule| rule.log_type == log_type);
        let prefilter = Prefilter::of(rules.clone().map(AsRef::as_ref));
        let watched = |rule: &Arc<Rule>| Watched { rule: Arc::clone(rule), failures: shared.failures_of(&rule.id) };
        Self { rules: rules.map(watched).collect(), prefilter }
    }

    /// What those rules match that may match. Each rule has variables of its own: what one asks for never changes what
    /// another sees.
    fn find<'h>(
        &'h self,
        may_match: impl Iterator<Item = usize>,
        variables: impl Fn(&'h Rule) -> Option<Variables<'h>>,
        source: impl Fn() -> &'h Source,
        now: Timestamp,
    ) -> Vec<Hit<'h>> {
        let candidates = may_match.filter_map(|number| self.rules.get(number));
        let found = candidates.filter_map(|watched| {
            let found = variables(&watched.rule).map(|variables| watched.rule.find(variables, &source));
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
        self.failures.count.fetch_add(1, Ordering::Relaxed);
        let minute = now.as_second() / 60;
        if self.failures.told.swap(minute, Ordering::Relaxed) != minute {
            tracing::warn!(rule = %self.rule.id, "a rule could not be evaluated for an event");
        }
    }
}

impl Shared {
    /// The failures of the rule of this id, which go on where it was on before.
    fn failures_of(&self, id: &str) -> Arc<Failures> {
        let mut all = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, failures)) = all.iter().find(|(known, _)| known == id) {
            return Arc::clone(failures);
        }
        let failures = Arc::new(Failures { count: AtomicU64::new(0), told: AtomicI64::new(-1) });
        all.push((id.to_owned(), Arc::clone(&failures)));
        failures
    }
}

impl Detector {
    /// A detector of these rules, which remembers as much as `limits` say.
    pub fn new(rules: &[Arc<Rule>], limits: state::Limits) -> Self {
        let shared = Shared {
            state: Mutex::new(State::new(limits)),
            rules: Mutex::new(rules.to_vec()),
            failures: Mutex::default(),
        };
        Self::of(rules, Arc::new(shared))
    }

    fn of(rules: &[Arc<Rule>], shared: Arc<Shared>) -> Self {
        Self {
            invocations: Group::of(rules, LogType::Invocation, &shared),
            trails: Group::of(rules, LogType::CloudTrail, &shared),
            rules: rules.to_vec(),
            shared,
        }
    }

    /// A detector of other rules that remembers what this one does. A rule that counts as one of the same id did before
    /// goes on with its windows, baselines and alerts; one that counts otherwise begins anew.
    #[must_use]
    pub fn followed_by(&self, rules: &[Arc<Rule>]) -> Self {
        Self::of(rules, Arc::clone(&self.shared))
    }

    /// From now on the rules of this detector are those that are on, for all that share what it remembers.
    pub fn take_over(&self) {
        *self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner) = self.rules.clone();
    }

    /// The rules that are on now, of this detector or of one that followed it.
    pub fn rules(&self) -> Vec<Arc<Rule>> {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the rules find in an invocation. Rules that look at a baseline have it here.
    pub fn observe(&self, event: &Event<'_>, context: &Context<'_>) -> Vec<Finding> {
        self.with_hits(event, context, |hits| self.kept(hits, context.parse_time).map(Hit::into_finding).collect())
    }

    /// What is to be marked on an invocation: what [`Self::observe`] finds, without its texts, which are then written for
    /// alerts alone.
    pub fn mark(&self, event: &Event<'_>, context: &Context<'_>) -> Vec<Found> {
        self.with_hits(event, context, |hits| self.kept(hits, context.parse_time).map(|hit| hit.found()).collect())
    }

    /// What the rules find in a record of CloudTrail.
    pub fn observe_trail(&self, trail: &Trail<'_>, now: Timestamp) -> Vec<Finding> {
        self.with_hits_of_trail(trail, now, |hits| self.kept(hits, now).map(Hit::into_finding).collect())
    }

    /// What the rules find in an invocation, with no look at what was before.
    pub fn matches(&self, event: &Event<'_>, context: &Context<'_>) -> Vec<Finding> {
        self.with_hits(event, context, |hits| hits.into_iter().map(Hit::into_finding).collect())
    }

    /// What the rules find in a record of CloudTrail, with no look at what was before.
    pub fn matches_trail(&self, trail: &Trail<'_>, now: Timestamp) -> Vec<Finding> {
        self.with_hits_of_trail(trail, now, |hits| hits.into_iter().map(Hit::into_finding).collect())
    }

    fn with_hits<T>(
        &self,
        event: &Event<'_>,
        context: &Context<'_>,
        take: impl FnOnce(Vec<Hit<'_>>) -> Vec<T>,
    ) -> Vec<T> {
        if self.invocations.rules.is_empty() {
            return Vec::new();
        }
        let prefilter = &self.invocations.prefilter;
        let facts = prefilter.of_event(event, context);
        let views = Views::new(event, context).behind(&facts);
        let known = OnceCell::new();
        let source = || known.get_or_init(|| Source::of_event(event));
        take(self.invocations.find(
            prefilter.may_match(&facts),
            |rule| Variables::of_event(event, &views, &rule.demand, Names::Folded).ok(),
            source,
            context.parse_time,
        ))
    }

    fn with_hits_of_trail<T>(
        &self,
        trail: &Trail<'_>,
        now: Timestamp,
        take: impl FnOnce(Vec<Hit<'_>>) -> Vec<T>,
    ) -> Vec<T> {
        let known = OnceCell::new();
        let facts = self.trails.prefilter.of_record(trail.record);
        take(self.trails.find(
            self.trails.prefilter.may_match(&facts),
            |rule| Variables::of_json(trail.record, &rule.demand, Names::Folded).ok(),
            || known.get_or_init(|| trail.source()),
            now,
        ))
    }

    /// The hits that are findings, by what is remembered. The texts that an alert will want are written before the state
    /// is changed, and not while all lines wait for it.
    fn kept<'h>(&self, mut hits: Vec<Hit<'h>>, now: Timestamp) -> impl Iterator<Item = Hit<'h>> + use<'h> {
        if !hits.is_empty() {
            hits.iter().filter(|hit| hit.rule.counting.tells_at_once()).for_each(Hit::write);
            let mut state = self.state();
            if hits.iter().any(|hit| !hit.is_written() && state.may_tell(hit)) {
                let wanted: Vec<_> = hits.iter().filter(|hit| !hit.is_written() && state.may_tell(hit)).collect();
                drop(state);
                wanted.into_iter().for_each(Hit::write);
                state = self.state();
            }
            hits.retain(|hit| state.take(hit, now));
            drop(state);
            for hit in &hits {
                metrics::families().findings.with_label_values(&[&hit.rule.id]).inc();
            }
        }
        hits.into_iter()
    }

    /// What is remembered. Whoever holds this stops all lines, so it is not held for long.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a rule could not be evaluated for an event, so far.
    pub fn unevaluated(&self) -> u64 {
        self.failures().into_iter().map(|(_, count)| count).sum()
    }

    /// The rules that could not be evaluated for some event, with how often, so far.
    pub fn failures(&self) -> Vec<(String, u64)> {
        let all = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = all.iter().map(|(id, failures)| (id.clone(), failures.count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Whether any rule looks at CloudTrail's records.
    pub fn looks_at_trails(&self) -> bool {
        !self.trails.rules.is_empty()
    }
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector").field("rules", &self.rules.len()).finish_non_exhaustive()
    }
}
