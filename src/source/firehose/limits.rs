//! Limits: what clients may take of the endpoint, beside its memory.

use std::time::Duration;

/// The bytes of a body before compression. Source: the Firehose developer guide, "HTTP endpoint delivery request": 64 MiB.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// The records of a request. Source: as above.
pub const MAX_RECORDS: usize = 10_000;

/// The bytes of an access key. Source: as above.
pub const MAX_KEY_BYTES: usize = 4096;

/// The characters of a request's id and of an ARN, which are kept for as long as the request is under way. Ids are UUIDs,
/// and ARNs have at most 512 characters (source: the Firehose API reference, `DeliveryStreamARN`).
pub(super) const MAX_NAME_CHARS: usize = 512;

/// How long a body may bring nothing before it is given up: Firehose sends from memory, so a silence this long is a lost
/// connection.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(10);

/// How long a body may go on once the process is told to stop: its records have to be delivered as well before the process
/// is killed.
pub(super) const STOP_BODY_WAIT: Duration = Duration::from_secs(5);

/// What clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Requests at a time that are read, and as many that wait to be durable.
    pub requests: usize,
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of the headers of a request.
    pub header_bytes: usize,
    /// Time for a handshake of TLS, and for the headers of a request.
    pub header_timeout: Duration,
    /// Time for a body.
    pub body_timeout: Duration,
    /// Time that a connection is kept between requests.
    pub idle_timeout: Duration,
    /// Time that a request waits where there is no room for it.
    pub busy_timeout: Duration,
}
