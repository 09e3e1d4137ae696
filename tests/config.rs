//! The configuration from outside: what is accepted, what every error says, and that the examples are complete and valid.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use bedrock_tap::config::{
    ByteSize, Compression, Config, Coordination, DeadLetter, DynamodbCoordination, Environment, Events, FileDeadLetter,
    FileSink, KinesisSource, Look, Mode, Secret, Sink, Source, Start, Taken,
};
use bedrock_tap::format::Format;
use proptest::prelude::*;
use serde_json::Value;

/// The least that is valid.
const MINIMAL: &str = "source.kinesis.stream = 'bedrock'\nsinks.console.stdout = {}\n";

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let environment: Environment = variables.iter().copied().collect();
    Config::parse(text, "t.toml", &environment).map_err(|error| error.render(Look { width: 80, colours: false }))
}

/// Parses `text` and compares the error with `expected`; nothing is expected of a valid one.
#[track_caller]
fn check(text: &str, expected: &str) {
    check_with(text, &[], expected);
}

#[track_caller]
fn check_with(text: &str, variables: &[(&str, &str)], expected: &str) {
    let found = parse(text, variables).map_or_else(|error| error, |_| String::new());
    assert!(found == expected.trim_matches('\n'), "expected:\n{expected}\n\nfound:\n{found}\n");
    let widest = found.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest <= 80, "a line of {widest} columns");
}

#[test]
fn the_least_that_is_valid_has_every_default() {
    let config = parse(MINIMAL, &[]).unwrap();
    assert_eq!(config.memory_budget, ByteSize::mib(256));
    assert_eq!(config.drain_timeout, Duration::from_secs(25));
    assert_eq!(config.source, Source::Kinesis(Box::new(KinesisSource::new("bedrock"))));
    assert_eq!(config.coordination.directory(), Some(Path::new("/var/lib/bedrock-tap")));
    let limits = config.decode.limits();
    assert_eq!((limits.inflated_bytes, limits.events, limits.depth), (64 << 20, 100_000, 128));
    assert!(config.extract.log_group_set().unwrap().is_match("/aws/bedrock/invocations"));
    assert!(config.panther.unmapped);
    assert_eq!(config.sinks["console"], Sink::Stdout(Events::default()));
    let default = FileDeadLetter::new("/var/lib/bedrock-tap/dead-letter.jsonl");
    assert_eq!(config.dead_letter(), DeadLetter::File(default));
}

