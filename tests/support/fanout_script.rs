//! Subscriptions under the real SDK, byte for byte as scripted: no sockets, so that time can be paused.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bedrock_tap::source::kinesis::client::{Kinesis, StreamTarget};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::eventstream;

pub(crate) const STREAM_ARN: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/logs";

/// What a subscription does next. At the end of its items it ends.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Bytes(Vec<u8>),
    Wait(Duration),
    /// The connection breaks.
    Cut,
    /// Nothing comes any more.
    Silence,
}

/// What becomes of a SubscribeToShard call.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Error(u16, &'static str),
    /// No answer at all.
    Never,
    Stream(Vec<Item>),
}

/// A call that was made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) at: Instant,
    pub(crate) operation: String,
    pub(crate) input: Value,
}

#[derive(Debug, Default)]
struct State {
    subscriptions: VecDeque<Answer>,
    /// Answers of other calls, in turn; the last one of an operation stays.
    answers: Vec<(&'static str, u16, Value)>,
    calls: Vec<Call>,
}

/// A stream of one shard, as scripted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    state: Arc<Mutex<State>>,
}

/// An event of records (sequence numbers, whose data is "r" and the number) with a number to go on from.
pub(crate) fn event(records: &[u64], next: u64, lag: u64) -> Item {
    let data = |number: &u64| (*number, format!("r{number}").into_bytes());
    Item::Bytes(frame(&body(&records.iter().map(data).collect::<Vec<_>>(), next, lag)))
}

pub(crate) fn body(records: &[(u64, Vec<u8>)], next: u64, lag: u64) -> Value {
    let arrival = jiff::Timestamp::now().as_second();
    let record = |(number, data): &(u64, Vec<u8>)| {
        json!({ "SequenceNumber": number.to_string(), "Data": STANDARD.encode(data), "PartitionKey": "k",
            "ApproximateArrivalTimestamp": arrival })
    };
    let records: Vec<_> = records.iter().map(record).collect();
    json!({ "Records": records, "ContinuationSequenceNumber": next.to_string(), "MillisBehindLatest": lag })
}

pub(crate) fn frame(body: &Value) -> Vec<u8> {
    eventstream::event("SubscribeToShardEvent", body)
}

/// The end of the shard, with two children.
pub(crate) fn end() -> Item {
    Item::Bytes(frame(&json!({ "Records": [], "MillisBehindLatest": 0, "ChildShards": children() })))
}

pub(crate) fn children() -> Value {
    let child = |id: &str| {
        let range = json!({ "StartingHashKey": "0", "EndingHashKey": "1" });
        json!({ "ShardId": id, "ParentShards": [], "HashKeyRange": range })
    };
    json!([child("shardId-000000000001"), child("shardId-000000000002")])
}

