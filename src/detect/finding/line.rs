//! The lines of findings: JSON for programs, and a line for people.

use jiff::Timestamp;

use super::Finding;
use crate::detect::alert::{bounded, pairs};
use crate::detect::rule::{Rule, Severity};
use crate::format::object::Object;
use crate::format::text::escape::{Place, cut, push_escaped, width};
use crate::format::text::{Colours, Tone, with_short_identities};

/// Characters of a name or an id, and of a title. Titles are cut to less when they are made.
const MAX_WORD: usize = 1000;
const MAX_TITLE: usize = 1100;

/// From these widths on a terminal shows more of the time.
const WIDE: usize = 100;
const NARROW: usize = 60;

/// The column of rules, where nothing is cut.
const RULE: usize = 32;

/// Appends a finding as one JSON object, without a newline. What is not known is left out.
pub fn json(finding: &Finding, out: &mut Vec<u8>) {
    let mut object = Object::begin(out, false);
    object.text("rule_id", &bounded(&finding.rule.id, MAX_WORD));
    object.text("severity", finding.severity.as_str());
    object.text("title", &bounded(&finding.title, MAX_TITLE));
    object.text("dedup", &bounded(&finding.dedup, MAX_TITLE));
    object.text("event_id", &bounded(&finding.event_id, MAX_WORD));
    if let Some(request_id) = &finding.request_id {
        object.text("request_id", &bounded(request_id, MAX_WORD));
    }
    object.text("time", &finding.time.to_string());
    pairs(&mut object, "group", &finding.group);
    pairs(&mut object, "context", &finding.context);
    object.end();
}

/// A finding as one line for people: time, severity, rule and title, fitted to `columns`. Without them nothing is cut, and
/// the ids of event and request stand behind.
pub fn text(finding: &Finding, columns: Option<usize>, colours: Colours) -> String {
    let mut line = Line::new(columns, colours);
    line.head(finding.time, finding.severity, &finding.rule);
    line.title(&finding.title);
    if columns.is_none() {
        line.cell(&format!("event={}", shown(&finding.event_id, Place::Field)), 0, Tone::Dim);
        if let Some(request_id) = &finding.request_id {
            line.cell(&format!("request={}", shown(request_id, Place::Field)), 0, Tone::Dim);
        }
    }
    line.into_text()
}

/// A line being written, cell by cell: never wider than its columns, and without blanks at its end.
pub(in crate::detect) struct Line {
    columns: Option<usize>,
    colours: Colours,
    text: String,
    used: usize,
    blanks: usize,
}

impl Line {
    pub(in crate::detect) fn new(columns: Option<usize>, colours: Colours) -> Self {
        Self { columns, colours, text: String::new(), used: 0, blanks: 0 }
    }

    /// What all lines begin with.
    pub(in crate::detect) fn head(&mut self, time: Timestamp, severity: Severity, rule: &Rule) {
        let (time, name, columns) = match self.columns {
            None => (format!("{time:.3}"), severity.as_str(), RULE),
            Some(columns @ WIDE..) => (time.strftime("%Y-%m-%d %H:%M:%S").to_string(), severity.as_str(), columns / 4),
            Some(columns @ NARROW..) => (time.strftime("%m-%d %H:%M:%S").to_string(), severity.as_str(), columns / 4),
            Some(columns) => (time.strftime("%H:%M:%S").to_string(), short(severity), columns / 4),
        };
        self.cell(&time, width(&time), Tone::Dim);
        self.cell(name, if name == short(severity) && self.is_narrow() { 4 } else { 8 }, tone(severity));
        let mut rule = shown(&rule.id, Place::Field);
        if self.columns.is_some() {
            rule = rule_in(&rule, columns);
        }
        self.cell(&rule, columns.min(RULE), Tone::Name);
    }

    fn is_narrow(&self) -> bool {
        self.columns.is_some_and(|columns| columns < NARROW)
    }

    /// What is found. Where it is cut to a terminal's width, identities are short, as elsewhere on one.
    pub(in crate::detect) fn title(&mut self, title: &str) {
        let title = shown(title, Place::Body);
        let title = if self.columns.is_some() { with_short_identities(&title) } else { title };
        self.cell(&title, 0, Tone::Plain);
    }

    /// A cell of at least so many columns, as far as there is room.
    pub(in crate::detect) fn cell(&mut self, text: &str, columns: usize, tone: Tone) {
        let text = match self.columns {
            None => text.to_owned(),
            Some(all) => cut(text, all.saturating_sub(self.used + self.blanks)),
        };
        if text.is_empty() {
            return;
        }
        let gap = if self.columns.is_some_and(|columns| columns < WIDE) { 1 } else { 2 };
        let taken = width(&text);
        self.text.extend(std::iter::repeat_n(' ', self.blanks));
        self.text.push_str(&self.colours.paint(tone, &text));
        self.used += self.blanks + taken;
        self.blanks = columns.saturating_sub(taken) + gap;
    }

    pub(in crate::detect) fn into_text(self) -> String {
        self.text
    }
}

/// A rule's id, fitted: without its prefixes, one after the other, since the name behind them says what is found.
pub(crate) fn rule_in(id: &str, columns: usize) -> String {
    let mut id = id;
    while width(id) > columns
        && let Some((_, name)) = id.split_once('.')
        && !name.is_empty()
    {
        id = name;
    }
    cut(id, columns)
}

pub(in crate::detect) fn shown(text: &str, place: Place) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, &bounded(text, MAX_TITLE), place);
    out
}

/// What a severity is to the eye.
pub(crate) fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Info => Tone::Dim,
        Severity::Low => Tone::Plain,
        Severity::Medium => Tone::Warning,
        Severity::High | Severity::Critical => Tone::Error,
    }
}

fn short(severity: Severity) -> &'static str {
    match severity {
        Severity::Medium => "med",
        Severity::Critical => "crit",
        other => other.as_str(),
    }
}
