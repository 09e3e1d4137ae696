//! Finding, registering and going without a consumer.

use std::time::Duration;

use bedrock_tap::budget::Budget;
use bedrock_tap::record::{Position, ShardId};
use bedrock_tap::source::Read;
use bedrock_tap::source::kinesis::fanout::consumer::{Consumer, ConsumerError};
use bedrock_tap::source::kinesis::pace::Limits;
use bedrock_tap::source::kinesis::reader::{Mode, Reader};
use tokio::time::{Instant, timeout};

use crate::support::fanout_script::{Answer, STREAM_ARN, Script, consumer, end};

const MISSING: &str = "ResourceNotFoundException";

async fn connect(script: &Script, mode: &Mode) -> Result<Reader, ConsumerError> {
    Reader::connect(script.kinesis(), mode, Limits::default(), Budget::new(1024 * 1024)).await
}

fn auto() -> Mode {
    Mode::Auto { consumer: "app".to_owned(), register: true }
}

/// Whether a reader reads by polling.
async fn polls(reader: &Reader) -> bool {
    let mut source = reader.open(ShardId::new("shardId-000000000000"), Position::TrimHorizon, None);
    let mut polled = false;
    while let Read::Records { records, .. } = source.next().await.unwrap() {
        polled |= records.iter().any(|record| &*record.data == b"polled");
    }
    polled
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_found_registered_and_waited_for() {
    let check = async |register: bool, prepare: &dyn Fn(&Script), registrations: usize| {
        let script = Script::default();
        prepare(&script);
        let begun = Instant::now();
        let found = Consumer::find(script.kinesis(), "app", register).await.unwrap();
        assert_eq!(&*found.arn(), format!("{STREAM_ARN}/consumer/app:1"));
        assert_eq!(script.calls("RegisterStreamConsumer").len(), registrations);
        let calls = script.calls("DescribeStreamConsumer").len();
        assert!(calls <= 5 + begun.elapsed().as_secs() as usize, "{calls} calls in {:?}", begun.elapsed());
        assert_eq!(script.calls("DescribeStreamConsumer")[0].input["StreamARN"], STREAM_ARN);
    };
    let status = |script: &Script, status: &str| script.answer("DescribeStreamConsumer", 200, consumer(status, 1));
    check(false, &|_| {}, 0).await;
    check(
        true,
        &|script| {
            script.refuse("DescribeStreamConsumer", MISSING);
            (0..4).for_each(|_| status(script, "CREATING"));
            status(script, "ACTIVE");
        },
        1,
    )
    .await;
    // Another worker was faster.
    check(
        true,
        &|script| {
            script.refuse("DescribeStreamConsumer", MISSING);
            script.refuse("RegisterStreamConsumer", "ResourceInUseException");
            status(script, "CREATING");
            status(script, "ACTIVE");
        },
        1,
    )
    .await;
    // It is being deleted, and made anew once it is gone.
    check(
        true,
        &|script| {
            (0..3).for_each(|_| status(script, "DELETING"));
            script.refuse("DescribeStreamConsumer", MISSING);
            script.refuse("DescribeStreamConsumer", "LimitExceededException");
            status(script, "ACTIVE");
        },
        1,
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_stands_in_the_way_is_named_with_the_way_out() {
    let check = async |register: bool, answers: &[(&'static str, &str)], expected: &str| {
        let script = Script::default();
        answers.iter().for_each(|(operation, code)| script.refuse(operation, code));
        let err = Consumer::find(script.kinesis(), "app", register).await.unwrap_err();
        let text = format!("{:#}", anyhow::Error::from(err));
        assert!(text.contains(expected), "{text:?} lacks {expected:?}");
    };
    let missing = ("DescribeStreamConsumer", MISSING);
    check(false, &[missing], "aws kinesis register-stream-consumer --stream-arn arn:aws:kinesis:").await;
    check(true, &[missing, ("RegisterStreamConsumer", "LimitExceededException")], "deregister one").await;
    check(
        true,
        &[missing, ("RegisterStreamConsumer", "AccessDeniedException")],
        "grant kinesis:RegisterStreamConsumer",
    )
    .await;
    check(true, &[("DescribeStreamSummary", MISSING)], "no such stream").await;
    check(true, &[("DescribeStreamConsumer", "UnknownOperationException")], "does not offer enhanced fan-out").await;
    check(true, &[("DescribeStreamConsumer", "InternalFailureException")], "not usable within five minutes").await;
}

#[tokio::test(start_paused = true)]
async fn auto_polls_where_fan_out_waits_for_a_person() {
    let refusals = [
        ("DescribeStreamConsumer", "AccessDeniedException"),
        ("RegisterStreamConsumer", "AccessDeniedException"),
        ("RegisterStreamConsumer", "LimitExceededException"),
    ];
    let fan_out = Mode::FanOut { consumer: "app".to_owned(), register: true };
    for (operation, code) in refusals {
        let script = Script::default();
        if operation == "RegisterStreamConsumer" {
            script.refuse("DescribeStreamConsumer", MISSING);
        }
        script.refuse(operation, code);
        assert!(polls(&connect(&script, &auto()).await.unwrap()).await, "{operation} {code}");
        assert!(timeout(Duration::from_secs(600), connect(&script, &fan_out)).await.is_err(), "{operation} {code}");
    }
    // Denied only once it comes to subscribing.
    let denied = || [Answer::Error(400, "AccessDeniedException"), Answer::Stream(vec![end()])];
    assert!(polls(&connect(&Script::new(denied()), &auto()).await.unwrap()).await);
    assert!(!polls(&connect(&Script::new(denied()), &fan_out).await.unwrap()).await);
    let allowed = Script::new([Answer::Stream(vec![end()])]);
    assert!(!polls(&connect(&allowed, &auto()).await.unwrap()).await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_described() {
    let described = Script::default().kinesis().describe().await.unwrap();
    assert_eq!((described.arn.as_str(), described.account.as_str()), (STREAM_ARN, "123456789012"));
    assert_eq!((described.name.as_str(), described.created.as_second()), ("logs", 1_700_000_000));
}
