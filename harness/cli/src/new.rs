//! `tlsboot new`.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use tlsboot_core::scenario::start_of;

use super::{Exit, Failure, print};

/// Create a scenario from a template: it loads as it is, and all of it is meant to be replaced.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tlsboot new site.node-labels                    writes scenarios/site/node-labels.yaml
  tlsboot new site.node-labels --scenarios my     writes my/site/node-labels.yaml")]
pub(super) struct NewCommand {
    /// The scenario's id, `chapter.name-in-words`.
    #[arg(value_name = "ID")]
    id: String,
    /// The folder of scenarios.
    #[arg(long, value_name = "DIR", env = "TLSBOOT_SCENARIOS", default_value = "scenarios")]
    scenarios: PathBuf,
}

pub(super) fn run(command: &NewCommand) -> Result<Exit, Failure> {
    let text = start_of(&command.id).map_err(Failure::usage)?;
    let (chapter, name) = command.id.split_once('.').unwrap_or((&command.id, ""));
    let file = command.scenarios.join(chapter).join(format!("{name}.yaml"));
    write_new(&file, &text)?;
    let path = file.display();
    print(&format!(
        "{path}\n  its words:  tlsboot explain csr\n  check it:   tlsboot lint {path}\n  run it:     tlsboot run {path}\n"
    ))
}

/// Writes a file, and the folders that it needs. An existing file is not overwritten.
pub(super) fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::File::create_new(file)?.write_all(text.as_bytes())
    };
    write().map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!("{} already exists", file.display())),
        _ => Failure::usage(format!("{}: {error}", file.display())),
    })
}
