//! The view format: the view of an invocation's bodies as one JSON object, as selection sees it too.

use super::object::Object;
use crate::enrich::Event;
use crate::pipeline::Context;

/// Appends the view as one JSON object.
pub fn encode(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let _ = context;
    let mut object = Object::begin(out, event.invocation.line_breaks);
    object.said("stop_reason", event.view.answer().stop_reason.as_ref());
    object.end();
}
