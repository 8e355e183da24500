//! `tlsboot merge`: several output folders as one.

use std::path::{Path, PathBuf};

use clap::Args;

use super::sign::SignOptions;
use super::{Exit, Failure, paint, values};
use tlsboot_core::plain::one_line;
use tlsboot_engine::report::merge::{MergeError, merge_folders};
use tlsboot_engine::report::{self, Format};
use tlsboot_engine::say;

/// Merge the output folders of several runs into one report.
///
/// The evidence is checked against its hashes and copied. Two runs must agree about the same scenario on the same
/// target. If parts of a partitioned run are missing, the report is still written, and the exit code is 3.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot run --partition 1/2 --out shard-1      on one machine
  tlsboot run --partition 2/2 --out shard-2      on another
  tlsboot merge shard-1 shard-2 --out all        one report of both
  tlsboot merge on-1.36 on-1.37 --out all        runs of several versions side by side
  tlsboot merge tlsboot-out --out again          regenerates the views (HTML, JUnit, Markdown)

Exit codes: the same as for `tlsboot run`; also 3 if parts are missing.")]
pub(super) struct MergeCommand {
    /// Output folders of runs.
    #[arg(value_name = "OUT", required = true)]
    folders: Vec<PathBuf>,
    /// Folder for the merged evidence and reports.
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Reports to write, separated by commas.
    #[arg(long, value_parser = values::format(), value_delimiter = ',', default_values_t = Format::DEFAULT.iter().copied())]
    format: Vec<Format>,
    #[command(flatten)]
    sign: SignOptions,
}

pub(super) fn run(command: &MergeCommand) -> Result<Exit, Failure> {
    let key = command.sign.load(&command.format)?;
    super::not_reserved(&command.out)?;
    for folder in &command.folders {
        if place_of(&command.out).starts_with(place_of(folder)) {
            return Err(Failure::usage(format!(
                "--out {} lies in {}, one of the folders to merge: name another",
                command.out.display(),
                folder.display()
            )));
        }
    }
    let merged = merge_folders(&command.folders, &command.out).map_err(|error| match error {
        MergeError::Copy { .. } => Failure::error(error),
        _ => Failure::usage(error),
    })?;
    report::write_all(&command.out, &merged.run, &command.format).map_err(Failure::error)?;
    report::sign(&command.out, key.as_ref()).map_err(Failure::error)?;
    for part in &merged.missing {
        let word = paint("missing:", "31;1");
        say!("{word} {}: its scenarios are not in the report", one_line(part));
    }
    Ok(if merged.missing.is_empty() { merged.run.exit() } else { Exit::Error })
}

/// Where a folder is, or will be.
fn place_of(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match there {
        Some((above, real)) => absolute.strip_prefix(above).map_or(real.clone(), |below| real.join(below)),
        None => absolute,
    }
}
