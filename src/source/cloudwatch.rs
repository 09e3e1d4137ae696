//! CloudWatch Logs as a source: a log group read by its own API, without a stream.

pub mod window;
