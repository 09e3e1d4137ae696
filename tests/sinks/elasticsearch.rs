//! The elasticsearch sink, against a double of the cluster.

use std::sync::Arc;

use axum::http::Method;
use bedrock_tap::aws::{Access, CredentialsFrom};
use bedrock_tap::config::{Config, Environment};
use bedrock_tap::format::Tag;
use bedrock_tap::sink::elasticsearch::{Credentials, Elasticsearch, Index, MAX_ITEM_BYTES, Settings};
use bedrock_tap::sink::{Batch, Planned, Sink, SinkError};
use serde_json::json;

use super::contract::{self, Double, Trouble, item, lines};
use crate::support::elasticsearch_double::{Asked, ElasticsearchDouble, Meet};

/// A sink of this configuration, as the daemon would open it.
fn plan(urls: &[String], keys: &str) -> Planned {
    let text = format!(
        "[source.kinesis]\nstream = 's'\n[sinks.search.elasticsearch]\nurls = {urls:?}\ntimeout = '1s'\nformat = 'ecs'\n{keys}"
    );
    let config = Config::parse(&text, "t.toml", &Environment::default()).unwrap_or_else(|error| panic!("{error}"));
    config.sinks["search"].plan()
}

async fn open(urls: &[String], keys: &str) -> Arc<dyn Sink> {
    (plan(urls, keys).opening)().await.unwrap_or_else(|error| panic!("{error:#}"))
}

/// A batch of so many items with tags by this template.
fn batch(count: usize, template: &str) -> Arc<Batch> {
    let items: Vec<String> = (0..count).map(|n| item(n, 100)).collect();
    let template = bedrock_tap::format::key::Template::parse(template).unwrap();
    Arc::new(Batch { parts: vec![lines(&items, Some(&template))], range: None })
}

/// An error in few words, and all that the log says of it.
fn told(result: Result<(), SinkError>) -> String {
    match result {
        Ok(()) => "ok".into(),
        Err(SinkError::Retry { source, after }) => {
            format!("retry after {after:?}: {}", bedrock_tap::sink::retry::Causes(source.as_ref()))
        }
        Err(SinkError::Partial { retry, refused, source, .. }) => {
            format!("partial {retry:?} {}: {source}", refused.len())
        }
        Err(error) => format!("{error:?}"),
    }
}

pub(super) struct Cluster(pub(super) ElasticsearchDouble);

impl Double for Cluster {
    fn plan(&self) -> Planned {
        plan(&[self.0.url()], "")
    }

    fn script(&self, troubles: &[Trouble]) {
        self.0.script(troubles.iter().map(|trouble| match trouble {
            Trouble::Busy => Meet::Status(429, String::new()),
            Trouble::Error => Meet::Status(500, String::new()),
            Trouble::Hang => Meet::Silence,
            Trouble::AppliedThenCut => Meet::AppliedThenCut,
            Trouble::Partial => Meet::Items(429, "es_rejected_execution_exception", "the queue is full"),
        }));
    }

    fn refuse(&self, text: &str) -> bool {
        self.0.shelf.lock().unwrap().unfit = Some(text.to_owned());
        true
    }

    fn held(&self) -> Vec<String> {
        // None of the requests broke the protocol.
        self.0.asked();
        self.0.shelf.lock().unwrap().held.iter().map(|(_, _, document)| document.clone()).collect()
    }

    fn is_idempotent(&self) -> bool {
        true
    }

    fn max_item_bytes(&self) -> usize {
        MAX_ITEM_BYTES
    }
}

#[tokio::test]
async fn it_keeps_to_the_contract() {
    contract::check(async || Cluster(ElasticsearchDouble::start().await)).await;
}

