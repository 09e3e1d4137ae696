//! The s3 source's keys.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aws;
use crate::config::document::{KeyPath, Problem};
use crate::config::sinks::QueueUrl;
use crate::config::units::{DurationText, duration, format_duration, shortened};
use crate::config::{AwsAccess, S3, validate};
use crate::source::s3::choice::Choice;

mod list;

pub use list::S3List;

/// What a queue's URL looks like.
const SUCH_AS: &str = "such as \"https://sqs.eu-central-1.amazonaws.com/123456789012/bedrock-logs\"";

/// Objects of S3 buckets, each read once from beginning to end. An `s3` sink must not write where the notifications come
/// from: what it wrote would be read again, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct S3Source {
    /// The URL of the queue that the bucket's notifications come to, by itself or behind SNS or EventBridge; either
    /// this or `list`. A message is deleted when everything in its objects is delivered; one whose objects cannot be
    /// read is left to the queue's redrive policy, which should name a dead-letter queue. Where the URL names the
    /// Region, the queue is asked there, and the buckets too unless `region` names theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_url: Option<String>,
    /// With `queue_url`: the buckets whose objects are read, by their exact names. Default: `[]`, all that the
    /// notifications name: whoever can send to the queue could then name any object that this service may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<String>,
    /// What the keys begin with of objects that are read, such as `AWSLogs/`. Of `include` and `exclude` the longest
    /// that fits decides. Default: `[]`, every key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// What the keys begin with of objects that are not read; messages that tell of them are deleted. Bedrock's `data/`
    /// folders, `amazon-bedrock-logs-permission-check` and empty objects are never read. Default: `[]`, none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// With `queue_url`: objects that are read at a time, 1 to 64. No more messages are received than can be begun.
    /// Default: 4, enough to hide the wait for S3; each may take some 10 MiB beside `memory_budget`, or 20 where it is
    /// compressed with zstd.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u8,
    /// With `queue_url`: how long a received message is hidden from other receivers, `10s` to `12h`, whatever the
    /// queue's own setting is. It is renewed after each third for as long as its objects are read, up to the 12 hours
    /// that SQS allows. Default: `2m`: so long does a message wait after a crash, or until an object that cannot be
    /// read is tried again.
    #[serde(default = "default_visibility_timeout", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "10s", "x-maximum" = "12h"))]
    pub visibility_timeout: Duration,
    /// With `queue_url`: another endpoint of the SQS API (`http` or `https`), for emulators and private endpoints;
    /// `endpoint_url` is that of S3. Default: the host of `queue_url` where that is not the Region's own, else the
    /// Region's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_endpoint_url: Option<String>,
    /// Objects that are there, found by listing the bucket: read once, and then the program ends. Either this or
    /// `queue_url`, and what is said above to be "with `queue_url`" is refused beside it. The next start reads what
    /// came since: all of a folder that is new to it, and of others what stands behind the last name that was an hour
    /// old. What is younger is delivered again, with the same event ids. What comes into such a folder under an earlier
    /// name is not seen, nor is what comes into a folder of a date more than an hour after its end: a queue tells of
    /// everything. Folders that were read are not read again when `include` or `exclude` changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<S3List>,
    /// How S3 is reached, and by whom the queue is asked.
    #[serde(flatten)]
    pub aws: AwsAccess,
}

fn default_concurrency() -> u8 {
    4
}

fn default_visibility_timeout() -> Duration {
    Duration::from_secs(120)
}

