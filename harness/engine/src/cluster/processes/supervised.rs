//! A process whose start and exit are in the history.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::cluster::{ClusterError, Ending};
use crate::observe::Sink;
use crate::process::{Exit, Isolation, Process};
use tlsboot_core::history::event::{ProcessEvent, ProcessState};

/// What is started.
pub(crate) struct Plan<'a> {
    pub(crate) component: &'a str,
    pub(crate) node: Option<&'a str>,
    pub(crate) executable: &'a Path,
    pub(crate) args: Vec<OsString>,
    pub(crate) log: PathBuf,
    pub(crate) isolation: Isolation,
    /// Variables of its environment, in addition to the run's own.
    pub(crate) env: &'a BTreeMap<String, String>,
}

/// A process whose start and exit are in the history. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Supervised {
    process: Process,
    asked: Arc<AtomicBool>,
    watcher: JoinHandle<()>,
}

/// Kubelets and controller-managers exit within milliseconds, API servers within a few seconds.
const PATIENCE: Duration = Duration::from_secs(10);

impl Supervised {
    pub(crate) async fn start(plan: Plan<'_>, sink: &Sink) -> Result<Self, ClusterError> {
        let process = Process::start(plan.executable, &plan.args, &plan.log, plan.isolation, plan.env)
            .await
            .map_err(|error| ClusterError::Start { name: plan.component.to_owned(), reason: error.to_string() })?;
        let asked = Arc::new(AtomicBool::new(false));
        let event = ProcessEvent::of(plan.component, plan.node, process.pid());
        sink.emit(event(ProcessState::Started));
        let watcher = tokio::spawn({
            let (exited, asked, sink) = (process.exited(), Arc::clone(&asked), sink.clone());
            async move {
                let Exit { code, signal } = exited.await;
                sink.emit(event(ProcessState::Exited { code, signal, asked: asked.load(Ordering::SeqCst) }));
            }
        });
        Ok(Self { process, asked, watcher })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Its exit, for those who wait for it.
    pub(crate) fn exited(&self) -> impl Future<Output = Exit> + Send + use<> {
        self.process.exited()
    }

    /// Waits until it exits on its own and its exit is in the history.
    pub(crate) async fn gone(mut self) -> Exit {
        let exit = self.process.exited().await;
        let _ = (&mut self.watcher).await;
        exit
    }

    /// Stops it and waits until its exit is in the history.
    pub(crate) async fn end(mut self, ending: Ending) -> Exit {
        self.ask();
        let exit = match ending {
            Ending::Stop => self.process.stop(PATIENCE).await,
            Ending::Kill => self.process.kill().await,
        };
        let _ = (&mut self.watcher).await;
        exit
    }

    /// From now on any exit counts as requested by tlsboot. A process that has already exited did so on its own.
    fn ask(&self) {
        if self.is_running() {
            self.asked.store(true, Ordering::SeqCst);
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.ask();
    }
}
