//! S3 as a destination: a file of events an object.

pub mod parquet;