#[test]
fn every_value_is_read() {
    let config = parse(
        r#"
        [source.kinesis]
        stream = "arn:aws-us-gov:kinesis:us-gov-west-1:123456789012:stream/a.b-c_d"
        start = 2026-07-01T12:00:00Z
        max_idle = "200ms"
        on_trimmed = "oldest"
        assume_role = { role_arn = "arn:aws:iam::123456789012:role/path/reader", external_id = "a:b/c" }
        [sinks.a-b_1.file]
        path = "out/events"
        rotate_size = "1 GB"
        rotate_age = "1d 12h"
        compression = "gzip"
        format = "raw"
        [dead_letter.stdout]
        [extract]
        log_groups = ["/aws/bedrock/*"]
        "#,
        &[],
    )
    .unwrap();
    let Source::Kinesis(source) = &config.source else { panic!("{:?}", config.source) };
    let [stream] = source.streams()[..] else { panic!("{source:?}") };
    assert!(!source.is_multi());
    assert_eq!((KinesisSource::name_of(stream), source.region_of(stream)), ("a.b-c_d", Some("us-gov-west-1")));
    assert_eq!(source.start, Start::At("2026-07-01T12:00:00Z".parse().unwrap()));
    assert_eq!(source.max_idle, Duration::from_millis(200));
    assert_eq!(source.assume_role.as_ref().map(|role| role.session_name.as_str()), Some("bedrock-tap"));
    let to = FileSink {
        rotate_size: ByteSize::new(1_000_000_000),
        rotate_age: Duration::from_secs(36 * 3600),
        compression: Compression::Gzip,
        ..FileSink::new("out/events")
    };
    let events = Taken { format: Format::Raw, ..Taken::default() };
    assert_eq!(config.sinks["a-b_1"], Sink::File(Events { events, to }));
    let groups = config.extract.log_group_set().unwrap();
    assert!(groups.is_match("/aws/bedrock/a/b") && !groups.is_match("/aws/lambda/a"));
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_and_without_their_value() {
    check(
        "[source.kinesis]\nstream = 'a'\n  max-idel = '1s'\n[sinks.console.stdout]\n",
        r"
t.toml:3:3: `source.kinesis.max-idel`: no key of `source.kinesis`
3 | max-idel = …
  | ^^^^^^^^
  = hint: did you mean `max_idle`?
  = allowed: account_roles, assume_role, calls_per_second, consumer,
             endpoint_url, max_idle, mode, on_trimmed, profile, region,
             register_consumer, shard_sync_interval, start, stream, streams",
    );
    check(
        &format!("region = 'hunter2'\n{MINIMAL}"),
        r"
t.toml:1:1: `region`: no key of this name
1 | region = …
  | ^^^^^^
  = hint: it belongs elsewhere: `bodies.region`, `coordination.dynamodb.region`,
          `source.cloudwatch.region`, `source.kinesis.region`,
          `source.s3.region`, `sinks.NAME.KIND.region`
  = allowed: alerts, bodies, coordination, cost, dead_letter, dead_letters,
             decode, detect, drain_timeout, extract, http, log, memory_budget,
             metrics, panther, redact, select, sinks, source",
    );
    check(
        "source.kinesis = { stream = 'a', 'pass word' = 'hunter2' }\nsinks.a.stdout = {}",
        r#"
t.toml:1:34: `source.kinesis."pass word"`: no key of `source.kinesis`
1 | … 'pass word' = …
  |   ^^^^^^^^^^^
  = allowed: account_roles, assume_role, calls_per_second, consumer,
             endpoint_url, max_idle, mode, on_trimmed, profile, region,
             register_consumer, shard_sync_interval, start, stream, streams"#,
    );
    check(
        &format!("{MINIMAL}[logs] # hunter2\nlevel = 'info'\n[dead_letter.stdout]\nformat = 'text'")
            .replace("console.stdout = {}", "a.file.path = 'a'"),
        r"
t.toml has 2 faults

t.toml:3:2: `logs`: no key of this name
3 | [logs]
  |  ^^^^
  = hint: did you mean `log`?
  = allowed: alerts, bodies, coordination, cost, dead_letter, dead_letters,
             decode, detect, drain_timeout, extract, http, log, memory_budget,
             metrics, panther, redact, select, sinks, source

t.toml:6:1: `dead_letter.stdout.format`: no key of `dead_letter.stdout`
6 | format = …
  | ^^^^^^
  = hint: it belongs elsewhere: `log.format`, `sinks.NAME.KIND.format`
  = allowed: none; this table has no keys",
    );
}

#[test]
fn what_is_required_is_named() {
    check(
        "",
        r"
t.toml has 2 faults

t.toml: `source`: missing
    = allowed: exactly one of [source.cloudwatch], [source.file],
               [source.firehose], [source.kinesis], [source.s3]

t.toml: `sinks`: missing
    = allowed: at least one of [sinks.NAME.elasticsearch], [sinks.NAME.file],
               [sinks.NAME.firehose], [sinks.NAME.http], [sinks.NAME.kinesis],
               [sinks.NAME.null], [sinks.NAME.otlp], [sinks.NAME.s3],
               [sinks.NAME.splunk_hec], [sinks.NAME.sqs], [sinks.NAME.stdout]",
    );
    check(
        "[source.kinesis]\n[sinks]",
        r#"
t.toml has 2 faults

t.toml:1:9: `source.kinesis`: has neither `stream` nor `streams`
1 | [source.kinesis]
  |         ^^^^^^^
  = allowed: exactly one of stream = "NAME", streams = ["NAME", …]

t.toml:2:2: `sinks`: is empty
2 | [sinks]
  |  ^^^^^
  = allowed: at least one table below it"#,
    );
    check(
        "source.file.paths = []\nsinks.a = {}",
        r"
t.toml has 2 faults

t.toml:1:21: `source.file.paths`: is empty
1 | source.file.paths = []
  |                     ^^
  = allowed: at least one item

t.toml:2:7: `sinks.a`: has no kind
2 | sinks.a = {}
  |       ^
  = allowed: exactly one of [sinks.a.elasticsearch], [sinks.a.file],
             [sinks.a.firehose], [sinks.a.http], [sinks.a.kinesis],
             [sinks.a.null], [sinks.a.otlp], [sinks.a.s3], [sinks.a.splunk_hec],
             [sinks.a.sqs], [sinks.a.stdout]",
    );
}

#[test]
fn there_is_one_kind_of_source() {
    check(
        &format!("{MINIMAL}[source.file]\npaths = ['-']"),
        r"
t.toml:3:9:
    `source.file`: a second kind of `source`, which has `source.kinesis` already
3 | [source.file]
  |         ^^^^
  = allowed: exactly one of [source.cloudwatch], [source.file],
             [source.firehose], [source.kinesis], [source.s3]",
    );
    check(
        "[source.kinsis]\nstream = 'a'\n[sinks.a.stdout]",
        r"
t.toml:1:9: `source.kinsis`: no kind of `source`
1 | [source.kinsis]
  |         ^^^^^^
  = hint: did you mean `kinesis`?
  = allowed: cloudwatch, file, firehose, kinesis, s3",
    );
}

#[test]
fn values_have_their_type_and_range() {
    check(
        "memory_budget = 256\ndrain_timeout = '10m'\n[source.kinesis]\nstream = 7\ncalls_per_second = 0x10\n[log]\n\
         level = 'wran'\n[panther]\nunmapped = 'yes'\nsource_id = ''\n[decode]\nmax_depth = 99999999999999999999\n\
         max_inflated = '1 MIB'\n[sinks.a]\nfile = 'x'",
        r#"
t.toml has 10 faults

t.toml:1:17:
    `memory_budget`: expected a string such as "64 MiB", found an integer
1 | memory_budget = 256
  |                 ^^^

t.toml:2:17: `drain_timeout`: "10m" is out of range
2 | drain_timeout = '10m'
  |                 ^^^^^
  = allowed: 1s to 120s

t.toml:4:10: `source.kinesis.stream`: expected a string, found an integer
4 | stream = 7
  |          ^

t.toml:5:20: `source.kinesis.calls_per_second`: 16 is out of range
5 | calls_per_second = 0x10
  |                    ^^^^
  = allowed: 1 to 5

t.toml:7:9: `log.level`: "wran" is not allowed
7 | level = 'wran'
  |         ^^^^^^
  = hint: did you mean "warn"?
  = allowed: "error", "warn", "info", "debug", "trace"

t.toml:9:12: `panther.unmapped`: expected a boolean, found a string
9 | unmapped = 'yes'
  |            ^^^^^

t.toml:10:13: `panther.source_id`: has 0 characters
10 | source_id = ''
   |             ^^
   = allowed: 1 to 256 characters

t.toml:12:13: `decode.max_depth`: the number is out of range
12 | max_depth = 99999999999999999999
   |             ^^^^^^^^^^^^^^^^^^^^
   = allowed: 1 to 128

t.toml:13:16:
    `decode.max_inflated`: expected a size with its unit, such as "64 MiB" (B,
    kB, MB, GB, KiB, MiB, GiB); "MIB" is none of its units
13 | max_inflated = '1 MIB'
   |                ^^^^^^^

t.toml:15:8: `sinks.a.file`: expected a table, found a string
15 | file = 'x'
   |        ^^^
"#,
    );
}

#[test]
fn the_stream_and_how_it_is_reached_are_checked() {
    check(
        "[source.kinesis]\nstream = 'arn:aws:kinesis:eu-west-1:1:stream/x'\nregion = 'Frankfurt'\n\
         endpoint_url = 'http://u:hunter2@h'\n[source.kinesis.assume_role]\nrole_arn = 'arn:aws:iam::123456789012:user/x'\n\
         external_id = '?'\nsession_name = 'x'\n[sinks.a.stdout]",
        r#"
t.toml has 6 faults

t.toml:2:10: `source.kinesis.stream`: the ARN's account is not 12 digits
2 | stream = 'arn:aws:kinesis:eu-west-1:1:stream/x'
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = allowed: a name of 1 to 128 letters, digits, `_`, `.` and `-`, or an ARN
             such as "arn:aws:kinesis:eu-central-1:123456789012:stream/bedrock"

t.toml:3:10: `source.kinesis.region`: "Frankfurt" has not the form of a Region
3 | region = 'Frankfurt'
  |          ^^^^^^^^^^^
  = allowed: such as "eu-central-1"

t.toml:4:16:
    `source.kinesis.endpoint_url`: the URL holds a user or a password, which has
    no place in a file
    = allowed: such as "http://localhost:4567"

t.toml:6:12: `source.kinesis.assume_role.role_arn`: the ARN is not one of a role
6 | role_arn = 'arn:aws:iam::123456789012:user/x'
  |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = allowed: an ARN such as "arn:aws:iam::123456789012:role/reader"

t.toml:7:15: `source.kinesis.assume_role.external_id`: is no external id
7 | external_id = '?'
  |               ^^^
  = allowed: 2 to 1224 letters, digits and any of `_+=,.@:/-`

t.toml:8:16: `source.kinesis.assume_role.session_name`: is no session name
8 | session_name = 'x'
  |                ^^^
  = allowed: 2 to 64 letters, digits and any of `_+=,.@-`
"#,
    );
}

#[test]
fn several_streams_have_the_roles_of_their_accounts() {
    let config = parse(
        r#"
        [source.kinesis]
        streams = [
            "own", "arn:aws:kinesis:eu-west-1:111111111111:stream/a", "arn:aws:kinesis:us-east-1:222222222222:stream/a",
        ]
        mode = "fan-out"
        consumer = "reader.1"
        register_consumer = true
        assume_role.role_arn = "arn:aws:iam::333333333333:role/all"
        account_roles.222222222222 = { role_arn = "arn:aws:iam::222222222222:role/two", session_name = "two" }
        [sinks.console.stdout]
        "#,
        &[("BEDROCK_TAP__SOURCE__KINESIS__ACCOUNT_ROLES__222222222222__EXTERNAL_ID", "two")],
    )
    .unwrap();
    let Source::Kinesis(source) = &config.source else { panic!("{:?}", config.source) };
    assert!(source.is_multi());
    assert_eq!((source.mode, source.consumer.as_str(), source.register_consumer), (Mode::FanOut, "reader.1", true));
    let all = source.streams().into_iter().map(|stream| {
        let role = source.role_of(stream).unwrap();
        let external_id = role.external_id.as_deref();
        (KinesisSource::name_of(stream), source.region_of(stream), role.role_arn.as_str(), external_id)
    });
    let expected = [
        ("own", None, "arn:aws:iam::333333333333:role/all", None),
        ("a", Some("eu-west-1"), "arn:aws:iam::333333333333:role/all", None),
        ("a", Some("us-east-1"), "arn:aws:iam::222222222222:role/two", Some("two")),
    ];
    assert!(all.eq(expected));
    for (text, mode) in [("polling", Mode::Polling), ("fan-out", Mode::FanOut), ("auto", Mode::Auto)] {
        let config = parse(MINIMAL, &[("BEDROCK_TAP__SOURCE__KINESIS__MODE", text)]).unwrap();
        assert!(matches!(&config.source, Source::Kinesis(source) if source.mode == mode), "{text}");
    }
    let one = parse("source.kinesis.streams = ['a']\nsinks.console.stdout = {}", &[]).unwrap();
    assert!(matches!(&one.source, Source::Kinesis(source) if source.is_multi()), "a list of one is a list");
}

#[test]
fn streams_modes_and_roles_are_checked() {
    check(
        "source.kinesis = { stream = 'a', streams = ['b'], mode = 'fan_out' }\nsinks.a.stdout = {}",
        r#"
t.toml has 2 faults

t.toml:1:34:
    `source.kinesis.streams`: `stream` is set too, and only one of them can be
1 | source.kinesis = { stream = 'a', streams = ['b'], mode = 'fan_out' }
  |                                  ^^^^^^^
  = hint: put the one into the list of the others

t.toml:1:58: `source.kinesis.mode`: "fan_out" is not allowed
1 | source.kinesis = { stream = 'a', streams = ['b'], mode = 'fan_out' }
  |                                                          ^^^^^^^^^
  = hint: did you mean "fan-out"?
  = allowed: "polling", "fan-out", "auto"
"#,
    );
    check(
        "[source.kinesis]\nstreams = []\nconsumer = 'a b'\n[sinks.a.stdout]",
        r#"
t.toml has 2 faults

t.toml:2:11: `source.kinesis.streams`: is empty
2 | streams = []
  |           ^^
  = allowed: at least one item

t.toml:3:12: `source.kinesis.consumer`: "a b" is no consumer's name
3 | consumer = 'a b'
  |            ^^^^^
  = allowed: 1 to 128 letters, digits, `_`, `.` and `-`
"#,
    );
    check(
        "[source.kinesis]\nregion = 'eu-west-2'\nstreams = [\n'a', 'b c', 'a',\n\
         'arn:aws:kinesis:eu-west-1:123456789012:stream/a',\n'arn:aws:kinesis:eu-west-1:123456789012:stream/c', \
         'arn:aws:kinesis:eu-west-1:123456789012:stream/d',\n\
         'arn:aws:kinesis:eu-west-1:123456789012:streams/c']\n[sinks.a.stdout]",
        r#"
t.toml has 5 faults

t.toml:2:10:
    `source.kinesis.region`: "eu-west-2" is not the Region of the stream's ARN,
    eu-west-1
2 | region = 'eu-west-2'
  |          ^^^^^^^^^^^
  = hint: leave it out: the ARN names it

t.toml:4:6:
    `source.kinesis.streams[1]`: "b c" is neither a stream's name nor its ARN
4 | 'a', 'b c', 'a',
  |      ^^^^^
  = allowed: a name of 1 to 128 letters, digits, `_`, `.` and `-`, or an ARN
             such as "arn:aws:kinesis:eu-central-1:123456789012:stream/bedrock"

t.toml:4:13: `source.kinesis.streams[2]`: "a" stands here twice
4 | 'a', 'b c', 'a',
  |             ^^^

t.toml:5:1: `source.kinesis.streams[3]`: may be the same stream as "a"
5 | 'arn:aws:kinesis:eu-west-1:123456789012:stream/a',
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = hint: give both as ARNs

t.toml:7:1: `source.kinesis.streams[6]`: the ARN is not one of a stream
7 | 'arn:aws:kinesis:eu-west-1:123456789012:streams/c']
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = allowed: a name of 1 to 128 letters, digits, `_`, `.` and `-`, or an ARN
             such as "arn:aws:kinesis:eu-central-1:123456789012:stream/bedrock"
"#,
    );
    check(
        "[source.kinesis]\nstreams = ['a', 'arn:aws:kinesis:eu-west-1:123456789012:stream/b']\n\
         [source.kinesis.account_roles.1234]\nrole_arn = 'arn:aws:iam::123456789012:role/r'\n\
         [source.kinesis.account_roles.123456789012]\nrole_arn = 'r'\n\
         [source.kinesis.account_roles.123456789021]\nrole_arn = 'arn:aws:iam::123456789021:role/r'\n\
         [source.kinesis.account_roles.123456789013]\n[sinks.a.stdout]",
        r#"
t.toml has 4 faults

t.toml:3:31: `source.kinesis.account_roles.1234`: is no account id
3 | [source.kinesis.account_roles.1234]
  |                               ^^^^
  = allowed: 12 digits

t.toml:6:12:
    `source.kinesis.account_roles.123456789012.role_arn`: the ARN does not begin
    with `arn:aws`
6 | role_arn = 'r'
  |            ^^^
  = allowed: an ARN such as "arn:aws:iam::123456789012:role/reader"

t.toml:7:31:
    `source.kinesis.account_roles.123456789021`: no stream's ARN is of this
    account
7 | [source.kinesis.account_roles.123456789021]
  |                               ^^^^^^^^^^^^
  = hint: a stream's account is told by its ARN; streams given by name take
          `assume_role`

t.toml:9:31: `source.kinesis.account_roles.123456789013.role_arn`: missing
9 | [source.kinesis.account_roles.123456789013]
  |                               ^^^^^^^^^^^^
  = hint: The role's ARN
"#,
    );
    let many: Vec<String> = (0..101).map(|n| format!("'s{n}'")).collect();
    let error =
        parse(&format!("source.kinesis.streams = [{}]\nsinks.a.stdout = {{}}", many.join(",")), &[]).unwrap_err();
    assert!(error.contains("`source.kinesis.streams`: has 101 streams"), "{error}");
    assert!(error.ends_with("allowed: 1 to 100"), "{error}");
}

