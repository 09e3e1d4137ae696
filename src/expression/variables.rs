//! Variables: what an expression sees of an event. `event` is the record with the names that it came with, `view` what
//! the format `view` writes.

use std::cell::OnceCell;
use std::collections::HashMap;

use cel::common::types::{CelMapKey, CelString};

use super::asking::{Asking, Asks, Gate, Origin};
use super::native::{Read, Seen, Texts, is_empty};
use super::needs::{Asked, Needs};
use super::value::{self, Boxed, Builder, Unbuilt};
use crate::enrich::Event;
use crate::format::view;
use crate::invocation::{Invocation, JsonStr, RawJson, Section};
use crate::pipeline::Context;

/// What expressions need of each variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) event: Option<Needs>,
    pub(crate) view: Option<Needs>,
}

impl Demand {
    /// Adds a path of members below a variable.
    pub(super) fn add(&mut self, variable: Variable, path: &[String], asked: Asked) {
        self.of(variable).get_or_insert_default().add(path, asked);
    }

    /// Adds what another expression needs.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (variable, needs) in [(Variable::Event, &other.event), (Variable::View, &other.view)] {
            if let Some(needs) = needs {
                self.of(variable).get_or_insert_default().merge(needs);
            }
        }
    }

    fn of(&mut self, variable: Variable) -> &mut Option<Needs> {
        match variable {
            Variable::Event => &mut self.event,
            Variable::View => &mut self.view,
        }
    }
}

/// A variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// The record.
    Event,
    /// The view.
    View,
}

impl Variable {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Event, Self::View];

    /// The name in expressions.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::View => "view",
        }
    }
}

/// How the names of members are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// They must be the same.
    Exact,
    /// One that differs only in the case of its letters is taken where the same is not there, as Panther's rules do.
    Folded,
}

/// The variables of one event. Native expressions ask the event itself; what the interpreter needs is built when it is
/// first needed.
pub(crate) struct Variables<'v> {
    asking: Option<Asking<'v>>,
    names: Names,
    built: OnceCell<Option<Built<'v>>>,
}

/// The variables as the interpreter takes them, as far as they are needed.
#[derive(Debug)]
pub(super) struct Built<'v> {
    event: Option<Boxed<'v>>,
    view: Option<Boxed<'v>>,
    /// Bytes of the texts in them.
    pub(super) bytes: usize,
}

impl<'v> Variables<'v> {
    /// Builds what is needed; `view` is the needed part of the view as JSON.
    ///
    /// # Errors
    /// The event is over a limit.
    pub(crate) fn build(
        invocation: &'v Invocation<'v>,
        view: &'v str,
        demand: &Demand,
        names: Names,
    ) -> Result<Self, Unbuilt> {
        let mut builder = Builder::new(names);
        let event = demand.event.as_ref().map(|needs| record(invocation, needs, &mut builder)).transpose()?;
        let view = demand.view.as_ref().map(|needs| builder.json(view, needs)).transpose()?;
        let built = Built { event, view, bytes: builder.bytes };
        Ok(Self { asking: None, names, built: OnceCell::from(Some(built)) })
    }

    /// The variables of an event, whose view others may need, too.
    ///
    /// # Errors
    /// None: an event that is over a limit is so when something is built of it.
    pub(crate) fn of_event(
        _: &'v Event<'_>,
        view: &'v Views<'_, '_>,
        demand: &'v Demand,
        names: Names,
    ) -> Result<Self, Unbuilt> {
        Ok(Self { asking: Some(Asking { origin: Origin::Event(view), demand }), names, built: OnceCell::new() })
    }

    /// The variables of a record that is no invocation, as JSON.
    ///
    /// # Errors
    /// None, as for [`Self::of_event`].
    pub(crate) fn of_json(record: &'v str, demand: &'v Demand, names: Names) -> Result<Self, Unbuilt> {
        Ok(Self { asking: Some(Asking { origin: Origin::Record(record), demand }), names, built: OnceCell::new() })
    }

    /// Whom native expressions ask; none where names must be the same, or all is built.
    pub(super) fn asking(&self) -> Option<Asking<'v>> {
        self.asking.clone().filter(|_| self.names == Names::Folded)
    }

    /// What the interpreter needs; none where the event is over a limit.
    pub(super) fn built(&self) -> Option<&Built<'v>> {
        let build = || {
            let Asking { origin, demand } = self.asking.clone()?;
            Built::of(origin, demand, self.names).ok()
        };
        self.built.get_or_init(build).as_ref()
    }

    /// Bytes of the texts that were built.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.built().map_or(0, |built| built.bytes)
    }

    /// The same variables for the interpreter alone.
    #[cfg(test)]
    pub(super) fn interpreted(self) -> Self {
        let _ = self.built();
        Self { asking: None, ..self }
    }
}

