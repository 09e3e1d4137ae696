//! The integration tests: one binary, so that the crate is linked once. Each module is one part of the program.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect fails, in its helpers too")]

mod engine;
