//! The prefilter: says of most rules, for most events, that they cannot match, before anything is built for them. It only
//! ever errs on the side of asking a rule that then does not match.

use std::collections::{HashMap, HashSet};

use super::rule::{LogType, Rule};
use crate::enrich::Event;
use crate::expression::condition::{Condition, Side, Walk};
use crate::expression::literal::Literals;
use crate::pipeline::Context;

mod facts;
mod scan;

use facts::{Facts, Subject};
use scan::Scanner;

/// What rules must have to match, in their order.
#[derive(Debug)]
pub(super) struct Prefilter {
    conditions: Vec<Condition>,
    /// What must be so for patterns of the rules to match, by their ids.
    gates: HashMap<usize, Condition>,
    scanners: Scanners,
}

/// What is looked for in what callers sent, and in what models answered.
#[derive(Debug)]
struct Scanners {
    prompt: Scanner,
    answer: Scanner,
}

impl Prefilter {
    pub(super) fn of<'r>(rules: impl Iterator<Item = &'r Rule>) -> Self {
        let mut literals = Literals::default();
        let mut gates = HashMap::new();
        let conditions = rules.map(|rule| {
            let (matching, has_view) = (&rule.matching, rule.log_type == LogType::Invocation);
            if has_view {
                let values = matching.bindings.iter().map(|(_, value)| value).chain([&matching.matches]);
                values.for_each(|value| gates.extend(value.gates(&mut literals)));
            }
            Walk::of(&matching.matches, &matching.bindings, has_view, &mut literals)
        });
        let conditions: Vec<_> = conditions.collect();
        let scanner = |side: Side| {
            let mut wanted = HashSet::new();
            let all = conditions.iter().chain(gates.values());
            all.for_each(|condition| condition.add_literals(side, &mut wanted));
            Scanner::new(literals.all(), &wanted)
        };
        let scanners = Scanners { prompt: scanner(Side::Prompt), answer: scanner(Side::Answer) };
        Self { conditions, gates, scanners }
    }

    /// What is known of an invocation.
    pub(super) fn of_event<'e, 'a>(&'e self, event: &'e Event<'a>, context: &'e Context<'e>) -> Facts<'e, 'a> {
        Facts::new(Subject::Event(event, context), self)
    }

    /// What is known of a record of another service.
    pub(super) fn of_record<'e>(&'e self, record: &'e str) -> Facts<'e, 'e> {
        Facts::new(Subject::Record(record), self)
    }

    /// The numbers of the rules that may match, by what is known.
    pub(super) fn may_match<'e>(&'e self, facts: &'e Facts<'e, '_>) -> impl Iterator<Item = usize> {
        let conditions = self.conditions.iter().enumerate();
        conditions.filter_map(move |(number, condition)| facts.may_hold(condition).then_some(number))
    }
}

#[cfg(test)]
mod tests;