/// A fleet, as far as it has to be written.
const FLEET: &str = "source.kinesis.stream = 'bedrock'\ncoordination.dynamodb.table = 'taps'\n\
    sinks.console.stdout = {}\ndead_letter.file.path = 'rejects'\n";

#[test]
fn a_table_of_leases_has_every_default() {
    let config = parse(FLEET, &[]).unwrap();
    let Coordination::Dynamodb(table) = &config.coordination else { panic!("{:?}", config.coordination) };
    assert_eq!(**table, DynamodbCoordination::new("taps"));
    assert!(!table.create_table);
    assert_eq!((table.failover_time, table.handoff_timeout), (Duration::from_secs(30), Duration::from_secs(30)));
    assert_eq!(config.coordination.directory(), None);
    assert_eq!(config.dead_letter(), DeadLetter::File(FileDeadLetter::new("rejects")));
}

#[test]
fn prices_are_read_however_they_are_written() {
    let check = |price: &str, shown: &str| {
        let text = format!("{MINIMAL}[cost.models.m]\ninput = {price}\noutput = 0");
        let config = parse(&text, &[]).unwrap();
        assert_eq!(config.cost.models["m"].input.to_string(), shown, "{price}");
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
    };
    check("3", "3");
    check("3.30", "3.3");
    check("'3.30'", "3.3");
    check("0.1", "0.1");
    check("1e-6", "0.000001");
    check("0.285", "0.285");
    check("123456.654321", "123456.654321");
}

#[test]
fn prices_and_profiles_are_checked() {
    check(
        "source.file.paths = ['a']\nsinks.a.stdout = {}\n\
         [cost.models.a]\ninput = -1\noutput = nan\ncache_read = 0.0000001\ncache_write = true\ncache_reed = 1\n\
         date = '2026-1-31'\n[cost.models.b]\noutput = 1000001\n\
         [cost.profiles]\na = ''\nb = 'arn:aws:bedrock:eu-west-1:1:application-inference-profile/c'\nc = 1",
        r#"
t.toml has 10 faults

t.toml:4:9:
    `cost.models.a.input`: expected USD per million tokens, such as 0.8, from 0
    to 1000000 with 6 digits behind the point at most; "-1" is no such number
4 | input = -1
  |         ^^

t.toml:5:10:
    `cost.models.a.output`: expected USD per million tokens, such as 0.8, from 0
    to 1000000 with 6 digits behind the point at most; "NaN" is no such number
5 | output = nan
  |          ^^^

t.toml:6:14:
    `cost.models.a.cache_read`: expected USD per million tokens, such as 0.8,
    from 0 to 1000000 with 6 digits behind the point at most; "0.0000001" has
    more digits
6 | cache_read = 0.0000001
  |              ^^^^^^^^^

t.toml:7:15:
    `cost.models.a.cache_write`: invalid type: boolean `true`, expected USD per
    million tokens, such as 0.8
7 | cache_write = true
  |               ^^^^

t.toml:8:1: `cost.models.a.cache_reed`: no key of `cost.models.a`
8 | cache_reed = …
  | ^^^^^^^^^^
  = hint: did you mean `cache_read`?
  = allowed: cache_read, cache_write, date, input, output

t.toml:10:14: `cost.models.b.input`: missing
10 | [cost.models.b]
   |              ^
   = hint: USD per million tokens of the prompt, as price pages tell it: a
           number, or the same as a string, with 6 digits behind the point at
           most

t.toml:11:10:
    `cost.models.b.output`: expected USD per million tokens, such as 0.8, from 0
    to 1000000 with 6 digits behind the point at most; "1000001" is too much
11 | output = 1000001
   |          ^^^^^^^

t.toml:13:5: `cost.profiles.a`: is empty
13 | a = ''
   |     ^^
   = allowed: such as "eu.anthropic.claude-haiku-4-5-20251001-v1:0"

t.toml:14:5: `cost.profiles.b`: is an application inference profile itself
14 | b = 'arn:aws:bedrock:eu-west-1:1:application-inference-profile/c'
   |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = allowed: such as "eu.anthropic.claude-haiku-4-5-20251001-v1:0"

t.toml:15:5: `cost.profiles.c`: expected a string, found an integer
15 | c = 1
   |     ^
"#,
    );
}

