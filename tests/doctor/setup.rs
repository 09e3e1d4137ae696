//! `bedrock-tap setup`: what it prints, what it does, and where it stops.

use serde_json::{Value, json};

use super::{CONFIG, but, filters, run, streams};
use crate::support::aws_double::{AwsDouble, GROUP, Meet, STREAM, filter, group, recovery, stream};

/// An account in which nothing is there.
async fn empty() -> AwsDouble {
    let double = AwsDouble::start().await;
    double.script("GetModelInvocationLoggingConfiguration", Meet::Json(json!({})));
    double.script("DescribeLogGroups", Meet::Json(json!({ "logGroups": [] })));
    double.script("DescribeSubscriptionFilters", Meet::Error(400, "ResourceNotFoundException"));
    double.script("DescribeStreamSummary", Meet::Error(400, "ResourceNotFoundException"));
    double.script("DescribeTable", Meet::Error(400, "ResourceNotFoundException"));
    double
}

fn changes(double: &AwsDouble) -> Vec<String> {
    let change = ["Create", "Put", "Update", "Start", "Increase"];
    let calls = double.calls().into_iter().map(|(call, _)| call);
    calls.filter(|call| change.iter().any(|change| call.starts_with(change))).collect()
}

#[tokio::test]
async fn a_plan_makes_everything_from_nothing_and_changes_nothing() {
    let double = empty().await;
    let found = run(&double, CONFIG, &["setup", "--plan", "--own-log-group", "/tap"]).await;
    let expected = r#"# 1. make the stream bedrock: there is none of this name; on demand, it grows by
# itself
aws kinesis create-stream \
    --region eu-west-1 \
    --stream-name bedrock \
    --stream-mode-details StreamMode=ON_DEMAND
aws kinesis wait stream-exists --region eu-west-1 --stream-name bedrock

# 2. have the stream bedrock keep records for 72 hours: it keeps them for 24,
# less than a weekend
aws kinesis increase-stream-retention-period \
    --region eu-west-1 \
    --stream-name bedrock \
    --retention-period-hours 72

# 3. encrypt the stream bedrock: it carries prompts and answers in the clear;
# with a key of your own, grant the writer's role kms:GenerateDataKey and the
# reader's kms:Decrypt first
aws kinesis start-stream-encryption \
    --region eu-west-1 \
    --stream-name bedrock \
    --encryption-type KMS \
    --key-id alias/aws/kinesis

# 4. make the log group /bedrock/invocations: there is none of this name; only
# the class STANDARD can have subscriptions, and what its retention keeps can be
# read again where a subscription failed
aws logs create-log-group \
    --region eu-west-1 \
    --log-group-name /bedrock/invocations \
    --log-group-class STANDARD
aws logs put-retention-policy \
    --region eu-west-1 \
    --log-group-name /bedrock/invocations \
    --retention-in-days 30

# 5. make the role bedrock-tap-logs: CloudWatch Logs writes to the stream with
# it; where a key of your own encrypts the stream, it needs kms:GenerateDataKey
# on that too
# By hand, --apply leaves it: who may write where is decided by a person; skip
# it if the role is there.
aws iam create-role \
    --role-name bedrock-tap-logs \
    --assume-role-policy-document "#;
    assert!(found.text.starts_with(expected), "{}", found.text);
    let rest = "

# 6. put a subscription filter on /bedrock/invocations: none writes to the
# stream; Random, because Bedrock writes one log stream a Region, which would
# all go to one shard
aws logs put-subscription-filter \\
    --region eu-west-1 \\
    --log-group-name /bedrock/invocations \\
    --filter-name bedrock-tap \\
    --filter-pattern '{ $.schemaType = \"ModelInvocationLog\" }' \\
    --destination-arn arn:aws:kinesis:eu-west-1:123456789012:stream/bedrock \\
    --role-arn arn:aws:iam::123456789012:role/bedrock-tap-logs \\
    --distribution Random

# 7. make the role bedrock-tap-bedrock: Bedrock writes to the log group with it
";
    assert!(found.text.contains(rest), "{}", found.text);
    for part in
        ["\n# 8. switch Bedrock's logging on in eu-west-1", "\n# 9. make the table taps", "\n# 10. have the table taps"]
    {
        assert!(found.text.contains(part), "{part} is not in\n{}", found.text);
    }
    assert_eq!(found.code, 0);
    assert_eq!(changes(&double), Vec::<String>::new());
    let wide = found.text.lines().filter(|line| line.starts_with('#') && line.chars().count() > 80);
    assert_eq!(wide.collect::<Vec<_>>(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_template_has_what_cloudformation_can_make() {
    let double = empty().await;
    let args = ["setup", "--plan", "--format", "cloudformation", "--bedrock-role", "arn:aws:iam::123456789012:role/b"];
    let found = run(&double, CONFIG, &args).await;
    let expected = "AWSTemplateFormatVersion: \"2010-09-09\"\nDescription: What bedrock-tap needs and did not find\n\
                    # It makes roles with names: deploy it with --capabilities CAPABILITY_NAMED_IAM.\n\
                    # Changes that are not in a template:\n";
    assert!(found.text.starts_with(expected), "{}", found.text);
    let parts = [
        "#   aws bedrock put-model-invocation-logging-configuration",
        "  # make the stream bedrock: there is none of this name",
        "  Streambedrock:\n    Properties:\n      Name: \"bedrock\"\n      RetentionPeriodHours: 72\n",
        "    Type: \"AWS::Kinesis::Stream\"\n",
        "  LogGroup:\n    DeletionPolicy: \"Retain\"\n",
        "  LogsRole:\n",
        "  SubscriptionFilter:\n    DependsOn: [\"Streambedrock\",\"LogGroup\",\"LogsRole\"]\n",
        "      FilterPattern: \"{ $.schemaType = \\\"ModelInvocationLog\\\" }\"\n",
        "      KeySchema:\n        - AttributeName: \"leaseKey\"\n          KeyType: \"HASH\"\n",
    ];
    for part in parts {
        assert!(found.text.contains(part), "{part} is not in\n{}", found.text);
    }
    // A new stream is made with its retention.
    assert!(!found.text.contains("increase-stream-retention-period"), "{}", found.text);
    let healthy = AwsDouble::start().await;
    let args = ["setup", "--plan", "--format", "cloudformation"];
    let found = run(&healthy, CONFIG, &args).await;
    assert!(found.text.starts_with("# Nothing is missing that CloudFormation could make"), "{}", found.text);
    let found = run(&healthy, CONFIG, &["setup", "--plan"]).await;
    assert!(found.text.starts_with("# Nothing is missing that a command could make.\n"), "{}", found.text);
}

#[tokio::test]
async fn what_is_added_is_made_in_order_and_asked_about_again() {
    let double = AwsDouble::start().await;
    let young = but(stream(), "RetentionPeriodHours", json!(24));
    double.script("DescribeStreamSummary", streams(young));
    double.after("IncreaseStreamRetentionPeriod", "DescribeStreamSummary", streams(stream()));
    double.script("DescribeSubscriptionFilters", filters(&[]));
    double.after("PutSubscriptionFilter", "DescribeSubscriptionFilters", filters(&[filter()]));
    double.script("DescribeContinuousBackups", Meet::Json(recovery(false)));
    double.after("UpdateContinuousBackups", "DescribeContinuousBackups", Meet::Json(recovery(true)));
    let found = run(&double, CONFIG, &["setup", "--apply"]).await;
    let expected = "\
done: have the stream bedrock keep records for 72 hours
ok         stream.retention: records are kept for 72 hours
left to you: make the role bedrock-tap-logs (who may write where is decided by a person; skip it if the role is there)
done: put a subscription filter on /bedrock/invocations
ok         subscription.destination: bedrock-tap writes to arn:aws:kinesis:eu-west-1:123456789012:stream/bedrock
ok         subscription.pattern: lets Bedrock's records through
ok         subscription.distribution: Random, over all shards
ok         subscription.role: arn:aws:iam::123456789012:role/bedrock-tap-logs may write to the stream
done: have the table taps restorable to any point in time
ok         table.recovery: can be restored to any point in time
";
    assert_eq!((found.text.as_str(), found.code), (expected, 0));
    let made = ["IncreaseStreamRetentionPeriod", "PutSubscriptionFilter", "UpdateContinuousBackups"];
    assert_eq!(changes(&double), made);
    let put = double.calls().into_iter().find(|(call, _)| call == "PutSubscriptionFilter").unwrap().1;
    assert_eq!((&put["destinationArn"], &put["distribution"]), (&json!(STREAM), &json!("Random")));
}

#[tokio::test]
async fn logging_and_log_group_are_made_where_there_are_none() {
    let double = AwsDouble::start().await;
    let (get, put) = ("GetModelInvocationLoggingConfiguration", "PutModelInvocationLoggingConfiguration");
    double.script(get, Meet::Json(json!({})));
    double.script("DescribeLogGroups", Meet::Json(json!({ "logGroups": [] })));
    double.script("DescribeSubscriptionFilters", filters(&[]));
    double.after("PutRetentionPolicy", "DescribeLogGroups", Meet::Json(json!({ "logGroups": [group(GROUP)] })));
    double.after("PutSubscriptionFilter", "DescribeSubscriptionFilters", filters(&[filter()]));
    double.after(put, get, Meet::Json(crate::support::aws_double::logging(true)));
    let role = "arn:aws:iam::123456789012:role/mine";
    let args = ["setup", "--apply", "--logs-role", role, "--bedrock-role", role];
    let found = run(&double, CONFIG, &args).await;
    assert_eq!(found.code, 0, "{}", found.text);
    let made = ["CreateLogGroup", "PutRetentionPolicy", "PutSubscriptionFilter", put];
    assert_eq!(changes(&double), made, "{}", found.text);
    let sent = double.calls().into_iter().find(|(call, _)| call == put).unwrap().1;
    assert_eq!(sent["loggingConfig"]["cloudWatchConfig"], json!({ "logGroupName": GROUP, "roleArn": role }));
    assert!(found.text.contains("ok         bedrock.logging: Bedrock logs invocations in eu-west-1"), "{}", found.text);
}

#[tokio::test]
async fn a_filter_of_the_same_name_is_not_replaced_and_none_doubles_a_policy() {
    let check = async |filter: Value, policies: Meet, names: &[&str]| {
        let double = AwsDouble::start().await;
        double.script("DescribeSubscriptionFilters", filters(&[filter]));
        double.script("DescribeAccountPolicies", policies);
        let found = run(&double, CONFIG, &["setup", "--apply"]).await;
        let put = double.calls().into_iter().filter(|(call, _)| call == "PutSubscriptionFilter");
        let put: Vec<_> = put.map(|(_, input)| input["filterName"].as_str().unwrap().to_owned()).collect();
        assert_eq!(put, names, "{}", found.text);
    };
    let elsewhere = || but(filter(), "destinationArn", json!("arn:aws:lambda:eu-west-1:1:function:f"));
    let none = || Meet::Json(json!({ "accountPolicies": [] }));
    check(elsewhere(), none(), &["bedrock-tap-2"]).await;
    check(but(elsewhere(), "filterName", json!("a")), none(), &["bedrock-tap"]).await;
    check(elsewhere(), Meet::Error(400, "AccessDeniedException"), &[]).await;
    let document = json!({ "DestinationArn": STREAM }).to_string();
    let policy = json!({ "accountPolicies": [{ "policyName": "all", "policyDocument": document }] });
    check(elsewhere(), Meet::Json(policy), &[]).await;
}

#[tokio::test]
async fn the_first_failure_ends_it() {
    let double = AwsDouble::start().await;
    double.script("DescribeSubscriptionFilters", filters(&[]));
    double.script("PutSubscriptionFilter", Meet::Error(400, "AccessDeniedException"));
    double.script("DescribeContinuousBackups", Meet::Json(recovery(false)));
    let found = run(&double, CONFIG, &["setup", "--apply"]).await;
    let expected = "failed: put a subscription filter on /bedrock/invocations\n        logs:PutSubscriptionFilter is denied\n\
                    nothing behind it was tried\n";
    assert!(found.text.ends_with(expected), "{}", found.text);
    assert_eq!(found.code, 1);
    assert_eq!(changes(&double), ["PutSubscriptionFilter"]);
}

#[tokio::test]
async fn what_replaces_or_takes_away_is_left_to_a_person() {
    let check = async |scripted: &[(&str, Meet)], expected: &str| {
        let double = AwsDouble::start().await;
        for (operation, meet) in scripted {
            double.script(operation, meet.clone());
        }
        let found = run(&double, CONFIG, &["setup", "--apply"]).await;
        assert!(found.text.contains(expected), "{expected} is not in\n{}", found.text);
        assert_eq!((changes(&double), found.code), (Vec::new(), 0), "{}", found.text);
    };
    let lopsided = but(filter(), "distribution", json!("ByLogStream"));
    let expected = "left to you: put the subscription filter bedrock-tap of /bedrock/invocations again";
    check(&[("DescribeSubscriptionFilters", filters(&[lopsided]))], expected).await;
    let elsewhere = but(filter(), "destinationArn", json!("arn:aws:lambda:eu-west-1:1:function:f"));
    let expected = "(the log group has two filters, and takes no third: delete one first)";
    check(&[("DescribeSubscriptionFilters", filters(&[elsewhere.clone(), elsewhere]))], expected).await;
    let kept = but(group(GROUP), "retentionInDays", Value::Null);
    let expected = "(it deletes what is older than the retention)";
    check(&[("DescribeLogGroups", Meet::Json(json!({ "logGroups": [kept] })))], expected).await;
    let queue = "source.s3 = { queue_url = 'https://sqs.eu-west-1.amazonaws.com/123456789012/logs', buckets = ['logs'] }\n\
        sinks.events.file.path = 'events'\n";
    let double = empty().await;
    let found = run(&double, queue, &["setup", "--plan", "--apply"]).await;
    assert!(found.text.contains("{\"bucketName\":\"logs\"}"), "{}", found.text);
    let left =
        "left to you: switch Bedrock's logging on in eu-west-1 (the bucket's policy has to let bedrock.amazonaws.com";
    assert!(found.text.contains(left), "{}", found.text);
    assert_eq!(changes(&double), Vec::<String>::new());
    // What may not be asked is not changed.
    check(&[("DescribeSubscriptionFilters", Meet::Error(400, "AccessDeniedException"))], "").await;
    check(&[("GetModelInvocationLoggingConfiguration", Meet::Error(403, "AccessDeniedException"))], "").await;
}
