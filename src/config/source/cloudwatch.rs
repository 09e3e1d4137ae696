//! The cloudwatch source's keys.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws;
use crate::config::AwsAccess;
use crate::config::document::{KeyPath, Problem};
use crate::config::start::Start;
use crate::config::units::{DurationText, duration, format_duration, shortened};
use crate::config::validate;
use crate::source::cloudwatch::client::Group;

/// The most log groups of one source: they share the calls of one account and Region.
const MAX_GROUPS: usize = 10;
/// What a log group is named by. Source: the CloudWatch Logs API reference, `CreateLogGroup`.
const GROUP: &str = "a name of 1 to 512 letters, digits, `_`, `-`, `/`, `.` and `#`, or an ARN such as \
    \"arn:aws:logs:eu-central-1:123456789012:log-group:/aws/bedrock/invocations\"";

/// Log groups, read by the API of CloudWatch Logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CloudwatchSource {
    /// The log groups, each by its name or its ARN, 1 to 10, all of one Region. One of an account that this one monitors
    /// is named by its ARN. Positions are kept under what is written here: a log group that is named otherwise begins at
    /// `start` again.
    #[schemars(length(min = 1, max = 10))]
    pub log_groups: Vec<String>,
    /// How events come: `poll` (FilterLogEvents, in rounds: nothing is lost, events are `lag` old) or `live`
    /// (StartLiveTail: events come within seconds; what a session leaves out comes as with `poll`, and so does everything
    /// where there is no session). Default: `poll`, because it needs one right only, and AWS charges sessions by the
    /// minute. A session gives no event ids: with `live`, a record without a request id bears the id of its text, and
    /// another one than with `poll`.
    #[serde(default)]
    pub mode: CloudwatchMode,
    /// Where a log group is read from that has no stored position: `latest` (what is written after the start),
    /// `trim_horizon` (its oldest event), or an RFC 3339 time. Default: `latest`, because a log group may hold the events
    /// of years, at 1 MB a call.
    #[serde(default = "default_start")]
    pub start: Start,
    /// The pause between two rounds of `poll`, each of which reads what has come, `1s` to `1h`; `live` has no rounds.
    /// Default: `10s`, so that ten log groups take one or two of the five calls a second.
    #[serde(default = "default_interval", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub interval: Duration,
    /// How old events are when they are read, `0s` to `1h`. Default: `1m`, because events are there some time after the
    /// time that they bear; what comes later than this waits for `lookback`.
    #[serde(default = "default_lag", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "0s", "x-maximum" = "1h"))]
    pub lag: Duration,
    /// How much later each stretch of time is read once more, for events that came later than `lag`, `0s` to `1d`; `0s`
    /// reads it once. An event that comes later than both together is not delivered. The position follows the second
    /// reading: what is younger is delivered again after a restart, with the same event ids. Default: `15m`, which is
    /// far more than events take unless something is wrong, and a restart repeats little.
    #[serde(default = "default_lookback", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "0s", "x-maximum" = "1d"))]
    pub lookback: Duration,
    /// Calls a second, over all log groups, 1 to 100. Default: 4, which leaves one of the five that FilterLogEvents
    /// takes in an account and Region to others; set more where AWS raised that quota.
    #[serde(default = "default_calls_per_second")]
    #[schemars(range(min = 1, max = 100))]
    pub calls_per_second: u32,
    /// What events have to match, in CloudWatch Logs' filter pattern syntax, 1 to 1024 characters, such as
    /// `{ $.schemaType = "ModelInvocationLog" }`. Default: none, because what does not match is neither read nor counted,
    /// also where it is an invocation of a shape that the pattern does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub filter_pattern: Option<String>,
    /// How CloudWatch Logs is reached.
    #[serde(flatten)]
    pub aws: AwsAccess,
}

/// How events come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CloudwatchMode {
    /// By FilterLogEvents, in rounds.
    #[default]
    Poll,
    /// By StartLiveTail.
    Live,
}

fn default_start() -> Start {
    Start::Latest
}

fn default_interval() -> Duration {
    Duration::from_secs(10)
}

fn default_lag() -> Duration {
    Duration::from_secs(60)
}

fn default_lookback() -> Duration {
    Duration::from_secs(15 * 60)
}

fn default_calls_per_second() -> u32 {
    4
}

