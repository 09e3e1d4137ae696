//! The Kinesis source, against a stream in memory on paused time, and over HTTP against an emulator with faults.

mod coordinating;
mod over_http;
mod polling;
