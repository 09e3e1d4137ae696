//! The firehose source's keys.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::document::{KeyPath, Problem};
use crate::config::secret::Secret;
use crate::config::units::{ByteSize, DurationText, duration, shortened};
use crate::source::firehose::HEALTH;

/// The most access keys. A rotation needs two for a stream.
const MAX_KEYS: usize = 100;

/// An HTTP endpoint for delivery streams of Amazon Data Firehose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirehoseSource {
    /// The address and port to listen on. Firehose itself speaks HTTPS to port 443 only: either a load balancer listens there
    /// and passes requests on, or this has `tls` and the port 443.
    pub listen: SocketAddr,
    /// The path that records are posted to; `/health` is taken, by what answers load balancers. Default: `/`, because
    /// Firehose needs none.
    #[serde(default = "default_path")]
    pub path: String,
    /// The access keys that are taken, 1 to 100: that of each delivery stream, and during a rotation the old one as well.
    /// Each is the key by itself, or the JSON in which Secrets Manager keeps it, `{"api_key": "…"}`. Files are read again
    /// every 10 s; while one of them cannot be read, all keys stay as they were.
    #[schemars(length(min = 1, max = 100))]
    pub access_keys: Vec<Secret>,
    /// How long a request waits for its records to be durable before it is answered with 503, `1s` to `170s`. The delivery
    /// goes on, and the same request again waits for the same. Default: `150s`: Firehose waits for three minutes.
    #[serde(default = "default_answer_timeout", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "170s"))]
    pub answer_timeout: Duration,
    /// Connections at a time, 1 to 65536. Where all are taken, one that has shown no access key is ended for a new one, else
    /// one that is idle. Default: 512, which Firehose and a load balancer do not need, and which costs little.
    #[serde(default = "default_max_connections")]
    #[schemars(range(min = 1, max = 65536))]
    pub max_connections: u32,
    /// Requests that are read at a time, and as many that wait to be durable, 1 to 65536. Default: 1024, a second of a
    /// thousand requests, where sinks take a second.
    #[serde(default = "default_max_requests")]
    #[schemars(range(min = 1, max = 65536))]
    pub max_requests: u32,
    /// Headers of a request over HTTP/1.1, 16 to 1024. Default: 64; Firehose and a load balancer send about 20.
    #[serde(default = "default_max_headers")]
    #[schemars(range(min = 16, max = 1024))]
    pub max_headers: u32,
    /// Bytes of the headers of a request, `8 KiB` to `1 MiB`. Default: `128 KiB`: an access key of 4 KiB and 50 common
    /// attributes of 1.25 KiB, and the rest.
    #[serde(default = "default_max_header_size")]
    #[schemars(extend("x-minimum" = "8 KiB", "x-maximum" = "1 MiB"))]
    pub max_header_size: ByteSize,
    /// How long a TLS handshake may take, and the headers of a request, `1s` to `1m`. Default: `10s`; who takes longer is
    /// broken, or means no good.
    #[serde(default = "default_header_timeout", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "1m"))]
    pub header_timeout: Duration,
    /// How long a body may take, `1s` to `150s`; one that brings nothing for 10 s is given up earlier. Default: `60s`: 64 MiB
    /// at 1 MiB a second.
    #[serde(default = "default_body_timeout", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "150s"))]
    pub body_timeout: Duration,
    /// How long a connection is kept between two requests, `1s` to `1h`. Default: `90s`, longer than the 60 s of an
    /// Application Load Balancer, which would otherwise meet connections that end beneath it.
    #[serde(default = "default_idle_timeout", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "1s", "x-maximum" = "1h"))]
    pub idle_timeout: Duration,
    /// How long a request waits where there is no memory or place for it before it is answered with 503, `100ms` to `1m`.
    /// Default: `5s`, long enough for a burst; Firehose comes again. A body larger than a fifth of `memory_budget` (64 MiB at
    /// most) comes in alone, and waits for twice as long.
    #[serde(default = "default_busy_timeout", with = "duration")]
    #[schemars(with = "DurationText", extend("x-minimum" = "100ms", "x-maximum" = "1m"))]
    pub busy_timeout: Duration,
    /// The certificate to show. Default: none, plain HTTP, for a load balancer that has the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Certificate>,
}

/// A certificate and its key, as files. They are looked at every 10 s; a new pair that is none is warned of, and the one
/// from before stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The file of the certificate and its chain (PEM), the server's own first. Firehose takes only those of authorities
    /// that are publicly trusted.
    pub certificate: PathBuf,
    /// The file of its private key (PEM).
    pub key: PathBuf,
}

fn default_path() -> String {
    "/".into()
}

fn default_answer_timeout() -> Duration {
    Duration::from_secs(150)
}

fn default_max_connections() -> u32 {
    512
}

fn default_max_requests() -> u32 {
    1024
}

fn default_max_headers() -> u32 {
    64
}

fn default_max_header_size() -> ByteSize {
    ByteSize::new(128 << 10)
}

fn default_header_timeout() -> Duration {
    Duration::from_secs(10)
}

fn default_body_timeout() -> Duration {
    Duration::from_secs(60)
}

fn default_idle_timeout() -> Duration {
    Duration::from_secs(90)
}

fn default_busy_timeout() -> Duration {
    Duration::from_secs(5)
}

