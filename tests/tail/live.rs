//! The program itself on a stream: what it shows, and how it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use ferrokinesis::store::StoreOptions;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::kinesis_double::until_active;

use super::{envelope, records};

/// An embedded stream, and a program that watches it.
struct Watched {
    client: Client,
    url: String,
}

impl Watched {
    async fn start() -> Self {
        let options = StoreOptions { create_stream_ms: 0, shard_limit: 10, ..StoreOptions::default() };
        let (router, _) = ferrokinesis::create_app(options);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .endpoint_url(&url)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let client = Client::from_conf(config);
        client.create_stream().stream_name("s").shard_count(2).send().await.unwrap();
        until_active(&client, "s").await;
        Self { client, url }
    }

    async fn put(&self, key: &str, messages: &[Value]) {
        let data = Blob::new(envelope(messages, 0).data);
        self.client.put_record().stream_name("s").partition_key(key).data(data).send().await.unwrap();
    }

    fn tail(&self, arguments: &[&str]) -> Program {
        let child = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
            .args(["tail", "--stream", "s", "--region", "us-east-1", "--endpoint-url", &self.url])
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env_remove("AWS_PROFILE")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Program(child)
    }
}

/// A running program; it does not outlive its test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// Waits for the end; gives the exit code and what was written to standard error.
    async fn end(mut self) -> (Option<i32>, String) {
        within(move || {
            let code = self.0.wait().unwrap().code();
            let mut error = String::new();
            self.0.stderr.take().unwrap().read_to_string(&mut error).unwrap();
            (code, error)
        })
        .await
    }
}

/// Does what blocks beside the test, for a minute at most.
async fn within<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(act);
    tokio::time::timeout(Duration::from_secs(60), done).await.expect("not done within a minute").unwrap()
}

async fn lines(stdout: ChildStdout, count: usize) -> (Vec<String>, BufReader<ChildStdout>) {
    within(move || {
        let mut reader = BufReader::new(stdout);
        let mut lines = Vec::new();
        for _ in 0..count {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            lines.push(line);
        }
        (lines, reader)
    })
    .await
}

/// A record of a call that was just made; another for each number.
fn now(message: &Value, number: usize) -> Value {
    let mut message = message.clone();
    message["timestamp"] = json!(Timestamp::now().to_string());
    message["requestId"] = json!(format!("request-{number}"));
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_what_arrives_and_ends_after_a_count() {
    let watched = Watched::start().await;
    let (first, second) = (now(&records::converse(), 1), now(&records::throttled(), 2));
    watched.put("a", &[records::chat(), first.clone(), second.clone()]).await;
    // A redelivery, on another shard.
    watched.put("z", &[first, second, now(&records::embedding(), 3)]).await;
    let mut program = watched.tail(&["--since", "1h", "-n", "3"]);
    let stdout = program.0.stdout.take().unwrap();
    let (mut shown, _) = lines(stdout, 4).await;
    shown.sort();
    assert_eq!(shown.remove(0), "", "no more than three");
    let ids: Vec<_> = shown.iter().filter_map(|line| line.split_whitespace().last()).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ["request-1", "request-2", "request-3"], "not the old one, and none twice");
    assert_eq!(program.end().await, (Some(0), String::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pipe_and_an_interrupt_end_it_quietly() {
    let watched = Watched::start().await;
    watched.put("a", &[now(&records::converse(), 0)]).await;

    let mut program = watched.tail(&["--since", "1h"]);
    let (shown, reader) = lines(program.0.stdout.take().unwrap(), 1).await;
    assert!(shown[0].contains("request-0"), "{shown:?}");
    drop(reader);
    watched.put("a", &[now(&records::chat(), 1)]).await;
    assert_eq!(program.end().await, (Some(0), String::new()), "closed pipe");

    let mut program = watched.tail(&["--since", "1h"]);
    let (shown, _reader) = lines(program.0.stdout.take().unwrap(), 2).await;
    assert!(shown[1].contains("request-1"), "{shown:?}");
    let status = Command::new("kill").args(["-INT", &program.0.id().to_string()]).status().unwrap();
    assert!(status.success());
    assert_eq!(program.end().await, (Some(0), String::new()), "interrupt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_there_is_an_error_with_a_way_out() {
    let watched = Watched::start().await;
    let mut missing = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
    missing.args(["tail", "--stream", "missing", "--region", "us-east-1", "--endpoint-url", &watched.url]);
    missing.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    let output = within(move || missing.output().unwrap()).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("cannot watch the stream missing"), "{error}");
}
