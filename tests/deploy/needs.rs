//! What a configuration needs of AWS.

use std::collections::BTreeSet;

use bedrock_tap::aws::actions::Use;
use bedrock_tap::config::{Config, Environment, Home, in_use};

fn home() -> Home {
    Home { account: Some("111111111111".to_owned()), region: Some("eu-central-1".to_owned()) }
}

fn parse(text: &str) -> Config {
    Config::parse(text, "t.toml", &Environment::default()).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// Needs as lines: use, role if any, resources.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let lines: Vec<_> = in_use(&parse(text), &home())
        .into_iter()
        .filter(|need| !need.usage.is_of_key())
        .map(|need| {
            let role = need.access.assume_role.map(|role| format!(" as {}", role.role_arn)).unwrap_or_default();
            format!("{:?}{role} {}", need.usage, need.resources.join(" "))
        })
        .collect();
    assert_eq!(lines, expected, "{text}");
}

const OUT: &str = "[sinks.a.stdout]\n";

#[test]
fn a_configuration_needs_what_it_uses() {
    check(
        &format!("source.kinesis.stream = 's'\n{OUT}"),
        &["Stream arn:aws:kinesis:eu-central-1:111111111111:stream/s"],
    );
    check(
        &format!(
            "source.kinesis = {{ stream = 's', mode = 'fan-out', register_consumer = true, consumer = 'c' }}\n{OUT}"
        ),
        &[
            "Consumer arn:aws:kinesis:eu-central-1:111111111111:stream/s/consumer/c:*",
            "Registration arn:aws:kinesis:eu-central-1:111111111111:stream/s",
            "Stream arn:aws:kinesis:eu-central-1:111111111111:stream/s",
        ],
    );
    let role = "arn:aws-cn:iam::222222222222:role/r";
    check(
        &format!(
            "source.kinesis = {{ streams = ['a', 'b'], region = 'cn-north-1', assume_role.role_arn = '{role}' }}\n{OUT}"
        ),
        &[
            &format!("Role {role}"),
            &format!(
                "Stream as {role} arn:aws-cn:kinesis:cn-north-1:222222222222:stream/a \
                 arn:aws-cn:kinesis:cn-north-1:222222222222:stream/b"
            ),
        ],
    );
    let tables = "[dead_letter.file]\npath = '/r'\n[coordination.dynamodb]\ntable = 'taps'\n";
    check(
        &format!("source.kinesis.stream = 's'\n{OUT}{tables}create_table = true\n[detect]\nrules = ['tap.*']\n"),
        &[
            "Stream arn:aws:kinesis:eu-central-1:111111111111:stream/s",
            "Leases arn:aws:dynamodb:eu-central-1:111111111111:table/taps",
            "Remembered arn:aws:dynamodb:eu-central-1:111111111111:table/taps-detection",
            "Tables arn:aws:dynamodb:eu-central-1:111111111111:table/taps \
             arn:aws:dynamodb:eu-central-1:111111111111:table/taps-detection",
        ],
    );
    check(
        &format!("source.kinesis.stream = 's'\n{OUT}{tables}[detect]\nrules = ['tap.*']\nkeep_state = false\n"),
        &[
            "Stream arn:aws:kinesis:eu-central-1:111111111111:stream/s",
            "Leases arn:aws:dynamodb:eu-central-1:111111111111:table/taps",
        ],
    );
    check(
        &format!(
            "source.s3 = {{ queue_url = 'https://sqs.eu-west-1.amazonaws.com/333333333333/q', buckets = ['bbb'], \
             include = ['AWSLogs/'] }}\n{OUT}"
        ),
        &[
            "Objects arn:aws:s3:::bbb/AWSLogs/*",
            "Listing arn:aws:s3:::bbb",
            "Notifications arn:aws:sqs:eu-west-1:333333333333:q",
        ],
    );
    check(
        &format!("source.s3.list.url = 's3://bbb/p'\n{OUT}"),
        &["Objects arn:aws:s3:::bbb/p*", "Listing arn:aws:s3:::bbb"],
    );
    let group = "arn:aws:logs:eu-central-1:111111111111:log-group:/a";
    check(&format!("source.cloudwatch.log_groups = ['/a']\n{OUT}"), &[&format!("Groups {group} {group}:*")]);
    check(
        &format!("source.cloudwatch = {{ log_groups = ['/a'], mode = 'live' }}\n{OUT}"),
        &[&format!("Groups {group} {group}:*"), &format!("LiveGroups {group} {group}:*"), "GroupNames *"],
    );
    check(
        &format!("source.file.paths = ['-']\n{OUT}[bodies]\nfetch = true\nbuckets = ['large']\n"),
        &["Bodies arn:aws:s3:::large/*AWSLogs/*/BedrockModelInvocationLogs/*/data/*"],
    );
}

