//! A component of the control plane: a static pod, which the control plane's kubelet starts and stops when its manifest
//! is added or removed.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::common::Common;
use super::config::{CONTROLLER_MANAGER_PORT, changing_flags};
use super::follow::Follower;
use super::unit::{ended, find, open};
use crate::cluster::ClusterError;
use crate::cluster::docker::exec;
use crate::cluster::shared::client::{self, until_ok};
use crate::cluster::shared::settings::Settings;
use crate::observe::Sink;
use crate::poll;
use tlsboot_core::history::event::{ProcessEvent, ProcessState, Recorder};
use tlsboot_core::scenario::stimulus::Component;

const MANIFESTS: &str = "/etc/kubernetes/manifests";
/// Next to that folder, where the kubelet does not look.
const AWAY: &str = "/etc/kubernetes";
/// A pod has half a minute to terminate, and its kubelet checks the folder at least every 20 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// A component that runs or can run.
pub(super) struct StaticPod {
    control_plane: String,
    component: Component,
    log: PathBuf,
    running: Option<Running>,
}

struct Running {
    pid: u32,
    asked: Arc<AtomicBool>,
    watcher: JoinHandle<()>,
    _log: Follower,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl StaticPod {
    /// A component that is already running: kubeadm waits for them.
    pub(super) async fn attach(component: Component, common: &Common<'_>) -> Result<Self, ClusterError> {
        let mut pod = Self {
            control_plane: common.control_plane.to_owned(),
            component,
            log: common.logs.join(format!("{}.log", component.name())),
            running: None,
        };
        pod.watch(&common.base.sink).await?;
        Ok(pod)
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Waits for its process, and records its start and exit.
    async fn watch(&mut self, sink: &Sink) -> Result<u32, ClusterError> {
        let name = self.component.name();
        let found = poll::until(Instant::now() + PATIENCE, poll::SELDOM, async || {
            let pid = find(&self.control_plane, name).await?;
            Ok::<_, ClusterError>(pid.and_then(|pid| Some((pid, open(pid).ok()?))).ok_or(()))
        });
        let late = ClusterError::late(format!("a process of {name}"), PATIENCE);
        let (pid, fd) = found.await?.map_err(|()| late(format!("none in {}", self.control_plane)))?;
        let event = ProcessEvent::of(name, None, pid);
        sink.emit(event(ProcessState::Started));
        let asked = Arc::new(AtomicBool::new(false));
        let watcher = tokio::spawn({
            let (asked, sink) = (Arc::clone(&asked), sink.clone());
            async move {
                ended(fd).await;
                // Only its container runtime learns how.
                sink.emit(event(ProcessState::Exited {
                    code: None,
                    signal: None,
                    asked: asked.load(Ordering::SeqCst),
                }));
            }
        });
        let command = log_command(name);
        let (container, log) = (&self.control_plane, &self.log);
        let follower = Follower::start(container, &command, log, Recorder::Log, sink).await?;
        self.running = Some(Running { pid, asked, watcher, _log: follower });
        Ok(pid)
    }

    /// Writes its manifest, and waits until it is ready. Returns its process id.
    pub(super) async fn start(
        &mut self,
        settings: &Settings,
        admin: &kube::Client,
        address: Ipv4Addr,
        sink: &Sink,
    ) -> Result<u32, ClusterError> {
        let name = self.component.name();
        let away = format!("{AWAY}/{name}.yaml");
        let manifest = exec(&self.control_plane, &["cat", &away]).await?;
        let manifest = with_flags(&manifest, name, &changing_flags(self.component, settings));
        let write = format!("printf '%s\\n' \"$0\" >{away} && chmod 600 {away} && mv {away} {MANIFESTS}/{name}.yaml");
        exec(&self.control_plane, &["sh", "-c", &write, &manifest]).await?;
        let pid = self.watch(sink).await?;
        let (probe, path) = match self.component {
            Component::ApiServer => (admin.clone(), "/readyz"),
            Component::ControllerManager => {
                (client::blind(&format!("https://{address}:{CONTROLLER_MANAGER_PORT}"))?, "/healthz")
            }
        };
        let ended = async {
            if let Some(running) = &mut self.running {
                let _ = (&mut running.watcher).await;
            }
            self.running = None;
            ClusterError::ended(name, &self.log)
        };
        until_ok(&probe, path, name, PATIENCE, ended).await?;
        Ok(pid)
    }

    /// Whether it was started, and not stopped since.
    pub(super) fn is_started(&self) -> bool {
        self.running.is_some()
    }

    /// Stops reading its log.
    pub(super) fn close(&mut self) {
        self.running = None;
    }

    /// Removes its manifest, and waits until its process has exited. Returns its process id.
    pub(super) async fn stop(&mut self) -> Result<u32, ClusterError> {
        let name = self.component.name();
        let mut running = self.running.take().ok_or_else(|| ClusterError::NotRunning(name.into()))?;
        running.asked.store(true, Ordering::SeqCst);
        let manifest = format!("{MANIFESTS}/{name}.yaml");
        exec(&self.control_plane, &["mv", &manifest, AWAY]).await?;
        let exited = timeout(PATIENCE, &mut running.watcher).await;
        let late = ClusterError::late(format!("the exit of {name}"), PATIENCE);
        exited.map(|_| running.pid).map_err(|_| late(format!("pid {} is still running", running.pid)))
    }
}

/// Follows its log as the container runtime stores it, without the runtime's columns.
fn log_command(component: &str) -> String {
    let files = format!("/var/log/pods/kube-system_{component}-*/{component}/*.log");
    format!(
        "tail --quiet --lines=+1 --follow=name --retry $(ls -t {files} | head -n 1) 2>/dev/null | sed -u 's/^[^ ]* [a-z]* [FP] //'"
    )
}

/// A manifest with other flags.
fn with_flags(manifest: &str, component: &str, flags: &[(&'static str, String)]) -> String {
    let is_other = |line: &&str| {
        let flag = line.trim_start().strip_prefix("- --");
        let name = flag.map(|flag| flag.split('=').next().unwrap_or_default());
        !flags.iter().any(|(changed, _)| name == Some(changed))
    };
    let command = format!("- {component}");
    let mut lines = Vec::new();
    for line in manifest.lines().filter(is_other) {
        lines.push(line.to_owned());
        if line.trim_start() == command {
            let indent = &line[..line.len() - command.len()];
            let more = flags.iter().map(|(name, value)| format!("{indent}- --{name}={value}"));
            lines.extend(more);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_replaced_and_added() {
        let manifest = "\
spec:
  containers:
  - command:
    - kube-controller-manager
    - --cluster-signing-cert-file=/ca.crt
    - --cluster-signing-duration=3600s
    image: example/kube-controller-manager:v1";
        let flags = [("cluster-signing-duration", "7200s".to_owned()), ("controllers", "*,-csrsigning".to_owned())];
        let changed = "\
spec:
  containers:
  - command:
    - kube-controller-manager
    - --cluster-signing-duration=7200s
    - --controllers=*,-csrsigning
    - --cluster-signing-cert-file=/ca.crt
    image: example/kube-controller-manager:v1";
        assert_eq!(with_flags(manifest, "kube-controller-manager", &flags), changed);
    }
}
