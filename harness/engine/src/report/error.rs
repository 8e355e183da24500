//! Why a report cannot be created or read.

use std::path::PathBuf;

use thiserror::Error;

use tlsboot_core::result::FORMAT;

/// Why a report cannot be created or read.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A file cannot be written.
    #[error("cannot write the report {path}: {source}; look at the folder's permissions and free space")]
    Write {
        /// Which file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; give the output folder of a run")]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A `result.json` is not one.
    #[error("{path} is not the result of a run: {source}; it was changed or truncated, run again")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// Written by a newer tlsboot.
    #[error("{path} has format {found}, this tlsboot reads up to {}: use a newer tlsboot", FORMAT)]
    Format {
        /// Which file.
        path: PathBuf,
        /// The format that it has.
        found: u64,
    },
    /// stdout cannot be written to.
    #[error("cannot write the report to stdout: {0}")]
    Stdout(std::io::Error),
    /// A template or an XML writer failed: a bug of tlsboot.
    #[error("cannot create the report {name}: {reason}; please report this as a bug of tlsboot")]
    Draw {
        /// Which report.
        name: &'static str,
        /// What went wrong.
        reason: String,
    },
}
