//! The program as people run it, on a queue and a bucket: killed again and again, and against doubles by others.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::{BUCKET, notification};
use crate::support::emulator::Emulator;
use crate::support::objects_double::{Meet, ObjectsDouble};
use crate::support::queue_double::{self, QueueDouble};

/// The longest that anything takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

const OBJECTS: usize = 60;
/// Calls in an object; every tenth object has many more.
const CALLS: usize = 20;

fn call(id: &str) -> String {
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"{id}","operation":"Converse","modelId":"amazon.nova-lite-v1:0"}}"#
    )
}

/// The calls of an object, and its content: lines, plain or in gzip.
fn object(number: usize) -> (Vec<String>, Vec<u8>) {
    let count = if number.is_multiple_of(10) { 200 * CALLS } else { CALLS };
    let ids: Vec<_> = (0..count).map(|nth| format!("request-{number:03}-{nth:05}")).collect();
    let text = ids.iter().map(|id| call(id) + "\n").collect::<String>();
    if number.is_multiple_of(3) {
        return (ids, text.into_bytes());
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    (ids, gzip.finish().unwrap())
}

/// Starts the program with a queue and an endpoint of S3; `queue` is the keys of the queue.
fn start(directory: &Path, source: &str) -> Child {
    let path = |name: &str| directory.join(name).display().to_string();
    let text = format!(
        "drain_timeout = '10s'\n[source.s3]\nregion = 'us-east-1'\nvisibility_timeout = '10s'\n{source}\n\
         [coordination.local]\ndirectory = {:?}\n[dead_letter.file]\npath = {:?}\n[sinks.events.file]\npath = {:?}\n",
        path("state"),
        path("letters"),
        path("out"),
    );
    fs::write(directory.join("config.toml"), text).unwrap();
    let log = fs::File::options().create(true).append(true).open(directory.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
    command.arg("run").arg("--config").arg(directory.join("config.toml")).kill_on_drop(true);
    command.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        command.env(name, "/dev/null");
    }
    for name in ["BEDROCK_TAP_LOG", "AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(log)).spawn().unwrap()
}

/// The request ids in the sink's file, up to its last whole line.
fn delivered(directory: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(directory.join("out")).unwrap_or_default();
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let id = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["requestId"].as_str().unwrap().to_owned()
    };
    text[..whole].lines().map(id).collect()
}

fn log(directory: &Path) -> String {
    fs::read_to_string(directory.join("log")).unwrap()
}

async fn until(directory: &Path, what: &str, is_so: impl AsyncFn() -> bool) {
    let all = timeout(LONG, async {
        while !is_so().await {
            sleep(Duration::from_millis(100)).await;
        }
    });
    all.await.unwrap_or_else(|_| panic!("not so: {what}\n{}", log(directory)));
}

/// Tells it to stop, and waits until it has drained.
async fn stop(mut child: Child, directory: &Path) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let status = timeout(LONG, child.wait()).await.expect("it does not end").unwrap();
    assert!(status.success(), "it ended with {status}\n{}", log(directory));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_loses_no_event_of_any_object() {
    let (queue, objects) = (QueueDouble::start(Some(20)).await, ObjectsDouble::start().await);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    objects.delay(Duration::from_millis(40));
    let source = format!(
        "queue_url = '{}'\nendpoint_url = 'http://{}'\nconcurrency = 3\ninclude = ['AWSLogs/']",
        queue.url(),
        objects.address
    );
    let mut expected = BTreeSet::new();
    for (life, millis) in [900, 300, 1500, 600].into_iter().enumerate() {
        for number in life * OBJECTS / 4..(life + 1) * OBJECTS / 4 {
            let (ids, content) = object(number);
            expected.extend(ids);
            queue.send(notification(&format!("AWSLogs/{number}"), &content));
            objects.put(&format!("{BUCKET}/AWSLogs/{number}"), content);
        }
        objects.script([Meet::Error(503, "SlowDown"), Meet::Cut(100), Meet::Cut(0)]);
        queue
            .script("DeleteMessageBatch", [queue_double::Meet::Lost, queue_double::Meet::EverySecond("InternalError")]);
        let mut child = start(directory, &source);
        // It has begun to read, and dies some time later.
        let asked = objects.asked().len();
        until(directory, "it reads", async || objects.asked().len() > asked).await;
        sleep(Duration::from_millis(millis)).await;
        child.kill().await.unwrap();
        // The sink's file ends with a whole line, or is cut there by the next life.
    }
    assert!(queue.len() > 0, "all was delivered before the last life");
    let child = start(directory, &source);
    until(directory, "the queue is empty", async || queue.len() == 0).await;
    stop(child, directory).await;
    let missing: Vec<_> = expected.difference(&delivered(directory)).cloned().collect();
    assert!(missing.is_empty(), "{} of {} are missing: {:?}", missing.len(), expected.len(), missing.first());
    assert_eq!(queue.dead(), [""; 0]);
    assert_eq!(fs::read_to_string(directory.join("letters")).unwrap_or_default(), "");
    let log = log(directory);
    assert!(!log.contains("request-0"), "the log holds what was read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_while_an_object_hangs() {
    let (queue, objects) = (QueueDouble::start(None).await, ObjectsDouble::start().await);
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    for number in 0..4 {
        let (_, content) = object(number);
        queue.send(notification(&format!("{number}"), &content));
        objects.put(&format!("{BUCKET}/{number}"), content);
    }
    objects.always(BUCKET, Some(Meet::Silent(10)));
    let source = format!("queue_url = '{}'\nendpoint_url = 'http://{}'", queue.url(), objects.address);
    let mut child = start(directory, &source);
    until(directory, "all hang", async || objects.open() == 4).await;
    let id = child.id().unwrap().to_string();
    for _ in 0..2 {
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        sleep(Duration::from_millis(300)).await;
    }
    let status = timeout(Duration::from_secs(3), child.wait()).await.expect("it does not end").unwrap();
    assert!(!status.success(), "it ended with {status}");
    assert!(!log(directory).contains("panicked"), "{}", log(directory));
    assert_eq!(queue.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_notify_of_is_delivered() {
    use aws_sdk_s3::types::{Event, NotificationConfiguration, QueueConfiguration};
    let Some(moto) = Emulator::moto().await else { return };
    let sqs = aws_sdk_sqs::Client::new(&moto.config);
    let made = Box::pin(sqs.create_queue().queue_name("logs").send()).await.unwrap();
    let url = made.queue_url.unwrap();
    let s3 =
        aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(&moto.config).force_path_style(true).build());
    Box::pin(s3.create_bucket().bucket(BUCKET).send()).await.unwrap();
    let to = QueueConfiguration::builder().queue_arn("arn:aws:sqs:us-east-1:123456789012:logs");
    let to =
        NotificationConfiguration::builder().queue_configurations(to.events(Event::S3ObjectCreated).build().unwrap());
    let call = s3.put_bucket_notification_configuration().bucket(BUCKET).notification_configuration(to.build());
    Box::pin(call.send()).await.unwrap();
    let mut expected = BTreeSet::new();
    let folder = "AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/01/02/03";
    for number in 1..6 {
        let (ids, content) = object(number);
        expected.extend(ids);
        let key = format!("{folder}/20260102T030405678Z_{number} \u{fc}+.json.gz");
        Box::pin(s3.put_object().bucket(BUCKET).key(key).body(content.into()).send()).await.unwrap();
    }
    for key in [format!("{folder}/data/a_input.json.gz"), format!("{folder}/amazon-bedrock-logs-permission-check")] {
        Box::pin(s3.put_object().bucket(BUCKET).key(key).body(b"no log".to_vec().into()).send()).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let child = start(directory, &format!("queue_url = '{url}'\nendpoint_url = '{}'", moto.url));
    until(directory, "all is delivered", async || delivered(directory).len() >= expected.len()).await;
    let attribute = async |name: aws_sdk_sqs::types::QueueAttributeName| {
        let call = sqs.get_queue_attributes().queue_url(&url).attribute_names(name.clone());
        let answer = Box::pin(call.send()).await.unwrap();
        answer.attributes.unwrap()[&name].clone()
    };
    use aws_sdk_sqs::types::QueueAttributeName::{
        ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesNotVisible as Hidden,
    };
    until(directory, "the queue is empty", async || attribute(Visible).await == "0" && attribute(Hidden).await == "0")
        .await;
    stop(child, directory).await;
    assert_eq!(delivered(directory), expected);
    let log = log(directory);
    assert!(log.contains("Body: 1") && log.contains("PermissionCheck: 1"), "{log}");
}
