//! The `otlp` sink against a collector of the OpenTelemetry project's own messages and services.

use std::sync::Arc;

use bedrock_tap::config::{Config, Environment};
use bedrock_tap::format::{Format, Lines};
use bedrock_tap::generator::{Generator, Profile};
use bedrock_tap::pipeline::{Line, Parcel, Settings};
use bedrock_tap::record::{Origin, Record};
use bedrock_tap::sink::batch::Counts;
use bedrock_tap::sink::retry::{self, Circuit, Limits, Patience};
use bedrock_tap::sink::{Batch, Planned, Sink, SinkError};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tonic::{Code, Status};

use super::contract::{self, Double, Trouble};
use crate::support::certificates::Authority;
use crate::support::otlp_double::{Collector, Meet, Refusal, busy, records, status_message};

/// A sink as the configuration makes it, with these lines of its section.
fn planned(section: &str) -> Planned {
    let text = format!("source.file.paths = ['-']\n[sinks.a.otlp]\n{section}\n");
    let config = Config::parse(&text, "t.toml", &Environment::default());
    config.unwrap_or_else(|error| panic!("{error}")).sinks["a"].plan()
}

async fn opened(section: &str) -> Arc<dyn Sink> {
    (planned(section).opening)().await.unwrap()
}

fn section(collector: &Collector, protocol: &str) -> String {
    format!("url = 'http://{}'\nprotocol = '{protocol}'\ntimeout = '1s'", collector.address)
}

fn batch(items: &[String]) -> Batch {
    Batch { parts: vec![contract::lines(items, planned("url = 'http://a'").tags.as_deref())], range: None }
}

pub(super) struct Subject {
    pub(super) collector: Collector,
    protocol: &'static str,
    refusal: Refusal,
}

impl Subject {
    pub(super) async fn new(protocol: &'static str, refusal: Refusal) -> Self {
        let collector = if protocol == "grpc" { Collector::over_grpc().await } else { Collector::over_http().await };
        Self { collector, protocol, refusal }
    }
}

impl Double for Subject {
    fn plan(&self) -> Planned {
        planned(&section(&self.collector, self.protocol))
    }

    fn script(&self, troubles: &[Trouble]) {
        let grpc = self.protocol == "grpc";
        self.collector.script(troubles.iter().map(|trouble| match trouble {
            Trouble::Hang => Meet::Hang,
            Trouble::AppliedThenCut => Meet::AppliedThenCut,
            Trouble::Busy if grpc => Meet::Grpc(busy(Code::Unavailable, 1)),
            Trouble::Busy => Meet::Http(429, &[("retry-after", "1")], Vec::new()),
            Trouble::Partial if grpc => Meet::Grpc(Status::unavailable("busy")),
            Trouble::Partial => Meet::Http(429, &[], Vec::new()),
            Trouble::Error if grpc => Meet::Grpc(Status::internal("out of order")),
            Trouble::Error => Meet::Http(500, &[], b"out of order".to_vec()),
        }));
    }

    fn refuse(&self, text: &str) -> bool {
        self.collector.refuse(text, self.refusal);
        true
    }

    fn held(&self) -> Vec<String> {
        self.collector.bodies()
    }

    fn is_idempotent(&self) -> bool {
        false
    }

    fn max_item_bytes(&self) -> usize {
        // What tonic takes of a message, which has a frame around the item.
        if self.protocol == "grpc" { (4 << 20) - 500 } else { usize::MAX }
    }
}

#[tokio::test]
async fn http_keeps_the_contract() {
    contract::check(async || Subject::new("http", Refusal::Whole).await).await;
}

#[tokio::test]
async fn json_keeps_the_contract() {
    contract::check(async || Subject::new("http_json", Refusal::Partial).await).await;
}

#[tokio::test]
async fn grpc_keeps_the_contract() {
    contract::check(async || Subject::new("grpc", Refusal::Whole).await).await;
}

/// Each record with its resource and scope, as the collector sees it.
fn flat(requests: &[ExportLogsServiceRequest]) -> Vec<ExportLogsServiceRequest> {
    let mut all = Vec::new();
    for logs in requests.iter().flat_map(|request| &request.resource_logs) {
        for scope in &logs.scope_logs {
            for record in &scope.log_records {
                let mut one = logs.clone();
                one.scope_logs = vec![scope.clone()];
                one.scope_logs[0].log_records = vec![record.clone()];
                all.push(ExportLogsServiceRequest { resource_logs: vec![one] });
            }
        }
    }
    all
}

