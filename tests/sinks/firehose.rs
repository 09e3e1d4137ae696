//! The firehose sink, against a scripted Firehose.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bedrock_tap::aws::{Access, CredentialsFrom};
use bedrock_tap::sink::firehose::{self, LIMITS, Settings};
use bedrock_tap::sink::{Planned, batch};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::contract::{self, Trouble, deliver, item};
use super::puts::{Front, Meet, Words, answers, begins, once, probe};
use crate::support::fault::{MAX_BODY_BYTES, error};

static WORDS: Words = Words {
    put: "PutRecordBatch",
    entries: "RequestResponses",
    failed: "FailedPutCount",
    id: "RecordId",
    busy: (503, "ServiceUnavailableException"),
};

pub(super) const STREAM: &str = "bedrock-events";

/// A stream's description, or a status and the code of an error.
type Description = Arc<Mutex<Result<Value, (u16, &'static str)>>>;

/// A Firehose with one delivery stream; it stops when it is dropped.
pub(super) struct Double {
    pub(super) address: SocketAddr,
    front: Front,
    /// What it says when it is asked for a description.
    description: Description,
    _tasks: JoinSet<()>,
}

impl Double {
    pub(super) async fn start() -> Self {
        let front = Front::new(&WORDS);
        let description = Arc::new(Mutex::new(Ok(described("ACTIVE", "DirectPut"))));
        let app = axum::Router::new().fallback(serve).with_state(Arc::clone(&description));
        let app = front.before(app).layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, front, description, _tasks: tasks }
    }

    fn plan_for(&self, stream: &str) -> Planned {
        let access = Access {
            region: Some("us-east-1".to_owned()),
            endpoint_url: Some(format!("http://{}", self.address)),
            credentials: CredentialsFrom::MadeUp,
            ..Access::default()
        };
        let settings = Settings { timeout: Duration::from_millis(1500), ..Settings::new(stream, access) };
        firehose::planned(settings, LIMITS)
    }
}

fn described(status: &str, kind: &str) -> Value {
    json!({
        "DeliveryStreamName": STREAM, "DeliveryStreamARN": "arn", "DeliveryStreamStatus": status,
        "DeliveryStreamType": kind, "VersionId": "1", "Destinations": [], "HasMoreDestinations": false,
    })
}

/// Firehose, as its API reference has it: its limits are those of the call, of each record, and of the records' number.
async fn serve(State(description): State<Description>, headers: HeaderMap, body: Bytes) -> Response {
    let json = |value: Value| {
        ([("content-type", "application/x-amz-json-1.1")], Body::from(value.to_string())).into_response()
    };
    let input: Value = serde_json::from_slice(&body).unwrap();
    if input["DeliveryStreamName"] != STREAM {
        return error(400, "ResourceNotFoundException");
    }
    match headers["x-amz-target"].to_str().unwrap() {
        "Firehose_20150804.DescribeDeliveryStream" => match &*description.lock().unwrap() {
            Ok(description) => json(json!({ "DeliveryStreamDescription": description })),
            Err((status, code)) => error(*status, code),
        },
        "Firehose_20150804.PutRecordBatch" => {
            let bytes = |record: &Value| BASE64_STANDARD.decode(record["Data"].as_str().unwrap()).unwrap().len();
            let sizes: Vec<_> = input["Records"].as_array().unwrap().iter().map(bytes).collect();
            let is_over = sizes.iter().any(|bytes| *bytes > 1_024_000) || sizes.iter().sum::<usize>() > 4_194_304;
            if is_over || !(1..=500).contains(&sizes.len()) {
                return error(400, "InvalidArgumentException");
            }
            let entries: Vec<_> = (0..sizes.len()).map(|at| json!({ "RecordId": format!("id-{at}") })).collect();
            json(json!({ "FailedPutCount": 0, "Encrypted": false, "RequestResponses": entries }))
        }
        target => panic!("{target} is not scripted"),
    }
}

