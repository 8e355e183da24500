//! `tlsboot book`: for `ci/book`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Exit, Failure, LibraryOptions, print};
use tlsboot_core::pages::{self, Page};
use tlsboot_engine::mutants;

/// Write the reference pages of the book as Markdown: one for each scenario, each behavior, and each part of the language.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  tlsboot book target/book/reference   the pages, and SUMMARY.md with their part of the table of contents")]
pub(super) struct BookCommand {
    /// Folder for the pages. Its last part is the folder that SUMMARY.md names.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    library: LibraryOptions,
}

pub(super) fn run(command: BookCommand) -> Result<Exit, Failure> {
    let BookCommand { folder, library } = command;
    let scenarios = library.all()?;
    let mutants: Vec<pages::Mutant> = mutants::table()
        .into_iter()
        .filter(|mutant| !mutant.sound)
        .map(|mutant| pages::Mutant {
            id: mutant.id.to_owned(),
            wrong: mutant.wrong.to_owned(),
            scenarios: mutant.scenarios.iter().map(|&id| id.to_owned()).collect(),
        })
        .collect();
    let pages = pages::pages(&scenarios, &mutants);
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    write(&folder.join("SUMMARY.md"), &pages::summary(&pages, &name))?;
    let mut count = 0;
    let mut left: Vec<&Page> = pages.iter().collect();
    while let Some(page) = left.pop() {
        write(&folder.join(&page.path), &page.text)?;
        left.extend(&page.children);
        count += 1;
    }
    print(&format!("{count} pages are in {}\n", folder.display()))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|error| Failure::error(format!("{}: {error}", path.display())))
}