#[test]
fn the_table_is_beside_the_streams_unless_it_says_otherwise() {
    let check = |source: &str, table: &str, region: Option<&str>, profile: Option<&str>| {
        let text = FLEET.replace("source.kinesis.stream = 'bedrock'", &format!("source.kinesis = {{ {source} }}"));
        let text = text.replace(
            "coordination.dynamodb.table = 'taps'",
            &format!("coordination.dynamodb = {{ table = 'taps', {table} }}"),
        );
        let config = parse(&text, &[]).unwrap();
        let (Source::Kinesis(source), Coordination::Dynamodb(table)) = (&config.source, &config.coordination) else {
            panic!("{config:?}");
        };
        assert_eq!((table.region_beside(source), table.profile_beside(source)), (region, profile));
        // What is the stream's alone stays with it.
        assert_eq!((table.endpoint_url.as_deref(), table.assume_role.as_ref()), (None, None));
    };
    let arn = "'arn:aws:kinesis:eu-west-1:123456789012:stream/x'";
    let other = "'arn:aws:kinesis:us-east-1:123456789012:stream/x'";
    check("stream = 'a', endpoint_url = 'http://h'", "", None, None);
    check("stream = 'a', region = 'eu-west-3', profile = 'p'", "", Some("eu-west-3"), Some("p"));
    check(
        "stream = 'a', region = 'eu-west-3', profile = 'p'",
        "region = 'eu-west-2', profile = 'q'",
        Some("eu-west-2"),
        Some("q"),
    );
    check(
        &format!("stream = {arn}, assume_role.role_arn = 'arn:aws:iam::123456789012:role/r'"),
        "",
        Some("eu-west-1"),
        None,
    );
    check(&format!("streams = ['a', {arn}], region = 'eu-west-1'").replace("'a'", "'y'"), "", Some("eu-west-1"), None);
    check(&format!("streams = [{arn}, {other}]"), "region = 'eu-west-2'", Some("eu-west-2"), None);
}

#[test]
fn leases_are_checked() {
    check(
        "source.kinesis.stream = 'a'\nsinks.a.file.path = '/var/lib/bedrock-tap/positions.redb'\n\
         [coordination.dynamodb]\ntable = 'a/b'\ncreate_table = 'yes'\nfailover_time = '500ms'\n\
         handoff_timeout = '11m'\nregion = 'Dublin'\nprofile = ' '\nendpoint_url = 'h'\nassume_role.role_arn = 'r'\n",
        r#"
t.toml has 9 faults

t.toml:
    `dead_letter`: missing: [coordination.dynamodb] has no directory that a
    default file could be in
    = hint: a bucket, a queue or a stream; or a file on a disk that outlives the
            worker, and no other worker's: the disk of most containers goes with
            them
    = allowed: exactly one of [dead_letter.file], [dead_letter.s3] and the like:
               any kind of a sink but `null`

t.toml:4:9: `coordination.dynamodb.table`: "a/b" is no table's name
4 | table = 'a/b'
  |         ^^^^^
  = allowed: 3 to 255 letters, digits, `_`, `.` and `-`

t.toml:5:16:
    `coordination.dynamodb.create_table`: expected a boolean, found a string
5 | create_table = 'yes'
  |                ^^^^^

t.toml:6:17: `coordination.dynamodb.failover_time`: "500ms" is out of range
6 | failover_time = '500ms'
  |                 ^^^^^^^
  = allowed: 1s to 10m

t.toml:7:19: `coordination.dynamodb.handoff_timeout`: "11m" is out of range
7 | handoff_timeout = '11m'
  |                   ^^^^^
  = allowed: 1s to 10m

t.toml:8:10:
    `coordination.dynamodb.region`: "Dublin" has not the form of a Region
8 | region = 'Dublin'
  |          ^^^^^^^^
  = allowed: such as "eu-central-1"

t.toml:9:11: `coordination.dynamodb.profile`: is empty
9 | profile = ' '
  |           ^^^
  = hint: leave it out for the default

t.toml:10:16:
    `coordination.dynamodb.endpoint_url`: the URL begins with neither `http://`
    nor `https://`
    = allowed: such as "http://localhost:4567"

t.toml:11:24:
    `coordination.dynamodb.assume_role.role_arn`: the ARN does not begin with
    `arn:aws`
11 | assume_role.role_arn = 'r'
   |                        ^^^
   = allowed: an ARN such as "arn:aws:iam::123456789012:role/reader"
"#,
    );
    check(
        "[source.file]\npaths = ['-']\n[coordination.dynamodb]\n[sinks.a.stdout]\n[dead_letter.file]\npath = 7",
        r"
t.toml has 2 faults

t.toml:3:15: `coordination.dynamodb.table`: missing
3 | [coordination.dynamodb]
  |               ^^^^^^^^
  = hint: The table of the leases, which hold the positions: 3 to 255 letters,
          digits, `_`, `.` and `-`

t.toml:6:8: `dead_letter.file.path`: expected a string, found an integer
6 | path = 7
  |        ^",
    );
    check(
        "[source.file]\npaths = ['-']\n[coordination.dynamodb]\ntable = 'taps'\n[sinks.a.stdout]\n\
         [dead_letter.file]\npath = 'rejects'",
        r"
t.toml:3:15:
    `coordination.dynamodb`: has leases of shards, and `source.file` has no
    shards
3 | [coordination.dynamodb]
  |               ^^^^^^^^
  = allowed: [coordination.local], which is the default",
    );
    check(
        &format!("{FLEET}[coordination.local]\n"),
        r"
t.toml:5:15:
    `coordination.local`: a second kind of `coordination`, which has
    `coordination.dynamodb` already
5 | [coordination.local]
  |               ^^^^^
  = allowed: exactly one of [coordination.dynamodb], [coordination.local]",
    );
    check(
        &FLEET.replace("stream = 'bedrock'", "streams = ['arn:aws:kinesis:eu-west-1:123456789012:stream/x', 'y']"),
        r"
t.toml:2:14:
    `coordination.dynamodb`: the table's Region cannot be told from the streams'
2 | coordination.dynamodb.table = 'taps'
  |              ^^^^^^^^
  = hint: set [coordination.dynamodb] region",
    );
}

#[test]
fn destinations_are_checked_against_each_other() {
    check(
        "source.file.paths = ['in', 'state/*.gz']\ncoordination.local.directory = 'state'\n\
         sinks.a.file.path = 'out/x'\nsinks.b.file.path = './out/../out/x'\nsinks.c.file.path = 'in/out'\n\
         sinks.d.file.path = 'state/./a.gz'\nsinks.e.file = {path='state/',compression='gzip'}\nsinks.f.file.path = '-'\n\
         sinks.g.stdout = {}\nsinks.h.stdout = {}\nsinks.I.file.path = 'i'\nsinks.a-b.file.path = 'j'\n\
         sinks.a_b.file.path = 'k'\n[dead_letter.file]\npath = 'k'",
        r#"
t.toml has 9 faults

t.toml:4:21:
    `sinks.b.file.path`: `sinks.a.file.path` writes to this file already
4 | sinks.b.file.path = './out/../out/x'
  |                     ^^^^^^^^^^^^^^^^

t.toml:5:21:
    `sinks.c.file.path`: is read by the source too, through "in", so it would be
    fed to itself
5 | sinks.c.file.path = 'in/out'
  |                     ^^^^^^^^

t.toml:6:21:
    `sinks.d.file.path`: is read by the source too, through "state/*.gz", so it
    would be fed to itself
6 | sinks.d.file.path = 'state/./a.gz'
  |                     ^^^^^^^^^^^^^^

t.toml:7:22: `sinks.e.file.path`: names no file
7 | sinks.e.file = {path='state/',compression='gzip'}
  |                      ^^^^^^^^
  = allowed: a path that ends in a file's name

t.toml:8:21: `sinks.f.file.path`: names no file
8 | sinks.f.file.path = '-'
  |                     ^^^
  = hint: standard output is a kind of its own: `stdout`

t.toml:10:9:
    `sinks.h.stdout`: `sinks.g.stdout` writes to standard output already, and
    their lines would be mixed
10 | sinks.h.stdout = {}
   |         ^^^^^^

t.toml:11:7: `sinks.I`: the sink's name is not valid
11 | sinks.I.file.path = 'i'
   |       ^
   = allowed: 1 to 64 lower-case letters and digits, with single `-` and `_`
              between them, a letter first

t.toml:13:7:
    `sinks.a_b`: differs from `a-b` by `-` and `_` alone, so an environment
    variable could mean either
13 | sinks.a_b.file.path = 'k'
   |       ^^^

t.toml:15:8:
    `dead_letter.file.path`: `sinks.a_b.file.path` writes to this file already
15 | path = 'k'
   |        ^^^
"#,
    );
}

