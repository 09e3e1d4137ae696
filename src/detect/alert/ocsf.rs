//! The OCSF format: an event of the class Detection Finding (2004) of OCSF 1.8.0, with the profile `cloud`. The finding's
//! id is the alert's, so each update is of the same finding. What the class has no attribute for stands in `unmapped`.
//!
//! Source of the attributes: ocsf-schema, tag v1.8.0.

use super::subject::Subject;
use super::{Alert, AlertContext, MAX_EVENT_IDS, bounded, pairs};
use crate::detect::rule::Severity;
use crate::format::object::{Array, Object};

/// `metadata.version`
const VERSION: &str = "1.8.0";

const CATEGORY_UID: i64 = 2;
const CLASS_UID: i64 = 2004;

/// Characters of a title, an id or a name, and of prose.
const MAX_WORD: usize = 1100;
const MAX_PROSE: usize = 4000;

/// Members of a rule's lists.
const MAX_WORDS: usize = 100;

/// Appends an alert as one JSON object.
pub(super) fn encode(alert: &Alert, context: &AlertContext<'_>, out: &mut Vec<u8>) {
    let subject = Subject::of(alert);
    let mut object = Object::begin(out, false);
    classification(&mut object, alert);
    // The event that the finding was last made of: a finding of last month's events is last month's.
    object.integer("time", Some(alert.last_seen.as_millisecond()));
    object.integer("start_time", Some(alert.first_seen.as_millisecond()));
    object.integer("end_time", Some(alert.last_seen.as_millisecond()));
    object.integer("count", Some(count(alert.count)));
    object.text("message", &bounded(alert.headline(), MAX_WORD));
    object.boolean("is_alert", Some(true));
    object.object("metadata", |object| metadata(object, alert, context));
    object.object("cloud", |object| cloud(object, &subject));
    object.object("finding_info", |object| finding_info(object, alert, context));
    if let Some(arn) = subject.caller {
        object.array("evidences", |array| array.object(|object| object.object("user", |user| user.text("uid", arn))));
    }
    if let Some(model) = subject.model {
        object.array("resources", |array| {
            array.object(|object| {
                object.text("uid", model);
                object.text("type", "Amazon Bedrock model");
            });
        });
    }
    remediation(&mut object, alert);
    object.object("unmapped", |object| {
        object.text("dedup", &bounded(&alert.dedup, MAX_WORD));
        object.integer("revision", i64::try_from(alert.revision).ok());
        pairs(object, "group", &alert.group);
        pairs(object, "context", &alert.context);
    });
    object.end();
}

fn classification(object: &mut Object<'_>, alert: &Alert) {
    let (activity, name) = if alert.is_new() { (1, "Create") } else { (2, "Update") };
    object.integer("activity_id", Some(activity));
    object.text("activity_name", name);
    object.integer("category_uid", Some(CATEGORY_UID));
    object.text("category_name", "Findings");
    object.integer("class_uid", Some(CLASS_UID));
    object.text("class_name", "Detection Finding");
    object.integer("type_uid", Some(CLASS_UID * 100 + activity));
    object.text("type_name", if alert.is_new() { "Detection Finding: Create" } else { "Detection Finding: Update" });
    let (severity_id, severity) = match alert.severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    };
    object.integer("severity_id", Some(severity_id));
    object.text("severity", severity);
    // An update changes nothing of it: that somebody is at work on a finding is for others to say.
    object.integer("status_id", Some(1));
    object.text("status", "New");
}

fn metadata(object: &mut Object<'_>, alert: &Alert, context: &AlertContext<'_>) {
    object.text("version", VERSION);
    object.object("product", |object| {
        object.text("name", "bedrock-tap");
        object.text("vendor_name", "bedrock-tap");
        filled(object, "version", context.version);
    });
    object.list("profiles", &["cloud"]);
    // One of its own for each update; an update that is sent again has the same one.
    object.text("uid", &format!("{}-{}", bounded(&alert.id, MAX_WORD), alert.revision));
    filled(object, "correlation_uid", &bounded(&alert.id, MAX_WORD));
    filled(object, "event_code", &bounded(&alert.rule.id, MAX_WORD));
    words(object, "labels", &alert.rule.tags);
    object.text("log_name", alert.rule.log_type.as_str());
    object.integer("processed_time", Some(context.now.as_millisecond()));
}

