//! A body: a batch's items as one request carries them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use libdeflater::{CompressionError, CompressionLvl, Compressor};

use crate::format::Lines;
use crate::json::push_string;
use crate::sink::Batch;

/// How items become a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A line for each item.
    Ndjson,
    /// One array of all items, which are JSON.
    JsonArray,
    /// One item by itself.
    Single,
    /// A push to Loki: one stream with these labels, and a line for each item. Source: Grafana Loki's HTTP API,
    /// `POST /loki/api/v1/push`.
    Loki(BTreeMap<String, String>),
}

impl Body {
    /// The bytes that an item adds to a body beside its own, its newline among those.
    pub fn item_overhead_bytes(&self) -> usize {
        match self {
            // A time in nanoseconds (19 digits), brackets and quotes; more for what is escaped.
            Self::Loki(_) => 27,
            _ => 0,
        }
    }

    pub(super) fn of(&self, batch: &Batch, gzip: bool) -> Result<Vec<u8>, CompressionError> {
        let body = match self {
            Self::Ndjson => batch.parts.iter().map(Lines::bytes).collect::<Vec<_>>().concat(),
            Self::JsonArray => {
                let mut out = Vec::with_capacity(batch.total_bytes() + 1);
                for item in batch.items() {
                    out.push(if out.is_empty() { b'[' } else { b',' });
                    out.extend_from_slice(item.bytes());
                }
                out.push(b']');
                out
            }
            Self::Single => batch.items().next().map(|item| item.bytes().to_vec()).unwrap_or_default(),
            Self::Loki(labels) => pushed(labels, batch),
        };
        if gzip { compressed(&body) } else { Ok(body) }
    }
}

fn pushed(labels: &BTreeMap<String, String>, batch: &Batch) -> Vec<u8> {
    // A sixteenth for the quotes that are escaped.
    let mut out = Vec::with_capacity(batch.total_bytes() / 16 * 17 + batch.total_items() * 27 + 256);
    out.extend_from_slice(br#"{"streams":[{"stream":{"#);
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_string(&mut out, name);
        out.push(b':');
        push_string(&mut out, value);
    }
    out.extend_from_slice(br#"},"values":["#);
    for (index, item) in batch.items().enumerate() {
        let time = item.tag.map_or_else(Timestamp::now, |tag| tag.time);
        let comma = if index > 0 { "," } else { "" };
        out.extend_from_slice(format!("{comma}[\"{}\",", time.as_nanosecond()).as_bytes());
        push_string(&mut out, &String::from_utf8_lossy(item.bytes()));
        out.push(b']');
    }
    out.extend_from_slice(b"]}]}");
    out
}

fn compressed(body: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut compressor = Compressor::new(CompressionLvl::default());
    let mut out = vec![0; compressor.gzip_compress_bound(body.len())];
    let length = compressor.gzip_compress(body, &mut out)?;
    out.truncate(length);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Tag;
    use std::io::Read as _;

    fn batch(items: &[&[u8]]) -> Batch {
        let mut parts = vec![Lines::default()];
        for (index, item) in items.iter().enumerate() {
            let mut lines = Lines::default();
            lines.push_with(|out| out.extend_from_slice(item));
            let time = Timestamp::from_millisecond(1_700_000_000_123 + index as i64).unwrap();
            lines.tag_last(Tag { id: [0; 16], time, key: "".into() });
            parts.push(lines);
        }
        Batch { parts, range: None }
    }

    #[test]
    fn items_become_a_body() {
        let check = |body: Body, items: &[&[u8]], expected: &str| {
            let found = body.of(&batch(items), false).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), expected);
            let gzip = body.of(&batch(items), true).unwrap();
            let mut inflated = String::new();
            flate2::read::GzDecoder::new(&gzip[..]).read_to_string(&mut inflated).unwrap();
            assert_eq!(inflated, expected, "compressed");
        };
        let items: [&[u8]; 2] = [br#"{"a":1}"#, br#"{"b":"\"c"}"#];
        check(Body::Ndjson, &items, "{\"a\":1}\n{\"b\":\"\\\"c\"}\n");
        check(Body::JsonArray, &items, r#"[{"a":1},{"b":"\"c"}]"#);
        check(Body::JsonArray, &items[..1], r#"[{"a":1}]"#);
        check(Body::Single, &items[1..], r#"{"b":"\"c"}"#);
        let labels = [("env", "a\"b"), ("job", "tap")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        check(
            Body::Loki(labels.into()),
            &[items[1], b"\x01\xff"],
            concat!(
                r#"{"streams":[{"stream":{"env":"a\"b","job":"tap"},"values":["#,
                r#"["1700000000123000000","{\"b\":\"\\\"c\"}"],["1700000000124000000","\u0001"#,
                "\u{fffd}\"]]}]}"
            ),
        );
    }
}