#[test]
fn sinks_alerts_and_dead_letters_need_what_they_write_to() {
    let source = "source.file.paths = ['-']\n";
    check(&format!("{source}{OUT}"), &[]);
    check(
        &format!(
            "{source}[sinks.a.s3]\nbucket = 'bbb'\nprefix = 'x/date={{date}}/'\n[detect]\nrules = ['tap.*']\n[alerts.b.sqs]\n\
             queue_url = 'https://sqs.eu-west-1.amazonaws.com/333333333333/q'\n[dead_letter.kinesis]\nstream = 'dead'\n"
        ),
        &[
            "ObjectSink arn:aws:s3:::bbb/x/date=*",
            "SqsSink arn:aws:sqs:eu-west-1:333333333333:q",
            "KinesisSink arn:aws:kinesis:eu-central-1:111111111111:stream/dead",
        ],
    );
    check(
        &format!("{source}[sinks.a.firehose]\nstream = 'f'\n[dead_letter.firehose]\nstream = 'f'\n"),
        &["FirehoseSink arn:aws:firehose:eu-central-1:111111111111:deliverystream/f"],
    );
    for (service, expected) in [
        ("execute-api", "Gateway arn:aws:execute-api:eu-central-1:111111111111:*"),
        ("lambda", "FunctionUrl arn:aws:lambda:eu-central-1:111111111111:function:*"),
    ] {
        check(&format!("{source}[sinks.a.http]\nurl = 'https://h/'\nauth.sigv4.service = '{service}'\n"), &[expected]);
    }
    for (service, expected) in [
        ("es", "Domain arn:aws:es:eu-central-1:111111111111:domain/*"),
        ("aoss", "Collection arn:aws:aoss:eu-central-1:111111111111:collection/*"),
    ] {
        let sink =
            format!("{source}[sinks.a.elasticsearch]\nurls = ['https://h/']\nauth.sigv4.service = '{service}'\n");
        check(&sink, &[expected]);
    }
}

/// Each use of the table is one that some configuration has, but for keys, which follow what they encrypt.
#[test]
fn keys_follow_what_they_encrypt() {
    let uses = |text: &str| -> BTreeSet<Use> { in_use(&parse(text), &home()).iter().map(|need| need.usage).collect() };
    let pairs = [
        (format!("source.kinesis.stream = 's'\n{OUT}"), Use::Stream, Use::StreamKey),
        (format!("source.s3.list.url = 's3://bbb/p'\n{OUT}"), Use::Objects, Use::ObjectsKey),
        (
            format!("source.s3.queue_url = 'https://sqs.eu-west-1.amazonaws.com/333333333333/q'\n{OUT}"),
            Use::Notifications,
            Use::NotificationsKey,
        ),
        ("source.file.paths = ['-']\n[sinks.a.s3]\nbucket = 'bbb'\n".to_owned(), Use::ObjectSink, Use::ObjectSinkKey),
        ("source.file.paths = ['-']\n[sinks.a.kinesis]\nstream = 'b'\n".to_owned(), Use::KinesisSink, Use::KinesisSinkKey),
        (
            "source.file.paths = ['-']\n[sinks.a.sqs]\nqueue_url = 'https://sqs.eu-west-1.amazonaws.com/333333333333/q'\n"
                .to_owned(),
            Use::SqsSink,
            Use::SqsSinkKey,
        ),
    ];
    for (text, usage, key) in &pairs {
        let found = uses(text);
        assert!(found.contains(usage) && found.contains(key), "{text}: {found:?}");
    }
    let keys: BTreeSet<_> = Use::ALL.iter().filter(|usage| usage.is_of_key()).collect();
    assert_eq!(keys, pairs.iter().map(|(_, _, key)| key).collect());
}

#[test]
fn a_need_names_its_actions() {
    let config = parse(&format!("source.s3.list.url = 's3://bbb/p'\n{OUT}"));
    let needs = in_use(&config, &Home::default());
    let listing = needs.iter().find(|need| need.usage == Use::Listing).unwrap();
    assert!(listing.actions().count() > 0 && listing.actions().all(|action| action.iam == "s3:ListBucket"));
    let key = needs.iter().find(|need| need.usage == Use::ObjectsKey).unwrap();
    assert_eq!(key.resources, ["arn:aws:kms:*:*:key/*"]);
}
