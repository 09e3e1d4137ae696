//! CloudWatch Logs as a source: log groups read by their own API, without a stream.

pub mod client;
mod clock;
pub mod envelope;
pub mod error;
pub mod groups;
pub mod live;
mod pace;
mod pages;
pub mod poll;
pub mod window;
