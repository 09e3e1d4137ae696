//! The sqs sink, against a queue that is told what goes wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bedrock_tap::format::key::Template;
use bedrock_tap::sink::sqs::{LIMITS, planned};
use bedrock_tap::sink::{Batch, Planned, Sink, SinkError};
use serde_json::json;

use super::contract::{self, Double, Trouble, item};
use crate::support::sqs_double::{Meet, Message, SqsDouble};

pub(super) struct Queue {
    pub(super) double: SqsDouble,
    group: Option<&'static str>,
}

impl Queue {
    pub(super) async fn start(is_fifo: bool) -> Self {
        Self { double: SqsDouble::start(is_fifo).await, group: is_fifo.then_some("{account}/all") }
    }

    async fn open(&self) -> (Arc<dyn Sink>, Option<Arc<Template>>) {
        let Planned { opening, tags, .. } = self.plan();
        (opening().await.unwrap(), tags)
    }

    /// Makes one attempt to deliver these.
    async fn attempt(&self, items: &[String]) -> Result<(), SinkError> {
        let (sink, tags) = self.open().await;
        sink.deliver(Arc::new(Batch { parts: vec![contract::lines(items, tags.as_deref())], range: None })).await
    }
}

impl Double for Queue {
    fn plan(&self) -> Planned {
        planned(self.double.settings(self.group), LIMITS)
    }

    fn script(&self, troubles: &[Trouble]) {
        self.double.script(troubles.iter().map(|trouble| match trouble {
            Trouble::Busy => Meet::Error(503, "ServiceUnavailable".into()),
            Trouble::Error => Meet::Error(500, "InternalFailure".into()),
            Trouble::Hang => Meet::Silence,
            Trouble::AppliedThenCut => Meet::TakenThenCut,
            Trouble::Partial => Meet::EverySecond("InternalError".into(), false),
        }));
    }

    fn refuse(&self, text: &str) -> bool {
        self.double.refuse(text);
        true
    }

    fn held(&self) -> Vec<String> {
        self.double.messages().into_iter().map(|message| message.body).collect()
    }

    fn is_idempotent(&self) -> bool {
        self.group.is_some()
    }

    fn max_item_bytes(&self) -> usize {
        LIMITS.max_item_bytes
    }
}

#[tokio::test]
async fn a_queue_keeps_the_contract() {
    contract::check(async || Queue::start(false).await).await;
}

#[tokio::test]
async fn a_fifo_queue_keeps_the_contract() {
    contract::check(async || Queue::start(true).await).await;
}

fn items(count: usize, bytes: usize) -> Vec<String> {
    (0..count).map(|n| item(n, bytes)).collect()
}

/// Delivers items of these sizes in bytes in one submission, and compares how many each request had.
async fn check_requests(sizes: &[usize], expected: &[usize]) {
    let queue = Queue::start(false).await;
    // Bytes count, not characters.
    let text = |(n, bytes): (usize, &usize)| format!("{n:02}{}{}", "é".repeat(bytes / 2 - 1), "x".repeat(bytes % 2));
    let items: Vec<String> = sizes.iter().enumerate().map(text).collect();
    let letters = contract::deliver(&queue, &items, items.len()).await;
    let fitting: Vec<&String> = items.iter().filter(|item| item.len() <= 1 << 20).collect();
    assert_eq!(letters.len(), items.len() - fitting.len());
    assert!(queue.held().iter().collect::<Vec<_>>() == fitting, "{sizes:?}");
    assert_eq!(queue.double.requests(), expected, "{sizes:?}");
}

#[tokio::test]
async fn a_request_has_ten_messages_and_a_mebibyte_at_most() {
    check_requests(&[100; 10], &[10]).await;
    check_requests(&[100; 11], &[10, 1]).await;
    check_requests(&[100; 25], &[10, 10, 5]).await;
    let most = 1 << 20;
    check_requests(&[most], &[1]).await;
    check_requests(&[most + 1], &[]).await;
    check_requests(&[100, most + 1, 100], &[1, 1]).await;
    check_requests(&[100, most, 100], &[1, 1, 1]).await;
    // Newlines are counted though they are not sent: it errs by ten bytes at most, on the safe side.
    let half = 1 << 19;
    check_requests(&[half - 1, half - 1, 100], &[2, 1]).await;
    check_requests(&[half, half - 1, 100], &[1, 2]).await;
}

