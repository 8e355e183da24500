//! Processes that a run starts and stops. Each has a [`crate::shim`] as its parent, so none outlives the run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

use crate::shim;

/// How a process exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl fmt::Display for Exit {
    /// As the end of a sentence: `exited with code 1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with code {code}"),
            (None, Some(15)) => f.write_str("was ended by SIGTERM"),
            (None, Some(9)) => f.write_str("was killed by SIGKILL"),
            (None, Some(signal)) => write!(f, "was ended by signal {signal}"),
            (None, None) => f.write_str("has exited"),
        }
    }
}

#[derive(Clone, Debug)]
enum Stage {
    Starting,
    Running(Arc<Handle>),
    Ended(Exit),
    Failed(String),
}

#[derive(Debug)]
struct Handle {
    pid: u32,
    fd: OwnedFd,
}

/// A process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    shim: OwnedFd,
    stage: watch::Receiver<Stage>,
}

/// Whether a process gets its own namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// None.
    Plain,
    /// User, mount and pid namespaces, as a kubelet needs them.
    Sandbox,
    /// The same for kubelets up to 1.21, which have no gate KubeletInUserNamespace.
    OldSandbox,
    /// User and mount namespaces, with this file as `/etc/hosts`.
    Hosts(PathBuf),
}

impl Process {
    /// Starts a program, with variables in addition to those of this process. Its output is appended to `log`.
    ///
    /// # Errors
    /// If it cannot be started, with the reason.
    pub async fn start(
        program: &Path,
        args: &[OsString],
        log: &Path,
        isolation: Isolation,
        env: &BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        let (mode, hosts) = match &isolation {
            Isolation::Plain => (shim::KEEP, None),
            Isolation::Sandbox => (shim::SANDBOX, None),
            Isolation::OldSandbox => (shim::OLD_SANDBOX, None),
            Isolation::Hosts(hosts) => (shim::HOSTS, Some(hosts)),
        };
        let mut command = Command::new("/proc/self/exe");
        command
            .args([shim::SHIM, mode, &std::process::id().to_string()])
            .args(hosts)
            .arg(program)
            .args(args)
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for the run, which stops its processes in order.
            .process_group(0);
        let child = spawn_on_keeper(command).await?;
        let shim = open(child.id())?;
        let (sender, mut stage) = watch::channel(Stage::Starting);
        std::thread::Builder::new().name("shim reports".into()).spawn(move || follow(child, &sender))?;
        let now = stage.wait_for(|stage| !matches!(stage, Stage::Starting)).await.map_err(io::Error::other)?.clone();
        match now {
            Stage::Running(handle) => Ok(Self { pid: handle.pid, shim, stage }),
            Stage::Failed(error) => Err(io::Error::other(error)),
            Stage::Starting | Stage::Ended(_) => Err(io::Error::other("it exited at once")),
        }
    }

    /// Its process id, as seen from here.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its exit, for those who wait: holding on to this does not keep the process.
    pub fn exited(&self) -> impl Future<Output = Exit> + Send + use<> {
        let mut stage = self.stage.clone();
        async move {
            let ended = stage.wait_for(|stage| matches!(stage, Stage::Ended(_))).await;
            match ended.as_deref() {
                Ok(Stage::Ended(exit)) => *exit,
                // The shim was killed, and the process with it.
                _ => Exit { code: None, signal: Some(Signal::KILL.as_raw()) },
            }
        }
    }

    /// Whether it is running.
    pub fn is_running(&self) -> bool {
        matches!(*self.stage.borrow(), Stage::Running(_))
    }

    /// Stops it with SIGTERM, and with SIGKILL if it takes longer than `patience`.
    pub async fn stop(&self, patience: Duration) -> Exit {
        self.signal(Signal::TERM);
        match tokio::time::timeout(patience, self.exited()).await {
            Ok(exit) => exit,
            Err(_) => self.kill().await,
        }
    }

    /// Kills it with SIGKILL.
    pub async fn kill(&self) -> Exit {
        self.signal(Signal::KILL);
        self.exited().await
    }

    fn signal(&self, signal: Signal) {
        if let Stage::Running(handle) = &*self.stage.borrow() {
            // A process that has exited in the meantime needs no signal.
            let _ = pidfd_send_signal(&handle.fd, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The kernel kills the process together with its shim.
        let _ = pidfd_send_signal(&self.shim, Signal::KILL);
    }
}

/// Tries whether processes can get their own namespaces here. Blocks for a few milliseconds.
///
/// # Errors
/// If they cannot, with the reason and what to do.
pub fn try_sandbox() -> io::Result<()> {
    let me = "/proc/self/exe";
    let (shim, run) = (shim::SHIM, std::process::id().to_string());
    let tried = Command::new(me).args([shim, shim::SANDBOX, &run, me, "--version"]).stdin(Stdio::null()).output()?;
    let reports = String::from_utf8_lossy(&tried.stdout);
    match reports.lines().last() {
        Some("code 0") => Ok(()),
        Some(last) => Err(io::Error::other(last.trim_start_matches("error ").to_owned())),
        None => Err(io::Error::other(format!("it exited at once ({})", tried.status))),
    }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no process id"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Reads the shim's reports until it exits.
fn follow(mut child: Child, stage: &watch::Sender<Stage>) {
    let reports = child.stdout.take().into_iter().flat_map(|out| BufReader::new(out).lines()).map_while(Result::ok);
    for report in reports {
        let (word, rest) = report.split_once(' ').unwrap_or((&report, ""));
        let number: i32 = rest.parse().unwrap_or_default();
        let next = match word {
            "pid" => match open(number.unsigned_abs()) {
                Ok(fd) => Stage::Running(Arc::new(Handle { pid: number.unsigned_abs(), fd })),
                Err(error) => Stage::Failed(format!("it exited at once ({error})")),
            },
            "code" => Stage::Ended(Exit { code: Some(number), signal: None }),
            "signal" => Stage::Ended(Exit { code: None, signal: Some(number) }),
            _ => Stage::Failed(rest.to_owned()),
        };
        stage.send_replace(next);
    }
    let _ = child.wait();
    stage.send_if_modified(|stage| {
        let cut_off = !matches!(stage, Stage::Ended(_) | Stage::Failed(_));
        if cut_off {
            *stage = Stage::Ended(Exit { code: None, signal: Some(Signal::KILL.as_raw()) });
        }
        cut_off
    });
}

type Order = (Command, tokio::sync::oneshot::Sender<io::Result<Child>>);

/// Starts a command on a thread that lives as long as this process: the kernel's parent death signal depends on the
/// parent *thread*, and threads of a runtime come and go.
async fn spawn_on_keeper(command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<Sender<Order>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (orders, incoming) = channel::<Order>();
        let keep = move || {
            for (mut command, reply) in incoming {
                let _ = reply.send(command.spawn());
            }
        };
        // Without a thread there is no receiver, and sending the order below fails.
        let _ = std::thread::Builder::new().name("process keeper".into()).spawn(keep);
        orders
    });
    let (reply, answer) = tokio::sync::oneshot::channel();
    keeper.send((command, reply)).map_err(|_| io::Error::other("no thread to start processes on"))?;
    answer.await.map_err(io::Error::other)?
}
