//! What the tests stand on: doubles of the services, and scripted fakes of the crate's traits.

pub mod collect;
pub mod fault;
pub mod kinesis_double;
pub mod kinesis_script;
