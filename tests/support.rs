//! What the tests stand on: doubles of the services, and scripted fakes of the crate's traits.

#[cfg(feature = "demo")]
pub(crate) mod certificates;
pub(crate) mod collect;
#[cfg(feature = "demo")]
pub(crate) mod dynamodb_double;
pub(crate) mod engine_script;
pub(crate) mod eventstream;
pub(crate) mod fanout_script;
#[cfg(feature = "demo")]
pub(crate) mod fault;
#[cfg(feature = "demo")]
pub(crate) mod http_double;
#[cfg(feature = "demo")]
pub(crate) mod kinesis_double;
pub(crate) mod kinesis_script;
pub(crate) mod lease_table;
#[cfg(feature = "demo")]
pub(crate) mod proxy_double;
#[cfg(feature = "demo")]
pub(crate) mod s3_double;
