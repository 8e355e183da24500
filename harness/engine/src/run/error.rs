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
    /// Nothing is recorded any more.
    #[error("the history was closed")]
    Closed,
    /// SIGINT or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}
