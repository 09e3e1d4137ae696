//! What the tests stand on: doubles of the services, and scripted fakes of the crate's traits.

#[cfg(feature = "demo")]
pub(crate) mod bucket_double;
pub(crate) mod collect;
#[cfg(feature = "demo")]
pub(crate) mod dynamodb_double;
#[cfg(feature = "demo")]
pub(crate) mod elasticsearch_double;
pub(crate) mod engine_script;
pub(crate) mod eventstream;
pub(crate) mod fanout_script;
#[cfg(feature = "demo")]
pub(crate) mod fault;
#[cfg(feature = "demo")]
pub(crate) mod kinesis_double;
pub(crate) mod kinesis_script;
pub(crate) mod lease_table;
pub(crate) mod moto;
#[cfg(feature = "demo")]
pub(crate) mod otlp_double;
#[cfg(feature = "demo")]
pub(crate) mod s3_double;
#[cfg(feature = "demo")]
pub(crate) mod splunk_double;
pub(crate) mod sqs_double;
