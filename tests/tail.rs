//! `bedrock-tap tail`: what is shown of records as Bedrock writes them, of hostile ones, and to whom.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedrock_tap::cli::tail::filter::{Filter, Pattern};
use bedrock_tap::cli::tail::output::{Output, Stream};
use bedrock_tap::cli::tail::printer::{Form, Look, Printer};
use bedrock_tap::cli::tail::screen::Screen;
use bedrock_tap::config::{Config, Environment};
use bedrock_tap::delivery::{LaneEnd, LaneError, Lanes as _};
use bedrock_tap::enrich::cost::Prices;
use bedrock_tap::format::text::Colours;
use bedrock_tap::pipeline::{Limits, Settings};
use bedrock_tap::record::{Origin, Partition, Position, Record, ShardId};
use bedrock_tap::source::{BoxFuture, Read, Source, SourceError};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use unicode_width::UnicodeWidthStr;

#[cfg(all(unix, feature = "demo"))]
mod live;
mod records;

/// What was written, readable from outside.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("only text is written")
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings() -> Settings {
    let limits = Limits { inflated_bytes: 1 << 20, events: 1000, depth: 128 };
    Settings { limits, prices: prices(), ..Settings::default() }
}

/// Prices of the tests' own, since those of the program change: 1 USD for a million tokens in, 10 out. One has none.
fn prices() -> Arc<Prices> {
    const MODELS: [&str; 8] = [
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "us.amazon.nova-lite-v1:0",
        "us.deepseek.r1-v1:0",
        "us.meta.llama3-3-70b-instruct-v1:0",
        "anthropic.claude-sonnet-4-20250514-v1:0",
        "us.openai.gpt-6-astra",
        "amazon.titan-embed-text-v2:0",
        "us.anthropic.claude-sonnet-4-20250514-v1:0",
    ];
    let models = MODELS.map(|model| format!("[cost.models.'{model}']\ninput = 1\noutput = 10\n")).concat();
    let text = format!("source.file.paths = ['-']\nsinks.console.stdout = {{}}\n{models}");
    let config = Config::parse(&text, "test", &Environment::default()).unwrap();
    Arc::new(config.cost.prices())
}

/// A subscription's envelope around these messages; the event ids are counted from `first`.
fn envelope(messages: &[Value], first: usize) -> Record {
    let events = messages.iter().enumerate().map(|(index, message)| {
        let text = message.as_str().map_or_else(|| message.to_string(), str::to_owned);
        json!({"id": format!("{:056}", first + index), "timestamp": 1_791_354_719_000_i64, "message": text})
    });
    let envelope = json!({
        "messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "bedrock", "logStream": "aws/bedrock/modelinvocations",
        "subscriptionFilters": ["all"], "logEvents": events.collect::<Vec<_>>(),
    });
    record(envelope.to_string())
}

fn record(data: impl Into<bytes::Bytes>) -> Record {
    Record::new(data.into(), Origin::File { path: "test".into(), offset: 0 })
}

fn look(columns: Option<usize>, colours: Colours) -> Look {
    Look { columns, colours, ..Look::default() }
}

/// Shows the records and gives what was written to standard output and to standard error.
fn shown(records: &[Record], form: Form, look: Look, filter: Filter, count: Option<u64>) -> (String, String) {
    let (lines, notes) = (Paper::default(), Paper::default());
    let stop = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let output = Output::start(lines.clone(), notes.clone(), stop.clone()).unwrap();
        let screen = Screen::new(settings(), filter, Printer::new(form, look), count, output.chunks(), stop.clone());
        for record in records {
            screen.show(record, Timestamp::UNIX_EPOCH).await;
        }
        drop(screen);
        output.finish(Duration::from_secs(60)).await.unwrap();
    });
    (lines.text(), notes.text())
}

const LINES: Form = Form::Text { bodies: false };

fn lines(messages: &[Value], look: Look) -> String {
    shown(&[envelope(messages, 0)], LINES, look, Filter::default(), None).0
}

/// The text without escape sequences of colours; any other escape sequence stays and is found by the caller.
fn without_colours(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        out.push_str(before);
        match after.split_once('m') {
            Some((parameters, after)) if parameters.bytes().all(|b| b.is_ascii_digit() || b == b';') => rest = after,
            _ => {
                out.push_str("\x1b[");
                rest = after;
            }
        }
    }
    out + rest
}

