//! What may be fetched. A pointer is data from a log: whoever can write a log could have this service read an object with
//! the service's own rights. So the bucket is one that the configuration names, and the key is one that Bedrock writes
//! for the very account that the record is of.

use std::collections::BTreeSet;

use super::State;

/// The longest key in S3, in bytes. Source: the Amazon S3 User Guide, "Naming Amazon S3 objects".
const MAX_KEY_BYTES: usize = 1024;

/// The buckets that may be read.
#[derive(Debug, Default)]
pub struct Allowed {
    buckets: BTreeSet<String>,
}

impl Allowed {
    /// These buckets, by their exact names.
    pub fn new(buckets: impl IntoIterator<Item = String>) -> Self {
        Self { buckets: buckets.into_iter().collect() }
    }

    /// Whether a path that stands in a record of this account may be fetched.
    ///
    /// # Errors
    /// [`State::NotAllowed`] for another bucket, or none at all; [`State::BadKey`] for another key.
    pub fn check(&self, path: &str, account: &str) -> Result<(), State> {
        let (bucket, key) = split(path).ok_or(State::NotAllowed)?;
        if !self.buckets.contains(bucket) {
            return Err(State::NotAllowed);
        }
        if is_body_of(key, account) { Ok(()) } else { Err(State::BadKey) }
    }
}

/// The bucket and the key of a path.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("s3://")?.split_once('/')
}

/// Whether Bedrock writes bodies of this account to such a key:
/// `[PREFIX/]AWSLogs/ACCOUNT/BedrockModelInvocationLogs/REGION/YYYY/MM/DD/HH/data/REQUEST_input.json.gz`.
fn is_body_of(key: &str, account: &str) -> bool {
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = key.len() <= MAX_KEY_BYTES && !key.contains("..") && !key.chars().any(char::is_control);
    let is_json = key.ends_with(".json") || key.ends_with(".json.gz");
    let place = format!("AWSLogs/{account}/BedrockModelInvocationLogs/");
    let below = match key.strip_prefix(&place) {
        Some(below) => Some(below),
        None => key.split_once(&format!("/{place}")).map(|(_, below)| below),
    };
    // The slash in front of `data/` may be the one that ends the place.
    let is_data = below.is_some_and(|below| below.starts_with("data/") || below.contains("/data/"));
    is_account && is_plain && is_json && is_data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bedrocks_own_places_in_named_buckets_are_read() {
        let allowed = Allowed::new(["logs".to_owned(), "more.logs".to_owned()]);
        let check = |path: &str, account: &str, expected: Result<(), State>| {
            assert_eq!(allowed.check(path, account), expected, "{path} of {account}");
        };
        let (one, two) = ("111111111111", "222222222222");
        let place = "AWSLogs/111111111111/BedrockModelInvocationLogs";
        check(&format!("s3://logs/{place}/eu-west-1/2026/01/02/03/data/r_input.json.gz"), one, Ok(()));
        check(&format!("s3://more.logs/a/b/{place}/eu-west-1/data/r_output.json"), one, Ok(()));
        check(&format!("s3://logs/{place}/data/r.json"), one, Ok(()));

        let not_allowed = Err(State::NotAllowed);
        for path in ["", "s3://", "s3://logs", "https://logs/x", "s3:///logs/x", "S3://logs/x"] {
            check(path, one, not_allowed);
        }
        for bucket in ["other", "Logs", "logs.", "morelogs", "logs2", "logs "] {
            check(&format!("s3://{bucket}/{place}/data/r.json"), one, not_allowed);
        }

        let bad = Err(State::BadKey);
        check(&format!("s3://logs/{place}/data/r.json"), two, bad);
        check(&format!("s3://logs/{place}/data/r.json"), "", bad);
        check("s3://logs/AWSLogs//BedrockModelInvocationLogs/data/r.json", "", bad);
        check("s3://logs/AWSLogs/x/../y/BedrockModelInvocationLogs/data/r.json", "x/../y", bad);
        check("s3://logs/AWSLogs/١١١١١١/BedrockModelInvocationLogs/data/r.json", "١١١١١١", bad);
        for key in [
            "".to_owned(),
            format!("{place}/eu-west-1/r.json"),
            format!("data/{place}/r.json"),
            format!("x{place}/data/r.json"),
            format!("{place}/data/r.txt"),
            format!("{place}/data/r.json.gz.exe"),
            format!("{place}/data/../../r.json"),
            format!("{place}/data/r\n.json"),
            format!("{place}/data/{}.json", "r".repeat(1024)),
        ] {
            check(&format!("s3://logs/{key}"), one, bad);
        }
    }
}
