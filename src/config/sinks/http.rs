//! The http sink's keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Batching, Destination, HttpClient, Signing, WithoutRegion};
use crate::config::Secret;
use crate::config::document::{KeyPath, Problem};
use crate::config::validate;
use crate::format::Format;
use crate::format::key::Template;
use crate::sink::http::{self, Endpoint, Settings};
use crate::sink::{Planned, batch, opening};

/// Bytes of a request, where nothing is said: intakes mostly take a few MiB, and this is a hundred events or more.
const USUAL_BYTES: usize = 1 << 20;

/// Headers that are the client's own, or have a key of their own.
const OWN_HEADERS: [&str; 7] =
    ["connection", "content-encoding", "content-length", "content-type", "host", "te", "transfer-encoding"];

/// Any HTTP endpoint. What it answers with 2xx counts as delivered; what it answers with 400, 413 or 422
/// is sent again in halves, until what is refused is found and goes to the dead letter; after everything else, redirections
/// and missing rights too, the request is sent again until it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Http {
    /// The URL that requests go to, with a query if need be, and without a user; either this or `secret_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where the URL is found, if it is a secret or has one in it: it is then shown by its host alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_url: Option<Secret>,
    /// How requests are sent: `POST` or `PUT`. Default: `POST`.
    #[serde(default)]
    pub method: HttpMethod,
    /// Headers of every request, by their names. Default: none beside the client's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secrets, by their names. All secrets of this sink are read at the start, and again when
    /// the endpoint answers with 401 or 403, so that one that was replaced in its file is found. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_headers: BTreeMap<String, Secret>,
    /// How events become a request: `ndjson` (a line for each), `json_array`, `single` (one event a request), or `loki`
    /// (Loki's push: one stream, and a line with the event's time for each). Default: `ndjson`, which whoever reads it
    /// need not hold as a whole.
    #[serde(default)]
    pub body: HttpBody,
    /// The labels of the stream, for `loki` alone. Default: `{ job = "bedrock-tap" }`. A label with many values makes
    /// many streams, so none is taken from events.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The request's `Content-Type`. Default: `application/x-ndjson` or `application/json`, as the body is; `text/plain`
    /// for the format `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How requests are compressed: `none` or `gzip`. Default: `none`, because HTTP has no way to ask beforehand whether
    /// an endpoint can read what is compressed.
    #[serde(default)]
    pub compression: HttpCompression,
    /// How the endpoint is shown who sends: exactly one kind. Default: not at all, or by `secret_headers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Box<HttpAuth>>,
    /// How requests are sent.
    #[serde(flatten)]
    pub client: HttpClient,
    /// How items are gathered.
    #[serde(flatten)]
    pub batching: Batching,
}

/// A request's method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// `POST`.
    #[default]
    Post,
    /// `PUT`.
    Put,
}

/// How events become a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpBody {
    /// A line for each.
    #[default]
    Ndjson,
    /// One JSON array.
    JsonArray,
    /// One event a request.
    Single,
    /// Loki's push.
    Loki,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpCompression {
    /// Not at all.
    #[default]
    None,
    /// As gzip.
    Gzip,
}

/// How an endpoint is shown who sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpAuth {
    /// A token: `Authorization: Bearer …`.
    Bearer(Bearer),
    /// A user and a password: `Authorization: Basic …`.
    Basic(Basic),
    /// A keyed hash of the body as it is sent (HMAC-SHA-256), in a header.
    Hmac(Hmac),
    /// Requests are signed with AWS Signature Version 4.
    Sigv4(Signing),
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    /// The token.
    pub token: Secret,
}

/// A user and a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// The user, without a colon.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// A keyed hash of the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hmac {
    /// The header that the hash stands in.
    pub header: String,
    /// The key, byte for byte.
    pub key: Secret,
    /// What stands before the hash, such as `sha256=`. Default: nothing.
    #[serde(default)]
    pub prefix: String,
    /// How the hash is written: `hex` (small letters) or `base64`. Default: `hex`, as most endpoints read it.
    #[serde(default)]
    pub encoding: HashEncoding,
}

/// How a hash is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HashEncoding {
    /// Hexadecimal digits.
    #[default]
    Hex,
    /// Base64.
    Base64,
}

