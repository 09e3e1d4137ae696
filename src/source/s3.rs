//! S3 as a source: the objects that Bedrock, Firehose or an export wrote, each read once from beginning to end.

pub mod list;
pub mod object;