#[tokio::test]
async fn a_request_says_what_the_configuration_says() {
    let check = async |keys: &str, template: &str, look: fn(&Asked)| {
        let double = ElasticsearchDouble::start().await;
        let sink = open(&[double.url()], keys).await;
        assert_eq!(told(sink.deliver(batch(3, template)).await), "ok", "{keys}");
        let asked = double.asked();
        assert_eq!((asked.len(), asked[0].method.clone()), (1, Method::POST));
        look(&asked[0]);
        let held = double.shelf.lock().unwrap().held.clone();
        assert_eq!(held.len(), 3);
        held
    };
    let held = check("", "logs-aws_bedrock.invocation-default", |asked| {
        assert_eq!(asked.headers["content-encoding"], "gzip");
        assert!(!asked.headers.contains_key("authorization"));
        assert!(!asked.uri.query().unwrap().contains("pipeline"), "{}", asked.uri);
    })
    .await;
    let Tag { id, .. } = *batch(1, "").parts[0].tag(0).unwrap();
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((held[0].0.as_str(), &held[0].1), ("logs-aws_bedrock.invocation-default", &id));
    check("gzip = false\npipeline = 'add time'", "x", |asked| {
        assert!(!asked.headers.contains_key("content-encoding"));
        assert!(asked.uri.query().unwrap().ends_with("&pipeline=add+time"), "{}", asked.uri);
    })
    .await;
    let held = check("index = 'calls-{date}-{account}'", "calls-{date}-{account}", |_| {}).await;
    assert_eq!(held[2].0, "calls-2026-01-02-unknown");
    let held = check("ids = false", "x", |_| {}).await;
    assert!(held[0].1.starts_with("made-up"));
}

#[tokio::test]
async fn what_was_delivered_before_is_there_once() {
    let double = ElasticsearchDouble::start().await;
    let sink = open(&[double.url()], "").await;
    for _ in 0..3 {
        assert_eq!(told(sink.deliver(batch(5, "a")).await), "ok");
    }
    assert_eq!(double.by_index(), [("a".to_owned(), 5)].into());
}

