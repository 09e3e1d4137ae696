//! The JSON format of alerts: all that is known of one, as one object with a stable order.

use serde_json::{Value, json};

use super::{Alert, MAX_EVENT_IDS, bounded, pairs};
use crate::detect::rule::Severity;
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
    object.text("status", if alert.is_new() { "opened" } else { "updated" });
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

fn words(object: &mut Object<'_>, key: &'static str, words: &[String]) {
    let words: Vec<_> = words.iter().take(MAX_WORDS).map(|word| bounded(word, MAX_WORD)).collect();
    object.list(key, &words);
}

/// The JSON Schema (2020-12) of an alert in the format `json`.
pub fn json_schema() -> Value {
    let text = |meaning: &str| json!({ "type": "string", "description": meaning });
    let severity = |meaning: &str| {
        let names = Severity::ALL.map(Severity::as_str);
        json!({ "type": "string", "enum": names, "description": meaning })
    };
    let time = |meaning: &str| json!({ "type": "string", "format": "date-time", "description": meaning });
    let texts = |meaning: &str| json!({ "type": "array", "items": { "type": "string" }, "description": meaning });
    let pairs = |meaning: &str| {
        let most = super::MAX_PAIRS;
        let values = json!({ "type": "string" });
        json!({ "type": "object", "additionalProperties": values, "maxProperties": most, "description": meaning })
    };
    let count = |meaning: &str| json!({ "type": "integer", "minimum": 1, "description": meaning });
    let ids = "The ids of the first events in it: the row ids of invocations, CloudTrail's ids of its records.";
    let mut event_ids = texts(ids);
    event_ids["maxItems"] = json!(MAX_EVENT_IDS);
    let object = |properties: Value, required: &[&str], meaning: &str| {
        json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
            "description": meaning
        })
    };
    let rule = json!({
        "id": text("Its id."),
        "name": text("Its name."),
        "severity": severity("How bad its findings are, unless it says otherwise of one."),
        "log_type": text("The kind of records that it is about.")
    });
    let mitre = json!({
        "attack": texts("ATT&CK: tactic and technique, such as `TA0040:T1496.004`."),
        "atlas": texts("ATLAS, such as `AML.T0051`.")
    });
    let properties = json!({
        "id": text("The alert's id: the same in all its updates, and after a restart."),
        "revision": count("1 when it is opened, and one more with each update."),
        "status": { "type": "string", "enum": ["opened", "updated"], "description": "Whether it is told of for the first time." },
        "rule_id": text("The rule's id."),
        "rule": object(rule, &["id", "name", "severity", "log_type"], "The rule."),
        "severity": severity("The worst severity among its findings."),
        "title": text("The title of the finding that opened it."),
        "description": text("What the rule looks for and why; omitted where it does not say."),
        "dedup": text("What its findings have in common."),
        "group": pairs("What it is grouped by: names and values. What is not known is empty."),
        "first_seen": time("The time of the first event in it."),
        "last_seen": time("The time of the last event in it."),
        "count": count("Events in it."),
        "event_ids": event_ids,
        "context": pairs("What a person wants to know beside the title, of the newest finding."),
        "tags": texts("The rule's tags; omitted where there are none."),
        "mitre": object(mitre, &[], "MITRE's names for it; omitted where there are none."),
        "references": texts("Where to read more; omitted where there is nothing."),
        "runbook": text("What to do; omitted where nothing is said.")
    });
    let required = [
        "id",
        "revision",
        "status",
        "rule_id",
        "rule",
        "severity",
        "title",
        "dedup",
        "group",
        "first_seen",
        "last_seen",
        "count",
        "event_ids",
        "context",
    ];
    let mut schema = object(properties, &required, "What findings of one rule add up to, in the format `json`.");
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("bedrock-tap alert");
    schema
}
