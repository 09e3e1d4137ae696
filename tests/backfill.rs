//! The backfill as people run it.
