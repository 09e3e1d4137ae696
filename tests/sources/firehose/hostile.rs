//! Bodies that mean harm, or are broken: each is told so in a way that loses nothing, and none takes more memory than it may.

use super::*;

/// Posts a body with these headers and gives the status; the message quotes nothing of it.
async fn posted(site: &Site, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let answer = site.raw(request("POST", "/", headers, body)).await;
    let (status, value) = parsed(&answer);
    assert!(!answer.contains("secret") && answer.len() < 8192, "{answer}");
    (status, value["errorMessage"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn bodies_that_are_none_of_the_protocol_are_refused() {
    let site = Site::open(8 << 20, |_| ()).await;
    let check = async |what: &str, body: &[u8], message: &str| {
        let (status, found) = posted(&site, &[], body).await;
        assert_eq!((status, found.contains(message)), (400, true), "{what}: {found}");
        if !body.is_empty() {
            let (status, found) = posted(&site, &[("Content-Encoding", "gzip")], &gzipped(body)).await;
            assert_eq!((status, found.contains(message)), (400, true), "{what}, compressed: {found}");
        }
    };
    let protocol = "not JSON of Firehose's protocol";
    check("nothing", b"", protocol).await;
    check("no JSON", b"secret", protocol).await;
    check("a list", b"[]", protocol).await;
    check("no records", br#"{"requestId":"id-1","timestamp":1}"#, protocol).await;
    check("no id", br#"{"timestamp":1,"records":[]}"#, protocol).await;
    check("an id that is a number", br#"{"requestId":1,"records":[]}"#, protocol).await;
    check("records that are no list", br#"{"requestId":"id-1","records":{"data":"secret"}}"#, protocol).await;
    check("data that is a number", br#"{"requestId":"id-1","records":[{"data":1}]}"#, protocol).await;
    check("data that is null", br#"{"requestId":"id-1","records":[{"data":null}]}"#, protocol).await;
    check("a record without data", br#"{"requestId":"id-1","records":[{"secret":"c2VjcmV0"}]}"#, protocol).await;
    check("the id twice", br#"{"requestId":"id-1","requestId":"id-1","records":[]}"#, protocol).await;
    check("records twice", br#"{"requestId":"id-1","records":[{"data":""}],"records":[]}"#, protocol).await;
    check("data twice", br#"{"requestId":"id-1","records":[{"data":"","data":""}]}"#, protocol).await;
    check("more behind it", br#"{"requestId":"id-1","records":[]}{}"#, protocol).await;
    check("cut off", br#"{"requestId":"id-1","records":[{"data":"c2Vj"#, protocol).await;
    check("no UTF-8", b"{\"requestId\":\"id-1\",\"records\":[{\"data\":\"\xff\"}]}", protocol).await;
    let deep = [br#"{"requestId":"id-1","x":"#.as_slice(), &[b'['; 3 << 20]].concat();
    check("deep", &deep, "more than 10000 records").await;
    let many = format!(r#"{{"requestId":"id-1","records":[{}]}}"#, vec![r#"{"data":""}"#; 10_001].join(","));
    check("one record too many", many.as_bytes(), "more than 10000 records").await;
    let many = format!(r#"{{"requestId":"id-1","records":[{}]}}"#, vec!["{}"; 1_000_000].join(","));
    check("a million", many.as_bytes(), "more than 10000 records").await;
    let most = format!(r#"{{"requestId":"id-1","records":[{}]}}"#, vec![r#"{"data":""}"#; 10_000].join(","));
    assert_eq!(posted(&site, &[], most.as_bytes()).await.0, 200);
    let escapes =
        [br#"{"requestId":"id-1","records":[{"data":""#.as_slice(), &b"\\/".repeat(11 << 20), br#""}]}"#].concat();
    check("more escapes than memory", &escapes, "memory_budget").await;
    assert_eq!(site.keeper.taken(), [""; 0]);
    site.ends_well().await;
}

#[tokio::test]
async fn bodies_that_are_larger_than_allowed_are_never_told_413() {
    let site = Site::new().await;
    let bomb = gzipped(&vec![b' '; 80 << 20]);
    let (status, message) = posted(&site, &[("Content-Encoding", "gzip")], &bomb).await;
    assert_eq!((status, message.contains("64 MiB")), (400, true), "a bomb: {message}");
    let (status, message) = posted(&site, &[("Content-Length", "67108865")], b"{").await;
    assert_eq!((status, message.contains("64 MiB")), (400, true), "a length: {message}");
    let (status, message) = posted(&site, &[("Content-Length", "18446744073709551615")], b"{").await;
    assert!([0, 400, 431].contains(&status), "a length that is none: {status} {message}");
    // Without end, in chunks.
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    let head = request("POST", "/", &[("Content-Length", "-"), ("Transfer-Encoding", "chunked")], b"");
    stream.write_all(&head).await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    let (mut from, mut to) = stream.split();
    let sending = async {
        for _ in 0..80 {
            if to.write_all(&chunk).await.is_err() {
                break;
            }
        }
    };
    let mut answer = Vec::new();
    let (_, _) = tokio::join!(sending, from.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    // The connection may be gone before the client has read what it was told.
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    site.ends_well().await;
}

/// The part of the default of `memory_budget` that sources have is as large as the largest body.
#[tokio::test]
async fn the_largest_body_is_taken_and_small_ones_go_on_beside_it() {
    let site = Site::open(64 << 20, |settings| settings.limits.body_timeout = Duration::from_secs(120)).await;
    let mut most = body("id-1", &["one"]);
    most.resize(64 << 20, b' ');
    let whole = request("POST", "/", &[], &most);
    let (begin, rest) = whole.split_at(whole.len() / 2);
    let mut large = TcpStream::connect(site.address).await.unwrap();
    large.write_all(begin).await.unwrap();
    until(async || site.budget.in_flight_bytes() == site.budget.total_bytes()).await;
    assert_eq!(site.client().send("small", &["small"]).await, Sent::Delivered(1));
    large.write_all(rest).await.unwrap();
    let answer = read_answer(&mut large).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Where it does not say how large it is.
    let mut most = body("id-1", &["two"]);
    most.resize(64 << 20, b' ');
    let (status, message) = posted(&site, &[("Content-Encoding", "gzip")], &gzipped(&most)).await;
    assert_eq!(status, 200, "{message}");
    assert_eq!(site.keeper.taken(), ["small", "one", "two"]);
    site.ends_well().await;
}

#[tokio::test]
async fn gzip_that_is_broken_is_refused_and_of_several_members_is_taken() {
    let site = Site::new().await;
    let headers = [("Content-Encoding", "gzip")];
    let whole = gzipped(&body("id-1", &["one"]));
    for length in [0, 1, 5, 12, whole.len() - 9, whole.len() - 1] {
        let (status, message) = posted(&site, &headers, &whole[..length]).await;
        assert_eq!((status, message.contains("too early")), (400, true), "{length} of {}: {message}", whole.len());
    }
    let mut wrong_sum = whole.clone();
    let at = wrong_sum.len() - 8;
    wrong_sum[at] ^= 1;
    for wrong in [wrong_sum, body("id-1", &["one"]), [&whole[..], b"secret"].concat()] {
        let (status, message) = posted(&site, &headers, &wrong).await;
        assert_eq!((status, message.contains("no gzip")), (400, true), "{message}");
    }
    let text = body("id-1", &["two"]);
    let members = [gzipped(&text[..7]), gzipped(b""), gzipped(&text[7..])].concat();
    assert_eq!(posted(&site, &headers, &members).await.0, 200);
    assert_eq!(site.keeper.taken(), ["two"]);
    site.ends_well().await;
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let site = Site::new().await;
    let long = "a".repeat(20 << 10);
    let answer = site.raw(request("POST", "/", &[("X-Long", &long)], &body("id-1", &["one"]))).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let names: Vec<String> = (0..100).map(|number| format!("X-Many-{number}")).collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "a")).collect();
    let answer = site.raw(request("POST", "/", &headers, &body("id-1", &["one"]))).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    let address = format!("/{}", "a".repeat(70_000));
    let answer = site.raw(request("POST", &address, &[], b"")).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4") && !answer.contains(" 413 "), "{answer}");
    for nonsense in
        ["\r\n\r\n", "POST", "\u{16}\u{3}\u{1}", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense that is no frame"]
    {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(nonsense.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("the end");
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{nonsense:?}");
    }
    assert_eq!(site.keeper.taken(), [""; 0]);
    site.ends_well().await;
}
