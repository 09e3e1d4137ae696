//! The sqs sink's keys.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AwsAccess, Batching, Destination, WithoutRegion};
use crate::config::document::{KeyPath, Problem};
use crate::config::units::shortened;
use crate::config::validate;
use crate::format::Format;
use crate::format::key::Template;
use crate::sink::Planned;
use crate::sink::sqs::{self, LIMITS, MAX_BYTES};

/// How long a request may take: 1 MiB at 1 Mbit/s, and what SQS needs.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The message group of a FIFO queue's events.
const DEFAULT_GROUP: &str = "{account}";

/// What a queue's URL looks like.
const SUCH_AS: &str = "such as \"https://sqs.eu-central-1.amazonaws.com/123456789012/alerts\"";

/// An SQS queue: one event a message. What a FIFO queue is sent again within five minutes is in it once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sqs {
    /// The queue's URL. One that ends in `.fifo` is a FIFO queue's. Where it names the Region, `region` can be left out;
    /// where its host is not the Region's own, requests go to that host unless `endpoint_url` is set.
    pub queue_url: String,
    /// The message group of an event, a template of 1 to 128 ASCII characters without spaces, with the places `{date}`,
    /// `{year}`, `{month}`, `{day}`, `{hour}`, `{account}`, `{region}`, `{model}`, `{provider}`, `{operation}` and
    /// `{id}`. What it becomes is cut at 128 characters. A FIFO queue keeps the order within a group if `concurrency` is
    /// 1; a message that fails while others of its request are taken comes behind those. A standard queue is fair to the
    /// groups when its consumers cannot keep up. Default: `{account}` for a FIFO queue, which cannot do without groups;
    /// none for a standard queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub message_group: Option<String>,
    /// How the service is reached.
    #[serde(flatten)]
    pub access: AwsAccess,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

impl Destination for Sqs {
    const KIND: &'static str = "sqs";

    fn check(&self, _: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.access.check(at, problems);
        match QueueUrl::parse(&self.queue_url) {
            Ok(url) => {
                if let (Some(region), Some(of_queue)) = (&self.access.region, url.region)
                    && region != of_queue
                {
                    let message = format!("{} is not the Region of the queue, {of_queue}", shortened(region));
                    problems.push(Problem::value(at.key("region"), message).hint("leave it out"));
                }
            }
            Err(message) => {
                problems.push(Problem::value(at.key("queue_url"), message).secret().allowed(SUCH_AS));
            }
        }
        if let Some(Err(message)) = self.message_group.as_deref().map(group) {
            problems.push(Problem::value(at.key("message_group"), message).allowed(GROUPS));
        }
    }

    fn describe(&self, format: &str) -> String {
        let group = self.group().map(|group| format!(" by {group}")).unwrap_or_default();
        format!("sqs {}{}{group}, {format}", self.queue_url, self.access.describe())
    }

    fn without_region(&self) -> Option<WithoutRegion<'_>> {
        let named = QueueUrl::parse(&self.queue_url).is_ok_and(|url| url.region.is_some());
        self.access.without_region().filter(|_| !named)
    }

    fn plan(&self, _: Format) -> Planned {
        // A configuration that was checked has both.
        let url = QueueUrl::parse(&self.queue_url).unwrap_or_default();
        let group = self.group().and_then(|text| group(text).ok());
        let mut access = self.access.access();
        access.region = access.region.or(url.region.map(str::to_owned));
        access.endpoint_url = access.endpoint_url.or(url.endpoint.map(str::to_owned));
        let settings = sqs::Settings {
            access,
            queue_url: self.queue_url.clone(),
            group,
            is_fifo: self.is_fifo(),
            timeout: TIMEOUT,
        };
        sqs::planned(settings, self.batching.settings(MAX_BYTES, LIMITS))
    }
}

impl Sqs {
    fn is_fifo(&self) -> bool {
        self.queue_url.ends_with(".fifo")
    }

