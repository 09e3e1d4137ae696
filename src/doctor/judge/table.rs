//! The tables: of the leases, and of what detection remembers.

use super::{failed, needed, ok, refused, skipped, warning};
use crate::config::{Config, Coordination};
use crate::doctor::Check;
use crate::doctor::facts::{Facts, Table, TableFound};

const REST: [&str; 4] = ["table.key", "table.billing", "table.recovery", "table.ttl"];

pub(super) fn judge(config: &Config, facts: &Facts, checks: &mut Vec<Check>) {
    if let Coordination::Local(local) = &config.coordination {
        let what = match config.source.has_positions() {
            true => format!("positions are in the directory {}", local.directory.display()),
            false => format!("`source.{}` has no positions", config.source.kind()),
        };
        checks.push(skipped("table.exists", "", what));
    }
    for table in &facts.tables {
        of_table(table, checks);
    }
}

fn of_table(table: &Table, checks: &mut Vec<Check>) {
    let (id, name) = ("table.exists", table.name.as_str());
    let found = match &table.found {
        Ok(Some(found)) => found,
        Ok(None) => {
            let what = format!("there is no table {name} in {}", table.region);
            checks.push(match table.is_made {
                true => ok(id, name, format!("{what}; the first start makes it (`create_table`)")),
                false => failed(id, name, what)
                    .fix("make it: `bedrock-tap setup --plan` says how; or set create_table = true"),
            });
            checks.extend(REST.map(|id| skipped(id, name, "there is no such table")));
            return;
        }
        Err(refusal) => {
            checks.push(needed(id, name, refusal));
            checks.extend(REST.map(|id| skipped(id, name, "the table could not be asked about")));
            return;
        }
    };
    checks.push(status(found, name));
    checks.push(match found.is_ours {
        true => ok("table.key", name, found.key.join(" and ")),
        false => {
            let key = if found.key.is_empty() { "not told".to_owned() } else { found.key.join(" and ") };
            failed("table.key", name, format!("the key is {key}, and has to be {}", table.wanted.join(" and ")))
                .fix("name another table: this one is another's")
        }
    });
    checks.push(match found.on_demand {
        true => ok("table.billing", name, "by request"),
        false => warning("table.billing", name, "provisioned: a burst of leases may be throttled")
            .fix(format!("aws dynamodb update-table --table-name {name} --billing-mode PAY_PER_REQUEST")),
    });
    checks.push(match &table.recovery {
        Ok(true) => ok("table.recovery", name, "can be restored to any point in time"),
        Ok(false) => warning("table.recovery", name, "cannot be restored to a point in time")
            .fix("switch it on: `bedrock-tap setup --plan` says how; it costs next to nothing"),
        Err(refusal) => refused("table.recovery", name, refusal),
    });
    checks.push(match &table.expiry {
        Ok(None) => ok("table.ttl", name, "rows do not expire"),
        Ok(Some(attribute)) => failed("table.ttl", name, format!("rows expire by the attribute {attribute}"))
            .fix("switch it off: a row that expires is a position that is lost"),
        Err(refusal) => refused("table.ttl", name, refusal),
    });
}

/// The status, in the words of the program's start: what works while it is updated is no fault.
fn status(found: &TableFound, name: &str) -> Check {
    let (id, status) = ("table.exists", found.status.as_str());
    match status {
        "ACTIVE" | "UPDATING" => ok(id, name, format!("{name} is {status}")),
        "CREATING" => warning(id, name, format!("{name} is CREATING")).fix("wait a minute, then ask again"),
        "INACCESSIBLE_ENCRYPTION_CREDENTIALS" => {
            failed(id, name, format!("the key that encrypts {name} is not usable"))
                .fix("enable the KMS key, and its grants")
        }
        _ => failed(id, name, format!("{name} is {status}")).fix("restore it, or name another table"),
    }
}
