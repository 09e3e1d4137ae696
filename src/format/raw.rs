//! The raw format: the record as it came, on one line.

use super::object::push_on_one_line;
use crate::enrich::Event;

/// Appends the message as it came; line breaks between its tokens become spaces.
pub fn encode(event: &Event<'_>, out: &mut Vec<u8>) {
    let invocation = event.invocation;
    push_on_one_line(out, invocation.event.message.as_bytes(), invocation.line_breaks);
}
