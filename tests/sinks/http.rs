//! The http sink against a scripted endpoint: the contract, what it shows to be let in, and the recipes.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bedrock_tap::aws::{Access, CredentialsFrom};
use bedrock_tap::config::{Config, Environment};
use bedrock_tap::sink::http::{Auth, Body, Endpoint, Http, Settings};
use bedrock_tap::sink::retry::Causes;
use bedrock_tap::sink::{Batch, Planned, Sink, SinkError, client};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::contract::{self, Double, Trouble};
use crate::support::http_double::{HttpDouble, Meet, Seen};
use crate::support::log::Log;

/// A sink of the configuration's and the endpoint that it writes to.
pub(super) struct Endpointed {
    pub(super) double: HttpDouble,
    pub(super) config: String,
}

fn planned(config: &str) -> Planned {
    let config = Config::parse(config, "t.toml", &Environment::default()).unwrap_or_else(|error| panic!("{error}"));
    config.sinks.values().next().unwrap().plan()
}

impl Double for Endpointed {
    fn plan(&self) -> Planned {
        planned(&self.config)
    }

    fn script(&self, troubles: &[Trouble]) {
        self.double.script(troubles.iter().map(|trouble| match trouble {
            Trouble::Busy => Meet::Status(429, vec![("retry-after", "1".to_owned())]),
            Trouble::Partial => Meet::Status(429, Vec::new()),
            Trouble::Error => Meet::Status(500, Vec::new()),
            Trouble::Hang => Meet::Silence,
            Trouble::AppliedThenCut => Meet::TakenThenCut,
        }));
    }

    fn refuse(&self, text: &str) -> bool {
        self.double.refuse(text);
        true
    }

    fn held(&self) -> Vec<String> {
        self.double.held()
    }

    fn is_idempotent(&self) -> bool {
        false
    }

    fn max_item_bytes(&self) -> usize {
        usize::MAX
    }
}

fn section(double: &HttpDouble, keys: &str) -> String {
    let address = double.address;
    format!("source.file.paths = ['-']\n[sinks.a.http]\nurl = 'http://{address}/events'\ntimeout = '1s'\n{keys}\n")
}

pub(super) fn read_lines(seen: &Seen) -> Result<Vec<String>, (u16, String)> {
    let text = seen.text();
    assert!(text.ends_with('\n'), "the last line has no end");
    Ok(text.lines().map(str::to_owned).collect())
}

fn read_array(seen: &Seen) -> Result<Vec<String>, (u16, String)> {
    let text = seen.text();
    let items: Vec<&RawValue> = serde_json::from_str(&text).map_err(|_| (400, "no array".to_owned()))?;
    Ok(items.iter().map(|item| item.get().to_owned()).collect())
}

fn read_single(seen: &Seen) -> Result<Vec<String>, (u16, String)> {
    let text = seen.text();
    assert!(!text.contains('\n'));
    Ok(vec![text])
}

fn expect(seen: &Seen, name: &str, value: &str) {
    assert_eq!(seen.header(name), value, "{name}");
}

#[tokio::test]
async fn lines_keep_the_contract() {
    contract::check(async || {
        let double = HttpDouble::start(|seen| {
            expect(seen, "content-type", "application/x-ndjson");
            assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/events"));
            read_lines(seen)
        });
        let double = double.await;
        Endpointed { config: section(&double, ""), double }
    })
    .await;
}

#[tokio::test]
async fn an_array_keeps_the_contract() {
    contract::check(async || {
        let double = HttpDouble::start(|seen| {
            expect(seen, "content-type", "application/json");
            expect(seen, "content-encoding", "gzip");
            assert_eq!(seen.method.as_str(), "PUT");
            read_array(seen)
        });
        let double = double.await;
        let keys = "body = 'json_array'\nmethod = 'PUT'\ncompression = 'gzip'";
        Endpointed { config: section(&double, keys), double }
    })
    .await;
}

