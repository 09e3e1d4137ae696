//! Who this worker is: on ECS the id of its task, which a person finds in the console; elsewhere the host's name and
//! something that no other process has.

use std::env;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tracing::warn;

use super::WorkerId;

/// The variable that the ECS agent sets (platform 1.4.0 and later). Source: the ECS developer guide, "Task metadata
/// endpoint version 4".
const METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";
/// The agent is on the same host, and answers in milliseconds.
const TIMEOUT: Duration = Duration::from_secs(2);
/// A task's metadata is some KiB.
const MAX_BYTES: usize = 1 << 20;

/// This worker's id. A task that is started again in place has the same as before, and goes on with its own leases.
pub async fn id() -> WorkerId {
    if let Ok(endpoint) = env::var(METADATA) {
        match tokio::time::timeout(TIMEOUT, task_id(&endpoint)).await {
            Ok(Ok(id)) => return WorkerId::new(id),
            Ok(Err(error)) => warn!(error = format!("{error:#}"), "the task's metadata cannot be read"),
            Err(_) => warn!("the task's metadata endpoint does not answer"),
        }
    }
    let host = env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    let host = host.as_deref().map(str::trim).filter(|host| !host.is_empty()).unwrap_or("worker");
    // The number keeps apart what runs on one host, the random part what runs in containers of one name.
    WorkerId::new(format!("{host}-{}-{:08x}", std::process::id(), random()))
}

/// Some bits: the standard library seeds each hasher anew.
fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

/// The id of the ECS task: the last part of its ARN.
async fn task_id(endpoint: &str) -> anyhow::Result<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let uri = format!("{endpoint}/task").parse().with_context(|| format!("{METADATA} is not a URL"))?;
    let answer = client.get(uri).await.context("the endpoint does not answer")?;
    anyhow::ensure!(answer.status().is_success(), "the endpoint answers {}", answer.status());
    let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
    let body = body.map_err(anyhow::Error::from_boxed).context("the answer breaks off")?.to_bytes();
    let task: serde_json::Value = serde_json::from_slice(&body).context("the answer is not JSON")?;
    let arn = task.get("TaskARN").and_then(serde_json::Value::as_str).context("the answer names no TaskARN")?;
    let id = arn.rsplit('/').next().filter(|id| !id.is_empty() && arn.contains('/'));
    Ok(id.context("the TaskARN names no task")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// The task id that an endpoint's answer leads to, or a part of the error.
    async fn check(status: &str, body: &str, expected: Result<&str, &str>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}/v4/abc", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let serve = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 1024];
            let count = stream.read(&mut asked).await.unwrap();
            assert!(asked[..count].starts_with(b"GET /v4/abc/task "));
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let ((), found) = tokio::join!(serve, task_id(&endpoint));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(format!("{found:#}").contains(expected), "{found:#}"),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[tokio::test]
    async fn a_task_is_named_by_the_end_of_its_arn() {
        let task = r#"{"TaskARN":"arn:aws:ecs:eu-west-1:123456789012:task/taps/158d1c8083dd49d6b527399fd6414f5c"}"#;
        check("200 OK", task, Ok("158d1c8083dd49d6b527399fd6414f5c")).await;
        check("200 OK", r#"{"Cluster":"taps"}"#, Err("no TaskARN")).await;
        check("200 OK", r#"{"TaskARN":"odd"}"#, Err("names no task")).await;
        check("200 OK", "<html>", Err("not JSON")).await;
        check("500 Oops", "", Err("500")).await;
    }
}
