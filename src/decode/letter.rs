//! A dead letter: what this program could not read or deliver, in the shape that [`crate::sink::dead_letter`] gives it.
//! What it holds is taken out and goes on as if it had come anew, with what was known of it.

use std::borrow::Cow;

use super::documents::{Outcome, is_event_holder};
use super::{Scratch, Walk, payload, text};
use crate::extract::{self, LogEvent, optional_text, scalar_text};
use crate::json::{Cursor, Text, key_text};
use crate::reject::{Fault, Reason, Skip, Stage};

/// Letters in letters that are opened. A letter that is damaged, or cannot be opened for a reason that is mended later,
/// becomes what another one holds; nothing puts it into a third.
const MAX_LETTERS: usize = 2;

/// A letter as it was read. Its bytes are beside it.
#[derive(Default)]
struct Letter<'a> {
    stage: Option<Cow<'a, str>>,
    log_group: Option<Cow<'a, str>>,
    log_stream: Option<Cow<'a, str>>,
    event_id: Option<Cow<'a, str>>,
    timestamp_millis: Option<i64>,
}

impl Letter<'_> {
    fn event(&self) -> LogEvent<'_> {
        LogEvent {
            message: "",
            id: self.event_id.as_deref(),
            timestamp_millis: self.timestamp_millis,
            log_group: self.log_group.as_deref(),
            log_stream: self.log_stream.as_deref(),
            owner: None,
        }
    }
}

/// Opens the letter at the cursor and hands on what it holds. One that cannot be opened is a fault.
pub(super) fn open(
    cursor: &mut Cursor<'_>,
    walk: &mut Walk<'_>,
    scratch: &mut Scratch,
    level: usize,
) -> Result<Outcome, Fault> {
    if walk.letters >= MAX_LETTERS {
        let detail = format!("more than {MAX_LETTERS} dead letters in one another");
        return Err(Fault::new(Stage::Decode, Reason::TooDeep, detail));
    }
    let mut data = scratch.take();
    let letter = read(cursor, walk.limits().depth, &mut data);
    walk.letters += 1;
    let outcome = letter.and_then(|letter| hand_on(&letter, &data, walk, scratch, level));
    walk.letters -= 1;
    scratch.give_back(data);
    outcome
}

/// Reads the members; the bytes that `data` holds in base64 come into `data`.
fn read<'a>(cursor: &mut Cursor<'a>, depth: usize, data: &mut Vec<u8>) -> Result<Letter<'a>, Fault> {
    let (mut letter, mut encoded, mut flaw) = (Letter::default(), Text::default(), None);
    cursor.object(|cursor, key| {
        let slot = match key_text(cursor.span(key)).as_ref() {
            b"stage" => &mut letter.stage,
            b"log_group" => &mut letter.log_group,
            b"log_stream" => &mut letter.log_stream,
            b"event_id" => &mut letter.event_id,
            b"event_timestamp_millis" => {
                letter.timestamp_millis = scalar_text(cursor, depth)?.and_then(|text| text.parse().ok());
                return Ok(());
            }
            b"data" if cursor.peek() == Some(b'"') => {
                flaw = cursor.string_into(&mut encoded)?;
                return Ok(());
            }
            _ => return cursor.value(depth).map(drop).map_err(Fault::from),
        };
        *slot = optional_text(cursor, depth)?;
        Ok(())
    })?;
    if flaw.is_some() || !text::decode_base64(encoded.bytes(), data) {
        let detail = "data of a dead letter: base64 that does not decode";
        return Err(Fault::new(Stage::Decode, Reason::InvalidBase64, detail));
    }
    Ok(letter)
}

/// Hands on what a letter holds: what the stage that gave it up was given.
fn hand_on(
    letter: &Letter<'_>,
    data: &[u8],
    walk: &mut Walk<'_>,
    scratch: &mut Scratch,
    level: usize,
) -> Result<Outcome, Fault> {
    let stage = [Stage::Extract, Stage::Parse, Stage::Deliver]
        .into_iter()
        .find(|stage| letter.stage.as_deref() == Some(stage.as_str()));
    let is_event = match stage {
        Some(Stage::Extract) => !is_event_holder(data, walk.limits().depth),
        stage => stage.is_some(),
    };
    if !is_event {
        payload(data, walk, scratch, level + 1);
        return Ok(Outcome::Wrapper);
    }
    if letter.log_group.as_deref().is_some_and(|group| !walk.takes(group)) {
        walk.skip(Skip::OtherLogGroup, 1);
    } else if stage == Some(Stage::Extract) {
        extract::lone_event(&mut Cursor::new(data, 0), walk, scratch, &letter.event())?;
    } else {
        walk.message(data, letter.event());
    }
    Ok(Outcome::Read)
}