impl S3Source {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.check_queue(at, problems);
        for (index, bucket) in self.buckets.iter().enumerate() {
            // Source: the Amazon S3 User Guide, "General purpose bucket naming rules"; older buckets, and other services,
            // also know capitals, `_` and up to 255 characters.
            if bucket.len() < 3 || !validate::is_name(bucket, 255, b".-_") {
                let message = format!("{} is no bucket's name", shortened(bucket));
                let allowed = "3 to 255 letters, digits, `.`, `-` and `_`";
                problems.push(Problem::value(at.key("buckets").index(index), message).allowed(allowed));
            }
        }
        for (name, prefixes) in [("include", &self.include), ("exclude", &self.exclude)] {
            for (index, prefix) in prefixes.iter().enumerate() {
                let at = at.key(name).index(index);
                if prefix.is_empty() {
                    problems.push(Problem::value(at, "is empty, and every key begins with it").hint("leave it out"));
                } else if prefix.starts_with("s3://") || prefix.starts_with('/') {
                    let message = format!("{} is no beginning of a key", shortened(prefix));
                    let hint = "a key has neither a bucket nor a slash before it, such as \"AWSLogs/\"";
                    problems.push(Problem::value(at, message).hint(hint));
                } else if prefixes[..index].contains(prefix) {
                    problems.push(Problem::value(at, format!("{} stands here twice", shortened(prefix))));
                } else if name == "exclude" && self.include.contains(prefix) {
                    problems.push(Problem::value(at, format!("{} is included as well", shortened(prefix))));
                }
            }
        }
        self.aws.check(at, problems);
    }

    fn check_queue(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let (at_url, at_list) = (at.key("queue_url"), at.key("list"));
        if let Some(list) = &self.list {
            list.check(&at_list, problems);
            if self.queue_url.is_some() {
                problems.push(Problem::key(at_list, "stands beside `queue_url`: objects come by one of them"));
            } else {
                self.check_without_queue(at, problems);
            }
            return;
        }
        match self.queue_url.as_deref().map(QueueUrl::parse) {
            Some(Ok(_)) => {}
            Some(Err(message)) => problems.push(Problem::value(at_url, message).secret().allowed(SUCH_AS)),
            // What cannot be read was taken out, and has its own fault.
            None if problems.iter().any(|found| [&at_url, &at_list].iter().any(|key| found.path.is_below(key))) => {}
            None => {
                let problem = Problem::key(at.clone(), "has neither `queue_url` nor `list`");
                problems.push(problem.allowed(format!("exactly one of queue_url, {SUCH_AS}, and [source.s3.list]")));
            }
        }
        if let Some(Err(message)) = self.queue_endpoint_url.as_deref().map(validate::endpoint) {
            let problem = Problem::value(at.key("queue_endpoint_url"), message);
            problems.push(problem.secret().allowed("such as \"http://localhost:9324\""));
        }
    }

    /// Finds what has no effect on a list.
    fn check_without_queue(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let mut idle = |name: &str, is_set: bool, hint: &str| {
            if is_set {
                problems.push(Problem::key(at.key(name), "has no effect beside `list`").hint(hint));
            }
        };
        idle("buckets", !self.buckets.is_empty(), "the bucket stands in `list.url`");
        idle("concurrency", self.concurrency != default_concurrency(), "set `list.concurrency`");
        let is_set = self.visibility_timeout != default_visibility_timeout();
        idle("visibility_timeout", is_set, "it is of `queue_url`: leave it out");
        idle("queue_endpoint_url", self.queue_endpoint_url.is_some(), "it is of `queue_url`: leave it out");
    }

    /// What is read, a line each, for `bedrock-tap check`.
    pub fn describe(&self) -> Vec<String> {
        if let Some(list) = &self.list {
            return vec![format!("{}{}{}", list.describe(), self.aws.describe(), self.describe_keys())];
        }
        let buckets = listed(" of ", &self.buckets);
        let (queue, visibility) =
            (self.queue_url.as_deref().unwrap_or_default(), format_duration(self.visibility_timeout));
        let at = self.queue_endpoint_url.as_deref().map(|url| format!(" (at {url})")).unwrap_or_default();
        let (access, choice, objects) = (self.aws.describe(), self.describe_keys(), self.concurrency);
        vec![format!(
            "S3 objects{buckets}{access}, told by the queue {queue}{at}{choice}; {objects} at a time, messages hidden for \
             {visibility} at a time"
        )]
    }

    fn describe_keys(&self) -> String {
        listed("; keys from ", &self.include) + &listed("; not from ", &self.exclude)
    }

    /// Which objects are read.
    pub fn choice(&self) -> Choice {
        Choice { buckets: self.buckets.clone(), include: self.include.clone(), exclude: self.exclude.clone() }
    }

    /// Whether what a sink writes there would be read, as far as names tell: where neither buckets nor beginnings are
    /// named, they do not.
    pub(in crate::config) fn reads(&self, sink: &S3) -> bool {
        let choice = self.choice();
        let (bucket, prefix, _) = sink.place();
        let beginning = prefix.split('{').next().unwrap_or_default();
        let is_named = match self.list.as_ref().and_then(|list| S3List::place(&list.url).ok()) {
            Some((listed, below)) => bucket == listed && beginning.starts_with(below),
            None => !self.buckets.is_empty() || !self.include.is_empty(),
        };
        is_named && choice.takes_bucket(bucket) && choice.takes(beginning)
    }

    /// How S3 is reached: by default in the queue's Region, because a bucket's notifications go to queues of its own.
    pub fn access(&self) -> aws::Access {
        let mut access = self.aws.access();
        access.region = access.region.or_else(|| self.queue_region().map(str::to_owned));
        access
    }

    /// How the queue is reached: in the Region that its URL names, at the host that is not AWS' own.
    pub fn queue_access(&self) -> aws::Access {
        let mut access = self.aws.access();
        access.region = self.queue_region().map(str::to_owned).or(access.region);
        let host = self.queue().and_then(|url| url.endpoint.map(str::to_owned));
        access.endpoint_url = self.queue_endpoint_url.clone().or(host);
        access
    }

    /// The Region of the buckets, as far as it is configured.
    pub(in crate::config) fn region(&self) -> Option<&str> {
        self.aws.region.as_deref().or(self.queue_region())
    }

    fn queue_region(&self) -> Option<&str> {
        self.queue()?.region
    }

    fn queue(&self) -> Option<QueueUrl<'_>> {
        QueueUrl::parse(self.queue_url.as_deref()?).ok()
    }
}

