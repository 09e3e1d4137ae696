//! The raw format: the record as it came.
use crate::invocation::Invocation;

/// Appends the message as it came.
pub fn encode(invocation: &Invocation<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(invocation.event.message.as_bytes());
}
