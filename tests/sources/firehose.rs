//! The Firehose endpoint: clients that follow the protocol, hostile ones, slow ones, and a process that is killed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bedrock_tap::budget::Budget;
use bedrock_tap::checkpoint::nowhere::Nowhere;
use bedrock_tap::config::Secret;
use bedrock_tap::sink::batch;
use bedrock_tap::source::firehose::limits::Limits;
use bedrock_tap::source::firehose::{CertificateFiles, Endpoint, EndpointError, Settings};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::certificates::Authority;
use crate::support::engine_script::{Bench, EACH_ALONE, Keeper};
use crate::support::firehose_client::{FirehoseClient, Pace, SOURCE, Sent, Verdict, body, gzipped};

mod hostile;
mod killed;
mod slow;

const KEY: &str = "a key";

/// An endpoint before an engine whose line and sink are scripted.
struct Site {
    address: SocketAddr,
    keeper: Arc<Keeper>,
    bench: Bench,
    budget: Budget,
    stop: CancellationToken,
    task: JoinHandle<Result<(), EndpointError>>,
    directory: TempDir,
}

fn settings(directory: &Path) -> Settings {
    std::fs::write(directory.join("key"), KEY).unwrap();
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        path: "/".into(),
        access_keys: vec![Secret::File(directory.join("key"))],
        tls: None,
        answer_timeout: Duration::from_secs(20),
        limits: Limits {
            connections: 64,
            requests: 64,
            headers: 32,
            header_bytes: 16 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(20),
            busy_timeout: Duration::from_secs(5),
        },
        refresh_interval: Duration::from_millis(20),
        drain: Duration::from_secs(10),
    }
}

impl Site {
    async fn open(memory_bytes: usize, change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = settings(directory.path());
        change(&mut settings);
        let keeper = Arc::<Keeper>::default();
        let bench = Bench::new(&[Arc::clone(&keeper)], EACH_ALONE, 64 << 20);
        let lanes = Arc::new(bench.engine.without_ranges().with_checkpoints(Arc::new(Nowhere)));
        let endpoint = Endpoint::open(settings).await.unwrap();
        let (address, budget, stop) =
            (endpoint.address().unwrap(), Budget::new(memory_bytes), bench.stop.reading.clone());
        let task = tokio::spawn(endpoint.serve(lanes, budget.clone(), stop.clone()));
        Self { address, keeper, bench, budget, stop, task, directory }
    }

    /// Waits until the sink has begun so many batches.
    async fn has_begun(&self, batches: usize) {
        until(async || self.keeper.batches.lock().unwrap().len() >= batches).await;
    }

    async fn new() -> Self {
        Self::open(64 << 20, |_| ()).await
    }

    fn client(&self) -> FirehoseClient {
        FirehoseClient::new(self.address, KEY)
    }

    /// Sends these bytes on a connection of their own, and gives what comes back until it ends or is one answer.
    async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The endpoint may end the connection before it has everything.
        let _ = stream.write_all(request.as_ref()).await;
        read_answer(&mut stream).await
    }

    /// Takes a good request, holds no memory for others, and ends well.
    async fn ends_well(self) {
        assert_eq!(self.client().send("last", &["the last"]).await, Sent::Delivered(1));
        let freed = timeout(Duration::from_secs(30), async {
            while self.budget.in_flight_bytes() > self.budget.total_bytes() / 8 {
                sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(freed.await.is_ok(), "{} bytes are held", self.budget.in_flight_bytes());
        self.stop.cancel();
        timeout(Duration::from_secs(30), self.task).await.unwrap().unwrap().unwrap();
        assert!(self.keeper.taken().contains(&"the last".to_owned()));
    }
}

async fn read_answer(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) && !text.starts_with("HTTP/1.1 1") {
                return text.into_owned();
            }
        }
        match timeout(Duration::from_secs(60), stream.read(&mut buffer)).await.expect("an answer or the end") {
            Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
        }
    }
}

