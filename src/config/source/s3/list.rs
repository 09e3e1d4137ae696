//! The keys of the s3 source's list: what is there is read once.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::config::document::{KeyPath, Problem};
use crate::config::units::shortened;
use crate::config::validate;

/// Objects that are there, found by listing the bucket: read once, and then the program ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3List {
    /// What is listed: `s3://BUCKET`, or `s3://BUCKET/PREFIX`, where the prefix may be any beginning of keys. Folders of a
    /// date (`…/YYYY/MM/DD/HH/`, `year=YYYY/…`) are recognized; Bedrock's large bodies beside its logs are left out.
    pub url: String,
    /// The time of the oldest calls, in RFC 3339. Folders of older dates are not read; where folders have no date, the
    /// time at which an object was written decides. Default: none, the oldest that is there.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub from: Option<Timestamp>,
    /// The time behind the newest calls, in RFC 3339. What is of the hour after it is read, too, because calls are
    /// written after they end. Default: none, the newest that is there.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub to: Option<Timestamp>,
    /// Folders that are read at a time, 1 to 64. Default: 8, because an object costs a round trip or two before its first
    /// byte, and its lines share all cores anyway. Each may take some 10 MiB beside `memory_budget`, or 20 where an object is
    /// compressed with zstd.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u8,
}

/// The form of the URL, for messages.
const URL: &str = "`s3://BUCKET` or `s3://BUCKET/PREFIX`";

fn default_concurrency() -> u8 {
    8
}

/// Times as the file writes them.
mod time {
    use super::*;

    pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Some).map_err(|_| {
            let found = shortened(&text);
            de::Error::custom(format!("expected an RFC 3339 time such as \"2026-07-01T12:00:00Z\", found {found}"))
        })
    }
}

impl S3List {
    /// A list with all else at its default.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), from: None, to: None, concurrency: default_concurrency() }
    }

    /// The bucket and the prefix of a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn place(url: &str) -> Result<(&str, &str), String> {
        let rest = url.strip_prefix("s3://").ok_or_else(|| format!("{} is not of the form {URL}", shortened(url)))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.len() < 3 || !validate::is_name(bucket, 63, b".-") {
            return Err(format!("{} is no bucket's name: 3 to 63 letters, digits, `.` and `-`", shortened(bucket)));
        }
        if prefix.len() > 1024 || prefix.chars().any(char::is_control) {
            return Err("the prefix can be none of keys".to_owned());
        }
        Ok((bucket, prefix))
    }

    pub(super) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        if let Err(message) = Self::place(&self.url) {
            problems.push(Problem::value(at.key("url"), message).allowed(URL));
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            problems.push(Problem::value(at.key("to"), "is not after `from`"));
        }
    }

    /// What is read, for `bedrock-tap check`.
    pub(super) fn describe(&self) -> String {
        let part =
            |before: &str, time: Option<Timestamp>| time.map(|time| format!("{before}{time}")).unwrap_or_default();
        format!("objects below {}{}{}, once", self.url, part(", from ", self.from), part(", to ", self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, Source};

    fn parse(list: &str) -> Result<Config, String> {
        let text = format!("sinks.console.stdout = {{}}\nsource.s3.region = 'eu-west-1'\n[source.s3.list]\n{list}");
        Config::parse(&text, "t.toml", &Environment::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_is_read() {
        let config = parse("url = 's3://logs/a/2026'\nfrom = '2026-01-02T03:04:05+01:00'").unwrap();
        let Source::S3(source) = config.source else { panic!("{:?}", config.source) };
        let expected = "objects below s3://logs/a/2026, from 2026-01-02T02:04:05Z, once in eu-west-1";
        assert_eq!(source.describe(), [expected]);
        let list = source.list.unwrap();
        assert_eq!((list.concurrency, list.to), (8, None));
        assert_eq!(S3List::place("s3://logs"), Ok(("logs", "")));
        assert_eq!(S3List::place("s3://logs/"), Ok(("logs", "")));
        assert_eq!(S3List::place("s3://logs/a b/c"), Ok(("logs", "a b/c")));
    }

    #[test]
    fn what_is_wrong_is_told_at_its_key() {
        let check = |list: &str, expected: &[&str]| {
            let error = parse(list).unwrap_err();
            assert!(expected.iter().all(|part| error.contains(part)), "{list}: {error}");
        };
        check("url = 'logs/a'", &["`source.s3.list.url`", "s3://BUCKET/PREFIX"]);
        check("url = 's3://b/a'", &["`source.s3.list.url`", "no bucket's name"]);
        check("url = 's3://logs'\nfrom = 'yesterday'", &["`source.s3.list.from`", "RFC 3339"]);
        let times = "from = '2026-01-02T00:00:00Z'\nto = '2026-01-02T00:00:00Z'";
        check(&format!("url = 's3://logs'\n{times}"), &["`source.s3.list.to`", "not after"]);
        check("url = 's3://logs'\nconcurrency = 0", &["`source.s3.list.concurrency`", "range"]);
        check("url = 's3://logs'\nprefix = 'a'", &["`source.s3.list.prefix`"]);
        check("url = 's3://logs'\n[source.s3]\nqueue_url = 'a'", &["source.s3"]);
    }
}
