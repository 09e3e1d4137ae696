//! The s3 sink's keys.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AwsAccess, Destination, WithoutRegion};
use crate::config::document::{KeyPath, Problem};
use crate::config::units::{ByteSize, DurationText, duration, format_duration, shortened};
use crate::config::validate;
use crate::format::Format;
use crate::format::key::{Place, Template};
use crate::sink::Planned;
use crate::sink::s3::{self, Encoding, Encryption, Settings};

/// Objects of an S3 bucket, or of one at any S3-compatible endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct S3 {
    /// The bucket's name, or the ARN of an access point.
    pub bucket: String,
    /// What the names of objects begin with; `{date}`, `{year}`, `{month}`, `{day}`, `{hour}` (of the call, UTC),
    /// `{account}`, `{region}`, `{provider}`, `{model}` and `{operation}` are filled in from the events, and each
    /// combination is an object of its own. What comes after is made of the stream, the shard and the range of positions.
    /// Two sinks never share a bucket and a prefix, nor do two services that read the same stream. Default:
    /// `bedrock/date={date}/`, a partition a day for whoever queries the bucket.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// What an object holds: `ndjson` (lines) or `parquet` (rows, compressed with zstd, sorted by time; of `format =
    /// "flat"` alone). Default: `ndjson`, which everything reads.
    #[serde(default)]
    pub encoding: ObjectEncoding,
    /// How lines are compressed: `zstd` (`.jsonl.zst`), `gzip` (`.jsonl.gz`) or `none` (`.jsonl`). Objects are stored as
    /// such files, without a Content-Encoding, so that what is downloaded is what its name says. Default: `zstd`, which
    /// costs half the time of `gzip` and is smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<ObjectCompression>,
    /// The level of compression, 1 to 12 for `gzip`, -7 to 19 for `zstd`. Default: 1 for both: with `zstd`, 3 makes objects
    /// an eighth smaller in one and a half times the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -7, max = 19))]
    pub compression_level: Option<i32>,
    /// Bytes of lines, before compression, at which an object is closed, `64 KiB` to `1 GiB`; sooner where memory is
    /// short. Rejects, and events of a sink that is not required, are written at 4 MiB at the latest. Default: `64 MiB`,
    /// some 20 MB as zstd: large enough for query engines, and a quarter of `memory_budget`.
    #[serde(default = "default_object_size")]
    #[schemars(extend("x-minimum" = "64 KiB", "x-maximum" = "1 GiB"))]
    pub object_size: ByteSize,
    /// The age at which an object is closed, `1s` to `1h`; its lines are in memory until then. Rejects, and events of a
    /// sink that is not required, wait 5 s at most. Default: `1m`, so that a quiet stream is a minute behind.
    #[serde(default = "default_object_age", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub object_age: Duration,
    /// Objects that are written at a time, 1 to 64. Default: 4: compressing takes a core, and writing waits for the
    /// network.
    #[serde(default = "default_concurrency")]
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u8,
    /// The storage class, such as `STANDARD_IA`. Default: the bucket's own, `STANDARD` with AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// How S3 encrypts objects: `AES256` (with keys of its own) or `aws:kms` (with a key of KMS). Default: as the bucket
    /// says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sse: Option<Sse>,
    /// The key of KMS, by its id or ARN, for `sse = "aws:kms"`. Default: the AWS managed key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// The account that the bucket must belong to, 12 digits; S3 refuses every request if it is another's. Default: not
    /// asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_bucket_owner: Option<String>,
    /// Whether the bucket is named in the URL's path instead of its host. Default: `true` if `endpoint_url` is set, because
    /// few endpoints have a host for each bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// How the service is reached.
    #[serde(flatten)]
    pub access: AwsAccess,
}

/// What an object holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectEncoding {
    /// Lines.
    #[default]
    Ndjson,
    /// Rows of the flat format.
    Parquet,
}

/// How lines are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObjectCompression {
    /// One frame of zstd.
    #[default]
    Zstd,
    /// Members of gzip.
    Gzip,
    /// Not at all.
    None,
}

/// How S3 encrypts objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Sse {
    /// With keys of S3's own.
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key of KMS.
    #[serde(rename = "aws:kms")]
    AwsKms,
}

fn default_prefix() -> String {
    "bedrock/date={date}/".to_owned()
}

fn default_object_size() -> ByteSize {
    ByteSize::mib(64)
}

fn default_object_age() -> Duration {
    Duration::from_secs(60)
}