/// A request with these headers beside those that are always there, and instead of those of the same name.
fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let usual = [
        ("Host", "endpoint"),
        ("Content-Length", length.as_str()),
        ("X-Amz-Firehose-Protocol-Version", "1.0"),
        ("X-Amz-Firehose-Request-Id", "id-1"),
        ("X-Amz-Firehose-Source-Arn", SOURCE),
        ("X-Amz-Firehose-Access-Key", KEY),
    ];
    let usual = usual.iter().filter(|(name, _)| !headers.iter().any(|(other, _)| other == name));
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    for (name, value) in usual.chain(headers).filter(|(_, value)| *value != "-") {
        text += &format!("{name}: {value}\r\n");
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

/// The status, and the body as JSON.
fn parsed(answer: &str) -> (u16, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn each_request_is_told_what_is_wrong_with_it() {
    let site = Site::new().await;
    let good = body("id-1", &["one"]);
    let check = async |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8], status: u16, message: &str| {
        let answer = site.raw(request(method, path, headers, body)).await;
        let (found, value) = parsed(&answer);
        assert_eq!(found, status, "{method} {path} {headers:?}: {answer}");
        if method != "HEAD" {
            assert!(value["timestamp"].as_u64().is_some_and(|millis| millis > 1_700_000_000_000), "{answer}");
            assert_eq!(value["errorMessage"].as_str().unwrap_or(""), message, "{method} {path} {headers:?}");
        }
        let id = headers.iter().find(|(name, _)| name.ends_with("Request-Id")).map_or("id-1", |(_, id)| *id);
        if id == "id-1" && method != "HEAD" {
            assert_eq!(value["requestId"], "id-1", "{answer}");
        }
    };
    check("POST", "/", &[], &good, 200, "").await;
    check("GET", "/health", &[("X-Amz-Firehose-Access-Key", "-")], b"", 200, "").await;
    check("HEAD", "/health", &[("Connection", "close")], b"", 200, "").await;
    check("POST", "/health", &[], &good, 404, "records are not posted to this path").await;
    check("POST", "/other", &[], &good, 404, "records are not posted to this path").await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        check(method, "/", &[], b"", 405, "records come by POST").await;
    }
    for key in ["-", "", "A key", "a keys", "a ke"] {
        let headers = [("X-Amz-Firehose-Access-Key", key)];
        check("POST", "/", &headers, &good, 401, "the access key is missing or not known").await;
    }
    // A second key does not count, and what is no client gets its answer before it has sent a body.
    let headers = [("X-Amz-Firehose-Access-Key", "no"), ("X-Amz-Firehose-Access-Key", KEY)];
    check("POST", "/", &headers, &good, 401, "the access key is missing or not known").await;
    let headers = [("X-Amz-Firehose-Access-Key", "no"), ("Content-Length", "1000"), ("Expect", "100-continue")];
    check("POST", "/", &headers, b"", 401, "the access key is missing or not known").await;
    for version in ["-", "1.1", "2.0", ""] {
        let headers = [("X-Amz-Firehose-Protocol-Version", version)];
        check("POST", "/", &headers, &good, 400, "X-Amz-Firehose-Protocol-Version is not 1.0").await;
    }
    for id in ["-", "", "a b", "\u{e4}", &"a".repeat(600)] {
        let headers = [("X-Amz-Firehose-Request-Id", id)];
        check("POST", "/", &headers, &good, 400, "X-Amz-Firehose-Request-Id is missing or no id").await;
    }
    let no_arn = [("X-Amz-Firehose-Source-Arn", "-")];
    check("POST", "/", &no_arn, &good, 400, "X-Amz-Firehose-Source-Arn is missing or no ARN").await;
    let other = body("id-2", &["one"]);
    check("POST", "/", &[], &other, 400, "requestId is not the one of X-Amz-Firehose-Request-Id").await;
    for encoding in ["br", "zstd", "gzip, gzip"] {
        check("POST", "/", &[("Content-Encoding", encoding)], &good, 400, "the body's Content-Encoding is not gzip")
            .await;
    }
    check("POST", "/", &[("Content-Encoding", "GZIP")], &gzipped(&body("id-1", &["two"])), 200, "").await;
    assert_eq!(site.keeper.taken(), ["one", "two"]);
    site.ends_well().await;
}

