//! The kinesis sink, against an emulator with a script in front of it.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bedrock_tap::format::key::Template;
use bedrock_tap::sink::kinesis::{self, LIMITS, Settings};
use bedrock_tap::sink::{Planned, batch};
use serde_json::json;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::contract::{self, Trouble, deliver, item};
use super::puts::{Front, Meet, Words, answers, begins, once, probe};
use crate::support::fault::Fault;
use crate::support::kinesis_double::{self, STREAM};

static WORDS: Words = Words {
    put: "PutRecords",
    entries: "Records",
    failed: "FailedRecordCount",
    id: "SequenceNumber",
    busy: (400, "ProvisionedThroughputExceededException"),
};

/// A stream of one shard.
pub(super) struct Double {
    pub(super) kinesis: kinesis_double::Double,
    front: Front,
}

impl Double {
    pub(super) async fn start() -> Self {
        let front = Front::new(&WORDS);
        let kinesis = kinesis_double::Double::start_behind(1, |app| front.before(app)).await;
        Self { kinesis, front }
    }

    fn plan_for(&self, stream: &str, partition_key: &str) -> Planned {
        let access = self.kinesis.settings(self.kinesis.address).access;
        let settings = Settings { timeout: Duration::from_millis(1500), ..Settings::new(stream, access) };
        // The emulator takes calls of 5 MiB; Kinesis took no more until it took records of 10 MiB.
        let limits = batch::Settings { max_batch_bytes: 5 << 20, ..LIMITS };
        kinesis::planned(settings, limits, Template::parse(partition_key).ok().map(Arc::new))
    }

    /// What the stream says of the size of its records.
    fn takes(&self, kib: i64) {
        self.kinesis.faults.rewrite("DescribeStreamSummary", move |_, mut answer| {
            answer["StreamDescriptionSummary"]["MaxRecordSizeInKiB"] = kib.into();
            answer
        });
    }
}

impl contract::Double for Double {
    fn plan(&self) -> Planned {
        self.plan_for(STREAM, "{id}")
    }

    fn script(&self, troubles: &[Trouble]) {
        self.front.script(troubles.iter().cloned().map(Meet::Trouble));
    }

    fn refuse(&self, text: &str) -> bool {
        self.front.refuse(text);
        true
    }

    fn held(&self) -> Vec<String> {
        self.front.held()
    }

    fn is_idempotent(&self) -> bool {
        false
    }

