//! The choice: which of the objects that a bucket holds are logs to read. It looks at names and sizes alone.

use std::fmt;

/// What marks the place of Bedrock's logs in a key. Bedrock writes bodies that are too large for a record below it, too.
const LOGS: &str = "BedrockModelInvocationLogs";

/// The folder of those bodies, in each hour's.
const BODIES: &str = "data";

/// The object by which Bedrock tries whether it may write.
const PERMISSION_CHECK: &str = "amazon-bedrock-logs-permission-check";

/// Which objects are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The buckets; none are all.
    pub buckets: Vec<String>,
    /// What keys begin with that are read; none is every beginning.
    pub include: Vec<String>,
    /// What keys begin with that are not read, unless a longer beginning is included.
    pub exclude: Vec<String>,
}

/// Why an object is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// Its bucket is none of those that are read.
    Bucket,
    /// Its key is left out by what it begins with.
    Prefix,
    /// Bedrock wrote it to see whether it may.
    PermissionCheck,
    /// It is a body that a record refers to, and no log.
    Body,
    /// It has no bytes.
    Empty,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bucket => "bucket",
            Self::Prefix => "prefix",
            Self::PermissionCheck => "permission-check",
            Self::Body => "body",
            Self::Empty => "empty",
        })
    }
}

/// Whether a key, or a folder's prefix, is that of bodies beside Bedrock's logs. A folder `data` of others is none.
pub fn is_of_bodies(key: &str) -> bool {
    let mut folders = key.split('/');
    folders.any(|folder| folder == LOGS) && folders.any(|folder| folder == BODIES)
}

impl Choice {
    /// Why an object is not read, if it is not; `size` is in bytes, where it is known.
    pub fn skip(&self, bucket: &str, key: &str, size: Option<u64>) -> Option<Skip> {
        if !self.takes_bucket(bucket) {
            return Some(Skip::Bucket);
        }
        if !self.takes(key) {
            return Some(Skip::Prefix);
        }
        if key.rsplit('/').next() == Some(PERMISSION_CHECK) {
            return Some(Skip::PermissionCheck);
        }
        if is_of_bodies(key) {
            return Some(Skip::Body);
        }
        (size == Some(0)).then_some(Skip::Empty)
    }

    /// Whether objects of the bucket are read.
    pub fn takes_bucket(&self, bucket: &str) -> bool {
        self.buckets.is_empty() || self.buckets.iter().any(|taken| taken == bucket)
    }

    /// Whether keys that begin so are read. The longest match wins; of two that are the same, the one that includes.
    pub fn takes(&self, key: &str) -> bool {
        let longest = |prefixes: &[String]| {
            prefixes.iter().filter(|prefix| key.starts_with(prefix.as_str())).map(String::len).max()
        };
        match (longest(&self.include), longest(&self.exclude)) {
            (included, None) => included.is_some() || self.include.is_empty(),
            (None, Some(_)) => false,
            (Some(included), Some(excluded)) => included >= excluded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(prefixes: &[&str]) -> Vec<String> {
        prefixes.iter().map(|prefix| (*prefix).to_owned()).collect()
    }

    #[test]
    fn the_longest_prefix_wins() {
        let check = |include: &[&str], exclude: &[&str], key: &str, expected: bool| {
            let choice = Choice { include: owned(include), exclude: owned(exclude), ..Choice::default() };
            assert_eq!(choice.takes(key), expected, "{include:?}, {exclude:?}: {key}");
        };
        check(&[], &[], "a", true);
        check(&["a/"], &[], "a/b", true);
        check(&["a/"], &[], "b/a/", false);
        check(&[], &["a/"], "a/b", false);
        check(&[], &["a/"], "b", true);
        check(&["a/"], &["a/b/"], "a/b/c", false);
        check(&["a/", "a/b/c/"], &["a/b/"], "a/b/c/d", true);
        check(&["a/b/"], &["a/"], "a/b/c", true);
        check(&["a/b/"], &["a/"], "a/c", false);
        check(&["a/"], &["a/"], "a/c", true);
    }

    #[test]
    fn what_is_no_log_is_skipped() {
        let choice = Choice { buckets: owned(&["logs"]), exclude: owned(&["not/"]), ..Choice::default() };
        let check = |bucket: &str, key: &str, size: Option<u64>, expected: Option<Skip>| {
            assert_eq!(choice.skip(bucket, key, size), expected, "{key}");
        };
        let hour = "AWSLogs/123456789012/BedrockModelInvocationLogs/us-east-1/2026/01/02/03";
        check("logs", &format!("{hour}/20260102T030405678Z_0123abc.json.gz"), Some(1), None);
        check("logs", &format!("{hour}/20260102T030405678Z_0123abc.json.gz"), None, None);
        check("logs", &format!("{hour}/data/r_input.json.gz"), Some(1), Some(Skip::Body));
        check("logs", &format!("{hour}/data/r_input.json.gz"), Some(0), Some(Skip::Body));
        check("logs", &format!("{hour}/database"), Some(1), None);
        check("logs", "data/AWSLogs/BedrockModelInvocationLogs/a", Some(1), None);
        check("logs", "exports/data/a.json", Some(1), None);
        check("logs", &format!("{hour}/amazon-bedrock-logs-permission-check"), Some(1), Some(Skip::PermissionCheck));
        check("logs", "amazon-bedrock-logs-permission-check", None, Some(Skip::PermissionCheck));
        check("logs", "a/", Some(0), Some(Skip::Empty));
        check("logs", "not/a", Some(1), Some(Skip::Prefix));
        check("others", "a", Some(1), Some(Skip::Bucket));
    }
}
