//! The record's fields, and the way into the JSON that stands in them.

use super::path::{Found, absent, needed};
use super::{Stop, Value};
use crate::body::{self, Kind};
use crate::expression::needs::Needs;
use crate::invocation::{Invocation, JsonStr, RawJson, Section};

/// Where a path leads to in a record, as far as its fields are known.
#[derive(Debug)]
pub(super) struct Place {
    first: Option<First>,
    second: Option<(&'static Field, bool)>,
}

/// The field that the first step names, and whether it names it to the letter.
#[derive(Debug)]
enum First {
    Field(&'static Field, bool),
    Section(Section, bool),
}

#[derive(Debug)]
struct Field {
    section: Section,
    name: &'static str,
    get: for<'i> fn(&'i Invocation<'i>) -> Option<Leaf<'i>>,
}

enum Leaf<'i> {
    Text(JsonStr<'i>),
    Int(i64),
    Json(&'i str),
}

const fn text(section: Section, name: &'static str, get: for<'i> fn(&'i Invocation<'i>) -> Option<Leaf<'i>>) -> Field {
    Field { section, name, get }
}

const SECTIONS: [Section; 4] = [Section::Identity, Section::Input, Section::Output, Section::PerformanceConfig];

/// The fields that the schema knows.
const FIELDS: &[Field] = &[
    text(Section::Top, "accountId", |i| Some(Leaf::Text(i.account_id))),
    text(Section::Top, "errorCode", |i| i.error_code.map(Leaf::Text)),
    text(Section::Top, "inferenceRegion", |i| i.inference_region.map(Leaf::Text)),
    text(Section::Top, "modelId", |i| Some(Leaf::Text(i.model_id))),
    text(Section::Top, "operation", |i| i.operation.map(Leaf::Text)),
    text(Section::Top, "region", |i| i.region.map(Leaf::Text)),
    text(Section::Top, "requestId", |i| i.request_id.map(Leaf::Text)),
    text(Section::Top, "schemaType", |i| i.schema_type.map(Leaf::Text)),
    text(Section::Top, "schemaVersion", |i| i.schema_version.map(Leaf::Text)),
    text(Section::Top, "status", |i| i.status.map(Leaf::Text)),
    text(Section::Top, "timestamp", |i| Some(Leaf::Text(i.timestamp))),
    text(Section::Identity, "arn", |i| i.identity.as_ref()?.arn.map(Leaf::Text)),
    text(Section::Input, "cacheReadInputTokenCount", |i| i.input.as_ref()?.cache_read_input_token_count.map(Leaf::Int)),
    text(Section::Input, "cacheWriteInputTokenCount", |i| {
        i.input.as_ref()?.cache_write_input_token_count.map(Leaf::Int)
    }),
    text(Section::Input, "inputBodyJson", |i| i.input.as_ref()?.input_body_json.map(|json| Leaf::Json(json.0))),
    text(Section::Input, "inputContentType", |i| i.input.as_ref()?.input_content_type.map(Leaf::Text)),
    text(Section::Input, "inputTokenCount", |i| i.input.as_ref()?.input_token_count.map(Leaf::Int)),
    text(Section::Output, "outputBodyJson", |i| i.output.as_ref()?.output_body_json.map(|json| Leaf::Json(json.0))),
    text(Section::Output, "outputVideoDurationSeconds", |i| {
        i.output.as_ref()?.output_video_duration_seconds.as_ref().map(|number| Leaf::Json(&number.0))
    }),
    text(Section::Output, "outputVideoFramesPerSecond", |i| {
        i.output.as_ref()?.output_video_frames_per_second.map(Leaf::Int)
    }),
    text(Section::Output, "outputVideoHeight", |i| i.output.as_ref()?.output_video_height.map(Leaf::Int)),
    text(Section::Output, "outputVideoS3Path", |i| i.output.as_ref()?.output_video_s3_path.map(Leaf::Text)),
    text(Section::Output, "outputVideoWidth", |i| i.output.as_ref()?.output_video_width.map(Leaf::Int)),
    text(Section::Output, "outputContentType", |i| i.output.as_ref()?.output_content_type.map(Leaf::Text)),
    text(Section::Output, "outputTokenCount", |i| i.output.as_ref()?.output_token_count.map(Leaf::Int)),
    text(Section::PerformanceConfig, "latency", |i| i.performance_config.as_ref()?.latency.map(Leaf::Text)),
];

/// Where a path leads to; none where it leads nowhere.
pub(super) fn place(steps: &[String]) -> Option<Place> {
    let known = |section: Section, step: &str| {
        let field = FIELDS.iter().find(|field| field.section == section && field.name.eq_ignore_ascii_case(step));
        field.map(|field| (field, field.name == step))
    };
    let first = steps.first()?;
    let section = SECTIONS.into_iter().find(|section| section.name().eq_ignore_ascii_case(first));
    let second = section.and_then(|section| known(section, steps.get(1)?));
    let first = match (known(Section::Top, first), section) {
        (Some((field, is_exact)), _) => Some(First::Field(field, is_exact)),
        (None, Some(section)) => Some(First::Section(section, section.name() == first)),
        (None, None) => None,
    };
    Some(Place { first, second })
}

impl Place {
    /// What the path leads to in a record. What the schema does not know is the interpreter's to find.
    pub(super) fn find<'x>(
        &self,
        invocation: &'x Invocation<'x>,
        steps: &[String],
        needs: &Needs,
    ) -> Result<Found<'x>, Stop> {
        let is_clear = |section: Section, step: usize| {
            let name = steps.get(step).map_or("", String::as_str);
            let mut unknown = invocation.unknown.iter().filter(|field| field.section == section);
            !unknown.any(|field| field.key.0.contains('\\') || field.key.0.eq_ignore_ascii_case(name))
        };
        // A map that is needed as it is has no name but its own.
        let is_found =
            |step: usize, is_exact: bool| is_exact || needed(needs, steps, step).is_some_and(|needs| !needs.is_whole());
        if !is_clear(Section::Top, 0) {
            return Err(Stop::Unsure);
        }
        let section = match &self.first {
            Some(First::Field(field, is_exact)) if is_found(0, *is_exact) => {
                return leaf((field.get)(invocation), steps, 0, needs);
            }
            Some(First::Section(section, is_exact)) if is_found(0, *is_exact) => *section,
            _ => return absent(needs, steps, 0),
        };
        let is_there = match section {
            Section::Identity => invocation.identity.is_some(),
            Section::Input => invocation.input.is_some(),
            Section::Output => invocation.output.is_some(),
            Section::PerformanceConfig => invocation.performance_config.is_some(),
            Section::Top => true,
        };
        if !is_there {
            return absent(needs, steps, 0);
        }
        if steps.len() == 1 {
            return Ok(Found::Container);
        }
        if !is_clear(section, 1) {
            return Err(Stop::Unsure);
        }
        match self.second {
            Some((field, is_exact)) if is_found(1, is_exact) => leaf((field.get)(invocation), steps, 1, needs),
            _ => absent(needs, steps, 1),
        }
    }
}

/// What the steps behind a field lead to.
fn leaf<'x>(leaf: Option<Leaf<'x>>, steps: &[String], step: usize, needs: &Needs) -> Result<Found<'x>, Stop> {
    let value = match leaf {
        None => return absent(needs, steps, step),
        Some(Leaf::Json(json)) => return walk(body::Value::new(RawJson(json)), steps, step + 1, needs),
        Some(_) if step + 1 < steps.len() => return Ok(Found::NoMap(step + 1)),
        Some(Leaf::Text(text)) => Value::Text(text.decode()),
        Some(Leaf::Int(value)) => Value::Int(value),
    };
    Ok(Found::Value(value))
}

/// What the steps from this one on lead to in a JSON value.
pub(super) fn walk<'x>(
    mut json: body::Value<'x>,
    steps: &[String],
    from: usize,
    needs: &Needs,
) -> Result<Found<'x>, Stop> {
    for (step, name) in steps.iter().enumerate().skip(from) {
        if json.kind() != Kind::Object {
            return Ok(Found::NoMap(step));
        }
        // The name itself wins wherever it stands, and where it stands twice, the last; of others the first.
        let (mut exact, mut folded) = (None, None);
        for (key, value) in json.members() {
            if key == name.as_str() {
                exact = Some(value);
            } else if exact.is_none() && folded.is_none() && key.eq_ignore_ascii_case(name) {
                folded = Some(value);
            }
        }
        let folded = || folded.filter(|_| needed(needs, steps, step).is_some_and(|needs| !needs.is_whole()));
        match exact.or_else(folded) {
            Some(value) => json = value,
            None => return absent(needs, steps, step),
        }
    }
    Ok(Value::of_json(json).map_or(Found::Container, Found::Value))
}