#[test]
fn the_default_dead_letter_is_a_destination_too() {
    check(
        "source.kinesis.stream = 'a'\nsinks.a.file.path = '/var/lib/bedrock-tap/dead-letter.jsonl'\n\
         sinks.b.file.path = '/var/lib/bedrock-tap'\nsinks.c.file.path = '/var/lib/bedrock-tap/positions.redb'\n\
         sinks.d.file = { path = 'x', compression = 'gzip' }\nsinks.e.file.path = 'x.gz'\nsinks.f.file.path = 'x'",
        r#"
t.toml has 4 faults

t.toml:
    `dead_letter`: rejects go to /var/lib/bedrock-tap/dead-letter.jsonl by
    default, and `sinks.a.file.path` writes to it
    = hint: set [dead_letter.file] path

t.toml:3:21: `sinks.b.file.path`: is the directory of the positions
3 | sinks.b.file.path = '/var/lib/bedrock-tap'
  |                     ^^^^^^^^^^^^^^^^^^^^^^
  = allowed: a file, which may be in it

t.toml:4:21: `sinks.c.file.path`: is the file of the positions
4 | sinks.c.file.path = '/var/lib/bedrock-tap/positions.redb'
  |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = allowed: another file

t.toml:6:21:
    `sinks.e.file.path`: `sinks.d.file.path` writes to this file already
6 | sinks.e.file.path = 'x.gz'
  |                     ^^^^^^
"#,
    );
}

