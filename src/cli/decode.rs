//! `bedrock-tap decode`: payloads of any framing to lines on standard output.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;

use super::{UsageError, print_error};
use crate::format::{Format, Lines};
use crate::pipeline::{Limits, Line, Parcel, Rejected, Settings, Tally};
use crate::record::Record;
use crate::sink::dead_letter;
use crate::source;
use crate::source::file::inputs::{self, Input};

/// Exit status of `--strict` if something was rejected.
const EXIT_REJECTS: u8 = 2;

/// Lines are written once this much is there: few system calls, and little held back.
const WRITE_BYTES: usize = 256 << 10;

/// The flags.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories or patterns; `-` is standard input. Payloads as they come through a stream, Bedrock's log files,
    /// and dead letters, of which what they hold is read again: plain, compressed or in base64.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// The form of the lines.
    #[arg(long, value_enum, default_value_t = Format::Panther)]
    format: Format,
    /// Write rejects to this file, as JSON lines with their original bytes; without it they are told on standard error.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Print what was read and what became of it, as one JSON object on standard error.
    #[arg(long)]
    summary: bool,
    /// Exit with 2 if anything was rejected.
    #[arg(long)]
    strict: bool,
}

/// Runs the command.
///
/// # Errors
/// An input that is not there, or an output that cannot be written. A closed pipe is no error.
pub fn execute(args: Args) -> anyhow::Result<ExitCode> {
    let inputs = inputs::expand(&args.files).map_err(|error| UsageError(format!("{:#}", anyhow::Error::new(error))))?;
    let rejects = match &args.rejects {
        None => Rejects::Told,
        Some(path) => {
            let same = |input: &Input| matches!(input, Input::Path(input) if is_same_file(input, path));
            if let Some(input) = inputs.iter().find(|input| same(input)) {
                return Err(UsageError(format!("--rejects would write over {input}, which is to be read")).into());
            }
            let file = File::create(path).with_context(|| format!("cannot write rejects to {}", path.display()))?;
            Rejects::File(BufWriter::new(file))
        }
    };
    let settings = Settings { outputs: vec![args.format.into()], ..Settings::default() };
    let mut run =
        Run { line: Line::new(settings), parcel: Parcel::default(), rejects, letters: Lines::default(), unread: 0 };
    let tally = match run.all(inputs) {
        Ok(tally) => tally,
        // Whoever closed the pipe has seen enough.
        Err(error) if is_closed_pipe(&error) => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(error),
    };
    if args.summary {
        let _ = writeln!(io::stderr(), "{}", tally.to_json());
    }
    if run.unread > 0 {
        return Ok(ExitCode::FAILURE);
    }
    Ok(if args.strict && !tally.rejects.is_empty() { ExitCode::from(EXIT_REJECTS) } else { ExitCode::SUCCESS })
}

/// Where rejects go.
enum Rejects {
    /// One line each on standard error, without the bytes.
    Told,
    /// To a file, with the bytes.
    File(BufWriter<File>),
}

struct Run {
    line: Line,
    parcel: Parcel,
    rejects: Rejects,
    letters: Lines,
    /// Inputs that could not be read to their end.
    unread: u64,
}

impl Run {
    /// Takes all inputs through the line.
    fn all(&mut self, inputs: Vec<Input>) -> anyhow::Result<Tally> {
        let limit = Limits::default().inflated_bytes;
        for input in inputs {
            let named = || format!("cannot read {input}");
            let records = match source::file::records(&input, limit).with_context(named) {
                Ok(records) => records,
                Err(error) => {
                    self.unread(&error);
                    continue;
                }
            };
            for record in records {
                match record.with_context(named) {
                    Ok(record) => self.record(&record)?,
                    Err(error) => {
                        self.unread(&error);
                        break;
                    }
                }
            }
        }
        self.flush()?;
        if let Rejects::File(file) = &mut self.rejects {
            file.flush().context("cannot write the rejects")?;
        }
        Ok(std::mem::take(&mut self.parcel.tally))
    }

    fn unread(&mut self, error: &anyhow::Error) {
        self.unread += 1;
        print_error(error);
    }

    fn record(&mut self, record: &Record) -> anyhow::Result<()> {
        self.line.process(record, Timestamp::now(), &mut self.parcel);
        self.rejected()?;
        if self.parcel.outputs.iter().any(|lines| lines.bytes().len() >= WRITE_BYTES) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        for lines in &mut self.parcel.outputs {
            stdout.write_all(lines.bytes()).context("cannot write to standard output")?;
            lines.clear();
        }
        stdout.flush().context("cannot write to standard output")
    }

    fn rejected(&mut self) -> anyhow::Result<()> {
        if self.parcel.rejects.is_empty() {
            return Ok(());
        }
        let rejects = std::mem::take(&mut self.parcel.rejects);
        match &mut self.rejects {
            Rejects::Told => tell(&rejects),
            Rejects::File(file) => {
                dead_letter::encode(&rejects, Timestamp::now(), None, &mut self.letters);
                file.write_all(self.letters.bytes()).context("cannot write the rejects")?;
                self.letters.clear();
            }
        }
        Ok(())
    }
}

/// Tells rejects on standard error: where from and why, never what.
fn tell(rejects: &[Rejected]) {
    let mut stderr = io::stderr().lock();
    for reject in rejects {
        // A closed standard error leaves nobody to tell.
        let _ = writeln!(stderr, "reject: {}: {}", reject.origin, reject.fault);
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    whole(one).is_some_and(|one| whole(other) == Some(one))
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}
