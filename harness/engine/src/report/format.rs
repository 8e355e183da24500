//! The formats of a report.

use std::fmt;
use std::str::FromStr;

use tlsboot_core::name::{UnknownName, by_name};

/// A report format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// A summary on stdout, failures in full.
    Terminal,
    /// `result.json`: everything, for machines.
    Json,
    /// `junit.xml`: one suite per target.
    Junit,
    /// `report.html`: one self-contained page with the timelines.
    Html,
    /// `summary.md`: a matrix and the failures, as a step summary of GitHub Actions shows it.
    Markdown,
    /// Annotations for GitHub Actions on stdout.
    Github,
}

impl Format {
    /// All of them, in the order in which they are listed.
    pub const ALL: &[Self] = &[Self::Terminal, Self::Json, Self::Junit, Self::Html, Self::Markdown, Self::Github];

    /// What a run writes by default: everything except annotations.
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

    /// The file's name in the output folder; `None` for what goes to stdout.
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
        by_name("report format", Self::ALL, Self::name, text)
    }
}
