//! Tests of the crate from outside, in one binary.

#[cfg(feature = "demo")]
mod generator;