impl Http {
    /// The same endpoint, which is sent one item a request.
    pub(in crate::config) fn singly(&self) -> Self {
        Self { body: HttpBody::Single, ..self.clone() }
    }

    /// Whether nothing speaks against one item a request.
    pub(in crate::config) fn may_be_single(&self) -> bool {
        matches!(self.body, HttpBody::Ndjson | HttpBody::Single)
    }

    fn check_url(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        const ALLOWED: &str = "such as \"https://collector.example/events\"";
        match (&self.url, &self.secret_url) {
            (None, None) => {
                let problem = Problem::key(at.key("url"), "missing").allowed("exactly one of `url`, `secret_url`");
                problems.push(problem);
            }
            (Some(_), Some(_)) => {
                let message = "there is a `url` already";
                problems.push(Problem::key(at.key("secret_url"), message).allowed("exactly one of the two"));
            }
            (Some(url), None) => {
                let (endpoint, query) = url.split_once('?').unwrap_or((url, ""));
                let mut form = validate::endpoint(endpoint);
                if !query.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
                    form = form.and(Err("the URL's query has a space, a `#`, or a character that is not ASCII".into()));
                }
                if Url::parse(url).is_err() {
                    form = form.and(Err("the URL is not valid".into()));
                }
                if let Err(message) = form {
                    problems.push(Problem::value(at.key("url"), message).secret().allowed(ALLOWED));
                }
            }
            (None, Some(secret)) => {
                secret.check(&at.key("secret_url"), problems);
                if matches!(self.auth.as_deref(), Some(HttpAuth::Sigv4(_))) {
                    let problem = Problem::key(at.key("secret_url"), "is of no use where requests are signed");
                    problems.push(problem.hint("AWS' URLs are no secrets: use `url`"));
                }
            }
        }
    }

    fn check_headers(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        for (name, value) in &self.headers {
            let path = at.key("headers").key(name);
            if is_telling(name) {
                let problem = Problem::value(path, "is a secret, which has no place in a file").secret();
                problems.push(problem.hint(format!("`secret_headers.{name} = {{ env = \"NAME\" }}`, or `auth`")));
                continue;
            }
            if HeaderValue::try_from(value).is_err() {
                let message = "has a line break, or another character that no header has";
                problems.push(Problem::value(path.clone(), message).secret());
            }
            check_name(name, &path, problems);
        }
        for (name, secret) in &self.secret_headers {
            let path = at.key("secret_headers").key(name);
            let is_twice = self.headers.keys().any(|other| other.eq_ignore_ascii_case(name));
            let is_of_auth = self.auth.is_some() && name.eq_ignore_ascii_case("authorization");
            if is_twice || is_of_auth {
                let message = if is_twice { "is one of `headers` already" } else { "is what `auth` makes" };
                problems.push(Problem::key(path.clone(), message).hint("leave out one of the two"));
            }
            check_name(name, &path, problems);
            secret.check(&path, problems);
        }
        if self.content_type.as_ref().is_some_and(|text| text.is_empty() || HeaderValue::try_from(text).is_err()) {
            problems.push(Problem::value(at.key("content_type"), "is no content type"));
        }
    }

    fn check_body(&self, format: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        if self.body == HttpBody::JsonArray && format == Format::Text {
            let problem = Problem::value(at.key("body"), "is an array of JSON, which the format `text` is not");
            problems.push(problem.hint("choose another format, or `ndjson`"));
        }
        if self.body != HttpBody::Loki && !self.labels.is_empty() {
            problems.push(Problem::key(at.key("labels"), "is of no use unless `body` is `loki`"));
        }
        for name in self.labels.keys() {
            let first = name.bytes().next().unwrap_or(b'0');
            if first.is_ascii_digit() || !validate::is_name(name, 1024, b"_") {
                let problem = Problem::key(at.key("labels").key(name), "is no name of a label");
                problems.push(problem.allowed("letters, digits and `_`; the first is no digit"));
            }
        }
    }

    fn settings(&self, format: Format) -> Settings {
        let default = || [("job".to_owned(), "bedrock-tap".to_owned())].into();
        let labels = Some(self.labels.clone()).filter(|labels| !labels.is_empty());
        let (body, content_type) = match self.body {
            HttpBody::Loki => (http::Body::Loki(labels.unwrap_or_else(default)), "application/json"),
            HttpBody::JsonArray => (http::Body::JsonArray, "application/json"),
            HttpBody::Single => (http::Body::Single, "application/json"),
            HttpBody::Ndjson => (http::Body::Ndjson, "application/x-ndjson"),
        };
        let is_text = format == Format::Text && matches!(self.body, HttpBody::Single | HttpBody::Ndjson);
        let content_type = if is_text { "text/plain; charset=utf-8" } else { content_type };
        Settings {
            to: match &self.secret_url {
                Some(secret) => Endpoint::Secret(secret.clone()),
                None => Endpoint::Url(self.url.clone().unwrap_or_default()),
            },
            method: match self.method {
                HttpMethod::Post => Method::POST,
                HttpMethod::Put => Method::PUT,
            },
            headers: self.headers.clone(),
            secret_headers: self.secret_headers.clone(),
            body,
            content_type: self.content_type.clone().unwrap_or_else(|| content_type.to_owned()),
            gzip: self.compression == HttpCompression::Gzip,
            auth: self.auth.as_deref().map(HttpAuth::settings),
            client: self.client.settings(),
        }
    }
}