#[test]
fn text_that_is_no_toml_is_shown_at_its_place() {
    check(
        "[source.kinesis\nstream = 'a'",
        r#"
t.toml:1:16: unclosed table, expected `]`
1 | [source.kinesis
  |                ^
"#,
    );
    check(
        "a = 1\n\ta = 'ü' é",
        r#"
t.toml has 2 faults

t.toml:2:2: duplicate key
2 |  a = 'ü' é
  |  ^

t.toml:2:10: unexpected key or value, expected newline, `#`
2 |  a = 'ü' é
  |          ^
"#,
    );
    check("api_token = \"hunter2", "t.toml:1:21: invalid basic string, expected `\"`");
    check(
        "\u{1b}[31m = 1",
        r#"
t.toml has 2 faults

t.toml:1:1: invalid unquoted key, expected letters, numbers, `-`, `_`
1 | �[31m = 1
  | ^

t.toml:1:2: key with no value, expected `=`
1 | �[31m = 1
  |  ^
"#,
    );
}

#[test]
fn paths_globs_and_times_are_checked() {
    check(
        "source.file.paths = ['a[', '', '-', '-']\nsinks.a.stdout = {}\nextract.log_groups = ['{a', 'b']",
        r#"
t.toml has 4 faults

t.toml:1:22:
    `source.file.paths[0]`: the pattern is not valid: unclosed character class;
    missing ']'
1 | source.file.paths = ['a[', '', '-', '-']
  |                      ^^^^
  = hint: a bracket that is meant as itself is written `[[]`

t.toml:1:28: `source.file.paths[1]`: the path is empty
1 | source.file.paths = ['a[', '', '-', '-']
  |                            ^^

t.toml:1:37: `source.file.paths[3]`: "-" stands here twice
1 | source.file.paths = ['a[', '', '-', '-']
  |                                     ^^^

t.toml:3:23:
    `extract.log_groups[0]`: the pattern is not valid: unclosed alternate group;
    missing '}' (maybe escape '{' with '[{]'?)
3 | extract.log_groups = ['{a', 'b']
  |                       ^^^^
"#,
    );
    check(
        &format!("source.kinesis.start = 2026-07-01T12:00:00\n{MINIMAL}"),
        r#"
t.toml:1:24:
    `source.kinesis.start`: expected "trim_horizon", "latest" or an RFC 3339
    time such as "2026-07-01T12:00:00Z", found "2026-07-01T12:00:00"
1 | source.kinesis.start = 2026-07-01T12:00:00
  |                        ^^^^^^^^^^^^^^^^^^^
"#,
    );
    check(
        &format!("source.kinesis.region = 'us-east-1'\n{MINIMAL}")
            .replace("'bedrock'", "'arn:aws:kinesis:eu-west-1:123456789012:stream/x'"),
        r#"
t.toml:1:25:
    `source.kinesis.region`: "us-east-1" is not the Region of the stream's ARN,
    eu-west-1
1 | source.kinesis.region = 'us-east-1'
  |                         ^^^^^^^^^^^
  = hint: leave it out: the ARN names it
"#,
    );
}

#[test]
fn a_long_line_is_shown_around_its_mark() {
    let long =
        format!("source.file = {{ paths = ['{}', 7, '{}'] }}\nsinks.a.stdout = {{}}", "x".repeat(100), "y".repeat(100));
    check(
        &long,
        r#"
t.toml:1:130: `source.file.paths[1]`: expected a string, found an integer
1 | …xxxxxxxxxxxxxxxxxxxxx', 7, 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
  |                          ^
"#,
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let config = parse(
        "[source.kinesis]\nstream = 'file'\n[sinks.my-sink.file]\npath = 'x'\n[panther]\nsource_id = 'a'",
        &[
            ("BEDROCK_TAP__SOURCE__KINESIS__STREAM", "123"),
            ("BEDROCK_TAP__Source__Kinesis__Assume_Role", "{ role_arn = 'arn:aws:iam::123456789012:role/r' }"),
            ("BEDROCK_TAP__SINKS__MY_SINK__FILE__PATH", "\"quoted path\""),
            ("BEDROCK_TAP__SINKS__OTHER__STDOUT__FORMAT", "text"),
            ("BEDROCK_TAP__DECODE__MAX_DEPTH", " 7 "),
            ("BEDROCK_TAP__PANTHER__UNMAPPED", "false"),
            ("BEDROCK_TAP__EXTRACT__LOG_GROUPS", "['/a/*', '/b']"),
            ("BEDROCK_TAP__SOURCE__KINESIS__START", "2026-07-01T12:00:00Z"),
            ("BEDROCK_TAP_LOG", "debug"),
            ("BEDROCK_TAP_", "x"),
            ("OTHER", "x"),
        ],
    )
    .unwrap();
    let Source::Kinesis(source) = &config.source else { panic!("{:?}", config.source) };
    assert_eq!(source.stream.as_deref(), Some("123"));
    assert_eq!(source.start, Start::At("2026-07-01T12:00:00Z".parse().unwrap()));
    assert_eq!(source.assume_role.as_ref().map(|role| role.session_name.as_str()), Some("bedrock-tap"));
    assert_eq!(
        config.sinks["my-sink"],
        Sink::File(Events { events: Taken::default(), to: FileSink::new("quoted path") })
    );
    assert_eq!(config.sinks["other"].format(), Format::Text);
    assert_eq!((config.decode.max_depth, config.panther.unmapped), (7, false));
    assert_eq!(config.extract.log_groups, ["/a/*", "/b"]);
}

#[test]
fn errors_name_the_variable() {
    check_with(
        MINIMAL,
        &[
            ("BEDROCK_TAP__LOG__LEVLE", "hunter2"),
            ("BEDROCK_TAP__LOG__FORMAT", "xml"),
            ("BEDROCK_TAP__log__format", "json"),
            ("BEDROCK_TAP__DRAIN_TIMEOUT", "30"),
            ("BEDROCK_TAP__SOURCE__KINESIS__STREAM__NAME", "x"),
            ("BEDROCK_TAP__SOURCE__KINESIS__ENDPOINT_URL", "http://u:hunter2@h"),
            ("BEDROCK_TAP__DECODE__MAX_EVENTS", "many"),
            ("BEDROCK_TAP__EXTRACT__LOG_GROUPS", "['a', 1]"),
            ("BEDROCK_TAP__", "x"),
        ],
        r#"
t.toml has 9 faults

environment variable BEDROCK_TAP__: `""`: no key of this name
    = allowed: alerts, bodies, coordination, cost, dead_letter, dead_letters,
               decode, detect, drain_timeout, extract, http, log, memory_budget,
               metrics, panther, redact, select, sinks, source

environment variable BEDROCK_TAP__DECODE__MAX_EVENTS:
    `decode.max_events`: expected an integer, found a string
    = allowed: 1 to 10000000

environment variable BEDROCK_TAP__DRAIN_TIMEOUT:
    `drain_timeout`: expected a duration with its unit, such as "500ms", "30s"
    or "1h30m" (ms, s, m, h, d); the unit is missing

environment variable BEDROCK_TAP__EXTRACT__LOG_GROUPS:
    `extract.log_groups[1]`: expected a string, found an integer

environment variable BEDROCK_TAP__LOG__FORMAT:
    `log.format`: "xml" is not allowed
    = allowed: "text", "json"

environment variable BEDROCK_TAP__LOG__LEVLE: `log.levle`: no key of `log`
    = hint: did you mean `level`?
    = allowed: format, level

environment variable BEDROCK_TAP__SOURCE__KINESIS__ENDPOINT_URL:
    `source.kinesis.endpoint_url`: the URL holds a user or a password, which has
    no place in a file
    = allowed: such as "http://localhost:4567"

environment variable BEDROCK_TAP__SOURCE__KINESIS__STREAM__NAME:
    `source.kinesis.stream` is no table, so nothing can be set in it

environment variable BEDROCK_TAP__log__format:
    sets the same key as BEDROCK_TAP__LOG__FORMAT
"#,
    );
    let environment: Environment =
        [("BEDROCK_TAP__LOG__LEVEL", "hunter2"), ("AWS_SECRET_ACCESS_KEY", "hunter2")].into_iter().collect();
    assert!(!format!("{environment:?}").contains("hunter2"), "{environment:?}");
}

#[test]
fn a_file_with_thousands_of_faults_is_told_in_brief() {
    let text: String = (0..20_000).map(|n| format!("k{n} = 1\n")).collect();
    let error = parse(&text, &[]).unwrap_err();
    assert!(error.ends_with("\n\nand 19977 more"), "{}", &error[error.len() - 200..]);
}

proptest! {
    /// Whatever is in a file, it is read or refused, and every place that an error shows is in it.
    #[test]
    fn any_text_is_read_or_refused(at in any::<prop::sample::Index>(), insert in "[\\PC\\n\t\"'=\\[\\]{}.,#]{0,8}", cut in 0_usize..40) {
        let example = include_str!("../config/example.toml").replace("\n#", "\n");
        let mut text: Vec<char> = example.chars().collect();
        let start = at.index(text.len());
        let end = (start + cut).min(text.len());
        text.splice(start..end, insert.chars());
        let text: String = text.into_iter().collect();
        if let Err(error) = parse(&text, &[("BEDROCK_TAP__LOG__LEVEL", insert.as_str())]) {
            prop_assert!(!error.is_empty());
        }
    }
}

/// A part of the schema with its references followed: keywords of the referring part win.
fn resolve(schema: &Value, node: &Value) -> Value {
    let mut node = node.clone();
    while let Some(reference) = node["$ref"].as_str().map(|text| text.trim_start_matches('#').to_owned()) {
        let object = node.as_object_mut().unwrap();
        object.remove("$ref");
        for (key, value) in schema.pointer(&reference).unwrap().as_object().unwrap() {
            object.entry(key).or_insert(value.clone());
        }
    }
    node
}

/// Every key and table header of the schema by its path, with the part that documents it.
fn documented(schema: &Value, node: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    let node = resolve(schema, node);
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for choice in node["oneOf"].as_array().into_iter().flatten() {
        for (key, value) in choice["properties"].as_object().into_iter().flatten() {
            let mut kind = value.clone();
            kind["description"] = choice["description"].clone();
            documented(schema, &kind, &below(key), found);
        }
    }
    for (key, value) in node["properties"].as_object().into_iter().flatten() {
        documented(schema, value, &below(key), found);
    }
    let holds_map = node["additionalProperties"].is_object() && node["additionalProperties"]["type"] != "string";
    if holds_map {
        // The tables of a map are documented by the map.
        let mut any = node["additionalProperties"].clone();
        any["description"] = node["description"].clone();
        documented(schema, &any, &below("NAME"), found);
    }
    let holds_tables = node["oneOf"][0]["properties"].is_object() || holds_map;
    if !path.is_empty() && !holds_tables {
        found.insert(path.to_owned(), node);
    }
}

/// Leaves of the keys that several kinds of sinks share the first kind's in the example's order, and none of the dead
/// letters', which are those of the sinks. What differs in its documentation stands.
fn without_repeated(expected: &mut BTreeMap<String, Value>) {
    let description = |node: &Value| node["description"].as_str().unwrap_or_default().to_owned();
    let kinds =
        ["stdout", "file", "s3", "firehose", "kinesis", "sqs", "http", "splunk_hec", "elasticsearch", "otlp", "null"];
    let mut seen = BTreeSet::new();
    for table in kinds.iter().map(|kind| format!("sinks.NAME.{kind}.")).chain(["dead_letter".to_owned()]) {
        expected.retain(|path, node| {
            // The dead letters that are not a sink's kind with keys of its own are referred to as a whole.
            if is_further(path) || table == "dead_letter" && is_as_a_sink(path) {
                return false;
            }
            let Some(key) = path.strip_prefix(&table) else { return true };
            table == "dead_letter" || seen.insert((key.to_owned(), description(node)))
        });
    }
    expected.retain(|path, _| path != "dead_letters" && !is_of_other_alerts(path));
}

/// Whether the path is of a sink of alerts, but for those of one kind that sinks of events do not have.
fn is_of_other_alerts(path: &str) -> bool {
    let own = ["format", "rules", "severity", "routing_key.env", "routing_key.file"];
    let key = path.strip_prefix("alerts.NAME.http");
    path.starts_with("alerts.") && !key.is_some_and(|key| key.is_empty() || own.contains(&&key[1..]))
}

/// Whether the path is of a further dead letter, of which one is shown.
fn is_further(path: &str) -> bool {
    path.strip_prefix("dead_letters.").is_some_and(|path| path != "NAME.file" && path != "NAME.file.path")
}

/// Whether the path is of a dead letter that is described as a sink of its kind is.
fn is_as_a_sink(path: &str) -> bool {
    let kind = path.strip_prefix("dead_letter.").and_then(|path| path.split('.').next());
    kind.is_some_and(|kind| !["file", "stdout"].contains(&kind))
}

/// An entry of the example: a key with its value, or a header.
struct Entry {
    path: String,
    comment: String,
    value: Option<Value>,
    alternative: bool,
}

/// Reads the example by its own rules: a `#` without a space makes an alternative, one with a space a comment.
fn entries(text: &str) -> Vec<Entry> {
    let (mut found, mut comment, mut table) = (Vec::new(), Vec::new(), String::new());
    for line in text.lines() {
        if let Some(words) = line.strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        let (alternative, line) = line.strip_prefix('#').map_or((false, line), |line| (true, line));
        let comment = std::mem::take(&mut comment).join(" ");
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let mut steps: Vec<&str> = header.split('.').collect();
            match steps[..] {
                ["sinks" | "redact" | "dead_letters" | "alerts", ..] => steps[1] = "NAME",
                ["source", "kinesis", "account_roles", _] => steps[3] = "NAME",
                // Model ids have dots.
                ["cost", "models", ..] => steps = vec!["cost", "models", "NAME"],
                _ => {}
            }
            table = steps.join(".");
            found.push(Entry { path: table.clone(), comment, value: None, alternative });
        } else if let Some((key, value)) = line.split_once(" = ") {
            // A map of texts counts as one key.
            let mut steps: Vec<&str> = key.split('.').collect();
            match steps[..] {
                ["patterns" | "headers" | "resource" | "dimensions", ..] => steps.truncate(1),
                ["secret_headers", _, _] => steps[1] = "NAME",
                _ => {}
            }
            let key = steps.join(".");
            let path = if table.is_empty() { key } else { format!("{table}.{key}") };
            let value: toml::Table = toml::from_str(&format!("value = {value}")).unwrap();
            let value = Some(serde_json::to_value(&value["value"]).unwrap());
            found.push(Entry { path, comment, value, alternative });
        } else {
            assert!(line.is_empty(), "neither a key, nor a header, nor a comment: {line:?}");
        }
    }
    found
}

const EXAMPLE: &str = include_str!("../config/example.toml");

#[test]
fn the_example_has_every_key_with_its_documentation_and_default() {
    let schema = Config::json_schema();
    let mut expected = BTreeMap::new();
    documented(&schema, &schema, "", &mut expected);
    let mut demanded = expected.clone();
    without_repeated(&mut demanded);
    let entries = entries(EXAMPLE);
    let found: BTreeSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    let missing: Vec<_> = demanded.keys().filter(|key| !found.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "the example lacks {missing:?}");
    let strange: Vec<_> = found.iter().filter(|key| !expected.contains_key(**key)).collect();
    assert!(strange.is_empty(), "the schema lacks {strange:?}");
    for entry in &entries {
        let node = &expected[&entry.path];
        assert_eq!(entry.comment, node["description"].as_str().unwrap(), "the comment of {}", entry.path);
        if let (Some(value), Some(default)) = (&entry.value, node.get("default")) {
            assert!(entry.alternative, "{} is set though it has a default", entry.path);
            assert_eq!(value, default, "the default of {}", entry.path);
        }
    }
}

#[test]
fn the_example_is_valid_as_it_is_and_with_each_alternative() {
    let plain = parse(EXAMPLE, &[]).unwrap();
    let minimal = MINIMAL.replace("'bedrock'", "'bedrock-invocations'");
    assert_eq!(plain, parse(&minimal, &[]).unwrap(), "the example sets more than it shows");
    // A file has one source, of one stream or of several, one coordination and one dead letter, and one part of it may
    // write to standard output.
    let local = "coordination.local";
    for (source, stream, coordination) in [
        ("source.kinesis", "stream", local),
        ("source.kinesis", "streams", "coordination.dynamodb"),
        ("source.file", "", local),
        ("source.cloudwatch", "", local),
        ("source.s3", "", local),
        ("source.s3.list", "", local),
        ("source.firehose", "", local),
    ] {
        for dead_letter in ["dead_letter.file", "dead_letter.stdout"] {
            let (mut kept, mut section) = (true, "");
            let mut text = String::new();
            for line in EXAMPLE.lines().filter(|line| !line.starts_with("# ") && *line != "#") {
                let line = line.strip_prefix('#').unwrap_or(line);
                if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                    section = header.split('.').next().unwrap();
                    kept = match section {
                        "source" => {
                            let is_other_way = source == "source.s3" && header == "source.s3.list"
                                || stream == "stream" && header.contains("account_roles");
                            header.starts_with(source) && !is_other_way
                        }
                        "coordination" => header.starts_with(coordination),
                        "dead_letter" => header == dead_letter,
                        // A sink is let in in one way: the first is tried here.
                        "sinks" => {
                            (dead_letter != "dead_letter.stdout" || !header.ends_with("stdout"))
                                && (!header.contains(".auth.") || header.ends_with(".auth.bearer"))
                        }
                        _ => true,
                    };
                }
                let is_other = |key: &&str| *key != stream && line.starts_with(&format!("{key} = "));
                let other_stream = section == "source" && ["stream", "streams"].iter().any(is_other);
                // A secret is in one place, a URL is secret or not, labels are for Loki alone, and a routing key for
                // PagerDuty.
                let key = line.split(" = ").next().unwrap();
                // Metrics go to standard error beside a sink that writes to standard output, and to no agent.
                let is_target = section == "metrics" && key == "target";
                let line = if is_target { "target = \"stderr\"" } else { line };
                let other_way = key.ends_with(".file")
                    || section == "metrics" && key == "log_group"
                    || ["secret_url.", "routing_key."].iter().any(|way| key.starts_with(way))
                    || key == "labels";
                if kept && !other_stream && !other_way {
                    text.push_str(line);
                    text.push('\n');
                }
            }
            let config = parse(&text, &[]).unwrap_or_else(|error| panic!("{source}, {dead_letter}: {error}\n{text}"));
            assert!(config.dead_letter.is_some());
            assert_eq!(matches!(config.source, Source::File(_)), source == "source.file");
            assert_eq!(matches!(config.coordination, Coordination::Local(_)), coordination == local);
            assert_eq!(matches!(&config.source, Source::Kinesis(source) if source.is_multi()), stream == "streams");
        }
    }
}

#[test]
fn the_small_examples_are_valid() {
    let mut count = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            parse(&text, &[]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            count += 1;
        }
    }
    assert!(count >= 6, "{count} files found");
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"));
    command.args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn check_says_what_would_run_or_exits_64() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    let file = path.to_str().unwrap();
    let expect = |text: &[u8], variables: &[(&str, &str)], code: i32, stdout: &str, stderr: &str| {
        std::fs::write(&path, text).unwrap();
        let output = run(&["check", "--config", file], variables);
        let found = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(file, "FILE");
        assert_eq!((found(&output.stdout).as_str(), found(&output.stderr).as_str()), (stdout, stderr));
        assert_eq!(output.status.code(), Some(code));
    };
    let summary = "source       Kinesis stream bedrock, by polling; new shards from trim_horizon\n\
                   sink         console: standard output, panther\n\
                   dead letter  file /var/lib/bedrock-tap/dead-letter.jsonl, JSON lines, a new one after 256 MiB or \
                   1d (the default)\n\
                   positions    in the directory /var/lib/bedrock-tap\n";
    expect(MINIMAL.as_bytes(), &[], 0, summary, "");
    expect(
        format!("{MINIMAL}[log]\nlevel = 1").as_bytes(),
        &[],
        64,
        "",
        "error: FILE:4:9: `log.level`: expected a string, found an integer\n4 | level = 1\n  |         ^\n  \
         = allowed: \"error\", \"warn\", \"info\", \"debug\", \"trace\"\n",
    );
    expect(
        MINIMAL.as_bytes(),
        &[("BEDROCK_TAP__LOG", "loud")],
        64,
        "",
        "error: environment variable BEDROCK_TAP__LOG: `log`: expected a table, found a string\n",
    );
    expect(b"a = 1\n\xff", &[], 64, "", "error: FILE: is not UTF-8 in line 2\n");
    let large = vec![b'#'; (1 << 20) + 1];
    expect(&large, &[], 64, "", "error: FILE: is no configuration: over 1048576 bytes\n");
    let missing = run(&["check", "--config", "no-such-file"], &[]);
    assert_eq!(missing.status.code(), Some(64));
    let message = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(message, "error: no-such-file: cannot be read: No such file or directory (os error 2)\n");
}

#[test]
fn check_finds_sinks_in_no_region() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    let file = path.to_str().unwrap();
    let profiles = directory.path().join("profiles");
    std::fs::write(&profiles, "[default]\n[profile lake]\nregion = eu-west-1\n").unwrap();
    let profiles = ("AWS_CONFIG_FILE", profiles.to_str().unwrap());
    // A test on an instance of EC2 is as one elsewhere.
    let here = ("AWS_EC2_METADATA_DISABLED", "true");
    let check = |sink: &str, variables: &[(&str, &str)], expected: Option<&str>| {
        std::fs::write(&path, format!("{MINIMAL}{sink}\n")).unwrap();
        let output = run(&["check", "--config", file], &[&[here, profiles], variables].concat());
        let found = String::from_utf8_lossy(&output.stderr).replace(file, "t.toml");
        let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(output.status.code(), Some(if expected.is_some() { 64 } else { 0 }), "{sink}: {found}");
        assert!(found.contains(expected.unwrap_or_default()), "{sink}: {found}");
    };
    let s3 = "[sinks.lake.s3]\nbucket = 'lake'";
    let none = "t.toml:3:13: `sinks.lake.s3.region`: missing: neither `AWS_REGION` nor the AWS profile names one here \
                3 | [sinks.lake.s3] | ^^ = hint: write it here, or set AWS_REGION";
    check(s3, &[], Some(none));
    check(s3, &[("AWS_REGION", "eu-west-1")], None);
    check(s3, &[("AWS_DEFAULT_REGION", "eu-west-1")], None);
    check(s3, &[("AWS_PROFILE", "lake")], None);
    check(&format!("{s3}\nregion = 'eu-west-1'"), &[], None);
    check(&format!("{s3}\nprofile = 'lake'"), &[], None);
    check(&format!("{s3}\nprofile = 'other'"), &[], Some("nor the profile \"other\" names one"));
    check("[sinks.a.firehose]\nstream = 'a'", &[], Some("`sinks.a.firehose.region`: missing"));
    check("[sinks.a.kinesis]\nstream = 'a'", &[], Some("`sinks.a.kinesis.region`: missing"));
    check("[sinks.a.kinesis]\nstream = 'arn:aws:kinesis:eu-west-1:123456789012:stream/a'", &[], None);
    check("[sinks.a.sqs]\nqueue_url = 'http://localhost/123456789012/a'", &[], Some("`sinks.a.sqs.region`: missing"));
    check("[sinks.a.sqs]\nqueue_url = 'https://sqs.eu-west-1.amazonaws.com/123456789012/a'", &[], None);
    check("[sinks.a.http]\nurl = 'https://a'", &[], None);
    let signed = "auth.sigv4.service = 'es'";
    check(
        &format!("[sinks.a.http]\nurl = 'https://a'\n{signed}"),
        &[],
        Some("`sinks.a.http.auth.sigv4.region`: missing"),
    );
    let search = format!("[sinks.a.elasticsearch]\nurls = ['https://a']\n{signed}");
    check(&search, &[], Some("`sinks.a.elasticsearch.auth.sigv4.region`: missing"));
    check("[dead_letter.s3]\nbucket = 'lake'", &[], Some("`dead_letter.s3.region`: missing"));
    check("[dead_letters.b.sqs]\nqueue_url = 'http://a/b'", &[], Some("`dead_letters.b.sqs.region`: missing"));
    let unreadable = format!("{s3}\nregion = 7");
    check(&unreadable, &[], Some("t.toml:5:10: `sinks.lake.s3.region`: expected a string, found an integer"));
}

