//! Clients that are slow, silent, or many: they end, and a good one goes on beside them.

use super::*;

/// How long it takes until the endpoint ends the connection, and what it said.
async fn ends(mut stream: TcpStream) -> (Duration, String) {
    let (begin, mut said) = (Instant::now(), Vec::new());
    let _ = timeout(NEVER, stream.read_to_end(&mut said)).await.expect("the end of the connection");
    (begin.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

/// What it waits for is never near to what it must not wait for.
const NEVER: Duration = Duration::from_secs(60);

#[tokio::test]
async fn who_never_comes_to_the_point_is_ended() {
    const HEADERS: Duration = Duration::from_millis(1500);
    let site = Site::open(64 << 20, |settings| {
        settings.limits.header_timeout = HEADERS;
        settings.limits.idle_timeout = NEVER;
        settings.limits.body_timeout = NEVER;
    })
    .await;
    let connect = || async { TcpStream::connect(site.address).await.unwrap() };
    let silent = async { ends(connect().await).await.0 };
    let drip = async {
        let (mut stream, begin) = (connect().await, Instant::now());
        for byte in request("POST", "/", &[("X-Long", &"a".repeat(10_000))], b"") {
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        begin.elapsed()
    };
    let kept_and_dripping = async {
        let mut stream = connect().await;
        stream.write_all(&request("POST", "/", &[], &body("id-1", &["two"]))).await.unwrap();
        assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        stream.write_all(b"POST / HT").await.unwrap();
        ends(stream).await.0
    };
    let http2 = async {
        let mut stream = connect().await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        ends(stream).await.0
    };
    let (silent, drip, dripping, http2) = tokio::join!(silent, drip, kept_and_dripping, http2);
    let all = [
        ("silent", silent),
        ("a byte at a time", drip),
        ("an answer, and then a byte at a time", dripping),
        ("HTTP/2 without a request", http2),
    ];
    for (what, time) in all {
        assert!(HEADERS / 2 < time && time < NEVER, "{what}: {time:?}");
    }
    site.ends_well().await;
}

#[tokio::test]
async fn who_stays_without_a_word_is_ended() {
    const SILENCE: Duration = Duration::from_secs(1);
    let site = Site::open(64 << 20, |settings| {
        settings.limits.header_timeout = NEVER;
        settings.limits.idle_timeout = SILENCE;
        settings.limits.body_timeout = SILENCE;
    })
    .await;
    let half_a_body = async {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        let whole = request("POST", "/", &[], &body("id-1", &["x".repeat(1000)]));
        stream.write_all(&whole[..whole.len() - 500]).await.unwrap();
        ends(stream).await
    };
    let kept = async {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(&request("POST", "/", &[], &body("id-1", &["one"]))).await.unwrap();
        assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        ends(stream).await
    };
    let (half, kept) = tokio::join!(half_a_body, kept);
    for (what, (time, _)) in [("half a body", &half), ("kept", &kept)] {
        assert!(SILENCE / 2 < *time && *time < NEVER, "{what}: {time:?}");
    }
    assert!(half.1.starts_with("HTTP/1.1 408"), "{}", half.1);
    site.ends_well().await;
}

#[tokio::test]
async fn many_connections_leave_room_for_one_that_is_good() {
    let site = Site::open(64 << 20, |settings| settings.limits.connections = 8).await;
    let client = site.client();
    assert_eq!(client.send("a", &["one"]).await, Sent::Delivered(1));
    let mut others = Vec::new();
    for number in 0..60 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nX-Slow: ").await.unwrap();
        others.push(stream);
        let fresh = site.client();
        assert_eq!(fresh.send(&format!("f{number}"), &["fresh"]).await, Sent::Delivered(1));
        assert_eq!(client.send(&format!("c{number}"), &["kept"]).await, Sent::Delivered(1));
    }
    site.ends_well().await;
}

#[tokio::test]
async fn a_slow_body_holds_what_it_has_sent() {
    let site = Site::open(1 << 20, |_| ()).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        let head = request("POST", "/", &[("Content-Length", "900000")], br#"{"requestId":"#);
        stream.write_all(&head).await.unwrap();
        slow.push(stream);
    }
    // The part for small bodies is full, and the rest holds some of the others.
    let small = site.budget.total_bytes() / 8;
    until(async || site.budget.in_flight_bytes() > small).await;
    assert!(site.budget.in_flight_bytes() <= small + 20 * (16 << 10), "{}", site.budget.in_flight_bytes());
    assert_eq!(site.client().send("a", &["x".repeat(100_000)]).await, Sent::Delivered(1));
    drop(slow);
    site.ends_well().await;
}

#[tokio::test]
async fn requests_beyond_the_limit_are_asked_for_later_and_retries_join_without_a_place() {
    let site = Site::open(64 << 20, |settings| {
        settings.limits.requests = 2;
        settings.limits.busy_timeout = Duration::from_secs(2);
    })
    .await;
    let client = Arc::new(site.client());
    let mut waiting = JoinSet::new();
    for line in ["held-1", "held-2"] {
        site.keeper.hold(line);
        for _ in 0..4 {
            let client = Arc::clone(&client);
            waiting.spawn(async move { client.attempt(line, body(line, &[line])).await });
        }
    }
    site.has_begun(2).await;
    let Verdict::Again(why) = client.attempt("third", body("third", &["third"])).await else { panic!("no place") };
    assert!(why.contains("503") && why.contains("wait for the sinks"), "{why}");
    for line in ["held-1", "held-2"] {
        site.keeper.let_go(line);
    }
    while let Some(verdict) = waiting.join_next().await {
        assert!(matches!(verdict.unwrap(), Verdict::Taken));
    }
    let mut taken = site.keeper.taken();
    taken.sort();
    assert_eq!(taken, ["held-1", "held-2"]);
    site.ends_well().await;
}
