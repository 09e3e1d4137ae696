//! Selection: which events are kept, dropped or sampled.

use crate::enrich::Event;
use crate::pipeline::Context;
use crate::reject::Skip;

/// What the user wants to see.
#[derive(Debug, Default)]
pub struct Selection {}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// As what the event is left out; none keeps it.
    pub skip: Option<Skip>,
    /// Expressions that could not be evaluated for this event. Such an event is kept.
    pub failures: u64,
}

impl Selection {
    /// What becomes of an event.
    pub fn verdict(&self, event: &Event<'_>, context: &Context<'_>) -> Verdict {
        let _ = (event, context);
        Verdict::default()
    }
}
