//! The format of PagerDuty: an event of the Events API v2, `POST https://events.pagerduty.com/v2/enqueue`. Each update is
//! the same trigger again, with the alert's id as its key: PagerDuty puts it into the incident that is open.
//!
//! Source of the members and their limits: "Send an alert event", PagerDuty's Events API v2 reference.

use super::subject::Subject;
use super::{Alert, AlertContext, MAX_EVENT_IDS, bounded, named};
use crate::detect::rule::Severity;
use crate::format::object::Object;
use crate::format::text::escape::{Place, push_escaped};

/// Characters of the summary.
const MAX_SUMMARY: usize = 1024;

/// Characters of the key. An alert's id has 32.
const MAX_KEY: usize = 255;

/// Limits of all else. The whole event may have 512 KB; with these it has less, whatever the characters: of one, JSON may
/// make six bytes.
const MAX_PROSE: usize = 2000;
const MAX_NAME: usize = 255;
const MAX_EVENT_ID: usize = 100;
const MAX_PAIRS: usize = 30;
const MAX_VALUE: usize = 500;
const MAX_LINKS: usize = 20;

/// Appends an alert as one JSON object.
pub(super) fn encode(alert: &Alert, context: &AlertContext<'_>, out: &mut Vec<u8>) {
    let rule = &alert.rule;
    let mut object = Object::begin(out, false);
    object.text("routing_key", context.routing_key.unwrap_or_default());
    object.text("event_action", "trigger");
    object.text("dedup_key", &bounded(&alert.id, MAX_KEY));
    object.text("client", "bedrock-tap");
    object.object("payload", |object| payload(object, alert, context));
    let links = rule.references.iter().filter(|link| link.starts_with("https://") || link.starts_with("http://"));
    let links: Vec<_> = links.filter(|link| link.len() <= MAX_PROSE).take(MAX_LINKS).collect();
    if !links.is_empty() {
        object.array("links", |array| {
            for link in links {
                array.object(|object| {
                    object.text("href", link);
                    object.text("text", &bounded(link, MAX_NAME));
                });
            }
        });
    }
    object.end();
}

fn payload(object: &mut Object<'_>, alert: &Alert, context: &AlertContext<'_>) {
    let rule = &alert.rule;
    let subject = Subject::of(alert);
    let mut summary = String::new();
    push_escaped(&mut summary, alert.headline(), Place::Body);
    object.text("summary", &bounded(&summary, MAX_SUMMARY));
    let source: Vec<_> = [Some("aws"), subject.account, subject.region].into_iter().flatten().collect();
    object.text("source", &source.join(":"));
    object.text("severity", severity(alert.severity));
    object.text("timestamp", &alert.last_seen.to_string());
    object.text("component", "Amazon Bedrock");
    let group: Vec<_> = alert.group.iter().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty()).collect();
    if !group.is_empty() {
        object.text("group", &bounded(&group.join(" | "), MAX_NAME));
    }
    object.text("class", &bounded(&rule.id, MAX_NAME));
    object.object("custom_details", |object| details(object, alert, context));
}

fn details(object: &mut Object<'_>, alert: &Alert, context: &AlertContext<'_>) {
    let rule = &alert.rule;
    object.text("alert_id", &bounded(&alert.id, MAX_KEY));
    object.integer("revision", i64::try_from(alert.revision).ok());
    object.text("rule_id", &bounded(&rule.id, MAX_NAME));
    object.text("rule_name", &bounded(&rule.name, MAX_NAME));
    object.text("severity", alert.severity.as_str());
    object.text("dedup", &bounded(&alert.dedup, MAX_SUMMARY));
    object.integer("count", i64::try_from(alert.count).ok());
    object.text("first_seen", &alert.first_seen.to_string());
    object.text("last_seen", &alert.last_seen.to_string());
    object.object("group", |object| details_of(object, &alert.group));
    object.object("context", |object| details_of(object, &alert.context));
    object.array("event_ids", |array| {
        alert.event_ids.iter().take(MAX_EVENT_IDS).for_each(|id| array.text(&bounded(id, MAX_EVENT_ID)));
    });
    if !rule.description.is_empty() {
        object.text("description", &bounded(&rule.description, MAX_PROSE));
    }
    if let Some(runbook) = &rule.runbook {
        object.text("runbook", &bounded(runbook, MAX_PROSE));
    }
    object.text("bedrock_tap", context.version);
}

fn details_of(object: &mut Object<'_>, pairs: &[(String, String)]) {
    for (name, value) in named(pairs).into_iter().take(MAX_PAIRS) {
        object.entry(&name, &bounded(&value, MAX_VALUE));
    }
}

/// PagerDuty has four words.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info | Severity::Low => "info",
        Severity::Medium => "warning",
        Severity::High => "error",
        Severity::Critical => "critical",
    }
}
