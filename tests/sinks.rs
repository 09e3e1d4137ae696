//! Sinks against the services they write to, or doubles of them: one contract for all, and what each has of its own.

#[allow(dead_code, reason = "each kind of sink runs it")]
mod contract;
#[cfg(feature = "demo")]
mod http;
#[cfg(feature = "demo")]
mod http_client;
