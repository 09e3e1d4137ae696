//! The Kinesis source, against a stream in memory on paused time, and over HTTP against an emulator with faults.

mod coordinating;
mod fanout;
// The emulator is a dependency of the feature.
#[cfg(feature = "demo")]
mod over_http;
mod polling;