#[tokio::test]
async fn records_come_out_as_they_went_in() {
    let site = Site::new().await;
    let mut client = site.client();
    let large = "l".repeat(300_000);
    for gzip in [false, true] {
        client.gzip = gzip;
        let id = format!("gzip-{gzip}");
        let line = |text: &str| format!("{gzip}{text}");
        let sizes: Vec<String> = (1..40).map(|size| line(&"a".repeat(size * 157))).collect();
        assert_eq!(client.send(&id, &sizes).await, Sent::Delivered(1));
        assert_eq!(
            client.send(&format!("{id}-large"), &[line(&large), String::new(), line("small")]).await,
            Sent::Delivered(1)
        );
        let taken = site.keeper.taken();
        assert!(
            sizes.iter().all(|size| taken.contains(size))
                && taken.contains(&line(&large))
                && taken.contains(&line("small"))
        );
    }
    // The reader's own escapes, unknown members, and no base64 at all.
    let escaped = br#"{"new":[{"deep":[]}],"records":[{"data":"YWI\u003d"},{"data":"Pz8\/"},{"data":"\u005am9udA==","more":1},{"data":"!odd"},{"data":"YQ=="}],"requestId":"e","timestamp":"any"}"#;
    let verdict = client.attempt("e", escaped.to_vec()).await;
    assert!(matches!(verdict, Verdict::Taken), "{verdict:?}");
    let taken = site.keeper.taken();
    for text in ["ab", "???", "font", "a"] {
        assert!(taken.contains(&text.to_owned()), "{text}");
    }
    // The rest went where what is no record goes.
    let letters = site.bench.letters.taken();
    assert!(letters.len() == 1 && letters[0].contains("IW9kZA==") && letters[0].contains("\"e\""), "{letters:?}");
    assert_eq!(client.send("none", &[""; 0]).await, Sent::Delivered(1));
    site.ends_well().await;
}

#[tokio::test]
async fn a_request_is_answered_once_it_is_durable_and_its_retries_wait_for_the_same() {
    let site = Site::open(64 << 20, |settings| settings.answer_timeout = Duration::from_secs(2)).await;
    site.keeper.hold("held");
    let client = site.client();
    let Verdict::Again(why) = client.attempt("h", body("h", &["held"])).await else { panic!("not durable") };
    assert!(why.contains("503") && why.contains("not durable yet"), "{why}");
    // Retries and others that have the same id with other records.
    let (retries, other) =
        tokio::join!(client.attempt("h", body("h", &["held"])), client.attempt("h", body("h", &["free"])));
    assert!(matches!(retries, Verdict::Again(_)) && matches!(other, Verdict::Taken), "{retries:?} {other:?}");
    assert_eq!(site.keeper.taken(), ["free"]);
    let (sent, ()) = tokio::join!(client.send("h", &["held"]), async {
        sleep(Duration::from_millis(2100)).await;
        site.keeper.let_go("held");
    });
    assert!(matches!(sent, Sent::Delivered(attempts) if attempts > 1), "{sent:?}");
    assert_eq!(client.send("h", &["held"]).await, Sent::Delivered(1), "it is remembered");
    assert_eq!(site.keeper.taken(), ["free", "held"]);
    site.ends_well().await;
}

#[tokio::test]
async fn memory_that_is_not_free_is_waited_for_and_then_asked_for_later() {
    let site = Site::open(256 << 10, |settings| settings.limits.busy_timeout = Duration::from_millis(100)).await;
    let client = site.client();
    // The rest is for small bodies.
    let all = site.budget.reserve(224 << 10).await;
    let answer = site.raw(request("POST", "/", &[], &body("id-1", &["x".repeat(40 << 10)]))).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.to_lowercase().contains("connection: close"), "{answer}");
    let large = ["y".repeat(40 << 10)];
    let (sent, ()) = tokio::join!(client.send("a", &large), async {
        sleep(Duration::from_millis(150)).await;
        drop(all);
    });
    assert!(matches!(sent, Sent::Delivered(_)), "{sent:?}");
    assert_eq!(site.keeper.taken().len(), 1);
    // What just fits does, also what comes compressed and does not say how much it is; and two halves do not wait for each
    // other. What is larger than everything comes in alone.
    for gzip in [false, true] {
        let mut client = site.client();
        client.gzip = gzip;
        let (just, more) = (["x".repeat(120 << 10)], ["z".repeat(900 << 10)]);
        let id = |name: &str| format!("{name}-{gzip}");
        let (c, d, e, f) = (id("c"), id("d"), id("e"), id("f"));
        let sent = tokio::join!(
            client.send(&c, &just),
            client.send(&d, &more),
            client.send(&e, &just),
            client.send(&f, &more)
        );
        let (c, d, e, f) = &sent;
        assert!([c, d, e, f].iter().all(|sent| matches!(sent, Sent::Delivered(_))), "{sent:?}");
    }
    site.ends_well().await;
}

