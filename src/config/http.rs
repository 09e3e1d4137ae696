//! The HTTP section: where the process answers about itself.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the process answers about itself: `/metrics`, `/livez`, `/readyz` and `/status`, in plain HTTP and to whoever can
/// connect. Nothing of a prompt or an answer is ever among it, but names of streams, sinks and models are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpServer {
    /// The address to listen on, such as `127.0.0.1:9464`, the port that metrics are usually scraped from; `0.0.0.0:9464`
    /// lets other hosts ask, and port 0 takes any that is free, which the log then names.
    pub listen: SocketAddr,
}
