//! The doctor: asks AWS whether invocations get from Bedrock to this program and on to its sinks, and says of each thing
//! that has to hold whether it does, and what to do where it does not.
//!
//! What is asked becomes facts, and facts are judged by pure functions; the repairs of `bedrock-tap setup` come of the
//! same facts.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use facts::Facts;

mod apply;
mod ask;
mod facts;
mod judge;
mod page;
mod repair;
mod template;

pub use apply::{Applied, apply};
pub use page::{commands, json, lines, text};
pub use repair::{Names, Repair};
pub use template::{note as comment, render as template};

/// What is asked beside the configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// The log group that Bedrock writes to, where its logging cannot be asked or is off.
    pub log_group: Option<String>,
    /// The log group of this service's own log, where ECS does not say it.
    pub own_log_group: Option<String>,
    /// How long an answer may take.
    pub limit: Duration,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It holds.
    Ok,
    /// It does not apply.
    Skipped,
    /// Nothing tells.
    NotKnown,
    /// It works, and should be looked at; or it could not be asked.
    Warning,
    /// It does not work.
    Failed,
}

impl Status {
    /// As the page shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::NotKnown => "not known",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One thing that has to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is called: the same in every run and release, such as `stream.status`.
    pub id: String,
    /// Which of several it is of: a stream, a table, a log group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How it came out.
    pub status: Status,
    /// What was found.
    pub what: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The checks, in the order in which data flows.
    pub checks: Vec<Check>,
}

/// The exit status where something failed.
pub const EXIT_FAILED: u8 = 1;
/// The exit status where something is to be looked at and nothing failed, if that is asked for.
pub const EXIT_WARNED: u8 = 2;

impl Report {
    /// How many checks came out so.
    pub fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }

    /// What the process exits with: by what is worst, where `is_strict` says that warnings count, and what is not known.
    pub fn exit_code(&self, is_strict: bool) -> u8 {
        match self.checks.iter().map(|check| check.status).max() {
            Some(Status::Failed) => EXIT_FAILED,
            Some(Status::Warning | Status::NotKnown) if is_strict => EXIT_WARNED,
            _ => 0,
        }
    }
}

/// What was found, and what would repair it.
pub struct Examined {
    /// The checks.
    pub report: Report,
    facts: Facts,
}

impl Examined {
    /// What would repair what was found, in the order in which it has to be done.
    pub fn repairs(&self, config: &Config, names: &Names) -> Vec<Repair> {
        repair::plan(config, names, &self.facts)
    }
}

/// Asks and judges.
pub async fn examine(config: &Arc<Config>, options: &Options) -> Examined {
    let facts = Box::pin(ask::gather(config, options)).await;
    Examined { report: Report { checks: judge::judge(config, &facts) }, facts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides_on_the_exit_status() {
        let check = |statuses: &[Status], expected: u8, strict: u8| {
            let of = |status: &Status| Check {
                id: "a.b".to_owned(),
                target: None,
                status: *status,
                what: String::new(),
                fix: None,
            };
            let report = Report { checks: statuses.iter().map(of).collect() };
            assert_eq!((report.exit_code(false), report.exit_code(true)), (expected, strict), "{statuses:?}");
        };
        check(&[], 0, 0);
        check(&[Status::Ok, Status::Skipped], 0, 0);
        check(&[Status::Ok, Status::Warning], 0, 2);
        check(&[Status::NotKnown, Status::Skipped], 0, 2);
        check(&[Status::Failed, Status::Warning], 1, 1);
    }
}
