//! The otlp sink's keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::header::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Batching, Compression, Destination, HttpClient, LETTERS};
use crate::config::Secret;
use crate::config::document::{KeyPath, Problem};
use crate::config::validate;
use crate::format::Format;
use crate::format::key::Template;
use crate::sink::otlp::{self, Protocol};
use crate::sink::{Planned, batch, opening};

/// An OpenTelemetry collector, or any other endpoint of OTLP. With `format = "otel"` an event is a log record with
/// attributes; in any other format it is the text of a record's body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Otlp {
    /// The endpoint's URL, such as `http://localhost:4318`. Over HTTP, `/v1/logs` is added where it has no path; gRPC, at
    /// port 4317 in most places, has none.
    pub url: String,
    /// How requests travel: `http` (Protobuf over HTTP), `http_json` (JSON over HTTP) or `grpc`. Default: `http`, which
    /// every collector and every proxy takes.
    #[serde(default)]
    pub protocol: Protocol,
    /// Headers of each request, or metadata of each call. Those with a secret are `secret_headers`. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secret, whole: with `authorization`, `Bearer ` is a part of the secret. They are
    /// read at the start, and again when the collector does not accept them, so that one that was replaced in its file is
    /// found. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_headers: BTreeMap<String, Secret>,
    /// How requests are compressed: `none` or `gzip`. Default: `gzip`, which every collector has to take.
    #[serde(default = "default_compression")]
    pub compression: Compression,
    /// Attributes of the resource that log records speak of, by their names. They take the place of those that the
    /// format says, such as `service.name`, which is `amazon-bedrock`. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resource: BTreeMap<String, String>,
    /// How requests are sent.
    #[serde(flatten)]
    pub client: HttpClient,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

fn default_compression() -> Compression {
    Compression::Gzip
}

/// Bytes of a request: of an event's text a collector's gRPC server takes 4 MiB unless it is told otherwise, its HTTP
/// server 20 MiB (source: the collector's `configgrpc` and `confighttp`).
const BATCH_BYTES: usize = 1 << 20;

/// Headers that the sink writes itself.
const OWN_HEADERS: [&str; 8] = [
    "content-encoding",
    "content-length",
    "content-type",
    "connection",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];

/// Words in the names of headers that hold secrets.
const SECRET_HEADERS: [&str; 6] = ["authorization", "api-key", "apikey", "token", "secret", "cookie"];

impl Destination for Otlp {
    const KIND: &'static str = "otlp";

    fn check(&self, _: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.client.check(at, problems);
        check_url(&self.url, self.protocol, self.client.proxy.is_some(), at, problems);
        check_headers(&self.headers, &self.secret_headers, at, problems);
        if self.resource.contains_key("") {
            problems.push(Problem::key(at.key("resource"), "an attribute has no name"));
        }
    }

    fn describe(&self, format: &str) -> String {
        let protocol = match self.protocol {
            Protocol::Http => "http",
            Protocol::HttpJson => "http_json",
            Protocol::Grpc => "grpc",
        };
        let form = if format == Format::Otel.as_str() {
            String::new()
        } else if format == LETTERS {
            " as text".into()
        } else {
            " as text (`format = \"otel\"` gives attributes to search by)".into()
        };
        format!("otlp {} by {protocol}, {format}{form}", self.url)
    }

    fn plan(&self, format: Format) -> Planned {
        let settings = otlp::Settings {
            endpoint: otlp::Endpoint {
                url: self.url.clone(),
                protocol: self.protocol,
                headers: self.headers.clone(),
                secret_headers: self.secret_headers.clone(),
                gzip: self.compression == Compression::Gzip,
                client: self.client.settings(),
            },
            resource: self.resource.clone(),
            structured: format == Format::Otel,
        };
        Planned {
            opening: opening(async { otlp::Otlp::open(settings) }),
            batch: self
                .batching
                .settings(BATCH_BYTES, batch::Settings { max_batch_bytes: usize::MAX, ..batch::Settings::DEFAULT }),
            // The time and the id of what is no log record by itself.
            tags: Template::parse("").ok().map(Arc::new),
            may_refuse: true,
        }
    }
}

/// Checks where requests go.
pub(in crate::config) fn check_url(
    url: &str,
    protocol: Protocol,
    has_proxy: bool,
    at: &KeyPath,
    problems: &mut Vec<Problem>,
) {
    if let Err(message) = validate::endpoint(url) {
        let problem = Problem::value(at.key("url"), message).secret();
        problems.push(problem.allowed("such as \"http://localhost:4318\""));
        return;
    }
    if protocol != Protocol::Grpc {
        return;
    }
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    if rest.split_once('/').is_some_and(|(_, path)| !path.is_empty()) {
        let problem = Problem::value(at.key("url"), "gRPC has a path of its own");
        problems.push(problem.allowed("such as \"http://localhost:4317\""));
    }
    if scheme == "http" && has_proxy {
        let problem = Problem::key(at.key("proxy"), "gRPC goes through a proxy only with `https` in `url`");
        problems.push(problem.hint("leave it out"));
    }
}