    fn max_item_bytes(&self) -> usize {
        1 << 20
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    contract::check(Double::start).await;
}

#[tokio::test]
async fn a_call_has_no_more_than_kinesis_takes() {
    let double = Double::start().await;
    let check = async |items: &[String], calls: &[usize]| {
        assert!(deliver(&double, items, items.len()).await.is_empty());
        assert_eq!(double.front.calls().iter().map(Vec::len).collect::<Vec<_>>(), calls);
    };
    let many = |count: usize, bytes: usize| (0..count).map(|n| item(n, bytes)).collect::<Vec<_>>();
    check(&many(500, 50), &[500]).await;
    check(&many(501, 50), &[500, 1]).await;
    check(&many(11, 500_000), &[10, 1]).await;
    assert_eq!((LIMITS.max_batch_bytes, LIMITS.max_batch_items, LIMITS.max_item_bytes), (10 << 20, 500, 10 << 20));
}

/// An item of so many bytes with its newline and the partition key.
fn record(bytes: usize, key: &str) -> String {
    format!("large{}", "x".repeat(bytes - key.len() - 6))
}

#[tokio::test]
async fn a_record_with_its_key_has_what_every_stream_takes() {
    let double = Double::start().await;
    let key = "k".repeat(100);
    let small = item(1, 100);
    let fits = record(1 << 20, &key);
    assert_eq!(once(double.plan_for(STREAM, &key), &[fits.clone(), small.clone()]).await, "durable");
    let over = fits + "x";
    let said = once(double.plan_for(STREAM, &key), &[over.clone(), small.clone()]).await;
    let expected =
        "retry [], refused [(0, \"1048577 bytes with the partition key are more than the stream takes, 1048576";
    begins(&said, expected, "one byte over");
    assert_eq!(double.front.held().last(), Some(&small), "the rest is delivered");
    drop(double.front.calls());
    let said = once(double.plan_for(STREAM, &key), &[over]).await;
    begins(&said, expected, "one byte over, alone");
    assert!(double.front.calls().is_empty(), "a call without records");
    let letters = deliver(&double, &["a".to_owned(), record(1 << 20, "") + "x", "b".to_owned()], 3).await;
    assert_eq!((letters.len(), double.front.held().last().map(String::as_str)), (1, Some("b")));
}

#[tokio::test]
async fn a_stream_of_large_records_is_asked_for_their_size() {
    let double = Double::start().await;
    double.takes(2048);
    let plan = || double.plan_for(STREAM, "k");
    let two = record(2 << 20, "k");
    double.front.script([Meet::Take]);
    assert_eq!(once(plan(), std::slice::from_ref(&two)).await, "durable");
    begins(&once(plan(), &[two.clone() + "x"]).await, "retry [], refused [(0, \"2097153 bytes", "one byte over");
    // As long as it cannot be asked, nothing is refused.
    let describe = |fault: Fault| double.kinesis.faults.script("DescribeStreamSummary", [fault]);
    describe(Fault::Error(400, "LimitExceededException"));
    let expected = "retry: kinesis:DescribeStreamSummary on stream/bedrock-logs: LimitExceededException; if it lasts";
    begins(&once(plan(), std::slice::from_ref(&two)).await, expected, "a throttled question");
    // Where it may not be asked, the service judges.
    describe(Fault::Error(400, "AccessDeniedException"));
    double.front.script([Meet::Error(400, "InvalidArgumentException")]);
    begins(&once(plan(), &[two.clone() + "x"]).await, "refused: InvalidArgumentException", "a denied question");
    // It is asked once in a while.
    drop(double.front.calls());
    let sink = (plan().opening)().await.unwrap();
    for call in 0..3 {
        double.front.script([Meet::Take]);
        let batch = bedrock_tap::sink::Batch {
            parts: vec![contract::lines(std::slice::from_ref(&two), Template::parse("k").ok().as_ref())],
            range: None,
        };
        assert!(sink.deliver(Arc::new(batch)).await.is_ok());
        describe(Fault::Error(500, "InternalFailure"));
        assert_eq!(double.front.calls().len(), 1, "{call}");
    }
}

#[tokio::test]
async fn a_size_that_no_stream_has_is_not_believed() {
    for (kib, bytes) in [(0, 1_048_576), (-5, 1_048_576), (i64::from(i32::MAX), 10_485_760)] {
        let double = Double::start().await;
        double.takes(kib);
        let said = once(double.plan_for(STREAM, "k"), &[record(bytes + 1, "k")]).await;
        begins(&said, &format!("retry [], refused [(0, \"{} bytes", bytes + 1), "one byte over");
    }
}

#[tokio::test]
async fn an_error_of_the_call_says_what_to_do() {
    let double = Double::start().await;
    let check = async |status: u16, code: &'static str, expected: &str| {
        double.front.script([Meet::Error(status, code)]);
        begins(&once(double.plan_for(STREAM, "{id}"), &[item(1, 100)]).await, expected, code);
    };
    let on = |rest: &str| format!("retry: kinesis:PutRecords on stream/{STREAM}: {rest}");
    let throttled = "ProvisionedThroughputExceededException";
    check(400, throttled, &on("ProvisionedThroughputExceededException; if it lasts, add shards")).await;
    check(400, "AccessDeniedException", &on("AccessDeniedException; grant kinesis:PutRecords on it to the role")).await;
    check(400, "KMSAccessDeniedException", &on("KMSAccessDeniedException; grant kms:GenerateDataKey on the key")).await;
    check(400, "KMSDisabledException", &on("KMSDisabledException; enable or restore the KMS key")).await;
    check(400, "KMSThrottlingException", &on("KMSThrottlingException; it is tried again")).await;
    check(403, "InvalidSignatureException", &on("InvalidSignatureException; check the credentials")).await;
    check(400, "SomethingNewException", &on("SomethingNewException; it is tried again; if it lasts, check the")).await;
    check(500, "InternalFailure", &on("InternalFailure; it is tried again")).await;
    check(400, "InvalidArgumentException", "refused: InvalidArgumentException: scripted").await;
    check(413, "", "refused: ").await;
    let said = once(double.plan_for("another", "{id}"), &[item(1, 100)]).await;
    begins(&said, &on("ResourceNotFoundException; check that it exists").replace(STREAM, "another"), "no stream");
    let arn = "arn:aws:kinesis:us-east-1:123456789012:stream/another";
    begins(
        &once(double.plan_for(arn, "{id}"), &[item(1, 100)]).await,
        &on("").replace("stream/bedrock-logs", arn),
        "an ARN",
    );
}