#[test]
fn records_as_bedrock_writes_them_are_one_line_each() {
    let messages: Vec<Value> = records::all().into_iter().take(12).collect();
    let check = |columns: usize, expected: &str| {
        let text = lines(&messages, look(Some(columns), Colours::Off));
        assert_eq!(text, expected, "{columns} columns:\n{text}");
    };
    check(
        80,
        "\
2026-10-07 UTC
07:51:59 Converse~ claude-haiku-4-5 test-user    1645/15 $.0017 576ms end_turn
07:52:04 Converse  us.nova-lite     alice@ex… 437+24k/49 $0.025 12.5s tool_use
07:52:09 Invoke~   us.deepseek.r1   test-user      12/60 <$.001 551ms length
07:52:10 Invoke~   llama3-3-70b-in… test-user       17/5 <$.001 198ms stop
07:52:11 Invoke~   claude-sonnet-4  test-user       30/9 <$.001  2.3s guardrail
07:52:12 Invoke    claude-opus-4-6  test-user ThrottlingException
07:52:13 Chat      us.gpt-6-astra   test-user validation_error
07:52:14 Chat      us.gpt-6-astra   test-user  2+24316/5 $0.024     - stop
07:52:15 Responses us.gpt-6-astra   test-user      56/19 <$.001     - completed
2026-10-08 UTC
00:00:01 Invoke    titan-embed-tex… test-user        7/- <$.001     - -
00:00:02 Invoke    claude-sonnet-4  test-user 25+100/150 $.0016     - -
00:00:03 Invoke    marengo          test-user          -      -     - -
",
    );
    check(
        40,
        "\
2026-10-07 UTC
07:51:59 us.claude-haiku-4-5  end_turn
07:52:04 us.amazon.nova-lite  tool_use
07:52:09 us.deepseek.r1-v1:0  length
07:52:10 llama3-3-70b-instru… stop
07:52:11 claude-sonnet-4      guardrail
07:52:12 us.claude-opus-4-6   Throttling
07:52:13 us.gpt-6-astra       validatio…
07:52:14 us.gpt-6-astra       stop
07:52:15 us.gpt-6-astra       completed
2026-10-08 UTC
00:00:01 titan-embed-text-v2  -
00:00:02 us.claude-sonnet-4   -
00:00:03 twelvelabs.marengo   -
",
    );
}

#[test]
fn without_a_terminal_every_line_has_every_column() {
    let text = lines(&records::all(), look(None, Colours::Off));
    assert_eq!(text.lines().count(), records::all().len(), "{text}");
    for line in text.lines() {
        assert_eq!(line.split_whitespace().count(), 13, "{line}");
    }
    let second: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        second,
        [
            "2026-10-07T07:52:04.250Z",
            "Converse",
            "us.amazon.nova-lite-v1:0",
            "AgentRuntimeRole/alice@example.com",
            "in=437",
            "out=49",
            "cached=24316",
            "cost=0.025243",
            "12556ms",
            "tool_use",
            "us-east-2>us-west-2",
            "111122223333",
            "07075204-0000-4000-8000-202610070752",
        ]
    );
    let ends: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().nth(9)).take(12).collect();
    assert_eq!(
        ends,
        [
            "end_turn",
            "tool_use",
            "length",
            "stop",
            "guardrail:end_turn",
            "ThrottlingException",
            "validation_error",
            "stop",
            "completed",
            "-",
            "-",
            "-"
        ]
    );
}

