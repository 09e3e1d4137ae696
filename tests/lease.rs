//! Leases: how workers share shards.

mod model;
