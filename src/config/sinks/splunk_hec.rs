//! The splunk_hec sink's keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Batching, Destination, HttpClient};
use crate::config::document::{KeyPath, Problem};
use crate::format::Format;
use crate::sink::{Opening, Planned, batch};

/// Splunk's HTTP Event Collector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SplunkHec {
    /// The collector's URL, without a path.
    pub url: String,
    /// How requests are sent.
    #[serde(flatten)]
    pub client: HttpClient,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

impl Destination for SplunkHec {
    const KIND: &'static str = "splunk_hec";

    fn check(&self, _: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.client.check(at, problems);
    }

    fn describe(&self, format: &str) -> String {
        format!("splunk_hec {}, {format}", self.url)
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
