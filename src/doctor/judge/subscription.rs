//! Subscriptions: what leads from the log group to the stream.

use super::{failed, not_known, ok, refused, skipped, warning};
use crate::config::{Config, Source};
use crate::doctor::Check;
use crate::doctor::ask::logs::takes_bedrock;
use crate::doctor::facts::{AccountPolicy, Facts, Filter, Group, Place, WriterRole};

/// The most filters of a log group. Source: the CloudWatch Logs quotas.
const MOST: usize = 2;

/// What is asked of a filter that leads here.
const OF_FILTER: [&str; 3] = ["subscription.pattern", "subscription.distribution", "subscription.role"];

pub(super) fn judge(config: &Config, place: &Place, facts: &Facts, checks: &mut Vec<Check>) {
    let is_kinesis = match &config.source {
        Source::Kinesis(_) => true,
        Source::Firehose(_) => false,
        other => {
            let what = format!("`source.{}` needs no subscription", other.kind());
            checks.push(skipped("subscription.destination", &place.region, what));
            return;
        }
    };
    if place.groups.is_empty() {
        let what = "no log group of Bedrock is known; name it with --log-group";
        checks.push(skipped("subscription.destination", &place.region, what));
    }
    let arns: Vec<_> = place.streams.iter().filter_map(|index| facts.streams.get(*index)?.arn()).collect();
    let aim = Aim { arns: &arns, is_kinesis };
    for group in &place.groups {
        of_group(group, &aim, place, checks);
    }
    checks.push(of_account(place, &aim, facts));
}

/// Where a subscription has to lead.
struct Aim<'a> {
    arns: &'a [&'a str],
    is_kinesis: bool,
}

impl Aim<'_> {
    fn is_met_by(&self, filter: &Filter) -> bool {
        match self.is_kinesis {
            true => self.arns.contains(&filter.destination.as_str()),
            // Which delivery stream comes here, only Firehose knows.
            false => filter.destination.contains(":firehose:"),
        }
    }

    fn name(&self) -> String {
        match (self.is_kinesis, self.arns) {
            (false, _) => "a delivery stream of Firehose".to_owned(),
            (true, [one]) => (*one).to_owned(),
            (true, _) => "the streams that are read".to_owned(),
        }
    }
}

fn of_group(group: &Group, aim: &Aim<'_>, place: &Place, checks: &mut Vec<Check>) {
    let name = group.name.as_str();
    let filters = match &group.filters {
        Ok(filters) => filters,
        Err(refusal) => {
            checks.push(refused("subscription.count", name, refusal));
            let rest = std::iter::once("subscription.destination").chain(OF_FILTER);
            checks.extend(rest.map(|id| skipped(id, name, "the subscription filters could not be asked")));
            return;
        }
    };
    let ours = filters.iter().find(|filter| aim.is_met_by(filter));
    checks.push(count(filters, ours.is_some(), name));
    let Some(filter) = ours else {
        checks.push(match place.policy_to(aim.arns, name) {
            Some(policy) => {
                let what =
                    format!("the account's policy {} writes to {}", policy.filter.name, policy.filter.destination);
                ok("subscription.destination", name, what)
            }
            None => unmet(filters, aim, name),
        });
        checks.extend(OF_FILTER.map(|id| skipped(id, name, "no subscription filter leads here")));
        return;
    };
    checks.push(ok("subscription.destination", name, format!("{} writes to {}", filter.name, filter.destination)));
    checks.push(pattern(filter, name));
    checks.push(distribution(filter, aim, name));
    checks.push(role(filter, aim, place, name));
}

fn count(filters: &[Filter], is_met: bool, name: &str) -> Check {
    let id = "subscription.count";
    let what = format!("{} of {MOST} subscription filters", filters.len());
    match filters.len() >= MOST && !is_met {
        true => failed(id, name, format!("{what}, and none of them leads here"))
            .fix("delete one, or let one stream feed both readers: a log group takes no third"),
        false => ok(id, name, what),
    }
}

/// What is said where no filter leads to what is read.
fn unmet(filters: &[Filter], aim: &Aim<'_>, name: &str) -> Check {
    let id = "subscription.destination";
    if aim.is_kinesis && aim.arns.is_empty() {
        return not_known(id, name, "the stream's ARN is not known, so nothing tells whether a filter leads there");
    }
    // A destination of its own stands between accounts, and which stream is behind it, its owner knows.
    if let Some(filter) = filters.iter().find(|filter| filter.destination.contains(":destination:")) {
        let what = format!("{} writes to {}, and what is behind that is not known", filter.name, filter.destination);
        return not_known(id, name, what).fix("ask in the destination's account: aws logs describe-destinations");
    }
    let elsewhere: Vec<_> = filters.iter().map(|filter| filter.destination.as_str()).collect();
    let but = if elsewhere.is_empty() { String::new() } else { format!("; they lead to {}", elsewhere.join(", ")) };
    failed(id, name, format!("no subscription filter of {name} writes to {}{but}", aim.name()))
        .fix("put one: `bedrock-tap setup --plan` says how")
}

