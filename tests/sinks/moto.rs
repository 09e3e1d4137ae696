//! The sinks of AWS against moto, which others wrote: the program runs as people run it, on a file of records, and what it
//! wrote is read back through the services.

use std::fs;
use std::path::Path;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use bedrock_tap::source::BoxFuture;
use serde_json::Value;
use tokio::process::Command;

use crate::support::emulator::Emulator;

/// Records of a run: a few requests of every sink.
const RECORDS: usize = 25;

/// A destination, and how what it holds is read back.
struct Case {
    /// The kind of the sink.
    kind: &'static str,
    /// Makes the destination, and gives the keys of its section.
    make: fn(&Emulator) -> BoxFuture<'_, String>,
    /// The lines that it holds, in its order.
    read: fn(&Emulator) -> BoxFuture<'_, Vec<String>>,
    /// Whether the destination keeps the order.
    is_ordered: bool,
    /// Whether what is delivered again is there once.
    is_idempotent: bool,
}

const CASES: &[Case] = &[
    Case {
        kind: "sqs",
        make: |moto| Box::pin(queue(moto, "alerts", &[])),
        read: |moto| Box::pin(messages(moto, "alerts")),
        is_ordered: false,
        is_idempotent: false,
    },
    Case {
        kind: "sqs",
        make: |moto| Box::pin(queue(moto, "alerts.fifo", &[(QueueAttributeName::FifoQueue, "true")])),
        read: |moto| Box::pin(messages(moto, "alerts.fifo")),
        is_ordered: true,
        is_idempotent: true,
    },
    Case {
        kind: "kinesis",
        make: |moto| Box::pin(stream(moto, "events")),
        read: |moto| Box::pin(records(moto, "events")),
        is_ordered: true,
        is_idempotent: false,
    },
    Case {
        kind: "s3",
        make: |moto| Box::pin(bucket(moto, "lake")),
        read: |moto| Box::pin(objects(moto, "lake")),
        is_ordered: true,
        is_idempotent: false,
    },
    Case {
        kind: "firehose",
        make: |moto| Box::pin(delivery_stream(moto, "delivered")),
        read: |moto| Box::pin(objects(moto, "delivered")),
        is_ordered: false,
        is_idempotent: false,
    },
];

fn request(number: usize) -> String {
    format!("request-{number:05}")
}

/// A record with so many bytes of text, all ASCII: moto counts characters.
fn record(number: usize, bytes: usize) -> String {
    let (id, text) = (request(number), "x".repeat(bytes));
    format!(
        r#"{{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"{id}","operation":"Converse","modelId":"amazon.nova-lite-v1:0","input":{{"inputBodyJson":{{"messages":[{{"role":"user","content":[{{"text":"{text}"}}]}}]}}}}}}"#
    )
}

/// Runs the program on these records until it ends, with one sink of this kind and these keys.
async fn run(directory: &Path, records: &[String], kind: &str, keys: &str, moto: &Emulator) {
    let path = |name: &str| directory.join(name).display().to_string();
    fs::write(path("in"), records.join("\n") + "\n").unwrap();
    let text = format!(
        "[source.file]\npaths = [{:?}]\n[coordination.local]\ndirectory = {:?}\n[dead_letter.file]\npath = {:?}\n\
         [sinks.it.{kind}]\n{keys}\nregion = \"us-east-1\"\nendpoint_url = \"{}\"\n",
        path("in"),
        path("state"),
        path("letters"),
        moto.url,
    );
    let config = directory.join("config.toml");
    fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
    command.arg("run").arg("--config").arg(&config).kill_on_drop(true);
    command.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        command.env(name, "/dev/null");
    }
    for name in ["BEDROCK_TAP_LOG", "AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"] {
        command.env_remove(name);
    }
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.expect("it does not end");
    let output = output.unwrap();
    assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The request ids of lines.
fn requests(lines: &[String]) -> Vec<String> {
    let id = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["requestId"].as_str().unwrap().to_owned()
    };
    lines.iter().map(id).collect()
}

impl Case {
    async fn check(&self, moto: &Emulator) {
        let keys = (self.make)(moto).await;
        let records: Vec<String> = (0..RECORDS).map(|number| record(number, 100)).collect();
        let mut expected: Vec<String> = (0..RECORDS).map(request).collect();
        let runs = if self.is_idempotent { 2 } else { 1 };
        for _ in 0..runs {
            // A place that knows nothing of the run before: all is read and delivered again.
            let directory = tempfile::tempdir().unwrap();
            run(directory.path(), &records, self.kind, &keys, moto).await;
            let letters = fs::read_to_string(directory.path().join("letters")).unwrap_or_default();
            assert_eq!(letters, "", "{}", self.kind);
        }
        let mut found = requests(&(self.read)(moto).await);
        if !self.is_ordered {
            found.sort();
            expected.sort();
        }
        assert_eq!(found, expected, "{} with {keys}", self.kind);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_delivered_is_read_back_through_the_services() {
    let Some(moto) = Emulator::moto().await else { return };
    for case in CASES {
        case.check(&moto).await;
    }
    small_queue(&moto).await;
}

/// A queue that takes less than SQS refuses what is larger, and takes the rest.
async fn small_queue(moto: &Emulator) {
    let keys = queue(moto, "small", &[(QueueAttributeName::MaximumMessageSize, "8192")]).await;
    let records: Vec<String> = (0..6).map(|number| record(number, if number == 4 { 8000 } else { 100 })).collect();
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), &records, "sqs", &keys, moto).await;
    let mut found = requests(&messages(moto, "small").await);
    found.sort();
    assert_eq!(found, [0, 1, 2, 3, 5].map(request));
    let letters = fs::read_to_string(directory.path().join("letters")).unwrap();
    let letter: Value = serde_json::from_str(letters.trim_end()).unwrap();
    assert_eq!(letter["reason"], "refused");
    assert!(letter["detail"].as_str().unwrap().contains("InvalidParameterValue"), "{}", letter["detail"]);
}