fn default_concurrency() -> u8 {
    4
}

impl Destination for S3 {
    const KIND: &'static str = "s3";

    fn check(&self, format: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        // Source: the Amazon S3 User Guide, "General purpose bucket naming rules"; older buckets, and other services, also
        // know capitals, `_` and up to 255 characters.
        let named = self.bucket.len() >= 3 && validate::is_name(&self.bucket, 255, b".-_");
        if !named && validate::arn(&self.bucket, "s3").is_err() {
            let message = format!("{} is no bucket's name", shortened(&self.bucket));
            let allowed = "3 to 63 lower-case letters, digits, `.` and `-`, or the ARN of an access point";
            problems.push(Problem::value(at.key("bucket"), message).allowed(allowed));
        }
        self.check_prefix(at, problems);
        self.check_encoding(format, at, problems);
        self.check_storage(at, problems);
        self.access.check(at, problems);
    }

    fn describe(&self, format: &str) -> String {
        let encoding = match (self.encoding, self.compression.unwrap_or_default()) {
            (ObjectEncoding::Parquet, _) => "parquet",
            (_, ObjectCompression::Zstd) => "zstd",
            (_, ObjectCompression::Gzip) => "gzip",
            (_, ObjectCompression::None) => "not compressed",
        };
        let Self { bucket, prefix, object_size, .. } = self;
        let age = format_duration(self.object_age);
        let access = self.access.describe();
        format!("s3 {bucket}/{prefix}{access}, {format}, {encoding}, a new object after {object_size} or {age}")
    }

    fn without_region(&self) -> Option<WithoutRegion<'_>> {
        self.access.without_region()
    }

    fn plan(&self, _: Format) -> Planned {
        s3::planned(self.settings())
    }
}

impl S3 {
    fn check_prefix(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let mut problem = |message: String| {
            let allowed = "such as \"bedrock/date={date}/account={account}/\"; the places are {date}, {year}, {month}, \
                {day}, {hour}, {account}, {region}, {provider}, {model}, {operation}";
            problems.push(Problem::value(at.key("prefix"), message).allowed(allowed));
        };
        let template = match Template::parse(&self.prefix) {
            Ok(template) => template,
            Err(error) => return problem(error.to_string()),
        };
        if template.places().any(|place| place == Place::Id) {
            return problem("{id} would make an object of each event".to_owned());
        }
        // One that is filled in: what an event adds is never empty, and has neither `/` nor `.` and `..` alone.
        let filled = template.tag_of([0; 16], jiff::Timestamp::UNIX_EPOCH).key;
        let mut parts = filled.split('/').rev();
        let last = parts.next().unwrap_or_default();
        if parts.any(str::is_empty) {
            problem("has a part without a name: it begins with `/`, or holds `//`".to_owned());
        } else if last == "." || last == ".." || filled.split('/').any(|part| part == "." || part == "..") {
            problem("has a part `.` or `..`, which many programs take for a directory".to_owned());
        } else if filled.chars().any(char::is_control) {
            problem("has a control character".to_owned());
        } else if s3::longest_prefix_bytes(&template) > s3::MAX_PREFIX_BYTES {
            let bytes = s3::longest_prefix_bytes(&template);
            problem(format!("becomes up to {bytes} bytes, more than {}", s3::MAX_PREFIX_BYTES));
        }
    }

    fn check_encoding(&self, format: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        if self.encoding == ObjectEncoding::Parquet {
            if format != Format::Flat {
                let problem = Problem::value(at.key("encoding"), "`parquet` holds rows of the format `flat` alone");
                problems.push(problem.hint("set format = \"flat\""));
            }
            for (key, is_set) in
                [("compression", self.compression.is_some()), ("compression_level", self.compression_level.is_some())]
            {
                if is_set {
                    let message = "is for `ndjson`; `parquet` compresses its columns by itself";
                    problems.push(Problem::key(at.key(key), message).hint("leave it out"));
                }
            }
            return;
        }
        if format == Format::Text {
            let problem = Problem::value(at.key("format"), "`text` is for people; objects hold a JSON object a line");
            problems.push(problem.hint("choose another format"));
        }
        let (compression, level) = (self.compression.unwrap_or_default(), self.compression_level.unwrap_or(1));
        let allowed = match compression {
            ObjectCompression::Zstd => (level == 0 || !(-7..=19).contains(&level)).then_some("-7 to -1 and 1 to 19"),
            ObjectCompression::Gzip => (!(1..=12).contains(&level)).then_some("1 to 12"),
            ObjectCompression::None => self.compression_level.map(|_| "none; leave it out, nothing is compressed"),
        };
        if let Some(allowed) = allowed {
            let message = format!("{level} is no level of the compression");
            problems.push(Problem::value(at.key("compression_level"), message).allowed(allowed));
        }
    }

