//! The doubles of Kinesis and DynamoDB, in a process of their own, so that neither their memory nor their time is taken
//! for a worker's or the benchmark's.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use serde::{Deserialize, Serialize};

/// The argument with which the benchmark is the doubles' process.
pub(crate) const ARGUMENT: &str = "--double";

/// Running doubles; their process is killed when this is dropped.
pub(crate) struct Double {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    addresses: Addresses,
}

/// Where the doubles listen.
#[derive(Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) kinesis: SocketAddr,
    pub(crate) dynamodb: SocketAddr,
}

/// What the doubles were asked since they began.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Calls {
    /// Calls of Kinesis, by operation.
    pub(crate) kinesis: HashMap<String, u64>,
    /// Each call of DynamoDB.
    pub(crate) dynamodb: Vec<Call>,
}

/// A call of DynamoDB.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Call {
    /// When, counted from the start of the doubles.
    pub(crate) at: Duration,
    /// Who called: the path of the endpoint that it was given.
    pub(crate) caller: String,
    pub(crate) operation: String,
    /// The lease, where the call is of one.
    pub(crate) lease: Option<String>,
}

impl Double {
    /// Starts doubles that hold nothing.
    pub(crate) fn start() -> Self {
        let program = std::env::current_exe().expect("the benchmark knows its own program");
        let mut command = Command::new(program);
        command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the doubles start");
        let asks = child.stdin.take().expect("it is piped");
        let mut answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let addresses = answer(&mut answers);
        Self { child, asks, answers, addresses }
    }

    /// What was asked so far.
    pub(crate) fn calls(&mut self) -> Calls {
        self.asks.write_all(b"calls\n").and_then(|()| self.asks.flush()).expect("the doubles run");
        answer(&mut self.answers)
    }

    /// A client of the Kinesis double.
    pub(crate) fn client(&self) -> Client {
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "double"))
            .endpoint_url(format!("http://{}", self.addresses.kinesis))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        Client::from_conf(config)
    }

    /// The lines of `[source.kinesis]` that lead to a stream.
    pub(crate) fn source(&self, stream: &str) -> String {
        let address = self.addresses.kinesis;
        format!("stream = \"{stream}\"\nregion = \"us-east-1\"\nendpoint_url = \"http://{address}\"\n")
    }

    /// Leases in a table, for a worker whose calls are told apart by its name.
    pub(crate) fn leases(&self, table: &str, worker: &str) -> String {
        let address = self.addresses.dynamodb;
        format!(
            "[coordination.dynamodb]\ntable = \"{table}\"\ncreate_table = true\nregion = \"us-east-1\"\n\
             endpoint_url = \"http://{address}/{worker}\"\n"
        )
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer<T: for<'de> Deserialize<'de>>(answers: &mut impl BufRead) -> T {
    let mut line = String::new();
    answers.read_line(&mut line).expect("the doubles answer");
    serde_json::from_str(&line).expect("the doubles answer in JSON")
}