#[tokio::test]
async fn messages_of_a_fifo_queue_have_groups_and_deduplication_ids() {
    let queue = Queue::start(true).await;
    queue.attempt(&items(3, 100)).await.unwrap();
    queue.attempt(&items(4, 100)).await.unwrap();
    let messages = queue.double.messages();
    assert_eq!(messages.len(), 4, "what was sent again is there twice");
    for Message { group, deduplication, .. } in &messages {
        assert_eq!(group.as_deref(), Some("unknown/all"));
        assert!(deduplication.as_ref().is_some_and(|id| id.len() == 32));
    }
    // A group that becomes too long is cut.
    let long: &'static str = "{id}{id}{id}{id}{id}";
    let queue = Queue { group: Some(long), ..Queue::start(true).await };
    queue.attempt(&items(1, 100)).await.unwrap();
    assert_eq!(queue.double.messages()[0].group.as_ref().unwrap().len(), 128);
}

#[tokio::test]
async fn messages_of_another_queue_have_a_group_only_if_asked_for() {
    let attributes = async |group| {
        let queue = Queue { group, ..Queue::start(false).await };
        queue.attempt(&items(1, 100)).await.unwrap();
        let Message { group, deduplication, .. } = queue.double.messages().remove(0);
        (group, deduplication)
    };
    assert_eq!(attributes(None).await, (None, None));
    assert_eq!(attributes(Some("{account}")).await, (Some("unknown".into()), None));
}

#[tokio::test]
async fn characters_that_sqs_does_not_take_reach_it_escaped() {
    let queue = Queue::start(false).await;
    queue.attempt(&["\"a\u{fffe}\u{ffff}\u{7f}\"".to_owned()]).await.unwrap();
    assert_eq!(queue.held(), ["\"a\\ufffe\\uffff\u{7f}\""]);
    // Controls are in no format; a message with one is refused by itself.
    let found = queue.attempt(&["a\u{1}".to_owned(), "b".to_owned()]).await;
    let Err(SinkError::Partial { retry, refused, .. }) = found else { panic!("{found:?}") };
    assert_eq!((retry, refused), (vec![], vec![(0, "InvalidMessageContents: scripted".to_owned())]));
    assert_eq!(queue.held().pop().unwrap(), "b");
}

#[tokio::test]
async fn a_queue_with_a_lower_limit_refuses_what_is_larger() {
    let queue = Queue::start(false).await;
    queue.double.limit(1000);
    let items = [item(0, 900), item(1, 1200), item(2, 900)];
    let letters = contract::deliver(&queue, &items, 3).await;
    assert_eq!(letters.len(), 1);
    assert!(letters[0]["detail"].as_str().unwrap().contains("InvalidParameterValue"), "{}", letters[0]["detail"]);
    assert_eq!(queue.held(), [items[0].clone(), items[2].clone()]);
}

/// What an attempt comes to when the request meets this: the items to retry and those refused, and the source.
async fn check_attempt(meet: Meet, expected: &str) {
    let queue = Queue::start(false).await;
    queue.double.script([meet.clone()]);
    let found = match queue.attempt(&items(3, 100)).await {
        Ok(()) => "taken".to_owned(),
        Err(SinkError::Retry { after, source }) => format!("retry {after:?} {source}"),
        Err(SinkError::Partial { retry, refused, source, .. }) => format!("{retry:?} {refused:?} {source}"),
        Err(SinkError::Refused { answer }) => format!("refused {answer}"),
        Err(other) => format!("{other:?}"),
    };
    assert!(found.starts_with(expected), "{meet:?}: {found}");
    assert!(!found.contains("quotes") || found.starts_with("refused"), "an answer is logged: {found}");
}

#[tokio::test]
async fn errors_tell_what_to_do() {
    let error = |status, code: &str| Meet::Error(status, code.to_owned());
    let check = async |status, code: &str, expected: &str| {
        check_attempt(error(status, code), &format!("retry None SendMessageBatch: {expected}")).await;
    };
    check(400, "AWS.SimpleQueueService.NonExistentQueue", "NonExistentQueue, there is no such queue: create it").await;
    check(403, "AccessDenied", "AccessDenied, allow sqs:SendMessage on the queue").await;
    check(400, "KMS.AccessDeniedException", "KMS.AccessDeniedException, enable the queue's KMS key").await;
    check(400, "KMS.ThrottlingException", "KMS.ThrottlingException, request request-7").await;
    check(400, "OverLimit", "OverLimit, request request-7").await;
    check(400, "RequestThrottled", "RequestThrottled, request request-7").await;
    check(400, "AWS.SimpleQueueService.UnsupportedOperation", "UnsupportedOperation, the queue is not served").await;
    check(404, "InvalidAddress", "InvalidAddress, the queue is not served there").await;
    check(403, "ExpiredToken", "ExpiredToken, check the credentials").await;
    check(400, "SomethingNew", "SomethingNew, request request-7").await;
    check(400, "a secret", "an unknown code, request request-7").await;
    check_attempt(error(503, "ServiceUnavailable"), "retry Some(1s) SendMessageBatch: ServiceUnavailable").await;
    check_attempt(Meet::Silence, "retry None SendMessageBatch: no answer in time").await;
    check_attempt(Meet::TakenThenCut, "retry None SendMessageBatch: ").await;
    for code in ["AWS.SimpleQueueService.BatchRequestTooLong", "InvalidMessageContents", "InvalidParameterValue"] {
        check_attempt(error(400, code), &format!("refused {code}: a message that quotes")).await;
    }
}

