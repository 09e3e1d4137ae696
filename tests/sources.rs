//! Sources beside streams and files, against the services they read from, or doubles of them.

mod cloudwatch;
mod firehose;
mod identity;
mod list;
mod live;
mod positions;
mod s3;