impl CloudwatchSource {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.aws.check(at, problems);
        let many = at.key("log_groups");
        if self.log_groups.len() > MAX_GROUPS {
            let message = format!("has {} log groups", self.log_groups.len());
            problems.push(Problem::key(many.clone(), message).allowed(format!("1 to {MAX_GROUPS}")));
        }
        for (index, text) in self.log_groups.iter().take(MAX_GROUPS).enumerate() {
            let (at_item, group) = (many.index(index), Group::of(text));
            if self.log_groups[..index].iter().any(|earlier| Group::of(earlier) == group) {
                problems.push(Problem::value(at_item, format!("{} stands here twice", shortened(text))));
            } else if let Err(message) = check_group(text, &group) {
                problems.push(Problem::value(at_item, message).allowed(GROUP));
            } else if let (Some(region), Some(of_all)) = (group.region.as_deref(), self.region())
                && region != of_all
            {
                let message = format!("{region} is not the Region of the source, {of_all}");
                let hint = "a source reads log groups of one Region: run another process for the others";
                problems.push(Problem::value(at_item, message).hint(hint));
            }
        }
    }

    /// The Region that the configuration names, by itself or in the first ARN of a log group.
    pub fn region(&self) -> Option<&str> {
        // Behind `arn`, partition and service.
        let mut of_arns = self.log_groups.iter().filter_map(|group| match Group::of(group).region {
            Some(_) => group.split(':').nth(3).filter(|region| !region.is_empty()),
            None => None,
        });
        self.aws.region.as_deref().or_else(|| of_arns.next())
    }

    /// What the service's client is told.
    pub fn access(&self) -> aws::Access {
        aws::Access { region: self.region().map(str::to_owned), ..self.aws.access() }
    }

    /// What is read, a line each, for `bedrock-tap check`.
    pub fn describe(&self) -> Vec<String> {
        let lag = format_duration(self.lag);
        let again = match self.lookback {
            Duration::ZERO => String::new(),
            lookback => format!(", and again {} later", format_duration(lookback)),
        };
        let how = match self.mode {
            CloudwatchMode::Poll => format!("every {}, events {lag} old{again}", format_duration(self.interval)),
            CloudwatchMode::Live => format!("live, what that leaves out {lag} old{again}"),
        };
        let reached = AwsAccess { region: self.region().map(str::to_owned), ..self.aws.clone() }.describe();
        let line = |group: &String| format!("log group {group}{reached}, from {}, {how}", self.start);
        self.log_groups.iter().map(line).collect()
    }
}