#[tokio::test]
async fn a_sink_that_is_gone_ends_the_endpoint() {
    let keeper = Keeper::answering([crate::support::engine_script::Answer::Stop]);
    let bench = Bench::new(&[keeper], batch::Settings::DEFAULT, 1 << 20);
    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::open(settings(directory.path())).await.unwrap();
    let client = FirehoseClient::new(endpoint.address().unwrap(), KEY);
    let serving =
        tokio::spawn(endpoint.serve(Arc::new(bench.engine.clone()), Budget::new(1 << 20), bench.stop.reading.clone()));
    let verdict = client.attempt("a", body("a", &["one"])).await;
    assert!(matches!(verdict, Verdict::Again(_)), "{verdict:?}");
    let ended = timeout(Duration::from_secs(15), serving).await.unwrap().unwrap();
    assert!(matches!(ended, Err(EndpointError::Lane(_))), "{ended:?}");
    assert!(bench.stop.reading.is_cancelled());
}

#[tokio::test]
async fn told_to_stop_it_answers_what_has_begun_and_takes_nothing_more() {
    let site = Site::new().await;
    site.keeper.hold("held");
    let client = Arc::new(site.client());
    let mut idle = TcpStream::connect(site.address).await.unwrap();
    idle.write_all(&request("POST", "/", &[], &body("id-1", &["one"]))).await.unwrap();
    assert!(read_answer(&mut idle).await.starts_with("HTTP/1.1 200"));
    let begun = {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.attempt("h", body("h", &["held"])).await })
    };
    // A body of which the half is there.
    let mut half = TcpStream::connect(site.address).await.unwrap();
    let whole = request("POST", "/", &[], &body("id-1", &["later"]));
    half.write_all(&whole[..whole.len() - 10]).await.unwrap();
    site.has_begun(2).await;
    // The small share is held; what is held beside it in there cannot be seen.
    sleep(Duration::from_millis(500)).await;
    site.stop.cancel();
    sleep(Duration::from_millis(50)).await;
    half.write_all(&whole[whole.len() - 10..]).await.unwrap();
    let answer = read_answer(&mut half).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(idle.read(&mut [0; 10]).await.unwrap_or(0), 0, "a connection that does nothing ends");
    assert!(TcpStream::connect(site.address).await.is_err(), "nobody listens");
    site.keeper.let_go("held");
    assert!(matches!(begun.await.unwrap(), Verdict::Taken));
    timeout(Duration::from_secs(30), site.task).await.unwrap().unwrap().unwrap();
    assert_eq!(site.keeper.taken(), ["one", "later", "held"]);
}

