//! A grant: where the policies say that something may be used, and for what.

/// What of the program needs an action: one purpose, and one kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Reading a Kinesis stream, however its records come.
    Stream,
    /// The key of the stream that is read.
    StreamKey,
    /// Registering a consumer for fan-out (`register_consumer`).
    Registration,
    /// Reading as a registered consumer.
    Consumer,
    /// The table of the leases.
    Leases,
    /// The table of what detection remembers.
    Remembered,
    /// Making both tables (`create_table`).
    Tables,
    /// Large bodies in S3.
    Bodies,
    /// The logs of the source `s3`.
    Objects,
    /// The bucket of the source `s3` as a whole.
    Listing,
    /// The key of the buckets that are read.
    ObjectsKey,
    /// The queue of the source `s3`.
    Notifications,
    /// The key of that queue.
    NotificationsKey,
    /// Log groups that are read by the API of CloudWatch Logs.
    Groups,
    /// Log groups that are read live.
    LiveGroups,
    /// Finding log groups by their names.
    GroupNames,
    /// Sinks of the kind `s3`.
    ObjectSink,
    /// The key of their buckets.
    ObjectSinkKey,
    /// Sinks of the kind `firehose`.
    FirehoseSink,
    /// Sinks of the kind `kinesis`.
    KinesisSink,
    /// The key of their streams.
    KinesisSinkKey,
    /// Sinks of the kind `sqs`.
    SqsSink,
    /// The key of their queues.
    SqsSinkKey,
    /// Sinks of the kind `elasticsearch` that write to a domain of OpenSearch Service.
    Domain,
    /// Sinks of the kind `elasticsearch` that write to a collection of OpenSearch Serverless.
    Collection,
    /// Sinks of the kind `http` that write to an API Gateway.
    Gateway,
    /// Sinks of the kind `http` that write to the URL of a function.
    FunctionUrl,
    /// A role that is taken on (`assume_role`).
    Role,
    /// What `doctor` asks beside what the program needs anyhow.
    Diagnosis,
    /// Streams that `setup --apply` makes or mends.
    StreamRepair,
    /// Log groups that it makes or mends, and their subscriptions.
    GroupRepair,
    /// Tables that it makes or mends.
    TableRepair,
    /// Bedrock's logging, which it switches on.
    LoggingRepair,
    /// The roles that it hands to CloudWatch Logs and Bedrock.
    RoleRepair,
}

/// What limits a statement further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Only where this service of the Region asks in the caller's name.
    Via(&'static str),
}

/// Where a use stands in the policies. Uses with the same policy and statement share it, and have the same resources and
/// condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The policy: `deploy/iam/{policy}-policy.json`.
    pub policy: &'static str,
    /// The statement's `Sid`.
    pub statement: &'static str,
    /// The resources, with the placeholders of `deploy/README.md`.
    pub resources: &'static [&'static str],
    /// What limits the statement, if anything does.
    pub condition: Option<Condition>,
    /// What it is for, in the words of the table in `deploy/README.md`.
    pub words: &'static str,
}

const STREAM: &str = "arn:aws:kinesis:@REGION@:@ACCOUNT@:stream/@STREAM@";
const LEASES: &str = "arn:aws:dynamodb:@REGION@:@ACCOUNT@:table/@TABLE@";
const REMEMBERED: &str = "arn:aws:dynamodb:@REGION@:@ACCOUNT@:table/@TABLE@-detection";

// By the names of their statements.

const READ_THE_STREAM: Grant = grant("task", "ReadTheStream", &[STREAM], "reading the stream");
const DECRYPT_THE_STREAM: Grant =
    key("task", "DecryptTheStream", &["@KMS_KEY_ARN@"], "kinesis", "the key of the stream that is read");
const REGISTER_THE_CONSUMER: Grant =
    grant("fan-out", "RegisterTheConsumer", &[STREAM], "fan-out with `register_consumer`");
const READ_AS_THE_CONSUMER: Grant = grant(
    "fan-out",
    "ReadAsTheConsumer",
    &["arn:aws:kinesis:@REGION@:@ACCOUNT@:stream/@STREAM@/consumer/bedrock-tap:*"],
    "fan-out",
);
const SHARE_THE_SHARDS: Grant = grant("leases", "ShareTheShards", &[LEASES], "the table of the leases");
const KEEP_WHAT_DETECTION_REMEMBERS: Grant =
    grant("leases", "KeepWhatDetectionRemembers", &[REMEMBERED], "detection's table (`keep_state`)");
