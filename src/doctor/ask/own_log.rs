//! The service's own log: the log group that ECS writes it to. Source: the Amazon ECS Developer Guide, "task metadata
//! endpoint version 4": the path of the container says its log driver and the driver's options.

use std::time::Duration;

use reqwest::{Method, Url};
use serde::Deserialize;

use crate::doctor::facts::OwnLog;
use crate::proxies::Proxies;
use crate::sink::client::{Client, Settings};

/// The variable that ECS sets.
const VARIABLE: &str = "ECS_CONTAINER_METADATA_URI_V4";

#[derive(Deserialize)]
struct Container {
    #[serde(rename = "LogDriver")]
    driver: Option<String>,
    #[serde(rename = "LogOptions")]
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    #[serde(rename = "awslogs-group")]
    group: Option<String>,
}

/// Finds it: as it is named, else as ECS says.
pub(super) async fn ask(named: Option<String>, limit: Duration) -> OwnLog {
    if let Some(name) = named {
        return OwnLog::Group(name);
    }
    let Ok(url) = std::env::var(VARIABLE) else { return OwnLog::Unknown };
    let asked = async {
        // The address is link-local: no proxy leads there.
        let proxies = Proxies { http: None, https: None, direct: String::new() };
        let client = Client::through(&Settings { timeout: limit, ..Settings::default() }, &proxies).ok()?;
        let answer = client.send(client.request(Method::GET, Url::parse(&url).ok()?)).await.ok()?;
        answer.status.is_success().then(|| read(&answer.body))
    };
    tokio::time::timeout(limit, asked).await.ok().flatten().unwrap_or(OwnLog::Unknown)
}

fn read(body: &[u8]) -> OwnLog {
    let Ok(container) = serde_json::from_slice::<Container>(body) else { return OwnLog::Unknown };
    match (container.driver.as_deref(), container.options.and_then(|options| options.group)) {
        (Some("awslogs"), Some(group)) => OwnLog::Group(group),
        (None | Some("awslogs"), _) => OwnLog::Unknown,
        _ => OwnLog::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_says_where_its_log_goes() {
        let check = |body: &str, expected: OwnLog| assert_eq!(read(body.as_bytes()), expected, "{body}");
        let group = OwnLog::Group("/tap".to_owned());
        check(r#"{"LogDriver":"awslogs","LogOptions":{"awslogs-group":"/tap","awslogs-region":"eu-west-1"}}"#, group);
        check(r#"{"LogDriver":"awsfirelens"}"#, OwnLog::Elsewhere);
        check(r#"{"LogDriver":"awslogs"}"#, OwnLog::Unknown);
        check("{}", OwnLog::Unknown);
        check("<html>", OwnLog::Unknown);
    }
}
