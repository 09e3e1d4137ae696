//! The HTTP client of all sinks: TLS, HTTP/2, certificates of both sides, proxies, and servers that mean no good.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bedrock_tap::config::Secret;
use bedrock_tap::proxies::Proxies;
use bedrock_tap::sink::client::{Answer, CallError, Client, Settings};
use bedrock_tap::sink::retry::Causes;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::support::certificates::Authority;
use crate::support::http_double::HttpDouble;
use crate::support::proxy_double::ProxyDouble;

fn short() -> Settings {
    Settings { timeout: Duration::from_secs(3), ..Settings::default() }
}

fn none() -> Proxies {
    Proxies { https: None, http: None, direct: String::new() }
}

async fn post(client: &Client, url: &str) -> Result<Answer, CallError> {
    client.send(client.request(Method::POST, url.parse().unwrap()).body("body")).await
}

async fn tls_double(tls: rustls::ServerConfig) -> HttpDouble {
    HttpDouble::with_tls(Some(tls), |_| Ok(Vec::new())).await
}

#[tokio::test]
async fn a_certificate_of_a_ca_of_ones_own_is_trusted_if_it_is_named() {
    let (authority, other) = (Authority::new(), Authority::new());
    let double = tls_double(authority.server("localhost", false, &["h2", "http/1.1"])).await;
    let url = format!("https://localhost:{}/", double.address.port());
    let client = |ca_file| Client::through(&Settings { ca_file, ..short() }, &none()).unwrap();
    let trusting = client(Some(authority.file()));
    for _ in 0..3 {
        assert_eq!(post(&trusting, &url).await.unwrap().status, 200);
    }
    let seen = double.seen();
    assert!(seen.len() == 3 && seen.iter().all(|seen| seen.version == axum::http::Version::HTTP_2), "no HTTP/2");
    assert_eq!(double.connections(), 1, "connections are not used again");
    let by_address = format!("https://{}/", double.address);
    for (client, url) in [(client(None), &url), (client(Some(other.file())), &url), (trusting, &by_address)] {
        let error = post(&client, url).await.unwrap_err();
        assert!(matches!(error, CallError::Certificate(_)), "{error:?}");
        assert!(error.to_string().contains("`ca_file`"));
    }
    assert_eq!(double.seen().len(), 3, "something was sent to a server that is not trusted");
}

