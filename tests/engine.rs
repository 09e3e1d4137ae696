//! The engine: lanes, sinks, checkpoints, files and the daemon, from outside, with scripted ends.

mod batching;
mod crash;
mod daemon;
mod files;
#[cfg(unix)]
mod hangup;
mod lanes;
mod ranges;
mod reload;
