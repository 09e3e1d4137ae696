//! Tests of the crate from outside: one binary, one module a part.

mod config;