impl FirehoseSource {
    pub(in crate::config) fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        if self.listen.port() == 0 {
            problems.push(Problem::value(at.key("listen"), "has the port 0").allowed("a port from 1 to 65535"));
        }
        let path = &self.path;
        if !path.starts_with('/') || path.contains(['?', '#', '%']) || !path.bytes().all(|b| b.is_ascii_graphic()) {
            let message = format!("{} is no path", shortened(path));
            let allowed = "`/`, and letters, digits and signs without `?`, `#` and `%`";
            problems.push(Problem::value(at.key("path"), message).allowed(allowed));
        } else if path == HEALTH {
            problems.push(Problem::value(at.key("path"), "is where load balancers ask for the endpoint's health"));
        }
        let keys = at.key("access_keys");
        if !(1..=MAX_KEYS).contains(&self.access_keys.len()) {
            let message = format!("has {} access keys", self.access_keys.len());
            problems.push(Problem::key(keys.clone(), message).allowed(format!("1 to {MAX_KEYS}")));
        }
        for (index, key) in self.access_keys.iter().enumerate().take(MAX_KEYS) {
            key.check(&keys.index(index), problems);
        }
        if let Some(Certificate { certificate, key }) = &self.tls {
            for (name, path) in [("certificate", certificate), ("key", key)] {
                if path.file_name().is_none() {
                    problems.push(Problem::value(at.key("tls").key(name), "names no file"));
                }
            }
        }
    }

    /// What is read, a line each, for `bedrock-tap check`.
    pub fn describe(&self) -> Vec<String> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let behind = match (&self.tls, self.listen.port()) {
            (None, _) => "for a load balancer that listens on 443 with TLS",
            (Some(_), 443) => "for Firehose itself",
            (Some(_), _) => "for what passes on connections to 443, the only port of Firehose",
        };
        let keys = match self.access_keys.len() {
            1 => "1 access key".to_owned(),
            count => format!("{count} access keys"),
        };
        let (listen, path) = (self.listen, &self.path);
        vec![format!("Firehose endpoint {scheme}://{listen}{path} with {keys}, {behind}")]
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment, Source};

    /// Parses the source's section, and compares what its errors say with `expected`.
    #[track_caller]
    fn check(section: &str, expected: &[&str]) {
        let text = format!("sinks.a.stdout = {{}}\n[source.firehose]\n{section}\n");
        match Config::parse(&text, "t.toml", &Environment::default()) {
            Ok(_) => assert!(expected.is_empty(), "{section} is valid"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty() && expected.iter().all(|part| error.contains(part)), "{error}");
            }
        }
    }

    const LEAST: &str = "listen = '0.0.0.0:8080'\naccess_keys = [{ env = 'KEY' }]\n";

    #[test]
    fn what_cannot_work_is_found_at_its_key() {
        check(LEAST, &[]);
        check("listen = '[::]:443'\naccess_keys = [{ env = 'A' }, { file = '/run/b' }]\npath = '/in/a'", &[]);
        check("listen = '0.0.0.0:8080'", &["`source.firehose.access_keys`: missing"]);
        check("access_keys = [{ env = 'KEY' }]", &["`source.firehose.listen`: missing"]);
        check("listen = '0.0.0.0:8080'\naccess_keys = []", &["`source.firehose.access_keys`"]);
        check("listen = 'localhost'\naccess_keys = [{ env = 'KEY' }]", &["`source.firehose.listen`"]);
        check("listen = '0.0.0.0:0'\naccess_keys = [{ env = 'KEY' }]", &["`source.firehose.listen`", "port 0"]);
        let error = ["`source.firehose.access_keys[0].env`", "names no environment variable"];
        check("listen = '0.0.0.0:1'\naccess_keys = [{ env = 'A B' }]", &error);
        for path in ["in", "", "/a?b", "/a b", "/ä", "/%41", "/a#b"] {
            check(&format!("{LEAST}path = '{path}'"), &["`source.firehose.path`", "is no path"]);
        }
        check(&format!("{LEAST}path = '/health'"), &["`source.firehose.path`", "load balancers"]);
        check(&format!("{LEAST}tls.certificate = 'a.pem'"), &["`source.firehose.tls.key`: missing"]);
        check(&format!("{LEAST}tls = {{ certificate = '/', key = 'b' }}"), &["tls.certificate`", "names no file"]);
        check(&format!("{LEAST}answer_timeout = '180s'"), &["`source.firehose.answer_timeout`", "out of range"]);
        check(&format!("{LEAST}max_header_size = '1 KiB'"), &["`source.firehose.max_header_size`", "out of range"]);
        check(&format!("{LEAST}max_connection = 1"), &["did you mean `max_connections`?"]);
    }

    #[test]
    fn it_is_described_by_how_it_is_reached() {
        let check = |more: &str, expected: &str| {
            let text = format!("sinks.a.stdout = {{}}\n[source.firehose]\naccess_keys = [{{ env = 'A' }}]\n{more}");
            let config = Config::parse(&text, "t.toml", &Environment::default()).unwrap();
            let Source::Firehose(source) = config.source else { panic!("another source") };
            let described = source.describe();
            assert!(described.len() == 1 && described[0].contains(expected), "{described:?}");
        };
        check("listen = '0.0.0.0:8080'", "http://0.0.0.0:8080/ with 1 access key, for a load balancer");
        check("listen = '0.0.0.0:443'\ntls = { certificate = 'a', key = 'b' }", "443/ with 1 access key, for Firehose");
        check("listen = '0.0.0.0:8443'\ntls = { certificate = 'a', key = 'b' }", "the only port of Firehose");
    }
}
