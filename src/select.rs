//! Selection: which events are kept, dropped or sampled, by expressions of the Common Expression Language (CEL) over the
//! record and its view.

use sha2::{Digest, Sha256};

use crate::enrich::Event;
use crate::expression::{Demand, Expression, Names, Variables, view_json};
use crate::invocation::JsonStr;
use crate::json::push_hex;
use crate::pipeline::Context;
use crate::reject::Skip;

/// What the user wants to see. An event that `drop` matches is left out, then one that `keep` does not match, and of the
/// rest a sample is kept.
#[derive(Debug, Default)]
pub struct Selection {
    drop: Option<Expression>,
    keep: Option<Expression>,
    sample: Option<Sample>,
    /// What all expressions together need.
    demand: Demand,
}

/// A sample of events.
#[derive(Debug)]
pub struct Sample {
    /// The share that is kept, 0 to 1.
    pub ratio: f64,
    /// Which events are sampled, all others are kept; none samples all.
    pub when: Option<Expression>,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// As what the event is left out; none keeps it.
    pub skip: Option<Skip>,
    /// Expressions that could not be evaluated for this event. They leave nothing out.
    pub failures: u64,
}

impl Selection {
    /// A selection by the given expressions; what is none leaves nothing out.
    pub fn new(drop: Option<Expression>, keep: Option<Expression>, sample: Option<Sample>) -> Self {
        let mut demand = Demand::default();
        let when = sample.as_ref().and_then(|sample| sample.when.as_ref());
        for expression in [&drop, &keep].into_iter().flatten().chain(when) {
            demand.merge(expression.demand());
        }
        Self { drop, keep, sample, demand }
    }

    /// What becomes of an event.
    pub fn verdict(&self, event: &Event<'_>, context: &Context<'_>) -> Verdict {
        let view = view_json(event, context, &self.demand);
        // An event that is over a limit is kept, as one that an expression does not fit.
        let variables = Variables::build(event.invocation, &view, &self.demand, Names::Exact).ok();
        let mut failures = 0;
        // Losing an event is worse than one too many: what cannot be told is told in its favour.
        let mut ask = |expression: &Expression, otherwise: bool| {
            let answer = variables.as_ref().and_then(|variables| expression.evaluate(variables));
            failures += u64::from(answer.is_none());
            answer.unwrap_or(otherwise)
        };
        let filtered = self.drop.as_ref().is_some_and(|drop| ask(drop, false))
            || self.keep.as_ref().is_some_and(|keep| !ask(keep, true));
        let mut sampled_out = |sample: &Sample| {
            sample.when.as_ref().is_none_or(|when| ask(when, false)) && !is_in_sample(event, sample.ratio)
        };
        let skip = if filtered {
            Some(Skip::Filtered)
        } else {
            self.sample.as_ref().filter(|sample| sampled_out(sample)).map(|_| Skip::Sampled)
        };
        Verdict { skip, failures }
    }
}

/// Whether the event is among those that a sample keeps: the first 8 bytes of the SHA-256 of its request id, read as a
/// big-endian number and divided by 2⁶⁴, are less than the ratio. Where the record has no request id, the hexadecimal
/// text of its row id stands in its place. So every run, worker and machine keeps the same events, and a larger ratio
/// keeps all that a smaller one does.
fn is_in_sample(event: &Event<'_>, ratio: f64) -> bool {
    let request_id = event.invocation.request_id.map(JsonStr::decode).filter(|id| !id.is_empty());
    let digest = match request_id {
        Some(id) => Sha256::digest(id.as_bytes()),
        None => {
            let mut row_id = Vec::new();
            push_hex(&mut row_id, &event.row_id());
            Sha256::digest(row_id)
        }
    };
    let number = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    // A product with a power of two is exact, and a whole number is less than it if it is less than the next whole one.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^64")]
    let end = (ratio.clamp(0.0, 1.0) * 2_f64.powi(64)).ceil() as u128;
    u128::from(number) < end
}

#[cfg(test)]
mod tests;