#[tokio::test]
async fn a_server_that_asks_is_shown_a_certificate() {
    let authority = Authority::new();
    let double = tls_double(authority.server("localhost", true, &["http/1.1"])).await;
    let url = format!("https://localhost:{}/", double.address.port());
    let ca_file = Some(authority.file());
    let without = Settings { ca_file, ..short() };
    let (certificate, key) = authority.client();
    let with = Settings {
        client_certificate: Some(certificate.clone()),
        client_key: Some(Secret::File(key)),
        ..without.clone()
    };
    assert_eq!(post(&Client::through(&with, &none()).unwrap(), &url).await.unwrap().status, 200);
    assert!(post(&Client::through(&without, &none()).unwrap(), &url).await.is_err());
    assert_eq!(double.seen().len(), 1);
    let broken = Settings { client_key: Some(Secret::File(certificate)), ..with };
    let error = format!("{:#}", Client::through(&broken, &none()).unwrap_err());
    assert!(error.contains("`client_certificate` and `client_key`"), "{error}");
    for (text, part) in
        [("", "no certificate in PEM"), ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "")]
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let broken = Settings { ca_file: Some(file.path().to_owned()), ..short() };
        let error = format!("{:#}", Client::through(&broken, &none()).unwrap_err());
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn requests_go_through_the_proxy_that_is_named() {
    let authority = Authority::new();
    let secure = tls_double(authority.server("collector.example", false, &["http/1.1"])).await;
    let plain = HttpDouble::start(|_| Ok(Vec::new())).await;
    let (tunnel, passed) = (ProxyDouble::start(secure.address).await, ProxyDouble::start(plain.address).await);
    let trusting = Settings { ca_file: Some(authority.file()), ..short() };
    let url = |proxy: &ProxyDouble, user: &str| format!("http://{user}{}", proxy.address);
    let ask = async |settings: &Settings, proxies: &Proxies, url: &str| {
        let answer = post(&Client::through(settings, proxies).unwrap(), url).await;
        answer.map(|answer| answer.status.as_u16()).map_err(|error| Causes(&error).to_string())
    };
    // By its key: for whatever scheme.
    let by_key = Settings { proxy: Some(url(&tunnel, "")), ..trusting.clone() };
    assert_eq!(ask(&by_key, &none(), "https://collector.example/token").await, Ok(200));
    let by_key = Settings { proxy: Some(url(&passed, "")), ..short() };
    assert_eq!(ask(&by_key, &none(), "http://collector.example/").await, Ok(200));
    // By the environment: one for each scheme, with a user.
    let environment = Proxies {
        https: Some(url(&tunnel, "user:pass@")),
        http: Some(url(&passed, "")),
        direct: "direct.example,127.0.0.0/8".to_owned(),
    };
    assert_eq!(ask(&trusting, &environment, "https://collector.example/token").await, Ok(200));
    assert_eq!(ask(&trusting, &environment, "http://collector.example/").await, Ok(200));
    let heads = tunnel.heads();
    assert_eq!(heads.len(), 2);
    assert!(heads.iter().all(|head| head.starts_with("CONNECT collector.example:443 ")), "{heads:?}");
    assert!(!heads[1].contains("token") && heads[1].to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz"));
    assert!(
        passed.heads().iter().all(|head| head.starts_with("POST http://collector.example/ ")),
        "{:?}",
        passed.heads()
    );
    // Hosts that are asked directly.
    assert_eq!(ask(&trusting, &environment, &format!("http://{}/", plain.address)).await, Ok(200));
    let error = ask(&trusting, &environment, "https://direct.example/").await.unwrap_err();
    assert!(!error.contains("direct.example/"), "{error}");
    assert_eq!((tunnel.heads().len(), passed.heads().len()), (2, 2), "asked through the proxy");
}

/// A server that reads a request, and then writes this, again and again if `endless`.
async fn raw(answer: &'static [u8], endless: &'static [u8]) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1 << 12];
            let _ = stream.read(&mut request).await;
            let mut going = stream.write_all(answer).await.is_ok() && !endless.is_empty();
            while going {
                going = stream.write_all(endless).await.is_ok();
            }
        }
    });
    (address, tasks)
}

#[tokio::test]
async fn no_answer_is_too_bad() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n";
    static CHUNK: [u8; 1 << 16] = [b'x'; 1 << 16];
    let cases: [(&[u8], &[u8], &str); 8] = [
        (b"", b"", "not answered"),
        (b"HTTP/1.1 2", b"", "not answered"),
        (b"\x00\xff nothing that is HTTP \r\n\r\n", b"", "not answered"),
        (HEAD, b"x-more: 1\r\n", "not answered"),
        (b"HTTP/1.1 200 OK\r\nx: ", &CHUNK, "not answered"),
        (b"HTTP/1.1 200 OK\r\n\r\n", &CHUNK, "more than"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", &CHUNK, "more than"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort", b"", "not answered"),
    ];
    for (index, (answer, endless, part)) in cases.into_iter().enumerate() {
        let (address, _tasks) = raw(answer, endless).await;
        let client = Client::through(&short(), &none()).unwrap();
        let start = Instant::now();
        let error = post(&client, &format!("http://{address}/token")).await.expect_err("an answer");
        let text = Causes(&error).to_string();
        assert!(text.contains(part) && !text.contains("token"), "case {index}: {text}");
        assert!(start.elapsed() < Duration::from_secs(5), "case {index} took {:?}", start.elapsed());
    }
}

