//! Sinks against the services they write to, or doubles of them: one contract for all, and what each has of its own.

#[allow(dead_code, reason = "each kind of sink runs it")]
mod contract;
#[cfg(feature = "demo")]
mod firehose;
#[cfg(feature = "demo")]
mod kinesis;
#[cfg(feature = "demo")]
mod puts;
mod several;
#[cfg(feature = "demo")]
mod splunk_hec;
mod parquet;
mod s3;
mod otlp;
mod elasticsearch;
mod moto;
#[cfg(feature = "demo")]
mod sqs;
