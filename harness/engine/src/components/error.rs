//! What can go wrong between a requested version and an executable to run.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::kind::SourceKind;
use tlsboot_core::version::{Version, VersionRequest};

/// Why there is no executable to run.
#[derive(Debug, Error)]
pub enum ComponentError {
    /// Every source was tried.
    #[error("cannot find {what}; tried:{}", list(.attempts))]
    Unavailable {
        /// The component and its version.
        what: String,
        /// The sources tried, in order.
        attempts: Vec<Attempt>,
    },
    /// Bytes with the wrong checksum. No other source is tried: a person should look at this one.
    #[error(
        "{file} is damaged: its SHA-256 is {actual}, but {authority} says {expected}; repair it, or choose another source by --source"
    )]
    Damaged {
        /// The path or URL of the file.
        file: String,
        /// Where the right checksum is recorded.
        authority: String,
        /// The right SHA-256, hex.
        expected: String,
        /// The SHA-256 of the received bytes, hex.
        actual: String,
    },
    /// Executables in the store that differ from what was installed, one per line.
    #[error(
        "damaged in the store:{0}\nremove them with `tlsboot components verify --remove`; they are fetched again when needed"
    )]
    DamagedStore(String),
    /// An executable that was replaced while it was in use.
    #[error("{} was changed during the run: its SHA-256 was {before} and is now {now}", path.display())]
    Changed {
        /// The executable.
        path: PathBuf,
        /// The SHA-256 of what should have been run, hex.
        before: String,
        /// The SHA-256 of what exists now, hex.
        now: String,
    },
    /// A list of checksums that cannot be parsed.
    #[error("{file} is damaged: {reason}")]
    Checksums {
        /// The list's path or URL.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store, or the folder of an export, cannot be read or written.
    #[error("{doing} {}: {cause}{}", path.display(), advice(.cause))]
    Io {
        /// "cannot write", for example.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        cause: io::Error,
    },
    /// The folder given by `--components`, or an executable in it, is not usable.
    #[error("--components {}: {reason}", path.display())]
    Directory {
        /// The folder or the executable.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// An invalid setting.
    #[error("{name}={value}: {reason}")]
    Setting {
        /// The environment variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },
    /// A minor version of which no store, mirror or table has a patch release.
    #[error("no patch release of Kubernetes {} is known here{}", .0, what_is_known(*.0))]
    UnknownMinor(VersionRequest),
}

/// The minors that can be asked for, and how to ask for another one.
fn what_is_known(request: VersionRequest) -> String {
    let (newest, oldest) = (Version::known()[0], Version::known()[Version::known().len() - 1]);
    let known = format!("{}.{} to {}.{}", oldest.major, oldest.minor, newest.major, newest.minor);
    match request {
        VersionRequest::Minor { major, minor } if (major, minor) < (oldest.major, oldest.minor) => {
            format!(", only of {known}: give its executables with --components DIR")
        }
        _ => format!(", only of {known}: ask for one by its full version, such as {request}.0"),
    }
}

/// A source that could not serve.
#[derive(Debug)]
pub struct Attempt {
    /// The source.
    pub source: SourceKind,
    /// Why not.
    pub reason: String,
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().fold(String::new(), |mut text, Attempt { source, reason }| {
        let _ = write!(text, "\n  {source}: {reason}");
        text
    })
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; make room (one Kubernetes version takes up to 200 MB), or set TLSBOOT_CACHE to a folder elsewhere"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; set TLSBOOT_CACHE to a folder that you may write"
        }
        _ => "",
    }
}

/// Names the path in an IO error: `.map_err(io_error("cannot write", path))`.
pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ComponentError {
    let path = path.to_owned();
    move |cause| ComponentError::Io { doing, path, cause }
}