/// Finds what is wrong with the form of a log group's name or ARN.
pub(crate) fn check_group(text: &str, group: &Group) -> Result<(), String> {
    if text.starts_with("arn:") {
        let arn = validate::arn(text, "logs")?;
        if group.region.is_none() || !validate::is_region(arn.region) {
            return Err("the ARN is not one of a log group".to_owned());
        }
    }
    let name = &*group.name;
    if validate::is_name(name, 512, b"_-/.#") {
        Ok(())
    } else {
        Err(format!("{} is no log group's name", shortened(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, Source};

    fn parse(section: &str) -> Result<CloudwatchSource, String> {
        let text = format!("[source.cloudwatch]\n{section}\n[sinks.a.stdout]\n");
        match Config::parse(&text, "t.toml", &Environment::default()).map_err(|error| error.to_string())?.source {
            Source::Cloudwatch(source) => Ok(*source),
            other => Err(other.kind().to_owned()),
        }
    }

    #[test]
    fn what_cannot_work_is_found_offline() {
        let check = |section: &str, expected: &[&str]| match parse(section) {
            Ok(_) => assert!(expected.is_empty(), "{section} is valid"),
            Err(error) => {
                assert!(!expected.is_empty() && expected.iter().all(|part| error.contains(part)), "{section}: {error}");
            }
        };
        let arn = |region: &str, name: &str| format!("arn:aws:logs:{region}:123456789012:log-group:{name}");
        check("log_groups = ['/aws/bedrock', 'a.b#c_d-e']", &[]);
        check(&format!("log_groups = ['{}:*', '/aws/bedrock']", arn("eu-west-1", "/aws/bedrock")), &[]);
        check("", &["`source.cloudwatch.log_groups`: missing"]);
        check("log_groups = []", &["`source.cloudwatch.log_groups`: is empty"]);
        let eleven: Vec<_> = (0..11).map(|number| format!("'g{number}'")).collect();
        check(&format!("log_groups = [{}]", eleven.join(", ")), &["`source.cloudwatch.log_groups`", "1 to 10"]);
        check("log_groups = ['a', 'b', 'a']", &["`source.cloudwatch.log_groups[2]`", "stands here twice"]);
        let twice = format!("log_groups = ['{0}', '{0}:*']", arn("eu-west-1", "a"));
        check(&twice, &["`source.cloudwatch.log_groups[1]`", "stands here twice"]);
        for (text, part) in [
            ("", "no log group's name"),
            ("a b", "no log group's name"),
            ("a:b", "no log group's name"),
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/a", "not one of logs"),
            ("arn:aws:logs:eu-west-1:1234:log-group:a", "not 12 digits"),
            ("arn:aws:logs:eu-west-1:123456789012:destination:a", "not one of a log group"),
            ("arn:aws:logs::123456789012:log-group:a", "not one of a log group"),
            ("arn:aws:logs:eu-west-1:123456789012:log-group:", "no log group's name"),
            ("arn:aws:logs:eu-west-1:123456789012:log-group:a:log-stream:b", "no log group's name"),
        ] {
            check(&format!("log_groups = ['{text}']"), &["`source.cloudwatch.log_groups[0]`", part, "such as"]);
        }
        let regions = format!("log_groups = ['{}', '{}']", arn("eu-west-1", "a"), arn("eu-west-2", "a"));
        check(&regions, &["`source.cloudwatch.log_groups[1]`", "eu-west-2 is not the Region of the source, eu-west-1"]);
        let region = format!("log_groups = ['{}']\nregion = 'us-east-1'", arn("eu-west-1", "a"));
        check(&region, &["`source.cloudwatch.log_groups[0]`", "eu-west-1 is not the Region of the source, us-east-1"]);
        let keys = |text: &str| format!("log_groups = ['a']\n{text}");
        check(&keys("filter_pattern = ''"), &["`source.cloudwatch.filter_pattern`", "has 0 characters"]);
        check(&keys(&format!("filter_pattern = '{}'", "é".repeat(1024))), &[]);
        check(
            &keys(&format!("filter_pattern = '{}'", "e".repeat(1025))),
            &["`source.cloudwatch.filter_pattern`", "1025"],
        );
        check(&keys("mode = 'fast'"), &["`source.cloudwatch.mode`", "poll", "live"]);
        check(&keys("interval = '100ms'"), &["`source.cloudwatch.interval`", "out of range"]);
        check(&keys("lag = '2h'"), &["`source.cloudwatch.lag`", "out of range"]);
        check(&keys("lookback = '25h'"), &["`source.cloudwatch.lookback`", "out of range"]);
        check(&keys("calls_per_second = 0"), &["`source.cloudwatch.calls_per_second`", "out of range"]);
        check(&keys("start = 'now'"), &["`source.cloudwatch.start`", "trim_horizon"]);
        check(&keys("lagg = '1m'"), &["`source.cloudwatch.lagg`", "`lag`"]);
        check(
            &keys("[coordination.dynamodb]\ntable = 'taps'\n[dead_letter.stdout]"),
            &["`coordination.dynamodb`", "`source.cloudwatch` has no shards", "[coordination.local]"],
        );
    }

    #[test]
    fn what_is_read_is_told() {
        let source = parse("log_groups = ['/aws/bedrock']").unwrap();
        assert_eq!(
            source.describe(),
            ["log group /aws/bedrock, from latest, every 10s, events 1m old, and again 15m later"]
        );
        assert_eq!(source.region(), None);
        let arn = "arn:aws:logs:eu-west-1:123456789012:log-group:b";
        let source = parse(&format!(
            "log_groups = ['a', '{arn}']\nlookback = '0s'\nstart = 'trim_horizon'\nmode = 'live'\n\
             endpoint_url = 'http://localhost:1'"
        ));
        let source = source.unwrap();
        assert_eq!(
            source.describe(),
            [
                "log group a in eu-west-1, at http://localhost:1, from trim_horizon, live, what that leaves out 1m old",
                &format!(
                    "log group {arn} in eu-west-1, at http://localhost:1, from trim_horizon, live, what that leaves out 1m old"
                ),
            ]
        );
        assert_eq!(source.access().region.as_deref(), Some("eu-west-1"));
    }
}
