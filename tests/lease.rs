//! Leases: the fleet of workers against a table and a stream in memory, on paused time.

mod fleet;
mod scale;
