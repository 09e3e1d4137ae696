//! The text format: one line for people.
use crate::invocation::Invocation;
use crate::pipeline::Context;

/// Appends one line for people.
pub fn encode(invocation: &Invocation<'_>, context: &Context<'_>, out: &mut Vec<u8>) {
    let _ = (invocation, context, out);
}
