//! Actions: every call of an AWS API that the program can make, and what a policy must allow for it.
//!
//! This is the one table: the policies in `deploy/iam` and the table in `deploy/README.md` are written from it, and the
//! tests hold the calls in the source to it, in both directions.
//!
//! Source of the actions and their resources: the Service Authorization Reference, one page a service; of what a key
//! demands: the developer guides of Kinesis ("Permissions to use user-generated KMS keys"), S3 ("Using server-side
//! encryption with AWS KMS keys") and SQS ("Key management").

mod grant;

pub use grant::{Condition, Grant, Use};

/// One thing that a policy allows because of one call.
#[derive(Debug)]
pub struct Action {
    /// What makes it necessary.
    pub call: Call,
    /// The action in policies, such as `s3:ListBucket`.
    pub iam: &'static str,
    /// What of the program needs it; each says which resource that is.
    pub uses: &'static [Use],
}

/// What makes an action necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// An operation of an SDK: the service as its crate is called (`aws-sdk-kinesis`), and the operation as its API
    /// reference writes it.
    Sdk(&'static str, &'static str),
    /// A request that is signed here, without an SDK: the service as signatures name it, what is sent, and the file of the
    /// source that makes it.
    Signed(&'static str, &'static str, &'static str),
    /// A role that is taken on before anything else: the SDK's own call.
    Role,
    /// What another service asks of KMS in the caller's name: that service.
    Behind(&'static str),
}

/// Shorthand for [`Call::Sdk`].
const fn sdk(service: &'static str, operation: &'static str, iam: &'static str, uses: &'static [Use]) -> Action {
    Action { call: Call::Sdk(service, operation), iam, uses }
}

/// Shorthand for [`Call::Behind`].
const fn behind(service: &'static str, iam: &'static str, uses: &'static [Use]) -> Action {
    Action { call: Call::Behind(service), iam, uses }
}

/// The table. An operation stands here once for each action that it needs.
pub const ACTIONS: &[Action] = &[
    sdk("kinesis", "DescribeStreamSummary", "kinesis:DescribeStreamSummary", &[Use::Stream, Use::KinesisSink]),
    sdk("kinesis", "ListShards", "kinesis:ListShards", &[Use::Stream]),
    // With fan-out too: they find the oldest record behind a position that was trimmed.
    sdk("kinesis", "GetShardIterator", "kinesis:GetShardIterator", &[Use::Stream]),
    sdk("kinesis", "GetRecords", "kinesis:GetRecords", &[Use::Stream]),
    behind("kinesis", "kms:Decrypt", &[Use::StreamKey]),
    sdk("kinesis", "RegisterStreamConsumer", "kinesis:RegisterStreamConsumer", &[Use::Registration]),
    sdk("kinesis", "CreateStream", "kinesis:CreateStream", &[Use::StreamRepair]),
    sdk("kinesis", "IncreaseStreamRetentionPeriod", "kinesis:IncreaseStreamRetentionPeriod", &[Use::StreamRepair]),
    sdk("kinesis", "StartStreamEncryption", "kinesis:StartStreamEncryption", &[Use::StreamRepair]),
    sdk("kinesis", "DescribeStreamConsumer", "kinesis:DescribeStreamConsumer", &[Use::Consumer]),
    sdk("kinesis", "SubscribeToShard", "kinesis:SubscribeToShard", &[Use::Consumer]),
    sdk("dynamodb", "DescribeTable", "dynamodb:DescribeTable", &[Use::Leases, Use::Remembered]),
    sdk("dynamodb", "Scan", "dynamodb:Scan", &[Use::Leases]),
    sdk("dynamodb", "GetItem", "dynamodb:GetItem", &[Use::Leases]),
    sdk("dynamodb", "PutItem", "dynamodb:PutItem", &[Use::Leases, Use::Remembered]),
    sdk("dynamodb", "UpdateItem", "dynamodb:UpdateItem", &[Use::Leases, Use::Remembered]),
    sdk("dynamodb", "DeleteItem", "dynamodb:DeleteItem", &[Use::Leases, Use::Remembered]),
    sdk("dynamodb", "Query", "dynamodb:Query", &[Use::Remembered]),
    sdk("dynamodb", "BatchWriteItem", "dynamodb:BatchWriteItem", &[Use::Remembered]),
    sdk("dynamodb", "CreateTable", "dynamodb:CreateTable", &[Use::Tables, Use::TableRepair]),
    sdk("dynamodb", "DescribeContinuousBackups", "dynamodb:DescribeContinuousBackups", &[Use::Diagnosis]),
    sdk("dynamodb", "DescribeTimeToLive", "dynamodb:DescribeTimeToLive", &[Use::Diagnosis]),
    sdk("dynamodb", "UpdateContinuousBackups", "dynamodb:UpdateContinuousBackups", &[Use::TableRepair]),
    sdk("s3", "GetObject", "s3:GetObject", &[Use::Bodies, Use::Objects]),
    // A notification from a bucket that keeps versions names one.
    sdk("s3", "GetObject", "s3:GetObjectVersion", &[Use::Objects]),
    // Without it, S3 says of an object that is not there that it is denied.
    sdk("s3", "GetObject", "s3:ListBucket", &[Use::Listing]),
    sdk("s3", "ListObjectsV2", "s3:ListBucket", &[Use::Listing]),
    behind("s3", "kms:Decrypt", &[Use::ObjectsKey, Use::ObjectSinkKey]),
    sdk("sqs", "ReceiveMessage", "sqs:ReceiveMessage", &[Use::Notifications]),
    sdk("sqs", "DeleteMessageBatch", "sqs:DeleteMessage", &[Use::Notifications]),
    sdk("sqs", "ChangeMessageVisibilityBatch", "sqs:ChangeMessageVisibility", &[Use::Notifications]),
    sdk("sqs", "GetQueueAttributes", "sqs:GetQueueAttributes", &[Use::Notifications, Use::SqsSink]),
    behind("sqs", "kms:Decrypt", &[Use::NotificationsKey, Use::SqsSinkKey]),
    sdk("cloudwatchlogs", "FilterLogEvents", "logs:FilterLogEvents", &[Use::Groups]),
    sdk("cloudwatchlogs", "StartLiveTail", "logs:StartLiveTail", &[Use::LiveGroups]),
    sdk("cloudwatchlogs", "DescribeLogGroups", "logs:DescribeLogGroups", &[Use::GroupNames, Use::Diagnosis]),
    sdk("cloudwatchlogs", "DescribeSubscriptionFilters", "logs:DescribeSubscriptionFilters", &[Use::Diagnosis]),
    sdk("cloudwatchlogs", "DescribeAccountPolicies", "logs:DescribeAccountPolicies", &[Use::Diagnosis]),
    sdk("cloudwatchlogs", "TestMetricFilter", "logs:TestMetricFilter", &[Use::Diagnosis]),
    sdk("cloudwatchlogs", "CreateLogGroup", "logs:CreateLogGroup", &[Use::GroupRepair]),
    sdk("cloudwatchlogs", "PutRetentionPolicy", "logs:PutRetentionPolicy", &[Use::GroupRepair]),
    sdk("cloudwatchlogs", "PutSubscriptionFilter", "logs:PutSubscriptionFilter", &[Use::GroupRepair]),
    // The filter's role is handed to CloudWatch Logs.
    sdk("cloudwatchlogs", "PutSubscriptionFilter", "iam:PassRole", &[Use::RoleRepair]),
    sdk("s3", "PutObject", "s3:PutObject", &[Use::ObjectSink]),
    sdk("s3", "CreateMultipartUpload", "s3:PutObject", &[Use::ObjectSink]),
    sdk("s3", "UploadPart", "s3:PutObject", &[Use::ObjectSink]),
    sdk("s3", "CompleteMultipartUpload", "s3:PutObject", &[Use::ObjectSink]),
    sdk("s3", "AbortMultipartUpload", "s3:AbortMultipartUpload", &[Use::ObjectSink]),
    behind("s3", "kms:GenerateDataKey", &[Use::ObjectSinkKey]),
    sdk("firehose", "PutRecordBatch", "firehose:PutRecordBatch", &[Use::FirehoseSink]),
    sdk("firehose", "DescribeDeliveryStream", "firehose:DescribeDeliveryStream", &[Use::FirehoseSink]),
    sdk("kinesis", "PutRecords", "kinesis:PutRecords", &[Use::KinesisSink]),
    behind("kinesis", "kms:GenerateDataKey", &[Use::KinesisSinkKey]),
    sdk("sqs", "SendMessageBatch", "sqs:SendMessage", &[Use::SqsSink]),
    behind("sqs", "kms:GenerateDataKey", &[Use::SqsSinkKey]),
    signed("es", "GET /", ELASTICSEARCH, "es:ESHttpGet", &[Use::Domain]),
    signed("es", "POST /INDEX/_bulk", ELASTICSEARCH, "es:ESHttpPost", &[Use::Domain]),
    signed("aoss", "POST /INDEX/_bulk", ELASTICSEARCH, "aoss:APIAccessAll", &[Use::Collection]),
    signed("execute-api", "any", HTTP, "execute-api:Invoke", &[Use::Gateway]),
    signed("lambda", "any", HTTP, "lambda:InvokeFunctionUrl", &[Use::FunctionUrl]),
    signed("sts", "GetCallerIdentity", CALLER, "sts:GetCallerIdentity", &[Use::Diagnosis]),
    signed("iam", "GetRole", CALLER, "iam:GetRole", &[Use::Diagnosis]),
    signed("iam", "SimulatePrincipalPolicy", CALLER, "iam:SimulatePrincipalPolicy", &[Use::Diagnosis]),
    signed("kms", "DescribeKey", KMS, "kms:DescribeKey", &[Use::Diagnosis]),
    signed("bedrock", GET_LOGGING, BEDROCK, "bedrock:GetModelInvocationLoggingConfiguration", &[Use::Diagnosis]),
    signed("bedrock", PUT_LOGGING, APPLY, "bedrock:PutModelInvocationLoggingConfiguration", &[Use::LoggingRepair]),
    Action { call: Call::Role, iam: "sts:AssumeRole", uses: &[Use::Role] },
];

/// Where the requests to a cluster are signed.
const ELASTICSEARCH: &str = "src/sink/elasticsearch/auth.rs";
/// Where the requests to any HTTP endpoint are signed.
const HTTP: &str = "src/sink/http.rs";

/// Where the doctor asks, and where its repairs are made.
const CALLER: &str = "src/doctor/ask/caller.rs";
const KMS: &str = "src/doctor/ask/kms.rs";
const BEDROCK: &str = "src/doctor/ask/bedrock.rs";
const APPLY: &str = "src/doctor/apply.rs";
const GET_LOGGING: &str = "GetModelInvocationLoggingConfiguration";
const PUT_LOGGING: &str = "PutModelInvocationLoggingConfiguration";

/// Shorthand for [`Call::Signed`].
const fn signed(
    service: &'static str,
    request: &'static str,
    file: &'static str,
    iam: &'static str,
    uses: &'static [Use],
) -> Action {
    Action { call: Call::Signed(service, request, file), iam, uses }
}
