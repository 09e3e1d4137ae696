//! AWS as the doctor asks it, on the loopback interface: Bedrock, IAM, STS, KMS, CloudWatch Logs, Kinesis, DynamoDB, SQS
//! and S3, told apart by what each protocol names its operation in. It answers for an account in which everything holds,
//! until something else is scripted. Source of the answers: the API references of the services.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) const ACCOUNT: &str = "123456789012";
pub(crate) const STREAM: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/bedrock";
pub(crate) const GROUP: &str = "/bedrock/invocations";
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/bedrock-tap-logs";

/// What an operation answers with.
#[derive(Clone, Debug)]
pub(crate) enum Meet {
    /// This.
    Json(Value),
    /// This.
    Xml(String),
    /// An error with this status and code.
    Error(u16, &'static str),
    /// Nothing, for ever.
    Silence,
}

#[derive(Default)]
struct Inner {
    meets: HashMap<String, Meet>,
    /// What all meet that have nothing of their own.
    all: Option<Meet>,
    date: Option<String>,
    calls: Vec<(String, Value)>,
    /// What answers become when a change was made: the operation and what it then answers.
    after: BTreeMap<String, Vec<(String, Meet)>>,
}

/// The double; it stops when it is dropped.
pub(crate) struct AwsDouble {
    pub(crate) address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    _tasks: JoinSet<()>,
}

impl AwsDouble {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Arc::new(Mutex::new(Inner::default()));
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&inner));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, inner, _tasks: tasks }
    }

    /// What an operation answers with from now on.
    pub(crate) fn script(&self, operation: &str, meet: Meet) {
        self.inner.lock().unwrap().meets.insert(operation.to_owned(), meet);
    }

    /// What everything answers with that has nothing of its own.
    pub(crate) fn script_all(&self, meet: Meet) {
        self.inner.lock().unwrap().all = Some(meet);
    }

    /// Once `change` was called, `operation` answers with this.
    pub(crate) fn after(&self, change: &str, operation: &str, meet: Meet) {
        let mut inner = self.inner.lock().unwrap();
        inner.after.entry(change.to_owned()).or_default().push((operation.to_owned(), meet));
    }

    /// What answers say the time is.
    pub(crate) fn date(&self, date: String) {
        self.inner.lock().unwrap().date = Some(date);
    }

    /// The operations that were called, and with what.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        self.inner.lock().unwrap().calls.clone()
    }

    /// How often an operation was called.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.calls().iter().filter(|(called, _)| called == operation).count()
    }
}

/// The operation, and its input as JSON.
fn operation(method: &Method, path: &str, headers: &HeaderMap, body: &[u8]) -> (String, Value) {
    let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
    if let Some((_, operation)) = header("x-amz-target").rsplit_once('.') {
        return (operation.to_owned(), serde_json::from_slice(body).unwrap());
    }
    if path == "/logging/modelinvocations" {
        let verb = if method == Method::GET { "Get" } else { "Put" };
        let input = serde_json::from_slice(body).unwrap_or_default();
        return (format!("{verb}ModelInvocationLoggingConfiguration"), input);
    }
    if header("content-type").starts_with("application/x-www-form-urlencoded") {
        let text = String::from_utf8(body.to_vec()).unwrap();
        let decoded = |text: &str| text.replace("%3A", ":").replace("%2F", "/");
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        let input: BTreeMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect();
        return (input["Action"].clone(), json!(input));
    }
    assert_eq!(method, Method::GET, "{path} is not done here");
    ("ListObjectsV2".to_owned(), json!({ "path": path }))
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    if parts.uri.path() == "/container" {
        // What ECS tells a container of itself; nobody signs for it.
        return json!({ "LogDriver": "awslogs", "LogOptions": { "awslogs-group": "/ecs/tap" } })
            .to_string()
            .into_response();
    }
    let signature = parts.headers.get("authorization").unwrap().to_str().unwrap();
    assert!(signature.starts_with("AWS4-HMAC-SHA256 "), "{signature}");
    let (operation, input) = operation(&parts.method, parts.uri.path(), &parts.headers, &body);
    // What is scripted of subscriptions is of Bedrock's log group; of another it is behind its name.
    let of_other = input["logGroupName"].as_str().filter(|name| *name != GROUP);
    let scripted = match of_other {
        Some(name) if operation == "DescribeSubscriptionFilters" => format!("{operation} {name}"),
        _ => operation.clone(),
    };
    let (meet, date) = {
        let mut inner = inner.lock().unwrap();
        inner.calls.push((operation.clone(), input.clone()));
        let meet = inner.meets.get(&scripted).or(inner.all.as_ref()).cloned();
        if let Some(then) = inner.after.remove(&operation) {
            inner.meets.extend(then);
        }
        (meet, inner.date.clone())
    };
    let meet = meet.unwrap_or_else(|| usual(&operation, &input));
    let mut response = match meet {
        Meet::Json(value) => value.to_string().into_response(),
        Meet::Xml(text) => text.into_response(),
        Meet::Error(status, code) => error(status, code, &operation),
        Meet::Silence => std::future::pending().await,
    };
    if let Some(date) = date {
        response.headers_mut().insert("date", date.parse().unwrap());
    }
    response
}

