//! An envelope: log events of the API in the shape that a subscription sends them in, so that all that comes after sees
//! the same whichever way an event came.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::client::{Event, Group};
use crate::record::{Origin, Record};

/// An envelope takes no further event once its messages have this size: a page of the service's own size fits one.
const MAX_MESSAGE_BYTES: usize = 2 * 1024 * 1024;

/// One envelope; the names are CloudWatch Logs' own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    message_type: &'static str,
    owner: &'a str,
    log_group: &'a str,
    log_stream: &'a str,
    subscription_filters: [&'static str; 0],
    log_events: Vec<LogEvent<'a>>,
}

/// One event; what the service left out is left out here, for the line to judge.
#[derive(Serialize)]
struct LogEvent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// Puts events into envelopes, one a log stream (more where they are large), in the order of their first events. The
/// account is that of the log group's ARN, and empty where it was named without.
pub fn records(group: &Group, events: &[Event]) -> Vec<Record> {
    let mut envelopes: Vec<(Envelope<'_>, usize)> = Vec::new();
    // The envelope of each log stream that is not full.
    let mut open: HashMap<&str, usize> = HashMap::new();
    for event in events {
        let stream = event.log_stream.as_deref().unwrap_or_default();
        let at = *open.entry(stream).or_insert_with(|| {
            envelopes.push((envelope(group, stream), 0));
            envelopes.len() - 1
        });
        let (envelope, bytes) = &mut envelopes[at];
        envelope.log_events.push(LogEvent {
            id: event.id.as_deref(),
            timestamp: event.timestamp_millis,
            message: event.message.as_deref(),
        });
        *bytes += event.message.as_ref().map_or(0, String::len);
        if *bytes >= MAX_MESSAGE_BYTES {
            open.remove(stream);
        }
    }
    let record = |(envelope, _): &(Envelope<'_>, usize)| {
        // Texts and numbers always have a JSON form.
        let data = serde_json::to_vec(envelope).unwrap_or_default();
        Record::new(Bytes::from(data), Origin::CloudWatch { log_group: Arc::clone(&group.given) })
    };
    envelopes.iter().map(record).collect()
}

fn envelope<'a>(group: &'a Group, log_stream: &'a str) -> Envelope<'a> {
    Envelope {
        message_type: "DATA_MESSAGE",
        owner: group.account.as_deref().unwrap_or_default(),
        log_group: &group.name,
        log_stream,
        subscription_filters: [],
        log_events: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(log_stream: &str, id: &str, message: &str) -> Event {
        Event {
            id: Some(id.to_owned()),
            log_stream: Some(log_stream.to_owned()),
            timestamp_millis: Some(7),
            message: Some(message.to_owned()),
        }
    }

    fn texts(group: &str, events: &[Event]) -> Vec<String> {
        let records = records(&Group::of(group), events);
        records.into_iter().map(|record| String::from_utf8(record.data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn events_are_shaped_as_a_subscription_sends_them() {
        let events = [event("a", "1", "{\"x\":\"\\u0000\u{1}\u{2028}\"}\n"), event("b", "2", ""), event("a", "3", "z")];
        let head = r#"{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"g:h","#;
        assert_eq!(
            texts("arn:aws:logs:eu-west-1:123456789012:log-group:g:h:*", &events),
            [
                head.to_owned()
                    + r#""logStream":"a","subscriptionFilters":[],"logEvents":["#
                    + r#"{"id":"1","timestamp":7,"message":"{\"x\":\"\\u0000\u0001"#
                    + "\u{2028}"
                    + r#"\"}\n"},{"id":"3","timestamp":7,"message":"z"}]}"#,
                head.to_owned()
                    + r#""logStream":"b","subscriptionFilters":[],"logEvents":[{"id":"2","timestamp":7,"message":""}]}"#,
            ]
        );
    }

    #[test]
    fn what_the_service_left_out_is_left_out() {
        let expected = r#"{"messageType":"DATA_MESSAGE","owner":"","logGroup":"g","logStream":"","subscriptionFilters":[],"logEvents":[{}]}"#;
        assert_eq!(texts("g", &[Event::default()]), [expected]);
    }

    #[test]
    fn a_full_envelope_is_followed_by_another() {
        let large = "m".repeat(MAX_MESSAGE_BYTES - 1);
        let events = [event("a", "1", &large), event("a", "2", "mm"), event("a", "3", "m"), event("b", "4", "m")];
        let counts: Vec<_> = texts("g", &events).iter().map(|text| text.matches("\"id\"").count()).collect();
        assert_eq!(counts, [2, 1, 1]);
    }
}