/// Checks the headers of requests, and that what looks like a secret is kept as one.
pub(in crate::config) fn check_headers(
    headers: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Secret>,
    at: &KeyPath,
    problems: &mut Vec<Problem>,
) {
    for (name, value) in headers {
        let at = at.key("headers").key(name);
        check_name(name, &at, problems);
        let name = name.to_ascii_lowercase();
        if HeaderValue::from_str(value).is_err() {
            problems.push(Problem::value(at.clone(), "is no header's value").secret());
        }
        if SECRET_HEADERS.iter().any(|word| name.contains(word)) {
            let problem = Problem::key(at, "its value is a secret, which has no place in a file");
            problems.push(problem.hint("move it to `secret_headers`, as `{ env = \"NAME\" }`"));
        }
    }
    for (name, secret) in secrets {
        let at = at.key("secret_headers").key(name);
        check_name(name, &at, problems);
        if headers.keys().any(|other| other.eq_ignore_ascii_case(name)) {
            problems.push(Problem::key(at.clone(), "stands in `headers` too"));
        }
        secret.check(&at, problems);
    }
}

fn check_name(name: &str, at: &KeyPath, problems: &mut Vec<Problem>) {
    let lower = name.to_ascii_lowercase();
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        problems.push(Problem::key(at.clone(), "is no header's name"));
    } else if OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("grpc-") {
        problems.push(Problem::key(at.clone(), "is a header that the sink writes itself").hint("leave it out"));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment};

    /// What is wrong with a section, each by a part of its words; nothing is where it is valid.
    fn check(section: &str, expected: &[&str]) {
        let text = format!("source.file.paths = ['-']\n[sinks.a.otlp]\n{section}\n");
        match Config::parse(&text, "t.toml", &Environment::default()) {
            Ok(_) => assert!(expected.is_empty(), "{section} is valid"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty() && expected.iter().all(|part| error.contains(part)), "{section}: {error}");
            }
        }
    }

    fn described(section: &str) -> String {
        let text = format!("source.file.paths = ['-']\n[sinks.a.otlp]\n{section}\n");
        Config::parse(&text, "t.toml", &Environment::default()).unwrap().sinks["a"].describe()
    }

    #[test]
    fn urls_fit_their_protocol() {
        check("url = 'http://localhost:4318'", &[]);
        check("url = 'https://a.example/otlp/v1/logs'\nprotocol = 'http_json'", &[]);
        check("url = 'http://localhost:4317/'\nprotocol = 'grpc'", &[]);
        check("url = 'https://a.example'\nprotocol = 'grpc'\nproxy = 'http://b.example:3128'", &[]);
        check("", &["`sinks.a.otlp.url`: missing"]);
        check("url = 'localhost:4317'", &["`sinks.a.otlp.url`", "begins with neither"]);
        check("url = 'http://a/x?key=1'", &["`sinks.a.otlp.url`", "query"]);
        check("url = 'http://a/v1/logs'\nprotocol = 'grpc'", &["`sinks.a.otlp.url`: gRPC has a path of its own"]);
        check("url = 'http://a'\nprotocol = 'grpc'\nproxy = 'http://b'", &["`sinks.a.otlp.proxy`: gRPC goes"]);
        check("url = 'http://a'\nprotocol = 'udp'", &["`sinks.a.otlp.protocol`", "http_json"]);
        check("url = 'http://a'\ncompression = 'zstd'", &["`sinks.a.otlp.compression`"]);
        check("url = 'http://a'\nclient_certificate = 'a.pem'", &["`sinks.a.otlp.client_key`: missing"]);
    }

    #[test]
    fn headers_are_checked_and_secrets_stay_out_of_the_file() {
        let check = |lines: &str, expected: &[&str]| check(&format!("url = 'http://a'\n{lines}"), expected);
        check("headers.x-scope-orgid = 'a'\nsecret_headers.authorization.env = 'TOKEN'", &[]);
        check("headers.'x y' = 'a'", &["x y", "is no header's name"]);
        check("headers.a = \"b\\nc\"", &["`sinks.a.otlp.headers.a`: is no header's value"]);
        for name in ["content-type", "Content-Encoding", "te", "grpc-timeout"] {
            check(&format!("headers.{name} = 'a'"), &["the sink writes itself"]);
        }
        check("headers.Authorization = 'Bearer abc'", &["its value is a secret", "move it to `secret_headers`"]);
        check("headers.DD-API-KEY = 'abc'", &["its value is a secret"]);
        check("headers.a = 'b'\nsecret_headers.A.env = 'K'", &["`sinks.a.otlp.secret_headers.A`: stands in `headers`"]);
        check("secret_headers.a = 'b'", &["`sinks.a.otlp.secret_headers.a`"]);
        check("secret_headers.a.env = 'A B'", &["names no environment variable"]);
        check("resource.'' = 'b'", &["`sinks.a.otlp.resource`: an attribute has no name"]);
    }

    #[test]
    fn the_description_says_what_a_record_is() {
        assert_eq!(described("url = 'http://a'\nformat = 'otel'"), "otlp http://a by http, otel");
        assert_eq!(
            described("url = 'http://a'\nprotocol = 'grpc'"),
            "otlp http://a by grpc, panther as text (`format = \"otel\"` gives attributes to search by)"
        );
    }
}
