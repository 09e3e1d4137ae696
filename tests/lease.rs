//! Leases: the fleet of workers against a table and a stream in memory, on paused time; the real table against an
//! emulator; and a model of all that can happen, walked through state by state.

// The emulator stands behind the fault layer, whose server is a dependency of the feature.
#[cfg(feature = "demo")]
mod dynamodb;
mod fleet;
mod model;
mod scale;