#[test]
fn colours_are_escape_sequences_around_the_same_text() {
    let error = Config::parse("a = 1", "t.toml", &Environment::default()).unwrap_err();
    let coloured = error.render(Look { width: 80, colours: true });
    assert!(coloured.contains("\u{1b}[1mt.toml:1:1:\u{1b}[0m"), "{coloured:?}");
    let mut plain = String::new();
    for part in coloured.split('\u{1b}') {
        plain.push_str(part.split_once('m').filter(|_| part.starts_with('[')).map_or(part, |(_, text)| text));
    }
    assert_eq!(plain, error.render(Look { width: 80, colours: false }));
}

#[test]
fn policies_of_redaction_are_checked() {
    let with = |sink: &str, policies: &str| {
        format!("source.kinesis.stream = 'a'\nsinks.console.stdout.redact = '{sink}'\n{policies}")
    };
    let valid = with("chat", "[redact.chat]\nbodies = 'hash'\nkey = { env = 'KEY' }\npatterns.ticket = 'T-[0-9]+'");
    let config = parse(&valid, &[]).unwrap();
    assert_eq!(config.sinks["console"].redact(), Some("chat"));
    assert_eq!(config.redact["chat"].key, Some(Secret::Env("KEY".into())));
    assert_eq!(config.redact["chat"].detect.len(), 11);
    check(
        &with("chta", "[redact.chat]\n[redact.other]"),
        r#"
t.toml:2:31: `sinks.console.stdout.redact`: there is no [redact.chta]
2 | sinks.console.stdout.redact = 'chta'
  |                               ^^^^^^
  = hint: did you mean "chat"?
  = allowed: [redact.chat], [redact.other]
"#,
    );
    check(
        &with("chat", ""),
        r#"
t.toml:2:31: `sinks.console.stdout.redact`: there is no [redact.chat]
2 | sinks.console.stdout.redact = 'chat'
  |                               ^^^^^^
  = allowed: none; no policy is configured
"#,
    );
    check(
        &with("chat", "[redact.chat]\nbodies = 'hash'"),
        r#"
t.toml:3:9: `redact.chat.key`: missing: `bodies = "hash"` needs a key
3 | [redact.chat]
  |         ^^^^
  = hint: a key from the environment, `{ env = "NAME" }`, or a file, `{ file =
          "path" }`
"#,
    );
    check(
        &with("chat", "[redact.chat]\nkey = { value = 'topsecret' }"),
        r#"
t.toml:4:9: `redact.chat.key.value`: no kind of `redact.chat.key`
4 | … value = …
  |   ^^^^^
  = allowed: env, file
"#,
    );
    check(
        &with("chat", "[redact.chat]\nkey = 'hidden by mistake'"),
        r#"
t.toml:4:7: `redact.chat.key`: expected a table, found a string
    = hint: a secret is never written here: `{ env = "NAME" }` or `{ file =
            "path" }`
"#,
    );
    check(
        &with("chat", "[redact.chat]\ndetect = ['e-mail']"),
        r#"
t.toml:4:11: `redact.chat.detect[0]`: "e-mail" is not allowed
4 | detect = ['e-mail']
  |           ^^^^^^^^
  = hint: did you mean "email"?
  = allowed: "aws_access_key", "aws_secret_key", "bedrock_api_key",
             "private_key", "token", "email", "phone", "card", "iban", "ssn",
             "ip"
"#,
    );
    check(
        &with(
            "chat",
            "[redact.chat.patterns]\nemail = 'x'\n'a b' = 'x'\nopen = '(a'\nlook = 'a(?=b)'\nbig = '(a{1000}){1000}'",
        ),
        r#"
t.toml has 5 faults

t.toml:4:1: `redact.chat.patterns.email`: is the name of a built-in detector
4 | email = 'x'
  | ^^^^^
  = allowed: another name

t.toml:5:1: `redact.chat.patterns."a b"`: the mask's name is not valid
5 | 'a b' = 'x'
  | ^^^^^
  = allowed: 1 to 64 letters, digits, `_` and `-`

t.toml:6:8: `redact.chat.patterns.open`: the regex is not valid: unclosed group
6 | open = '(a'
  |        ^^^^

t.toml:7:8:
    `redact.chat.patterns.look`: the regex is not valid: look-around, including
    look-ahead and look-behind, is not supported
7 | look = 'a(?=b)'
  |        ^^^^^^^^

t.toml:8:7: `redact.chat.patterns.big`: the regex is too large
8 | big = '(a{1000}){1000}'
  |       ^^^^^^^^^^^^^^^^^
"#,
    );
}