fn sqs(moto: &Emulator) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(&moto.config)
}

async fn queue(moto: &Emulator, name: &str, attributes: &[(QueueAttributeName, &str)]) -> String {
    let mut call = sqs(moto).create_queue().queue_name(name);
    for (attribute, value) in attributes {
        call = call.attributes(attribute.clone(), *value);
    }
    let made = Box::pin(call.send()).await.unwrap();
    format!("queue_url = {:?}\nconcurrency = 1\nprobe = true", made.queue_url.unwrap())
}

async fn messages(moto: &Emulator, name: &str) -> Vec<String> {
    let client = sqs(moto);
    let url = Box::pin(client.get_queue_url().queue_name(name).send()).await.unwrap().queue_url.unwrap();
    let mut lines = Vec::new();
    loop {
        let call = client.receive_message().queue_url(&url).max_number_of_messages(10);
        let some = Box::pin(call.send()).await.unwrap().messages.unwrap_or_default();
        if some.is_empty() {
            return lines;
        }
        for message in some {
            let handle = message.receipt_handle.unwrap();
            Box::pin(client.delete_message().queue_url(&url).receipt_handle(handle).send()).await.unwrap();
            lines.push(message.body.unwrap());
        }
    }
}

async fn stream(moto: &Emulator, name: &str) -> String {
    let client = aws_sdk_kinesis::Client::new(&moto.config);
    Box::pin(client.create_stream().stream_name(name).shard_count(1).send()).await.unwrap();
    format!("stream = {name:?}\nconcurrency = 1\nprobe = true")
}

async fn records(moto: &Emulator, name: &str) -> Vec<String> {
    use aws_sdk_kinesis::types::ShardIteratorType::TrimHorizon;
    let client = aws_sdk_kinesis::Client::new(&moto.config);
    let shards = Box::pin(client.list_shards().stream_name(name).send()).await.unwrap().shards.unwrap();
    let shard = shards.first().unwrap().shard_id();
    let call = client.get_shard_iterator().stream_name(name).shard_id(shard).shard_iterator_type(TrimHorizon);
    let iterator = Box::pin(call.send()).await.unwrap().shard_iterator.unwrap();
    let read = Box::pin(client.get_records().shard_iterator(iterator).send()).await.unwrap();
    let line = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    read.records.iter().map(|record| line(record.data().as_ref())).collect()
}

fn s3(moto: &Emulator) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(&moto.config).force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

async fn bucket(moto: &Emulator, name: &str) -> String {
    Box::pin(s3(moto).create_bucket().bucket(name).send()).await.unwrap();
    format!("bucket = {name:?}\nobject_age = \"1s\"\nprobe = true")
}

async fn delivery_stream(moto: &Emulator, name: &str) -> String {
    use aws_sdk_firehose::types::ExtendedS3DestinationConfiguration;
    bucket(moto, name).await;
    let to = ExtendedS3DestinationConfiguration::builder()
        .role_arn("arn:aws:iam::123456789012:role/delivery")
        .bucket_arn(format!("arn:aws:s3:::{name}"));
    let client = aws_sdk_firehose::Client::new(&moto.config);
    let call = client.create_delivery_stream().delivery_stream_name(name);
    Box::pin(call.extended_s3_destination_configuration(to.build().unwrap()).send()).await.unwrap();
    // A probe asks DescribeDeliveryStream, whose times moto writes in a form that is not AWS's.
    format!("stream = {name:?}")
}

/// The lines of all objects, plain or in zstd, in the order of their names.
async fn objects(moto: &Emulator, bucket: &str) -> Vec<String> {
    let client = s3(moto);
    let listed = Box::pin(client.list_objects_v2().bucket(bucket).send()).await.unwrap();
    let mut lines = Vec::new();
    for object in listed.contents() {
        let key = object.key().unwrap();
        let object = Box::pin(client.get_object().bucket(bucket).key(key).send()).await.unwrap();
        let mut bytes = Box::pin(object.body.collect()).await.unwrap().to_vec();
        if key.ends_with(".zst") {
            bytes = zstd::decode_all(bytes.as_slice()).unwrap();
        }
        lines.extend(String::from_utf8(bytes).unwrap().lines().map(str::to_owned));
    }
    lines
}