/// The program with a sink to this URL, one event to deliver, and these variables; it is stopped after `enough`, or ends by
/// itself. Gives what it logged.
async fn run(url: &str, source: &str, variables: &[(&str, String)], enough: impl Fn() -> bool) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let record = r#"{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-01-02T03:04:05Z","accountId":"123456789012","region":"us-east-1","requestId":"r","operation":"Converse","modelId":"amazon.nova-lite-v1:0"}"#;
    std::fs::write(path("in.jsonl"), record).unwrap();
    let source = source.replace("FILE", &format!("{:?}", path("in.jsonl")));
    let config =
        format!("{source}\n[coordination.local]\ndirectory = {:?}\n[sinks.a.http]\nurl = '{url}'\n", path("state"));
    std::fs::write(path("t.toml"), config).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
        .args(["run", "--config"])
        .arg(path("t.toml"))
        .env_clear()
        .envs([("AWS_ACCESS_KEY_ID", "any"), ("AWS_SECRET_ACCESS_KEY", "any"), ("AWS_CONFIG_FILE", "/dev/null")])
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !enough() && child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ = child.start_kill();
    String::from_utf8_lossy(&child.wait_with_output().await.unwrap().stderr).into_owned()
}

/// Sinks and AWS' services alike go by what the environment says; what it names is trusted, and passwords are not shown.
#[tokio::test]
async fn the_environment_names_proxies_and_certificates() {
    let authority = Authority::new();
    let file = authority.file().display().to_string();
    let collector = tls_double(authority.server("collector.example", false, &["http/1.1"])).await;
    let kinesis = HttpDouble::with_tls(Some(authority.server("kinesis.example", false, &["http/1.1"])), |_| {
        Err((400, r#"{"__type":"ResourceNotFoundException","message":"none"}"#.to_owned()))
    })
    .await;
    let (proxy, aws_proxy) = (ProxyDouble::start(collector.address).await, ProxyDouble::start(kinesis.address).await);
    let through = |proxy: &ProxyDouble| ("HTTPS_PROXY", format!("http://user:hunter2@{}", proxy.address));
    let from_file = "source.file.paths = [FILE]";
    // SSL_CERT_FILE stands for the system's store.
    let variables = [through(&proxy), ("SSL_CERT_FILE", file.clone())];
    let log = run("https://collector.example/", from_file, &variables, || false).await;
    assert_eq!(collector.seen().len(), 1, "{log}");
    assert!(proxy.heads()[0].starts_with("CONNECT collector.example:443 ") && !log.contains("hunter2"), "{log}");
    // Without certificates there is no https, but http there is.
    let variables = [("SSL_CERT_FILE", "/dev/null".to_owned())];
    let plain = HttpDouble::start(|_| Ok(Vec::new())).await;
    let log = run(&format!("http://{}/", plain.address), from_file, &variables, || false).await;
    assert!(plain.seen().len() == 1 && log.contains("install ca-certificates"), "{log}");
    // AWS' services.
    let stream = "[source.kinesis]\nstream = 'a'\nregion = 'us-east-1'\nendpoint_url = 'https://kinesis.example'";
    let variables = [through(&aws_proxy), ("AWS_CA_BUNDLE", file.clone()), ("SSL_CERT_FILE", file)];
    let log = run("http://127.0.0.1:1/", stream, &variables, || !kinesis.seen().is_empty()).await;
    assert!(!kinesis.seen().is_empty(), "{log}");
    let heads = aws_proxy.heads();
    assert!(heads.iter().all(|head| head.starts_with("CONNECT kinesis.example:443 ")) && !log.contains("hunter2"));
    for (text, part) in
        [("", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged")]
    {
        let broken = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(broken.path(), text).unwrap();
        let variables = [("AWS_CA_BUNDLE", broken.path().display().to_string())];
        let log = run("http://127.0.0.1:1/", stream, &variables, || false).await;
        assert!(log.contains("AWS_CA_BUNDLE") && log.contains(part), "{log}");
    }
}