#[test]
fn bodies_are_a_conversation() {
    let check = |message: Value, expected: &str| {
        let record = envelope(&[message], 0);
        let form = Form::Text { bodies: true };
        let (text, _) = shown(&[record], form, look(Some(60), Colours::Off), Filter::default(), None);
        let text: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(text.join("\n"), expected.trim_start_matches('\n'), "{}", text.join("\n"));
    };
    check(
        records::converse(),
        "
    system: Be brief.
    user: What is the secret word
      in this document?
      [document pdf secret s3://b/k]
    assistant: According to the document, the secret word is
      **PIN**, and there is a good deal more to say about it
      than fits a line.",
    );
    check(
        records::cached_tool_call(),
        "
    user: What is the weather in Lisbon? Use the tool.
    assistant: <thinking>I need the tool.</thinking>
      [call get_weather {\"city\":\"Lisbon\"}]",
    );
    check(
        records::deepseek_stream(),
        "
    user: Say hi in 3 words.
    assistant: (thinking) Okay, the user wants",
    );
    check(
        records::responses_stream(),
        "
    developer: Use the tool.
    user: What is the weather in Lisbon?
    assistant: [call get_weather {\"city\":\"Lisbon\"}]",
    );
    check(records::without_bodies(), "\n    request: [in s3://bucket/key_input.json.gz]");
    check(
        records::unknown_dialect(),
        "
    request: {
        \"inputType\": \"video\",
        \"parts\": [
          {
            \"deep\": [
              1,
              2,
              {
                \"k\": \"v\"
              }
            ]
          }
        ]
      }
    answer: {
        \"data\": [
          {
            \"vector\": [
              1
            ]
          }
        ],
        \"status\": \"ok\"
      }",
    );
    check(records::throttled(), "");
}

#[test]
fn every_line_fits_the_terminal() {
    for columns in [40, 80, 120, 200] {
        for colours in [Colours::Off, Colours::On] {
            for form in [LINES, Form::Text { bodies: true }] {
                let messages = records::all();
                let record = envelope(&messages, 0);
                let (text, notes) = shown(&[record], form, look(Some(columns), colours), Filter::default(), None);
                assert_eq!(notes, "");
                assert_eq!(text.contains('\x1b'), colours == Colours::On, "{columns} columns: colour");
                let plain = without_colours(&text);
                let bad =
                    plain.chars().find(|c| c.is_control() && *c != '\n' || records::HOSTILE_INVISIBLE.contains(c));
                assert_eq!(bad, None, "{columns} columns: {plain}");
                for line in plain.lines() {
                    assert!(line.width() <= columns, "{} in {columns} columns: {line}", line.width());
                }
                assert!(plain.lines().count() > messages.len());
            }
        }
    }
}

#[test]
fn json_is_one_object_a_line() {
    let messages = records::all();
    for form in [Form::Json, Form::Raw] {
        for columns in [None, Some(80)] {
            let record = envelope(&messages, 0);
            let (text, _) = shown(&[record], form, look(columns, Colours::On), Filter::default(), None);
            let values: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(values.len(), messages.len());
            for (value, message) in values.iter().zip(&messages) {
                assert_eq!(value["requestId"], message["requestId"]);
                assert_eq!(value["input"]["inputBodyJson"], message["input"]["inputBodyJson"]);
                assert_eq!(value.get("p_row_id").is_some(), form == Form::Json);
                if form == Form::Raw {
                    assert_eq!(value, message);
                }
            }
            if columns.is_some() {
                let bad = text.chars().find(|c| c.is_control() && *c != '\n' || records::HOSTILE_INVISIBLE.contains(c));
                assert_eq!(bad, None, "a terminal sees no character that it would act on");
            }
        }
    }
}

#[test]
fn filters_choose() {
    let any = Filter::default;
    let anywhere = |text: &str| vec![Pattern::anywhere(text).unwrap()];
    let whole = |text: &str| vec![Pattern::whole(text).unwrap()];
    let check = |name: &str, filter: Filter, expected: usize| {
        let messages: Vec<Value> = records::all().into_iter().take(12).collect();
        let (text, _) = shown(&[envelope(&messages, 0)], LINES, look(None, Colours::Off), filter, None);
        assert_eq!(text.lines().count(), expected, "{name}:\n{text}");
    };
    check("none", any(), 12);
    check("a part of the model", Filter { model: anywhere("CLAUDE"), ..any() }, 4);
    check("a glob of the whole model", Filter { model: anywhere("us.*haiku*"), ..any() }, 1);
    check("a glob that is not the whole model", Filter { model: anywhere("haiku*"), ..any() }, 0);
    check("an ARN", Filter { model: anywhere("inference-profile/us.openai"), ..any() }, 3);
    check("several models", Filter { model: [anywhere("nova"), anywhere("titan")].concat(), ..any() }, 2);
    check("an operation is not its stream", Filter { operation: whole("converse"), ..any() }, 1);
    check("operations by a glob", Filter { operation: whole("Converse*"), ..any() }, 2);
    check("an identity", Filter { identity: anywhere("alice@example"), ..any() }, 1);
    check("errors", Filter { errors: true, ..any() }, 2);
    check("guardrails", Filter { guardrail: true, ..any() }, 1);
    check("errors of a model", Filter { errors: true, model: anywhere("opus"), ..any() }, 1);
    let since = |time: &str| Filter { since: Some(time.parse().unwrap()), ..any() };
    check("since", since("2026-10-08T00:00:01Z"), 3);
    check("since a moment later", since("2026-10-08T00:00:01.001Z"), 2);
    assert!(Pattern::anywhere("[z").is_err());
}

#[test]
fn no_line_is_repeated() {
    let first = envelope(&[records::converse(), records::chat()], 0);
    // A redelivery comes in another envelope, and the same record may come under another event id.
    let again = envelope(&[records::chat(), records::converse(), records::throttled()], 7);
    let (text, _) = shown(&[first.clone(), again, first], LINES, look(None, Colours::Off), Filter::default(), None);
    let operations: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(operations, ["ConverseStream", "ChatCompletions", "InvokeModel"]);
}

#[test]
fn what_cannot_be_read_is_a_note_without_its_content() {
    let secret = "\u{1b}[2J-the-secret-prompt";
    let mut broken = records::converse();
    broken["input"]["inputTokenCount"] = json!(secret);
    let cut = json!(format!("{{\"schemaType\":\"ModelInvocationLog\",\"input\":\"{secret}"));
    let messages = [json!("Permissions are correctly set for Amazon Bedrock logs."), broken, cut, records::chat()];
    for colours in [Colours::Off, Colours::On] {
        let look = Look { note_colours: colours, ..look(Some(80), Colours::Off) };
        let (text, notes) = shown(&[envelope(&messages, 0), record("{\"x")], LINES, look, Filter::default(), None);
        assert_eq!(text.lines().count(), 2, "the day and the neighbour: {text}");
        let notes = without_colours(&notes);
        assert_eq!(notes.lines().count(), 3, "{notes}");
        assert!(notes.lines().all(|line| line.starts_with("rejected test: ")), "{notes}");
        assert!(notes.contains("inputTokenCount"), "{notes}");
        assert!(!notes.contains("secret") && !notes.contains('\u{1b}'), "{notes}");
    }
}

#[test]
fn the_days_are_told() {
    let text = lines(&[records::converse(), records::embedding(), records::chat()], look(Some(80), Colours::Off));
    let days: Vec<&str> = text.lines().filter(|line| line.ends_with("UTC")).collect();
    assert_eq!(days, ["2026-10-07 UTC", "2026-10-08 UTC", "2026-10-07 UTC"], "{text}");
}

/// A writer that takes some bytes and then fails.
struct Failing {
    room: usize,
    with: io::ErrorKind,
}

impl Write for Failing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.room.checked_sub(bytes.len()) {
            Some(room) => {
                self.room = room;
                Ok(bytes.len())
            }
            None => Err(self.with.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
    for (with, ends_well) in [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)] {
        let stop = CancellationToken::new();
        let output = Output::start(Failing { room: 300, with }, io::sink(), stop.clone()).unwrap();
        let printer = Printer::new(LINES, look(None, Colours::Off));
        let screen = Screen::new(settings(), Filter::default(), printer, None, output.chunks(), stop.clone());
        for (index, message) in records::all().into_iter().enumerate() {
            screen.show(&envelope(&[message], index), Timestamp::UNIX_EPOCH).await;
        }
        drop(screen);
        assert_eq!(output.finish(Duration::from_secs(60)).await.is_ok(), ends_well, "{with:?}");
        assert!(stop.is_cancelled(), "{with:?} stops the reading");
    }
}

/// A writer that never comes back until it is let go.
struct Held(std::sync::mpsc::Receiver<()>);

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_terminal_that_is_held_does_not_keep_the_process() {
    let (release, held) = std::sync::mpsc::sync_channel(1);
    let output = Output::start(Held(held), io::sink(), CancellationToken::new()).unwrap();
    output.chunks().put(Stream::Lines, b"line\n".to_vec()).await;
    output.finish(Duration::from_secs(2)).await.unwrap();
    drop(release);
}

/// A source that gives what it was told, one read after the other, and then waits, ends or fails.
struct Scripted {
    reads: std::vec::IntoIter<Vec<Record>>,
    then: Then,
}

enum Then {
    Wait,
    End,
    Fail,
}

impl Source for Scripted {
    fn next(&mut self) -> BoxFuture<'_, Result<Read, SourceError>> {
        let read = self.reads.next();
        Box::pin(async move {
            if let Some(records) = read {
                return Ok(Read::Records {
                    records,
                    position: Position::TrimHorizon,
                    lag: None,
                    reservation: bedrock_tap::budget::Reservation::default(),
                });
            }
            match self.then {
                Then::Wait => std::future::pending().await,
                Then::End => Ok(Read::End { children: vec![ShardId::new("child")] }),
                Then::Fail => Err(SourceError::Fatal {
                    what: "s/1".to_owned(),
                    advice: "name another stream".to_owned(),
                    source: None,
                }),
            }
        })
    }
}

