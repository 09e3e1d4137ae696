//! bedrock-tap reads CloudWatch Logs subscription records, finds the Amazon Bedrock model invocations in them, and
//! delivers them without losing one.
//!
//! The modules stand in the order in which the data flows:
//!
//! ```text
//! source ─ records ─▶ decode ▶ extract ▶ parse ▶ enrich ▶ select ▶ detect ▶ redact ▶ format ─ batch ─▶ sink ─ durable ─▶ checkpoint
//!   I/O              └──────────────── pure, synchronous, cannot fail ───────────┘   I/O               I/O
//! ```
//!
//! Where large bodies are to be fetched from S3, `bodies` does so between two runs of the pure part: the first says which
//! are wanted behind `parse`, and the next goes on there with what was found.

pub mod proxies;

pub mod aws;
pub mod budget;
pub mod record;
pub mod source;

pub mod json;

pub mod decode;
pub mod extract;
pub mod invocation;
pub mod parse;
pub mod reject;

pub mod bodies;

pub mod body;
pub mod enrich;
pub mod expression;
pub mod redact;
pub mod select;

pub mod detect;

pub mod format;
pub mod pipeline;

pub mod checkpoint;
pub mod delivery;
pub mod lease;
pub mod sink;

pub mod backfill;

pub mod config;
pub mod daemon;
pub mod doctor;
pub mod health;
pub mod metrics;
pub mod schema;
pub mod telemetry;

pub mod cli;
#[cfg(feature = "demo")]
pub mod generator;