#[tokio::test]
async fn a_status_says_what_is_to_be_done_and_nothing_of_what_was_sent() {
    let held = "items for the index logs-aws_bedrock.invocation-default: ";
    let error = |kind: &str| json!({"error": {"type": kind, "reason": "secret-text"}}).to_string();
    let cases = [
        (Meet::Status(429, String::new()), format!("retry after Some(1s): 4 {held}the cluster is busy")),
        (Meet::Status(503, error("x")), format!("retry after None: 4 {held}the cluster fails, with status 503")),
        (Meet::Status(302, String::new()), format!("retry after None: 4 {held}the cluster fails, with status 302")),
        (Meet::Status(403, error("security_exception")), format!("retry after None: 4 {held}the credentials may not")),
        (Meet::Status(404, String::new()), format!("retry after None: 4 {held}there is no such index")),
        (
            Meet::Status(400, "secret-text".into()),
            format!("retry after None: 4 {held}the cluster fails, with status 400"),
        ),
        (Meet::Status(400, error("parse_exception")), "Refused { answer: \"400: parse_exception: secret".into()),
        (Meet::Status(413, String::new()), "Refused { answer: \"413 Payload Too Large\" }".into()),
        (
            Meet::Items(404, "index_not_found_exception", "secret-text"),
            format!("partial [1, 3] 0: 2 {held}there is no"),
        ),
        (Meet::Items(400, "mapper_parsing_exception", "secret-text"), "partial [] 2: 2 items are refused".into()),
        (Meet::Lie(r#"{"errors":false}"#.into()), format!("retry after None: 4 {held}the answer does not say")),
        (Meet::Lie(r#"{"errors":false,"items":[]}"#.into()), format!("retry after None: 4 {held}the answer does not")),
        // Larger than any answer: asked again in halves.
        (Meet::Lie("x".repeat(17 << 20)), "Refused { answer: \"the answer has more than".into()),
        (Meet::AppliedThenCut, "retry after None: the node 127.0.0.1:".into()),
        (Meet::Silence, "retry after None: the node 127.0.0.1:".into()),
    ];
    for (meet, expected) in cases {
        let double = ElasticsearchDouble::start().await;
        let shown: String = format!("{meet:?}").chars().take(60).collect();
        double.script([meet]);
        let sink = open(&[double.url()], "").await;
        let found = told(sink.deliver(batch(4, "a")).await);
        assert!(found.starts_with(&expected), "{shown}: {found}");
        assert!(!found.contains("secret-text") || found.starts_with("Refused"), "{found}");
        // The next try works.
        assert_eq!(told(sink.deliver(batch(4, "a")).await), "ok");
        assert_eq!(double.by_index(), [("a".to_owned(), 4)].into());
    }
}

#[tokio::test]
async fn nodes_that_are_down_are_left_alone() {
    let (first, second) = (ElasticsearchDouble::start().await, ElasticsearchDouble::start().await);
    let gone = {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let sink = open(&[first.url(), gone, second.url()], "").await;
    second.script([Meet::Status(502, String::new())]);
    let mut failures = 0;
    for _ in 0..12 {
        failures += usize::from(sink.deliver(batch(1, "a")).await.is_err());
    }
    assert_eq!(failures, 2, "one by the node that is gone, one by the node that fails");
    assert_eq!((first.asked().len(), second.asked().len()), (11 - 1, 1));
}

#[tokio::test]
async fn credentials_in_a_file_are_read_again_once_they_are_not_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    for (keys, old, new) in [
        ("auth.api_key.file", "ApiKey first", "ApiKey second"),
        ("auth.basic.user = 'me'\nauth.basic.password.file", "Basic bWU6Zmlyc3Q=", "Basic bWU6c2Vjb25k"),
    ] {
        let double = ElasticsearchDouble::start().await;
        let accept = |text: &str| double.shelf.lock().unwrap().authorization = Some(text.to_owned());
        write("first\n");
        accept(old);
        let sink = open(&[double.url()], &format!("{keys} = {path:?}")).await;
        assert_eq!(told(sink.deliver(batch(1, "a")).await), "ok");
        accept(new);
        for _ in 0..2 {
            let found = told(sink.deliver(batch(1, "b")).await);
            assert!(found.contains("the cluster does not accept the credentials"), "{found}");
            assert!(!found.contains("first"), "{found}");
        }
        write("second\n");
        assert!(sink.deliver(batch(1, "b")).await.is_err(), "it is read once the old one was not accepted");
        assert_eq!(told(sink.deliver(batch(1, "b")).await), "ok");
        // A file that is gone leaves what there is.
        std::fs::remove_file(&path).unwrap();
        accept("other");
        assert!(sink.deliver(batch(1, "c")).await.is_err());
        accept(new);
        assert_eq!(told(sink.deliver(batch(1, "c")).await), "ok");
        let missing = (plan(&[double.url()], &format!("{keys} = {path:?}")).opening)().await;
        let error = format!("{:#}", missing.err().unwrap());
        assert!(error.contains("cannot be read"), "{error}");
    }
}

#[tokio::test]
async fn a_probe_asks_and_leaves_nothing() {
    let check = async |arrange: fn(&mut crate::support::elasticsearch_double::Shelf), expected: &str| {
        let double = ElasticsearchDouble::start().await;
        arrange(&mut double.shelf.lock().unwrap());
        let sink = open(&["http://127.0.0.1:1".to_owned(), double.url()], "").await;
        let found = told(sink.probe().await);
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(double.shelf.lock().unwrap().held.is_empty());
        assert!(double.asked().iter().all(|asked| asked.uri.path() != "/_bulk"));
    };
    let opensearch = r#"{"version":{"distribution":"opensearch","number":"2.19.1"}}"#;
    check(|shelf| shelf.may_write = Some(true), "ok").await;
    check(|shelf| shelf.may_write = Some(false), "may not write to the index logs-aws_bedrock").await;
    check(|shelf| shelf.may_write = None, "ok").await;
    check(|shelf| shelf.authorization = Some("x".into()), "does not accept the credentials").await;
    check(|shelf| shelf.info = Some((200, "hello".into())), "neither Elasticsearch nor OpenSearch").await;
    check(|shelf| shelf.info = Some((200, r#"{"version":{"number":"six"}}"#.into())), "neither Elasticsearch").await;
    check(|shelf| shelf.info = Some((200, r#"{"version":{"number":"6.8.23"}}"#.into())), "before 7").await;
    check(|shelf| shelf.info = Some((503, String::new())), "the answer is 503").await;
    check(|shelf| shelf.info = Some((403, String::new())), "ok").await;
    let double = ElasticsearchDouble::start().await;
    double.shelf.lock().unwrap().info = Some((200, opensearch.into()));
    let sink = open(&[double.url()], "").await;
    assert_eq!(told(sink.probe().await), "ok");
    assert_eq!(double.asked().len(), 1, "OpenSearch is not asked what it does not know");
    let gone = open(&["http://127.0.0.1:1".to_owned()], "").await;
    assert!(told(gone.probe().await).contains("was not answered"));
}

/// The signature of a request as it came, made anew.
fn signature(asked: &Asked, url: &str) -> String {
    use aws_sigv4::http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign};
    let header = |name: &str| asked.headers[name].to_str().unwrap();
    let authorization = header("authorization");
    let signed = authorization.split_once("SignedHeaders=").unwrap().1.split_once(',').unwrap().0;
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let credentials = aws_sdk_kinesis::config::Credentials::new("embedded", "embedded", None, None, "embedded").into();
    let time: jiff::Timestamp = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", header("x-amz-date"))
        .unwrap()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .unwrap()
        .timestamp();
    let params = aws_sigv4::sign::v4::SigningParams::builder()
        .identity(&credentials)
        .region("eu-central-1")
        .name("es")
        .time(time.into())
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let own = ["x-amz-date", "x-amz-content-sha256"];
    let headers = signed.split(';').filter(|name| !own.contains(name)).map(|name| (name, header(name)));
    let request = SignableRequest::new(
        asked.method.as_str(),
        format!("{url}{}", asked.uri),
        headers,
        SignableBody::Bytes(&asked.body),
    );
    let (instructions, _) = sign(request.unwrap(), &params).unwrap().into_parts();
    let (added, _) = instructions.into_parts();
    added.iter().find(|header| header.name() == "authorization").unwrap().value().to_owned()
}

#[tokio::test]
async fn requests_to_aws_are_signed() {
    let double = ElasticsearchDouble::start().await;
    let access =
        Access { region: Some("eu-central-1".into()), credentials: CredentialsFrom::MadeUp, ..Access::default() };
    let sink = Elasticsearch::open(Settings {
        urls: vec![double.url().parse().unwrap()],
        client: Default::default(),
        index: Index::parse("calls").unwrap().0,
        credentials: Some(Credentials::Sigv4 { access, service: "es".into() }),
        pipeline: Some("a b/c*".into()),
        ids: true,
        gzip: true,
    });
    let sink = sink.await.unwrap();
    double.script([Meet::Status(403, String::new())]);
    assert!(told(sink.deliver(batch(3, "calls")).await).contains("the credentials may not write there"));
    assert_eq!(told(sink.deliver(batch(3, "calls")).await), "ok");
    assert_eq!(told(sink.probe().await), "ok");
    let asked = double.asked();
    assert_eq!(asked.len(), 4);
    for asked in asked {
        let found = asked.headers["authorization"].to_str().unwrap();
        assert!(found.starts_with("AWS4-HMAC-SHA256 Credential=embedded/"), "{found}");
        assert_eq!(found, signature(&asked, &double.url()), "{}", asked.uri);
        assert!(asked.headers.contains_key("x-amz-content-sha256"));
    }
}
