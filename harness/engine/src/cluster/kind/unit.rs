//! A kubelet as a systemd unit in its node's container, with its start and exit in the history.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::cluster::docker::{docker, exec};
use crate::cluster::{ClusterError, Ending};
use crate::observe::Sink;
use crate::poll;
use tlsboot_core::history::event::{KUBELET, ProcessEvent, ProcessState};

/// tlsboot's own unit, so that the image's kubelet.service has no influence.
pub(super) const UNIT: &str = "tlsboot-kubelet";
/// A kubelet exits within milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// systemd notices an exit when the kernel does.
const REAPED: Duration = Duration::from_secs(10);

/// A kubelet that was started.
pub(super) struct Unit {
    container: String,
    pid: u32,
    asked: Arc<AtomicBool>,
    watcher: JoinHandle<()>,
}

impl Unit {
    pub(super) async fn start(
        container: &str,
        node: &str,
        args: &[OsString],
        sink: &Sink,
    ) -> Result<Self, ClusterError> {
        // Leftovers of an earlier one.
        let _ = exec(container, &["systemctl", "stop", UNIT]).await;
        let _ = exec(container, &["systemctl", "reset-failed", UNIT]).await;
        let unit = format!("--unit={UNIT}");
        let mut command = vec![
            "systemd-run",
            "--quiet",
            &unit,
            "--service-type=exec",
            // So that its exit code can be queried afterwards.
            "--property=RemainAfterExit=yes",
            "--property=LogRateLimitIntervalSec=0",
            KUBELET,
        ];
        let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        command.extend(args.iter().map(AsRef::as_ref));
        exec(container, &command).await?;

        let handle = match find(container, KUBELET).await? {
            Some(pid) => open(pid).ok().map(|fd| (pid, fd)),
            None => None,
        };
        // For one that exited at once, only its id in the container is known.
        let pid = match &handle {
            Some((pid, _)) => *pid,
            None => property(container, UNIT, "ExecMainPID").await?,
        };
        let asked = Arc::new(AtomicBool::new(false));
        let event = ProcessEvent::of(KUBELET, Some(node), pid);
        sink.emit(event(ProcessState::Started));
        let watcher = tokio::spawn({
            let (container, asked, sink) = (container.to_owned(), Arc::clone(&asked), sink.clone());
            async move {
                if let Some((_, fd)) = handle {
                    ended(fd).await;
                }
                let (code, signal) = result(&container, UNIT).await;
                let asked = asked.load(Ordering::SeqCst);
                sink.emit(event(ProcessState::Exited { code, signal, asked }));
            }
        });
        Ok(Self { container: container.to_owned(), pid, asked, watcher })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn is_running(&self) -> bool {
        !self.watcher.is_finished()
    }

    /// Stops it and waits until its exit is in the history.
    pub(super) async fn end(mut self, ending: Ending) -> Result<(), ClusterError> {
        self.asked.store(true, Ordering::SeqCst);
        if self.is_running() && ending == Ending::Stop {
            self.signal("TERM").await?;
            if timeout(PATIENCE, &mut self.watcher).await.is_ok() {
                return Ok(());
            }
        }
        if self.is_running() {
            self.signal("KILL").await?;
        }
        let _ = (&mut self.watcher).await;
        Ok(())
    }

    async fn signal(&self, signal: &str) -> Result<(), ClusterError> {
        let signal = format!("--signal={signal}");
        let command = ["systemctl", "kill", &signal, "--kill-who=main", UNIT];
        match exec(&self.container, &command).await {
            // It has exited, but its exit is not in the history yet.
            Err(ClusterError::Command { reason, .. }) if reason.contains("No main process to kill") => Ok(()),
            sent => sent.map(drop),
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// The id of a process in a container, as seen from this machine.
pub(super) async fn find(container: &str, command: &str) -> Result<Option<u32>, ClusterError> {
    let top = docker(&["top", container, "-eo", "pid,comm"]).await?;
    Ok(pid_of(command, &top))
}

/// The process of this name in `docker top -eo pid,comm`.
fn pid_of(command: &str, top: &str) -> Option<u32> {
    // The kernel truncates names to this length.
    let command = &command[..command.len().min(15)];
    top.lines().find_map(|line| {
        let (pid, name) = line.trim().split_once(char::is_whitespace)?;
        (name.trim() == command).then(|| pid.parse().ok())?
    })
}

pub(super) fn open(pid: u32) -> std::io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| std::io::Error::other("no process id"))?;
    Ok(pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

/// Waits for a process to exit.
#[allow(unsafe_code)]
pub(super) async fn ended(fd: OwnedFd) {
    // SAFETY: an OwnedFd is one open descriptor until it is dropped.
    let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    match fd {
        Ok(fd) => drop(fd.readable().await),
        Err(error) => tracing::warn!(%error, "a process cannot be watched"),
    }
}

/// How it exited according to systemd: exit code, signal. Without the container, the process is gone too.
pub(super) async fn result(container: &str, unit: &str) -> (Option<i32>, Option<i32>) {
    let ended = poll::until(Instant::now() + REAPED, poll::SELDOM, async || {
        // CLD_EXITED, CLD_KILLED and CLD_DUMPED of `waitid`; 0 while it is running.
        let how = property(container, unit, "ExecMainCode").await?;
        let status = property(container, unit, "ExecMainStatus").await;
        let status = status.ok().and_then(|status| i32::try_from(status).ok());
        Ok::<_, ClusterError>(match how {
            0 => Err(()),
            1 => Ok((status, None)),
            _ => Ok((None, status)),
        })
    });
    match ended.await {
        Ok(Ok(ended)) => ended,
        Ok(Err(())) | Err(_) => (None, Some(Signal::KILL.as_raw())),
    }
}

async fn property(container: &str, unit: &str, name: &str) -> Result<u32, ClusterError> {
    let which = format!("--property={name}");
    let value = exec(container, &["systemctl", "show", "--value", &which, unit]).await?;
    Ok(value.parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_by_name() {
        let top = "PID                 COMMAND\n12296               systemd\n  812               kubelet\n12537               containerd\n";
        assert_eq!(pid_of("kubelet", top), Some(812));
        assert_eq!(pid_of("kube", top), None);
        assert_eq!(pid_of("kube-controller-manager", "7 kube-controller\n"), Some(7));
    }
}
