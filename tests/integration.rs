//! The integration tests: one binary, so that it links once.

mod tail;
mod config;
//! The integration tests: one binary, so that the crate is linked once. Each module is one part of the program.

mod kinesis;
mod support;
