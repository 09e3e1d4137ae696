//! The integration tests: one binary, so that it links once.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect fails, in its helpers too")]
#![allow(clippy::print_stderr, reason = "what a test measures is shown where its output is asked for")]
#[cfg(feature = "demo")]
mod backfill;
#[cfg(feature = "demo")]
mod bodies;
#[cfg(feature = "demo")]
mod chaos;
mod config;
mod dashboards;
mod decode;
mod deploy;
mod detect;
mod detect_cli;
mod doctor;
mod engine;
#[cfg(feature = "demo")]
mod export;
mod fuzz;
#[cfg(feature = "demo")]
mod generator;
#[cfg(feature = "demo")]
mod health;
mod kinesis;
mod lease;
mod letters;
mod pages;
#[cfg(feature = "demo")]
mod run;
mod sinks;
mod sources;
mod supply;
mod support;
mod tail;
