//! Copies the output of a command in a container into a file on this machine, as long as the cluster lives. Recorders
//! read the file.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use crate::cluster::ClusterError;
use crate::cluster::docker::DOCKER;
use crate::observe::Sink;
use crate::process::{Isolation, Process};
use crate::task::Task;
use tlsboot_core::history::event::Recorder;

/// A followed command; dropping it stops following.
pub(super) struct Follower {
    _watcher: Task,
    _process: Arc<Process>,
}

impl Follower {
    /// Appends the output of a shell command in a container to a file. If it exits, `recorder` has a gap, which is
    /// recorded.
    pub(super) async fn start(
        container: &str,
        command: &str,
        file: &Path,
        recorder: Recorder,
        sink: &Sink,
    ) -> Result<Self, ClusterError> {
        let args = ["exec", container, "sh", "-c", command].map(OsString::from);
        let process = Process::start(Path::new(DOCKER), &args, file, Isolation::Plain, &Default::default())
            .await
            .map_err(|error| ClusterError::Start { name: DOCKER.into(), reason: error.to_string() })?;
        let process = Arc::new(process);
        let (followed, sink, command) = (Arc::clone(&process), sink.clone(), command.to_owned());
        let watcher = Task::spawn(async move {
            let exit = followed.exited().await;
            sink.gap(recorder, format!("`{command}` {exit} in its container"));
        });
        Ok(Self { _watcher: watcher, _process: process })
    }
}
