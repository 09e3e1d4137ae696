//! A line of `detect`: a finding or an alert, for people or as JSON.

use jiff::Timestamp;

use crate::cli::tail::printer::Look;
use crate::detect::alert::{self, AlertContext, AlertFormat};
use crate::detect::{Alert, Finding, finding};
use crate::format::text::Colours;

/// The form of the lines, as it is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// A line for people: time, severity, rule, title
    Text,
    /// A JSON object a line, with all there is
    Json,
}

/// The form of the lines, as they are printed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// Fitted to a terminal's width, if it is one.
    Text {
        columns: Option<usize>,
        colours: Colours,
    },
    Json,
}

impl Form {
    /// The form that is chosen, or else that fits standard output.
    pub(super) fn of_process(format: Option<Format>) -> Self {
        let Look { columns, colours, .. } = Look::of_process(None);
        match format {
            Some(Format::Json) => Self::Json,
            None if columns.is_none() => Self::Json,
            _ => Self::Text { columns, colours },
        }
    }

    pub(super) fn finding(self, finding: &Finding, out: &mut Vec<u8>) {
        match self {
            Self::Text { columns, colours } => {
                out.extend_from_slice(finding::text(finding, columns, colours).as_bytes());
            }
            Self::Json => finding::json(finding, out),
        }
        out.push(b'\n');
    }

    pub(super) fn alert(self, alert: &Alert, out: &mut Vec<u8>) {
        match self {
            Self::Text { columns, colours } => out.extend_from_slice(alert::text(alert, columns, colours).as_bytes()),
            Self::Json => {
                let context = AlertContext {
                    routing_key: None,
                    told: None,
                    version: env!("CARGO_PKG_VERSION"),
                    now: Timestamp::now(),
                };
                // This format writes every alert.
                let _ = AlertFormat::Json.encode(alert, &context, out);
            }
        }
        out.push(b'\n');
    }
}