/// As each protocol tells of an error; a message quotes what was asked, as those of AWS do.
fn error(status: u16, code: &str, operation: &str) -> Response {
    let message = format!("User: arn:aws:sts::{ACCOUNT}:assumed-role/tap/i-1 has met {code} at {operation}");
    let of_query = ["GetCallerIdentity", "GetRole", "SimulatePrincipalPolicy", "ListObjectsV2"];
    let body = if of_query.contains(&operation) {
        let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        // S3 has no element around it.
        if operation == "ListObjectsV2" { error } else { format!("<ErrorResponse>{error}</ErrorResponse>") }
    } else {
        json!({ "__type": code, "message": message }).to_string()
    };
    (StatusCode::from_u16(status).unwrap(), [("x-amzn-requestid", "request-1")], body).into_response()
}

/// What is answered where everything holds.
fn usual(operation: &str, input: &Value) -> Meet {
    Meet::Json(match operation {
        "GetCallerIdentity" => {
            return Meet::Xml(format!(
                "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/tap/i-1\
                 </Arn><UserId>A:i-1</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>\
                 </GetCallerIdentityResponse>"
            ));
        }
        "GetRole" => {
            let name = input["RoleName"].as_str().unwrap();
            return Meet::Xml(format!("<Role><Path>/</Path><Arn>arn:aws:iam::{ACCOUNT}:role/{name}</Arn></Role>"));
        }
        "SimulatePrincipalPolicy" => return simulated(input, &[]),
        "GetModelInvocationLoggingConfiguration" => logging(true),
        "DescribeKey" => json!({ "KeyMetadata": { "KeyId": "k", "KeyState": "Enabled" } }),
        "DescribeLogGroups" => json!({ "logGroups": [group(input["logGroupNamePrefix"].as_str().unwrap())] }),
        "DescribeSubscriptionFilters" if input["logGroupName"] == GROUP => json!({ "subscriptionFilters": [filter()] }),
        "DescribeSubscriptionFilters" => json!({ "subscriptionFilters": [] }),
        "DescribeAccountPolicies" => json!({ "accountPolicies": [] }),
        "TestMetricFilter" => json!({ "matches": [{ "eventNumber": 1 }] }),
        "DescribeStreamSummary" => json!({ "StreamDescriptionSummary": stream() }),
        "DescribeStreamConsumer" => json!({ "ConsumerDescription": {
            "ConsumerName": "bedrock-tap", "ConsumerARN": format!("{STREAM}/consumer/bedrock-tap:1"),
            "ConsumerStatus": "ACTIVE", "ConsumerCreationTimestamp": 1, "StreamARN": STREAM,
        } }),
        "ListShards" => json!({ "Shards": [{
            "ShardId": "shardId-000000000000",
            "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "1" },
            "SequenceNumberRange": { "StartingSequenceNumber": "1" },
        }] }),
        "GetShardIterator" => json!({ "ShardIterator": "iterator" }),
        "GetRecords" => json!({ "Records": [], "NextShardIterator": "iterator", "MillisBehindLatest": 0 }),
        "DescribeTable" => json!({ "Table": table(input["TableName"].as_str().unwrap()) }),
        "DescribeContinuousBackups" => recovery(true),
        "DescribeTimeToLive" => json!({ "TimeToLiveDescription": { "TimeToLiveStatus": "DISABLED" } }),
        "Scan" => json!({ "Items": [], "Count": 0, "ScannedCount": 0 }),
        "GetQueueAttributes" => json!({ "Attributes": {
            "RedrivePolicy": "{}", "MessageRetentionPeriod": "1209600", "QueueArn": "arn",
        } }),
        "ListObjectsV2" => return Meet::Xml("<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>".to_owned()),
        "CreateTable" => json!({ "TableDescription": {} }),
        _ => json!({}),
    })
}