impl contract::Double for Double {
    fn plan(&self) -> Planned {
        self.plan_for(STREAM)
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
        LIMITS.max_item_bytes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    contract::check(Double::start).await;
}

#[tokio::test]
async fn a_call_has_no_more_than_firehose_takes() {
    let double = Double::start().await;
    let check = async |items: &[String], calls: &[usize], letters: usize| {
        assert_eq!(deliver(&double, items, items.len()).await.len(), letters);
        assert_eq!(double.front.calls().iter().map(Vec::len).collect::<Vec<_>>(), calls);
    };
    let many = |count: usize, bytes: usize| (0..count).map(|n| item(n, bytes)).collect::<Vec<_>>();
    check(&many(500, 50), &[500], 0).await;
    check(&many(501, 50), &[500, 1], 0).await;
    // 4 MiB, newlines included; then one byte more.
    let quarter = |n: usize, bytes: usize| format!("{n}{}", "x".repeat(bytes - 2));
    let mut items: Vec<_> = (0..8).map(|n| quarter(n, 512 << 10)).collect();
    check(&items, &[8], 0).await;
    items[3].push('x');
    check(&items, &[7, 1], 0).await;
    // 1,000 KiB of one record, its newline included; then one byte more.
    check(&[quarter(0, 1_024_000)], &[1], 0).await;
    check(&["a".to_owned(), quarter(0, 1_024_001), "b".to_owned()], &[2], 1).await;
}

#[tokio::test]
async fn an_error_of_the_call_says_what_to_do() {
    let double = Double::start().await;
    let check = async |status: u16, code: &'static str, expected: &str| {
        double.front.script([Meet::Error(status, code)]);
        begins(&once(double.plan_for(STREAM), &[item(1, 100)]).await, expected, code);
    };
    let on = |rest: &str| format!("retry: firehose:PutRecordBatch on deliverystream/{STREAM}: {rest}");
    check(503, "ServiceUnavailableException", &on("ServiceUnavailableException; if it lasts, ask AWS for a higher"))
        .await;
    check(400, "LimitExceededException", &on("LimitExceededException; if it lasts, ask AWS for a higher quota")).await;
    check(400, "ResourceNotFoundException", &on("ResourceNotFoundException; check that it exists, and the Region"))
        .await;
    check(400, "AccessDeniedException", &on("AccessDeniedException; grant firehose:PutRecordBatch on it to the role"))
        .await;
    check(400, "InvalidKMSResourceException", &on("InvalidKMSResourceException; enable or restore the KMS key")).await;
    check(400, "InvalidSourceException", &on("InvalidSourceException; name a delivery stream whose source is Direct"))
        .await;
    check(400, "ExpiredTokenException", &on("ExpiredTokenException; check the credentials")).await;
    check(400, "SomethingNewException", &on("SomethingNewException; it is tried again; if it lasts, check the")).await;
    check(500, "InternalFailure", &on("InternalFailure; it is tried again")).await;
    check(502, "<html>", &on("")).await;
    check(400, "InvalidArgumentException", "refused: InvalidArgumentException: scripted").await;
    check(413, "RequestEntityTooLargeException", "refused: RequestEntityTooLargeException: scripted").await;
    double.front.script([Meet::Trouble(Trouble::Busy)]);
    let said = once(double.plan_for(STREAM), &[item(1, 100)]).await;
    begins(&said, "retry after 1s: firehose:PutRecordBatch on ", "Retry-After");
    let said = once(double.plan_for("another"), &[item(1, 100)]).await;
    begins(&said, &on("Resource").replace(STREAM, "another"), "a stream that is not there");
    drop(double.front.calls());
    assert_eq!(once(double.plan_for(STREAM), &[]).await, "durable");
    assert!(double.front.calls().is_empty(), "a call without records");
}

#[tokio::test]
async fn a_record_is_durable_only_if_the_answer_says_so() {
    let double = Double::start().await;
    for (answer, expected) in answers(&WORDS) {
        double.front.script([Meet::Answer(answer.clone())]);
        let items: Vec<_> = (0..3).map(|n| item(n, 100)).collect();
        let expected = expected.replace("PUT", &format!("firehose:PutRecordBatch on deliverystream/{STREAM}"));
        begins(&once(double.plan_for(STREAM), &items).await, &expected, &answer);
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

#[tokio::test]
async fn a_probe_asks_for_an_active_stream_that_takes_puts() {
    let double = Double::start().await;
    let check = async |description: Result<Value, (u16, &'static str)>, expected: &str| {
        let of = format!("{description:?}");
        *double.description.lock().unwrap() = description;
        begins(&probe(double.plan_for(STREAM)).await, expected, &of);
    };
    let on = |rest: &str| format!("retry: firehose:DescribeDeliveryStream on deliverystream/{STREAM}: {rest}");
    check(Ok(described("ACTIVE", "DirectPut")), "durable").await;
    check(Ok(described("CREATING", "DirectPut")), &on("it is CREATING; wait")).await;
    check(Ok(described("event-0 is scripted", "DirectPut")), &on("it is an unreadable name; ")).await;
    check(Ok(described("ACTIVE", "KinesisStreamAsSource")), &on("it takes no puts, it is of type KinesisStream")).await;
    check(Ok(Value::Null), &on("")).await;
    check(Ok(json!({})), &on("the answer is not readable")).await;
    check(Err((400, "AccessDeniedException")), &on("AccessDeniedException; grant firehose:DescribeDeliveryStream"))
        .await;
    check(Err((400, "ResourceNotFoundException")), &on("ResourceNotFoundException; check that it exists")).await;
    check(Err((500, "InternalFailure")), &on("InternalFailure; it is tried again")).await;
    assert!(double.front.calls().is_empty(), "a probe that writes");
    // Nobody listens there any more.
    let plan = double.plan_for(STREAM);
    drop(double);
    begins(&probe(plan).await, &on("the request was not answered ("), "no server");
}

/// The limits are those that the documents give.
#[test]
fn the_limits_are_the_documented_ones() {
    let batch::Settings { max_batch_bytes, max_batch_items, max_item_bytes, .. } = LIMITS;
    assert_eq!((max_batch_bytes, max_batch_items, max_item_bytes), (4_194_304, 500, 1_024_000));
}
