//! `bedrock-tap schema`: prints the schema of the events, of the output, of alerts, of the configuration, or of a rule.

use std::process::ExitCode;

use super::print;
use crate::config::{Config, RuleFile};
use crate::detect::alert;
use crate::format::flat;
use crate::schema;

/// The flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to print.
    #[arg(long, value_enum, default_value_t = Kind::Panther)]
    format: Kind,
}

/// What can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// The schema of the events, as Panther writes it (YAML)
    Panther,
    /// The JSON Schema of a line of the `panther` format
    JsonSchema,
    /// The JSON Schema of a line of the `flat` format, with each column's type in SQL and Parquet
    Flat,
    /// The JSON Schema of an alert in the format `json`
    Alert,
    /// The JSON Schema of the configuration file
    Config,
    /// The JSON Schema of a detection rule's file
    Rule,
}

/// Runs the command.
///
/// # Errors
/// Standard output that cannot be written.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let text = match args.format {
        Kind::Panther => schema::panther_yaml(),
        Kind::JsonSchema => format!("{:#}\n", schema::json_schema()),
        Kind::Flat => format!("{:#}\n", flat::json_schema()),
        Kind::Alert => format!("{:#}\n", alert::json_schema()),
        Kind::Config => format!("{:#}\n", Config::json_schema()),
        Kind::Rule => format!("{:#}\n", RuleFile::json_schema()),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}
