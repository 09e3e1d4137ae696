//! Judging: from facts to checks. Nothing here asks anything.

use super::facts::{Asked, Facts, OwnLog, Reached, Refusal};
use super::{Check, Status};
use crate::config::{Config, Source};

mod caller;
mod feedback;
mod flow;
mod group;
mod objects;
mod rights;
mod stream;
mod subscription;
mod table;

/// All checks, in the order in which data flows.
pub(super) fn judge(config: &Config, facts: &Facts) -> Vec<Check> {
    let mut checks = Vec::new();
    for (what, why) in &facts.unreached {
        let check = failed("aws.credentials", "", format!("{what} cannot be asked about: {why}"));
        checks.push(check.fix("give this process a Region and credentials, then ask again").of(what));
    }
    caller::judge(facts, &mut checks);
    if matches!(config.source, Source::File(_)) {
        checks.push(skipped("bedrock.logging", "", "the source is files: nothing of AWS is read"));
    }
    for place in &facts.places {
        flow::judge(config, place, &mut checks);
        for group in &place.groups {
            group::judge(group, &mut checks);
        }
        subscription::judge(config, place, facts, &mut checks);
    }
    for stream in &facts.streams {
        stream::judge(config, stream, &mut checks);
    }
    objects::judge(facts, &mut checks);
    table::judge(config, facts, &mut checks);
    feedback::judge(config, facts, &mut checks);
    rights::judge(facts, &mut checks);
    for destination in &facts.destinations {
        let (id, kind) = (destination.name.clone(), destination.kind);
        checks.push(match &destination.answer {
            Reached::Yes if kind == "file" => ok(&id, "", "file: its directory can be used"),
            Reached::Yes => ok(&id, "", format!("{kind}: answers, and nothing speaks against writing to it")),
            Reached::NothingToAsk(why) => skipped(&id, "", *why),
            Reached::Late(limit) => warning(&id, "", format!("{kind}: no answer within {limit:?}"))
                .fix("check that it runs, and the network path to it"),
            Reached::No(why) => {
                failed(&id, "", format!("{kind}: {why}")).fix("mend what the message names, then ask again")
            }
        });
    }
    one_target_needs_no_name(&mut checks);
    checks
}

/// Takes the target away where there is only one.
fn one_target_needs_no_name(checks: &mut [Check]) {
    let targets: Vec<_> = checks.iter().map(|check| (check.id.clone(), check.target.clone())).collect();
    for check in checks {
        let others = targets.iter().filter(|(id, _)| *id == check.id).count();
        if others == 1 || check.target.as_deref() == Some("") {
            check.target = None;
        }
    }
}

fn check(status: Status, id: &str, target: &str, what: impl Into<String>) -> Check {
    Check { id: id.to_owned(), target: Some(target.to_owned()), status, what: what.into(), fix: None }
}

fn ok(id: &str, target: &str, what: impl Into<String>) -> Check {
    check(Status::Ok, id, target, what)
}

fn skipped(id: &str, target: &str, what: impl Into<String>) -> Check {
    check(Status::Skipped, id, target, what)
}

fn not_known(id: &str, target: &str, what: impl Into<String>) -> Check {
    check(Status::NotKnown, id, target, what)
}

fn warning(id: &str, target: &str, what: impl Into<String>) -> Check {
    check(Status::Warning, id, target, what)
}

fn failed(id: &str, target: &str, what: impl Into<String>) -> Check {
    check(Status::Failed, id, target, what)
}

/// What the daemon asks as well, and cannot do without: as [`refused`], but it fails.
fn needed(id: &str, target: &str, refusal: &Refusal) -> Check {
    failed(id, target, format!("cannot be asked: {}", refusal.said())).fix(refusal.way_out())
}

/// A question that was refused, which is no pass.
fn refused(id: &str, target: &str, refusal: &Refusal) -> Check {
    warning(id, target, format!("cannot be asked: {}", refusal.said())).fix(refusal.way_out())
}

/// The state of a key of the account's own.
fn key(id: &str, target: &str, what: &str, state: &Asked<String>) -> Check {
    match state {
        Ok(state) if state == "Enabled" => ok(id, target, format!("{what} is encrypted with a key that is enabled")),
        Ok(state) => failed(id, target, format!("the key that encrypts {what} is {state}"))
            .fix("enable the key, or cancel its deletion: without it nothing can be written or read"),
        Err(refusal) => refused(id, target, refusal),
    }
}

impl Check {
    fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    fn of(self, target: &str) -> Self {
        Self { target: Some(target.to_owned()), ..self }
    }
}

impl OwnLog {
    fn group(&self) -> Option<&str> {
        match self {
            Self::Group(name) => Some(name),
            Self::Elsewhere | Self::Unknown => None,
        }
    }
}