impl std::fmt::Debug for Variables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variables").field("built", &self.built).finish_non_exhaustive()
    }
}

impl<'v> Built<'v> {
    fn of(origin: Origin<'v>, demand: &Demand, names: Names) -> Result<Self, Unbuilt> {
        let mut builder = Builder::new(names);
        let (event, view) = match origin {
            Origin::Event(event) => {
                let view = demand.view.as_ref().map(|needs| {
                    let mut members = HashMap::new();
                    for (index, member) in view::MEMBERS.iter().enumerate() {
                        if needs.of(member.name).is_some() {
                            builder.add(event.member(index), needs, &mut members)?;
                        }
                    }
                    Ok::<_, Unbuilt>(value::object(members, needs))
                });
                let view = view.transpose()?;
                let needs = demand.event.as_ref();
                (needs.map(|needs| record(event.invocation(), needs, &mut builder)).transpose()?, view)
            }
            Origin::Record(json) => (demand.event.as_ref().map(|needs| builder.json(json, needs)).transpose()?, None),
        };
        Ok(Self { event, view, bytes: builder.bytes })
    }

    /// A variable's value.
    pub(super) fn get(&self, name: &str) -> Option<&Boxed<'v>> {
        match name {
            "event" => self.event.as_ref(),
            "view" => self.view.as_ref(),
            _ => None,
        }
    }
}

/// The view of an event, each part read or written when it is first asked for, and once.
pub(crate) struct Views<'e, 'a> {
    pub(super) event: &'e Event<'a>,
    pub(super) context: &'e Context<'e>,
    pub(super) texts: Texts<'a>,
    members: [OnceCell<String>; view::MEMBERS.len()],
    gate: Option<&'e dyn Gate>,
}

impl<'e, 'a> Views<'e, 'a> {
    /// Nothing is read yet.
    pub(crate) fn new(event: &'e Event<'a>, context: &'e Context<'e>) -> Self {
        let members = [const { OnceCell::new() }; view::MEMBERS.len()];
        Self { event, context, texts: Texts::default(), members, gate: None }
    }

    /// The same, where patterns are looked for only if the gate says that they may match.
    pub(crate) fn behind(self, gate: &'e dyn Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }
}

impl Asks for Views<'_, '_> {
    fn read(&self, read: Read) -> Seen<'_> {
        read(self)
    }

    fn invocation(&self) -> &Invocation<'_> {
        self.event.invocation
    }

    fn member(&self, index: usize) -> &str {
        let write = || {
            let mut json = Vec::new();
            view::write_one(index, self.event, self.context, &mut json);
            String::from_utf8(json).unwrap_or_default()
        };
        self.members.get(index).map_or("{}", |member| member.get_or_init(write))
    }

    fn may_match(&self, pattern: usize) -> bool {
        self.gate.is_none_or(|gate| gate.may_match(pattern))
    }

    fn calls(&self) -> usize {
        self.event.view.tool_calls().count()
    }

    fn is_empty(&self, text: &str) -> bool {
        is_empty(self, text)
    }
}

/// The needed part of the view as JSON; empty where nothing is needed.
pub(crate) fn view_json(event: &Event<'_>, context: &Context<'_>, demand: &Demand) -> String {
    let mut json = Vec::new();
    if let Some(needs) = &demand.view {
        view::write(event, context, &mut json, |name| needs.of(name).is_some());
    }
    String::from_utf8(json).unwrap_or_default()
}

/// An object of the record in the making.
struct Fields<'v, 'b> {
    needs: &'b Needs,
    builder: &'b mut Builder,
    members: value::Members<'v>,
}

