//! The feedback loop: what this service writes must not come back to it.

use super::{failed, not_known, ok, refused, skipped};
use crate::config::{Config, Sink, Source};
use crate::doctor::Check;
use crate::doctor::facts::{Facts, Filter, OwnLog};
use crate::source::cloudwatch::client::Group;

pub(super) fn judge(config: &Config, facts: &Facts, checks: &mut Vec<Check>) {
    if matches!(config.source, Source::File(_)) {
        return checks.push(skipped("feedback.own_log", "", "files do not grow by what is written elsewhere"));
    }
    checks.push(own_log(config, facts));
    checks.push(sinks(config, facts));
}

fn own_log(config: &Config, facts: &Facts) -> Check {
    let id = "feedback.own_log";
    let name = match &facts.own_log {
        OwnLog::Elsewhere => return ok(id, "", "this service's log goes to no log group"),
        OwnLog::Unknown => {
            let what = "the log group of this service's own log is not known (it is told inside a task of ECS)";
            return not_known(id, "", what).fix("name it with --own-log-group");
        }
        OwnLog::Group(name) => name.as_str(),
    };
    if matches!(config.source, Source::S3(_)) {
        return ok(id, "", format!("{name} is no bucket that is read"));
    }
    let read = facts.places.iter().flat_map(|place| &place.groups).any(|group| group.name == name);
    let named = match &config.source {
        Source::Cloudwatch(source) => source.log_groups.iter().any(|group| *Group::of(group).name == *name),
        _ => false,
    };
    if read || named {
        return failed(id, "", format!("this service writes its own log to {name}, which it reads"))
            .fix("send its log to another log group");
    }
    let is_ours = |filter: &Filter| leads_here(config, facts, filter);
    match &facts.own_filters {
        Some(Err(refusal)) => return refused(id, "", refusal),
        Some(Ok(filters)) if filters.iter().any(is_ours) => {
            return failed(id, "", format!("a subscription filter of {name} writes this service's own log back to it"))
                .fix(format!("delete the filter: aws logs delete-subscription-filter --log-group-name {name} …"));
        }
        _ => {}
    }
    let policies = facts.places.iter().filter_map(|place| place.policies.as_ref());
    for asked in policies {
        match asked {
            Err(refusal) => return refused(id, "", refusal),
            Ok(policies) => {
                let loops = |policy: &&crate::doctor::facts::AccountPolicy| {
                    is_ours(&policy.filter) && !policy.except.iter().any(|except| except == name)
                };
                if let Some(policy) = policies.iter().find(loops) {
                    let policy = &policy.filter.name;
                    return failed(id, "", format!("the account's policy {policy} writes {name} back to this service"))
                        .fix(format!("name {name} in the policy's LogGroupName NOT IN [...]"));
                }
            }
        }
    }
    ok(id, "", format!("{name} does not lead back here"))
}

/// Whether a subscription writes to what is read.
fn leads_here(config: &Config, facts: &Facts, filter: &Filter) -> bool {
    match config.source {
        Source::Firehose(_) => filter.destination.contains(":firehose:"),
        _ => facts.streams.iter().filter_map(|stream| stream.arn()).any(|arn| arn == filter.destination),
    }
}

/// A sink that writes to a stream that is read, as far as ARNs tell what names do not.
fn sinks(config: &Config, facts: &Facts) -> Check {
    let id = "feedback.sinks";
    for (name, sink) in &config.sinks {
        let Sink::Kinesis(sink) = sink else { continue };
        let to = sink.to.stream.as_str();
        let region = sink.to.access.region.as_deref();
        let is_read = facts.streams.iter().any(|stream| {
            let Some(arn) = stream.arn() else { return false };
            let same_place =
                region.is_none_or(|region| region == stream.region) && sink.to.access.assume_role.is_none();
            arn == to || (!to.starts_with("arn:") && same_place && arn.rsplit('/').next() == Some(to))
        });
        if is_read {
            return failed(id, "", format!("sinks.{name} writes to {to}, which is read"))
                .fix("write to another stream: what it writes is read again, for ever");
        }
    }
    ok(id, "", "no sink writes to what is read")
}
