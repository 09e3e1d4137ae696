//! The Kinesis source: the shards of one stream, read by polling. It knows streams, shards and their errors, and
//! nothing of what the records hold.
//!
//! [`coordinator::run`] decides which shards to read and when; a [`poll::PollSource`] reads one. Another coordinator
//! (one that holds leases) or another way to read a shard (a subscription) takes the place of one of the two and
//! leaves the other as it is: they share [`client`], [`error`] and [`shards`].

pub mod client;
pub mod error;

mod attempt;
pub mod pace;
pub mod poll;
pub mod progress;
pub mod reader;
pub mod shards;

pub mod coordinator;
pub mod fleet;