impl<'v> Fields<'v, '_> {
    fn put(
        &mut self,
        name: &'static str,
        value: impl Fn(&Needs, &mut Builder) -> Result<Boxed<'v>, Unbuilt>,
    ) -> Result<(), Unbuilt> {
        for (asked, needs) in self.needs.asked_as(name, self.builder.names) {
            let value = value(needs, self.builder)?;
            self.insert(asked, name, value);
        }
        Ok(())
    }

    /// The exact name is never pushed aside by one that only looks like it.
    fn insert(&mut self, asked: &str, name: &str, value: Boxed<'v>) {
        let key = CelMapKey::String(CelString::from(asked.to_owned()));
        if asked == name || !self.members.contains_key(&key) {
            self.members.insert(key, value);
        }
    }

    fn string(&mut self, name: &'static str, value: Option<JsonStr<'v>>) -> Result<(), Unbuilt> {
        value.map_or(Ok(()), |value| self.put(name, |_, builder| builder.text(value.0)))
    }

    fn integer(&mut self, name: &'static str, value: Option<i64>) -> Result<(), Unbuilt> {
        value.map_or(Ok(()), |value| self.put(name, |_, builder| builder.integer(value)))
    }

    fn json(&mut self, name: &'static str, value: Option<RawJson<'v>>) -> Result<(), Unbuilt> {
        value.map_or(Ok(()), |value| self.put(name, |needs, builder| builder.json(value.0, needs)))
    }

    /// What the schema does not know stands where it stood.
    fn unknown(&mut self, invocation: &'v Invocation<'v>, section: Section) -> Result<(), Unbuilt> {
        for field in invocation.unknown.iter().filter(|field| field.section == section) {
            let name = field.key.decode();
            for (asked, needs) in self.needs.asked_as(&name, self.builder.names) {
                let value = self.builder.json(field.value.0, needs)?;
                self.insert(asked, &name, value);
            }
        }
        Ok(())
    }
}

fn object<'v>(
    needs: &Needs,
    builder: &mut Builder,
    fill: impl FnOnce(&mut Fields<'v, '_>) -> Result<(), Unbuilt>,
) -> Result<Boxed<'v>, Unbuilt> {
    let mut fields = Fields { needs, builder, members: HashMap::new() };
    fill(&mut fields)?;
    Ok(value::object(fields.members, needs))
}

/// The record: its fields by their own names, counts as whole numbers, bodies as JSON.
fn record<'v>(invocation: &'v Invocation<'v>, needs: &Needs, builder: &mut Builder) -> Result<Boxed<'v>, Unbuilt> {
    object(needs, builder, |to| {
        to.string("accountId", Some(invocation.account_id))?;
        to.string("errorCode", invocation.error_code)?;
        to.string("inferenceRegion", invocation.inference_region)?;
        to.string("modelId", Some(invocation.model_id))?;
        to.string("operation", invocation.operation)?;
        to.string("region", invocation.region)?;
        to.string("requestId", invocation.request_id)?;
        to.string("schemaType", invocation.schema_type)?;
        to.string("schemaVersion", invocation.schema_version)?;
        to.string("status", invocation.status)?;
        to.string("timestamp", Some(invocation.timestamp))?;
        to.unknown(invocation, Section::Top)?;
        sections(to, invocation)
    })
}

fn sections<'v>(to: &mut Fields<'v, '_>, invocation: &'v Invocation<'v>) -> Result<(), Unbuilt> {
    if let Some(identity) = &invocation.identity {
        to.put("identity", |needs, builder| {
            object(needs, builder, |to| {
                to.string("arn", identity.arn)?;
                to.unknown(invocation, Section::Identity)
            })
        })?;
    }
    if let Some(input) = &invocation.input {
        to.put("input", |needs, builder| {
            object(needs, builder, |to| {
                to.integer("cacheReadInputTokenCount", input.cache_read_input_token_count)?;
                to.integer("cacheWriteInputTokenCount", input.cache_write_input_token_count)?;
                to.json("inputBodyJson", input.input_body_json)?;
                to.string("inputContentType", input.input_content_type)?;
                to.integer("inputTokenCount", input.input_token_count)?;
                to.unknown(invocation, Section::Input)
            })
        })?;
    }
    if let Some(output) = &invocation.output {
        to.put("output", |needs, builder| {
            object(needs, builder, |to| {
                to.json("outputBodyJson", output.output_body_json)?;
                let seconds = output.output_video_duration_seconds.as_ref();
                to.json("outputVideoDurationSeconds", seconds.map(|number| RawJson(&number.0)))?;
                to.integer("outputVideoFramesPerSecond", output.output_video_frames_per_second)?;
                to.integer("outputVideoHeight", output.output_video_height)?;
                to.string("outputVideoS3Path", output.output_video_s3_path)?;
                to.integer("outputVideoWidth", output.output_video_width)?;
                to.string("outputContentType", output.output_content_type)?;
                to.integer("outputTokenCount", output.output_token_count)?;
                to.unknown(invocation, Section::Output)
            })
        })?;
    }
    if let Some(config) = &invocation.performance_config {
        to.put("performanceConfig", |needs, builder| {
            object(needs, builder, |to| {
                to.string("latency", config.latency)?;
                to.unknown(invocation, Section::PerformanceConfig)
            })
        })?;
    }
    Ok(())
}
