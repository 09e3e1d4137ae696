//! The integration tests: one binary, so that the crate is linked once. Each module is one part of the program.

mod config;
mod kinesis;
mod support;
mod tail;
