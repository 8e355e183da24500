//! Why a cluster did not do what was asked of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a cluster did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The scenario asks for something that is not there.
    #[error("there is no {0} in this cluster")]
    Unknown(String),
    /// The scenario asks for something that clusters of this provider can't do.
    #[error("clusters of this provider can't {0}")]
    Unsupported(&'static str),
    /// What should be started runs.
    #[error("{0} is running already")]
    Running(String),
    /// What should be ended does not run.
    #[error("{0} is not running")]
    NotRunning(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A process could not be started, or ended at once.
    #[error("{name} could not be started: {reason}")]
    Start {
        /// The executable.
        name: String,
        /// Why, with the end of its log.
        reason: String,
    },
    /// Something did not come in time.
    #[error("{what} did not come within {seconds} s: {last}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was seen last.
        last: String,
    },
    /// A command of the container tools failed.
    #[error("`{command}` failed: {reason}")]
    Command {
        /// The command.
        command: String,
        /// Why, and what to do about it.
        reason: String,
    },
    /// Keys or certificates could not be made.
    #[error(transparent)]
    Pki(#[from] tlsboot_core::x509::X509Error),
    /// The API server refused or could not be reached.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// Anything else of the machine.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ClusterError {
    /// For what went wrong with a file, to be used with `map_err`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// For what was waited for so long, by what was seen last.
    pub(crate) fn late<L: ToString>(what: impl Into<String>, patience: Duration) -> impl FnOnce(L) -> Self {
        let what = what.into();
        move |last| Self::Late { what, seconds: patience.as_secs(), last: last.to_string() }
    }

    /// For a process that did not live, with the end of its log.
    pub(crate) fn ended(name: &str, log: &Path) -> Self {
        Self::Start { name: name.to_owned(), reason: end_of(log) }
    }
}

/// Words for the end of a log.
pub(super) fn end_of(log: &Path) -> String {
    const LINES: usize = 5;
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    format!("the end of its log says: {}", lines[lines.len().saturating_sub(LINES)..].join(" | "))
}