fn pattern(filter: &Filter, name: &str) -> Check {
    let id = "subscription.pattern";
    let fix = "set the pattern { $.schemaType = \"ModelInvocationLog\" }";
    match &filter.matches {
        None if filter.pattern.trim().is_empty() => ok(id, name, "lets everything through"),
        None if takes_bedrock(&filter.pattern) => ok(id, name, "lets Bedrock's records through"),
        Some(Ok(true)) => ok(id, name, format!("lets a record of Bedrock through: {}", filter.pattern)),
        Some(Ok(false)) => failed(id, name, format!("lets no record of Bedrock through: {}", filter.pattern)).fix(fix),
        Some(Err(refusal)) => {
            let what = format!("cannot be tried ({}): {}", refusal.said(), filter.pattern);
            warning(id, name, what).fix(format!("{fix}, or {}", refusal.way_out()))
        }
        None => not_known(id, name, format!("was not tried: {}", filter.pattern)).fix(fix),
    }
}

fn distribution(filter: &Filter, aim: &Aim<'_>, name: &str) -> Check {
    let id = "subscription.distribution";
    match filter.distribution.as_deref() {
        _ if !aim.is_kinesis => skipped(id, name, "is of Kinesis streams only"),
        Some("Random") => ok(id, name, "Random, over all shards"),
        other => failed(
            id,
            name,
            format!("{}: all events go to one shard, which takes 1 MB/s", other.unwrap_or("ByLogStream")),
        )
        .fix("put the filter again with --distribution Random: Bedrock writes one log stream a Region"),
    }
}

fn role(filter: &Filter, aim: &Aim<'_>, place: &Place, name: &str) -> Check {
    let id = "subscription.role";
    let Some(role) = filter.role.as_deref() else {
        return failed(id, name, format!("{} has no role to write with", filter.name))
            .fix("put the filter again with --role-arn");
    };
    if !aim.is_kinesis {
        return ok(id, name, format!("writes as {role}"));
    }
    match place.roles.get(role) {
        Some(WriterRole { exists: Ok(false), .. }) => failed(id, name, format!("the role {role} does not exist"))
            .fix("make it again: without it CloudWatch Logs drops what it cannot deliver"),
        Some(WriterRole { may_write: Some(Ok(true)), .. }) => ok(id, name, format!("{role} may write to the stream")),
        Some(WriterRole { may_write: Some(Ok(false)), .. }) => {
            failed(id, name, format!("{role} may not write to the stream: kinesis:PutRecord is denied"))
                .fix("grant it kinesis:PutRecord on the stream (and kms:GenerateDataKey on its key)")
        }
        Some(WriterRole { may_write: Some(Err(refusal)), .. }) => {
            let what = format!("writes as {role}; whether that may write is not known: {}", refusal.said());
            not_known(id, name, what).fix(refusal.way_out())
        }
        Some(WriterRole { exists: Err(refusal), .. }) => refused(id, name, refusal),
        _ => not_known(id, name, format!("writes as {role}; whether that may write was not asked")),
    }
}

fn of_account(place: &Place, aim: &Aim<'_>, facts: &Facts) -> Check {
    let (id, region) = ("account.subscription", place.region.as_str());
    let policies = match &place.policies {
        Some(Ok(policies)) => policies,
        Some(Err(refusal)) => return refused(id, region, refusal),
        None => return skipped(id, region, "is of subscriptions only"),
    };
    let ours: Vec<&AccountPolicy> = policies.iter().filter(|policy| aim.is_met_by(&policy.filter)).collect();
    match (ours.as_slice(), policies.len()) {
        ([], 0) => ok(id, region, "no account-level subscription policy"),
        ([], _) => ok(id, region, "the account-level subscription policy leads elsewhere"),
        ([policy, ..], _) => {
            let name = &policy.filter.name;
            let twice = place.groups.iter().find(|group| {
                let is_taken = !policy.except.contains(&group.name);
                let filters = group.filters.iter().flatten();
                is_taken && filters.into_iter().any(|filter| aim.is_met_by(filter))
            });
            let own = facts.own_log.group();
            match twice {
                Some(group) => warning(id, region, format!("{name} writes {} here a second time", group.name)).fix(
                    format!("name {} in the policy's LogGroupName NOT IN [...], or delete its filter", group.name),
                ),
                None if own.is_none() => {
                    warning(id, region, format!("{name} writes every log group of the account here but the named"))
                        .fix("name this service's own log group in the policy's LogGroupName NOT IN [...]")
                }
                None => ok(id, region, format!("{name} writes the account's log groups here")),
            }
        }
    }
}