const MAKE_THE_TABLES: Grant = grant("tables", "MakeTheTables", &[LEASES, REMEMBERED], "`create_table`");
const READ_LARGE_BODIES: Grant = grant(
    "bodies",
    "ReadLargeBodies",
    &[
        "arn:aws:s3:::@BUCKET@/AWSLogs/@ACCOUNT@/BedrockModelInvocationLogs/*/data/*",
        "arn:aws:s3:::@BUCKET@/*/AWSLogs/@ACCOUNT@/BedrockModelInvocationLogs/*/data/*",
    ],
    "large bodies in S3 (`bodies.fetch`)",
);
const RECEIVE_NOTIFICATIONS: Grant = grant(
    "s3-source",
    "ReceiveNotifications",
    &["arn:aws:sqs:@REGION@:@ACCOUNT@:@LOG_QUEUE@"],
    "the queue of the source `s3`",
);
const READ_LOGS: Grant = grant(
    "s3-source",
    "ReadLogs",
    &["arn:aws:s3:::@LOG_BUCKET@/AWSLogs/@ACCOUNT@/BedrockModelInvocationLogs/*"],
    "the source `s3`",
);
const LIST_LOGS: Grant = grant("s3-source", "ListLogs", &["arn:aws:s3:::@LOG_BUCKET@"], "the source `s3`");
const DECRYPT_OBJECTS: Grant = key("keys", "DecryptObjects", &["@KEY_ARN@"], "s3", "the key of a bucket that is read");
const DECRYPT_NOTIFICATIONS: Grant =
    key("keys", "DecryptNotifications", &["@KEY_ARN@"], "sqs", "the key of the queue that is read");
const READ_THE_LOG_GROUP: Grant = grant(
    "cloudwatch",
    "ReadTheLogGroup",
    &[
        "arn:aws:logs:@REGION@:@ACCOUNT@:log-group:@LOG_GROUP@",
        "arn:aws:logs:@REGION@:@ACCOUNT@:log-group:@LOG_GROUP@:*",
    ],
    "the source `cloudwatch`; `tail` and `backfill` with `--log-group`",
);
const FIND_ITS_ARN: Grant = grant("cloudwatch", "FindItsArn", &["*"], "`tail --log-group`; the ARN of a log group");
const WRITE_OBJECTS: Grant =
    grant("sinks", "WriteObjects", &["arn:aws:s3:::@BUCKET@/@PREFIX@*"], "sinks of the kind `s3`");
const WRITE_TO_FIREHOSE: Grant = grant(
    "sinks",
    "WriteToFirehose",
    &["arn:aws:firehose:@REGION@:@ACCOUNT@:deliverystream/@DELIVERY_STREAM@"],
    "sinks of the kind `firehose`",
);
const WRITE_TO_KINESIS: Grant = grant(
    "sinks",
    "WriteToKinesis",
    &["arn:aws:kinesis:@REGION@:@ACCOUNT@:stream/@OUTPUT_STREAM@"],
    "sinks of the kind `kinesis`",
);
const SEND_TO_QUEUE: Grant =
    grant("sinks", "SendToQueue", &["arn:aws:sqs:@REGION@:@ACCOUNT@:@QUEUE@"], "sinks of the kind `sqs`");
const ENCRYPT_OBJECTS: Grant = key("sink-keys", "EncryptObjects", &["@KEY_ARN@"], "s3", "the key of a sink's bucket");
const ENCRYPT_RECORDS: Grant =
    key("sink-keys", "EncryptRecords", &["@KEY_ARN@"], "kinesis", "the key of a sink's stream");
const ENCRYPT_MESSAGES: Grant = key("sink-keys", "EncryptMessages", &["@KEY_ARN@"], "sqs", "the key of a sink's queue");
const WRITE_TO_THE_DOMAIN: Grant = grant(
    "signed",
    "WriteToTheDomain",
    &["arn:aws:es:@REGION@:@ACCOUNT@:domain/@DOMAIN@/*"],
    "sinks of the kind `elasticsearch` with `auth.sigv4`",
);
const WRITE_TO_THE_COLLECTION: Grant = grant(
    "signed",
    "WriteToTheCollection",
    &["arn:aws:aoss:@REGION@:@ACCOUNT@:collection/@COLLECTION_ID@"],
    "the same for OpenSearch Serverless",
);
const CALL_THE_GATEWAY: Grant = grant(
    "signed",
    "CallTheGateway",
    &["arn:aws:execute-api:@REGION@:@ACCOUNT@:@API_ID@/*"],
    "sinks of the kind `http` with `auth.sigv4`",
);