pub(crate) fn listing(closed: bool) -> Value {
    let mut range = json!({ "StartingSequenceNumber": "1" });
    if closed {
        range["EndingSequenceNumber"] = json!("9");
    }
    json!({ "Shards": [{ "ShardId": "shardId-000000000000", "SequenceNumberRange": range,
        "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "1" } }] })
}

pub(crate) fn consumer(status: &str, made: u64) -> Value {
    let arn = format!("{STREAM_ARN}/consumer/app:{made}");
    json!({ "ConsumerDescription": { "ConsumerName": "app", "ConsumerARN": arn, "ConsumerStatus": status,
        "ConsumerCreationTimestamp": 1.0, "StreamARN": STREAM_ARN } })
}

impl Script {
    pub(crate) fn new(subscriptions: impl IntoIterator<Item = Answer>) -> Self {
        let script = Self::default();
        script.state().subscriptions.extend(subscriptions);
        script
    }

    /// The next answer of an operation other than SubscribeToShard.
    pub(crate) fn answer(&self, operation: &'static str, status: u16, body: Value) {
        self.state().answers.push((operation, status, body));
    }

    pub(crate) fn refuse(&self, operation: &'static str, code: &str) {
        self.answer(operation, 400, json!({ "__type": code, "message": "scripted" }));
    }

    /// The stream through the real SDK, with the time-outs that the real client has.
    pub(crate) fn kinesis(&self) -> Kinesis {
        let connector = SharedHttpConnector::new(self.clone());
        let seconds = Duration::from_secs;
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "script"))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().read_timeout(seconds(20)).operation_timeout(seconds(60)).build())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Kinesis::new(aws_sdk_kinesis::Client::from_conf(config), StreamTarget::parse("logs").unwrap())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn calls(&self, operation: &str) -> Vec<Call> {
        self.state().calls.iter().filter(|call| call.operation == operation).cloned().collect()
    }

    fn scripted(&self, operation: &str) -> (u16, Value) {
        let mut state = self.state();
        let mut all = state.answers.iter().enumerate().filter(|(_, (of, ..))| *of == operation).map(|(at, _)| at);
        if let Some(at) = all.next() {
            let is_last = all.next().is_none();
            let (_, status, body) = if is_last { state.answers[at].clone() } else { state.answers.remove(at) };
            return (status, body);
        }
        let body = match operation {
            "DescribeStreamSummary" => json!({ "StreamDescriptionSummary": {
                "StreamName": "logs", "StreamARN": STREAM_ARN, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
                "StreamCreationTimestamp": 1_700_000_000.0, "EnhancedMonitoring": [], "OpenShardCount": 1 } }),
            "DescribeStreamConsumer" => consumer("ACTIVE", 1),
            "RegisterStreamConsumer" => {
                let mut made = consumer("CREATING", 1)["ConsumerDescription"].take();
                made.as_object_mut().unwrap().remove("StreamARN");
                json!({ "Consumer": made })
            }
            "ListShards" => listing(false),
            "GetShardIterator" => json!({ "ShardIterator": "it" }),
            "GetRecords" => {
                let mut polled = body(&[(900, b"polled".to_vec())], 0, 0);
                polled["ChildShards"] = children();
                polled
            }
            other => panic!("{other} is not scripted"),
        };
        (200, body)
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let input: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap();
        self.state().calls.push(Call { at: Instant::now(), operation: operation.clone(), input });
        let script = self.clone();
        HttpConnectorFuture::new(async move {
            let (status, body) = if operation == "SubscribeToShard" {
                // Nothing more is scripted: a subscription on which nothing comes.
                let silence = Answer::Stream(vec![Item::Silence]);
                let next = script.state().subscriptions.pop_front().unwrap_or(silence);
                match next {
                    Answer::Stream(items) => return Ok(HttpResponse::new(200_u16.try_into().unwrap(), stream(items))),
                    Answer::Never => std::future::pending().await,
                    Answer::Error(status, code) => (status, json!({ "__type": code, "message": "scripted" })),
                }
            } else {
                script.scripted(&operation)
            };
            Ok(HttpResponse::new(status.try_into().unwrap(), body.to_string().into_bytes().into()))
        })
    }
}

/// The SDK's body, by way of the answer that holds it.
trait Holds {
    type Body;
}

impl<B> Holds for aws_smithy_runtime_api::http::Response<B> {
    type Body = B;
}

type SdkBody = <HttpResponse as Holds>::Body;

fn stream(items: Vec<Item>) -> SdkBody {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        for item in items {
            let sent = match item {
                Item::Bytes(bytes) => sender.send(Ok(bytes.into())).await,
                Item::Cut => sender.send(Err(std::io::Error::other("cut"))).await,
                Item::Wait(time) => {
                    tokio::time::sleep(time).await;
                    Ok(())
                }
                Item::Silence => {
                    sender.closed().await;
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    });
    <SdkBody>::from_body_1_x(Feed(receiver))
}

struct Feed(mpsc::Receiver<Result<Bytes, std::io::Error>>);

impl http_body::Body for Feed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        self.0.poll_recv(context).map(|fed| fed.map(|bytes| bytes.map(http_body::Frame::data)))
    }
}