/// Every action is allowed but these.
pub(crate) fn simulated(input: &Value, denied: &[&str]) -> Meet {
    let actions = input.as_object().unwrap().iter().filter(|(name, _)| name.starts_with("ActionNames."));
    let results = actions.map(|(_, action)| {
        let action = action.as_str().unwrap();
        let decision = if denied.contains(&action) { "implicitDeny" } else { "allowed" };
        format!("<member><EvalDecision>{decision}</EvalDecision><EvalActionName>{action}</EvalActionName></member>")
    });
    Meet::Xml(format!("<EvaluationResults>{}</EvaluationResults>", results.collect::<String>()))
}

/// Bedrock's logging, with a bucket for large bodies or without.
pub(crate) fn logging(has_bucket: bool) -> Value {
    let mut to = json!({ "logGroupName": GROUP, "roleArn": "arn:aws:iam::123456789012:role/b" });
    if has_bucket {
        to["largeDataDeliveryS3Config"] = json!({ "bucketName": "large" });
    }
    json!({ "loggingConfig": {
        "cloudWatchConfig": to, "textDataDeliveryEnabled": true, "imageDataDeliveryEnabled": true,
        "embeddingDataDeliveryEnabled": true,
    } })
}

pub(crate) fn group(name: &str) -> Value {
    json!({
        "logGroupName": name, "logGroupClass": "STANDARD", "retentionInDays": 30, "creationTime": 1_760_000_000_000_i64,
        "logGroupArn": format!("arn:aws:logs:eu-west-1:{ACCOUNT}:log-group:{name}"),
    })
}

pub(crate) fn filter() -> Value {
    json!({
        "filterName": "bedrock-tap", "logGroupName": GROUP, "destinationArn": STREAM, "roleArn": ROLE,
        "filterPattern": "{ $.schemaType = \"ModelInvocationLog\" }", "distribution": "Random",
    })
}

pub(crate) fn stream() -> Value {
    json!({
        "StreamName": "bedrock", "StreamARN": STREAM, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 72,
        "StreamCreationTimestamp": 1_760_000_000, "EnhancedMonitoring": [], "EncryptionType": "KMS",
        "KeyId": "arn:aws:kms:eu-west-1:123456789012:key/k", "OpenShardCount": 4, "ConsumerCount": 0,
        "StreamModeDetails": { "StreamMode": "ON_DEMAND" },
    })
}

pub(crate) fn table(name: &str) -> Value {
    json!({
        "TableName": name, "TableStatus": "ACTIVE",
        "TableArn": format!("arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/{name}"),
        "AttributeDefinitions": [{ "AttributeName": "leaseKey", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "leaseKey", "KeyType": "HASH" }],
        "BillingModeSummary": { "BillingMode": "PAY_PER_REQUEST" },
    })
}

pub(crate) fn recovery(is_on: bool) -> Value {
    let status = if is_on { "ENABLED" } else { "DISABLED" };
    json!({ "ContinuousBackupsDescription": {
        "ContinuousBackupsStatus": "ENABLED",
        "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": status },
    } })
}
