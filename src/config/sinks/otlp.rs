//! The otlp sink's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Batching, Destination, HttpClient};
use crate::config::document::{KeyPath, Problem};
use crate::format::Format;
use crate::sink::{Opening, Planned, batch};

/// An OpenTelemetry collector, or any other endpoint of OTLP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Otlp {
    /// The endpoint's URL.
    pub url: String,
    /// How requests are sent.
    #[serde(flatten)]
    pub client: HttpClient,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

impl Destination for Otlp {
    const KIND: &'static str = "otlp";

    fn check(&self, _: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.client.check(at, problems);
    }

    fn describe(&self, format: &str) -> String {
        format!("otlp {}, {format}", self.url)
    }

    fn plan(&self, _: Format) -> Planned {
        let opening: Opening = Box::new(|| Box::pin(std::future::ready(Err(anyhow::anyhow!("not there yet")))));
        Planned {
            opening,
            batch: self.batching.settings(1 << 20, batch::Settings::DEFAULT),
            tags: None,
            may_refuse: true,
        }
    }
}