/// Runs one partition and gives how it ended and what was shown.
async fn run(then: Then, count: Option<u64>, stop: CancellationToken) -> (Result<LaneEnd, LaneError>, String) {
    let paper = Paper::default();
    let output = Output::start(paper.clone(), io::sink(), stop.clone()).unwrap();
    let printer = Printer::new(LINES, look(None, Colours::Off));
    let screen = Screen::new(settings(), Filter::default(), printer, count, output.chunks(), stop);
    let reads = vec![
        vec![envelope(&[records::converse(), records::chat()], 0)],
        vec![],
        vec![envelope(&[records::throttled()], 2), envelope(&[records::embedding()], 3)],
    ];
    let source = Box::new(Scripted { reads: reads.into_iter(), then });
    let partition = Partition { stream: "s".into(), shard: ShardId::new("1") };
    let end = screen.run(partition, source, CancellationToken::new()).await;
    drop(screen);
    output.finish(Duration::from_secs(60)).await.unwrap();
    (end, paper.text())
}

#[tokio::test]
async fn a_partition_is_shown_to_its_end() {
    let (end, text) = run(Then::End, None, CancellationToken::new()).await;
    assert_eq!(end.unwrap(), LaneEnd::Ended { children: vec![ShardId::new("child")] });
    assert_eq!(text.lines().count(), 4);

    let (end, text) = run(Then::Fail, None, CancellationToken::new()).await;
    assert!(matches!(end, Err(LaneError::Source(SourceError::Fatal { .. }))), "{end:?}");
    assert_eq!(text.lines().count(), 4);
}

