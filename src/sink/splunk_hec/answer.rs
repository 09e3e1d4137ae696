//! What the collector's answers mean to a batch.

use std::collections::HashMap;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::sink::SinkError;
use crate::sink::client::Answer;

/// An answer of the collector is a line or two. What is longer comes from elsewhere, and is not read.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// The code of a request without data, which is otherwise in order.
pub(super) const NO_DATA: u64 = 5;

/// The code for a question for acknowledgements with a token that has none.
pub(super) const ACKS_DISABLED: u64 = 14;

/// What the collector says in an answer.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Told {
    /// Its own code for the outcome; 0 is success.
    pub(super) code: Option<u64>,
    /// What to ask for the acknowledgement with.
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
    /// The first event that is refused, counted from 0.
    #[serde(rename = "invalid-event-number")]
    invalid_event: Option<usize>,
}

impl Told {
    /// Reads an answer. One that is none of the collector's says nothing.
    pub(super) fn of(body: &[u8]) -> Self {
        if body.len() > MAX_ANSWER_BYTES {
            return Self::default();
        }
        serde_json::from_slice(body).unwrap_or_default()
    }
}

/// Why something cannot be delivered now. Quotes nothing that the collector says.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// The collector said no.
    #[error("the collector answered {status}, code {code}{advice}")]
    Code { status: StatusCode, code: u64, advice: String },
    /// Something answered.
    #[error("the answer is {0}, and none of an event collector{advice}", advice = advice_without_code(*.0))]
    NoCollector(StatusCode),
    /// The token has no acknowledgement where there has to be one.
    #[error("the token has no indexer acknowledgement: enable it in Splunk, or set `acknowledge` to \"auto\"")]
    NoAcks,
    /// There was none in time.
    #[error(
        "the indexers did not acknowledge a request within {seconds} s, it is sent again and may be there twice: is \
         indexing slow, or is there a load balancer whose sessions do not stick to one indexer?"
    )]
    NotAcknowledged {
        seconds: u64,
        #[source]
        last: Option<Box<Problem>>,
    },
    /// Trouble on the way.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Problem {
    /// What is wrong by this answer, which is no success; `index` is the one that was named.
    pub(super) fn of(answer: &Answer, index: Option<&str>) -> Self {
        let status = answer.status;
        match Told::of(&answer.body).code {
            Some(code) => Self::Code { status, code, advice: advice(code, index) },
            None => Self::NoCollector(status),
        }
    }
}

/// What a code means and what a person can do. Source: "Possible error codes" in Splunk's "Troubleshoot HTTP Event
/// Collector".
fn advice(code: u64, index: Option<&str>) -> String {
    let text = match code {
        1 | 22 => ": the token is disabled; enable it in Splunk",
        2 | 3 => ": it got no token that it can read; something on the way may take it off",
        4 | 21 => ": it does not know the token; is it the collector's, and of this Splunk?",
        6 | 12 | 13 | 15 => ": it refuses an event",
        7 => {
            let index = index.map_or("the token's default index".to_owned(), |index| format!("the index {index}"));
            return format!(": {index} does not exist or the token may not write to it; mend that, or set `index`");
        }
        8 => ": it has failed",
        9 | 18..=20 | 24..=26 => ": it is busy",
        10 | 11 => ": it does not take the channel; something on the way may take it off",
        ACKS_DISABLED => ": the token has no indexer acknowledgement any more",
        23 => ": it is shutting down",
        _ => "",
    };
    text.to_owned()
}

fn advice_without_code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=299 | 300..=399 | 400 | 404 | 405 => {
            "; is `url` the collector's, with `https` or `http` and the port as in its global settings, and is it enabled?"
        }
        407 => "; the proxy asks for a user",
        _ => "",
    }
}

