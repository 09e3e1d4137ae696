//! The line of an alert, for people.

use super::Alert;
use crate::detect::finding::{Line, shown};
use crate::format::text::escape::Place;
use crate::format::text::{Colours, Tone};

/// An alert as one line: the time of its last event, severity, rule, how many events, and title, fitted to `columns`.
/// Without them nothing is cut, and the time of its first event and its id stand behind.
pub fn text(alert: &Alert, columns: Option<usize>, colours: Colours) -> String {
    let mut line = Line::new(columns, colours);
    line.head(alert.last_seen, alert.severity, &alert.rule);
    line.cell(&format!("{}x", alert.count), 4, Tone::Plain);
    line.title(alert.headline());
    if columns.is_none() {
        line.cell(&format!("since={:.3}", alert.first_seen), 0, Tone::Dim);
        line.cell(&format!("id={}", shown(&alert.id, Place::Field)), 0, Tone::Dim);
    }
    line.into_text()
}
