//! Sinks against the services they write to, or doubles of them: one contract for all, and what each has of its own.

#[allow(dead_code, reason = "each kind of sink runs it")]
mod contract;
mod moto;
#[cfg(feature = "demo")]
mod sqs;
