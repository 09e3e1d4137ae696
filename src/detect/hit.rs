//! A hit: a rule's match on one event, of which the state has yet to say whether it is a finding. What it is counted by is
//! there at once; what people are told of it is written when somebody asks, and for most hits nobody does.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

use jiff::Timestamp;

use super::finding::{Finding, Measure, Source};
use super::rule::{Rule, Severity};
use super::template::cut;
use crate::enrich::Found;
use crate::expression::{Answer, Bindings, Expression, Variables};

/// A rule's match on one event.
#[derive(Debug)]
pub(crate) struct Hit<'h> {
    pub(super) rule: &'h Arc<Rule>,
    /// When the event was.
    pub(super) time: Timestamp,
    /// The event's identity.
    pub(super) event_id: &'h str,
    request_id: Option<&'h str>,
    /// What it is grouped by.
    pub(super) group: Cow<'h, [(String, String)]>,
    /// What is measured of it.
    pub(super) measures: Cow<'h, [Option<Measure>]>,
    sight: Sight<'h>,
    severity: OnceCell<Severity>,
    title: OnceCell<String>,
    dedup: OnceCell<String>,
    context: OnceCell<Vec<(String, String)>>,
}

/// What its texts are made of.
#[derive(Debug)]
enum Sight<'h> {
    /// The event as the rule sees it, and the rule's own values of it.
    Event(Variables<'h>, Bindings<'h>),
    /// A finding that was told already.
    Finding(&'h Finding),
}

impl<'h> Hit<'h> {
    pub(super) fn new(
        rule: &'h Arc<Rule>,
        source: &'h Source,
        group: Vec<(String, String)>,
        measures: Vec<Option<Measure>>,
        (variables, bindings): (Variables<'h>, Bindings<'h>),
    ) -> Self {
        Self {
            rule,
            time: source.time,
            event_id: &source.event_id,
            request_id: source.request_id.as_deref(),
            group: Cow::Owned(group),
            measures: Cow::Owned(measures),
            sight: Sight::Event(variables, bindings),
            severity: OnceCell::new(),
            title: OnceCell::new(),
            dedup: OnceCell::new(),
            context: OnceCell::new(),
        }
    }

    /// A finding again.
    pub(super) fn of(finding: &'h Finding) -> Self {
        Self {
            rule: &finding.rule,
            time: finding.time,
            event_id: &finding.event_id,
            request_id: finding.request_id.as_deref(),
            group: Cow::Borrowed(&finding.group),
            measures: Cow::Borrowed(&finding.measures),
            sight: Sight::Finding(finding),
            severity: OnceCell::new(),
            title: OnceCell::new(),
            dedup: OnceCell::new(),
            context: OnceCell::new(),
        }
    }

    /// How bad it is.
    pub(super) fn severity(&self) -> Severity {
        *self.severity.get_or_init(|| match &self.sight {
            Sight::Finding(finding) => finding.severity,
            Sight::Event(variables, bindings) => {
                let holds = |when: &Expression| when.evaluate_with(variables, bindings) == Some(true);
                let first = self.rule.matching.severities.iter().find(|(when, _)| holds(when));
                first.map_or(self.rule.severity, |(_, severity)| *severity)
            }
        })
    }

    /// What it is, in one line.
    pub(super) fn title(&self) -> &str {
        match &self.sight {
            Sight::Finding(finding) => &finding.title,
            Sight::Event(variables, bindings) => {
                self.title.get_or_init(|| self.rule.matching.title.fill(variables, bindings))
            }
        }
    }

    /// What it is counted and told under: unless the rule says, its group, and its title where it has none.
    pub(super) fn dedup(&self) -> &str {
        let values = || self.group.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>();
        match (&self.sight, &self.rule.matching.dedup) {
            (Sight::Finding(finding), _) => &finding.dedup,
            (Sight::Event(variables, bindings), Some(dedup)) => {
                self.dedup.get_or_init(|| dedup.fill(variables, bindings))
            }
            (Sight::Event(..), None) if self.group.is_empty() => self.title(),
            (Sight::Event(..), None) => self.dedup.get_or_init(|| cut(values().join(" | "))),
        }
    }

    /// What a person wants to know beside the title.
    pub(super) fn context(&self) -> &[(String, String)] {
        match &self.sight {
            Sight::Finding(finding) => &finding.context,
            Sight::Event(variables, bindings) => self.context.get_or_init(|| {
                let text = |value: &Expression| value.answer(variables, bindings).as_ref().and_then(Answer::text);
                let told = |(name, value): &(String, Expression)| Some((name.clone(), cut(text(value)?)));
                self.rule.matching.context.iter().filter_map(told).collect()
            }),
        }
    }

    /// Writes all that is told of it, so that nothing is left to be written.
    pub(super) fn write(&self) {
        let _ = (self.severity(), self.title(), self.dedup(), self.context());
    }

    /// Whether all that is told of it is written.
    pub(super) fn is_written(&self) -> bool {
        matches!(self.sight, Sight::Finding(_)) || self.context.get().is_some()
    }

    /// What is marked on the event.
    pub(super) fn found(&self) -> Found {
        Found { rule: self.rule.id.clone(), severity: self.severity() }
    }

    /// All of it, to be kept.
    pub(super) fn into_finding(self) -> Finding {
        if let Sight::Finding(finding) = self.sight {
            return finding.clone();
        }
        self.write();
        let title = self.title().to_owned();
        let dedup = self.dedup().to_owned();
        Finding {
            rule: Arc::clone(self.rule),
            severity: self.severity(),
            title,
            dedup,
            context: self.context.into_inner().unwrap_or_default(),
            group: self.group.into_owned(),
            measures: self.measures.into_owned(),
            time: self.time,
            event_id: self.event_id.to_owned(),
            request_id: self.request_id.map(str::to_owned),
        }
    }
}
