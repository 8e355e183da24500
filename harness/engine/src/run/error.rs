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
    /// There is no place for what is recorded.
    #[error("the evidence folder {path} can't be created: {source}")]
    Evidence {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no history.
    #[error("the history can't be created: {0}")]
    History(#[source] io::Error),
    /// There is no cluster.
    #[error("the cluster could not be started: {0}")]
    Start(#[source] ClusterError),
    /// The cluster lacks its bindings.
    #[error("the cluster's bindings could not be created: {0}")]
    Bindings(#[source] DriveError),
    /// The history does not hold what was judged.
    #[error(transparent)]
    Lost(#[from] HistoryLost),
    /// A part of the control plane was ended from outside.
    #[error(
        "{component} was ended by signal {signal}, and not by tlsboot: look whether memory ran out (`dmesg | grep -i oom`) or somebody ended it"
    )]
    Killed {
        /// Which.
        component: String,
        /// The signal.
        signal: i32,
    },
    /// etcd, which is not under test, has ended.
    #[error("etcd ended by itself, with code {}: see its log in the evidence", .code.map_or_else(|| "unknown".to_owned(), |code| code.to_string()))]
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
