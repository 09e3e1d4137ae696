//! An event: an invocation, the view of its bodies, and what was found out about it on its way. Selection, redaction and
//! the formats work on it; what none of them asks for is never computed.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;

use crate::body::View;
use crate::detect::Severity;
use crate::format::object::{Array, Object};
use crate::invocation::Invocation;

pub mod cost;

use cost::{Cost, Estimate, Prices};

/// An invocation on its way from the parser to the formats.
#[derive(Debug)]
pub struct Event<'a> {
    /// The invocation. Fetched bodies stand in it, redacted ones too.
    pub invocation: &'a Invocation<'a>,
    /// The view of its bodies.
    pub view: View<'a>,
    /// What was done to it.
    pub marks: Marks,
    row_id: OnceCell<[u8; 16]>,
    estimate: OnceCell<Estimate>,
    /// The event that this one was made of: what is left of a body does not change what the call cost.
    source: Option<&'a dyn Priced>,
}

/// What has a cost.
trait Priced: fmt::Debug {
    fn estimate(&self, prices: &Prices) -> &Estimate;
}

impl Priced for Event<'_> {
    fn estimate(&self, prices: &Prices) -> &Estimate {
        match self.source {
            Some(source) => source.estimate(prices),
            None => self.estimate.get_or_init(|| prices.estimate(self.invocation, &self.view)),
        }
    }
}

/// What was done to an event on its way, for whoever reads it later. Written as the member `bedrock_tap` of the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// What became of the request's body in S3, if it was to be fetched: `fetched`, or why it is missing.
    pub input_body: Option<&'static str>,
    /// What became of the answer's body in S3.
    pub output_body: Option<&'static str>,
    /// What redaction did, if there was any.
    pub redacted: Option<Redacted>,
    /// What detection found.
    pub findings: Vec<Found>,
}

/// A finding, as it is marked on its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The rule's id.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
}

/// What a redaction did to one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redacted {
    /// Secrets that were masked, by kind.
    pub masked: BTreeMap<String, u64>,
    /// What stands in the place of the bodies, where they were taken out: `dropped` or `hashed`.
    pub bodies: Option<&'static str>,
}

impl<'a> Event<'a> {
    /// An event of an invocation as it was read.
    pub fn new(invocation: &'a Invocation<'a>) -> Self {
        Self {
            invocation,
            view: View::of(invocation),
            marks: Marks::default(),
            row_id: OnceCell::new(),
            estimate: OnceCell::new(),
            source: None,
        }
    }

    /// The same event with another text, which keeps its identity and its cost.
    pub fn with_invocation<'b>(&'b self, invocation: &'b Invocation<'b>, marks: Marks) -> Event<'b> {
        Event { marks, row_id: OnceCell::from(self.row_id()), source: Some(self), ..Event::new(invocation) }
    }

    /// The same event without its bodies: of them only figures, reasons and verdicts are still known.
    pub fn without_bodies<'b>(&'b self, invocation: &'b Invocation<'b>, marks: Marks) -> Event<'b> {
        let view = View::of(invocation).with_figures_of(&self.view);
        Event { view, ..self.with_invocation(invocation, marks) }
    }

    /// The event's identity, as [`Invocation::row_id`] tells it of the record as it came.
    pub fn row_id(&self) -> [u8; 16] {
        *self.row_id.get_or_init(|| self.invocation.row_id())
    }

    /// Whether somebody asked what the call cost and its model has no price.
    pub(crate) fn is_unpriced(&self) -> bool {
        matches!(self.estimate.get(), Some(Estimate::Unpriced))
    }

    /// What the call cost; none where its model has no price, or nothing that is charged is known.
    pub fn cost(&self, prices: &Prices) -> Option<&Cost> {
        match self.estimate(prices) {
            Estimate::Cost(cost) => Some(cost),
            Estimate::Unpriced | Estimate::Uncounted => None,
        }
    }
}

impl Marks {
    /// Appends the member `bedrock_tap`, if there is anything to say.
    pub(crate) fn write(&self, object: &mut Object<'_>) {
        if *self == Self::default() {
            return;
        }
        object.object("bedrock_tap", |object| self.members(object));
    }

    /// Appends what there is to say.
    pub(crate) fn members(&self, object: &mut Object<'_>) {
        for (key, state) in [("input_body", self.input_body), ("output_body", self.output_body)] {
            if let Some(state) = state {
                object.text(key, state);
            }
        }
        if let Some(redacted) = &self.redacted {
            object.object("redacted", |object| redacted.members(object));
        }
        if !self.findings.is_empty() {
            object.array("findings", |array| self.found(array));
        }
    }

    /// Appends what detection found, one object each.
    pub(crate) fn found(&self, array: &mut Array<'_>) {
        for found in &self.findings {
            array.object(|object| {
                object.text("rule", &found.rule);
                object.text("severity", found.severity.as_str());
            });
        }
    }
}

impl Redacted {
    /// Appends what was done.
    pub(crate) fn members(&self, object: &mut Object<'_>) {
        if let Some(bodies) = self.bodies {
            object.text("bodies", bodies);
        }
        object.object_if_any("masked", |object| {
            for (kind, count) in &self.masked {
                // Kinds are names of the configuration: letters, digits, `_` and `-`.
                object.raw_key(kind);
                object.raw(&count.to_string());
            }
        });
    }
}

/// What rules found, for tests.
#[cfg(test)]
pub(crate) fn found() -> Vec<Found> {
    let found = [("tap.refused", Severity::Low), ("acme.\"x\"", Severity::High)];
    found.map(|(rule, severity)| Found { rule: rule.to_owned(), severity }).to_vec()
}

/// What a message is as an event, for tests.
#[cfg(test)]
pub(crate) fn with_event<T>(message: &str, use_it: impl FnOnce(&Event<'_>, &crate::pipeline::Context<'_>) -> T) -> T {
    let origin = crate::record::Origin::File { path: "f".into(), offset: 0 };
    let prices = Prices::default();
    let context = crate::pipeline::Context {
        origin: &origin,
        parse_time: "2026-11-22T08:00:00Z".parse().unwrap(),
        source_id: None,
        source_label: None,
        unmapped: true,
        prices: &prices,
    };
    let event = crate::extract::LogEvent { message, ..Default::default() };
    let crate::parse::Parsed::Invocation(invocation) = crate::parse::message(event, 128) else {
        panic!("no invocation: {message}")
    };
    use_it(&Event::new(&invocation), &context)
}
