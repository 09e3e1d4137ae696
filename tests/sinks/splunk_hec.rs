//! The splunk_hec sink against a scripted collector.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bedrock_tap::config::Secret;
use bedrock_tap::format::key::Template;
use bedrock_tap::sink::splunk_hec::{self, Acknowledge, Endpoint, Settings};
use bedrock_tap::sink::{Batch, Planned, Sink, SinkError, batch, client, retry::Causes};
use serde_json::Value;

use super::contract::{self, Double, Trouble, lines};
use crate::support::splunk_double::{Meet, Setup, SplunkDouble, code};

/// A collector and how it is written to.
pub(super) struct Collector {
    double: SplunkDouble,
    pub(super) settings: Settings,
    _token: tempfile::NamedTempFile,
}

impl Collector {
    pub(super) async fn start(setup: Setup) -> Self {
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), &setup.token).unwrap();
        let double = SplunkDouble::start(setup).await;
        let settings = Settings {
            url: double.url(),
            token: Secret::File(token.path().into()),
            endpoint: Endpoint::Event,
            acknowledge: Acknowledge::Auto,
            acknowledge_timeout: Duration::from_secs(2),
            index: None,
            source: None,
            source_type: "aws:bedrock:invocation".to_owned(),
            host: None,
            text: false,
            gzip: true,
            client: client::Settings { timeout: Duration::from_secs(1), ..client::Settings::default() },
        };
        Self { double, settings, _token: token }
    }

    async fn with(setup: Setup, change: impl FnOnce(&mut Settings)) -> Self {
        let mut collector = Self::start(setup).await;
        change(&mut collector.settings);
        collector
    }

    async fn open(&self) -> Arc<dyn Sink> {
        splunk_hec::opening(self.settings.clone())().await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Delivers items once: `ok`, `retry: why`, `refused`, or `refused [1], again [0, 2]`.
    async fn deliver(&self, sink: &Arc<dyn Sink>, items: &[&str]) -> String {
        let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
        let parts = vec![lines(&items, Some(&Template::parse("").unwrap()))];
        match sink.deliver(Arc::new(Batch { parts, range: None })).await {
            Ok(()) => "ok".to_owned(),
            Err(SinkError::Retry { source, .. }) => format!("retry: {}", Causes(source.as_ref())),
            Err(SinkError::Refused { .. }) => "refused".to_owned(),
            Err(SinkError::Partial { retry, refused, .. }) => {
                let refused: Vec<usize> = refused.into_iter().map(|(item, _)| item).collect();
                format!("refused {refused:?}, again {retry:?}")
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn probe(&self) -> String {
        match self.open().await.probe().await {
            Ok(()) => "ok".to_owned(),
            Err(SinkError::Retry { source, .. }) => Causes(source.as_ref()).to_string(),
            Err(error) => panic!("{error:?}"),
        }
    }
}

impl Double for Collector {
    fn plan(&self) -> Planned {
        let settings = self.settings.clone();
        let batch =
            batch::Settings { item_overhead_bytes: settings.item_overhead_bytes(), ..batch::Settings::default() };
        let tags = (settings.endpoint == Endpoint::Event).then(|| Arc::new(Template::parse("").unwrap()));
        Planned { opening: splunk_hec::opening(settings), batch, tags, may_refuse: true }
    }

    fn script(&self, troubles: &[Trouble]) {
        self.double.script(troubles.iter().map(|trouble| match trouble {
            Trouble::Busy => code(503, 9),
            Trouble::Partial => code(429, 9),
            Trouble::Error => code(500, 8),
            Trouble::Hang => Meet::Silence,
            Trouble::AppliedThenCut => Meet::Cut,
        }));
    }

    fn refuse(&self, text: &str) -> bool {
        self.double.set_up(|setup| setup.refuse = Some(text.to_owned()));
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

pub(super) fn with_acks() -> Setup {
    Setup { acks: true, asked_before: Some(1), ..Setup::default() }
}

#[tokio::test]
async fn events_keep_the_contract() {
    contract::check(async || Collector::start(Setup::default()).await).await;
}

#[tokio::test]
async fn acknowledged_events_keep_the_contract() {
    contract::check(async || Collector::with(with_acks(), |it| it.acknowledge = Acknowledge::Always).await).await;
}

#[tokio::test]
async fn events_of_text_keep_the_contract() {
    contract::check(async || Collector::with(Setup::default(), |it| it.text = true).await).await;
}

#[tokio::test]
async fn lines_keep_the_contract() {
    contract::check(async || Collector::with(with_acks(), |it| it.endpoint = Endpoint::Raw).await).await;
}

#[tokio::test]
async fn an_event_has_its_time_its_identity_and_its_metadata() {
    let collector = Collector::with(Setup::default(), |it| {
        (it.index, it.source, it.host) = (Some("main".into()), Some("tap \"1\"".into()), Some("h".into()));
    });
    let collector = collector.await;
    let sink = collector.open().await;
    assert_eq!(collector.deliver(&sink, &["{\"a\": 1}", "{}"]).await, "ok");
    assert_eq!(collector.double.held(), ["{\"a\": 1}", "{}"]);
    let events = collector.double.events();
    let ids: BTreeSet<String> = events.iter().map(|event| event["fields"]["event_id"].to_string()).collect();
    assert_eq!(ids.len(), 2);
    let mut event = events[0].clone();
    event["fields"] = Value::Null;
    let expected = serde_json::json!({
        "time": 1767323045.678, "host": "h", "source": "tap \"1\"", "sourcetype": "aws:bedrock:invocation",
        "index": "main", "fields": null
    });
    assert_eq!(event, expected);
}

#[tokio::test]
async fn lines_have_their_metadata_in_the_query() {
    let collector = Collector::with(Setup::default(), |it| {
        (it.endpoint, it.source, it.host) = (Endpoint::Raw, Some("a&b=c d".into()), Some("h".into()));
    });
    let collector = collector.await;
    let sink = collector.open().await;
    assert_eq!(collector.deliver(&sink, &["one", "two"]).await, "ok");
    assert_eq!(collector.double.queries(), ["host=h&source=a%26b%3Dc+d&sourcetype=aws%3Abedrock%3Ainvocation"]);
    assert_eq!(collector.deliver(&sink, &[""]).await, "refused");
}

#[tokio::test]
async fn a_batch_is_delivered_once_it_is_acknowledged() {
    let collector = Collector::start(with_acks()).await;
    let sink = collector.open().await;
    let start = Instant::now();
    for _ in 0..2 {
        assert_eq!(collector.deliver(&sink, &["{}"]).await, "ok");
    }
    // 200 and 400 ms, twice.
    assert!(start.elapsed() >= Duration::from_millis(1200), "{:?}", start.elapsed());
    assert_eq!((collector.double.asked(), collector.double.channels().len()), ((2, 4), 1));
    let other = collector.open().await;
    assert_eq!(collector.deliver(&other, &["{}"]).await, "ok");
    assert_eq!(collector.double.channels().len(), 2, "two sinks share a channel");
}

#[tokio::test]
async fn trouble_with_questions_sends_nothing_again() {
    let check = async |meet: Meet| {
        let setup = Setup { asked_before: Some(0), ..with_acks() };
        let collector = Collector::with(setup, |it| it.acknowledge_timeout = Duration::from_secs(20)).await;
        let sink = collector.open().await;
        collector.double.script_acks([meet]);
        assert_eq!(collector.deliver(&sink, &["{}"]).await, "ok");
        assert_eq!(collector.double.asked(), (1, 2));
    };
    let odd = |text: &str| Meet::Answer(200, text.to_owned());
    let others = odd("{\"acks\":{\"1\":true}}");
    tokio::join!(check(code(503, 9)), check(Meet::Silence), check(others), check(odd("true")));
}

#[tokio::test]
async fn what_is_not_acknowledged_in_time_is_sent_again() {
    let setup = Setup { acks: true, asked_before: None, ..Setup::default() };
    let collector = Collector::with(setup, |it| it.acknowledge_timeout = Duration::from_secs(1)).await;
    let sink = collector.open().await;
    let start = Instant::now();
    let found = collector.deliver(&sink, &["{}"]).await;
    assert!(found.starts_with("retry: the indexers did not acknowledge a request within 1 s"), "{found}");
    assert!((1..3).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    collector.double.script_acks(vec![code(400, 14); 20]);
    let found = collector.deliver(&sink, &["{}"]).await;
    assert!(found.ends_with("code 14: the token has no indexer acknowledgement any more"), "{found}");
    // An answer that was lost, as Splunk tells each acknowledgement once.
    collector.double.script_acks(vec![code(200, 0); 20]);
    collector.double.set_up(|setup| setup.asked_before = Some(0));
    assert!(collector.deliver(&sink, &["{}"]).await.starts_with("retry"));
    assert_eq!(collector.double.asked().0, 3);
}

#[tokio::test]
async fn a_load_balancer_is_led_to_the_same_indexer() {
    let collector = Collector::start(Setup { balanced: true, ..with_acks() }).await;
    let sink = collector.open().await;
    assert_eq!(collector.deliver(&sink, &["{}"]).await, "ok");
}

#[tokio::test]
async fn whether_acknowledgements_are_waited_for_is_a_choice() {
    let never = Collector::with(Setup { asked_before: None, ..with_acks() }, |it| it.acknowledge = Acknowledge::Never);
    let never = never.await;
    let sink = never.open().await;
    assert_eq!((never.deliver(&sink, &["{}"]).await.as_str(), never.double.asked()), ("ok", (1, 0)));

    let always = Collector::with(Setup::default(), |it| it.acknowledge = Acknowledge::Always).await;
    let sink = always.open().await;
    let found = always.deliver(&sink, &["{}"]).await;
    assert!(found.starts_with("retry: the token has no indexer acknowledgement: enable it"), "{found}");
    assert!(always.double.held().is_empty(), "it would be sent at each try");
    always.double.set_up(|setup| setup.acks = true);
    assert_eq!(always.deliver(&sink, &["{}"]).await, "ok");
    always.double.set_up(|setup| setup.acks = false);
    for _ in 0..3 {
        assert!(always.deliver(&sink, &["{}"]).await.starts_with("retry: the token has no"));
    }
    assert_eq!(always.double.held().len(), 2, "more than the one that showed the change");
}

#[tokio::test]
async fn a_token_that_was_replaced_is_read_again() {
    let collector = Collector::start(with_acks()).await;
    let sink = collector.open().await;
    assert_eq!(collector.deliver(&sink, &["{}"]).await, "ok");
    collector.double.set_up(|setup| setup.token = "another-one".to_owned());
    let found = collector.deliver(&sink, &["{}"]).await;
    assert!(found.starts_with("retry: the collector answered 403 Forbidden, code 4: it does not know"), "{found}");
    let Secret::File(path) = &collector.settings.token else { panic!("no file") };
    std::fs::write(path, "another-one\n").unwrap();
    assert!(collector.deliver(&sink, &["{}"]).await.starts_with("retry"), "the new token is for the next request");
    assert_eq!(collector.deliver(&sink, &["{}"]).await, "ok");
    std::fs::remove_file(path).unwrap();
    assert_eq!(collector.deliver(&sink, &["{}"]).await, "ok");
    collector.double.set_up(|setup| setup.token = "third".to_owned());
    let found = collector.deliver(&sink, &["{}"]).await;
    assert!(found.starts_with("retry: `token`: the file"), "{found}");
}

#[tokio::test]
async fn a_missing_index_is_held_for() {
    let collector = Collector::with(Setup::default(), |it| it.index = Some("calls".into())).await;
    let sink = collector.open().await;
    let found = collector.deliver(&sink, &["{}"]).await;
    assert!(found.contains("code 7: the index calls does not exist or the token may not write to it"), "{found}");
    collector.double.set_up(|setup| setup.indexes.push("calls".into()));
    assert_eq!(collector.deliver(&sink, &["{}"]).await, "ok");
}

#[tokio::test]
async fn one_event_is_refused_alone() {
    let collector = Collector::with(Setup { refuse: Some("bad".into()), ..Setup::default() }, |it| it.text = true);
    let collector = collector.await;
    let sink = collector.open().await;
    assert_eq!(collector.deliver(&sink, &["a", "bad", "b"]).await, "refused [1], again [0, 2]");
    assert_eq!(collector.deliver(&sink, &["a", "b", ""]).await, "refused [2], again [0, 1]");
    assert!(collector.double.held().is_empty());
    // Where those before were taken, they are there twice; the identity tells.
    collector.double.set_up(|setup| setup.takes_before = true);
    assert_eq!(collector.deliver(&sink, &["a", "bad", "b"]).await, "refused [1], again [0, 2]");
    assert_eq!(collector.deliver(&sink, &["a", "b"]).await, "ok");
    assert_eq!(collector.double.held(), ["a", "a", "b"]);
    let ids: Vec<String> =
        collector.double.events().iter().map(|event| event["fields"]["event_id"].to_string()).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2]);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved() {
    let collector = Collector::start(Setup { max_body_bytes: 1000, ..Setup::default() }).await;
    let sink = collector.open().await;
    let item = contract::item(1, 600);
    assert_eq!(collector.deliver(&sink, &[&item, &item]).await, "refused");
    assert_eq!(collector.deliver(&sink, &[&item]).await, "ok");
}

#[tokio::test]
async fn a_probe_asks_for_health_and_token_and_writes_nothing() {
    let collector = Collector::start(Setup::default()).await;
    assert_eq!(collector.probe().await, "ok");
    collector.double.script([code(503, 18)]);
    assert_eq!(collector.probe().await, "the collector answered 503 Service Unavailable, code 18: it is busy");
    collector.double.script([Meet::Answer(404, "<html>".to_owned())]);
    assert!(
        collector.probe().await.starts_with("the answer is 404 Not Found, and none of an event collector; is `url`")
    );
    collector.double.set_up(|setup| setup.token = "another-one".to_owned());
    assert!(collector.probe().await.starts_with("the collector answered 403 Forbidden, code 4"));
    assert!(collector.double.held().is_empty());

    let always = Collector::with(Setup::default(), |it| it.acknowledge = Acknowledge::Always).await;
    assert!(always.probe().await.starts_with("the token has no indexer acknowledgement"));
    always.double.set_up(|setup| setup.acks = true);
    assert_eq!(always.probe().await, "ok");
}

#[tokio::test]
async fn a_request_that_is_dropped_damages_no_later_one() {
    let collector = Collector::start(with_acks()).await;
    let sink = collector.open().await;
    for millis in [0, 1, 5, 20, 100, 250] {
        let _ = tokio::time::timeout(Duration::from_millis(millis), collector.deliver(&sink, &["{}"])).await;
    }
    let before = collector.double.held().len();
    assert_eq!(collector.deliver(&sink, &["[1]", "[2]"]).await, "ok");
    assert_eq!(collector.double.held()[before..], ["[1]", "[2]"]);
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let collector = Collector::with(Setup::default(), |it| it.token = Secret::File("no-such-token".into())).await;
    let error = splunk_hec::opening(collector.settings.clone())().await.err().unwrap();
    assert_eq!(
        format!("{:#}", error).split(": No such").next(),
        Some("`token`: the file no-such-token cannot be read")
    );
}
