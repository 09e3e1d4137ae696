//! A bulk request's body: for each item a line that says what to do with it, and the item.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::Index;
use crate::sink::Batch;

/// What the first line of an item has beside the index's name: `{"create":{"_index":"…","_id":"…"}}` and a newline.
pub(crate) const ACTION_BYTES: usize = 66;

/// The body, compressed if that is asked for.
pub(super) fn body(batch: &Batch, index: &Index, ids: bool, gzip: bool) -> io::Result<Bytes> {
    if !gzip {
        let actions = batch.total_items() * (ACTION_BYTES + index.text().len());
        let mut body = Vec::with_capacity(batch.total_bytes() + actions);
        write(batch, index, ids, &mut body)?;
        return Ok(body.into());
    }
    // JSON shrinks to a tenth or so even at the fastest level.
    let mut encoder = GzEncoder::new(Vec::with_capacity(batch.total_bytes() / 8), Compression::fast());
    write(batch, index, ids, &mut encoder)?;
    Ok(encoder.finish()?.into())
}

/// Nothing has to be escaped: a name has no quotes, and an id is hexadecimal.
fn write(batch: &Batch, index: &Index, ids: bool, out: &mut impl Write) -> io::Result<()> {
    for item in batch.items() {
        write!(out, r#"{{"create":{{"_index":"{}""#, index.name(item.tag.map(|tag| &*tag.key)))?;
        if let Some(tag) = item.tag.filter(|_| ids) {
            write!(out, r#","_id":"{}""#, tag.id_text())?;
        }
        out.write_all(b"}}\n")?;
        out.write_all(item.bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::format::{Lines, Tag};

    #[test]
    fn an_item_has_two_lines() {
        let (index, template) = Index::parse("logs-{account}").unwrap();
        let mut lines = Lines::default();
        for (id, item) in [(0xab, r#"{"a":1}"#), (0xcd, r#"{"b":2}"#)] {
            lines.push_with(|out| out.extend_from_slice(item.as_bytes()));
            let Tag { id, time, .. } = template.tag_of([id; 16], jiff::Timestamp::UNIX_EPOCH);
            lines.tag_last(Tag { id, time, key: "logs-Q".into() });
        }
        let batch = Batch { parts: vec![lines], range: None };
        let (ab, cd) = ("ab".repeat(16), "cd".repeat(16));
        let expected = format!(
            "{{\"create\":{{\"_index\":\"logs-q\",\"_id\":\"{ab}\"}}}}\n{{\"a\":1}}\n\
             {{\"create\":{{\"_index\":\"logs-q\",\"_id\":\"{cd}\"}}}}\n{{\"b\":2}}\n"
        );
        assert_eq!(body(&batch, &index, true, false).unwrap(), expected);
        assert_eq!(expected.len(), 2 * (ACTION_BYTES + "logs-q".len() + 8));
        let zipped = body(&batch, &index, true, true).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*zipped).read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
        let bare = "{\"create\":{\"_index\":\"logs-q\"}}\n";
        assert_eq!(body(&batch, &index, false, false).unwrap(), format!("{bare}{{\"a\":1}}\n{bare}{{\"b\":2}}\n"));
    }
}