#[tokio::test]
async fn single_events_keep_the_contract() {
    contract::check(async || {
        let double = HttpDouble::start(|seen| {
            expect(seen, "content-type", "application/json");
            read_single(seen)
        });
        let double = double.await;
        Endpointed { config: section(&double, "body = 'single'"), double }
    })
    .await;
}

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    assert!(key.len() <= 64);
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        key.iter().zip(&mut block).for_each(|(key, byte)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Delivers a few events by these keys, with `hunter2` as the secret in `FILE`, and lets `verify` look at each request.
async fn deliver_with(keys: &str, verify: impl Fn(&Seen) + Send + Sync + 'static) {
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    secret.write_all(b"hunter2\n").unwrap();
    let keys = keys.replace("FILE", &format!("{{ file = '{}' }}", secret.path().display()));
    let double = HttpDouble::start(move |seen| {
        verify(seen);
        read_lines(seen)
    });
    let double = double.await;
    let sink = Endpointed { config: section(&double, &keys), double };
    let items = contract::items(3);
    assert!(contract::deliver(&sink, &items, 3).await.is_empty());
    assert_eq!(sink.held(), items);
}

#[tokio::test]
async fn an_endpoint_is_shown_what_it_asks_for() {
    deliver_with("auth.bearer.token = FILE", |seen| expect(seen, "authorization", "Bearer hunter2")).await;
    let basic = format!("Basic {}", BASE64_STANDARD.encode("tap:hunter2"));
    let keys = "auth.basic = { user = 'tap', password = FILE }";
    deliver_with(keys, move |seen| expect(seen, "authorization", &basic)).await;
    let keys = "auth.hmac = { header = 'X-Signature', key = FILE, prefix = 'sha256=' }\ncompression = 'gzip'";
    deliver_with(keys, |seen| {
        expect(seen, "x-signature", &format!("sha256={}", hex(&hmac(b"hunter2", &seen.body))));
    })
    .await;
    let keys = "auth.hmac = { header = 'X-Signature', key = FILE, encoding = 'base64' }";
    deliver_with(keys, |seen| {
        expect(seen, "x-signature", &BASE64_STANDARD.encode(hmac(b"hunter2", &seen.body)));
    })
    .await;
    let keys = "headers.X-Tenant = 'a'\nsecret_headers.X-Api-Key = FILE\ncontent_type = 'text/x'";
    deliver_with(keys, |seen| {
        expect(seen, "x-tenant", "a");
        expect(seen, "x-api-key", "hunter2");
        expect(seen, "content-type", "text/x");
        assert!(seen.header("user-agent").starts_with("bedrock-tap/"));
    })
    .await;
}

/// Checks a signature as a service of AWS does. Source: the IAM user guide, "Create a signed AWS API request".
fn verify_signature(seen: &Seen, secret: &str) {
    let authorization = seen.header("authorization");
    let part = |name: &str| {
        let rest = authorization.split_once(&format!("{name}=")).unwrap().1;
        rest.split(',').next().unwrap()
    };
    let (signed, scope) = (part("SignedHeaders"), part("Credential").split_once('/').unwrap().1);
    let hash = hex(&Sha256::digest(&seen.body));
    assert_eq!(seen.header("x-amz-content-sha256"), hash, "of another body");
    for needed in ["host", "content-type", "x-amz-date", "x-amz-content-sha256"] {
        assert!(signed.split(';').any(|name| name == needed), "{needed} is not signed");
    }
    let headers: String = signed.split(';').map(|name| format!("{name}:{}\n", seen.header(name).trim())).collect();
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let canonical = format!("{}\n{path}\n{query}\n{headers}\n{signed}\n{hash}", seen.method);
    let date = seen.header("x-amz-date");
    let digest = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    let key =
        scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
    assert_eq!(part("Signature"), hex(&hmac(&key, text.as_bytes())));
}

fn settings(url: &str) -> Settings {
    Settings {
        to: Endpoint::Url(url.to_owned()),
        method: reqwest::Method::POST,
        headers: [("X-Tenant".to_owned(), "a".to_owned())].into(),
        secret_headers: Default::default(),
        body: Body::Ndjson,
        content_type: "application/x-ndjson".to_owned(),
        gzip: false,
        auth: None,
        client: client::Settings { timeout: Duration::from_secs(1), ..Default::default() },
    }
}

fn batch(items: &[&str]) -> Arc<Batch> {
    let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
    Arc::new(Batch { parts: vec![contract::lines(&items, None)], range: None })
}

#[tokio::test]
async fn a_signed_request_is_one_that_aws_would_take() {
    let double = HttpDouble::start(|seen| {
        verify_signature(seen, "embedded");
        assert!(seen.header("authorization").contains("/eu-central-1/execute-api/aws4_request"));
        read_lines(seen)
    });
    let double = double.await;
    let credentials = CredentialsFrom::MadeUp;
    let access = Access { region: Some("eu-central-1".to_owned()), credentials, ..Access::default() };
    let auth = Some(Auth::SigV4 { access, service: "execute-api".to_owned() });
    let url = format!("http://{}/stage/events?a=b&c=d", double.address);
    let sink = Http::open(Settings { auth, gzip: true, ..settings(&url) }).await.unwrap();
    sink.deliver(batch(&["1", "2"])).await.unwrap();
    assert_eq!(double.held(), ["1", "2"]);
}

#[tokio::test]
async fn a_token_that_is_replaced_is_found_without_a_restart() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "old").unwrap();
    let double = HttpDouble::start(|seen| match seen.header("authorization") {
        "Bearer new" => read_lines(seen),
        _ => Err((401, String::new())),
    });
    let double = double.await;
    let auth = format!("auth.bearer.token.file = '{}'", token.path().display());
    let sink = Endpointed { config: section(&double, &auth), double };
    let items = contract::items(2);
    let delivery = contract::deliver(&sink, &items, 2);
    let replacement = async {
        while sink.double.seen().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(sink.held().is_empty());
        std::fs::write(token.path(), "new").unwrap();
    };
    assert!(tokio::join!(delivery, replacement).0.is_empty());
    assert_eq!(sink.held(), items);
}

