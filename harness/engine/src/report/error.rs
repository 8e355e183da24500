//! Why a report can't be made or read.

use std::path::PathBuf;

use thiserror::Error;

use tlsboot_core::result::FORMAT;

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
    #[error("{path} is not the result of a run: {source}; it was changed or cut off, run again")]
    Malformed {
        /// Which one.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// Written by a newer tlsboot.
    #[error("{path} has format {found}, this tlsboot reads up to {}: use a newer tlsboot", FORMAT)]
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
