//! The entry point for faults: what [`crate::mutants`] may change in a local cluster. A cluster without a defect never
//! uses this module.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures::future::BoxFuture;
use kube::Client;
use tokio::sync::watch;

use crate::cluster::{ClusterError, TokenValue};
use crate::flags::FlagSet;
use crate::node::KubeletConfig;
use crate::task::Task;

/// One fault of a cluster, however often its components are started.
#[async_trait]
pub trait Defect: Send + Sync {
    /// Changes how a process is started: each time, when its files are written.
    ///
    /// # Errors
    /// If the change cannot be made: then the process does not start.
    fn launch(&self, _launch: &mut Launch<'_>) -> Result<(), ClusterError> {
        Ok(())
    }

    /// Changes what is in the cluster: once, when its control plane is ready and before anything of the scenario
    /// happens.
    ///
    /// # Errors
    /// If the change cannot be made: then the cluster does not start.
    async fn prepare(&self, _admin: &Client) -> Result<(), ClusterError> {
        Ok(())
    }
}

impl fmt::Debug for dyn Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Defect")
    }
}

/// Whose process it is.
#[derive(Clone, Debug)]
pub enum Part<'a> {
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// A kubelet.
    Kubelet {
        /// Its configuration; the file is already in its folder.
        config: &'a KubeletConfig,
        /// Its process id while it is running, otherwise 0.
        pid: watch::Receiver<u32>,
    },
}

/// A process that is about to be started.
pub struct Launch<'a> {
    /// Whose.
    pub part: Part<'a>,
    /// The executable.
    pub executable: PathBuf,
    /// Arguments before the flags: none, unless a wrapper command runs the original one.
    pub before: Vec<OsString>,
    /// Its flags.
    pub flags: FlagSet,
    /// Variables in addition to the run's own.
    pub env: BTreeMap<String, String>,
    /// The folder of the cluster's keys.
    pub pki: &'a Path,
    /// Where its output goes.
    pub log: &'a Path,
    /// The scenario's tokens.
    pub tokens: &'a BTreeMap<String, TokenValue>,
    /// A client of the administrator.
    pub admin: &'a Client,
    /// What runs beside the process until it is stopped.
    pub beside: Vec<BoxFuture<'static, ()>>,
}

impl Launch<'_> {
    /// Applies the defect, if there is one.
    pub(crate) fn with(mut self, defect: Option<&dyn Defect>) -> Result<Self, ClusterError> {
        if let Some(defect) = defect {
            defect.launch(&mut self)?;
        }
        Ok(self)
    }

    /// All arguments.
    pub(crate) fn args(&self) -> Vec<OsString> {
        self.before.iter().cloned().chain(self.flags.args()).collect()
    }
}

/// Starts what runs beside a process; it stops when the tasks are dropped.
pub(crate) fn begin(beside: Vec<BoxFuture<'static, ()>>) -> Vec<Task> {
    beside.into_iter().map(Task::spawn).collect()
}
