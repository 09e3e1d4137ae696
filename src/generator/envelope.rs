//! An envelope: what a CloudWatch Logs subscription delivers, as JSON and then gzip.
//! Source of the shapes: CloudWatch Logs user guide, "Log group-level subscription filters", and public captures.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};

use super::json;
use super::random::Random;

/// The log group that invocations are logged to.
pub const LOG_GROUP: &str = "/aws/bedrock/modelinvocations";
/// The log stream that Bedrock always writes to.
const LOG_STREAM: &str = "aws/bedrock/modelinvocations";
/// The line that Bedrock writes when logging is switched on.
const NOTICE: &str = "Permissions are correctly set for Amazon Bedrock logs.";
/// What CloudWatch Logs sends to see whether the destination takes records.
const CONTROL: &str = concat!(
    r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"#,
    r#""logEvents":[{"id":"","timestamp":@,"message":"CWL CONTROL MESSAGE: Checking health of destination Kinesis "#,
    r#"stream."}]}"#
);

/// An envelope that is being filled.
#[derive(Debug)]
pub(super) struct Envelope {
    out: String,
    events: u32,
    account_level: bool,
}

impl Envelope {
    /// An envelope of invocations.
    pub(super) fn invocations(owner: &str, account_level: bool) -> Self {
        Self::new(owner, LOG_GROUP, LOG_STREAM, account_level)
    }

    /// An envelope of another log group, as an account-level subscription delivers it.
    pub(super) fn of_another_group(owner: &str) -> Self {
        Self::new(owner, "/aws/lambda/order-import", "2026/10/07/[$LATEST]5f0c7de2a1b94c6d", true)
    }

    fn new(owner: &str, group: &str, stream: &str, account_level: bool) -> Self {
        let mut out = String::with_capacity(16 * 1024);
        out.push_str(r#"{"messageType":"DATA_MESSAGE","owner":""#);
        out.push_str(owner);
        out.push_str(r#"","logGroup":""#);
        out.push_str(group);
        out.push_str(r#"","logStream":""#);
        out.push_str(stream);
        out.push_str(r#"","subscriptionFilters":["bedrock-invocations"],"logEvents":["#);
        Self { out, events: 0, account_level }
    }

    /// Adds a log event.
    pub(super) fn push(&mut self, random: &mut Random, number: u64, at_millis: i64, message: &str) {
        if self.events > 0 {
            self.out.push(',');
        }
        self.events += 1;
        // CloudWatch's ids are numbers of 56 digits that grow with time; the running number keeps them unique.
        self.out.push_str(&format!(r#"{{"id":"3{at_millis:013}{number:012}"#));
        random.digits(30, &mut self.out);
        self.out.push_str(&format!(r#"","timestamp":{at_millis},"message":""#));
        json::escape(message, &mut self.out);
        self.out.push_str("\"}");
    }

    /// Adds the line that Bedrock writes when logging is switched on.
    pub(super) fn push_notice(&mut self, random: &mut Random, number: u64, at_millis: i64) {
        self.push(random, number, at_millis, NOTICE);
    }

    /// The envelope as JSON.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.push(']');
        if self.account_level {
            self.out.push_str(r#","policyLevel":"ACCOUNT_LEVEL_POLICY""#);
        }
        self.out.push('}');
        self.out.into_bytes()
    }
}

/// A control message as JSON.
pub(super) fn control(at_millis: i64) -> Vec<u8> {
    CONTROL.replace('@', &at_millis.to_string()).into_bytes()
}

/// Deflates as CloudWatch Logs does: level 6, a header without time, extra flags and system.
pub(super) fn gzip(json: &[u8]) -> Vec<u8> {
    let header = GzBuilder::new().mtime(0).operating_system(0);
    let mut encoder = header.write(Vec::with_capacity(json.len() / 3), Compression::new(6));
    // Writing to memory cannot fail; an error would leave a record that every reader refuses, not a wrong one.
    let _ = encoder.write_all(json);
    encoder.finish().unwrap_or_default()
}