#[tokio::test]
async fn entries_are_answered_for_each_by_itself() {
    let every_second = |code: &str, sender| Meet::EverySecond(code.to_owned(), sender);
    let failed = "[1] [] SendMessageBatch: 1 messages failed with";
    check_attempt(every_second("InternalError", false), failed).await;
    check_attempt(every_second("RequestThrottled", true), &format!("{failed} RequestThrottled")).await;
    check_attempt(every_second("KMS.DisabledException", true), &format!("{failed} KMS.DisabledException, enable"))
        .await;
    check_attempt(every_second("AccessDenied", true), &format!("{failed} AccessDenied, allow sqs:SendMessage")).await;
    let refused = "[] [(1, \"MissingParameter: scripted\")] 1 items are refused";
    check_attempt(every_second("MissingParameter", true), refused).await;
}

#[tokio::test]
async fn an_answer_is_believed_only_in_what_it_says() {
    let says = Meet::TakenThenSays;
    let entry = |id: &str| json!({ "Id": id, "MessageId": "m", "MD5OfMessageBody": "x" });
    let missing = |retry: &str, count| format!("{retry} [] SendMessageBatch: {count} messages are not in the answer");
    check_attempt(says(json!({ "Successful": [entry("2"), entry("0")] })), &missing("[1]", 1)).await;
    check_attempt(says(json!({ "Successful": [entry("0"), entry("0"), entry("3")] })), &missing("[1, 2]", 2)).await;
    check_attempt(says(json!({ "Successful": [{}, null] })), "retry None SendMessageBatch: ").await;
    for answer in [json!({}), json!([]), json!(null), json!({ "Successful": 7 }), json!("a".repeat(1 << 20))] {
        check_attempt(says(answer), "retry None SendMessageBatch: ").await;
    }
    // One without an end is not read to find one.
    let all = [entry("0"), entry("1"), entry("2")];
    check_attempt(says(json!({ "Padding": "a".repeat(2 << 20), "Successful": all })), "retry None SendMessage").await;
}

#[tokio::test]
async fn a_request_that_is_refused_as_a_whole_is_made_smaller() {
    let queue = Queue::start(false).await;
    queue.double.script([Meet::Error(400, "AWS.SimpleQueueService.BatchRequestTooLong".into())]);
    let items = items(10, 100);
    assert!(contract::deliver(&queue, &items, 10).await.is_empty());
    assert_eq!(queue.held(), items);
    assert_eq!(queue.double.requests(), [10, 5, 5]);
}

#[tokio::test]
async fn a_probe_asks_and_leaves_nothing() {
    let probed = async |queue: &Queue| {
        queue.open().await.0.probe().await.map_err(|error| match error {
            SinkError::Retry { source, .. } => source.to_string(),
            other => format!("{other:?}"),
        })
    };
    let queue = Queue::start(false).await;
    assert_eq!(probed(&queue).await, Ok(()));
    // Whoever may not ask may still be allowed to send.
    queue.double.refuse_attributes(403, "AccessDenied");
    assert_eq!(probed(&queue).await, Ok(()));
    for (code, part) in [("AWS.SimpleQueueService.NonExistentQueue", "no such queue"), ("ExpiredToken", "credentials")]
    {
        queue.double.refuse_attributes(400, code);
        let error = probed(&queue).await.unwrap_err();
        assert!(error.contains(part) && error.starts_with("GetQueueAttributes: "), "{error}");
    }
    assert!(queue.held().is_empty() && queue.double.requests().is_empty());
    let mut settings = queue.double.settings(None);
    settings.access.endpoint_url = Some("http://127.0.0.1:1".to_owned());
    let start = Instant::now();
    let error = (planned(settings, LIMITS).opening)().await.unwrap().probe().await.unwrap_err();
    assert!(matches!(error, SinkError::Retry { .. }) && start.elapsed() < Duration::from_secs(2), "{error:?}");
}