#[tokio::test]
async fn a_record_is_durable_only_if_the_answer_says_so() {
    let double = Double::start().await;
    for (answer, expected) in answers(&WORDS) {
        double.front.script([Meet::Answer(answer.clone())]);
        let items: Vec<_> = (0..3).map(|n| item(n, 100)).collect();
        let expected = expected.replace("PUT", &format!("kinesis:PutRecords on stream/{STREAM}"));
        begins(&once(double.plan_for(STREAM, "{id}"), &items).await, &expected, &answer);
    }
}

#[tokio::test]
async fn records_that_failed_are_sent_again_alone() {
    let double = Double::start().await;
    contract::Double::script(&double, &[Trouble::Partial, Trouble::Partial]);
    let items: Vec<_> = (0..5).map(|n| item(n, 100)).collect();
    assert!(deliver(&double, &items, 5).await.is_empty());
    let calls: Vec<Vec<_>> =
        double.front.calls().into_iter().map(|call| call.into_iter().map(|(_, line)| line).collect()).collect();
    assert_eq!(calls, [items.clone(), vec![items[1].clone(), items[3].clone()], vec![items[3].clone()]]);
}

/// What is refused for its size keeps its place among what is sent and fails.
#[tokio::test]
async fn places_stand_when_some_are_refused_and_some_fail() {
    let double = Double::start().await;
    contract::Double::script(&double, &[Trouble::Partial]);
    let items = [record(2 << 20, "k"), item(1, 100), record(3 << 20, "k"), item(3, 100), item(4, 100), item(5, 100)];
    let said = once(double.plan_for(STREAM, "k"), &items).await;
    begins(&said, "retry [3, 5], refused [(0, \"2097152 bytes", "a mixture");
    assert!(said.contains("(2, \"3145728 bytes"), "{said}");
    assert_eq!(double.front.held(), [items[1].clone(), items[4].clone()]);
}

#[tokio::test]
async fn a_template_makes_the_partition_keys() {
    let double = Double::start().await;
    let keys = async |template: &str| {
        assert_eq!(
            once(double.plan_for(STREAM, template), &[item(1, 100), item(2, 100)]).await,
            "durable",
            "{template}"
        );
        let call = double.front.calls().remove(0);
        (call[0].0.clone(), call[1].0.clone())
    };
    let (one, two) = keys("{id}").await;
    assert!(one.len() == 32 && two.len() == 32 && one != two, "{one} {two}");
    assert_eq!(keys("a/{account}").await, ("a/unknown".to_owned(), "a/unknown".to_owned()));
    let (one, two) = keys(&format!("{}{{id}}", "x".repeat(240))).await;
    assert_eq!((one.len(), two.len()), (256, 256));
    // No template, or an empty one: there is a key all the same.
    assert_eq!(keys("{").await.0, "unknown");
    assert_eq!(keys("").await.0, "unknown");
}