    fn check_storage(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        let mut problem = |key: &str, message: &str, allowed: &str| {
            problems.push(Problem::value(at.key(key), message).allowed(allowed));
        };
        let class = self.storage_class.as_deref().unwrap_or("STANDARD");
        if !validate::is_name(class, 64, b"_-") || class.bytes().any(|b| b.is_ascii_lowercase()) {
            problem("storage_class", "is no storage class", "capitals, digits and `_`, such as \"STANDARD_IA\"");
        }
        let owner = self.expected_bucket_owner.as_deref();
        if owner.is_some_and(|owner| !validate::is_account(owner)) {
            problem("expected_bucket_owner", "is no account", "12 digits");
        }
        if let Some(key) = &self.kms_key_id {
            if self.sse != Some(Sse::AwsKms) {
                let problem = Problem::key(at.key("kms_key_id"), "has no use without `sse = \"aws:kms\"`");
                problems.push(problem.hint("set sse = \"aws:kms\""));
            } else if !validate::is_name(key, 2048, b":/_-") {
                problem("kms_key_id", "is neither id, alias nor ARN", "such as \"alias/bedrock\"");
            }
        }
    }

    /// The place that objects are written to, by which two sinks are told apart.
    pub(in crate::config) fn place(&self) -> (&str, &str, Option<&str>) {
        (&self.bucket, &self.prefix, self.access.endpoint_url.as_deref())
    }

