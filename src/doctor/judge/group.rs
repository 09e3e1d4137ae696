//! A log group that is read or subscribed.

use super::{failed, key, ok, refused, skipped, warning};
use crate::doctor::Check;
use crate::doctor::facts::Group;
use crate::source::cloudwatch::client::LogGroup;

/// What is asked of a log group beside whether it exists.
const REST: [&str; 3] = ["log_group.class", "log_group.retention", "log_group.kms"];

/// Below this, a week-end's failure of the subscription cannot be read again from the log group.
const LEAST_DAYS: u32 = 3;

pub(super) fn judge(group: &Group, checks: &mut Vec<Check>) {
    let (id, name) = ("log_group.exists", group.name.as_str());
    let found = match &group.found {
        Ok(Some(found)) => found,
        Ok(None) => {
            let fix = "make it: `bedrock-tap setup --plan` says how; or correct its name";
            checks.push(failed(id, name, format!("there is no log group {name}")).fix(fix));
            checks.extend(REST.map(|id| skipped(id, name, "there is no such log group")));
            return;
        }
        Err(refusal) => {
            checks.push(refused(id, name, refusal));
            checks.extend(REST.map(|id| skipped(id, name, "the log group could not be asked about")));
            return;
        }
    };
    checks.push(ok(
        id,
        name,
        match found.created {
            Some(created) => format!("{name}, since {}", created.strftime("%Y-%m-%d")),
            None => name.to_owned(),
        },
    ));
    checks.push(class(found, name));
    checks.push(retention(found, name));
    checks.push(match &group.key {
        Some(state) => key("log_group.kms", name, "the log group", state),
        None => ok("log_group.kms", name, "encrypted with CloudWatch Logs' own key"),
    });
}

fn class(found: &LogGroup, name: &str) -> Check {
    let id = "log_group.class";
    match found.class.as_deref() {
        Some("STANDARD") | None => ok(id, name, "STANDARD, which can have subscriptions"),
        Some(class) => failed(id, name, format!("{class}: only STANDARD can have subscriptions"))
            .fix("a class is for ever: make another log group, and have Bedrock log there"),
    }
}

fn retention(found: &LogGroup, name: &str) -> Check {
    let id = "log_group.retention";
    match found.retention_days {
        None => warning(id, name, "events are kept, and paid for, for ever")
            .fix("set a retention: what is older than you would read again is of no use here"),
        Some(days) if days < LEAST_DAYS => {
            let unit = if days == 1 { "day" } else { "days" };
            warning(id, name, format!("events are kept for {days} {unit}"))
                .fix("set 30 days: where a subscription fails, only the log group can be read again")
        }
        Some(days) => ok(id, name, format!("events are kept for {days} days")),
    }
}