#[tokio::test]
async fn after_the_drain_deadline_what_is_not_durable_is_asked_for_again() {
    let site = Site::open(64 << 20, |settings| settings.drain = Duration::from_secs(5)).await;
    site.keeper.hold("held");
    let (verdict, ()) = tokio::join!(async { site.client().attempt("h", body("h", &["held"])).await }, async {
        site.has_begun(1).await;
        site.stop.cancel();
        site.bench.stop.abandon.cancel();
    });
    let Verdict::Again(why) = verdict else { panic!("it is not durable") };
    assert!(why.contains("503") && why.contains("given up"), "{why}");
    timeout(Duration::from_secs(30), site.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn http2_without_tls_is_as_good() {
    let site = Site::new().await;
    let url = format!("http://{}/", site.address);
    let client = |key| FirehoseClient::over(reqwest::Client::builder().http2_prior_knowledge(), url.clone(), key);
    for (key, status) in [("no", 401), (KEY, 200)] {
        let response = client(key).post("a", body("a", &["one"])).await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (status, reqwest::Version::HTTP_2));
        let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let text = response.text().await.unwrap();
        assert!(text.len() == length && text.contains(r#""requestId":"a""#), "{text}");
    }
    site.ends_well().await;
}

#[tokio::test]
async fn keys_are_rotated_without_a_restart() {
    let site = Site::new().await;
    let at = site.directory.path().join("key");
    let mut client = site.client();
    client.pace = Pace { duration: Duration::ZERO, ..Pace::FAST };
    std::fs::write(&at, r#"{"api_key":"another"}"#).unwrap();
    until(async || matches!(client.send("a", &["one"]).await, Sent::BackedUp(_))).await;
    client.key = "another".into();
    assert_eq!(client.send("b", &["two"]).await, Sent::Delivered(1));
    // A key that is gone for a moment takes nothing away.
    std::fs::remove_file(&at).unwrap();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(client.send("c", &["three"]).await, Sent::Delivered(1));
    std::fs::write(&at, KEY).unwrap();
    until(async || matches!(client.send("d", &["four"]).await, Sent::BackedUp(_))).await;
    site.ends_well().await;
}

async fn until(mut is: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is().await {
        assert!(Instant::now() < deadline, "it does not come");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A certificate of a server, in files.
fn certificate(authority: &Authority, directory: &Path, name: &str) -> CertificateFiles {
    let (certificate, key) = authority.signed(name);
    let files = CertificateFiles { certificate: directory.join("tls.pem"), key: directory.join("tls.key") };
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
    files
}

fn over_tls(site: &Site, name: &str, authority: &Authority) -> FirehoseClient {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let root = reqwest::Certificate::from_pem(&std::fs::read(authority.file()).unwrap()).unwrap();
    let builder =
        reqwest::Client::builder().tls_certs_only([root]).resolve(name, site.address).pool_max_idle_per_host(0);
    FirehoseClient::over(builder, format!("https://{name}:{}/", site.address.port()), KEY)
}

#[tokio::test]
async fn certificates_are_changed_without_a_restart() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = certificate(&authority, directory.path(), "one.example");
    let tls = files.clone();
    let site = Site::open(64 << 20, |settings| settings.tls = Some(tls)).await;
    let client = |name: &str| over_tls(&site, name, &authority);
    let response = client("one.example").post("a", body("a", &["one"])).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, reqwest::Version::HTTP_2));
    assert!(matches!(client("two.example").attempt("b", body("b", &["two"])).await, Verdict::Again(_)));
    // Half a pair, and none: the one from before stays.
    let old_key = std::fs::read(&files.key).unwrap();
    certificate(&authority, directory.path(), "two.example");
    let new_key = std::fs::read(&files.key).unwrap();
    for key in [old_key.as_slice(), b"no key"] {
        std::fs::write(&files.key, key).unwrap();
        sleep(Duration::from_millis(100)).await;
        assert!(matches!(client("one.example").attempt("c", body("c", &["three"])).await, Verdict::Taken));
    }
    std::fs::write(&files.key, new_key).unwrap();
    until(async || matches!(client("two.example").attempt("b", body("b", &["two"])).await, Verdict::Taken)).await;
    assert!(matches!(client("one.example").attempt("d", body("d", &["four"])).await, Verdict::Again(_)));
    // Plain HTTP is none.
    let answer = site.raw(request("POST", "/", &[], &body("id-1", &["plain"]))).await;
    assert!(!answer.starts_with("HTTP"), "{answer}");
    site.stop.cancel();
    site.task.await.unwrap().unwrap();
    assert_eq!(site.keeper.taken(), ["one", "three", "two"]);
}

#[tokio::test]
async fn what_cannot_be_opened_is_said_with_advice() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let check = async |change: &dyn Fn(&mut Settings), expected: &[&str]| {
        let mut settings = settings(directory.path());
        change(&mut settings);
        let error = anyhow::Error::new(Endpoint::open(settings).await.err().unwrap());
        let text = format!("{error:#}");
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    check(&|settings| settings.listen = address, &["cannot listen on 127.0.0.1:", "another process listens there"])
        .await;
    check(&|settings| settings.listen = "192.0.2.1:80".parse().unwrap(), &["no network interface has this address"])
        .await;
    check(&|settings| settings.access_keys.push(Secret::File(PathBuf::from("/none"))), &["`access_keys`", "/none"])
        .await;
    let files = certificate(&authority, directory.path(), "a.example");
    let no_key = CertificateFiles { key: files.certificate.clone(), ..files.clone() };
    check(&|settings| settings.tls = Some(no_key.clone()), &["no private key"]).await;
    let missing = CertificateFiles { key: "/none".into(), ..files.clone() };
    check(&|settings| settings.tls = Some(missing.clone()), &["the file /none cannot be read"]).await;
    std::fs::write(&files.key, authority.signed("b.example").1).unwrap();
    check(&|settings| settings.tls = Some(files.clone()), &["no certificate and key of a server"]).await;
}
