//! `bedrock-tap doctor` and `bedrock-tap setup` through the real program, against an AWS that says what is scripted.

mod setup;

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::aws_double::{
    AwsDouble, GROUP, Meet, ROLE, STREAM, filter, group, logging, recovery, stream, table,
};

/// What is never shown.
const SECRET: &str = "wJalrXUtnFEMIsecret";

/// A stream, its leases, and a sink in a file.
const CONFIG: &str = "source.kinesis = { stream = 'bedrock', region = 'eu-west-1' }\n\
    coordination.dynamodb.table = 'taps'\nsinks.events.file.path = 'events'\n[dead_letter.stdout]\n";

/// The program in a folder of its own, with the double for all of AWS and nothing else in its environment.
fn command(double: &AwsDouble, folder: &TempDir, config: &str, args: &[&str]) -> Command {
    std::fs::write(folder.path().join("tap.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
    command
        .args(args)
        .args(["--config", "tap.toml"])
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ENDPOINT_URL", format!("http://{}", double.address))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What a run printed, and how it ended.
struct Ran {
    text: String,
    code: i32,
}

async fn run(double: &AwsDouble, config: &str, args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    ran(command(double, &folder, config, args).output().await.unwrap())
}

fn ran(output: Output) -> Ran {
    let errors = String::from_utf8(output.stderr).unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &errors;
    assert!(!text.contains(SECRET) && !text.contains("AWS4-HMAC"), "{text}");
    Ran { text, code: output.status.code().unwrap() }
}

/// Lets the doctor look at an account in which everything holds but what is scripted; each of `expected` is the beginning
/// of a line, or of one behind its indent.
#[track_caller]
fn expect(ran: &Ran, expected: &[&str], code: i32) {
    for line in expected {
        let is_there = ran.text.lines().any(|found| found.trim_start().starts_with(line));
        assert!(is_there, "no line begins with\n{line}\nin\n{}", ran.text);
    }
    assert_eq!(ran.code, code, "{}", ran.text);
}

async fn check(config: &str, args: &[&str], scripted: &[(&str, Meet)], expected: &[&str], code: i32) {
    let double = AwsDouble::start().await;
    for (operation, meet) in scripted {
        double.script(operation, meet.clone());
    }
    let args = [&["doctor", "--own-log-group", "/tap/service"], args].concat();
    expect(&run(&double, config, &args).await, expected, code);
}

/// An answer with one member changed.
fn but(mut answer: Value, member: &str, value: Value) -> Value {
    answer[member] = value;
    answer
}

fn streams(summary: Value) -> Meet {
    Meet::Json(json!({ "StreamDescriptionSummary": summary }))
}

fn filters(filters: &[Value]) -> Meet {
    Meet::Json(json!({ "subscriptionFilters": filters }))
}

#[tokio::test]
async fn where_everything_holds_it_says_so_line_by_line() {
    let double = AwsDouble::start().await;
    let args = ["doctor", "--strict", "--own-log-group", "/tap/service"];
    let found = run(&double, CONFIG, &args).await;
    let expected = "\
ok         aws.identity: arn:aws:sts::123456789012:assumed-role/tap/i-1 of account 123456789012
ok         aws.clock: this host's clock agrees with AWS'
ok         bedrock.logging: Bedrock logs invocations in eu-west-1
ok         bedrock.modalities: text, images, embeddings are logged
ok         bedrock.destination: events go to the log group /bedrock/invocations
ok         bedrock.large_data: bodies over 100 KB go to large; they are not fetched (`bodies.fetch`)
ok         log_group.exists: /bedrock/invocations, since 2025-10-09
ok         log_group.class: STANDARD, which can have subscriptions
ok         log_group.retention: events are kept for 30 days
ok         log_group.kms: encrypted with CloudWatch Logs' own key
ok         subscription.count: 1 of 2 subscription filters
ok         subscription.destination: bedrock-tap writes to arn:aws:kinesis:eu-west-1:123456789012:stream/bedrock
ok         subscription.pattern: lets Bedrock's records through
ok         subscription.distribution: Random, over all shards
ok         subscription.role: arn:aws:iam::123456789012:role/bedrock-tap-logs may write to the stream
ok         account.subscription: no account-level subscription policy
ok         stream.status: bedrock is ACTIVE
ok         stream.shards: 4 open shards, on demand
ok         stream.retention: records are kept for 72 hours
ok         stream.encryption: the stream is encrypted with a key that is enabled
ok         stream.record_size: records of up to 1024 KiB, as is usual
ok         table.exists: taps is ACTIVE
ok         table.key: leaseKey (S, HASH)
ok         table.billing: by request
ok         table.recovery: can be restored to any point in time
ok         table.ttl: rows do not expire
ok         feedback.own_log: /tap/service does not lead back here
ok         feedback.sinks: no sink writes to what is read
ok         permission.kinesis:DescribeStreamSummary: works (reading the stream)
ok         permission.kinesis:GetRecords: works (reading the stream)
ok         permission.kinesis:GetShardIterator: works (reading the stream)
ok         permission.kinesis:ListShards: works (reading the stream)
ok         permission.kms:Decrypt: is allowed by policy (the key of the stream that is read)
ok         permission.dynamodb:DeleteItem: is allowed by policy (the table of the leases)
ok         permission.dynamodb:DescribeTable: works (the table of the leases)
ok         permission.dynamodb:GetItem: is allowed by policy (the table of the leases)
ok         permission.dynamodb:PutItem: is allowed by policy (the table of the leases)
ok         permission.dynamodb:Scan: works (the table of the leases)
ok         permission.dynamodb:UpdateItem: is allowed by policy (the table of the leases)
ok         sinks.events: file: its directory can be used
skipped    dead_letter: it is standard output
40 ok, 1 skipped
";
    assert_eq!(found.text, expected);
    assert_eq!(found.code, 0);
    // Nothing was changed.
    let calls = double.calls();
    let changes = ["Create", "Put", "Update", "Delete", "Start", "Increase"];
    let changed = calls.iter().find(|(call, _)| changes.iter().any(|change| call.starts_with(change)));
    assert!(changed.is_none(), "{changed:?}");
}

#[tokio::test]
async fn each_state_of_bedrock_and_its_log_group_has_its_line() {
    let log = |config: Value| ("GetModelInvocationLoggingConfiguration", Meet::Json(config));
    let groups = |group: Value| ("DescribeLogGroups", Meet::Json(json!({ "logGroups": [group] })));
    let off = [
        "failed     bedrock.logging: Bedrock logs no invocations in eu-west-1",
        "fix: switch it on",
        "skipped    bedrock.modalities: Bedrock's logging is off",
        "skipped    subscription.destination: no log group of Bedrock is known; name it with --log-group",
    ];
    check(CONFIG, &[], &[log(json!({}))], &off, 1).await;
    let named = ["failed     bedrock.logging", "ok         log_group.exists: /mine", "skipped    subscription.pattern"];
    check(CONFIG, &["--log-group", "/mine"], &[log(json!({}))], &named, 1).await;
    let mut some = logging(false);
    some["loggingConfig"]["imageDataDeliveryEnabled"] = json!(false);
    let expected = [
        "warning    bedrock.modalities: bodies are left out of the log for: images",
        "warning    bedrock.large_data: bodies over 100 KB have no bucket, and are not in the log",
        "warning    log_group.retention: events are kept, and paid for, for ever",
    ];
    let kept = but(group(GROUP), "retentionInDays", Value::Null);
    check(CONFIG, &["--strict"], &[log(some.clone()), groups(kept)], &expected, 2).await;
    some["loggingConfig"]["textDataDeliveryEnabled"] = json!(false);
    let expected = [
        "failed     bedrock.modalities: bodies are left out of the log for: text, images",
        "failed     log_group.class: INFREQUENT_ACCESS: only STANDARD can have subscriptions",
        "warning    log_group.retention: events are kept for 1 day",
        "failed     log_group.kms: the key that encrypts the log group is PendingDeletion",
        "failed     stream.encryption: the key that encrypts the stream is PendingDeletion",
    ];
    let mut odd = but(group(GROUP), "logGroupClass", json!("INFREQUENT_ACCESS"));
    odd["retentionInDays"] = json!(1);
    odd["kmsKeyId"] = json!("arn:aws:kms:eu-west-1:123456789012:key/l");
    let key = ("DescribeKey", Meet::Json(json!({ "KeyMetadata": { "KeyState": "PendingDeletion" } })));
    check(CONFIG, &[], &[log(some), groups(odd), key], &expected, 1).await;
    let to_s3 = json!({ "loggingConfig": { "s3Config": { "bucketName": "logs" } } });
    let expected = ["failed     bedrock.destination: events go to the bucket logs, and not to a log group"];
    check(CONFIG, &[], &[log(to_s3)], &expected, 1).await;
    let none = ("DescribeLogGroups", Meet::Json(json!({ "logGroups": [] })));
    let gone = ("DescribeSubscriptionFilters", Meet::Error(400, "ResourceNotFoundException"));
    let expected = [
        "failed     log_group.exists: there is no log group /bedrock/invocations",
        "skipped    log_group.class: there is no such log group",
        "failed     subscription.destination: no subscription filter of /bedrock/invocations writes to arn:",
    ];
    check(CONFIG, &[], &[none, gone], &expected, 1).await;
    let fetched = format!("bodies = {{ fetch = true, buckets = ['other'] }}\n{CONFIG}");
    let expected =
        ["failed     bedrock.large_data: bodies over 100 KB go to large, which `bodies.buckets` does not name"];
    check(&fetched, &[], &[], &expected, 1).await;
    let expected = ["ok         bedrock.large_data: bodies over 100 KB go to large, and are fetched"];
    check(&fetched.replace("other", "large"), &[], &[], &expected, 0).await;
}

#[tokio::test]
async fn each_state_of_subscriptions_has_its_line() {
    let of = |list: &[Value]| ("DescribeSubscriptionFilters", filters(list));
    let elsewhere = |name: &str| {
        let other = but(filter(), "destinationArn", json!("arn:aws:lambda:eu-west-1:123456789012:function:f"));
        but(other, "filterName", json!(name))
    };
    let expected = [
        "ok         subscription.count: 0 of 2 subscription filters",
        "failed     subscription.destination: no subscription filter of /bedrock/invocations writes to arn:aws:kinesis:",
        "skipped    subscription.pattern: no subscription filter leads here",
    ];
    check(CONFIG, &[], &[of(&[])], &expected, 1).await;
    let expected = ["failed     subscription.count: 2 of 2 subscription filters, and none of them leads here"];
    check(CONFIG, &[], &[of(&[elsewhere("a"), elsewhere("b")])], &expected, 1).await;
    let between = but(filter(), "destinationArn", json!("arn:aws:logs:eu-west-1:1:destination:central"));
    let expected =
        ["not known  subscription.destination: bedrock-tap writes to arn:aws:logs:eu-west-1:1:destination:central"];
    check(CONFIG, &[], &[of(&[between])], &expected, 0).await;
    let mut odd = but(filter(), "filterPattern", json!("ERROR"));
    odd["distribution"] = json!("ByLogStream");
    odd["roleArn"] = Value::Null;
    let no_match = ("TestMetricFilter", Meet::Json(json!({ "matches": [] })));
    let expected = [
        "failed     subscription.pattern: lets no record of Bedrock through: ERROR",
        "failed     subscription.distribution: ByLogStream: all events go to one shard, which takes 1 MB/s",
        "failed     subscription.role: bedrock-tap has no role to write with",
    ];
    check(CONFIG, &[], &[of(std::slice::from_ref(&odd)), no_match], &expected, 1).await;
    odd["roleArn"] = json!(ROLE);
    odd["distribution"] = json!("Random");
    let gone = ("GetRole", Meet::Error(404, "NoSuchEntity"));
    let expected = [
        "ok         subscription.pattern: lets a record of Bedrock through: ERROR",
        "failed     subscription.role: the role arn:aws:iam::123456789012:role/bedrock-tap-logs does not exist",
    ];
    check(CONFIG, &[], &[of(std::slice::from_ref(&odd)), gone], &expected, 1).await;
    let untried = ("TestMetricFilter", Meet::Error(400, "AccessDeniedException"));
    let unasked = ("SimulatePrincipalPolicy", Meet::Error(403, "AccessDenied"));
    let expected = [
        "warning    subscription.pattern: cannot be tried (logs:TestMetricFilter is denied): ERROR",
        "not known  subscription.role: writes as arn:aws:iam::123456789012:role/bedrock-tap-logs; whether that may write \
         is not known: iam:SimulatePrincipalPolicy is denied",
        "not known  permission.kms:Decrypt: neither policies nor a read tell (the key of the stream that is read): \
         iam:SimulatePrincipalPolicy is denied",
        // Why is said once.
        "not known  permission.dynamodb:PutItem: neither policies nor a read tell (the table of the leases)",
        "ok         permission.kinesis:GetRecords: works",
    ];
    check(CONFIG, &["--strict"], &[of(&[odd]), untried, unasked], &expected, 2).await;
    let policy = |except: &str| {
        let document =
            json!({ "DestinationArn": STREAM, "RoleArn": ROLE, "FilterPattern": "", "Distribution": "Random" });
        let policy =
            json!({ "policyName": "all", "policyDocument": document.to_string(), "selectionCriteria": except });
        ("DescribeAccountPolicies", Meet::Json(json!({ "accountPolicies": [policy] })))
    };
    let expected = [
        "warning    account.subscription: all writes /bedrock/invocations here a second time",
        "failed     feedback.own_log: the account's policy all writes /tap/service back to this service",
    ];
    check(CONFIG, &[], &[policy("")], &expected, 1).await;
    let expected = ["ok         subscription.destination: the account's policy all writes to arn:aws:kinesis:"];
    let tap = "LogGroupName NOT IN [\"/tap/service\"]";
    check(CONFIG, &[], &[policy(tap), of(&[])], &expected, 0).await;
    let except = format!("LogGroupName NOT IN [\"{GROUP}\", \"/tap/service\"]");
    let expected = ["ok         account.subscription: all writes the account's log groups here"];
    check(CONFIG, &[], &[policy(&except)], &expected, 0).await;
}

#[tokio::test]
async fn each_state_of_a_stream_has_its_line() {
    let of = |summary: Value| ("DescribeStreamSummary", streams(summary));
    let state = |status: &str| of(but(stream(), "StreamStatus", json!(status)));
    check(CONFIG, &[], &[state("UPDATING")], &["ok         stream.status: bedrock is UPDATING, and works"], 0).await;
    check(CONFIG, &[], &[state("CREATING")], &["warning    stream.status: bedrock is CREATING"], 0).await;
    check(CONFIG, &[], &[state("DELETING")], &["failed     stream.status: bedrock is DELETING"], 1).await;
    let gone = ("DescribeStreamSummary", Meet::Error(400, "ResourceNotFoundException"));
    let expected = ["failed     stream.status: there is no stream bedrock in eu-west-1", "skipped    stream.shards"];
    check(CONFIG, &[], &[gone], &expected, 1).await;
    let mut odd = but(stream(), "RetentionPeriodHours", json!(24));
    odd["EncryptionType"] = json!("NONE");
    odd["MaxRecordSizeInKiB"] = json!(512);
    odd["OpenShardCount"] = json!(1);
    odd["StreamModeDetails"] = json!({ "StreamMode": "PROVISIONED" });
    let expected = [
        "warning    stream.retention: records are kept for 24 hours: a weekend's outage loses some",
        "warning    stream.encryption: prompts and answers are not encrypted in the stream",
        "failed     stream.record_size: records of up to 512 KiB",
        "ok         stream.shards: 1 open shard, provisioned",
        "skipped    permission.kms:Decrypt: is needed only where a key of your own encrypts (the key of the stream",
    ];
    check(CONFIG, &[], &[of(odd)], &expected, 1).await;
    let mut managed = but(stream(), "KeyId", json!("alias/aws/kinesis"));
    managed["MaxRecordSizeInKiB"] = json!(10_240);
    let expected = [
        "ok         stream.encryption: encrypted with Kinesis' own key",
        "ok         stream.record_size: records of up to 10240 KiB",
    ];
    check(CONFIG, &[], &[of(managed)], &expected, 0).await;
    let fan_out = CONFIG.replace("region =", "mode = 'fan-out', region =");
    check(&fan_out, &[], &[], &["ok         stream.consumer: the consumer bedrock-tap is ACTIVE"], 0).await;
    let none = ("DescribeStreamConsumer", Meet::Error(400, "ResourceNotFoundException"));
    let expected = ["failed     stream.consumer: the consumer bedrock-tap is not registered"];
    check(&fan_out, &[], std::slice::from_ref(&none), &expected, 1).await;
    let registers = fan_out.replace("mode =", "register_consumer = true, mode =");
    let expected = ["ok         stream.consumer: the consumer bedrock-tap is registered at the start"];
    check(&registers, &[], &[none], &expected, 0).await;
    let denied = ("GetRecords", Meet::Error(400, "AccessDeniedException"));
    let expected =
        ["failed     permission.kinesis:GetRecords: is denied (reading the stream)", "fix: grant it on arn:"];
    check(CONFIG, &[], &[denied], &expected, 1).await;
}

#[tokio::test]
async fn each_state_of_a_table_and_of_rights_has_its_line() {
    let of = |found: Value| ("DescribeTable", Meet::Json(json!({ "Table": found })));
    let gone = ("DescribeTable", Meet::Error(400, "ResourceNotFoundException"));
    let expected = ["failed     table.exists: there is no table taps in eu-west-1", "skipped    table.key"];
    check(CONFIG, &[], std::slice::from_ref(&gone), &expected, 1).await;
    let made = CONFIG.replace(
        "coordination.dynamodb.table = 'taps'",
        "coordination.dynamodb = { table = 'taps', create_table = true }",
    );
    let expected = ["ok         table.exists: there is no table taps in eu-west-1; the first start makes it"];
    check(&made, &[], &[gone], &expected, 0).await;
    let mut odd = but(table("taps"), "KeySchema", json!([{ "AttributeName": "id", "KeyType": "HASH" }]));
    odd["BillingModeSummary"] = json!({ "BillingMode": "PROVISIONED" });
    let expiry = json!({ "TimeToLiveDescription": { "TimeToLiveStatus": "ENABLED", "AttributeName": "until" } });
    let scripted = [
        of(odd),
        ("DescribeContinuousBackups", Meet::Json(recovery(false))),
        ("DescribeTimeToLive", Meet::Json(expiry)),
    ];
    let expected = [
        "failed     table.key: the key is id (?, HASH), and has to be leaseKey",
        "warning    table.billing: provisioned",
        "warning    table.recovery: cannot be restored to a point in time",
        "failed     table.ttl: rows expire by the attribute until",
    ];
    check(CONFIG, &[], &scripted, &expected, 1).await;
    let state = |status: &str| of(but(table("taps"), "TableStatus", json!(status)));
    check(CONFIG, &[], &[state("CREATING")], &["warning    table.exists: taps is CREATING"], 0).await;
    let expected = ["failed     table.exists: the key that encrypts taps is not usable"];
    check(CONFIG, &[], &[state("INACCESSIBLE_ENCRYPTION_CREDENTIALS")], &expected, 1).await;
    check(CONFIG, &[], &[state("ARCHIVED")], &["failed     table.exists: taps is ARCHIVED"], 1).await;
    let result = |action: &str| {
        format!("<m><EvalDecision>implicitDeny</EvalDecision><EvalActionName>{action}</EvalActionName></m>")
    };
    let actions = ["DeleteItem", "DescribeTable", "GetItem", "PutItem", "Scan", "UpdateItem"];
    let xml: String = actions.iter().map(|action| result(&format!("dynamodb:{action}"))).collect();
    let of_others = ["kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator"];
    let xml: String = of_others
        .iter()
        .chain(&["kinesis:ListShards", "kms:Decrypt", "kinesis:PutRecord"])
        .map(|a| result(a))
        .collect::<String>()
        + &xml;
    let expected = [
        "failed     permission.dynamodb:PutItem: is denied (the table of the leases)",
        // What works is allowed, whatever the policies seem to say.
        "ok         permission.dynamodb:Scan: works",
        "not known  permission.kms:Decrypt: neither policies nor a read tell",
        "failed     subscription.role: arn:aws:iam::123456789012:role/bedrock-tap-logs may not write to the stream",
    ];
    check(CONFIG, &[], &[("SimulatePrincipalPolicy", Meet::Xml(xml))], &expected, 1).await;
    let root = "<Arn>arn:aws:iam::123456789012:root</Arn><Account>123456789012</Account>".to_owned();
    let expected = ["ok         permission.dynamodb:PutItem: is allowed by policy"];
    check(CONFIG, &[], &[("GetCallerIdentity", Meet::Xml(root))], &expected, 0).await;
    let detects = format!("detect.rules = ['tap.*']\n{CONFIG}");
    let expected =
        ["failed     table.key (taps-detection): the key is leaseKey (S, HASH), and has to be book and part"];
    check(&detects, &[], &[], &expected, 1).await;
}

#[tokio::test]
async fn other_sources_are_asked_only_what_applies() {
    let sink = "[sinks.events.file]\npath = 'events'\n";
    let queue = "source.s3 = { queue_url = 'https://sqs.eu-west-1.amazonaws.com/123456789012/logs', buckets = ['logs'] }\n\
        [sinks.out.sqs]\nqueue_url = 'https://sqs.eu-west-1.amazonaws.com/123456789012/out'\n";
    let to_s3 = json!({ "loggingConfig": { "s3Config": { "bucketName": "logs" } } });
    let to_s3 = ("GetModelInvocationLoggingConfiguration", Meet::Json(to_s3));
    let expected = [
        "ok         bedrock.destination: events go to the bucket logs",
        "skipped    subscription.destination: `source.s3` needs no subscription",
        "ok         queue.exists: the queue logs answers",
        "ok         queue.redrive: has a dead-letter queue",
        "ok         bucket.exists: the bucket logs answers",
        "skipped    table.exists: `source.s3` has no positions",
        "ok         sinks.out: sqs: answers, and nothing speaks against writing to it",
    ];
    check(queue, &[], std::slice::from_ref(&to_s3), &expected, 0).await;
    let attributes = json!({ "Attributes": { "MessageRetentionPeriod": "345600", "QueueArn": "a" } });
    let scripted =
        [to_s3, ("GetQueueAttributes", Meet::Json(attributes)), ("ListObjectsV2", Meet::Error(404, "NoSuchBucket"))];
    let expected = [
        "warning    queue.redrive: has no dead-letter queue",
        "warning    queue.retention: messages are kept for 4 days",
        "failed     bucket.exists: there is no bucket logs",
    ];
    check(queue, &[], &scripted, &expected, 1).await;
    let groups = format!("source.cloudwatch = {{ log_groups = ['{GROUP}'], region = 'eu-west-1' }}\n{sink}");
    let expected = [
        "ok         log_group.exists: /bedrock/invocations",
        "skipped    subscription.destination: `source.cloudwatch` needs no subscription",
        "skipped    table.exists: positions are in the directory /var/lib/bedrock-tap",
    ];
    check(&groups, &[], &[], &expected, 0).await;
    let own = ["failed     feedback.own_log: this service writes its own log to /bedrock/invocations, which it reads"];
    let double = AwsDouble::start().await;
    expect(&run(&double, &groups, &["doctor", "--own-log-group", GROUP]).await, &own, 1);
    assert_eq!(double.count("DescribeStreamSummary") + double.count("DescribeTable"), 0);
    let firehose =
        format!("source.firehose = {{ listen = '127.0.0.1:8080', access_keys = [{{ env = 'K' }}] }}\n{sink}");
    let expected =
        ["failed     subscription.destination: no subscription filter of /bedrock/invocations writes to a delivery"];
    check(&firehose, &[], &[], &expected, 1).await;
    let to_firehose = but(filter(), "destinationArn", json!("arn:aws:firehose:eu-west-1:1:deliverystream/d"));
    let expected = ["skipped    subscription.distribution: is of Kinesis streams only", "ok         subscription.role"];
    check(&firehose, &[], &[("DescribeSubscriptionFilters", filters(&[to_firehose]))], &expected, 0).await;
    let files = format!("source.file.paths = ['-']\n{sink}");
    let double = AwsDouble::start().await;
    let found = run(&double, &files, &["doctor"]).await;
    expect(&found, &["skipped    bedrock.logging: the source is files: nothing of AWS is read"], 0);
    assert_eq!(double.calls().len(), 0, "{:?}", double.calls());
}

#[tokio::test]
async fn the_services_own_log_must_not_come_back() {
    let own = [("DescribeSubscriptionFilters /tap/service", filters(&[filter()]))];
    let expected = [
        "failed     feedback.own_log: a subscription filter of /tap/service writes this service's own log back to it",
        "fix: delete the filter",
    ];
    check(CONFIG, &[], &own, &expected, 1).await;
    let own = [("DescribeSubscriptionFilters /tap/service", Meet::Error(400, "AccessDeniedException"))];
    let expected = ["warning    feedback.own_log: cannot be asked: logs:DescribeSubscriptionFilters is denied"];
    check(CONFIG, &[], &own, &expected, 0).await;
    let double = AwsDouble::start().await;
    let expected = ["not known  feedback.own_log: the log group of this service's own log is not known"];
    expect(&run(&double, CONFIG, &["doctor"]).await, &expected, 0);
    let folder = tempfile::tempdir().unwrap();
    let mut in_ecs = command(&double, &folder, CONFIG, &["doctor"]);
    in_ecs.env("ECS_CONTAINER_METADATA_URI_V4", format!("http://{}/container", double.address));
    let found = ran(in_ecs.output().await.unwrap());
    expect(&found, &["ok         feedback.own_log: /ecs/tap does not lead back here"], 0);
    let writes = CONFIG.replace("[dead_letter.stdout]", "[sinks.out.kinesis]\nstream = 'other'\n[dead_letter.stdout]");
    let renamed = but(stream(), "StreamARN", json!("arn:aws:kinesis:eu-west-1:123456789012:stream/other"));
    let expected = ["failed     feedback.sinks: sinks.out writes to other, which is read"];
    check(&writes, &[], &[("DescribeStreamSummary", streams(renamed))], &expected, 1).await;
}

#[tokio::test]
async fn a_clock_that_is_off_is_found() {
    let check = async |seconds: i64, expected: &str, code: i32| {
        let double = AwsDouble::start().await;
        let time = Timestamp::now() + SignedDuration::from_secs(seconds);
        double.date(jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap());
        expect(&run(&double, CONFIG, &["doctor"]).await, &[expected], code);
    };
    check(-100, "warning    aws.clock: this host's clock is 10", 0).await;
    check(1000, "failed     aws.clock: this host's clock is 99", 1).await;
}

#[tokio::test]
async fn what_may_not_be_asked_names_the_action_and_fails_where_the_daemon_asks_it_too() {
    let double = AwsDouble::start().await;
    double.script_all(Meet::Error(403, "AccessDeniedException"));
    let args = ["doctor", "--log-group", GROUP, "--own-log-group", "/tap"];
    let found = run(&double, CONFIG, &args).await;
    let denied = |id: &str, action: &str| format!("warning    {id}: cannot be asked: {action} is denied");
    let failed = |id: &str, action: &str| format!("failed     {id}: cannot be asked: {action} is denied");
    let expected = [
        failed("aws.identity", "sts:GetCallerIdentity"),
        denied("bedrock.logging", "bedrock:GetModelInvocationLoggingConfiguration"),
        denied("log_group.exists", "logs:DescribeLogGroups"),
        denied("subscription.count", "logs:DescribeSubscriptionFilters"),
        denied("account.subscription", "logs:DescribeAccountPolicies"),
        failed("stream.status", "kinesis:DescribeStreamSummary"),
        failed("table.exists", "dynamodb:DescribeTable"),
        denied("feedback.own_log", "logs:DescribeSubscriptionFilters"),
        "fix: grant kinesis:DescribeStreamSummary to whoever runs this".to_owned(),
        "not known  permission.dynamodb:PutItem".to_owned(),
    ];
    expect(&found, &expected.iter().map(String::as_str).collect::<Vec<_>>(), 1);
    // What passes asks nothing of AWS, or was told by the refusals themselves.
    let passed: Vec<_> = found.text.lines().filter_map(|line| line.strip_prefix("ok         ")).collect();
    let names: Vec<_> = passed.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ["aws.clock", "feedback.sinks", "sinks.events"], "{}", found.text);
    assert_eq!(run(&double, CONFIG, &["doctor", "--strict"]).await.code, 1);
}

#[tokio::test]
async fn a_service_that_hangs_and_one_that_is_not_there_are_told_of_in_time() {
    let double = AwsDouble::start().await;
    double.script_all(Meet::Silence);
    let begun = Instant::now();
    let found = run(&double, CONFIG, &["doctor", "--timeout", "300ms", "--own-log-group", "/tap"]).await;
    let expected = [
        "failed     aws.identity: cannot be asked: sts:GetCallerIdentity: no answer within 300ms",
        "not known  aws.clock: no answer of AWS says what time it is",
        "failed     stream.status: cannot be asked: kinesis:DescribeStreamSummary: no answer within 300ms",
        "failed     table.exists: cannot be asked: dynamodb:DescribeTable: no answer within 300ms",
        "fix: check the network path",
    ];
    expect(&found, &expected, 1);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let folder = tempfile::tempdir().unwrap();
    let mut unreachable = command(&double, &folder, CONFIG, &["doctor"]);
    // Nothing listens on the port of the discard service.
    let found = ran(unreachable.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").output().await.unwrap());
    let expected = [
        "failed     aws.identity: cannot be asked: sts:GetCallerIdentity: the request was not answered",
        "failed     stream.status: cannot be asked: kinesis:DescribeStreamSummary: the request was not answered",
    ];
    expect(&found, &expected, 1);
}

#[tokio::test]
async fn without_credentials_or_with_bad_ones_it_fails_and_says_what_to_do() {
    let double = AwsDouble::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut without = command(&double, &folder, CONFIG, &["doctor"]);
    without.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let found = ran(without.output().await.unwrap());
    let expected = [
        "failed     aws.credentials (stream bedrock): stream bedrock cannot be asked about: no AWS credentials",
        "failed     aws.credentials (table taps): table taps cannot be asked about: no AWS credentials",
        "ok         sinks.events",
    ];
    expect(&found, &expected, 1);
    double.script_all(Meet::Error(403, "ExpiredToken"));
    let expected = ["failed     aws.identity: sts:GetCallerIdentity: ExpiredToken", "fix: check the credentials"];
    expect(&run(&double, CONFIG, &["doctor"]).await, &expected, 1);
}

#[tokio::test]
async fn json_says_the_same_and_wrong_usage_is_told_apart() {
    let double = AwsDouble::start().await;
    double.script("DescribeStreamSummary", Meet::Error(400, "ResourceNotFoundException"));
    let found = run(&double, CONFIG, &["doctor", "--output", "json"]).await;
    let page: Value = serde_json::from_str(&found.text).unwrap();
    assert_eq!(found.code, 1);
    let checks = page["checks"].as_array().unwrap();
    let status = checks.iter().find(|check| check["id"] == "stream.status").unwrap();
    assert_eq!(status["status"], "failed");
    assert!(status["fix"].as_str().unwrap().contains("setup --plan"), "{status}");
    let failed = checks.iter().filter(|check| check["status"] == "failed").count();
    assert_eq!(page["failed"], failed);
    for args in [
        &["doctor", "--output", "yaml"][..],
        &["doctor", "--timeout", "1h"],
        &["setup"],
        &["setup", "--plan", "--format", "x"],
    ] {
        assert_eq!(run(&double, CONFIG, args).await.code, 64, "{args:?}");
    }
    assert_eq!(run(&double, "source.kinesis = 7", &["doctor"]).await.code, 64);
}
