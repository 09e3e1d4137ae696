//! The Kinesis source: the shards of one stream, read by polling or pushed by subscriptions. It knows streams, shards and their errors, and
//! nothing of what the records hold.
//!
//! [`coordinator::run`] decides which shards to read and when; a [`reader::Reader`] opens one: as a
//! [`poll::PollSource`], or as a [`fanout::FanOutSource`]. Another coordinator (one that holds leases) leaves the
//! sources as they are: they share [`client`], [`error`] and [`shards`].

pub mod client;
pub mod error;

mod attempt;
pub mod pace;
pub mod progress;

pub mod poll;

pub mod fanout;

pub mod reader;
mod refusal;
pub mod shards;

pub mod coordinator;
pub mod fleet;