    fn group(&self) -> Option<&str> {
        self.message_group.as_deref().or(self.is_fifo().then_some(DEFAULT_GROUP))
    }
}

/// What a message group is made of, for messages.
const GROUPS: &str = "such as \"{account}\"; the places are {date}, {year}, {month}, {day}, {hour}, {account}, {region}, \
    {provider}, {model}, {operation}, {id}";

/// Reads a message group. Source of the characters: the Amazon SQS API reference, `SendMessageBatchRequestEntry`.
fn group(text: &str) -> Result<Template, String> {
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(template)
    } else {
        Err("has a space or a character that is not ASCII".into())
    }
}

/// The parts of a queue's URL that are looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct QueueUrl<'t> {
    pub(in crate::config) region: Option<&'t str>,
    /// Scheme, host and port, where the Region alone does not lead there.
    pub(in crate::config) endpoint: Option<&'t str>,
}

impl<'t> QueueUrl<'t> {
    /// Reads a URL. AWS's are `https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`, with another first label for FIPS, another
    /// domain for other partitions, and labels before `sqs` for a private endpoint. Source: the Amazon SQS Developer
    /// Guide, "Queue and message identifiers", and the AWS General Reference, "Amazon SQS endpoints and quotas".
    pub(in crate::config) fn parse(text: &'t str) -> Result<Self, String> {
        validate::endpoint(text)?;
        let host_at = text.find("://").map_or(0, |at| at + 3);
        let path_at = text[host_at..].find('/').map_or(text.len(), |at| host_at + at);
        let (endpoint, path) = text.split_at(path_at);
        let name = path.rsplit('/').next().unwrap_or_default();
        // 80 characters with the suffix.
        if name.len() > 80 || !validate::is_name(name.strip_suffix(".fifo").unwrap_or(name), 80, b"-_") {
            return Err("the URL does not end with the name of a queue".into());
        }
        let host = endpoint[host_at..].split(':').next().unwrap_or_default();
        let labels: Vec<&str> = host.split('.').collect();
        let mut pairs = labels.windows(2);
        let of_sqs = pairs.find(|pair| matches!(pair[0], "sqs" | "sqs-fips") && validate::is_region(pair[1]));
        let region = of_sqs.map(|pair| pair[1]);
        let Some(own) = region.filter(|_| labels.first() == Some(&"sqs") && labels.get(2) == Some(&"amazonaws")) else {
            return Ok(Self { region, endpoint: Some(endpoint) });
        };
        let account = path.strip_prefix('/').and_then(|path| path.strip_suffix(name)?.strip_suffix('/'));
        if !account.is_some_and(validate::is_account) {
            return Err("the URL's path is not an account of 12 digits and the name of a queue".into());
        }
        Ok(Self { region: Some(own), endpoint: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment};

    /// Parses a sink's section, and compares what its errors say with `expected`.
    #[track_caller]
    fn check(section: &str, expected: &[&str]) {
        let text = format!("source.file.paths = ['-']\n[sinks.a.sqs]\n{section}\n");
        match Config::parse(&text, "t.toml", &Environment::default()) {
            Ok(_) => assert!(expected.is_empty(), "{section} is valid"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty() && expected.iter().all(|part| error.contains(part)), "{error}");
            }
        }
    }

    #[test]
    fn what_cannot_work_is_found_offline() {
        let aws = "queue_url = 'https://sqs.eu-west-1.amazonaws.com/123456789012/a_b-c.fifo'";
        check(aws, &[]);
        check(&format!("{aws}\nregion = 'eu-west-1'\nmessage_group = 'g/{{account}}:{{model}}'"), &[]);
        check("queue_url = 'http://127.0.0.1:9324/queue/alerts'", &[]);
        check("", &["`sinks.a.sqs.queue_url`: missing"]);
        for (url, part) in [
            ("arn:aws:sqs:eu-west-1:123456789012:alerts", "begins with neither"),
            ("https://user:word@queues.example/alerts", "has no place in a file"),
            ("https://queues.example", "name of a queue"),
            ("https://queues.example/", "name of a queue"),
            ("https://queues.example/a.b", "name of a queue"),
            ("https://sqs.eu-west-1.amazonaws.com/alerts", "an account of 12 digits"),
            ("https://sqs.eu-west-1.amazonaws.com/1234/alerts", "an account of 12 digits"),
        ] {
            check(&format!("queue_url = '{url}'"), &["t.toml:3:13", "`sinks.a.sqs.queue_url`", part, "such as"]);
        }
        check("queue_url = 'https://user:word@queues.example/alerts'", &["`sinks.a.sqs.queue_url`"]);
        check(&format!("queue_url = 'https://queues.example/{}.fifo'", "a".repeat(76)), &["name of a queue"]);
        check(
            &format!("{aws}\nregion = 'eu-west-2'"),
            &["t.toml:4", "`sinks.a.sqs.region`", "is not the Region of the queue, eu-west-1"],
        );
        for (group, part) in [
            ("", "has 0 characters"),
            ("a b", "a space"),
            ("é", "not ASCII"),
            ("{accounts}", "no place {accounts}"),
            ("{account", "no partner"),
        ] {
            check(&format!("{aws}\nmessage_group = '{group}'"), &["`sinks.a.sqs.message_group`", part]);
        }
        check(&format!("{aws}\nmessage_group = '{}'", "a".repeat(129)), &["has 129 characters"]);
    }

    #[test]
    fn a_url_tells_region_and_endpoint() {
        let check = |url: &str, region: Option<&str>, endpoint: Option<&str>| {
            assert_eq!(QueueUrl::parse(url), Ok(QueueUrl { region, endpoint }), "{url}");
        };
        let own = |url: &str, region: &str| check(url, Some(region), None);
        own("https://sqs.eu-west-1.amazonaws.com/123456789012/a", "eu-west-1");
        own("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/a.fifo", "cn-north-1");
        let elsewhere = |endpoint: &str, path: &str, region: Option<&str>| {
            check(&format!("{endpoint}{path}"), region, Some(endpoint));
        };
        elsewhere("https://sqs-fips.us-east-1.amazonaws.com", "/123456789012/a", Some("us-east-1"));
        elsewhere("https://vpce-1.sqs.us-east-1.vpce.amazonaws.com", "/123456789012/a", Some("us-east-1"));
        elsewhere("https://sqs.us-east-1.api.aws", "/123456789012/a", Some("us-east-1"));
        elsewhere("https://us-west-2.queue.amazonaws.com", "/123456789012/a", None);
        elsewhere("http://[::1]:9324", "/queue/a", None);
        elsewhere("http://sqs.us-east-1.emulator.test:4566", "/000000000000/a", Some("us-east-1"));
    }

    #[test]
    fn a_queue_is_told_by_its_url() {
        let describe = |section: &str| {
            let text = format!("source.file.paths = ['-']\n[sinks.a.sqs]\n{section}\n");
            let config = Config::parse(&text, "t.toml", &Environment::default()).unwrap();
            let sink = config.sinks.values().next().unwrap();
            (sink.describe(), sink.plan())
        };
        let (text, planned) =
            describe("queue_url = 'http://localhost/queue/a.fifo'\nbatch_items = 50\nconcurrency = 1");
        assert_eq!(text, "sqs http://localhost/queue/a.fifo by {account}, panther");
        assert_eq!(planned.tags.as_deref(), Some(&Template::parse("{account}").unwrap()));
        let made = (planned.batch.max_batch_items, planned.batch.max_item_bytes, planned.batch.concurrency);
        assert_eq!(made, (10, (1 << 20) + 1, 1));
        let (text, planned) = describe("queue_url = 'http://localhost/queue/a'\nregion = 'eu-west-1'\nformat = 'raw'");
        assert_eq!(text, "sqs http://localhost/queue/a in eu-west-1, raw");
        assert_eq!(planned.tags, None);
    }
}
