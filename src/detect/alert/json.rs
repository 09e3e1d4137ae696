//! The JSON format of alerts: all that is known of one, as one object with a stable order.

use super::{Alert, MAX_EVENT_IDS, bounded, pairs};
use crate::format::object::Object;

/// Characters of a rule's prose.
const MAX_PROSE: usize = 4000;

/// Characters of a name, an id or a word.
const MAX_WORD: usize = 1000;

/// What of a rule's lists is written, so that an alert is never larger than its rule's author meant.
const MAX_WORDS: usize = 100;

/// Appends an alert as one JSON object.
pub(super) fn encode(alert: &Alert, out: &mut Vec<u8>) {
    let rule = &alert.rule;
    let mut object = Object::begin(out, false);
    object.text("id", &alert.id);
    object.integer("revision", i64::try_from(alert.revision).ok());
    object.text("status", status(alert));
    // The name that lines of findings have, so that both can be asked for it.
    object.text("rule_id", &bounded(&rule.id, MAX_WORD));
    object.object("rule", |object| {
        object.text("id", &bounded(&rule.id, MAX_WORD));
        object.text("name", &bounded(&rule.name, MAX_WORD));
        object.text("severity", rule.severity.as_str());
        object.text("log_type", rule.log_type.as_str());
    });
    object.text("severity", alert.severity.as_str());
    object.text("title", &bounded(&alert.title, MAX_PROSE));
    if !rule.description.is_empty() {
        object.text("description", &bounded(&rule.description, MAX_PROSE));
    }
    object.text("dedup", &bounded(&alert.dedup, MAX_PROSE));
    pairs(&mut object, "group", &alert.group);
    object.text("first_seen", &alert.first_seen.to_string());
    object.text("last_seen", &alert.last_seen.to_string());
    object.integer("count", i64::try_from(alert.count).ok());
    object.array("event_ids", |array| {
        alert.event_ids.iter().take(MAX_EVENT_IDS).for_each(|id| array.text(&bounded(id, MAX_WORD)));
    });
    pairs(&mut object, "context", &alert.context);
    words(&mut object, "tags", &rule.tags);
    object.object_if_any("mitre", |object| {
        words(object, "attack", &rule.attack);
        words(object, "atlas", &rule.atlas);
    });
    words(&mut object, "references", &rule.references);
    if let Some(runbook) = &rule.runbook {
        object.text("runbook", &bounded(runbook, MAX_PROSE));
    }
    object.end();
}

fn status(alert: &Alert) -> &'static str {
    if alert.revision <= 1 { "opened" } else { "updated" }
}

fn words(object: &mut Object<'_>, key: &'static str, words: &[String]) {
    let words: Vec<_> = words.iter().take(MAX_WORDS).map(|word| bounded(word, MAX_WORD)).collect();
    object.list(key, &words);
}