impl Use {
    /// All of them, in the order of the policies.
    pub const ALL: &'static [Self] = &[
        Self::Stream,
        Self::StreamKey,
        Self::Registration,
        Self::Consumer,
        Self::Leases,
        Self::Remembered,
        Self::Tables,
        Self::Bodies,
        Self::Notifications,
        Self::Objects,
        Self::Listing,
        Self::ObjectsKey,
        Self::NotificationsKey,
        Self::Groups,
        Self::LiveGroups,
        Self::GroupNames,
        Self::ObjectSink,
        Self::FirehoseSink,
        Self::KinesisSink,
        Self::SqsSink,
        Self::ObjectSinkKey,
        Self::KinesisSinkKey,
        Self::SqsSinkKey,
        Self::Domain,
        Self::Collection,
        Self::Gateway,
        Self::FunctionUrl,
        Self::Role,
        Self::Diagnosis,
        Self::StreamRepair,
        Self::GroupRepair,
        Self::TableRepair,
        Self::LoggingRepair,
        Self::RoleRepair,
    ];

    /// Whether it is of a key, and so of no use where the service's own key encrypts, or none.
    pub fn is_of_key(self) -> bool {
        self.grant().condition.is_some()
    }

    /// Where it stands in the policies.
    pub const fn grant(self) -> Grant {
        match self {
            Self::Stream => READ_THE_STREAM,
            Self::StreamKey => DECRYPT_THE_STREAM,
            Self::Registration => REGISTER_THE_CONSUMER,
            Self::Consumer => READ_AS_THE_CONSUMER,
            Self::Leases => SHARE_THE_SHARDS,
            Self::Remembered => KEEP_WHAT_DETECTION_REMEMBERS,
            Self::Tables => MAKE_THE_TABLES,
            Self::Bodies => READ_LARGE_BODIES,
            Self::Notifications => RECEIVE_NOTIFICATIONS,
            Self::Objects => READ_LOGS,
            Self::Listing => LIST_LOGS,
            Self::ObjectsKey => DECRYPT_OBJECTS,
            Self::NotificationsKey => DECRYPT_NOTIFICATIONS,
            Self::Groups => READ_THE_LOG_GROUP,
            Self::LiveGroups => Grant {
                words: "`tail --log-group`, the source `cloudwatch` with `mode = \"live\"`",
                ..READ_THE_LOG_GROUP
            },
            Self::GroupNames => FIND_ITS_ARN,
            Self::ObjectSink => WRITE_OBJECTS,
            Self::FirehoseSink => WRITE_TO_FIREHOSE,
            Self::KinesisSink => WRITE_TO_KINESIS,
            Self::SqsSink => SEND_TO_QUEUE,
            Self::ObjectSinkKey => ENCRYPT_OBJECTS,
            Self::KinesisSinkKey => ENCRYPT_RECORDS,
            Self::SqsSinkKey => ENCRYPT_MESSAGES,
            Self::Domain => WRITE_TO_THE_DOMAIN,
            Self::Collection => WRITE_TO_THE_COLLECTION,
            Self::Gateway => CALL_THE_GATEWAY,
            Self::FunctionUrl => grant(
                "signed",
                "CallTheFunction",
                &["arn:aws:lambda:@REGION@:@ACCOUNT@:function:@FUNCTION@"],
                "the same for a function's URL",
            ),
            Self::Diagnosis => grant("doctor", "LookAround", &["*"], "`doctor`, `setup`"),
            Self::StreamRepair => grant("setup", "MendTheStream", &[STREAM], "`setup --apply`"),
            Self::GroupRepair => grant(
                "setup",
                "MendTheLogGroup",
                &[
                    "arn:aws:logs:@REGION@:@ACCOUNT@:log-group:@LOG_GROUP@",
                    "arn:aws:logs:@REGION@:@ACCOUNT@:log-group:@LOG_GROUP@:*",
                ],
                "`setup --apply`",
            ),
            Self::TableRepair => grant("setup", "MendTheTables", &[LEASES, REMEMBERED], "`setup --apply`"),
            // It is one of the Region, and has no name.
            Self::LoggingRepair => grant("setup", "SwitchLoggingOn", &["*"], "`setup --apply`"),
            Self::RoleRepair => {
                grant("setup", "HandRolesOn", &["arn:aws:iam::@ACCOUNT@:role/bedrock-tap-*"], "`setup --apply`")
            }
            Self::Role => grant("task-assume", "TakeOnTheReadersRole", &["@READER_ROLE_ARN@"], "`assume_role`"),
        }
    }
}

const fn grant(
    policy: &'static str,
    statement: &'static str,
    resources: &'static [&'static str],
    words: &'static str,
) -> Grant {
    Grant { policy, statement, resources, condition: None, words }
}

const fn key(
    policy: &'static str,
    statement: &'static str,
    resources: &'static [&'static str],
    service: &'static str,
    words: &'static str,
) -> Grant {
    Grant { policy, statement, resources, condition: Some(Condition::Via(service)), words }
}