/// Whatever goes wrong, and however much is logged, neither a secret nor an event nor what an endpoint says of it is seen.
#[tokio::test]
async fn no_secret_and_no_event_is_ever_seen() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(subscriber.with_max_level(tracing::Level::TRACE).finish());
    let directory = tempfile::tempdir().unwrap();
    let secret = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
        bedrock_tap::config::Secret::File(directory.path().join(name))
    };
    let double = HttpDouble::start(|_| Err((500, "quoted-event".to_owned()))).await;
    let url = secret("url", &format!("http://{}/secret-path?secret-query", double.address));
    let access =
        Access { region: Some("eu-central-1".to_owned()), credentials: CredentialsFrom::MadeUp, ..Access::default() };
    let auths = [
        Auth::Bearer(secret("token", "secret-token")),
        Auth::Basic { user: "tap".to_owned(), password: secret("password", "secret-password") },
        Auth::Hmac {
            header: "x-signature".to_owned(),
            key: secret("key", "secret-key"),
            prefix: String::new(),
            base64: false,
        },
        Auth::SigV4 { access, service: "es".to_owned() },
    ];
    let mut shown = String::new();
    let mut note = |result: Result<(), SinkError>| {
        let error = result.unwrap_err();
        if let SinkError::Retry { source, .. } = &error {
            shown.push_str(&format!("{error:?}\n{}\n", Causes(source.as_ref())));
        }
    };
    for auth in auths {
        let secret_headers = [("x-api-key".to_owned(), secret("header", "secret-header"))].into();
        // What is signed goes to a URL that is no secret.
        let to = match &auth {
            Auth::SigV4 { .. } => Endpoint::Url(format!("http://{}/", double.address)),
            _ => Endpoint::Secret(url.clone()),
        };
        let client = client::Settings { timeout: Duration::from_millis(200), ..Default::default() };
        let sink = Http::open(Settings { auth: Some(auth), secret_headers, to, client, ..settings("") }).await.unwrap();
        for status in [301, 401, 403, 404, 407, 429, 500] {
            let location = format!("http://{}/secret-location", double.address);
            double.script([Meet::Status(status, vec![("location", location)])]);
            note(sink.deliver(batch(&["prompt-of-an-event"])).await);
        }
        note(sink.deliver(batch(&["prompt-of-an-event"])).await);
        double.script([Meet::Silence]);
        note(sink.deliver(batch(&["prompt-of-an-event"])).await);
        double.script([Meet::TakenThenCut]);
        note(sink.deliver(batch(&["prompt-of-an-event"])).await);
        double.script([Meet::Status(503, Vec::new())]);
        note(sink.probe().await);
    }
    // Nobody listens any more.
    let sink = Http::open(Settings { to: Endpoint::Secret(url.clone()), ..settings("") }).await.unwrap();
    let signatures: Vec<String> = double.seen().iter().map(|seen| seen.header("x-signature").to_owned()).collect();
    let address = double.address;
    drop(double);
    note(sink.deliver(batch(&["prompt-of-an-event"])).await);
    // A secret that no request can carry.
    for (name, text) in [("token", "secret\ntoken"), ("url", "secret-url")] {
        let broken = Settings { auth: Some(Auth::Bearer(secret(name, text))), ..settings("http://127.0.0.1:1/") };
        let broken =
            if name == "url" { Settings { to: Endpoint::Secret(secret(name, text)), ..broken } } else { broken };
        shown.push_str(&format!("{:#}\n", Http::open(broken).await.err().expect("the secret is broken")));
    }
    let log = log.text();
    assert!(log.len() > 1000 && shown.contains(&address.to_string()), "nothing was logged: {log}");
    assert!(shown.contains("secret_url") && shown.contains("auth.bearer.token"));
    let mut hidden = vec![
        "secret-token",
        "secret-password",
        "secret-key",
        "secret-header",
        "secret-path",
        "secret-query",
        "secret-location",
        "secret\ntoken",
        "secret-url",
        "prompt-of-an-event",
        "quoted-event",
    ];
    let basic = BASE64_STANDARD.encode("tap:secret-password");
    hidden.push(&basic);
    hidden.extend(signatures.iter().map(String::as_str).filter(|signature| !signature.is_empty()));
    for text in hidden {
        assert!(!shown.contains(text), "an error shows {text}: {shown}");
        let line = log.lines().find(|line| line.contains(text));
        assert!(line.is_none(), "the log shows {text}: {}", line.unwrap_or_default());
    }
}