/// Whether a header of this name is a secret in all likelihood.
fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["authorization", "cookie", "api-key", "apikey", "token", "secret", "password"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn check_name(name: &str, path: &KeyPath, problems: &mut Vec<Problem>) {
    if HeaderName::try_from(name).is_err() {
        problems.push(Problem::key(path.clone(), "is no name of a header"));
    } else if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        problems
            .push(Problem::key(path.clone(), "is the client's own header; `content_type` and `compression` are keys"));
    }
}

impl HttpAuth {
    fn check(&self, at: &KeyPath, problems: &mut Vec<Problem>) {
        match self {
            Self::Bearer(Bearer { token }) => token.check(&at.key("bearer").key("token"), problems),
            Self::Basic(Basic { user, password }) => {
                let at = at.key("basic");
                if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
                    problems.push(Problem::value(at.key("user"), "is empty, or has a colon or a control character"));
                }
                password.check(&at.key("password"), problems);
            }
            Self::Hmac(hmac) => {
                let at = at.key("hmac");
                check_name(&hmac.header, &at.key("header"), problems);
                if HeaderValue::try_from(&hmac.prefix).is_err() {
                    problems.push(Problem::value(at.key("prefix"), "has a character that no header has"));
                }
                hmac.key.check(&at.key("key"), problems);
            }
            Self::Sigv4(signing) => signing.check(&at.key("sigv4"), problems),
        }
    }

    fn settings(&self) -> http::Auth {
        match self {
            Self::Bearer(Bearer { token }) => http::Auth::Bearer(token.clone()),
            Self::Basic(Basic { user, password }) => {
                http::Auth::Basic { user: user.clone(), password: password.clone() }
            }
            Self::Hmac(hmac) => http::Auth::Hmac {
                header: hmac.header.clone(),
                key: hmac.key.clone(),
                prefix: hmac.prefix.clone(),
                base64: hmac.encoding == HashEncoding::Base64,
            },
            Self::Sigv4(signing) => http::Auth::SigV4 { access: signing.access(), service: signing.service.clone() },
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Bearer(_) => "with a bearer token".to_owned(),
            Self::Basic(Basic { user, .. }) => format!("as the user {user}"),
            Self::Hmac(Hmac { header, .. }) => format!("with an HMAC in {header}"),
            Self::Sigv4(Signing { service, .. }) => format!("signed for {service}"),
        }
    }
}

impl Destination for Http {
    const KIND: &'static str = "http";

    fn check(&self, format: Format, at: &KeyPath, problems: &mut Vec<Problem>) {
        self.check_url(at, problems);
        self.check_headers(at, problems);
        self.check_body(format, at, problems);
        if let Some(auth) = &self.auth {
            auth.check(&at.key("auth"), problems);
        }
        self.client.check(at, problems);
    }

    fn describe(&self, format: &str) -> String {
        let to = match (&self.url, &self.secret_url) {
            (Some(url), _) => url.clone(),
            (_, Some(secret)) => format!("the URL in {secret}"),
            _ => String::new(),
        };
        let body = match self.body {
            HttpBody::Ndjson => " as lines",
            HttpBody::JsonArray => " as a JSON array",
            HttpBody::Single => ", one a request",
            HttpBody::Loki => " as a push to Loki",
        };
        let gzip = if self.compression == HttpCompression::Gzip { ", gzip" } else { "" };
        let auth = self.auth.as_ref().map(|auth| format!(", {}", auth.describe())).unwrap_or_default();
        format!("http {to}, {format}{body}{gzip}{auth}")
    }

