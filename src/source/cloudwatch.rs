//! CloudWatch Logs as a source: log groups read by their own API, without a stream.

pub mod client;
pub mod envelope;
pub mod error;
pub mod live;
mod pace;
mod pages;
pub mod poll;
pub mod window;
