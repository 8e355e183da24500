//! A run that is interrupted or killed leaves nothing behind: no process, no folder, no mount.
//!
//! The tests start real clusters, and need the same executables as `conformance`. The command under test is this test
//! executable, which becomes `tlsboot` when it is asked to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};

const BE_TLSBOOT: &str = "TLSBOOT_TEST_BE_TLSBOOT";

fn main() -> ExitCode {
    tlsboot_engine::shim::run_if_asked();
    if std::env::var_os(BE_TLSBOOT).is_some() {
        return tlsboot::main();
    }
    let interrupted = |name: &str, signal| {
        Trial::test(name, move || {
            let run = Run::start()?;
            run.end(signal, Some(130))?.leaves_no_process()?.leaves_no_folder()
        })
    };
    let trials = vec![
        interrupted("sigint_ends_a_run_in_order", Signal::INT),
        interrupted("sigterm_ends_a_run_in_order", Signal::TERM),
        Trial::test("sigkill_leaves_only_what_gc_removes", || {
            let run = Run::start()?;
            let ended = run.end(Signal::KILL, None)?.leaves_no_process()?;
            ended.gc()?;
            ended.leaves_no_folder()
        }),
        Trial::test("a_cluster_that_can_not_start_is_ended_at_once", || {
            let run = Run::start_beside(Some(BROKEN))?;
            let servers = processes_of(run.folder.path())?;
            let servers = servers.iter().filter(|line| line.contains("--etcd-servers="));
            match servers.filter(|line| !line.starts_with("/proc/self/exe ")).count() {
                1 => run.end(Signal::INT, Some(130))?.leaves_no_process()?.leaves_no_folder(),
                count => Err(format!("{count} API servers are running for one cluster").into()),
            }
        }),
        Trial::test("a_cluster_that_is_kept_can_be_entered_until_the_interrupt", kept),
        Trial::test("a_command_of_up_has_a_cluster_and_its_own_exit_code", up),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A scenario that would take minutes, in a temporary folder of its own.
const SCENARIO: &str = "\
id: recovery.waits
title: A node waits for an approval that never comes
requirements: [P-05]
cluster:
  bindings: {nodeClient: absent}
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect:
      csr: {node: n1, role: client, state: issued}
      within: 10m
";

/// Its controller-manager exits at once. It is run first, because it may wait longer.
const BROKEN: &str = "\
id: recovery.broken
title: A cluster that can't start
requirements: [P-05]
cluster:
  flags: {kube-controller-manager: {there-is-no-such-flag: 'true'}}
nodes: [{name: n1}]
steps:
  - start: {node: n1}
  - expect:
      csr: {node: n1, role: client, state: issued}
      within: 11m
";

/// The command under test; a test that fails midway does not leave it behind.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have exited long ago.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Run {
    child: Guarded,
    folder: tempfile::TempDir,
    mounts: Vec<String>,
}

/// A running kubelet, with everything that it needs, under heavy load.
const START: Duration = Duration::from_secs(120);
/// Processes that are exiting.
const GONE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

impl Run {
    /// Starts a run and waits until its kubelet is running.
    fn start() -> Result<Self, Failed> {
        Self::start_beside(None)
    }

    /// The same, after another scenario in the same run.
    fn start_beside(other: Option<&str>) -> Result<Self, Failed> {
        let folder = tempfile::Builder::new().prefix("tb").tempdir()?;
        let scenarios = folder.path().join("scenarios");
        fs::create_dir(&scenarios)?;
        fs::write(scenarios.join("waits.yaml"), SCENARIO)?;
        if let Some(other) = other {
            fs::write(scenarios.join("other.yaml"), other)?;
        }
        let out = folder.path().join("out");
        let child =
            tlsboot(folder.path()).args(["run", "--jobs", "1"]).arg(scenarios).arg("--out").arg(&out).spawn()?;
        let mut run = Self { child: Guarded(child), folder, mounts: mounts()? };
        until(START, "the kubelet did not start", || {
            if let Some(status) = run.child.0.try_wait()? {
                return Err(format!("the run ended too early: {status}").into());
            }
            let history = find(&out, "recovery.waits")
                .and_then(|evidence| fs::read_to_string(evidence.join("history.jsonl")).ok());
            Ok(history.is_some_and(|history| {
                let mut lines = history.lines();
                lines.any(|line| line.contains("\"component\":\"kubelet\"") && line.contains("\"started\""))
            }))
        })?;
        Ok(run)
    }

    fn end(mut self, signal: Signal, code: Option<i32>) -> Result<Ended, Failed> {
        // A run without processes shows nothing.
        if processes_of(self.folder.path())?.len() < 4 {
            return Err("etcd, API server, controller-manager and kubelet should be running".into());
        }
        let pid = i32::try_from(self.child.0.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.ok_or("no pid")?, signal)?;
        let mut status = None;
        until(Duration::from_secs(30), "the run did not end", || {
            status = self.child.0.try_wait()?;
            Ok(status.is_some())
        })?;
        let ended = status.and_then(|status| status.code());
        if ended != code {
            return Err(format!("exit code {ended:?} instead of {code:?}").into());
        }
        Ok(Ended { folder: self.folder, mounts: self.mounts })
    }
}

struct Ended {
    folder: tempfile::TempDir,
    mounts: Vec<String>,
}

impl Ended {
    fn leaves_no_process(self) -> Result<Self, Failed> {
        let mut left = Vec::new();
        let gone = until(GONE, "processes are left", || {
            left = processes_of(self.folder.path())?;
            Ok(left.is_empty())
        });
        gone.map_err(|_| format!("processes are left: {left:?}"))?;
        let mounts = mounts()?;
        if mounts == self.mounts {
            Ok(self)
        } else {
            Err(format!("mounts were {:?}, and are {mounts:?}", self.mounts).into())
        }
    }

    fn leaves_no_folder(&self) -> Result<(), Failed> {
        match run_folder(self.folder.path())? {
            Some(left) => Err(format!("{} is left", left.display()).into()),
            None => Ok(()),
        }
    }

    fn gc(&self) -> Result<(), Failed> {
        let left = run_folder(self.folder.path())?.ok_or("SIGKILL should leave a folder")?;
        let output = tlsboot(self.folder.path()).arg("gc").stdout(Stdio::piped()).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && said.contains(&left.display().to_string()) {
            Ok(())
        } else {
            Err(format!("gc said: {said}").into())
        }
    }
}

fn up() -> Result<(), Failed> {
    let mounts = mounts()?;
    let folder = tempfile::Builder::new().prefix("tb").tempdir()?;
    let look =
        "test -r \"$KUBECONFIG\" && grep -q client-key-data \"$KUBECONFIG\" && stat -c %a \"$KUBECONFIG\"; exit 7";
    let output = tlsboot(folder.path()).args(["up", "--", "sh", "-c", look]).stdout(Stdio::piped()).output()?;
    if output.status.code() != Some(7) || output.stdout != b"600\n" {
        return Err(format!("{output:?}").into());
    }
    Ended { folder, mounts }.leaves_no_process()?.leaves_no_folder()
}

fn kept() -> Result<(), Failed> {
    let mounts = mounts()?;
    let folder = tempfile::Builder::new().prefix("tb").tempdir()?;
    fs::write(folder.path().join("fails.yaml"), SCENARIO.replace("within: 10m", "within: 1s"))?;
    let said = folder.path().join("said");
    let mut command = tlsboot(folder.path());
    let child = Guarded(command.args(["run", "--keep", "fails.yaml"]).stderr(fs::File::create(&said)?).spawn()?);
    let mut kubeconfig = None;
    until(START, "the cluster was not kept", || {
        let said = fs::read_to_string(&said)?;
        let rest = said.split_once("export KUBECONFIG=").and_then(|(_, rest)| rest.split_once('\n'));
        kubeconfig = rest.map(|(path, _)| PathBuf::from(path));
        Ok(kubeconfig.is_some())
    })?;
    let kubeconfig = kubeconfig.ok_or("no kubeconfig")?;
    let mode = fs::metadata(&kubeconfig)?.permissions().mode() & 0o777;
    if mode != 0o600 || !fs::read_to_string(&kubeconfig)?.contains("client-key-data") {
        return Err(format!("{} has mode {mode:o}, or no key", kubeconfig.display()).into());
    }
    Run { child, folder, mounts }.end(Signal::INT, Some(130))?.leaves_no_process()?.leaves_no_folder()
}

/// This executable as tlsboot, with its own folder for temporary files.
fn tlsboot(temporary: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .env(BE_TLSBOOT, "1")
        .env("TMPDIR", temporary)
        .current_dir(temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Command lines that name the folder, except the run itself.
fn processes_of(folder: &Path) -> Result<Vec<String>, Failed> {
    let name = format!("{}/tlsboot-run-", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        // Processes that are exiting just now can no longer be read.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&name) {
            found.push(line);
        }
    }
    Ok(found)
}

/// The mount points that this process sees: a kubelet's tmpfs must not be among them.
fn mounts() -> Result<Vec<String>, Failed> {
    let info = fs::read_to_string("/proc/self/mountinfo")?;
    let points = info.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(points.filter(|point| point.starts_with("/var/")).map(str::to_owned).collect())
}

fn run_folder(temporary: &Path) -> Result<Option<PathBuf>, Failed> {
    let entries = fs::read_dir(temporary)?.flatten().map(|entry| entry.path());
    let mut runs = entries.filter(|path| path.to_string_lossy().contains("/tlsboot-run-"));
    Ok(runs.next())
}

/// A folder of this name below another.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut folders = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.find_map(|path| if path.ends_with(name) { Some(path) } else { find(&path, name) })
}

fn until(within: Duration, what: &str, mut look: impl FnMut() -> Result<bool, Failed>) -> Result<(), Failed> {
    let deadline = Instant::now() + within;
    while !look()? {
        if Instant::now() > deadline {
            return Err(what.into());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}
