//! Fleets of real worker processes over HTTP: on one stream and one lease table, both emulated in this process, with
//! faults in front of each.

mod format;
mod handover;
mod ledger;
mod observer;
mod refusals;
mod schedule;
mod storm;
mod worker;
