//! Bodies in S3: what Bedrock moved out of a record because it was too large. A record only points at them, and a pointer
//! is data from a log, so this fetches from buckets that the configuration names and from places where Bedrock writes.
//! Here is all the I/O that stands in the midst of the line; the line itself stays pure and is told what was found.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::aws::Access;
use crate::budget::Reservation;

pub mod allowed;
mod cache;
pub mod fetch;
mod get;
mod object;
mod patience;

pub use allowed::Allowed;
pub use object::Body;

/// What became of a body that was to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It is in the event.
    Fetched,
    /// Its bucket is none of those that the configuration names.
    NotAllowed,
    /// Its key is none that Bedrock writes for the record's account.
    BadKey,
    /// It is not there.
    Missing,
    /// S3 does not give it; without the right to list, S3 says this of what is not there too.
    Denied,
    /// It is larger than allowed.
    TooLarge,
    /// It is no JSON in UTF-8, plain or in gzip.
    NotJson,
    /// S3 did not answer in time.
    Timeout,
    /// S3 answered with another error.
    Failed,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Fetched,
        Self::NotAllowed,
        Self::BadKey,
        Self::Missing,
        Self::Denied,
        Self::TooLarge,
        Self::NotJson,
        Self::Timeout,
        Self::Failed,
    ];

    /// The name in events and counts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::NotAllowed => "not_allowed",
            Self::BadKey => "bad_key",
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::TooLarge => "too_large",
            Self::NotJson => "not_json",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
        }
    }
}

/// A body that is wanted. Its path was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    /// `s3://bucket/key`
    pub path: String,
    /// When the call was made: the body may land for a while after that.
    pub event_time: Timestamp,
}

/// What was found out about bodies, by path. The bytes are taken from the budget until this is dropped.
#[derive(Debug, Default)]
pub struct Known {
    bodies: HashMap<String, Result<Arc<Body>, State>>,
    holds: Vec<Reservation>,
}

impl Known {
    /// What is known of a path.
    pub fn get(&self, path: &str) -> Option<&Result<Arc<Body>, State>> {
        self.bodies.get(path)
    }

    fn insert(&mut self, path: &str, found: Result<Arc<Body>, State>) {
        self.bodies.insert(path.to_owned(), found);
    }
}

/// How bodies are fetched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to reach S3.
    pub access: Access,
    /// The buckets that may be read.
    pub buckets: Vec<String>,
    /// Bytes of one body, as it is stored and after inflating.
    pub max_body_bytes: usize,
    /// Requests at a time.
    pub concurrency: usize,
    /// How long after its event a body may still land.
    pub wait: Duration,
    /// Bytes of bodies at a time, those that are being fetched and those that are kept for another use together.
    pub memory_bytes: usize,
    /// Nesting of a body's JSON.
    pub depth: usize,
    /// How fast to try again, and when to give up.
    pub pace: Pace,
}

/// How fast to try again, and when to give up.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The ceiling of the first wait between two tries; each further one is twice as high.
    pub first_wait: Duration,
    /// The highest ceiling.
    pub longest_wait: Duration,
    /// One request, with all its bytes.
    pub attempt: Duration,
    /// How long throttling, errors of the service and lost connections are borne.
    pub trouble: Duration,
    /// How much longer is waited once nothing more is read.
    pub after_stop: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            // A body that lands with its record is there by then.
            first_wait: Duration::from_millis(250),
            // Bodies land within a minute: few tries are in vain, and little time is lost.
            longest_wait: Duration::from_secs(5),
            // The largest body at 10 Mbit/s.
            attempt: Duration::from_secs(25),
            // S3's own clients give up sooner; an outage of hours is no reason to hold a stream back for hours.
            trouble: Duration::from_secs(30),
            // A fifth of the time that a stop has by default; the sinks need the rest.
            after_stop: Duration::from_secs(5),
        }
    }
}
