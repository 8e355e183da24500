//! Why a cluster did not do what was asked of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a cluster did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The scenario names something that does not exist.
    #[error("there is no {0} in this cluster")]
    Unknown(String),
    /// The scenario needs something that clusters of this provider cannot do.
    #[error("clusters of this provider cannot {0}")]
    Unsupported(&'static str),
    /// A process that should be started is already running.
    #[error("{0} is already running")]
    Running(String),
    /// A process that should be stopped is not running.
    #[error("{0} is not running")]
    NotRunning(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A process could not be started, or exited at once.
    #[error("{name} could not be started: {reason}")]
    Start {
        /// The executable.
        name: String,
        /// Why, with the end of its log.
        reason: String,
    },
    /// Something did not happen in time.
    #[error("{what}: not seen within {seconds} s: {last}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was last seen.
        last: String,
    },
    /// tlsboot's own credentials are refused.
    #[error(
        "{0} refuses tlsboot's own credentials (401): check the flags that the scenario sets, such as client-ca-file"
    )]
    LockedOut(&'static str),
    /// A command of the container tools failed.
    #[error("`{command}` failed: {reason}")]
    Command {
        /// The command.
        command: String,
        /// Why, and what to do about it.
        reason: String,
    },
    /// Keys or certificates could not be created.
    #[error(transparent)]
    Pki(#[from] tlsboot_core::x509::X509Error),
    /// The API server refused, or could not be reached.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// Any other error of the machine.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ClusterError {
    /// For an error with a file; for use with `map_err`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// For a timeout, with what was last seen.
    pub(crate) fn late<L: ToString>(what: impl Into<String>, patience: Duration) -> impl FnOnce(L) -> Self {
        let what = what.into();
        move |last| Self::Late { what, seconds: patience.as_secs(), last: last.to_string() }
    }

    /// For a process that did not keep running, with the end of its log.
    pub(crate) fn ended(name: &str, log: &Path) -> Self {
        Self::Start { name: name.to_owned(), reason: end_of(log) }
    }
}

/// The end of a log, as part of an error: the line that says why the process exited, otherwise its last lines.
pub(super) fn end_of(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    match telling(&String::from_utf8_lossy(&text)) {
        lines if lines.is_empty() => "its log is empty".to_owned(),
        lines => format!("its log says: {}", lines.join(" | ")),
    }
}

/// The last lines, up to this number, are shown.
const LINES: usize = 3;
/// This many characters of a line are shown.
const LINE: usize = 400;

/// The lines that say why a process exited. A component that rejects its command line prints all its flags, before or
/// after the reason.
fn telling(log: &str) -> Vec<String> {
    let lines = || log.lines().map(str::trim).filter(|line| !line.is_empty());
    let errors: Vec<&str> = lines().filter(|line| is_error(line)).collect();
    let mut told = match errors.as_slice() {
        [] => lines().filter(|line| !line.contains("FLAG: --")).collect(),
        _ => errors,
    };
    told.dedup();
    let shown = |line: &&str| match line.char_indices().nth(LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => (*line).to_owned(),
    };
    told[told.len().saturating_sub(LINES)..].iter().map(shown).collect()
}

/// Whether a line is an error by its prefix: that of klog (`E1127 22:49:…`), cobra, Go, or etcd's zap.
fn is_error(line: &str) -> bool {
    let bytes = line.as_bytes();
    let is_klog = matches!(bytes.first(), Some(b'E' | b'F'))
        && bytes.len() > 5
        && bytes[1..5].iter().all(u8::is_ascii_digit)
        && bytes[5] == b' ';
    let heads = ["Error:", "error:", "panic:", "fatal error:", "runtime:"];
    let levels = ["\"level\":\"error\"", "\"level\":\"fatal\"", "\"level\":\"panic\""];
    is_klog
        || heads.iter().any(|head| line.starts_with(head))
        || line.starts_with('{') && levels.iter().any(|level| line.contains(level))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::after_the_flags(
        "I1127 22:49:01.1 1 flags.go:64] FLAG: --v=\"4\"\nI1127 22:49:01.1 1 flags.go:64] FLAG: --vmodule=\"\"\nE1127 22:49:01.2 1 run.go:72] \"command failed\" err=\"\\\"csrsinging\\\" is not in the list of known controllers\"\n",
        &["E1127 22:49:01.2 1 run.go:72] \"command failed\" err=\"\\\"csrsinging\\\" is not in the list of known controllers\""]
    )]
    #[case::before_the_usage(
        "Error: unknown flag: --no-such\nUsage:\n  kube-apiserver [flags]\n\nAudit flags:\n  --audit-log-batch-max-size int   The maximum size.\n",
        &["Error: unknown flag: --no-such"]
    )]
    #[case::of_etcd(
        "{\"level\":\"warn\",\"msg\":\"a\"}\n{\"level\":\"fatal\",\"msg\":\"no space left on device\"}\n",
        &["{\"level\":\"fatal\",\"msg\":\"no space left on device\"}"]
    )]
    #[case::without_errors("I1127 1 a\nW1127 2 b\nI1127 flags.go] FLAG: --v=4\n", &["I1127 1 a", "W1127 2 b"])]
    #[case::twice("Error: a\nError: a\n", &["Error: a"])]
    #[case::words("Everything is fine\n", &["Everything is fine"])]
    #[case::none("\n \n", &[])]
    fn a_log_tells_why_a_process_ended(#[case] log: &str, #[case] told: &[&str]) {
        assert_eq!(telling(log), told);
    }

    #[test]
    fn endless_lines_are_cut() {
        let told = telling(&format!("E1127 22:49:01.2 1 {}ä", "x".repeat(5000)));
        assert!(told[0].ends_with('…') && told[0].len() < 500);
    }
}
