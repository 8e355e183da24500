//! Why a run has no verdict.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::cluster::ClusterError;
use crate::drive::DriveError;
use crate::observe::HistoryLost;

/// Why a scenario was not judged: its outcome is `error`, which says nothing about the cluster.
#[derive(Debug, Error)]
pub enum RunError {
    /// There is no folder for what is recorded.
    #[error("the evidence folder {path} cannot be created: {source}")]
    Evidence {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is no history.
    #[error("the history cannot be created: {0}")]
    History(#[source] io::Error),
    /// There is no cluster.
    #[error("the cluster could not be started: {0}")]
    Start(#[source] ClusterError),
    /// The cluster lacks its bindings.
    #[error("the cluster's bindings could not be created: {0}")]
    Bindings(#[source] DriveError),
    /// The history does not contain what was judged.
    #[error(transparent)]
    Lost(#[from] HistoryLost),
    /// A component of the control plane was killed from outside.
    #[error(
        "{component} was killed by signal {signal}, not by tlsboot: check whether memory ran out (`dmesg | grep -i oom`) or someone killed it"
    )]
    Killed {
        /// Which component.
        component: String,
        /// The signal.
        signal: i32,
    },
    /// etcd, which is not under test, has exited.
    #[error("etcd exited on its own, with code {}: see its log in the evidence", .code.map_or_else(|| "unknown".to_owned(), |code| code.to_string()))]
    Etcd {
        /// Its exit code.
        code: Option<i32>,
    },
    /// Nothing is recorded any more.
    #[error("the history was closed")]
    Closed,
    /// SIGINT or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}
