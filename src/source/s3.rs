//! S3 as a source: the objects that Bedrock, Firehose or an export wrote, each read once from beginning to end.

pub mod choice;
mod error;
mod held;
pub mod list;
mod message;
mod notification;
pub mod notified;
pub mod object;
pub mod queue;