#[tokio::test]
async fn a_probe_asks_for_a_stream_that_takes_records() {
    let double = Double::start().await;
    let on = |rest: &str| format!("retry: kinesis:DescribeStreamSummary on stream/{STREAM}: {rest}");
    assert_eq!(probe(double.plan_for(STREAM, "{id}")).await, "durable");
    let check = async |fault: Fault, expected: &str| {
        let of = format!("{fault:?}");
        double.kinesis.faults.script("DescribeStreamSummary", [fault]);
        begins(&probe(double.plan_for(STREAM, "{id}")).await, expected, &of);
    };
    check(
        Fault::Error(400, "AccessDeniedException"),
        &on("AccessDeniedException; grant kinesis:DescribeStreamSummary"),
    )
    .await;
    check(Fault::Error(500, "InternalFailure"), &on("InternalFailure; it is tried again")).await;
    check(Fault::Cut, &on("")).await;
    let said = probe(double.plan_for("another", "{id}")).await;
    begins(&said, &on("ResourceNotFoundException").replace(STREAM, "another"), "no stream");
    for (status, expected) in [
        ("UPDATING", "durable".to_owned()),
        ("CREATING", on("it is CREATING; wait")),
        ("scripted text", on("it is an unreadable name; ")),
    ] {
        let double = Double::start().await;
        double.kinesis.faults.rewrite("DescribeStreamSummary", move |_, mut answer| {
            answer["StreamDescriptionSummary"]["StreamStatus"] = json!(status);
            answer
        });
        begins(&probe(double.plan_for(STREAM, "{id}")).await, &expected, status);
    }
    assert!(double.front.calls().is_empty(), "a probe that writes");
}

fn call(number: usize) -> String {
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"request-{number}","operation":"Converse","modelId":"amazon.nova-lite-v1:0"}}"#
    )
}

fn run(directory: &Path, config: &str) -> Command {
    std::fs::create_dir_all(directory).unwrap();
    let file = directory.join("config.toml");
    let text =
        format!("{config}[coordination.local]\ndirectory = {:?}\n", directory.join("state").display().to_string());
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
    command.arg("run").arg("--config").arg(&file);
    command.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env_remove("BEDROCK_TAP_LOG").stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The program writes records to a stream, and reads them from there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_writes_as_raw_it_reads_again() {
    let double = Double::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in.jsonl"), directory.path().join("out.jsonl"));
    let calls: Vec<_> = (0..20).map(call).collect();
    std::fs::write(&input, calls.join("\n")).unwrap();
    let stream = format!(
        "stream = \"{STREAM}\"\nregion = \"us-east-1\"\nendpoint_url = \"http://{}\"\n",
        double.kinesis.address
    );
    let config =
        format!("[source.file]\npaths = [{input:?}]\n[sinks.a.kinesis]\nformat = \"raw\"\nprobe = true\n{stream}");
    let written = timeout(Duration::from_secs(30), run(&directory.path().join("writer"), &config).output()).await;
    let written = written.unwrap().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert_eq!(double.front.held().len(), calls.len());
    let config = format!("[source.kinesis]\n{stream}[sinks.a.file]\nformat = \"raw\"\npath = {output:?}\n");
    let mut reader = run(&directory.path().join("reader"), &config).spawn().unwrap();
    let read = timeout(Duration::from_secs(30), async {
        loop {
            let text = std::fs::read_to_string(&output).unwrap_or_default();
            if text.lines().count() >= calls.len() {
                return text;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let read = read.await.expect("not read in half a minute");
    reader.kill().await.unwrap();
    let mut read: Vec<_> = read.lines().map(str::to_owned).collect();
    let mut calls = calls;
    read.sort();
    calls.sort();
    assert_eq!(read, calls);
}
