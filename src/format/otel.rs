//! The OpenTelemetry format: a GenAI log event.

use super::object::Object;
use crate::enrich::Event;
use crate::pipeline::Context;

/// Appends the event as one JSON object.
pub fn encode(event: &Event<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let _ = context;
    Object::begin(out, event.invocation.line_breaks).end();
}
