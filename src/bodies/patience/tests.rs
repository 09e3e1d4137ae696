use super::*;

fn settings(wait: Duration) -> Settings {
    Settings {
        access: crate::aws::Access::default(),
        buckets: Vec::new(),
        max_body_bytes: 1 << 20,
        concurrency: 1,
        wait,
        memory_bytes: 4 << 20,
        depth: 16,
        pace: Pace::default(),
    }
}

fn signals() -> Signals {
    Signals::new(&CancellationToken::new())
}

fn miss(then: Then) -> Miss {
    Miss { state: State::Missing, then, code: String::new() }
}

/// Asks again and again; gives the number of tries, how long they took, and what came of it.
async fn ask(patience: &mut Patience, then: Then, signals: &Signals) -> (u32, Duration, Verdict) {
    let (began, mut tries) = (Instant::now(), 1);
    loop {
        match patience.after(&miss(then), signals).await {
            Verdict::Again => tries += 1,
            verdict => return (tries, began.elapsed(), verdict),
        }
        assert!(tries < 10_000, "without an end");
    }
}

#[tokio::test(start_paused = true)]
async fn each_body_is_asked_for_a_bounded_time() {
    let check = async |age: i64, then: Then, tries: std::ops::RangeInclusive<u32>, seconds: [u64; 2]| {
        let settings = settings(Duration::from_secs(90));
        let event_time = Timestamp::from_second(Timestamp::now().as_second() - age).unwrap();
        let signals = signals();
        let mut patience = Patience::new(&settings, event_time, &signals);
        let (tried, took, verdict) = ask(&mut patience, then, &signals).await;
        assert_eq!(verdict, Verdict::Settled(State::Missing), "{age} {then:?}");
        assert!(tries.contains(&tried), "{tried} tries, {age} {then:?}");
        let [least, most] = seconds.map(Duration::from_secs);
        assert!(took >= least && took <= most, "{took:?}, {age} {then:?}");
    };
    check(0, Then::AwaitLanding, 20..=300, [88, 92]).await;
    check(60, Then::AwaitLanding, 8..=150, [28, 32]).await;
    check(3600, Then::AwaitLanding, 2..=2, [0, 1]).await;
    // A time to come, or none at all, is no reason to wait longer.
    check(-86_400 * 365, Then::AwaitLanding, 20..=300, [88, 92]).await;
    check(3600, Then::Retry, 8..=150, [29, 32]).await;
    check(0, Then::GiveUp, 1..=1, [0, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_cuts_it_to_seconds() {
    let settings = settings(Duration::from_secs(90));
    for then in [Then::AwaitLanding, Then::Retry] {
        let signals = signals();
        let mut patience = Patience::new(&settings, Timestamp::now(), &signals);
        let stop = signals.stop.clone();
        let (_, (_, took, verdict)) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                stop.cancel();
            },
            ask(&mut patience, then, &signals)
        );
        assert_eq!(verdict, Verdict::Settled(State::Missing));
        assert!(took >= Duration::from_secs(14) && took <= Duration::from_secs(16), "{took:?} {then:?}");
        // What has not landed after the stop is asked for once.
        let mut patience = Patience::new(&settings, Timestamp::now(), &signals);
        let (tries, took, _) = ask(&mut patience, then, &signals).await;
        assert!(then == Then::Retry || tries == 1, "{tries} tries");
        assert!(took <= Duration::from_secs(6), "{took:?} {then:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_needed_yet_is_left_for_later() {
    let settings = settings(Duration::from_secs(90));
    let signals = signals();
    signals.enough.cancel();
    let mut patience = Patience::new(&settings, Timestamp::now(), &signals);
    assert_eq!(ask(&mut patience, Then::AwaitLanding, &signals).await, (1, Duration::ZERO, Verdict::Later));
    assert_eq!(ask(&mut patience, Then::MakeRoom, &signals).await.2, Verdict::Later);
    // What is in trouble is seen through, so that an outage is borne once for all and not by each in turn.
    assert_eq!(ask(&mut patience, Then::Retry, &signals).await.2, Verdict::Settled(State::Missing));
}
