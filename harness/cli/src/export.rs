//! `tlsboot scenarios`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::new::write_new;
use super::{Exit, Failure, built_in, print};

/// Write the scenarios that the executable carries into a folder.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  tlsboot scenarios export my                     all scenario files, and schema.json for editors
  tlsboot run 'rotation.*' --scenarios my         run them as they are changed there")]
pub(super) struct ScenariosCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write all scenario files, and the schema for editors. No existing file is overwritten.
    Export {
        /// The folder. It is created if it does not exist.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

pub(super) fn run(command: &ScenariosCommand) -> Result<Exit, Failure> {
    let Action::Export { folder } = &command.action;
    let schema = super::schema_of(super::SchemaOf::Scenario)?;
    let files = built_in::FILES.iter().copied().chain([("schema.json", schema.as_str())]);
    // All or nothing: a folder that holds one of them holds work of the user's.
    if let Some((taken, _)) = files.clone().find(|(name, _)| folder.join(name).symlink_metadata().is_ok()) {
        let taken = folder.join(taken);
        return Err(Failure::usage(format!("{} exists already: choose an empty folder", taken.display())));
    }
    for (name, text) in files {
        write_new(&folder.join(name), text)?;
    }
    print(&format!("{} scenarios are in {}\n", built_in::FILES.len(), folder.display()))
}