/// What became of `count` items: the id of the acknowledgement, if the collector took them and gave one.
///
/// What is an item's own fault is refused: a form that the collector does not take, and a size. All else may change: a
/// token, a right, an index or a setting is mended by a person.
///
/// # Errors
/// [`SinkError::Retry`], [`SinkError::Refused`], or [`SinkError::Partial`] where one item is named.
pub(super) fn taken(answer: &Answer, count: usize, index: Option<&str>) -> Result<Option<u64>, SinkError> {
    let (status, told) = (answer.status, Told::of(&answer.body));
    let refused = || SinkError::Refused { answer: answer.quoted() };
    match (status.as_u16(), told.code) {
        (200..=299, Some(0)) => Ok(told.ack_id),
        // A proxy may refuse the size as well.
        (413, _) => Err(refused()),
        (400, Some(6 | 12 | 13 | 15)) => match told.invalid_event {
            // The collector stops at the first event that it does not take. It may have taken those before, but does not
            // say so, nor give an id to ask with: what is not known to be durable is sent again.
            Some(invalid) if invalid < count => Err(SinkError::Partial {
                retry: (0..count).filter(|item| *item != invalid).collect(),
                refused: vec![(invalid, answer.quoted())],
                after: None,
                source: Box::new(Problem::of(answer, index)),
            }),
            _ => Err(refused()),
        },
        // A line with nothing in it; a batch is never empty.
        (400, Some(NO_DATA)) => Err(refused()),
        _ => Err(SinkError::Retry { after: answer.retry_after(), source: Box::new(Problem::of(answer, index)) }),
    }
}

