//! Reports: made from a run's result and the histories, never from the live run.
//!
//! [`write_all`] writes what was asked for. [`failure::text`] says one scenario's failure to people, for a test's own
//! output.

pub mod failure;
mod follow;
mod github;
mod html;
pub mod json;
mod junit;
mod markdown;
pub mod merge;
mod overview;
pub mod paint;
pub mod signature;
pub mod terminal;
mod timeline;
pub mod verify;
mod words;

#[cfg(test)]
pub(crate) mod fixture;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

pub use crate::evidence::Evidence;
pub use follow::Follow;
pub use paint::colours_wanted;
use tlsboot_core::name::{UnknownName, by_name};
use tlsboot_core::result::RunResult;

/// A form of report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// A summary on stdout, failures in full.
    Terminal,
    /// `result.json`: everything, for machines.
    Json,
    /// `junit.xml`: one suite a target.
    Junit,
    /// `report.html`: one page with the timelines, without anything from elsewhere.
    Html,
    /// `summary.md`: a matrix and the failures, as a step summary of GitHub Actions shows it.
    Markdown,
    /// Annotations for GitHub Actions on stdout.
    Github,
}

impl Format {
    /// All of them, in the order in which they are listed.
    pub const ALL: &[Self] = &[Self::Terminal, Self::Json, Self::Junit, Self::Html, Self::Markdown, Self::Github];

    /// What a run writes unless told otherwise: everything but annotations.
    pub const DEFAULT: &[Self] = &[Self::Terminal, Self::Json, Self::Junit, Self::Html, Self::Markdown];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Html => "html",
            Self::Markdown => "markdown",
            Self::Github => "github",
        }
    }

    /// The file's name in the output folder; none for what goes to stdout.
    pub fn file_name(self) -> Option<&'static str> {
        match self {
            Self::Terminal | Self::Github => None,
            Self::Json => Some("result.json"),
            Self::Junit => Some("junit.xml"),
            Self::Html => Some("report.html"),
            Self::Markdown => Some("summary.md"),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        by_name("form of report", Self::ALL, Self::name, text)
    }
}

/// The files of a report.
const FILES: [&str; 5] = ["result.json", "junit.xml", "report.html", "summary.md", signature::FILE];

/// Why a report can't be made or read.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file can't be written.
    #[error("can't write the report {path}: {source}; look at the folder's permissions and free space")]
    Write {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file can't be read.
    #[error("can't read {path}: {source}; give the output folder of a run")]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A `result.json` is not one.
    #[error("{path} is no result of a run: {source}; it was changed or cut off, run again")]
    Malformed {
        /// Which one.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// Written by a newer tlsboot.
    #[error(
        "{path} has format {found}, this tlsboot reads up to {}: use a newer tlsboot",
        tlsboot_core::result::FORMAT
    )]
    Format {
        /// Which one.
        path: PathBuf,
        /// The format that it has.
        found: u64,
    },
    /// stdout is gone.
    #[error("can't write the report to stdout: {0}")]
    Stdout(std::io::Error),
    /// A template or an XML writer failed: a bug of tlsboot.
    #[error("can't draw the report {name}: {reason}; please report this as a bug of tlsboot")]
    Draw {
        /// Which one.
        name: &'static str,
        /// What went wrong.
        reason: String,
    },
}

/// Makes the reports of a run whose evidence lies below `out`, and returns the files that it wrote.
///
/// A file is complete or as it was before: each is written beside its place and moved there.
///
/// # Errors
/// The first report that can't be made; those before it stay.
pub fn write_all(out: &Path, run: &RunResult, formats: &[Format]) -> Result<Vec<PathBuf>, ReportError> {
    let mut files = Vec::new();
    for format in formats {
        let text = match format {
            Format::Terminal => {
                let colours = colours_wanted(&std::io::stdout());
                tlsboot_core::plain::lines(&terminal::summary(out, run, colours), colours)
            }
            Format::Github => github::annotations(out, run),
            Format::Json => json::text(run)?,
            Format::Junit => junit::text(out, run)?,
            Format::Html => html::page(out, run)?,
            Format::Markdown => markdown::summary(out, run),
        };
        match format.file_name() {
            Some(name) => {
                let path = out.join(name);
                write_file(&path, text.as_bytes())?;
                files.push(path);
            }
            None => write_stdout(&text)?,
        }
    }
    Ok(files)
}

/// Signs the `result.json` that was just written, if there is a key. Without one, no older signature stays beside it.
///
/// # Errors
/// When it can't be read, or the signature can't be written.
pub fn sign(out: &Path, key: Option<&signature::SigningKey>) -> Result<(), ReportError> {
    let place = out.join(signature::FILE);
    let Some(key) = key else {
        return match std::fs::remove_file(&place) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(ReportError::Write { path: place, source })
            }
            _ => Ok(()),
        };
    };
    let path = out.join("result.json");
    let bytes = std::fs::read(&path).map_err(|source| ReportError::Read { path, source })?;
    write_file(&place, &key.sign(&bytes))
}

fn write_stdout(text: &str) -> Result<(), ReportError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(ReportError::Stdout)
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(".tlsboot-report-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|source| ReportError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_written_and_nothing_else_is_left() {
        let folder = fixture::folder();
        let formats = [Format::Json, Format::Junit, Format::Html, Format::Markdown];
        let files = write_all(folder.path(), &fixture::run(), &formats).unwrap();
        assert_eq!(files.len(), 4);
        assert!(files.iter().all(|file| file.is_file()));
        assert_eq!(json::read(folder.path()).unwrap(), fixture::run());
        let hidden =
            |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().starts_with('.');
        assert!(!std::fs::read_dir(folder.path()).unwrap().any(hidden));
    }

    #[test]
    fn an_unwritable_place_says_so() {
        let folder = fixture::folder();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let error = write_all(&folder.path().join("file"), &fixture::run(), &[Format::Json]).unwrap_err();
        assert!(error.to_string().contains("can't write the report"), "{error}");
    }
}