fn cloud(object: &mut Object<'_>, subject: &Subject<'_>) {
    object.text("provider", "AWS");
    if let Some(region) = subject.region {
        object.text("region", region);
    }
    if let Some(account) = subject.account {
        object.object("account", |object| {
            object.text("uid", account);
            object.text("type", "AWS Account");
            object.integer("type_id", Some(10));
        });
    }
}

fn finding_info(object: &mut Object<'_>, alert: &Alert, context: &AlertContext<'_>) {
    let rule = &alert.rule;
    object.text("uid", &bounded(&alert.id, MAX_WORD));
    object.text("title", &bounded(alert.headline(), MAX_WORD));
    filled(object, "desc", &bounded(&rule.description, MAX_PROSE));
    words(object, "types", &rule.tags);
    object.object("analytic", |object| {
        object.text("uid", &bounded(&rule.id, MAX_WORD));
        filled(object, "name", &bounded(&rule.name, MAX_WORD));
        object.text("type", "Rule");
        object.integer("type_id", Some(1));
    });
    let known = rule.attack.iter().chain(&rule.atlas).filter(|name| !name.trim().is_empty());
    let known: Vec<_> = known.take(MAX_WORDS).collect();
    if !known.is_empty() {
        object.array("attacks", |array| known.into_iter().for_each(|name| attack(array, &bounded(name, MAX_WORD))));
    }
    // What a finding says of its own making: when it was first told of is known of the first telling only.
    let made = if alert.is_new() { "created_time" } else { "modified_time" };
    object.integer(made, Some(context.now.as_millisecond()));
    object.integer("first_seen_time", Some(alert.first_seen.as_millisecond()));
    object.integer("last_seen_time", Some(alert.last_seen.as_millisecond()));
    object.integer("related_events_count", Some(count(alert.count)));
    object.list("data_sources", &[alert.rule.log_type.as_str()]);
    let events: Vec<_> = alert.event_ids.iter().filter(|id| !id.is_empty()).take(MAX_EVENT_IDS).collect();
    if !events.is_empty() {
        object.array("related_events", |array| {
            events.into_iter().for_each(|id| array.object(|object| object.text("uid", &bounded(id, MAX_WORD))));
        });
    }
}

/// A tactic and a technique, as `TA0040:T1496.004`; one of them may be missing. What stands behind a technique's point is
/// a technique of its own: in ATT&CK behind the first one, in ATLAS, whose ids have one anyway, behind the second.
fn attack(array: &mut Array<'_>, name: &str) {
    let (tactic, technique) = match name.split_once(':') {
        Some((tactic, technique)) => (tactic, technique),
        None if name.starts_with("TA") || name.starts_with("AML.TA") => (name, ""),
        None => ("", name),
    };
    let (tactic, technique) = (tactic.trim(), technique.trim());
    let prefix = if technique.starts_with("AML.") { "AML.".len() } else { 0 };
    let whole = technique[prefix..].find('.').map_or(technique, |at| &technique[..prefix + at]);
    array.object(|object| {
        let mut part = |key, uid: &str| {
            if !uid.is_empty() {
                object.object(key, |object| object.text("uid", uid));
            }
        };
        part("tactic", tactic);
        part("technique", whole);
        part("sub_technique", if whole == technique { "" } else { technique });
    });
}

/// What to do about it.
fn remediation(object: &mut Object<'_>, alert: &Alert) {
    let rule = &alert.rule;
    let Some(runbook) = rule.runbook.as_deref().filter(|runbook| !runbook.trim().is_empty()) else { return };
    object.object("remediation", |object| {
        object.text("desc", &bounded(runbook, MAX_PROSE));
        words(object, "references", &rule.references);
    });
}

/// The class's counts have 32 bits.
fn count(count: u64) -> i64 {
    i64::from(i32::try_from(count).unwrap_or(i32::MAX))
}

fn filled(object: &mut Object<'_>, key: &'static str, value: &str) {
    if !value.is_empty() {
        object.text(key, value);
    }
}

fn words(object: &mut Object<'_>, key: &'static str, words: &[String]) {
    let words = words.iter().filter(|word| !word.is_empty()).take(MAX_WORDS);
    object.list(key, &words.map(|word| bounded(word, MAX_WORD)).collect::<Vec<_>>());
}
