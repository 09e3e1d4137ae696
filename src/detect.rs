//! Detection: rules over events, what they find, and the alerts that findings add up to.
//!
//! ```text
//! event ▶ rule: match, title, group ▶ finding ▶ state: windows, thresholds, baselines ▶ alert
//!         └─ no memory, any thread ─┘           └─ one for the process, behind a lock ─┘
//! ```
//!
//! A rule is data: expressions over one event and a description of what adds up to an alert. [`Detector`] asks all rules
//! about an event; what a rule finds goes through the [`State`], which remembers what it must of events before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::enrich::Event;
use crate::expression::{Demand, Names, Variables, view_json};
use crate::pipeline::Context;

pub mod alert;
pub mod choice;
pub mod finding;
pub mod replay;
pub mod rule;
pub mod state;
pub mod template;
pub mod trail;
pub mod trial;

pub use alert::Alert;
pub use choice::{Choice, ChoiceError};
pub use finding::{Finding, Source};
pub use replay::Replay;
pub use rule::{LogType, Rule, Severity};
pub use state::State;
pub use trail::Trail;

/// The rules that are on, and what they remember. One for the process; all lines share it.
pub struct Detector {
    /// Rules about invocations, and what they need together.
    invocations: Group,
    /// Rules about CloudTrail's records.
    trails: Group,
    state: Mutex<State>,
    unevaluated: AtomicU64,
}

/// Rules of one log type.
struct Group {
    rules: Vec<Arc<Rule>>,
    demand: Demand,
}

impl Group {
    fn of(rules: &[Arc<Rule>], log_type: LogType) -> Self {
        let rules: Vec<_> = rules.iter().filter(|rule| rule.log_type == log_type).cloned().collect();
        let mut demand = Demand::default();
        rules.iter().for_each(|rule| demand.merge(&rule.demand));
        Self { rules, demand }
    }

    /// What each rule finds in one event.
    fn find(&self, variables: &Variables<'_>, source: &Source<'_>, unevaluated: &mut u64) -> Vec<Finding> {
        let mut findings = Vec::new();
        for rule in &self.rules {
            match rule.find(variables, source) {
                Ok(Some(finding)) => findings.push(finding),
                Ok(None) => {}
                Err(_) => *unevaluated += 1,
            }
        }
        findings
    }
}

impl Detector {
    /// A detector of these rules, which remembers as much as `limits` say.
    pub fn new(rules: &[Arc<Rule>], limits: state::Limits) -> Self {
        Self {
            invocations: Group::of(rules, LogType::Invocation),
            trails: Group::of(rules, LogType::CloudTrail),
            state: Mutex::new(State::new(limits)),
            unevaluated: AtomicU64::new(0),
        }
    }

    /// What the rules find in an invocation. Rules that look at a baseline have it here.
    pub fn observe(&self, event: &Event<'_>, context: &Context<'_>) -> Vec<Finding> {
        let Group { rules, demand } = &self.invocations;
        if rules.is_empty() {
            return Vec::new();
        }
        let view = view_json(event, context, demand);
        let source = Source::of_event(event);
        let Ok(variables) = Variables::build(event.invocation, &view, demand, Names::Folded) else {
            self.unevaluated.fetch_add(rules.len() as u64, Ordering::Relaxed);
            return Vec::new();
        };
        self.remember(&self.invocations, &variables, &source, context.parse_time)
    }

    /// What the rules find in a record of CloudTrail.
    pub fn observe_trail(&self, trail: &Trail<'_>, now: Timestamp) -> Vec<Finding> {
        let Group { rules, demand } = &self.trails;
        if rules.is_empty() {
            return Vec::new();
        }
        let Ok(variables) = Variables::of_json(trail.record, demand, Names::Folded) else {
            self.unevaluated.fetch_add(rules.len() as u64, Ordering::Relaxed);
            return Vec::new();
        };
        self.remember(&self.trails, &variables, &trail.source(), now)
    }

    fn remember(&self, group: &Group, variables: &Variables<'_>, source: &Source<'_>, now: Timestamp) -> Vec<Finding> {
        let mut unevaluated = 0;
        let mut findings = group.find(variables, source, &mut unevaluated);
        if unevaluated > 0 {
            self.unevaluated.fetch_add(unevaluated, Ordering::Relaxed);
        }
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

    /// Rules that could not be evaluated for an event, so far.
    pub fn unevaluated(&self) -> u64 {
        self.unevaluated.load(Ordering::Relaxed)
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