/// The error of a delivery that is to be tried again, with its causes.
async fn trouble(sink: &Http) -> String {
    match sink.deliver(batch(&["1"])).await {
        Err(SinkError::Retry { source, .. }) => Causes(source.as_ref()).to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn trouble_names_the_host_and_the_way_out() {
    let double = HttpDouble::start(read_lines).await;
    let elsewhere = HttpDouble::start(read_lines).await;
    let sink = Http::open(settings(&format!("http://{}/a", double.address))).await.unwrap();
    for (status, part) in [
        (302, format!("redirects to {}, which is not followed; correct the URL", elsewhere.address)),
        (308, format!("redirects to {}", elsewhere.address)),
        (401, "check `auth`, `secret_headers`".to_owned()),
        (404, "check the URL and `method`".to_owned()),
        (407, "`HTTPS_PROXY`".to_owned()),
        (415, "check `content_type` and `compression`".to_owned()),
        (431, "answers 431".to_owned()),
        (503, "answers 503 Service Unavailable".to_owned()),
    ] {
        let location = format!("http://{}/b", elsewhere.address);
        double.script([Meet::Status(status, vec![("location", location)])]);
        let text = trouble(&sink).await;
        assert!(text.contains(&part) && text.contains(&double.address.to_string()), "{text}");
    }
    assert!(elsewhere.seen().is_empty(), "a redirection was followed");
    for status in [400, 413, 422] {
        double.script([Meet::Status(status, Vec::new())]);
        let refused = sink.deliver(batch(&["1"])).await.unwrap_err();
        assert!(
            matches!(&refused, SinkError::Refused { answer } if answer.contains(&status.to_string())),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_probe_leaves_nothing_and_shows_no_secret() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "hunter2").unwrap();
    let double = HttpDouble::start(|_| Err((404, String::new()))).await;
    let auth = Some(Auth::Bearer(bedrock_tap::config::Secret::File(token.path().to_owned())));
    let sink = Http::open(Settings { auth, ..settings(&format!("http://{}/a", double.address)) }).await.unwrap();
    sink.probe().await.unwrap();
    double.script([Meet::Status(503, Vec::new()), Meet::Silence]);
    assert!(matches!(sink.probe().await, Err(SinkError::Retry { .. })));
    assert!(matches!(sink.probe().await, Err(SinkError::Retry { .. })));
    for seen in double.seen() {
        assert_eq!((seen.method.as_str(), seen.header("authorization"), seen.body.len()), ("OPTIONS", "", 0));
    }
    drop(double);
    assert!(matches!(sink.probe().await, Err(SinkError::Retry { .. })));
}

/// Delivers 3000 events, and one that is large, by the recipe in this file, to an intake that is as strict as the service.
/// Gives how many were refused, and the requests.
async fn recipe(
    file: &str,
    url: Option<&str>,
    path: &'static str,
    intake: impl Fn(&Seen) -> Result<Vec<String>, (u16, String)> + Send + Sync + 'static,
) -> (usize, Vec<Seen>) {
    let double = HttpDouble::start(move |seen| {
        let found = seen.target.split('?').next().unwrap();
        if found == path { intake(seen) } else { Err((404, "no such path".to_owned())) }
    });
    let double = double.await;
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    let host = format!("http://{}", double.address);
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file)).unwrap();
    std::fs::write(&secret, if url.is_some() { "hunter2".to_owned() } else { format!("{host}{path}") }).unwrap();
    let mut config = String::new();
    for line in text.lines() {
        // What the environment would hold is in a file, because a test has no environment of its own.
        let line = match line.split_once("{ env = ") {
            Some((before, _)) if !line.starts_with('#') => format!("{before}{{ file = '{}' }}", secret.display()),
            _ => line.to_owned(),
        };
        config.push_str(&url.map_or(line.clone(), |url| line.replace(url, &host)));
        config.push('\n');
    }
    let sink = Endpointed { config, double };
    let mut items = contract::items(3000);
    items.iter_mut().enumerate().for_each(|(n, item)| *item = contract::item(n, 2000));
    items.push(contract::item(9999, 600 << 10));
    let letters = contract::deliver(&sink, &items, 1500).await;
    let held = sink.held();
    assert_eq!(held.len() + letters.len(), items.len());
    assert_eq!(held[..], items[..held.len()], "not what was sent");
    (letters.len(), sink.double.seen())
}

fn json_objects(seen: &Seen) -> Result<Vec<String>, (u16, String)> {
    let items = read_lines(seen)?;
    match items.iter().all(|item| serde_json::from_str::<Value>(item).is_ok_and(|item| item.is_object())) {
        true => Ok(items),
        false => Err((400, "a line is no object".to_owned())),
    }
}

#[tokio::test]
async fn the_recipe_for_panther_works() {
    const PATH: &str = "/http/00000000-0000-0000-0000-000000000000";
    let (refused, seen) = recipe("panther-http.toml", Some("https://logs.example.runpanther.net"), PATH, |seen| {
        match seen.header("authorization") {
            "Bearer hunter2" => json_objects(seen),
            _ => Err((403, String::new())),
        }
    })
    .await;
    assert_eq!(refused, 0);
    assert!(seen.len() > 2);
}

#[tokio::test]
async fn the_recipe_for_loki_works() {
    let url = "http://localhost:3100";
    let (refused, _) = recipe("loki.toml", Some(url), "/loki/api/v1/push", |seen| {
        if seen.header("x-scope-orgid") != "security" {
            return Err((401, "no org id".to_owned()));
        }
        expect(seen, "content-type", "application/json");
        let push: Value = serde_json::from_str(&seen.text()).map_err(|error| (400, error.to_string()))?;
        let [stream] = push["streams"].as_array().unwrap().as_slice() else { panic!("not one stream") };
        assert_eq!(stream["stream"], serde_json::json!({ "job": "bedrock-tap", "env": "production" }));
        let values = stream["values"].as_array().unwrap();
        let mut lines = Vec::new();
        for value in values {
            assert_eq!(value[0], "1767323045678000000", "the event's time in nanoseconds");
            lines.push(value[1].as_str().unwrap().to_owned());
        }
        match lines.iter().any(|line| line.len() > 256 << 10) {
            true => Err((400, "Max entry size '262144' bytes exceeded".to_owned())),
            false => Ok(lines),
        }
    })
    .await;
    assert_eq!(refused, 1, "the long line");
}

#[tokio::test]
async fn the_recipe_for_datadog_works() {
    let url = "https://http-intake.logs.datadoghq.com";
    let (refused, seen) = recipe("datadog.toml", Some(url), "/api/v2/logs", |seen| {
        if seen.header("dd-api-key") != "hunter2" {
            return Err((403, "Forbidden".to_owned()));
        }
        expect(seen, "content-type", "application/json");
        expect(seen, "content-encoding", "gzip");
        assert!(seen.target.ends_with("?ddsource=bedrock&service=bedrock-tap"));
        let items = read_array(seen)?;
        match items.len() > 1000 || seen.text().len() > 5_000_000 {
            true => Err((413, "Payload too big".to_owned())),
            false => Ok(items),
        }
    })
    .await;
    assert_eq!(refused, 0);
    assert!(seen.len() <= 5, "{} requests for 6 MB: too large at first, or too small", seen.len());
}

#[tokio::test]
async fn the_recipe_for_sumo_works() {
    const PATH: &str = "/receiver/v1/http/c2VjcmV0";
    let (refused, seen) = recipe("sumo.toml", None, PATH, |seen| {
        expect(seen, "content-encoding", "gzip");
        expect(seen, "x-sumo-category", "aws/bedrock");
        assert!(seen.text().len() <= 1_000_000, "{} bytes", seen.text().len());
        json_objects(seen)
    })
    .await;
    assert_eq!(refused, 0);
    assert!(seen.iter().filter(|seen| seen.text().len() < 100_000).count() <= 2, "posts of less than 100 KB");
}
