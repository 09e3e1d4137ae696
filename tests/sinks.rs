//! Sinks against the services they write to, or doubles of them: one contract for all, and what each has of its own.

#[allow(dead_code, reason = "each kind of sink runs it")]
mod contract;
mod elasticsearch;
#[cfg(feature = "demo")]
mod firehose;
mod http;
#[cfg(feature = "demo")]
mod http_client;
#[cfg(feature = "demo")]
mod kinesis;
mod moto;
#[cfg(feature = "demo")]
mod oracle;
mod otlp;
mod parquet;
#[cfg(feature = "demo")]
mod puts;
mod s3;
mod several;
#[cfg(feature = "demo")]
mod splunk_hec;
#[cfg(feature = "demo")]
mod sqs;
