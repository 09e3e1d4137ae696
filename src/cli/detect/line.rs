//! A line of `detect`: a finding or an alert, for people or as JSON.

use serde_json::{Map, Value, json};

use crate::cli::tail::printer::Look;
use crate::detect::{Alert, Finding, Severity};
use crate::format::text::escape::{Place, push_escaped};
use crate::format::text::{Colours, Tone};

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
    Text(Colours),
    Json,
}

impl Form {
    /// The form that is chosen, or else that fits standard output.
    pub(super) fn of_process(format: Option<Format>) -> Self {
        match format {
            Some(Format::Json) => Self::Json,
            None if !super::is_terminal() => Self::Json,
            _ => Self::Text(Look::of_process(None).colours),
        }
    }

    pub(super) fn finding(self, finding: &Finding, out: &mut Vec<u8>) {
        match self {
            Self::Text(colours) => {
                let request = finding.request_id.as_deref().map(|id| format!("({id})")).unwrap_or_default();
                let time = finding.time.to_string();
                text(&time, finding.severity, &finding.rule.id, &finding.title, &request, colours, out);
            }
            Self::Json => push(&finding_json(finding), out),
        }
    }

    pub(super) fn alert(self, alert: &Alert, out: &mut Vec<u8>) {
        match self {
            Self::Text(colours) => {
                let plural = if alert.count == 1 { "" } else { "s" };
                let last = if alert.last_seen == alert.first_seen {
                    String::new()
                } else {
                    format!(", the last {}", alert.last_seen)
                };
                let count = format!("({} event{plural}{last})", alert.count);
                let time = alert.first_seen.to_string();
                text(&time, alert.severity, &alert.rule.id, &alert.title, &count, colours, out);
            }
            Self::Json => push(&alert_json(alert), out),
        }
    }
}

fn text(time: &str, severity: Severity, rule: &str, title: &str, rest: &str, colours: Colours, out: &mut Vec<u8>) {
    let tone = match severity {
        Severity::Info | Severity::Low => Tone::Plain,
        Severity::Medium => Tone::Warning,
        Severity::High | Severity::Critical => Tone::Error,
    };
    // What comes from a record may hold anything, also what steers a terminal.
    let plain = |text: &str| {
        let mut plain = String::new();
        push_escaped(&mut plain, text, Place::Body);
        plain.replace('\n', " ")
    };
    let severity = format!("{:8}", severity.as_str());
    let line = format!(
        "{} {} {} {} {}",
        time,
        colours.paint(tone, &severity),
        colours.paint(Tone::Name, rule),
        plain(title),
        colours.paint(Tone::Dim, &plain(rest))
    );
    out.extend_from_slice(line.trim_end().as_bytes());
    out.push(b'\n');
}

fn push(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(value.to_string().as_bytes());
    out.push(b'\n');
}

fn members(members: &[(String, String)]) -> Value {
    Value::Object(members.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>())
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "time": finding.time.to_string(),
        "rule_id": finding.rule.id,
        "severity": finding.severity.as_str(),
        "title": finding.title,
        "dedup": finding.dedup,
        "event_id": finding.event_id,
        "request_id": finding.request_id,
        "group": members(&finding.group),
        "context": members(&finding.context),
    })
}

fn alert_json(alert: &Alert) -> Value {
    json!({
        "id": alert.id,
        "rule_id": alert.rule.id,
        "severity": alert.severity.as_str(),
        "title": alert.title,
        "dedup": alert.dedup,
        "first_seen": alert.first_seen.to_string(),
        "last_seen": alert.last_seen.to_string(),
        "count": alert.count,
        "group": members(&alert.group),
        "context": members(&alert.context),
        "event_ids": alert.event_ids,
    })
}
