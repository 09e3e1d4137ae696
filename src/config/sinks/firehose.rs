//! The firehose sink's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AwsAccess, Batching, Destination, WithoutRegion};
use crate::config::document::{KeyPath, Problem};
use crate::config::units::shortened;
use crate::config::validate;
use crate::format::Format;
use crate::sink::{Planned, firehose};

/// An Amazon Data Firehose delivery stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Firehose {
    /// The delivery stream's name: 1 to 64 letters, digits, `_`, `.` and `-`. Its source must be Direct PUT. An event of
    /// more than 1000 KiB goes to the dead letter, because Firehose takes none.
    pub stream: String,
    /// How the service is reached.
    #[serde(flatten)]
    pub access: AwsAccess,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

/// Bytes of a request where none are set. Firehose takes 4 MiB, but many such requests at a time are memory beside the
/// budget, and one that fails is sent again.
const USUAL_BATCH_BYTES: usize = 1 << 20;

impl Destination for Firehose {
    const KIND: &'static str = "firehose";

    fn check(&self, _: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        // Source: the Amazon Data Firehose API reference, `PutRecordBatch`.
        if !validate::is_name(&self.stream, 64, b"_.-") {
            let message = format!("{} is no delivery stream's name", shortened(&self.stream));
            let problem = Problem::value(at.key("stream"), message);
            let problem = problem.allowed("1 to 64 letters, digits, `_`, `.` and `-`");
            let hint = "the part of the ARN behind `deliverystream/`";
            problems.push(if self.stream.starts_with("arn:") { problem.hint(hint) } else { problem });
        }
        self.access.check(at, problems);
    }

    fn describe(&self, format: &str) -> String {
        format!("firehose {}{}, {format}", self.stream, self.access.describe())
    }

    fn without_region(&self) -> Option<WithoutRegion<'_>> {
        self.access.without_region()
    }

    fn plan(&self, _: Format) -> Planned {
        let settings = firehose::Settings::new(&self.stream, self.access.access());
        firehose::planned(settings, self.batching.settings(USUAL_BATCH_BYTES, firehose::LIMITS))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment};

    #[track_caller]
    fn check(keys: &str, expected: &[&str]) {
        let text = format!("source.file.paths = ['-']\n[sinks.a.firehose]\n{keys}\n");
        match Config::parse(&text, "t.toml", &Environment::default()) {
            Ok(config) => {
                let said = config.sinks["a"].describe();
                assert!(!expected.is_empty() && expected.iter().all(|part| said.contains(part)), "{said}");
                assert_eq!(config.sinks["a"].plan().batch.max_item_bytes, 1_024_000);
            }
            Err(error) => {
                let error = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(!expected.is_empty() && expected.iter().all(|part| error.contains(part)), "{error}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_found_offline() {
        check("stream = 'a.b-c_1'\nregion = 'eu-central-1'", &["firehose a.b-c_1 in eu-central-1, panther"]);
        check("", &["`sinks.a.firehose.stream`: missing"]);
        for stream in ["", "a b", "a/b", &"a".repeat(65)] {
            check(&format!("stream = '{stream}'"), &["`sinks.a.firehose.stream`", "is no delivery stream's name"]);
        }
        let arn = "arn:aws:firehose:eu-central-1:123456789012:deliverystream/a";
        check(&format!("stream = '{arn}'"), &["behind `deliverystream/`"]);
        check("stream = 'a'\nregion = 'x'\nbatch_items = 0", &["2 faults", "firehose.region", "firehose.batch_items"]);
        check("stream = 'a'\nstreams = 'b'", &["did you mean `stream`?"]);
    }

    #[test]
    fn no_request_is_larger_than_the_service_takes() {
        let text =
            "source.file.paths = ['-']\n[sinks.a.firehose]\nstream = 'a'\nbatch_size = '64 MiB'\nbatch_items = 9999";
        let config = Config::parse(text, "t.toml", &Environment::default()).unwrap();
        let batch = config.sinks["a"].plan().batch;
        assert_eq!((batch.max_batch_bytes, batch.max_batch_items), (4 << 20, 500));
    }
}