#[tokio::test]
async fn it_stops_when_told_or_when_it_has_shown_enough() {
    for (count, expected) in [(0, 0), (1, 1), (3, 3), (4, 4)] {
        let stop = CancellationToken::new();
        let (end, text) = run(Then::Wait, Some(count), stop.clone()).await;
        assert_eq!(end.unwrap(), LaneEnd::Stopped);
        assert!(stop.is_cancelled());
        assert_eq!(text.lines().count(), expected, "{count}");
    }
    let stop = CancellationToken::new();
    stop.cancel();
    let (end, text) = run(Then::Wait, None, stop).await;
    assert_eq!((end.unwrap(), text.as_str()), (LaneEnd::Stopped, ""));
}

#[test]
fn wrong_usage_says_what_to_do() {
    let check = |arguments: &[&str], expected: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_bedrock-tap"))
            .arg("tail")
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {error}");
        for expected in expected {
            assert!(error.contains(expected), "{arguments:?}: {expected:?} is missing in: {error}");
        }
    };
    check(&[], &["--stream NAME", "--config FILE", "standard input"]);
    check(&["--errors"], &["--stream NAME"]);
    check(&["--stream", "s", "file"], &["cannot be used with"]);
    check(&["--stream", "s", "--config", "c"], &["cannot be used with"]);
    check(&["--region", "r", "file"], &["--region", "cannot be used with"]);
    check(&["--since", "yesterday", "file"], &["15m", "RFC 3339"]);
    check(&["--model", "[z", "file"], &["--model"]);
    check(&["--output", "xml", "file"], &["text", "json"]);
}