fn otel_lines() -> Lines {
    let (mut generator, mut parcel) = (Generator::new(7, Profile::demo()), Parcel::default());
    let mut line = Line::new(Settings { outputs: vec![Format::Otel.into()], ..Settings::default() });
    for _ in 0..60 {
        let origin = Origin::File { path: "f".into(), offset: 0 };
        line.process(
            &Record::new(generator.record().data.into(), origin),
            "2026-01-01T00:00:00Z".parse().unwrap(),
            &mut parcel,
        );
    }
    parcel.outputs.remove(0)
}

#[tokio::test]
async fn log_records_arrive_as_the_format_says_them() {
    let lines = otel_lines();
    assert!(lines.len() > 60);
    let expected: Vec<ExportLogsServiceRequest> =
        lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    let shared = Arc::new(Batch { parts: vec![lines], range: None });
    for protocol in ["http", "http_json", "grpc"] {
        let Subject { collector, .. } = Subject::new(protocol, Refusal::Whole).await;
        for more in ["", "compression = 'none'"] {
            let sink = opened(&format!("format = 'otel'\n{}\n{more}", section(&collector, protocol))).await;
            sink.deliver(Arc::clone(&shared)).await.unwrap();
        }
        let taken = collector.taken();
        assert_eq!(taken.len(), 2);
        for request in &taken {
            let found = flat(std::slice::from_ref(request));
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found, expected, "{protocol}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_log_record_has_a_time_and_an_id() {
    let collector = Collector::over_grpc().await;
    let sink =
        opened(&format!("{}\nresource = {{ 'service.name' = 'mine', team = 'red' }}", section(&collector, "grpc")))
            .await;
    let items = [contract::item(0, 100), "not JSON at all".into()];
    sink.deliver(Arc::new(batch(&items))).await.unwrap();
    let taken = collector.taken();
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    let resource = taken[0].resource_logs[0].resource.as_ref().unwrap();
    let attributes: Vec<_> =
        resource.attributes.iter().map(|attribute| (attribute.key.as_str(), text(&attribute.value))).collect();
    let expected = [("cloud.provider", "aws"), ("service.name", "mine"), ("team", "red")];
    assert_eq!(attributes, expected.map(|(key, value)| (key, value.to_owned())));
    assert_eq!(taken[0].resource_logs[0].scope_logs[0].scope.as_ref().unwrap().name, "bedrock-tap");
    let (first, lines) = (&records(&taken[0])[0], batch(&items));
    let tag = lines.items().next().unwrap().tag.unwrap();
    assert_eq!(u64::try_from(tag.time.as_nanosecond()).unwrap(), first.time_unix_nano);
    assert!(first.observed_time_unix_nano > first.time_unix_nano);
    assert_eq!(first.attributes[0].key, "log.record.uid");
    assert_eq!(text(&first.attributes[0].value), tag.id_text());
    assert_eq!(collector.bodies(), items);
}

fn shown(result: Result<(), SinkError>) -> String {
    match result {
        Ok(()) => "taken".into(),
        Err(SinkError::Retry { after: None, source }) => format!("retry: {source}"),
        Err(SinkError::Retry { after: Some(after), source }) => format!("retry after {after:?}: {source}"),
        Err(SinkError::Refused { answer }) => format!("refused: {answer}"),
        Err(SinkError::Partial { retry, refused, .. }) => format!("{} again, refused {refused:?}", retry.len()),
        Err(SinkError::Stop { advice, .. }) => format!("stop: {advice}"),
    }
}

/// What was found is what was expected, or begins with it where that ends with an ellipsis.
#[track_caller]
fn is_as(found: &str, expected: &str) {
    let is_expected = match expected.strip_suffix('…') {
        Some(beginning) => found.starts_with(beginning),
        None => found == expected,
    };
    assert!(is_expected, "{found}");
}

#[tokio::test]
async fn an_answer_of_http_says_what_to_do() {
    const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];
    const JSON: &[(&str, &str)] = &[("content-type", "application/json; charset=utf-8")];
    const HTML: &[(&str, &str)] = &[("content-type", "text/html")];
    let collector = Collector::over_http().await;
    let sink = opened(&section(&collector, "http")).await;
    let batch = Arc::new(batch(&["a".into(), "b".into()]));
    let check = async |status: u16, headers: &'static [_], body: &[u8], expected: &str| {
        collector.script([Meet::Http(status, headers, body.to_vec())]);
        let found = shown(sink.deliver(Arc::clone(&batch)).await);
        is_as(&found, expected);
    };
    let partial = |rejected: u8| [&[10, 6, 8, rejected, 18, 2], b"no".as_slice()].concat();
    check(200, PROTOBUF, b"", "taken").await;
    check(200, &[], b"", "taken").await;
    check(204, &[], b"", "taken").await;
    check(200, JSON, b"{}", "taken").await;
    check(200, JSON, br#"{"partialSuccess":{"errorMessage":"use v2"},"more":[1]}"#, "taken").await;
    check(200, JSON, br#"{"partialSuccess":null}"#, "taken").await;
    check(200, PROTOBUF, &partial(0), "taken").await;
    check(200, PROTOBUF, &partial(1), "refused: 1 of 2 log records are rejected: no").await;
    let all = "2 of 2 log records are rejected: no";
    let both = format!("0 again, refused [(0, {all:?}), (1, {all:?})]");
    check(200, PROTOBUF, &partial(2), &both).await;
    for number in ["2", "\"2\""] {
        let body = format!(r#"{{"partialSuccess":{{"rejectedLogRecords":{number},"errorMessage":"no"}}}}"#);
        check(200, JSON, body.as_bytes(), &both).await;
    }
    let strange = "retry: the answer is 200 OK, but none of OTLP; see whether `url` …";
    check(200, HTML, b"<html>sign in</html>", strange).await;
    check(200, JSON, b"<html>", strange).await;
    check(200, JSON, b"[]", strange).await;
    check(200, JSON, br#"{"partialSuccess":{"rejectedLogRecords":"many"}}"#, strange).await;
    check(200, PROTOBUF, &[10, 200, 1], strange).await;
    check(400, PROTOBUF, &status_message("no time"), "refused: 400 Bad Request: no time").await;
    check(400, JSON, br#"{"code":3,"message":"no time","details":[]}"#, "refused: 400 Bad Request: no time").await;
    check(400, HTML, b"<html>", "refused: 400 Bad Request: <html>").await;
    check(413, &[], b"", "refused: 413 Payload Too Large").await;
    check(415, &[], b"", "retry: the answer is 415 Unsupported Media Type; see whether it takes this `protocol`…")
        .await;
    check(302, &[("location", "http://127.0.0.1:1/")], b"", "retry: the answer is 302 Found; redirects…").await;
    check(401, &[], b"", "retry: the answer is 401 Unauthorized; see whether `secret_headers`…").await;
    check(403, &[], b"", "retry: the answer is 403 Forbidden; see whether `secret_headers`…").await;
    check(404, &[], b"secret", "retry: the answer is 404 Not Found; see whether `url` has the right path…").await;
    check(429, &[("retry-after", "7")], b"", "retry after 7s: the answer is 429 Too Many Requests").await;
    for status in [500, 502, 503, 504] {
        let status_ = axum::http::StatusCode::from_u16(status).unwrap();
        check(status, &[], b"secret", &format!("retry: the answer is {status_}")).await;
    }
    check(503, &[("retry-after", "soon")], b"", "retry: the answer is 503 Service Unavailable").await;
    assert_eq!(collector.taken().len(), 0);
}

#[tokio::test]
async fn an_answer_of_grpc_says_what_to_do() {
    let collector = Collector::over_grpc().await;
    let sink = opened(&section(&collector, "grpc")).await;
    let batch = Arc::new(batch(&["a".into(), "b".into()]));
    let check = async |status: Status, expected: &str| {
        collector.script([Meet::Grpc(status)]);
        let found = shown(sink.deliver(Arc::clone(&batch)).await);
        is_as(&found, expected);
    };
    for (code, name) in [
        (Code::Cancelled, "CANCELLED"),
        (Code::Unknown, "UNKNOWN"),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (Code::Aborted, "ABORTED"),
        (Code::OutOfRange, "OUT_OF_RANGE"),
        (Code::Internal, "INTERNAL"),
        (Code::Unavailable, "UNAVAILABLE"),
        (Code::DataLoss, "DATA_LOSS"),
        (Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
        (Code::FailedPrecondition, "FAILED_PRECONDITION"),
        (Code::AlreadyExists, "ALREADY_EXISTS"),
    ] {
        check(Status::new(code, "secret"), &format!("retry: the answer is {name}")).await;
        check(busy(code, 9), &format!("retry after 9s: the answer is {name}")).await;
    }
    check(Status::unauthenticated("secret"), "retry: the answer is UNAUTHENTICATED; see whether `secret_headers`…")
        .await;
    check(Status::permission_denied(""), "retry: the answer is PERMISSION_DENIED; see whether `secret_headers`…").await;
    check(Status::unimplemented(""), "retry: the answer is UNIMPLEMENTED; see whether `url`…").await;
    check(Status::not_found(""), "retry: the answer is NOT_FOUND; see whether `url`…").await;
    check(Status::invalid_argument("no tïme: 100%"), "refused: INVALID_ARGUMENT: no tïme: 100%").await;
    check(
        Status::resource_exhausted("grpc: received message larger than max (5 vs. 4)"),
        "refused: RESOURCE_EXHAUSTED: grpc: received message larger than max (5 vs. 4)",
    )
    .await;
}

#[tokio::test]
async fn of_a_partial_success_each_rejected_record_is_known_and_no_other_is_lost() {
    for protocol in ["http", "http_json", "grpc"] {
        let Subject { collector, .. } = Subject::new(protocol, Refusal::Partial).await;
        let items: Vec<String> = (0..32).map(|n| contract::item(n, 100)).collect();
        // The last two and one in the middle.
        let bad = [13, 30, 31];
        let marked: Vec<String> = items
            .iter()
            .enumerate()
            .map(|(n, item)| if bad.contains(&n) { item.replace("xxxxx", "x-bad") } else { item.clone() })
            .collect();
        collector.refuse("x-bad", Refusal::Partial);
        let sink = opened(&section(&collector, protocol)).await;
        let limits = Limits { max_item_bytes: usize::MAX, patience: Patience::Unlimited };
        let batch = Arc::new(batch(&marked));
        let outcome =
            retry::deliver(sink.as_ref(), "a", &batch, &Circuit::default(), limits, &Counts::of("a")).await.unwrap();
        let mut refused: Vec<_> = outcome.refused.iter().map(|(index, _)| *index).collect();
        refused.sort_unstable();
        assert_eq!(refused, bad);
        assert!(
            outcome.refused.iter().all(|(_, answer)| answer.ends_with("are rejected: they are too old")),
            "{outcome:?}"
        );
        let bodies = collector.bodies();
        let good = marked.iter().enumerate().filter(|(n, _)| !bad.contains(n));
        for (n, item) in good {
            assert!(bodies.contains(item), "{n} is lost");
        }
        assert!(collector.requests() < 32, "{} requests", collector.requests());
    }
}

#[tokio::test]
async fn a_probe_leaves_nothing() {
    for protocol in ["http", "http_json", "grpc"] {
        let Subject { collector, .. } = Subject::new(protocol, Refusal::Whole).await;
        let sink = opened(&section(&collector, protocol)).await;
        sink.probe().await.unwrap();
        assert_eq!((collector.requests(), collector.bodies().len()), (1, 0));
        collector.script([if protocol == "grpc" {
            Meet::Grpc(Status::invalid_argument("what is this"))
        } else {
            Meet::Http(400, &[], b"what is this".to_vec())
        }]);
        let found = shown(sink.probe().await);
        assert!(
            found.starts_with("retry: a request without log records is refused: ") && !found.contains("what is this"),
            "{found}"
        );
        drop(collector);
        assert_eq!(shown(sink.probe().await), "retry: the request was not answered");
    }
}

#[tokio::test]
async fn headers_and_secrets_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "Bearer very-secret\n").unwrap();
    for protocol in ["http", "http_json", "grpc"] {
        let Subject { collector, .. } = Subject::new(protocol, Refusal::Whole).await;
        let section = format!(
            "{}\nheaders.X-Scope-OrgID = 'tenant'\nsecret_headers.Authorization.file = '{}'",
            section(&collector, protocol),
            token.display()
        );
        let sink = opened(&section).await;
        sink.deliver(Arc::new(batch(&["a".into()]))).await.unwrap();
        let head = &collector.heads()[0];
        assert_eq!(
            (&head["x-scope-orgid"], &head["authorization"]),
            (&"tenant".parse().unwrap(), &"Bearer very-secret".parse().unwrap())
        );
        assert!(head["user-agent"].to_str().unwrap().starts_with("bedrock-tap/"));
        if protocol == "grpc" {
            assert_eq!(head["grpc-timeout"], "1000m");
        }
    }
    std::fs::write(&token, "two\nlines").unwrap();
    let error = (planned(&format!("url = 'http://a'\nsecret_headers.k.file = '{}'", token.display())).opening)().await;
    assert_eq!(error.err().unwrap().to_string(), "`secret_headers.k` is no header's value");
    std::fs::remove_file(&token).unwrap();
    let error = (planned(&format!("url = 'http://a'\nsecret_headers.k.file = '{}'", token.display())).opening)().await;
    assert_eq!(error.err().unwrap().to_string(), "`secret_headers.k`");
}

#[tokio::test]
async fn a_token_that_is_replaced_is_found_without_a_restart() {
    for protocol in ["http", "grpc"] {
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "old").unwrap();
        let Subject { collector, .. } = Subject::new(protocol, Refusal::Whole).await;
        let secret = format!("secret_headers.Authorization.file = '{}'", token.path().display());
        let sink = opened(&format!("{}\n{secret}", section(&collector, protocol))).await;
        std::fs::write(token.path(), "new").unwrap();
        let deliver = async || shown(sink.deliver(Arc::new(batch(&["a".into()]))).await);
        assert_eq!(deliver().await, "taken");
        let refusal = match protocol {
            "grpc" => Meet::Grpc(Status::unauthenticated("it is old")),
            _ => Meet::Http(401, &[], Vec::new()),
        };
        collector.script([refusal]);
        assert!(deliver().await.contains("`secret_headers` has a valid token"));
        assert_eq!(deliver().await, "taken");
        let tokens: Vec<_> = collector.heads().iter().map(|head| head["authorization"].clone()).collect();
        assert_eq!(tokens, ["old", "new"], "{protocol}");
    }
}

#[tokio::test]
async fn grpc_goes_over_tls_with_certificates_on_both_sides() {
    let authority = Authority::new();
    let collector = Collector::over_tls(&authority).await;
    let port = collector.address.port();
    let check = async |more: &str| {
        let sink =
            opened(&format!("url = 'https://localhost:{port}'\nprotocol = 'grpc'\ntimeout = '2s'\n{more}")).await;
        shown(sink.deliver(Arc::new(batch(&["a".into()]))).await)
    };
    let trusted = format!("ca_file = '{}'", authority.file().display());
    let (certificate, key) = authority.client();
    let (certificate, key) = (certificate.display(), key.display());
    let known = format!("{trusted}\nclient_certificate = '{certificate}'\nclient_key.file = '{key}'");
    assert_eq!(check("").await, "retry: the request was not answered");
    assert_eq!(check(&trusted).await, "retry: the request was not answered");
    assert_eq!(check(&known).await, "taken");
    assert_eq!(collector.bodies(), ["a"]);
}

#[tokio::test]
async fn a_server_of_another_protocol_is_no_collector() {
    let http = Collector::over_http().await;
    let sink = opened(&section(&http, "grpc")).await;
    let found = shown(sink.deliver(Arc::new(batch(&["a".into()]))).await);
    assert!(found.starts_with("retry: "), "{found}");
    let grpc = Collector::over_grpc().await;
    let sink = opened(&section(&grpc, "http")).await;
    let found = shown(sink.deliver(Arc::new(batch(&["a".into()]))).await);
    assert!(found.starts_with("retry: "), "{found}");
    assert_eq!((http.taken().len(), grpc.taken().len()), (0, 0));
}
