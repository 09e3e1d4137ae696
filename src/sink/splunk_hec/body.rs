//! What a request holds: events, each an object of its own with its time and its metadata, or lines as they are.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Endpoint, Settings};
use crate::json;
use crate::sink::{Batch, Item};

/// More than what is written around an item beside the metadata: time, identity, the names, and the line break.
const FRAME_BYTES: usize = 100;

/// What is written around items.
#[derive(Debug)]
pub(super) struct Envelope {
    /// The metadata as the beginning of an object's members; none where items are lines.
    metadata: Option<Vec<u8>>,
    text: bool,
    gzip: bool,
}

/// What the collector is told of all items: names as in an event and as in the query of lines, the same for both.
pub(super) fn metadata(settings: &Settings) -> impl Iterator<Item = (&'static str, &str)> {
    let known = [
        ("host", settings.host.as_deref()),
        ("source", settings.source.as_deref()),
        ("sourcetype", Some(settings.source_type.as_str())),
        ("index", settings.index.as_deref()),
    ];
    known.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)))
}

impl Envelope {
    pub(super) fn new(settings: &Settings) -> Self {
        let in_event = || {
            let mut out = Vec::new();
            for (name, value) in metadata(settings) {
                json::push_string(&mut out, name);
                out.push(b':');
                json::push_string(&mut out, value);
                out.push(b',');
            }
            out
        };
        let metadata = (settings.endpoint == Endpoint::Event).then(in_event);
        Self { metadata, text: settings.text, gzip: settings.gzip }
    }

    /// The bytes around an item, and a few more.
    pub(super) fn overhead_bytes(&self) -> usize {
        self.metadata.as_ref().map_or(0, |metadata| metadata.len() + FRAME_BYTES)
    }

    /// Whether requests are compressed.
    pub(super) fn is_gzip(&self) -> bool {
        self.gzip
    }

    /// The request's body. Takes a while: a MiB is compressed in about ten milliseconds.
    pub(super) fn encode(&self, batch: &Batch) -> Vec<u8> {
        let mut out = Vec::with_capacity(if self.gzip { batch.total_bytes() / 4 } else { self.bytes_of(batch) });
        // Writing into memory cannot fail.
        let _ = if self.gzip {
            // The fastest level: JSON shrinks to a fifth with it, and the best would take five times as long for a tenth.
            let mut encoder = GzEncoder::new(&mut out, Compression::fast());
            self.write(batch, &mut encoder).and_then(|()| encoder.finish().map(drop))
        } else {
            self.write(batch, &mut out)
        };
        out
    }

    fn bytes_of(&self, batch: &Batch) -> usize {
        batch.total_bytes() + batch.total_items() * self.overhead_bytes()
    }

    fn write(&self, batch: &Batch, out: &mut impl Write) -> io::Result<()> {
        let Some(metadata) = &self.metadata else {
            return batch.parts.iter().try_for_each(|lines| out.write_all(lines.bytes()));
        };
        let mut head = Vec::new();
        for item in batch.items() {
            head.clear();
            self.head(item, metadata, &mut head);
            out.write_all(&head)?;
            if !self.text {
                out.write_all(item.bytes())?;
            }
            out.write_all(b"}\n")?;
        }
        Ok(())
    }

    /// All of an event up to the value that is the item; with it, if that is text.
    fn head(&self, item: Item<'_>, metadata: &[u8], out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(tag) = item.tag {
            let millis = tag.time.as_millisecond();
            // The collector knows no time before 1970; it takes the present where it is told none.
            if millis >= 0 {
                out.extend_from_slice(format!("\"time\":{}.{:03},", millis / 1000, millis % 1000).as_bytes());
            }
            out.extend_from_slice(b"\"fields\":{\"event_id\":\"");
            json::push_hex(out, &tag.id);
            out.extend_from_slice(b"\"},");
        }
        out.extend_from_slice(metadata);
        out.extend_from_slice(b"\"event\":");
        if self.text {
            json::push_string(out, &String::from_utf8_lossy(item.bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;
    use crate::format::{Lines, Tag};
    use std::io::Read as _;

    fn check(settings: &Settings, items: &[(&str, Option<&str>)], expected: &str) {
        let mut lines = Lines::default();
        for (item, time) in items {
            lines.push_with(|out| out.extend_from_slice(item.as_bytes()));
            if let Some(time) = time {
                lines.tag_last(Tag { id: [0xab; 16], time: time.parse().unwrap(), key: "".into() });
            }
        }
        let batch = Batch { parts: vec![Lines::default(), lines], range: None };
        let envelope = Envelope::new(settings);
        let body = envelope.encode(&batch);
        let found = if settings.gzip {
            let mut text = String::new();
            flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
            text
        } else {
            String::from_utf8(body).unwrap()
        };
        assert_eq!(found, expected);
        assert!(found.len() <= envelope.bytes_of(&batch), "an item takes more than is said");
    }

    #[test]
    fn items_become_events_or_lines() {
        let id = "ab".repeat(16);
        let time = Some("2026-01-02T03:04:05.0678Z");
        let mut settings = settings();
        check(
            &settings,
            &[(r#"{"a":1}"#, time), ("{}", Some("1969-12-31T23:59:59Z")), ("{}", Some("9999-12-30T00:00:00Z"))],
            &format!(
                "{{\"time\":1767323045.067,\"fields\":{{\"event_id\":\"{id}\"}},\"sourcetype\":\"t\",\"event\":{{\"a\":1}}}}\n\
                 {{\"fields\":{{\"event_id\":\"{id}\"}},\"sourcetype\":\"t\",\"event\":{{}}}}\n\
                 {{\"time\":253402128000.000,\"fields\":{{\"event_id\":\"{id}\"}},\"sourcetype\":\"t\",\"event\":{{}}}}\n"
            ),
        );
        check(&settings, &[("{}", None)], "{\"sourcetype\":\"t\",\"event\":{}}\n");
        settings = Settings {
            text: true,
            gzip: true,
            index: Some("main".into()),
            source: Some("a\"b".into()),
            host: Some("ü".into()),
            ..settings
        };
        check(
            &settings,
            &[("one \"line\"\u{1b}", None)],
            "{\"host\":\"ü\",\"source\":\"a\\\"b\",\"sourcetype\":\"t\",\"index\":\"main\",\
             \"event\":\"one \\\"line\\\"\\u001b\"}\n",
        );
        settings.endpoint = Endpoint::Raw;
        check(&settings, &[("one \"line\"", time), ("two", time)], "one \"line\"\ntwo\n");
    }
}