    /// What the sink is told.
    pub fn settings(&self) -> Settings {
        let level = self.compression_level.unwrap_or(1);
        let encoding = match (self.encoding, self.compression.unwrap_or_default()) {
            (ObjectEncoding::Parquet, _) => Encoding::Parquet,
            (_, ObjectCompression::Zstd) => Encoding::Zstd(level),
            (_, ObjectCompression::Gzip) => Encoding::Gzip(level),
            (_, ObjectCompression::None) => Encoding::Plain,
        };
        let encryption = self.sse.map(|sse| match sse {
            Sse::Aes256 => Encryption::Aes256,
            Sse::AwsKms => Encryption::Kms(self.kms_key_id.clone()),
        });
        Settings {
            access: self.access.access(),
            path_style: self.path_style,
            // One that cannot be parsed has its fault, and is never run.
            prefix: Arc::new(Template::parse(&self.prefix).unwrap_or_default()),
            encoding,
            storage_class: self.storage_class.clone(),
            encryption,
            expected_bucket_owner: self.expected_bucket_owner.clone(),
            object_bytes: self.object_size.as_usize(),
            object_age: self.object_age,
            concurrency: usize::from(self.concurrency),
            ..Settings::new(self.bucket.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment};

    /// Parses an s3 section, and compares what its errors say with `expected`.
    #[track_caller]
    fn check(section: &str, expected: &[&str]) {
        let text = format!("source.file.paths = ['-']\n[sinks.a.s3]\nbucket = 'logs'\n{section}\n");
        match Config::parse(&text, "t.toml", &Environment::default()) {
            Ok(_) => assert!(expected.is_empty(), "{section} is valid"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty(), "{error}");
                expected.iter().for_each(|part| assert!(error.contains(part), "{part} is not in {error}"));
            }
        }
    }

    #[test]
    fn prefixes_are_checked() {
        for prefix in [
            "",
            "a",
            "a/b/",
            "{date}-",
            "bedrock/date={date}/account={account}/region={region}/model={model}/",
            "{provider}/{operation}/{year}/{month}/{day}/{hour}/",
            "..a/.b/c..",
            "ü/{{a}}/",
        ] {
            check(&format!("prefix = '{prefix}'"), &[]);
        }
        check("prefix = 'a/{modle}/'", &["t.toml:4:10", "`sinks.a.s3.prefix`: there is no place {modle}"]);
        check("prefix = 'a/{date'", &["a brace has no partner"]);
        check("prefix = '{date}/{id}/'", &["{id} would make an object of each event"]);
        for prefix in ["/", "/a/", "a//b", "a//", "{date}//"] {
            check(&format!("prefix = '{prefix}'"), &["has a part without a name"]);
        }
        for prefix in [".", "..", "./a", "a/../b", "a/.", "{date}/.."] {
            check(&format!("prefix = '{prefix}'"), &["has a part `.` or `..`"]);
        }
        check("prefix = \"a\\u0007b/\"", &["has a control character"]);
        check(&format!("prefix = '{}/'", "a".repeat(600)), &["becomes up to 601 bytes, more than 600"]);
        let long = format!("prefix = '{}/{{model}}/{{account}}'", "a".repeat(399));
        check(&long, &["becomes up to 601 bytes"]);
    }

    #[test]
    fn what_is_written_fits_together() {
        check("encoding = 'parquet'", &["`sinks.a.s3.encoding`", "format `flat` alone", "set format = \"flat\""]);
        check("encoding = 'parquet'\nformat = 'flat'", &[]);
        check(
            "encoding = 'parquet'\nformat = 'flat'\ncompression = 'gzip'",
            &["`sinks.a.s3.compression`: is for `ndj"],
        );
        check("format = 'text'", &["`sinks.a.s3.format`: `text` is for people"]);
        for format in ["panther", "raw", "view", "flat", "ocsf", "ecs", "otel"] {
            check(&format!("format = '{format}'"), &[]);
        }
        check("compression_level = -7", &[]);
        check("compression_level = 0", &["0 is no level", "-7 to -1 and 1 to 19"]);
        check("compression_level = 20", &["`sinks.a.s3.compression_level`"]);
        check("compression = 'gzip'\ncompression_level = 12", &[]);
        check("compression = 'gzip'\ncompression_level = 13", &["13 is no level", "1 to 12"]);
        check("compression = 'none'", &[]);
        check("compression = 'none'\ncompression_level = 1", &["nothing is compressed"]);
        check("compression = 'lz4'", &["`sinks.a.s3.compression`"]);
        check("object_size = '1 KiB'\nobject_age = '2h'\nconcurrency = 0", &["3 faults"]);
    }

    #[test]
    fn dead_letters_are_compressed_as_events_are() {
        let text = "source.file.paths = ['-']\nsinks.a.stdout = {}\n[dead_letter.s3]\nbucket = 'logs'\n";
        let config = Config::parse(text, "t.toml", &Environment::default()).unwrap();
        let described = config.dead_letter().describe();
        assert!(described.contains("JSON lines, zstd"), "{described}");
    }

    #[test]
    fn names_and_access_are_checked() {
        let bucket = |bucket: &str, expected: &[&str]| {
            let text = format!("source.file.paths = ['-']\n[sinks.a.s3]\nbucket = '{bucket}'\n");
            let found = Config::parse(&text, "t.toml", &Environment::default()).map_err(|error| error.to_string());
            match found {
                Ok(_) => assert!(expected.is_empty(), "{bucket} is valid"),
                Err(error) => assert!(expected.iter().all(|part| error.contains(part)), "{error}"),
            }
        };
        bucket("arn:aws:s3:eu-central-1:123456789012:accesspoint/logs", &[]);
        bucket("my.bucket-1", &[]);
        bucket("s3://logs", &["`sinks.a.s3.bucket`", "is no bucket's name"]);
        bucket("logs/a", &["is no bucket's name"]);
        bucket("", &["is no bucket's name"]);
        check("sse = 'aws:kms'\nkms_key_id = 'alias/bedrock'\nexpected_bucket_owner = '123456789012'", &[]);
        check("kms_key_id = 'alias/bedrock'", &["has no use without `sse = \"aws:kms\"`"]);
        check("sse = 'AES256'\nkms_key_id = 'a'", &["has no use without"]);
        check("sse = 'kms'", &["`sinks.a.s3.sse`", "aws:kms"]);
        check("sse = 'aws:kms'\nkms_key_id = 'a b'", &["is neither id, alias nor ARN"]);
        check("expected_bucket_owner = '12'", &["is no account", "12 digits"]);
        check("storage_class = 'standard'", &["is no storage class"]);
        check("region = 'europe'", &["`sinks.a.s3.region`"]);
        check("linger = '1s'", &["`sinks.a.s3.linger`"]);
    }

    #[test]
    fn two_sinks_do_not_write_to_one_place() {
        check("[sinks.b.s3]\nbucket = 'logs'\nformat = 'ocsf'", &["`sinks.b.s3.prefix`", "`sinks.a.s3`"]);
        check("[sinks.b.s3]\nbucket = 'logs'\nprefix = 'b/'", &[]);
        check("[sinks.b.s3]\nbucket = 'more'", &[]);
    }
}