#[test]
fn sinks_are_called_by_what_people_know_and_quantities_have_their_lines() {
    let check = |sink: &str, expected: &[&str]| {
        let text = format!("{MINIMAL}{sink}\n");
        let error = Config::parse(&text, "t.toml", &Environment::default()).unwrap_err().to_string();
        let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(expected.iter().all(|part| error.contains(part)), "{error}");
    };
    check("[sinks.a.splunk]\nurl = 'a'", &["no kind of `sinks.a`", "did you mean `splunk_hec`?"]);
    check("[sinks.a.opensearch]\nurls = ['a']", &["did you mean `elasticsearch`?"]);
    check("[sinks.a.Datadog]\nurl = 'a'", &["did you mean `http`?"]);
    check("[dead_letter.minio]", &["did you mean `s3`?"]);
    check("[dead_letter.nothing]", &["no kind of `dead_letter` 3 |", "= allowed: elasticsearch, file"]);
    let quantities = "[sinks.a.s3]\nbucket = 'abc'\nobject_size = '64 mb'\nobject_age = '-5s'\nconcurrency = '4'";
    check(
        quantities,
        &[
            "3 faults",
            "t.toml:5:15: `sinks.a.s3.object_size`: expected a size",
            "\"mb\" is none of its units",
            "t.toml:6:14: `sinks.a.s3.object_age`: expected a duration",
            "t.toml:7:15: `sinks.a.s3.concurrency`: expected an integer",
        ],
    );
    let same = "[sinks.a.s3]\nbucket = 'abc'\n[dead_letter.s3]\nbucket = 'abc'";
    check(same, &["t.toml:5:14: `dead_letter.s3.prefix`", "`sinks.a.s3` writes objects with this prefix"]);
}
