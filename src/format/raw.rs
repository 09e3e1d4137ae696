//! The raw format: the record as it came, on one line.

use super::panther::push_on_one_line;
use crate::invocation::Invocation;

/// Appends the message as it came; line breaks between its tokens become spaces.
pub fn encode(invocation: &Invocation<'_>, out: &mut Vec<u8>) {
    push_on_one_line(out, invocation.event.message.as_bytes(), invocation.line_breaks);
}