    fn without_region(&self) -> Option<WithoutRegion<'_>> {
        match self.auth.as_deref() {
            Some(HttpAuth::Sigv4(signing)) => signing.without_region(),
            _ => None,
        }
    }

    fn plan(&self, format: Format) -> Planned {
        let settings = self.settings(format);
        let most = batch::Settings {
            max_batch_bytes: usize::MAX,
            max_batch_items: if self.body == HttpBody::Single { 1 } else { usize::MAX },
            item_overhead_bytes: settings.body.item_overhead_bytes(),
            ..batch::Settings::DEFAULT
        };
        // Loki is told the time, and no key.
        let tags = (self.body == HttpBody::Loki).then(|| Template::parse("").ok().map(Arc::new)).flatten();
        let opening = opening(http::Http::open(settings));
        Planned { opening, batch: self.batching.settings(USUAL_BYTES, most), tags, may_refuse: true }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Environment};

    /// Parses an http sink's section, and compares what its errors say with `expected`.
    #[track_caller]
    fn check(section: &str, expected: &[&str]) {
        let text = format!("source.file.paths = ['-']\n[sinks.a.http]\n{section}\n");
        match Config::parse(&text, "t.toml", &Environment::default()) {
            Ok(_) => assert!(expected.is_empty(), "{section} is valid"),
            Err(error) => {
                let error = error.to_string();
                assert!(!expected.is_empty(), "{error}");
                for part in expected {
                    assert!(error.contains(part), "{part} is not in {error}");
                }
                assert!(!error.contains("hunter2"), "a secret is repeated: {error}");
            }
        }
    }

    /// The same behind a URL.
    #[track_caller]
    fn check_rest(section: &str, expected: &[&str]) {
        check(&format!("url = 'https://a.example/x'\n{section}"), expected);
    }

    #[test]
    fn an_endpoint_has_one_url() {
        for url in ["http://localhost:4567", "https://a.example/v1?source=tap&x=%20", "http://[::1]:80/"] {
            check(&format!("url = '{url}'"), &[]);
        }
        check("secret_url.env = 'URL'", &[]);
        check("", &["`sinks.a.http.url`: missing", "`secret_url`"]);
        check("url = 'http://a'\nsecret_url.env = 'URL'", &["`sinks.a.http.secret_url`"]);
        check("secret_url = 'https://a/hunter2'", &["`sinks.a.http.secret_url`"]);
        check("secret_url.env = 'A'\nauth.sigv4.service = 'es'", &["`sinks.a.http.secret_url`", "signed"]);
        check("secret_url.env = ''", &["`sinks.a.http.secret_url.env`"]);
        for (url, part) in [
            ("a.example/x", "neither `http://`"),
            ("https://u:hunter2@a.example", "password"),
            ("https://a.example/x#y", "fragment"),
            ("https://a.example/x?y#hunter2", "query"),
            ("https://a.example/x?y z", "query"),
            ("https://a.example:99999", "port"),
        ] {
            check(&format!("url = '{url}'"), &["`sinks.a.http.url`", part]);
        }
    }

    #[test]
    fn headers_hold_no_secrets() {
        check_rest("headers.X-Scope-OrgID = 'a'\nsecret_headers.DD-API-KEY.env = 'KEY'\ncontent_type = 'a/b'", &[]);
        for name in ["Authorization", "x-api-key", "X-Auth-Token", "cookie"] {
            let key = format!("`sinks.a.http.headers.{name}`");
            check_rest(&format!("headers.{name} = 'hunter2'"), &[&key, "a secret", "secret_headers"]);
        }
        check_rest("headers.X = \"a\\nb\"", &["`sinks.a.http.headers.X`", "line break"]);
        check_rest("headers.'a b' = 'c'", &["no name of a header"]);
        check_rest("headers.Content-Length = '1'", &["the client's own header"]);
        check_rest("secret_headers.host.env = 'A'", &["the client's own header"]);
        check_rest("headers.X = 'a'\nsecret_headers.x.env = 'A'", &["`sinks.a.http.secret_headers.x`", "already"]);
        check_rest("secret_headers.x.env = 'A B'", &["`sinks.a.http.secret_headers.x.env`"]);
        check_rest("secret_headers.Authorization.env = 'A'", &[]);
        let both = "secret_headers.Authorization.env = 'A'\nauth.bearer.token.env = 'A'";
        check_rest(both, &["`auth` makes"]);
        check_rest("content_type = \"a\\n\"", &["`sinks.a.http.content_type`"]);
    }

    #[test]
    fn a_body_fits_its_format() {
        for body in ["ndjson", "json_array", "single", "loki"] {
            check_rest(&format!("body = '{body}'"), &[]);
            let expected: &[&str] = if body == "json_array" { &["`sinks.a.http.body`", "`text`"] } else { &[] };
            check_rest(&format!("body = '{body}'\nformat = 'text'"), expected);
        }
        check_rest("body = 'csv'", &["`sinks.a.http.body`", "json_array"]);
        check_rest("labels.job = 'a'", &["`sinks.a.http.labels`", "`loki`"]);
        check_rest("body = 'loki'\nlabels = { job = 'a', team_1 = 'b' }", &[]);
        check_rest("body = 'loki'\nlabels.1a = 'a'", &["`sinks.a.http.labels.1a`"]);
        check_rest("body = 'loki'\nlabels.a-b = 'a'", &["`sinks.a.http.labels.a-b`"]);
        check_rest("method = 'PUT'\ncompression = 'gzip'", &[]);
        check_rest("method = 'GET'", &["`sinks.a.http.method`", "POST"]);
    }

    #[test]
    fn there_is_one_way_to_be_let_in() {
        for auth in [
            "bearer.token.env = 'A'",
            "basic = { user = 'u', password = { file = '/run/p' } }",
            "hmac = { header = 'X-Signature', key = { env = 'A' }, prefix = 'sha256=', encoding = 'base64' }",
            "sigv4 = { service = 'es', region = 'eu-central-1' }",
        ] {
            check_rest(&format!("auth.{auth}"), &[]);
        }
        check_rest("auth = {}", &["`sinks.a.http.auth`", "bearer"]);
        check_rest("auth = { bearer.token.env = 'A', basic = { user = 'u', password.env = 'A' } }", &["a second kind"]);
        check_rest("auth.bearer.token = 'hunter2'", &["`sinks.a.http.auth.bearer.token`"]);
        check_rest("auth.bearer = {}", &["`sinks.a.http.auth.bearer.token`: missing"]);
        check_rest("auth.basic = { user = 'a:b', password.env = 'A' }", &["`sinks.a.http.auth.basic.user`"]);
        check_rest("auth.hmac = { header = 'a b', key.env = 'A' }", &["`sinks.a.http.auth.hmac.header`"]);
        check_rest("auth.hmac = { header = 'a', key.env = '' }", &["`sinks.a.http.auth.hmac.key.env`"]);
        check_rest(
            "auth.hmac = { header = 'a', key.env = 'A', prefix = \"\\n\" }",
            &["`sinks.a.http.auth.hmac.prefix`"],
        );
        check_rest("auth.sigv4.service = 'ES'", &["`sinks.a.http.auth.sigv4.service`", "execute-api"]);
        check_rest("auth.sigv4 = { service = 'es', region = 'nowhere' }", &["`sinks.a.http.auth.sigv4.region`"]);
        check_rest("auth.token = 1", &["`sinks.a.http.auth.token`"]);
    }

    #[test]
    fn a_sink_is_described_without_its_secrets() {
        let check = |section: &str, expected: &str| {
            let text = format!("source.file.paths = ['-']\n[sinks.a.http]\n{section}\n");
            let config = Config::parse(&text, "t.toml", &Environment::default()).unwrap();
            assert_eq!(config.sinks["a"].describe(), expected);
        };
        check("url = 'https://a.example/x'", "http https://a.example/x, panther as lines");
        check(
            "secret_url.env = 'URL'\nbody = 'single'\ncompression = 'gzip'\nauth.basic = { user = 'u', password.env = 'P' }",
            "http the URL in the environment variable URL, panther, one a request, gzip, as the user u",
        );
    }
}