/// Whether the answer to a question says that this request is acknowledged.
pub(super) fn has_ack(answer: &Answer, id: u64) -> bool {
    #[derive(Deserialize)]
    struct Acks {
        acks: HashMap<String, bool>,
    }
    let is_short = answer.status == StatusCode::OK && answer.body.len() <= MAX_ANSWER_BYTES;
    let acks = is_short.then(|| serde_json::from_slice::<Acks>(&answer.body).ok()).flatten();
    acks.is_some_and(|told| told.acks.get(&id.to_string()) == Some(&true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::retry::Causes;
    use reqwest::header::{HeaderMap, RETRY_AFTER};
    use std::time::Duration;

    fn answer(status: u16, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        if status == 503 {
            headers.insert(RETRY_AFTER, "7".parse().unwrap());
        }
        let body = body.to_owned().into();
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body }
    }

    /// What becomes of three items: `taken`, `taken 7`, `refused`, `refused 1` with `again 0 2`, or `retry: why`.
    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let found = match taken(&answer(status, body), 3, Some("calls")) {
            Ok(None) => "taken".to_owned(),
            Ok(Some(id)) => format!("taken {id}"),
            Err(SinkError::Refused { answer }) => {
                assert!(answer.contains(&status.to_string()), "{answer}");
                "refused".to_owned()
            }
            Err(SinkError::Partial { retry, refused, after: None, .. }) => {
                let [(refused, answer)] = refused.as_slice() else { panic!("{refused:?}") };
                assert!(answer.contains(body), "{answer}");
                format!("refused {refused}, again {retry:?}")
            }
            Err(SinkError::Retry { after, source }) => {
                assert_eq!(after, (status == 503).then_some(Duration::from_secs(7)));
                let why = Causes(source.as_ref()).to_string();
                assert!(!why.contains("secret"), "{why}");
                format!("retry: {why}")
            }
            Err(error) => panic!("{error:?}"),
        };
        let is_expected = if expected.starts_with("retry") { found.starts_with(expected) } else { found == expected };
        assert!(is_expected, "{status} {body}: {found}");
    }

    #[test]
    fn each_code_has_its_meaning() {
        let code = |status: u16, code: u64, expected: &str| {
            check(status, &format!(r#"{{"text":"secret","code":{code}}}"#), expected);
        };
        code(200, 0, "taken");
        check(200, r#"{"text":"Success","code":0,"ackId":0}"#, "taken 0");
        check(200, r#"{"text":"Success","code":0,"ackId":18446744073709551615}"#, "taken 18446744073709551615");
        for (status, number) in [(403, 1), (400, 22)] {
            code(status, number, &format!("retry: the collector answered {}", StatusCode::from_u16(status).unwrap()));
        }
        code(403, 1, "retry: the collector answered 403 Forbidden, code 1: the token is disabled");
        code(401, 2, "retry: the collector answered 401 Unauthorized, code 2: it got no token");
        code(401, 3, "retry: the collector answered 401 Unauthorized, code 3: it got no token");
        code(403, 4, "retry: the collector answered 403 Forbidden, code 4: it does not know the token");
        code(400, 21, "retry: the collector answered 400 Bad Request, code 21: it does not know the token");
        code(400, 5, "refused");
        code(400, 7, "retry: the collector answered 400 Bad Request, code 7: the index calls does not exist or");
        check(400, r#"{"code":7,"invalid-event-number":1}"#, "retry: ");
        code(500, 8, "retry: the collector answered 500 Internal Server Error, code 8: it has failed");
        code(503, 9, "retry: the collector answered 503 Service Unavailable, code 9: it is busy");
        code(400, 10, "retry: the collector answered 400 Bad Request, code 10: it does not take the channel");
        code(400, 11, "retry: the collector answered 400 Bad Request, code 11: it does not take the channel");
        code(400, 14, "retry: the collector answered 400 Bad Request, code 14: the token has no");
        code(400, 16, "retry: the collector answered 400 Bad Request, code 16");
        for number in [18, 19, 20, 24, 25, 26] {
            let why = format!("retry: the collector answered 503 Service Unavailable, code {number}: it is busy");
            code(503, number, &why);
        }
        code(503, 23, "retry: the collector answered 503 Service Unavailable, code 23: it is shutting down");
        code(413, 27, "refused");
        code(400, 99, "retry: the collector answered 400 Bad Request, code 99");
    }

    #[test]
    fn an_item_that_is_named_is_refused_alone() {
        for code in [6, 12, 13, 15] {
            check(400, &format!(r#"{{"code":{code}}}"#), "refused");
            let invalid = |number: u64| format!(r#"{{"code":{code},"invalid-event-number":{number}}}"#);
            check(400, &invalid(0), "refused 0, again [1, 2]");
            check(400, &invalid(2), "refused 2, again [0, 1]");
            // A number that no item has.
            check(400, &invalid(3), "refused");
            check(400, &invalid(u64::MAX), "refused");
            // A server that fails does not know what it says.
            check(500, &invalid(0), "retry: ");
        }
    }

    #[test]
    fn what_is_no_answer_of_a_collector_takes_nothing() {
        for body in ["", "OK", "<html>secret</html>", "{}", "[]", "null", r#"{"code":"0"}"#, r#"{"code":-1}"#] {
            check(200, body, "retry: the answer is 200 OK, and none of an event collector; is `url`");
        }
        check(200, r#"{"code":0,"ackId":-1}"#, "retry: ");
        check(200, r#"{"code":0,"ackId":1e99}"#, "retry: ");
        check(200, &format!(r#"{{"code":0,"text":"{}"}}"#, "x".repeat(MAX_ANSWER_BYTES)), "retry: ");
        check(200, &"[".repeat(60_000), "retry: ");
        check(302, "", "retry: the answer is 302 Found, and none of");
        // What a server that expects `https` says to `http`.
        check(
            400,
            "<html>The plain HTTP request was sent to HTTPS port</html>",
            "retry: the answer is 400 Bad Request",
        );
        check(413, "<html>", "refused");
        for status in [401, 403, 404, 407, 408, 429, 500, 502, 503, 504] {
            check(status, "secret", &format!("retry: the answer is {}", StatusCode::from_u16(status).unwrap()));
        }
    }

    #[test]
    fn only_a_plain_yes_is_an_acknowledgement() {
        let check = |status: u16, body: &str, expected: bool| {
            assert_eq!(has_ack(&answer(status, body), 7), expected, "{body}");
        };
        check(200, r#"{"acks":{"7":true}}"#, true);
        check(200, r#"{"acks":{"0":false,"7":true}}"#, true);
        check(500, r#"{"acks":{"7":true}}"#, false);
        for body in [
            r#"{"acks":{"7":false}}"#,
            r#"{"acks":{"70":true}}"#,
            r#"{"acks":{"7":"true"}}"#,
            r#"{"acks":{"7":1}}"#,
            r#"{"acks":[7]}"#,
            r#"{"acks":null}"#,
            r#"{"code":14}"#,
            "true",
            "",
        ] {
            check(200, body, false);
        }
        check(200, &format!(r#"{{"acks":{{"7":true}},"x":"{}"}}"#, "x".repeat(MAX_ANSWER_BYTES)), false);
    }
}