fn listed(before: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("{before}{}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, Source};

    const QUEUE: &str = "https://sqs.eu-central-1.amazonaws.com/123456789012/bedrock-logs";

    fn parse(keys: &str, more: &str) -> Result<Config, String> {
        let text = format!("[source.s3]\n{keys}\n[sinks.a.stdout]\n{more}");
        let parsed = Config::parse(&text, "t.toml", &Environment::default());
        parsed.map_err(|error| error.to_string())
    }

    fn source(keys: &str) -> S3Source {
        let config = parse(keys, "").unwrap();
        let Source::S3(source) = config.source else { panic!("{:?}", config.source) };
        *source
    }

    #[track_caller]
    fn check(keys: &str, more: &str, expected: &[&str]) {
        let found = parse(keys, more).map_or_else(|error| error, |_| String::new());
        assert_eq!(found.is_empty(), expected.is_empty(), "{found}");
        for part in expected {
            assert!(found.contains(part), "{part} is not in:\n{found}");
        }
    }

    #[test]
    fn a_queue_is_enough() {
        let source = source(&format!("queue_url = {QUEUE:?}"));
        assert_eq!((source.concurrency, source.visibility_timeout), (4, Duration::from_secs(120)));
        let (s3, sqs) = (source.access(), source.queue_access());
        assert_eq!((s3.region.as_deref(), s3.endpoint_url), (Some("eu-central-1"), None));
        assert_eq!((sqs.region.as_deref(), sqs.endpoint_url), (Some("eu-central-1"), None));
    }

    #[test]
    fn the_queue_and_the_buckets_are_reached_each_where_it_is() {
        let queue = "queue_url = 'http://localhost:9324/000000000000/a'\nregion = 'us-east-1'";
        let one = source(&format!("{queue}\nendpoint_url = 'http://localhost:9000'"));
        assert_eq!(one.access().endpoint_url.as_deref(), Some("http://localhost:9000"));
        assert_eq!(one.queue_access().endpoint_url.as_deref(), Some("http://localhost:9324"));
        assert_eq!(one.queue_access().region.as_deref(), Some("us-east-1"));
        let one = source(&format!("{queue}\nqueue_endpoint_url = 'http://sqs:1'"));
        assert_eq!(one.queue_access().endpoint_url.as_deref(), Some("http://sqs:1"));
        assert_eq!(one.access().endpoint_url, None);
        let one = source(&format!("queue_url = {QUEUE:?}\nregion = 'us-east-1'"));
        assert_eq!(
            (one.access().region, one.queue_access().region),
            (Some("us-east-1".into()), Some("eu-central-1".into()))
        );
    }

    #[test]
    fn what_cannot_be_is_found() {
        let queue = format!("queue_url = {QUEUE:?}");
        check("", "", &["has neither `queue_url` nor `list`"]);
        check(&format!("{queue}\nlist.url = 's3://logs'"), "", &["stands beside `queue_url`"]);
        check("queue_url = 7", "", &["source.s3.queue_url"]);
        check("queue_url = 'bedrock-logs'", "", &["begins with neither"]);
        check("queue_url = 'https://sqs.eu-central-1.amazonaws.com/a'", "", &["an account of 12 digits"]);
        check(&format!("{queue}\nconcurrency = 0"), "", &["concurrency", "1 to 64"]);
        check(&format!("{queue}\nvisibility_timeout = '5s'"), "", &["visibility_timeout", "10s"]);
        check(&format!("{queue}\nqueue_endpoint_url = 'x'"), "", &["queue_endpoint_url", "begins with neither"]);
        check(&format!("{queue}\nbuckets = ['a/b']"), "", &["is no bucket's name"]);
        check(&format!("{queue}\ninclude = ['', '/a', 'a', 'a']"), "", &["is empty", "no beginning", "twice"]);
        check(&format!("{queue}\ninclude = ['a']\nexclude = ['a']"), "", &["is included as well"]);
        check(&format!("{queue}\nstuff = 1"), "", &["no key of `source.s3`"]);
        check(&queue, "[coordination.dynamodb]\ntable = 'a'", &["has no shards"]);
    }

    #[test]
    fn what_is_of_a_queue_is_found_beside_a_list() {
        let with = |keys: &str| format!("list.url = 's3://logs'\n{keys}");
        check(&with("include = ['a/']\nexclude = ['a/b/']\nregion = 'us-east-1'"), "", &[]);
        check(&with("buckets = ['logs']"), "", &["source.s3.buckets", "no effect beside `list`", "list.url"]);
        check(&with("concurrency = 9"), "", &["source.s3.concurrency", "list.concurrency"]);
        check(&with("visibility_timeout = '1m'"), "", &["source.s3.visibility_timeout", "no effect"]);
        check(&with("queue_endpoint_url = 'http://a'"), "", &["source.s3.queue_endpoint_url", "no effect"]);
        let source = source(&with("include = ['a/']\nexclude = ['a/b/']"));
        assert_eq!(source.describe(), ["objects below s3://logs, once; keys from a/; not from a/b/"]);
    }

    #[test]
    fn a_sink_that_feeds_the_source_is_found() {
        let queue = format!("queue_url = {QUEUE:?}\n");
        let sink = |keys: &str| format!("[sinks.lake.s3]\nregion = 'eu-central-1'\n{keys}");
        let letter = |keys: &str| format!("[dead_letter.s3]\nregion = 'eu-central-1'\n{keys}");
        let found = &["is read by the source too"];
        let with = |keys: &str| format!("{queue}{keys}");
        check(&with("buckets = ['logs']"), &sink("bucket = 'logs'"), found);
        check(&with("buckets = ['logs']"), &letter("bucket = 'logs'"), found);
        check(&with("buckets = ['logs']"), &sink("bucket = 'lake'"), &[]);
        check(&with("buckets = ['logs']\ninclude = ['AWSLogs/']"), &sink("bucket = 'logs'"), &[]);
        check(&with("buckets = ['logs']\nexclude = ['bedrock/']"), &sink("bucket = 'logs'"), &[]);
        check(&with("include = ['a/']"), &sink("bucket = 'logs'\nprefix = 'a/{date}/'"), found);
        check(&with("include = ['a/']"), &sink("bucket = 'logs'\nprefix = 'b/{date}/'"), &[]);
        check(&with("include = ['a/']\nexclude = ['a/b/']"), &sink("bucket = 'logs'\nprefix = 'a/b/{date}/'"), &[]);
        let list = "list.url = 's3://logs/a/'\n";
        check(list, &sink("bucket = 'logs'\nprefix = 'a/b/{date}/'"), found);
        check(list, &sink("bucket = 'logs'\nprefix = 'b/{date}/'"), &[]);
        check(list, &sink("bucket = 'lake'\nprefix = 'a/{date}/'"), &[]);
        check(&format!("{list}include = ['a/']"), &sink("bucket = 'lake'\nprefix = 'a/{date}/'"), &[]);
        // Nothing tells which bucket the queue speaks of.
        check(&queue, &sink("bucket = 'logs'"), &[]);
    }
}
