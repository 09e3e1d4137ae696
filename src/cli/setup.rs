//! `bedrock-tap setup`: what would repair what the doctor finds, as commands or as a template; with `--apply`, it makes
//! what only adds something.

use std::process::ExitCode;

use clap::ValueEnum;

use super::doctor::{Asked, look, print, runtime};
use crate::doctor::{self, Applied, Names, Report, Status};

/// What the help says below the flags.
const MORE: &str = "\
With --plan alone nothing is changed: the commands, or the template, are printed
with the reason of each. With --apply, what only adds something is made and
asked about again, one after another: streams and their retention and
encryption, log groups and a longer retention, subscription filters, Bedrock's
logging where it is off, tables and their recovery. Roles, and what replaces or
takes away something, are left to you. The first failure ends it.

Exit status: 0 if all was printed or made, 1 if something failed, 64 if the
configuration or a flag is not valid.";

/// The flags.
#[derive(Debug, clap::Args)]
#[command(after_help = MORE, group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Args {
    #[command(flatten)]
    asked: Asked,
    /// Print what would be done.
    #[arg(long, group = "what")]
    plan: bool,
    /// Do it, as far as it only adds something.
    #[arg(long, group = "what")]
    apply: bool,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value = "cli", value_name = "FORMAT")]
    format: Format,
    /// The ARN of the role with which CloudWatch Logs writes to the stream. Default: bedrock-tap-logs of the account.
    #[arg(long, value_name = "ARN")]
    logs_role: Option<String>,
    /// The ARN of the role with which Bedrock writes to the log group. Default: bedrock-tap-bedrock of the account.
    #[arg(long, value_name = "ARN")]
    bedrock_role: Option<String>,
    /// The KMS key that streams are encrypted with. One of your own is left to you: its rights have to be there first.
    #[arg(long, value_name = "KEY", default_value = "alias/aws/kinesis")]
    kms_key: String,
}

/// How the plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Commands of the AWS CLI.
    Cli,
    /// A CloudFormation template in YAML.
    Cloudformation,
}

/// Runs the command.
///
/// # Errors
/// A configuration that is not valid, as [`super::UsageError`]; standard output that cannot be written.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let (config, options) = args.asked.load()?;
    let names = Names {
        log_group: options.log_group.clone(),
        logs_role: args.logs_role,
        bedrock_role: args.bedrock_role,
        kms_key: args.kms_key,
    };
    let runtime = runtime()?;
    let examined = runtime.block_on(doctor::examine(&config, &options));
    let repairs = examined.repairs(&config, &names);
    if args.plan {
        let page = match args.format {
            Format::Cli => doctor::commands(&repairs),
            Format::Cloudformation => doctor::template(&repairs),
        };
        print(&(page + &unplanned(&examined.report, &repairs)))?;
    }
    if !args.apply {
        return Ok(ExitCode::SUCCESS);
    }
    let told = |applied: Applied<'_>| print(&shown(&applied));
    let is_done = runtime.block_on(doctor::apply(&config, &options, &repairs, told))?;
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What failed and has no repair here, as comments.
fn unplanned(report: &Report, repairs: &[doctor::Repair]) -> String {
    let is_planned = |id: &str| repairs.iter().any(|repair| repair.mends.contains(&id));
    let left = report
        .checks
        .iter()
        .filter(|check| matches!(check.status, Status::Failed | Status::Warning) && !is_planned(&check.id));
    let mut page = String::new();
    for check in left {
        if page.is_empty() {
            page.push_str("\n# What no command here repairs:\n");
        }
        let fix = check.fix.as_deref().map(|fix| format!("; {fix}")).unwrap_or_default();
        doctor::comment(&mut page, &format!("{}: {}{fix}", check.id, check.what));
    }
    page
}

fn shown(applied: &Applied<'_>) -> String {
    match applied {
        Applied::Left(repair) => {
            let why = repair.by_hand.as_deref().unwrap_or("it is not made here");
            format!("left to you: {} ({why})\n", repair.what)
        }
        Applied::Failed(repair, why) => {
            format!("failed: {}\n        {why}\nnothing behind it was tried\n", repair.what)
        }
        Applied::Made(repair, checks) => {
            let mut page = format!("done: {}\n", repair.what);
            page.push_str(&doctor::lines(checks, look()));
            page
        }
    }
}
