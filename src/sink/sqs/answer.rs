//! The answer to a batch: what became of each of its items.

use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput;

use super::error::{self, CallError};
use crate::sink::SinkError;

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The answer does not name it.
    Unanswered,
    /// It is in the queue.
    Taken,
    /// It is refused for good, with this answer.
    Refused(String),
    /// It failed with this code, and may be taken later.
    Failed(String),
}

/// Notes what an answer says of the items. What it does not name stays as it is; what it names twice is sent again if any
/// of the two asks for it.
pub(super) fn read(verdicts: &mut [Verdict], answer: &SendMessageBatchOutput) {
    for entry in answer.successful() {
        if let Some(verdict @ Verdict::Unanswered) = of(verdicts, entry.id()) {
            *verdict = Verdict::Taken;
        }
    }
    for entry in answer.failed() {
        let Some(verdict @ (Verdict::Unanswered | Verdict::Taken | Verdict::Refused(_))) = of(verdicts, entry.id())
        else {
            continue;
        };
        *verdict = if entry.sender_fault() && !error::is_passing(entry.code()) {
            Verdict::Refused(error::answer(entry.code(), entry.message()))
        } else {
            Verdict::Failed(entry.code().to_owned())
        };
    }
}

/// The verdict on the item with this id, which is its index.
fn of<'v>(verdicts: &'v mut [Verdict], id: &str) -> Option<&'v mut Verdict> {
    let index: usize = id.parse().ok()?;
    verdicts.get_mut(index)
}

/// What the verdicts come to.
pub(super) fn conclude(verdicts: Vec<Verdict>) -> Result<(), SinkError> {
    let (mut retry, mut refused, mut taken, mut code) = (Vec::new(), Vec::new(), 0, None);
    for (index, verdict) in verdicts.into_iter().enumerate() {
        match verdict {
            Verdict::Taken => taken += 1,
            Verdict::Refused(answer) => refused.push((index, answer)),
            Verdict::Failed(found) => {
                code.get_or_insert(found);
                retry.push(index);
            }
            Verdict::Unanswered => retry.push(index),
        }
    }
    if retry.is_empty() {
        return if refused.is_empty() { Ok(()) } else { Err(SinkError::refused_items(refused)) };
    }
    let source: Box<dyn std::error::Error + Send + Sync> = match code {
        Some(code) => Box::new(CallError::of_items(retry.len(), &code)),
        None => format!("SendMessageBatch: {} messages are not in the answer", retry.len()).into(),
    };
    // Where nothing at all got through, the queue counts as down.
    if taken == 0 && refused.is_empty() {
        return Err(SinkError::Retry { after: None, source });
    }
    Err(SinkError::Partial { retry, refused, after: None, source })
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchResultEntry};

    use super::*;

    /// What an answer comes to for three items: `+0` took the first, `-0:Code` failed with the sender at fault, and
    /// `~0:Code` without.
    #[track_caller]
    fn check(answer: &str, expected: &str) {
        let mut output = SendMessageBatchOutput::builder().set_successful(Some(vec![])).set_failed(Some(vec![]));
        for part in answer.split_whitespace() {
            let (id, code) = part[1..].split_once(':').unwrap_or((&part[1..], ""));
            if part.starts_with('+') {
                let entry = SendMessageBatchResultEntry::builder().id(id).message_id("m").md5_of_message_body("");
                output = output.successful(entry.build().unwrap());
            } else {
                let entry = BatchResultErrorEntry::builder().id(id).code(code).sender_fault(part.starts_with('-'));
                output = output.failed(entry.message("why").build().unwrap());
            }
        }
        let mut verdicts = vec![Verdict::Unanswered; 3];
        read(&mut verdicts, &output.build().unwrap());
        let found = match conclude(verdicts) {
            Ok(()) => "taken".to_owned(),
            Err(SinkError::Retry { after: None, source }) => format!("retry: {source}"),
            Err(SinkError::Partial { retry, refused, after: None, source }) => {
                format!("{retry:?} {refused:?}: {source}")
            }
            Err(other) => format!("{other:?}"),
        };
        assert_eq!(found, expected, "{answer}");
    }

    #[test]
    fn each_item_is_judged_by_itself() {
        check("+0 +1 +2", "taken");
        check("+2 +0 +1 +7 +x +-1 -9:A", "taken");
        check("+0 ~1:InternalError +2", "[1] []: SendMessageBatch: 1 messages failed with InternalError");
        check("+0 +1 -2:InvalidMessageContents", "[] [(2, \"InvalidMessageContents: why\")]: 1 items are refused");
        check(
            "-0:Unheard ~1:X -2:RequestThrottled",
            "[1, 2] [(0, \"Unheard: why\")]: SendMessageBatch: 2 messages failed with X",
        );
        check("-0:RequestThrottled ~1:X ~2:X", "retry: SendMessageBatch: 3 messages failed with RequestThrottled");
    }

    #[test]
    fn what_an_answer_leaves_open_is_sent_again() {
        check("", "retry: SendMessageBatch: 3 messages are not in the answer");
        check("+0 +0 +0", "[1, 2] []: SendMessageBatch: 2 messages are not in the answer");
        check("+0 +1 +2 ~1:A", "[1] []: SendMessageBatch: 1 messages failed with A");
        check("+0 ~1:A -1:Bad +1 +2", "[1] []: SendMessageBatch: 1 messages failed with A");
        check("+0 -1:Bad ~1:A +2", "[1] []: SendMessageBatch: 1 messages failed with A");
        check("+0 +2 -1:Bad -1:Worse", "[] [(1, \"Worse: why\")]: 1 items are refused");
    }
}
